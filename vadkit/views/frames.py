"""Samples: one pass over a video gives frames, flow images and bags of objects, cached and read lazily."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vadkit.core.clock import Clock
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.video import Decoded, read_frames
from vadkit.corpora.video import Seen, Video
from vadkit.views.flow import STREAMS, Streams, stream_names
from vadkit.views.objects import COCO_CLASSES, BagCounter, detector_key
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import PURPOSES, Walk, plan
from vadkit.views.view import Pairs, PlannedView, by_the_clock, extract_views, made_of, write_facts


@dataclass(frozen=True, eq=False)
class Samples(PlannedView):
    """The samples of one video: frames, flow images ("flow") and, with speed_stream, speeds in the motion window.

    flow_from: (n,) the earlier frame of each flow, the frame itself where there is none (its flow image is black); with
    flow_pair "sampled" a frame may come twice in index, with two of them. bags: (n, 80) float32 counts, NaN where
    detector_weights is "none".
    """

    flow_from: np.ndarray
    bags: np.ndarray
    folder: Path = field(repr=False)

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(stream for stream in STREAMS if (self.folder / f"{stream}.bin").is_file())

    @property
    def shown(self) -> np.ndarray:
        return np.arange(len(self))

    def _read(self, stream: str, rows: np.ndarray) -> np.ndarray:
        return read_pictures(self.folder / f"{stream}.bin", rows)

    def _planned(self, purpose: str, config: Config) -> tuple[Pairs, Pairs]:
        return (self.index, self.flow_from), plan(self.video, self.frames, self.fps, config, purpose, self.times)


def extract(videos: Sequence[Video], config: Config, progress=None, purpose: str | None = None) -> Seen:
    """Samples of many videos, and what was wrong with them; see `view.extract_views`.

    purpose: "train", "score" or "both"; None takes what a video's split needs: "train" for training videos, "both" for
    those of a cross-validation ("all"), "score" for the rest. One pass over a video serves every row.
    """
    if purpose is not None and purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)} or None, got '{purpose}'")
    if progress and videos:
        progress(0, len(videos), "looking for samples in the cache")  # what a video holds is a part of its key

    def entries_of(n: int) -> list:
        of = purpose or {"train": "train", "all": "both"}.get(videos[n].split, "score")
        return [(_key(videos[n], config, of), partial(_build, videos[n], of, config))]

    return extract_views("samples", videos, entries_of, _load, config, progress)


def _key(video: Video, config: Config, purpose: str) -> dict:
    """Everything that a video's samples depend on: a change costs a pass. Labels are looked up when they are loaded."""
    key = {**made_of(video, __name__, config), "purpose": purpose, "image_size": config.image_size}
    key |= {"flow": [config.flow_method, config.flow_pair, config.flow_scale], "detector": detector_key(config)}
    if config.frame_window or config.speed_stream:
        key["window"] = [config.frame_window, config.speed_stream]
    if config.flow_scale == "fixed" or "window" in key:
        key["flow_full_scale"] = config.flow_full_scale
    if config.flow_pair == "gap":
        key["flow_gap_seconds"] = config.flow_gap_seconds
    if purpose != "train" or config.flow_pair == "grid":
        key["analysis_fps"] = config.analysis_fps
    if purpose in ("train", "both"):
        key["training_fps"] = list(config.training_fps)
        key["intervals"] = None if video.intervals is None else [list(span) for span in video.intervals]
        key["label"] = video.label if video.intervals is None else None
    return key


def _build(video: Video, purpose: str, config: Config, folder: Path) -> None:
    """One pass over a video: write its images, and the arrays and facts beside them."""
    found = by_the_clock(video, config, partial(_pass, video, purpose, config, folder))
    write_facts(folder, found)


def _pass(video: Video, purpose: str, config: Config, folder: Path, clock: Clock | None) -> Decoded:
    counter = None if config.detector_weights == "none" else BagCounter(config)

    def wanted(number: int) -> bool:
        return any(map(walk.wants, clock.stands_for(number)))

    with ExitStack() as stack:
        frames = read_frames(video.path, wanted, config.picture_fps, even=clock is None)
        stack.callback(frames.close)
        names = stream_names(config)
        files = {name: stack.enter_context(PictureWriter(folder / f"{name}.bin")) for name in names}
        clock = clock or Clock(frames.probe.fps)
        walk = Walk(video, clock.fps, config, purpose, frames.probe.frames, clock.times)
        streams = Streams(config, clock.fps)
        for number, frame in frames:
            for tick in filter(walk.wants, clock.stands_for(number)):
                streams.see(tick, frame)
                for start in walk.flows_to(tick):
                    for stream, image in streams.images(tick, start, frame).items():
                        files[stream].append(image)
                    if counter is not None:
                        counter.add(frame)
                streams.forget(lambda seen, now=tick: walk.last_use(seen) > now)
    found = frames.decoded
    index, flow_from = plan(video, found.frames, found.clock.fps, config, purpose, found.clock.times)
    if len(index) != len(files["frame"]):
        what = f"{len(index)} frames were wanted, {len(files['frame'])} came"
        raise DataError(f"{video.path}: {what}; the file changed while it was read, run again")
    bags = np.full((len(index), len(COCO_CLASSES)), np.nan, np.float32) if counter is None else counter.bags()
    np.savez(folder / "rows.npz", index=index, flow_from=flow_from, bags=bags)
    return found


def _load(_: int, video: Video, facts: dict, folders: list[Path]) -> Samples:
    (folder,) = folders
    with np.load(folder / "rows.npz") as arrays:
        index, flow_from, bags = (arrays[key] for key in ("index", "flow_from", "bags"))
    frames, labels = facts["frames"], video.frame_labels(facts["frames"])[index]
    common = (video, frames, facts["fps"], index, labels, folder.name)
    return Samples(*common, flow_from, bags, folder, times=facts["times"])
