"""Clips for 3D networks: sixteen frames, a quarter of a video's 30 a second, cut along the video (section 4.5).

A video's frames are kept at `config.clip_fps`, small; a clip is a run of them, named by its last one, for a decision that is
taken on the last frame looks back only. Positions count these kept frames, from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.code import code_version
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.core.store import Store, digest, file_digest
from vadkit.core.video import Decoded, read_frames
from vadkit.corpora.video import Problem, Video
from vadkit.views.extract import absent, load_entries, make_entries, open_entry
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, flow, gray, resized
from vadkit.views.objects import Detector, detector_key
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import stride_frames

CLIP_STREAMS = ("rgb", "flow")
BAGS = "bags"  # kept beside them where asked for: the objects of every kept frame
DETECTOR_BATCH = 8  # frames handed to the detector at once
FULL_SCALE = 20.0  # pixels at 320x240: displacements are cut there, as the networks' flow is
ZERO = 128  # the value of no displacement in a stored flow


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips of one video.

    ends: (n,) position of each clip's last frame; index: (n,) the video's frame number that the clip is a sample of, rising: the last
    frame's own for training clips, or the last of a hard anomaly between two kept frames, the analysed frame for scoring ones; labels: (n,) uint8 of that frame.
    """

    video: Video
    frames: int
    fps: float
    index: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    clip_frames: int
    digest: str
    folders: Mapping[str, Path] = field(repr=False)
    every: int = 1  # analysed frames that share a clip

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shown(self) -> np.ndarray:
        """(n,) whole numbers, the same for rows that show the same clip."""
        return self.ends

    @property
    def bags(self) -> np.ndarray:
        """The bags of each clip's frames where they were extracted, else of width 0. Shape: -> (n, T, 80) or (n, 0), float32."""
        return (
            self._counts[positions_of(self.ends, self.clip_frames)]
            if BAGS in self.folders
            else np.zeros((len(self), 0), np.float32)
        )

    def images(self, stream: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Clips of the given rows, in their order. Shape: (k, T, S, S, 3) uint8.

        stream: "rgb", or "flow": channels 0 and 1 hold the displacement from the clip frame before, ZERO for none, 127 steps for
        FULL_SCALE. A clip that would start before the video repeats its first frame (our reading). Raises ValueError for a
        stream that was not extracted or no rows, IndexError for a row out of range, DataError for a damaged entry.
        """
        if stream not in self._offsets:
            raise ValueError(f"stream must be one of {', '.join(self._offsets)}, got '{stream}'")
        rows = np.asarray(rows)
        if len(rows) == 0:
            raise ValueError("no rows were asked for; an image array needs at least one")
        if rows.min() < 0 or rows.max() >= len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.video.name}, which has {len(self)}")
        positions = positions_of(self.ends[rows], self.clip_frames)
        wanted, where = np.unique(positions, return_inverse=True)
        return read_pictures(self.folders[stream] / "pictures.bin", self._offsets[stream], wanted)[
            where.reshape(positions.shape)
        ]

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training or for scoring, rising. hard_only leaves out the clips of anomalous videos that end in no hard anomaly.

        Raises ValueError where the clips were cut for another purpose or other rates.
        """
        ends, index = plan_clips(self.video, self.frames, self.fps, config, purpose, self.every)
        where = {pair: row for row, pair in enumerate(zip(self.ends.tolist(), self.index.tolist(), strict=True))}
        try:
            rows = np.array([where[pair] for pair in zip(ends.tolist(), index.tolist(), strict=True)], np.int64)
        except KeyError:
            raise ValueError(
                f"{self.video.name}: its clips were not cut for '{purpose}'; extract with purpose '{purpose}' or 'both' and the same clip_fps, clip_shift_* and analysis_fps"
            ) from None
        if purpose == "train" and hard_only and self.video.label:
            rows = rows[self.labels[rows] == 1]
        return rows

    @cached_property
    def _offsets(self) -> dict[str, np.ndarray]:
        return {stream: np.load(folder / "offsets.npy") for stream, folder in self.folders.items() if stream != BAGS}

    @cached_property
    def _counts(self) -> np.ndarray:
        """(kept frames, 80)."""
        return np.load(self.folders[BAGS] / "bags.npy")


def positions_of(ends: np.ndarray, clip_frames: int) -> np.ndarray:
    """The positions of each clip's frames, the first frame repeated where a clip starts before it. Shape: (n,) -> (n, T)."""
    return np.maximum(np.asarray(ends)[:, None] + np.arange(1 - clip_frames, 1), 0)


def plan_clips(
    video: Video, frames: int, fps: float, config: Config, purpose: str, every: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The clips to cut: (position of the last frame, the video's frame number that it is a sample of).

    Shape: -> (n,) int64 and (n,) int64, ordered. "train": within each span of one label, clips that lie inside it, a new one every
    config.clip_shift_anomalous positions in hard anomalies and every config.clip_shift_normal elsewhere, so that the
    accumulation restarts where the label changes (released code; that the shift goes by the label and not by the video is the text's
    section 4.5). A span shorter than a clip gives one that ends with it, and a hard anomaly between two kept frames, counting for its last
    frame, the clip of the kept frame before, as where it is scored: no hard span is left out (our reading).
    "score": every analysed frame, by the clip that ends there or at the last kept frame before (section 5.1: the decision is on the
    last frame); with `every` above 1 that clip stands for the analysed frames up to the next such one. "both": the union. Raises ValueError for another purpose.
    """
    if purpose not in ("train", "score", "both"):
        raise ValueError(f"purpose must be one of train, score, both, got '{purpose}'")
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
    """(position of the last frame, frame number) of each training clip. labels: of all frames, for a span may lie between two kept ones."""
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
    """Clips of many videos, their frames kept in the cache, computed in config.workers processes where they are missing.

    size: side of the images in pixels; streams: of CLIP_STREAMS, and BAGS. A video that cannot be used is left out and named in the problems, or
    raises DataError where config.strict. every: as for `plan_clips`. progress: progress(done, total, name), over videos and streams.
    """
    store = Store(config.cache_dir)
    wrong = absent(videos)
    keys = {
        (n, stream): _key(v, stream, size, config) for n, v in enumerate(videos) if n not in wrong for stream in streams
    }
    missing = [
        (n, key, partial(_build_bags if stream == BAGS else _build, videos[n], stream, size, config))
        for (n, stream), key in keys.items()
        if not store.has("clips", key)
    ]
    done = len(keys) - len(missing)
    for position, error in make_entries("clips", missing, config.cache_dir, config.workers):
        if error is not None:
            wrong.setdefault(position, error)
        done += 1
        if progress is not None:
            progress(done, len(keys), f"clips of {videos[position].name}")
    return load_entries(
        videos,
        wrong,
        lambda n: _load(
            videos[n], {stream: store.path("clips", keys[n, stream]) for stream in streams}, config, purpose, every
        ),
        config.strict,
    )


def clip_picture(
    stream: str,
    frame: np.ndarray,
    previous_gray: np.ndarray | None,
    now_gray: np.ndarray | None,
    size: int,
    method: str,
) -> np.ndarray:
    """One kept frame as a clip shows it. Shape: (H, W, 3) uint8 BGR, grey (240, 320) uint8 twice -> (size, size, 3) uint8.

    stream "rgb": the whole frame, resized; "flow": the displacement since the kept frame before, zero for the first.
    """
    if stream == "rgb":
        return resized(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), size, size)
    if previous_gray is None:
        return np.full((size, size, 3), ZERO, np.uint8)
    return flow_picture(flow(previous_gray, now_gray, method), size)


def flow_picture(displacement: np.ndarray, size: int) -> np.ndarray:
    """Displacements as an image: ZERO for none, 127 steps for FULL_SCALE, cut there. Shape: (H, W, 2) -> (size, size, 3) uint8, the third channel ZERO."""
    image = np.full((*displacement.shape[:2], 3), ZERO, np.uint8)
    image[..., :2] = np.rint(np.clip(displacement / FULL_SCALE, -1, 1) * 127 + ZERO).astype(np.uint8)
    return resized(image, size, size)


def _key(video: Video, stream: str, size: int, config: Config) -> dict:
    code = code_version(__name__)
    key = {
        "video": file_digest(video.path),
        "stream": stream,
        "clip_fps": config.clip_fps,
        "opencv": cv2.__version__,
        "code": code,
    }
    if stream == BAGS:
        return {**key, "detector": detector_key(config)}
    key["size"] = size
    return {**key, "flow": config.clip_flow_method, "at": [FLOW_WIDTH, FLOW_HEIGHT]} if stream == "flow" else key


def _build(video: Video, stream: str, size: int, config: Config, folder: Path) -> None:
    """One pass over a video."""
    with (
        closing(read_frames(video.path, lambda number: number % stride == 0)) as frames,
        PictureWriter(folder / "pictures.bin") as file,
    ):
        stride = stride_frames(frames.probe.fps, config.clip_fps)
        before = None
        for _, frame in frames:
            now = gray(frame) if stream == "flow" else None
            file.append(clip_picture(stream, frame, before, now, size, config.clip_flow_method))
            before = now
        found = frames.decoded
    np.save(folder / "offsets.npy", np.array(file.offsets, np.int64))
    _write_facts(folder, found)


class ByTheWay:
    """Keeps the whole frames' streams that are missing while another pass goes over a video's kept frames: one decoding, one flow.

    scratch: a folder on the cache's disk. `see` every kept frame in order, then `keep`; the entries are those of `extract_clips`.
    """

    def __init__(self, video: Video, size: int, streams: Sequence[str], config: Config, scratch: Path):
        self._store, self._size = Store(config.cache_dir), size
        keys = {stream: _key(video, stream, size, config) for stream in streams}
        self._keys = {stream: key for stream, key in keys.items() if not self._store.has("clips", key)}
        self._paths = {stream: scratch / f"whole-{stream}.bin" for stream in self._keys}
        self._files = {stream: PictureWriter(path) for stream, path in self._paths.items()}

    def see(self, frame: np.ndarray, displacement: np.ndarray) -> None:
        """frame: (H, W, 3) uint8 BGR; displacement: (240, 320, 2) since the kept frame before, zero for the first."""
        for stream, file in self._files.items():
            file.append(
                clip_picture("rgb", frame, None, None, self._size, "")
                if stream == "rgb"
                else flow_picture(displacement, self._size)
            )

    def keep(self, found: Decoded) -> None:
        for stream, file in self._files.items():
            file.__exit__()
            self._store.fetch(
                "clips",
                self._keys[stream],
                lambda folder, stream=stream, file=file: self._move(stream, file, found, folder),
            )
            self._paths[stream].unlink(missing_ok=True)  # where another process was faster

    def _move(self, stream: str, file: PictureWriter, found: Decoded, folder: Path) -> None:
        self._paths[stream].rename(folder / "pictures.bin")
        np.save(folder / "offsets.npy", np.array(file.offsets, np.int64))
        _write_facts(folder, found)


def _build_bags(video: Video, stream: str, size: int, config: Config, folder: Path) -> None:
    """The objects of every kept frame: bags.npy, (kept frames, 80) float32."""
    detector, queue, counts = _detector(config), [], []
    with closing(read_frames(video.path, lambda number: number % stride == 0)) as frames:
        stride = stride_frames(frames.probe.fps, config.clip_fps)
        for _, frame in frames:
            queue.append(frame)
            if len(queue) == DETECTOR_BATCH:
                counts.append(detector.bags(queue))
                queue = []
        found = frames.decoded
    if queue:
        counts.append(detector.bags(queue))
    np.save(folder / "bags.npy", np.concatenate(counts))
    _write_facts(folder, found)


def _write_facts(folder: Path, found: Decoded) -> None:
    (folder / "facts.json").write_text(
        json.dumps({"frames": found.frames, "fps": found.fps, "notes": list(found.notes)}, indent=1)
    )


_DETECTORS: dict[str, Detector] = {}  # at most one: this process' detector, loaded once


def _detector(config: Config) -> Detector:
    name = digest([detector_key(config), config.workers > 1])
    if name not in _DETECTORS:
        _DETECTORS.clear()
        _DETECTORS[name] = Detector(config, threads=1 if config.workers > 1 else None)
    return _DETECTORS[name]


def _load(
    video: Video, folders: dict[str, Path], config: Config, purpose: str, every: int
) -> tuple[Clips, list[Problem]]:
    """A finished entry. Raises DataError where annotation and video do not belong together."""
    video, facts, problems = open_entry(video, next(iter(folders.values())), config.annotation_slack_frames)
    ends, index = plan_clips(video, facts["frames"], facts["fps"], config, purpose, every)
    labels = video.frame_labels(facts["frames"])[index]
    name = digest([config.clip_frames, {stream: folder.name for stream, folder in folders.items()}, ends.tolist()])
    return Clips(
        video, facts["frames"], facts["fps"], index, ends, labels, config.clip_frames, name, folders, every
    ), problems
