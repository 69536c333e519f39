"""The bags that a corpus's videos give to training from video-level labels: features of equal segments, and sides to
check.

Weak labels: training and validation videos are stripped of their annotated spans before anything is sampled, so
that which frames are taken cannot depend on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vadkit.core.code import code_version
from vadkit.core.compute import device_of
from vadkit.core.config import Config, resolve
from vadkit.core.progress import Progress
from vadkit.core.store import file_digest
from vadkit.core.video import inspect
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.evaluation.scores import VideoScores, on_clock
from vadkit.models.network import network_of, remembered
from vadkit.models.pretrained import clip_networks
from vadkit.systems.base import Material
from vadkit.systems.inputs import ClipInputs, FrameInputs
from vadkit.systems.mil import SAME_STREAMS
from vadkit.views.clips import Clips
from vadkit.views.frames import Samples, extract
from vadkit.views.sampling import stride_frames
from vadkit.views.segments import Bag, TooShortError, even_rows, published_bag, read_published, segment_bag
from vadkit.views.view import extract_views, write_facts

# (frames, fps) -> into how many segments a video is cut; 0: every row of features is one
Segments = Callable[[int, float], int]


@dataclass(frozen=True, eq=False)
class Item:
    """A video with its bag. identity: what the bag was made of, for the cache's key."""

    video: Video
    frames: int
    fps: float
    bag: Bag
    identity: str


def load_bags(
    config: Config, corpus: Corpus, progress: Progress | None = None, segments: Segments | None = None
) -> Material:
    """Bags of our features, or of published ones where config.mil_published names a folder of them.

    segments: config.mil_segments for every video where it is None. A video that cannot be used, as one with fewer
    frames than segments, is left out and named in the problems, or with config.strict raises DataError.
    """
    items, problems = (published_items if config.mil_published else own_items)(config, corpus, progress, segments)
    return Material(items, tuple(problems))


def own_items(
    config: Config, corpus: Corpus, progress: Progress | None, segments: Segments | None = None
) -> tuple[dict[str, Item], list[Problem]]:
    """Bags of our features, by video name: of an even grid of frames or clips, the same for every video whatever is
    annotated in it."""
    inputs = bag_inputs(config)
    gather = _clip_rows if isinstance(inputs, ClipInputs) else _frame_rows
    found, rows, problems = gather(config, corpus, progress)
    inputs.extract_features(found, progress)
    items = {}
    for one, r in zip(found, rows, strict=True):
        try:
            items[one.video.name] = _own_item(one, r, inputs, segments)
        except TooShortError as error:
            if config.strict:
                raise
            problems.append(Problem(str(one.video.path), str(error), left_out=True))
    return items, problems


def bag_inputs(config: Config) -> FrameInputs:
    """What an instance's features are of, by config.mil_features, with the networks that make them.

    "streams": those of `SAME_STREAMS`; "i3d": both streams of I3D, and "resnext3d": 3D ResNeXt-101 (Raqeeb,
    section IV.B), on clips of config.clip_frames frames.
    """
    if config.mil_features == "streams":
        return SAME_STREAMS.inputs(config)
    networks = {stream: network_of(config, name) for stream, name in clip_networks(config.mil_features).items()}
    return ClipInputs(at_bag_rate(config), networks)


def at_bag_rate(config: Config) -> Config:
    """Clips are cut for the rows of bags alone: a 3D network takes long."""
    return config.model_copy(
        update={"analysis_fps": rows_per_second(config) or config.analysis_fps, "i3d_score_every": 1}
    )


def rows_per_second(config: Config) -> float | None:
    """How many rows a second segments average over; None where that is every analysed frame.

    In cross-validation every video's samples serve training and testing, and all are there already.
    """
    return None if config.split == "grouped_cv" else min(config.mil_fps, config.analysis_fps)


