"""Clips for 3D networks: sixteen frames, a quarter of a video's 30 a second, cut along the video (section 4.5).

A video's frames are kept at `config.clip_fps`, small; a clip is a run of them, named by its last one, for a decision
that is taken on the last frame looks back only. Positions count these kept frames, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.code import code_version
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.core.store import Store, digest, file_digest
from vadkit.core.video import Decoded, Frames, read_frames
from vadkit.corpora.video import Problem, Video
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, flow, gray, resized
from vadkit.views.objects import BagCounter, detector_key
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import PURPOSES, stride_frames
from vadkit.views.view import Pairs, View, extract_views, write_facts

CLIP_STREAMS = ("rgb", "flow")
BAGS = "bags"  # kept beside them where asked for: the objects of every kept frame
FULL_SCALE = 20.0  # pixels at 320x240: displacements are cut there, as the networks' flow is
ZERO = 128  # the value of no displacement in a stored flow


@dataclass(frozen=True, eq=False)
class Clips(View):
    """The clips of one video.

    index is the frame number that a clip is a sample of: the last frame's own for training clips, or the last of a hard
    anomaly between two kept frames; for scoring clips the analysed frame. ends: (n,) position of each clip's last
    frame; every: analysed frames that share a clip. In images of "flow", channels 0 and 1 hold the displacement from
    the clip frame before, ZERO for none, 127 steps for FULL_SCALE. A clip that would start before the video repeats its
    first frame (our reading).
    """

    ends: np.ndarray
    clip_frames: int
    folders: Mapping[str, Path] = field(repr=False)  # by stream
    every: int = 1

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(stream for stream in self.folders if stream != BAGS)

    @property
    def shown(self) -> np.ndarray:
        return self.ends

    @property
    def bags(self) -> np.ndarray:
        """The bags of each clip's frames where they were extracted. Shape: -> (n, T, 80), else (n, 0), float32."""
        if BAGS not in self.folders:
            return np.zeros((len(self), 0), np.float32)
        return np.load(self.folders[BAGS] / "bags.npy")[positions_of(self.ends, self.clip_frames)]

    def _read(self, stream: str, rows: np.ndarray) -> np.ndarray:
        positions = positions_of(self.ends[rows], self.clip_frames)
        wanted, where = np.unique(positions, return_inverse=True)
        return read_pictures(self.folders[stream] / "pictures.bin", wanted)[where.reshape(positions.shape)]

    def _planned(self, purpose: str, config: Config) -> tuple[Pairs, Pairs]:
        return (self.ends, self.index), plan_clips(self.video, self.frames, self.fps, config, purpose, self.every)


def positions_of(ends: np.ndarray, clip_frames: int) -> np.ndarray:
    """Positions of each clip's frames, the first repeated where a clip starts before it. Shape: (n,) -> (n, T)."""
    return np.maximum(np.asarray(ends)[:, None] + np.arange(1 - clip_frames, 1), 0)


def filled(held: Sequence, count: int) -> list:
    """A clip's frames, the first repeated before them until they are `count`, where it starts before the video does."""
    return [held[0]] * (count - len(held)) + list(held)


def plan_clips(video: Video, frames: int, fps: float, config: Config, purpose: str, every: int = 1) -> Pairs:
    """The clips to cut: (position of the last frame, the video's frame number that it is a sample of).

    Shape: -> (n,) int64 and (n,) int64, ordered. "train": within each span of one label, clips that lie inside it, a
    new one every config.clip_shift_anomalous positions in hard anomalies and every config.clip_shift_normal elsewhere,
    so that the accumulation restarts where the label changes (released code; that the shift goes by the label and not
    by the video is the text's section 4.5). A span shorter than a clip gives one that ends with it, and a hard anomaly
    between two kept frames, counting for its last frame, the clip of the kept frame before, as where it is scored: no
    hard span is left out (our reading). "score": every analysed frame, by the clip that ends there or at the last kept
    frame before (section 5.1: the decision is on the last frame); with `every` above 1 that clip stands for the
    analysed frames up to the next such one. "both": the union. Raises ValueError for another purpose.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)}, got '{purpose}'")
    stride = stride_frames(fps, config.clip_fps)
    pairs: set[tuple[int, int]] = set()
    if purpose in ("score", "both"):
        analysed = np.arange(0, frames, stride_frames(fps, config.analysis_fps))
        looked = analysed[np.arange(len(analysed)) // every * every]
        pairs.update(zip((looked // stride).tolist(), analysed.tolist(), strict=True))
    if purpose in ("train", "both"):
        pairs.update(_training_pairs(video.frame_labels(frames), stride, config))
    table = np.array(sorted(pairs, key=lambda pair: (pair[1], pair[0])), np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def _training_pairs(labels: np.ndarray, stride: int, config: Config) -> list[tuple[int, int]]:
    """(position of the last frame, frame number) of each training clip.

    labels: of all frames, for a span may lie between two kept ones.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=2))  # 2: the first frame always starts a span
    pairs: list[tuple[int, int]] = []
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(labels)], strict=True):
        first, end = -(-start // stride), -(-stop // stride)  # the kept frames in the span
        shift = config.clip_shift_anomalous if labels[start] else config.clip_shift_normal
        if first < end:
            ends = range(first + config.clip_frames - 1, end, shift) if end - first >= config.clip_frames else [end - 1]
            pairs += [(one, one * stride) for one in ends]
        elif labels[start]:
            pairs.append((end - 1, stop - 1))
    return pairs


def extract_clips(
    videos: Sequence[Video],
    config: Config,
    size: int,
    streams: Sequence[str],
    progress: Progress | None = None,
    purpose: str = "score",
    every: int = 1,
) -> tuple[list[Clips], list[Problem]]:
    """Clips of many videos, their frames kept in the cache, and what was wrong with them; see `view.extract_views`.

    size: side of the images in pixels; streams: of CLIP_STREAMS, and BAGS; purpose, every: as for `plan_clips`.
    """

    def entries_of(n: int) -> list:
        video = videos[n]
        builds = {stream: partial(_build, video, stream, size, config) for stream in CLIP_STREAMS}
        builds[BAGS] = partial(_build_bags, video, config)
        return [(_key(video, stream, size, config), builds[stream]) for stream in streams]

    def clips_of(_: int, video: Video, facts: dict, folders: list[Path]) -> Clips:
        frames, fps = facts["frames"], facts["fps"]
        ends, index = plan_clips(video, frames, fps, config, purpose, every)
        of = dict(zip(streams, folders, strict=True))
        name = digest([config.clip_frames, {stream: folder.name for stream, folder in of.items()}, ends.tolist()])
        labels = video.frame_labels(frames)[index]
        return Clips(video, frames, fps, index, labels, name, ends, config.clip_frames, of, every)

    return extract_views("clips", videos, entries_of, clips_of, config, progress)


def motion_since(before: np.ndarray | None, now: np.ndarray, method: str) -> np.ndarray:
    """Displacement since the kept frame before, zero for the first. Shape: grey (240, 320) uint8 -> (240, 320, 2)."""
    return np.zeros((*now.shape, 2), np.float32) if before is None else flow(before, now, method)


def clip_picture(stream: str, frame: np.ndarray, displacement: np.ndarray | None, size: int) -> np.ndarray:
    """One kept frame as a clip shows it. Shape: (H, W, 3) uint8 BGR, (240, 320, 2) -> (size, size, 3) uint8.

    stream "rgb": the whole frame, resized; "flow": the displacement since the kept frame before (`motion_since`).
    """
    if stream == "rgb":
        return resized(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), size, size)
    return flow_picture(displacement, size)


