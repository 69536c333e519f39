"""From videos to samples: one pass over a video gives frames, flow images and bags of objects, cached.

Which frames is `vadkit.views.sampling`'s answer. Images are read lazily from the cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vadkit.core.code import code_version
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.store import Store, digest, file_digest
from vadkit.core.video import read_frames
from vadkit.corpora.video import Problem, Video
from vadkit.views.extract import absent, load_entries, make_entries, open_entry
from vadkit.views.objects import COCO_CLASSES, Detector, detector_key
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import PURPOSES, Walk, plan
from vadkit.views.streams import STREAMS, Streams, stream_names

if TYPE_CHECKING:
    from vadkit.core.config import Config


DETECTOR_BATCH = 8  # frames handed to the detector at once


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one video.

    index: (n,) frame numbers, rising (unique; only with flow_pair "sampled" and both purposes a frame comes
    twice, where its two plans pair it with different frames); flow_from: (n,) the earlier frame of each flow, the
    frame itself where there is none (frame 0: its flow image is black); bags: (n, 80) float32 counts, NaN where
    detector_weights is "none"; labels: (n,) uint8, 1 in hard anomalies; frames: how many decoded.
    """

    video: Video
    frames: int
    fps: float
    index: np.ndarray
    flow_from: np.ndarray
    bags: np.ndarray
    labels: np.ndarray
    digest: str
    folder: Path = field(repr=False)

    def __len__(self) -> int:
        return len(self.index)

    def images(self, stream: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images of the given rows, in their order, read from the cache. Shape: (k, S, S, 3) uint8 RGB.

        stream: "frame", "flow", or "speed" where speed_stream was set. Raises ValueError for another stream or no
        rows, IndexError for a row out of range, DataError where the cache entry is damaged.
        """
        if stream not in self._offsets:
            raise ValueError(
                f"stream must be one of {', '.join(self._offsets)} (speed_stream adds 'speed'), got '{stream}'"
            )
        rows = np.asarray(rows)
        wrong = [row for row in rows.tolist() if not 0 <= row < len(self)]
        if wrong:
            raise IndexError(f"row {wrong[0]} of {self.video.name}, which has {len(self)}")
        return read_pictures(self.folder / f"{stream}.bin", self._offsets[stream], rows)

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training or for scoring. Shape: (k,) int64, rising.

        purpose: "train", frames at config.training_fps (hard_only leaves out the frames of anomalous videos
        that are no hard anomaly, paper 3.4), or "score", the grid at config.analysis_fps over the whole video, which
        hard_only does not touch. Raises ValueError where these samples were extracted for another purpose or rates.
        """
        if purpose not in ("train", "score"):
            raise ValueError(f"purpose must be 'train' or 'score', got '{purpose}'")
        index, flow_from = plan(self.video, self.frames, self.fps, config, purpose)
        where = {pair: row for row, pair in enumerate(zip(self.index.tolist(), self.flow_from.tolist(), strict=True))}
        try:
            rows = np.array([where[pair] for pair in zip(index.tolist(), flow_from.tolist(), strict=True)], np.int64)
        except KeyError as error:
            frame, pair = error.args[0]
            raise ValueError(
                f"{self.video.name}: frame {frame} (flow from {pair}) is wanted for '{purpose}' but was not extracted; "
                f"extract with purpose '{purpose}' or 'both', and with the same sampling, analysis_fps and flow_pair"
            ) from None
        if purpose == "train" and hard_only and self.video.label:
            rows = rows[self.labels[rows] == 1]
        return rows

    @cached_property
    def _offsets(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "rows.npz") as arrays:
            return {stream: arrays[f"{stream}_offsets"] for stream in STREAMS if f"{stream}_offsets" in arrays}


def extract(
    videos: Sequence[Video], config: Config, progress: Progress | None = None, purpose: str | None = None
) -> tuple[list[Samples], list[Problem]]:
    """Samples of many videos, computed in config.workers processes where the cache lacks them.

    purpose: "train", "score" or "both"; None takes what a video's split needs: "train" for training videos, "both" for
    those of a cross-validation ("all"), "score" for the rest. One pass over a video serves every row. A video
    that cannot be used is left out and named in the problems, or raises DataError where config.strict; oddities
    that were lived with are problems too (left_out False). progress: progress(videos done, videos, name).
    """
    if progress is not None and videos:
        progress(0, len(videos), "looking for samples in the cache")
    store = Store(config.cache_dir)
    if purpose is not None and purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)} or None, got '{purpose}'")
    purposes = [purpose or _purpose_of(video) for video in videos]
    wrong = absent(videos)
    keys = {n: _key(video, config, purposes[n]) for n, video in enumerate(videos) if n not in wrong}
    missing = [n for n, key in keys.items() if not store.has("samples", key)]
    done = len(videos) - len(missing)
    if progress is not None and done:
        progress(done, len(videos), "samples in the cache")
    workers = min(config.workers, len(missing))
    entries = [(n, keys[n], partial(_build, videos[n], purposes[n], config, workers)) for n in missing]
    for position, error in make_entries("samples", entries, config.cache_dir, workers):
        if error is not None:
            wrong[position] = error
            if config.strict:
                raise DataError(error)
        done += 1
        if progress is not None:
            progress(done, len(videos), videos[position].name)
    return load_entries(
        videos,
        wrong,
        lambda n: _load(videos[n], store.path("samples", keys[n]), digest(keys[n]), config.annotation_slack_frames),
        config.strict,
    )


