"""How the second paper's first experiment reached 100 % "from the first epochs", and what the same model reaches done right.

The paper says (section V.A) that a varying number of segments broke its model, that fixed segments made it run, and that
both accuracies then reached 100 %. Its code is not public. Three ways to hold data out, everything else alike, show
what fixed segments invite:

    segments at random     every video cut into equal segments, each a sample by itself with its video's label; a random quarter held out
    segments by source     the same samples; whole sources held out, so that no video, nor another of its camera, is on both sides
    videos by source       whole videos of any length, padded and masked; the same sources held out

All three train without dropout and weight decay, so that a network far smaller than those it stands for (1024 neurons) can
overfit as they do. Held out of the training and validation side; the corpus's test videos are left alone, but for
`Trial.tested`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vadkit.core.code import code_version
from vadkit.core.compute import each, one_thread
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.evaluation import bootstrap as intervals
from vadkit.evaluation.evaluate import Metric, resamples
from vadkit.evaluation.scores import VideoScores
from vadkit.systems import joint as joint_training
from vadkit.systems.bags import Item, load_bags, padded, rows_per_second, video_scores
from vadkit.systems.joint import classes_of, load_sequences, new_model, train_epoch
from vadkit.systems.trainer import derived_seed
from vadkit.views.segments import Bag

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.corpora.video import Corpus, Video

RANDOM, BY_SOURCE, WHOLE = "segments at random", "segments by source", "videos by source"
WAYS = (RANDOM, BY_SOURCE, WHOLE)
SEGMENTS = 32  # of a video, as in the code that the paper's names come from; fewer where it has fewer analysed frames, for else some would be the same
FOLDS = 4  # one of them is held out
EPOCHS = 8  # at most; or config.joint_epochs where that is fewer
PHASE = 12  # of `derived_seed`
PASSES = 4  # over whole videos that count as an epoch: there are so few that one is some steps only
PER_VIDEO = 4  # single segments in a batch for each whole video that a batch has
FREE = {"joint_dropout": 0.0, "joint_weight_decay": 0.0, "joint_lr": 1e-3}
EVALUATION = 256  # samples scored together


@dataclass(frozen=True)
class Accuracy:
    """Shares of samples, all in [0, 1].

    detection: anomalous or not, at a score of 0.5. classification: the most probable class. one_hot: of the class's yes/no outputs, each
    counted by itself at 0.5, as "accuracy" under a binary cross-entropy may count them.
    """

    detection: float
    classification: float
    one_hot: float


@dataclass(frozen=True)
class Trial:
    """One way and seed: accuracy after each epoch, and at the end of each held-out video.

    held: by name, (samples, detected rightly, classified rightly). tested: scores of the corpus's own test videos by the model of the
    last epoch; empty with cross-validation, which has none apart.
    """

    way: str
    seed: int
    train: tuple[Accuracy, ...]
    held_out: tuple[Accuracy, ...]
    held: Mapping[str, tuple[int, int, int]]
    tested: tuple[VideoScores, ...] = ()


@dataclass(frozen=True)
class Segments:
    """What the fixed segments are like.

    samples: their number; same_video: share of those held out at random whose nearest neighbour in training is of the same video;
    mislabelled: share of the segments labelled anomalous that hold no annotated frame, None where nothing is annotated in time.
    """

    samples: int
    same_video: float
    mislabelled: float | None


@dataclass(frozen=True)
class Failure:
    classes: tuple[str, ...]
    videos: tuple[Video, ...]
    trials: tuple[Trial, ...]
    segments: Segments

    def of(self, way: str) -> list[Trial]:
        return [t for t in self.trials if t.way == way]

    def majority(self) -> Accuracy:
        """What calling every video the most frequent gives: of two, and of all classes."""
        anomalous = np.mean([v.label for v in self.videos])
        share = max(np.mean([v.category == c for v in self.videos]) for c in self.classes)
        return Accuracy(float(max(anomalous, 1 - anomalous)), float(share), 1 - 1 / len(self.classes))


@dataclass(frozen=True, eq=False)
class _Samples:
    """bags: one a sample; classes: (samples,) class numbers; names, sources: (samples,) of their videos."""

    bags: tuple[Bag, ...]
    classes: np.ndarray
    names: np.ndarray
    sources: np.ndarray


def run(config: Config, corpus: Corpus, progress: Progress | None = None) -> Failure:
    """Train the joint model in the three ways, with every seed; what the cache has is not done again.

    Raises DataError where fewer than two sources can be used, or all usable videos are of one class.
    """
    classes, pool = classes_of(corpus), {v.name: v for v in corpus.of("train", "val", "all")}
    rate = rows_per_second(config) or config.analysis_fps
    bags = load_bags(config, corpus, progress, lambda frames, fps: max(1, min(SEGMENTS, int(rate * frames / fps))))
    fixed, free = bags.items, load_sequences(config, corpus, progress).items
    usable = [fixed[name] for name in pool if name in fixed]
    if len({item.video.source for item in usable}) < 2 or len({item.video.label for item in usable}) < 2:
        raise DataError(
            f"{len(usable)} videos are not enough: expected two sources, and normal and anomalous videos; give more videos"
        )
    parts, wholes = (
        _samples(usable, classes, _cut),
        _samples([free[item.video.name] for item in usable], classes, _whole),
    )
    streams, test = bags.streams, [v.name for v in corpus.of("test") if v.name in fixed]
    tasks = []
    for way in WAYS:
        samples, items, cut = (wholes, free, _whole) if way == WHOLE else (parts, fixed, _cut)
        tasks += [
            _Task(
                config,
                way,
                seed,
                samples,
                classes,
                streams,
                tuple(items[v.video.name] for v in usable),
                tuple(items[name] for name in test),
                cut,
            )
            for seed in config.seeds
        ]
    missing = [task for task in tasks if not task.path.is_dir()]
    for done, what in enumerate(each(_train, [(task,) for task in missing], config.workers), 1):
        if progress is not None:
            progress(done, len(missing), what)
    trials = [_read(task) for task in tasks]
    held = held_out(RANDOM, parts.names, parts.sources, parts.classes > 0, config.seeds[0])
    return Failure(
        classes,
        tuple(item.video for item in usable),
        tuple(trials),
        Segments(len(parts.bags), _same_video(parts, held), _mislabelled(usable, pool)),
    )


def held_out(way: str, names: np.ndarray, sources: np.ndarray, anomalous: np.ndarray, seed: int) -> np.ndarray:
    """Which samples are held out: one of `FOLDS` folds of samples, or of sources. Shape: (samples,) three times -> (samples,) bool.

    Raises ValueError for another way, DataError for too few videos.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got '{way}'")
    if way == RANDOM:
        return np.random.default_rng(seed).permutation(len(names)) % FOLDS == 0
    # folds of videos, so that both ways by source hold the same ones out
    videos, first = np.unique(names, return_index=True)
    folds = min(FOLDS, len(np.unique(sources)), np.bincount(anomalous[first].astype(int)).max())
    if folds < 2:
        raise DataError(f"{len(videos)} videos cannot be held apart by source; give more videos")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few sources of a class: then the share held out differs, no more
        _, test = next(
            iter(
                StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(
                    videos, anomalous[first], sources[first]
                )
            )
        )
    return np.isin(names, videos[test])


