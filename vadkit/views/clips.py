"""Clips for 3D networks: sixteen frames, a quarter of a video's 30 a second, cut along the video (section 4.5).

A video's frames are kept at `config.clip_fps`, small; a clip is a run of them, named by its last one, on which the
decision is taken. Positions count these kept frames, from 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.clock import Clock
from vadkit.core.config import Config
from vadkit.core.digests import digest
from vadkit.core.store import Store
from vadkit.core.video import Decoded, Frames, read_frames
from vadkit.corpora.video import Seen, Video
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, flow, gray, resized
from vadkit.views.objects import BagCounter, detector_key
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import PURPOSES, columns, labels_at, spans_of, stride_frames
from vadkit.views.view import Pairs, PlannedView, by_the_clock, extract_views, made_of, write_facts

CLIP_STREAMS = ("rgb", "flow")
BAGS = "bags"  # kept beside them where asked for: the objects of every kept frame
FULL_SCALE = 20.0  # pixels at 320x240: displacements are cut there, as the networks' flow is
ZERO = 128  # the value of no displacement in a stored flow


@dataclass(frozen=True, eq=False)
class Clips(PlannedView):
    """The clips of one video.

    index and ends: (n,) each, the frame number that a clip is a sample of and the position of its last frame, see
    `plan_clips`; every: analysed frames that share a clip. Images of "flow" are those of `flow_picture`. A clip that
    would start before the video repeats its first frame (our reading).
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
        return (self.ends, self.index), plan_clips(
            self.video, self.frames, self.fps, config, purpose, self.every, self.times
        )


def positions_of(ends: np.ndarray, clip_frames: int) -> np.ndarray:
    """Positions of each clip's frames, the first repeated where a clip starts before it. Shape: (n,) -> (n, T)."""
    return np.maximum(np.asarray(ends)[:, None] + np.arange(1 - clip_frames, 1), 0)


def filled(held: Sequence, count: int) -> list:
    """A clip's frames, the first repeated before them until they are `count`, where it starts before the video does."""
    return [held[0]] * (count - len(held)) + list(held)