def flow_picture(displacement: np.ndarray, size: int) -> np.ndarray:
    """Displacements as an image: ZERO for none, 127 steps for FULL_SCALE, cut there.

    Shape: (H, W, 2) -> (size, size, 3) uint8, the third channel ZERO.
    """
    image = np.full((*displacement.shape[:2], 3), ZERO, np.uint8)
    image[..., :2] = np.rint(np.clip(displacement / FULL_SCALE, -1, 1) * 127 + ZERO).astype(np.uint8)
    return resized(image, size, size)


def _key(video: Video, stream: str, size: int, config: Config) -> dict:
    key = {"video": file_digest(video.path), "stream": stream, "clip_fps": config.clip_fps}
    key |= {"opencv": cv2.__version__, "code": code_version(__name__)}
    if stream == BAGS:
        return {**key, "detector": detector_key(config)}
    if stream == "flow":
        key |= {"flow": config.clip_flow_method, "at": [FLOW_WIDTH, FLOW_HEIGHT]}
    return {**key, "size": size}


@contextmanager
def kept_frames(video: Video, config: Config) -> Iterator[Frames]:
    """An open video, of which the kept frames are read."""
    with closing(read_frames(video.path, lambda number: number % stride == 0)) as frames:
        stride = stride_frames(frames.probe.fps, config.clip_fps)
        yield frames


def _build(video: Video, stream: str, size: int, config: Config, folder: Path) -> None:
    """One pass over a video."""
    with kept_frames(video, config) as frames, PictureWriter(folder / "pictures.bin") as file:
        before = moved = None
        for _, frame in frames:
            if stream == "flow":
                now = gray(frame)
                before, moved = now, motion_since(before, now, config.clip_flow_method)
            file.append(clip_picture(stream, frame, moved, size))
    write_facts(folder, frames.decoded)


def _build_bags(video: Video, config: Config, folder: Path) -> None:
    """The objects of every kept frame: bags.npy, (kept frames, 80) float32."""
    counter = BagCounter(config)
    with kept_frames(video, config) as frames:
        for _, frame in frames:
            counter.add(frame)
    np.save(folder / "bags.npy", counter.bags())
    write_facts(folder, frames.decoded)


class WholeFrames:
    """While tubes are cut, also caches the whole-frame streams that are missing, so that a video is decoded once.

    scratch: a folder on the cache's disk. `see` every kept frame in order, then `keep`; the entries are those of
    `extract_clips`.
    """

    def __init__(self, video: Video, size: int, config: Config, scratch: Path):
        self._store, self._size = Store(config.cache_dir), size
        keys = {stream: _key(video, stream, size, config) for stream in CLIP_STREAMS}
        self._keys = {stream: key for stream, key in keys.items() if not self._store.has("clips", key)}
        self._files = {stream: PictureWriter(scratch / f"whole-{stream}.bin") for stream in self._keys}

    def see(self, frame: np.ndarray, displacement: np.ndarray) -> None:
        """frame: (H, W, 3) uint8 BGR; displacement: (240, 320, 2) since the kept frame before, zero for the first."""
        for stream, file in self._files.items():
            file.append(clip_picture(stream, frame, displacement, self._size))

    def keep(self, found: Decoded) -> None:
        for stream, file in self._files.items():
            file.close()
            self._store.fetch("clips", self._keys[stream], partial(self._move, file, found))
            file.remove()  # where another process was faster

    @staticmethod
    def _move(file: PictureWriter, found: Decoded, folder: Path) -> None:
        file.move(folder / "pictures.bin")
        write_facts(folder, found)