def metrics_of(failure: Failure, config: Config, way: str) -> list[Metric]:
    """detection_accuracy and classification_accuracy of held-out samples after the last epoch, with intervals over videos.

    All seeds' held-out samples together; a video that several seeds hold out counts in each.
    """
    trials, counts = failure.of(way), resamples(failure.videos, config)
    totals = np.array([np.sum([t.held.get(v.name, (0, 0, 0)) for t in trials], axis=0) for v in failure.videos], float)
    found = []
    for column, name in ((1, "detection_accuracy"), (2, "classification_accuracy")):
        statistic = intervals.ratio(totals[:, column], totals[:, 0])
        value = float(statistic(np.ones((1, len(totals))))[0])
        its = intervals.interval(value, statistic(counts), config.interval_level)
        seeds = [np.array(list(t.held.values()), float).sum(axis=0) for t in trials]
        found.append(
            Metric(
                name,
                value,
                its.low,
                its.high,
                tuple(float(s[column] / s[0]) for s in seeds),
                int((totals[:, 0] > 0).sum()),
                its.reason,
            )
        )
    return found


# --- samples -----------------------------------------------------------------------------------------------------


def _cut(bag: Bag) -> list[Bag]:
    return [Bag(bag.starts[k : k + 1], bag.features[k : k + 1]) for k in range(len(bag))]


def _whole(bag: Bag) -> list[Bag]:
    return [bag]


def _samples(items: Sequence[Item], classes: tuple[str, ...], cut: Callable[[Bag], list[Bag]]) -> _Samples:
    made = [
        (bag, classes.index(item.video.category), item.video.name, item.video.source)
        for item in items
        for bag in cut(item.bag)
    ]
    bags, numbers, names, sources = zip(*made, strict=True)
    return _Samples(bags, np.array(numbers), np.array(names), np.array(sources))