def _frame_rows(
    config: Config, corpus: Corpus, progress: Progress | None
) -> tuple[list[Samples], list[np.ndarray], list[Problem]]:
    if config.split == "grouped_cv":
        material = SAME_STREAMS.material(config, corpus, progress)
        found = list(material.views.values())
        return found, [one.rows("score", config) for one in found], list(material.problems)
    rate = rows_per_second(config)
    even = config.model_copy(
        update={"sampling": "custom", "anomaly_fps": rate, "normal_fps": rate, "detector_weights": "none"}
    )
    weak = [_weak(v) for v in corpus.of("train", "val")]
    trained, problems = extract(weak, even, progress, purpose="train")
    tested, wrong = extract(corpus.of("test"), config, progress, purpose="score")
    rows = [one.rows("train", even) for one in trained]
    for one in tested:
        scored = one.rows("score", config)
        rows.append(scored[even_rows(one.index[scored], stride_frames(one.fps, rate))])
    return trained + tested, rows, problems + wrong


def _clip_rows(
    config: Config, corpus: Corpus, progress: Progress | None
) -> tuple[list[Clips], list[np.ndarray], list[Problem]]:
    inputs = bag_inputs(config)
    weak = [_weak(v) for v in corpus.videos if v.split != "unseen"]
    found, problems = inputs.extract(weak, "score", progress)
    return found, [one.rows("score", inputs.config) for one in found], problems


def _own_item(samples: Samples | Clips, rows: np.ndarray, inputs: FrameInputs, segments: Segments | None) -> Item:
    made_of = [samples.digest, rows.tolist(), remembered(inputs.networks), device_of(inputs.config)]
    identity = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:20]
    count = inputs.config.mil_segments if segments is None else segments(samples.frames, samples.fps)
    features = inputs.features(samples, rows).astype(np.float32)
    return Item(
        samples.video,
        samples.frames,
        samples.fps,
        segment_bag(samples.index[rows], features, samples.frames, count, samples.video.name),
        identity,
    )


def published_items(
    config: Config, corpus: Corpus, progress: Progress | None = None, segments: Segments | None = None
) -> tuple[dict[str, Item], list[Problem]]:
    """Bags of the clip features in config.mil_published (`segments.read_published`), by video name; of at most as
    many segments as there are clips.

    The videos themselves are read for their length alone, once.
    """
    features, problems = read_published(
        resolve(config.mil_published), [v for v in corpus.videos if v.split != "unseen"]
    )
    videos = [_weak(v) for v in corpus.videos if v.name in features]

    def entries_of(n: int) -> list:
        key = {"video": file_digest(videos[n].path), "code": code_version("vadkit.core.video")}
        return [(key, partial(_measure, videos[n].path))]

    def item(_: int, video: Video, facts: dict, folders: list[Path]) -> Item:
        frames, fps, rows = facts["frames"], facts["fps"], features[video.name]
        count = config.mil_segments if segments is None else min(segments(frames, fps), len(rows))
        bag = published_bag(rows, frames, count, video.name)
        return Item(video, frames, fps, bag, hashlib.sha256(bag.features.tobytes()).hexdigest()[:20])

    items, more = extract_views("lengths", videos, entries_of, item, config, progress)
    return {one.video.name: one for one in items}, problems + more


def _measure(path: Path, folder: Path) -> None:
    write_facts(folder, inspect(path))


def _weak(video: Video) -> Video:
    """Without its spans, where it is for training or validation alone."""
    return replace(video, intervals=None) if video.split in ("train", "val") else video


def video_scores(item: Item, scores: np.ndarray, config: Config) -> VideoScores:
    """A video's segment scores, to be held over its frames; one clock for all anomaly scores. Shape: (segments,) in
    [0, 1]."""
    return on_clock(VideoScores.of(item, item.bag.starts, scores), config.analysis_fps)


def padded(bags: Sequence[Bag]) -> tuple[Tensor, Tensor]:
    """Bags of any length as one array, zeros after the last real instance. Shape: -> (bags, longest, D), and the
    (bags, longest) bool mask of what is real."""
    longest = max(len(bag) for bag in bags)
    features = torch.zeros(len(bags), longest, bags[0].features.shape[1])
    mask = torch.zeros(len(bags), longest, dtype=torch.bool)
    for number, bag in enumerate(bags):
        features[number, : len(bag)] = torch.from_numpy(bag.features)
        mask[number, : len(bag)] = True
    return features, mask