def _purpose_of(video: Video) -> str:
    return {"train": "train", "all": "both"}.get(video.split, "score")


def _key(video: Video, config: Config, purpose: str) -> dict:
    """Everything that a video's samples depend on and nothing else, for each change costs a pass over the video.

    The annotation matters to training rows only; labels are looked up when samples are loaded.
    """
    training = purpose in ("train", "both")
    key = {
        "video": file_digest(video.path),
        "purpose": purpose,
        "image_size": config.image_size,
        "flow": [config.flow_method, config.flow_pair, config.flow_scale],
        "detector": detector_key(config),
        "opencv": cv2.__version__,
        "code": code_version(__name__),
    }
    if config.frame_window or config.speed_stream:
        key["window"] = [config.frame_window, config.speed_stream]
    if config.flow_scale == "fixed" or "window" in key:
        key["flow_full_scale"] = config.flow_full_scale
    if config.flow_pair == "gap":
        key["flow_gap_seconds"] = config.flow_gap_seconds
    if purpose != "train" or config.flow_pair == "grid":
        key["analysis_fps"] = config.analysis_fps
    if training:
        key["training_fps"] = list(config.training_fps)
        key["intervals"] = None if video.intervals is None else [list(span) for span in video.intervals]
        key["label"] = video.label if video.intervals is None else None
    return key


def _build(video: Video, purpose: str, config: Config, workers: int, folder: Path) -> None:
    """One pass over a video: write its images, and the arrays and facts beside them."""
    detector = None if config.detector_weights == "none" else _detector(config, workers)
    bags, queue = [], []
    with ExitStack() as stack:
        frames = read_frames(video.path, lambda number: walk.wants(number))
        stack.callback(frames.close)
        files = {
            stream: stack.enter_context(PictureWriter(folder / f"{stream}.bin")) for stream in stream_names(config)
        }
        walk = Walk(video, frames.probe.fps, config, purpose, frames.probe.frames)
        streams = Streams(config, frames.probe.fps)
        for number, frame in frames:
            streams.see(number, frame)
            for start in walk.flows_to(number):
                for stream, image in streams.images(number, start, frame).items():
                    files[stream].append(image)
                if detector is not None:
                    queue.append(frame)
            streams.forget(lambda seen, now=number: walk.last_use(seen) > now)
            if len(queue) >= DETECTOR_BATCH:
                bags.append(detector.bags(queue))
                queue = []
        if queue:
            bags.append(detector.bags(queue))
    found = frames.decoded
    index, flow_from = plan(video, found.frames, found.fps, config, purpose)
    if len(index) != len(files["frame"]):
        raise DataError(
            f"{video.path}: {len(index)} frames were wanted, {len(files['frame'])} came; the file changed while it was read, run again"
        )
    np.savez(
        folder / "rows.npz",
        index=index,
        flow_from=flow_from,
        bags=np.concatenate(bags) if bags else np.full((len(index), len(COCO_CLASSES)), np.nan, np.float32),
        **{f"{stream}_offsets": np.array(file.offsets, np.int64) for stream, file in files.items()},
    )
    facts = {
        "frames": found.frames,
        "fps": found.fps,
        "width": found.width,
        "height": found.height,
        "notes": list(found.notes),
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))


def _load(video: Video, folder: Path, name: str, slack: int) -> tuple[Samples, list[Problem]]:
    """A finished entry. Raises DataError where annotation and video do not belong together."""
    video, facts, problems = open_entry(video, folder, slack)
    with np.load(folder / "rows.npz") as arrays:
        index, flow_from, bags = (arrays[key] for key in ("index", "flow_from", "bags"))
    labels = video.frame_labels(facts["frames"])[index]
    return Samples(video, facts["frames"], facts["fps"], index, flow_from, bags, labels, name, folder), problems


_DETECTORS: dict[tuple[str, bool], Detector] = {}  # at most one: this process' detector, loaded once


def _detector(config: Config, workers: int) -> Detector:
    name = (digest(detector_key(config)), workers > 1)
    if name not in _DETECTORS:
        _DETECTORS.clear()
        _DETECTORS[name] = Detector(config, threads=1 if workers > 1 else None)
    return _DETECTORS[name]