def _same_video(parts: _Samples, held: np.ndarray) -> float:
    """Share of held-out segments whose nearest one in training, by cosine, is of the same video."""
    unit = np.concatenate([bag.features for bag in parts.bags])
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    trained = unit[~held]
    nearest = np.concatenate(
        [(some @ trained.T).argmax(axis=1) for some in np.array_split(unit[held], -(-held.sum() // EVALUATION))]
    )
    return float(np.mean(parts.names[held] == parts.names[~held][nearest]))


def _mislabelled(items: Sequence[Item], videos: Mapping[str, Video]) -> float | None:
    """By the annotation, which training never sees."""
    empty = []
    for item in items:
        video = videos[item.video.name]
        if video.label and video.intervals is not None:
            labels = video.frame_labels(item.frames)
            empty += [not part.any() for part in np.split(labels, item.bag.starts[1:])]
    return float(np.mean(empty)) if empty else None


# --- trials ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Task:
    """One trial to run. videos: those of the samples; cut: a video's bag into samples."""

    config: Config
    way: str
    seed: int
    samples: _Samples
    classes: tuple[str, ...]
    streams: int
    videos: tuple[Item, ...]
    test: tuple[Item, ...]
    cut: Callable[[Bag], list[Bag]]

    @cached_property
    def key(self) -> dict:
        return {
            "way": [self.way, SEGMENTS, FOLDS, EPOCHS, PASSES, PER_VIDEO, FREE],
            "seed": self.seed,
            "parameters": {k: v for k, v in self.config.model_dump().items() if k.startswith("joint_")},
            "classes": self.classes,
            "videos": [[item.identity, len(item.bag), item.video.category, item.video.source] for item in self.videos],
            "test": [[item.identity, len(item.bag)] for item in self.test],
            "torch": torch.__version__,
            "code": code_version(__name__),
        }

    @property
    def path(self) -> Path:
        return Store(self.config.cache_dir).path("joint_failure", self.key)


def _train(task: _Task) -> str:
    Store(task.config.cache_dir).fetch("joint_failure", task.key, lambda folder: _build(folder, task))
    return f"{task.way}, seed {task.seed}"


def _read(task: _Task) -> Trial:
    facts = json.loads((task.path / "trial.json").read_text())
    with np.load(task.path / "tested.npz") as scores:
        tested = tuple(video_scores(item, scores[str(k)], task.config) for k, item in enumerate(task.test))
    curves = [tuple(Accuracy(**line) for line in facts[side]) for side in ("train", "held_out")]
    return Trial(task.way, task.seed, *curves, {name: tuple(counts) for name, counts in facts["held"].items()}, tested)


def _build(folder: Path, task: _Task) -> None:
    way, seed, samples, classes = task.way, task.seed, task.samples, len(task.classes)
    held = held_out(way, samples.names, samples.sources, samples.classes > 0, seed)
    sides = [[samples.bags[k] for k in np.flatnonzero(side)] for side in (~held, held)]
    labels = [torch.as_tensor(samples.classes[side]) for side in (~held, held)]
    batch = task.config.joint_batch * (1 if way == WHOLE else PER_VIDEO)
    config = task.config.model_copy(update={**FREE, "joint_batch": batch})
    weights, curves = joint_training.class_weights(labels[0], classes), ([], [])
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, PHASE, 0))
        model, optimiser = new_model(config, "joint", samples.bags[0].features.shape[1], classes, task.streams)
        for epoch in range(1, min(EPOCHS, config.joint_epochs) + 1):
            torch.manual_seed(derived_seed(seed, PHASE, epoch))
            for _ in range(PASSES if way == WHOLE else 1):
                train_epoch(
                    model, optimiser, sides[0], labels[0], config, weights, f"{way}, seed {seed}, epoch {epoch}"
                )
            for curve, bags, its in zip(curves, sides, labels, strict=True):
                curve.append(asdict(_accuracy(*_predicted(model, bags), its)))
        videos, given = _predicted(model, sides[1])
        scores = {str(k): _segment_scores(model, task.cut(item.bag)) for k, item in enumerate(task.test)}
    detected, classified = ((videos > 0.5) == (labels[1] > 0)).numpy(), (given.argmax(dim=1) == labels[1]).numpy()
    names = samples.names[held]
    counts = {
        str(n): [int((names == n).sum()), int(detected[names == n].sum()), int(classified[names == n].sum())]
        for n in np.unique(names)
    }
    (folder / "trial.json").write_text(
        json.dumps({"train": curves[0], "held_out": curves[1], "held": counts}, indent=1, allow_nan=False)
    )
    np.savez(folder / "tested.npz", **scores)


def _predicted(model, bags: Sequence[Bag]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of samples (n,), and probabilities of their classes (n, classes)."""
    model.eval()
    with torch.no_grad():
        outs = [model(*padded(bags[k : k + EVALUATION])) for k in range(0, len(bags), EVALUATION)]
    return torch.cat([out.videos for out in outs]), torch.cat([out.classes for out in outs]).softmax(dim=1)


def _segment_scores(model, bags: Sequence[Bag]) -> np.ndarray:
    """Scores of all segments of the bags, which are a video's, in order."""
    inputs, mask = padded(bags)
    with torch.no_grad():
        return model(inputs, mask).scores[mask].numpy()


def _accuracy(videos: torch.Tensor, classes: torch.Tensor, labels: torch.Tensor) -> Accuracy:
    one_hot = torch.nn.functional.one_hot(labels, classes.shape[1]).bool()
    found = ((videos > 0.5) == (labels > 0)), (classes.argmax(dim=1) == labels), ((classes > 0.5) == one_hot)
    return Accuracy(*(part.double().mean().item() for part in found))
