"""The bags that a corpus's videos give to training from video-level labels: features of equal segments, and sides to check.

Weak labels: training and validation videos are stripped of their annotated spans before anything is sampled, so
that which frames are taken cannot depend on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vadkit.config import Config
from vadkit.corpora import Corpus, Problem, Video
from vadkit.errors import DataError
from vadkit.experiment import Fold, prepare
from vadkit.features import device_of, extract_features
from vadkit.models.backbones import weights_digest
from vadkit.samples import Samples, extract
from vadkit.sampling import stride_frames
from vadkit.scoring import VideoScores
from vadkit.segments import Bag, TooShortError, bag_of, even_rows, published_bag
from vadkit.systems import find_system
from vadkit.video import count_frames, probe

Progress = Callable[[int, int, str], None]
Segments = Callable[[int, float], int]  # (frames, fps) -> into how many segments a video is cut; 0: every analysed frame is one
SAME_STREAMS = "2S-bag-ha"  # the system that models on bags are compared with: they see what it sees


@dataclass(frozen=True, eq=False)
class Item:
    """A video with its bag. identity: what the bag was made of, for the cache's key."""

    video: Video
    frames: int
    fps: float
    bag: Bag
    identity: str


def own_items(config: Config, corpus: Corpus, progress: Progress | None, segments: Segments | None = None) -> tuple[dict[str, Item], list[Problem]]:
    """Bags of our features, by video name: of an even grid of frames, the same for every video whatever is annotated in it.

    segments: config.mil_segments for every video where it is None. A video with fewer frames than segments is left
    out and named in the problems, or with config.strict raises TooShortError.
    """
    if config.split == "grouped_cv":
        material = prepare(config, corpus, progress)
        found, problems = list(material.samples.values()), list(material.problems)
        rows = [one.rows("score", config) for one in found]
    else:
        rate = min(config.mil_fps, config.analysis_fps)
        even = config.model_copy(update={"sampling": "custom", "anomaly_fps": rate, "normal_fps": rate, "detector_weights": "none"})
        weak = [replace(v, intervals=None) for v in corpus.of("train", "val")]
        trained, problems = extract(weak, even, progress, purpose="train")
        tested, wrong = extract(corpus.of("test"), config, progress, purpose="score")
        rows = [one.rows("train", even) for one in trained]
        for one in tested:
            scored = one.rows("score", config)
            rows.append(scored[even_rows(one.index[scored], stride_frames(one.fps, rate))])
        found, problems = trained + tested, problems + wrong
    streams = stream_names(config)
    extract_features(found, streams, config, progress)
    items = {}
    for one, r in zip(found, rows, strict=True):
        try:
            items[one.video.name] = _own_item(one, r, streams, config, segments)
        except TooShortError as error:
            if config.strict:
                raise
            problems.append(Problem(str(one.video.path), str(error), left_out=True))
    return items, problems


def stream_names(config: Config) -> tuple[str, ...]:
    """What the streams of a bag's features show."""
    return find_system(SAME_STREAMS).stream_names(config)


def _own_item(samples: Samples, rows: np.ndarray, streams: Sequence[str], config: Config, segments: Segments | None) -> Item:
    made_of = [samples.digest, rows.tolist(), list(streams), config.backbone, weights_digest(config.backbone, config.backbone_weights), device_of(config)]
    identity = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:20]
    count = None if segments is None else segments(samples.frames, samples.fps)
    return Item(samples.video, samples.frames, samples.fps, bag_of(samples, rows, streams, config, count), identity)


def published_items(config: Config, corpus: Corpus, features: Mapping[str, np.ndarray], segments: Segments | None = None) -> tuple[dict[str, Item], list[Problem]]:
    """Bags of published clip features (`segments.read_published`), by video name; of at most as many segments as there are clips.

    segments and errors as for `own_items`; a video whose features do not fit its file is left out in the same way.
    """
    items, problems = {}, []
    for video in corpus.videos:
        if video.name not in features or video.split == "unseen":
            continue
        try:
            frames, fps = count_frames(video.path), probe(video.path).fps
            count = config.mil_segments if segments is None else min(segments(frames, fps), len(features[video.name]))
            bag = published_bag(features[video.name], frames, count, video.name)
        except DataError as error:
            if config.strict:
                raise
            problems.append(Problem(str(video.path), str(error), left_out=True))
            continue
        items[video.name] = Item(video, frames, fps, bag, hashlib.sha256(bag.features.tobytes()).hexdigest()[:20])
    return items, problems


def sides_of(fold: Fold, items: Mapping[str, Item]) -> list[tuple[Item, ...]]:
    """The usable bags of the (training, validation, test) side.

    Raises DataError where training or validation has videos of one class only, or a side has none.
    """
    sides = [tuple(items[name] for name in side if name in items) for side in (fold.train, fold.val, fold.test)]
    for side, what in zip(sides, ("training", "validation", "test"), strict=True):
        labels = [item.video.label for item in side]
        if not labels or (what != "test" and len(set(labels)) < 2):
            raise DataError(f"multiple-instance learning needs normal and anomalous {what} videos, got {len(labels) - sum(labels)} and {sum(labels)}; give more videos, or raise validation_fraction")
    return sides


def video_scores(item: Item, scores: np.ndarray) -> VideoScores:
    """A video's segment scores, to be held over its frames. Shape: (segments,) in [0, 1]."""
    return VideoScores(item.video.name, item.video.category, item.video.source, item.fps, item.bag.starts, scores, item.video.frame_labels(item.frames))


def padded(bags: Sequence[Bag]) -> tuple[Tensor, Tensor]:
    """Bags of any length as one array, zeros after the last real instance. Shape: -> (bags, longest, D), and the (bags, longest) bool mask of what is real."""
    longest = max(len(bag) for bag in bags)
    features = torch.zeros(len(bags), longest, bags[0].features.shape[1])
    mask = torch.zeros(len(bags), longest, dtype=torch.bool)
    for number, bag in enumerate(bags):
        features[number, : len(bag)] = torch.from_numpy(bag.features)
        mask[number, : len(bag)] = True
    return features, mask
