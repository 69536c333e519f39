"""Samples: one pass over a video gives frames, flow images and bags of objects, cached and read lazily."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vadkit.core.clock import Clock
from vadkit.core.config import Config
from vadkit.core.digests import digest
from vadkit.core.errors import DataError
from vadkit.core.video import Decoded, probe, read_frames
from vadkit.corpora.video import MOST_FRAMES, Seen, Video
from vadkit.views.flow import STREAMS, Streams, stream_names
from vadkit.views.objects import COCO_CLASSES, BagCounter, detector_key
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import PURPOSES, Walk, plan
from vadkit.views.view import Pairs, PlannedView, by_the_clock, extract_views, made_of, write_facts

PART_FRAMES = 54_000  # half an hour at 30 a second: longer videos are sampled in parts, side by side
WORTH_PARTS = 2**25  # bytes; a smaller file is no such video


@dataclass(frozen=True, eq=False)
class Samples(PlannedView):
    """The samples of one video: frames, flow images ("flow") and, with speed_stream, speeds in the motion window.

    flow_from: (n,) the earlier frame of each flow, the frame itself where there is none (its flow image is black); with
    flow_pair "sampled" a frame may come twice in index, with two of them. bags: (n, 80) float32 counts, NaN where
    detector_weights is "none". folders, starts: of the parts that a long video was sampled in, and their first rows.
    """

    flow_from: np.ndarray
    bags: np.ndarray
    folders: tuple[Path, ...] = field(repr=False)
    starts: tuple[int, ...] = field(repr=False)

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(stream for stream in STREAMS if (self.folders[0] / f"{stream}.bin").is_file())

    @property
    def shown(self) -> np.ndarray:
        return np.arange(len(self))

    def _read(self, stream: str, rows: np.ndarray) -> np.ndarray:
        part = np.searchsorted(self.starts, rows, side="right") - 1
        pictures = [
            read_pictures(self.folders[p] / f"{stream}.bin", rows[part == p] - self.starts[p]) for p in np.unique(part)
        ]
        return np.concatenate(pictures)[np.argsort(np.argsort(part, kind="stable"), kind="stable")]

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
        key, parts = _key(videos[n], config, of), _parts(videos[n].path)
        if len(parts) == 1:
            return [(key, partial(_build, videos[n], of, config, parts[0]))]
        return [({**key, "part": list(part)}, partial(_build, videos[n], of, config, part)) for part in parts]

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


def _parts(path: Path) -> list[tuple[int, int]]:
    """The frames from and to which a video is sampled at once. Each pass decodes it all, which is a hundredth of the
    work, and looks at its own part alone."""
    long = path.is_file() and path.stat().st_size > WORTH_PARTS
    count = max(1, round(probe(path).frames / PART_FRAMES)) if long else 1
    return [(n * PART_FRAMES, (n + 1) * PART_FRAMES if n + 1 < count else MOST_FRAMES) for n in range(count)]


def _build(video: Video, purpose: str, config: Config, part: tuple[int, int], folder: Path) -> None:
    """One pass over a video: write its images, and the arrays and facts beside them."""
    found = by_the_clock(video, config, partial(_pass, video, purpose, config, part, folder))
    write_facts(folder, found)


def _pass(
    video: Video, purpose: str, config: Config, part: tuple[int, int], folder: Path, clock: Clock | None
) -> Decoded:
    counter = None if config.detector_weights == "none" else BagCounter(config)

    start, stop = part

    def wants(tick: int) -> bool:  # of this part, or where a flow to a row of it starts
        return walk.wants(tick) and (clock.times is not None or walk.last_use(tick) >= start)

    def wanted(number: int) -> bool:
        return number < stop and any(map(wants, clock.stands_for(number)))

    with ExitStack() as stack:
        frames = read_frames(video.path, wanted, config.picture_fps, even=clock is None)
        stack.callback(frames.close)
        names = stream_names(config)
        files = {name: stack.enter_context(PictureWriter(folder / f"{name}.bin")) for name in names}
        clock = clock or Clock(frames.probe.fps)
        walk = Walk(video, clock.fps, config, purpose, frames.probe.frames, clock.times)
        streams = Streams(config, clock.fps)
        for number, frame in frames:
            for tick in filter(wants, clock.stands_for(number)):
                streams.see(tick, frame)
                for earlier in walk.flows_to(tick) if number >= start else ():
                    for stream, image in streams.images(tick, earlier, frame).items():
                        files[stream].append(image)
                    if counter is not None:
                        counter.add(frame)
                streams.forget(lambda seen, now=tick: walk.last_use(seen) > now)
    found = frames.decoded
    index, flow_from = plan(video, found.frames, found.clock.fps, config, purpose, found.clock.times)
    index, flow_from = (rows[(start <= index) & (index < stop)] for rows in (index, flow_from))
    if len(index) != len(files["frame"]):
        what = f"{len(index)} frames were wanted, {len(files['frame'])} came"
        raise DataError(f"{video.path}: {what}; the file changed while it was read, run again")
    bags = np.full((len(index), len(COCO_CLASSES)), np.nan, np.float32) if counter is None else counter.bags()
    np.savez(folder / "rows.npz", index=index, flow_from=flow_from, bags=bags)
    return found


def _load(_: int, video: Video, facts: dict, folders: list[Path]) -> Samples:
    parts = []
    for folder in folders:
        with np.load(folder / "rows.npz") as arrays:
            parts.append([arrays[key] for key in ("index", "flow_from", "bags")])
    index, flow_from, bags = map(np.concatenate, zip(*parts, strict=True))
    starts = np.cumsum([0, *(len(part[0]) for part in parts[:-1])]).tolist()
    frames, labels = facts["frames"], video.frame_labels(facts["frames"])[index]
    made = folders[0].name if len(folders) == 1 else digest([folder.name for folder in folders])
    common = (video, frames, facts["fps"], index, labels, made)
    return Samples(*common, flow_from, bags, tuple(folders), tuple(starts), times=facts["times"])
