"""The bags that a corpus's videos give to training from video-level labels: features of equal segments.

Weak labels: training and validation videos are stripped of their annotated spans before anything is sampled, so
that which frames are taken cannot depend on them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vadkit.core.clock import Clock
from vadkit.core.compute import device_of
from vadkit.core.config import Config, resolve
from vadkit.core.progress import Progress
from vadkit.core.video import inspect
from vadkit.corpora.vatic import clip_intervals
from vadkit.corpora.video import Corpus, Problem, Seen, Video
from vadkit.evaluation.scores import VideoScores, on_clock
from vadkit.models.network import network_of, remembered
from vadkit.models.pretrained import clip_networks
from vadkit.systems.base import Material
from vadkit.systems.inputs import ClipInputs, FrameInputs
from vadkit.systems.mil import SAME_STREAMS, Item, Segments
from vadkit.views.frames import extract
from vadkit.views.published_features import FPS, find_published, read_published
from vadkit.views.sampling import stride_frames
from vadkit.views.segments import Bag, TooShortError, even_rows, segment_bag
from vadkit.views.view import extract_views, made_of, write_facts


def load_bags(config: Config, corpus: Corpus, progress=None, segments: Segments | None = None) -> Material:
    """Bags of our features, or of published ones where config.mil_published names a folder of them.

    segments: config.mil_segments for every video where it is None. A video that cannot be used, as one with fewer
    frames than segments, is left out and named in the problems, or with config.strict raises DataError.
    """
    make = _published_bags if config.mil_published else _own_bags
    items, problems = make(config, corpus, progress, segments)
    return Material({item.video.name: item for item in items}, tuple(problems))


def _own_bags(config: Config, corpus: Corpus, progress: Progress | None, segments: Segments | None) -> Seen:
    """Of an even grid of frames or clips, the same for every video whatever is annotated in it."""
    inputs, items = bag_inputs(config), []
    if isinstance(inputs, ClipInputs):
        found, problems = inputs.extract(_videos(corpus), "score", progress)
        pairs = [(one, one.rows("score", inputs.config)) for one in found]
    else:
        pairs, problems = _frame_rows(config, corpus, progress)
    inputs.extract_features([one for one, _ in pairs], progress)
    for one, rows in pairs:
        made_of = [one.digest, rows.tolist(), remembered(inputs.networks), device_of(config)]
        identity = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:20]
        count = config.mil_segments if segments is None else segments(len(one.clock.shown(one.frames)), one.fps)
        features = inputs.features(one, rows).astype(np.float32)
        try:
            bag = segment_bag(one.index[rows], features, one.frames, count, one.video.name)
        except TooShortError as error:
            if config.strict:
                raise
            problems.append(Problem(str(one.video.path), str(error), left_out=True))
        else:
            items.append(Item(one.video, one.frames, one.fps, bag, identity, one.times))
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
    rate = rows_per_second(config) or config.analysis_fps
    return config.model_copy(update={"analysis_fps": rate, "i3d_score_every": 1})


def rows_per_second(config: Config) -> float | None:
    """How many rows a second segments average over; None where that is every analysed frame. In cross-validation every
    video's samples serve training and testing, and all are there already."""
    return None if config.split == "grouped_cv" else min(config.mil_fps, config.analysis_fps)


def _frame_rows(config: Config, corpus: Corpus, progress: Progress | None) -> Seen:
    """Samples of each video, and the rows that its bag is made of."""
    if config.split == "grouped_cv":
        material = SAME_STREAMS.material(config, corpus, progress)
        return [(one, one.rows("score", config)) for one in material.views.values()], list(material.problems)
    rate = rows_per_second(config)
    even = {"sampling": "custom", "anomaly_fps": rate, "normal_fps": rate, "detector_weights": "none"}
    even = config.model_copy(update=even)
    weak = [_weak(v) for v in corpus.of("train", "val")]
    trained, problems = extract(weak, even, progress, purpose="train")
    tested, wrong = extract(corpus.of("test"), config, progress, purpose="score")
    pairs = [(one, one.rows("train", even)) for one in trained]
    for one in tested:
        scored = one.rows("score", config)
        ticks = one.clock.ticks(one.frames)[one.index[scored]]
        pairs.append((one, scored[even_rows(ticks, stride_frames(one.fps, rate))]))
    return pairs, problems + wrong


def _published_bags(config: Config, corpus: Corpus, progress: Progress | None, segments: Segments | None) -> Seen:
    """Of the clip features in config.mil_published (`published.read_published`); where `segments` counts, of at most as
    many segments as there are clips. A video's file is read for its length alone, once, where the corpus knows none."""
    files, problems = find_published(resolve(config.mil_published), _videos(corpus))
    there = [v for v in _videos(corpus) if v.name in files]
    unknown = [v for v in there if not v.frames and v.path.exists()]

    def entries_of(n: int) -> list:
        key = made_of(unknown[n], "vadkit.core.video", config)
        return [(key, partial(_measure, unknown[n].path, config.picture_fps))]

    def measured(_: int, video: Video, facts: dict, folders: list[Path]) -> tuple:
        return replace(video, frames=facts["frames"], fps=facts["fps"]), facts["times"]

    lengths, more = extract_views("lengths", unknown, entries_of, measured, config, progress)
    times = {video.name: of for video, of in lengths}
    known = {video.name: video for video, _ in lengths} | {v.name: v for v in there if v not in unknown}

    def item(video: Video, frames: int, clips: Bag) -> Item:
        fps, of_video = video.fps or FPS, times.get(video.name)
        fitted, clipped = clip_intervals(video, frames, config.annotation_slack_frames)
        more.extend([clipped] if clipped else [])
        ticks = len(Clock(fps, of_video).shown(frames))
        count = config.mil_segments if segments is None else min(segments(ticks, fps), len(clips))
        bag = segment_bag(clips.starts, clips.features, frames, count, video.name)
        return Item(fitted, frames, fps, bag, hashlib.sha256(bag.features.tobytes()).hexdigest()[:20], of_video)

    usable = [known[v.name] for v in there if v.name in known]
    items, unfit = read_published(files, usable, item, config.clip_frames, config.mil_segments, config.strict)
    return items, problems + more + unfit


def _measure(path: Path, picture_fps: float, folder: Path) -> None:
    write_facts(folder, inspect(path, picture_fps))


def _videos(corpus: Corpus) -> list[Video]:
    return [_weak(v) for v in corpus.videos if v.split != "unseen"]


def _weak(video: Video) -> Video:
    """Without its spans, where it is for training or validation alone."""
    return replace(video, intervals=None) if video.split in ("train", "val") else video


def video_scores(item: Item, scores: np.ndarray, config: Config) -> VideoScores:
    """A video's segment scores, (segments,) in [0, 1], held over its frames; one clock for all anomaly scores."""
    return on_clock(VideoScores.of(item, item.bag.starts, scores), config.analysis_fps)


def padded(bags: Sequence[Bag]) -> tuple[Tensor, Tensor]:
    """Bags of any length as one array, zeros after the last real instance. Shape: -> (bags, longest, D), and the
    (bags, longest) bool mask of what is real."""
    features = pad_sequence([torch.from_numpy(bag.features) for bag in bags], batch_first=True)
    return features, torch.arange(features.shape[1]) < torch.tensor([len(bag) for bag in bags])[:, None]