def plan_clips(
    video: Video, frames: int, fps: float, config: Config, purpose: str, every: int = 1, times=None
) -> Pairs:
    """The clips to cut: (position of the last frame, the video's frame number that it is a sample of).

    Shape: -> (n,) int64 twice, ordered. "train": clips that lie inside a span of one label (as released), a new one
    every config.clip_shift_anomalous positions in hard anomalies and config.clip_shift_normal elsewhere (by label,
    section 4.5). A span shorter than a clip gives one that ends with it, and a hard anomaly between two kept frames,
    counting for its last frame, the clip of the kept frame before: no hard span is left out (our reading). "score":
    every analysed frame, by the clip that ends there or at the last kept frame before (section 5.1: the decision is on
    the last frame); with `every` above 1 it stands for the analysed frames up to the next such one. "both": the union.
    times: as for `sampling.plan`: positions count every stride-th tick. Raises ValueError for another purpose.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)}, got '{purpose}'")
    stride, shown = stride_frames(fps, config.clip_fps), Clock(fps, times).shown(frames)
    pairs: set[tuple[int, int]] = set()
    if purpose != "train":
        analysed = np.arange(0, len(shown), stride_frames(fps, config.analysis_fps))
        looked = analysed[np.arange(len(analysed)) // every * every]
        once = np.unique(shown[analysed], return_index=True)[1]
        pairs.update(zip((looked[once] // stride).tolist(), analysed[once].tolist(), strict=True))
    for start, stop, label in spans_of(labels_at(video, shown)) if purpose != "score" else ():
        first, end = -(-start // stride), -(-stop // stride)  # the kept frames in the span
        shift = config.clip_shift_anomalous if label else config.clip_shift_normal
        if first < end:
            ends = range(min(first + config.clip_frames, end) - 1, end, shift)
            pairs.update((one, one * stride) for one in ends)
        elif label:
            pairs.add((end - 1, stop - 1))
    ends, index = columns(pairs, by=1)
    return ends, shown[index]


def extract_clips(
    videos: Sequence[Video], config: Config, size: int, streams: Sequence[str], progress=None, purpose="score", every=1
) -> Seen:
    """Clips of many videos, their frames kept in the cache, and what was wrong with them; see `view.extract_views`.

    size: side of the images in pixels; streams: of CLIP_STREAMS, and BAGS; progress: a `Progress`; purpose, every: as
    for `plan_clips`.
    """

    def entries_of(n: int) -> list:
        tasks = [(videos[n], stream, size, config) for stream in streams]
        return [(_key(*task), partial(_build, *task)) for task in tasks]

    def clips_of(_: int, video: Video, facts: dict, folders: list[Path]) -> Clips:
        frames, fps = facts["frames"], facts["fps"]
        ends, index = plan_clips(video, frames, fps, config, purpose, every, facts["times"])
        of = dict(zip(streams, folders, strict=True))
        name = digest([config.clip_frames, {stream: folder.name for stream, folder in of.items()}, ends.tolist()])
        labels = video.frame_labels(frames)[index]
        common = (video, frames, fps, index, labels, name)
        return Clips(*common, ends, config.clip_frames, of, every, times=facts["times"])

    return extract_views("clips", videos, entries_of, clips_of, config, progress)


def motion_since(before: np.ndarray | None, now: np.ndarray, method: str) -> np.ndarray:
    """Displacement since the kept frame before, zero for the first. Shape: grey (240, 320) uint8 -> (240, 320, 2)."""
    return np.zeros((*now.shape, 2), np.float32) if before is None else flow(before, now, method)


def clip_picture(stream: str, frame: np.ndarray, displacement: np.ndarray | None, size: int) -> np.ndarray:
    """One kept frame as a clip shows it. Shape: (H, W, 3) uint8 BGR, (240, 320, 2) -> (size, size, 3) uint8. stream
    "rgb": the whole frame, resized; "flow": the displacement since the kept frame before (`motion_since`)."""
    if stream == "rgb":
        return resized(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), size, size)
    return flow_picture(displacement, size)


def flow_picture(displacement: np.ndarray, size: int) -> np.ndarray:
    """Displacements (H, W, 2) as an image (size, size, 3) uint8: ZERO for none, 127 steps for FULL_SCALE, cut there."""
    image = np.full((*displacement.shape[:2], 3), ZERO, np.uint8)
    image[..., :2] = np.rint(np.clip(displacement / FULL_SCALE, -1, 1) * 127 + ZERO).astype(np.uint8)
    return resized(image, size, size)


def _key(video: Video, stream: str, size: int, config: Config) -> dict:
    key = {**made_of(video, __name__, config), "stream": stream, "clip_fps": config.clip_fps}
    if stream == BAGS:
        return {**key, "detector": detector_key(config)}
    if stream == "flow":
        key |= {"flow": config.clip_flow_method, "at": [FLOW_WIDTH, FLOW_HEIGHT]}
    return {**key, "size": size}


@contextmanager
def kept_frames(video: Video, config: Config, clock: Clock | None) -> Iterator[tuple[Frames, Iterator[np.ndarray]]]:
    """An open video, and its kept frames: one that stands for several kept ticks comes as often."""

    def kept(number: int) -> int:
        return sum(tick % stride == 0 for tick in clock.stands_for(number))

    with closing(read_frames(video.path, kept, config.picture_fps, even=clock is None)) as frames:
        clock = clock or Clock(frames.probe.fps)
        stride = stride_frames(clock.fps, config.clip_fps)
        yield frames, (image for number, image in frames for _ in range(kept(number)))


def _build(video: Video, stream: str, size: int, config: Config, folder: Path) -> None:
    """One pass over a video: pictures.bin, or bags.npy with the objects of every kept frame, (kept, 80) float32."""
    write_facts(folder, by_the_clock(video, config, partial(_pass, video, stream, size, config, folder)))


def _pass(video: Video, stream: str, size: int, config: Config, folder: Path, clock: Clock | None) -> Decoded:
    with kept_frames(video, config, clock) as (read, frames):
        if stream == BAGS:
            counter = BagCounter(config)
            for frame in frames:
                counter.add(frame)
            np.save(folder / "bags.npy", counter.bags())
        else:
            before = moved = None
            with PictureWriter(folder / "pictures.bin") as file:
                for frame in frames:
                    if stream == "flow":
                        now = gray(frame)
                        before, moved = now, motion_since(before, now, config.clip_flow_method)
                    file.append(clip_picture(stream, frame, moved, size))
    return read.decoded


class WholeFrames:
    """While tubes are cut, caches missing whole-frame entries of `extract_clips`, so that a video is decoded once.
    scratch: a folder on the cache's disk. `see` every kept frame in order, then `keep`."""

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
            parts = [file.path.with_suffix(suffix) for suffix in (".bin", ".npy")]

            def move(folder: Path, parts: list[Path] = parts) -> None:
                for part in parts:
                    part.rename(folder / f"pictures{part.suffix}")
                write_facts(folder, found)

            self._store.fetch("clips", self._keys[stream], move)
            for part in parts:  # where another process was faster
                part.unlink(missing_ok=True)
