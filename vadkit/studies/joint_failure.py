"""How the second paper's first experiment reached 100 % "from the first epochs" (V.A; its code is not public).

Three ways to hold data out, everything else alike, show what segments of a fixed number invite: segments at random
(each a sample by itself with its video's label); the same, with whole sources held out; videos of any length, padded
and masked, by source. All train without dropout and weight decay, so that a network far smaller than the paper's (1024
neurons) can overfit as it does. Held out of the training and validation side; test videos are `Trial.tested` alone.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.evaluation.bootstrap import Metric, estimate, ratio, resamples
from vadkit.evaluation.scores import VideoScores
from vadkit.systems import runner
from vadkit.systems.bag_trainer import class_weights, new_model, seeded, sequence_losses, sequence_options, train_epoch
from vadkit.systems.bags import Item, padded, rows_per_second, video_scores
from vadkit.systems.base import Fitted, Sides, Task, derived_seed
from vadkit.systems.joint import SequenceSystem
from vadkit.views.segments import Bag

RANDOM, BY_SOURCE, WHOLE = "segments at random", "segments by source", "videos by source"
WAYS = (RANDOM, BY_SOURCE, WHOLE)
SEGMENTS = 32  # of a video, as in the code that the paper's names come from; never more than its analysed frames
FOLDS = 4  # one of them is held out
EPOCHS = 8  # at most; or config.joint_epochs where that is fewer
PHASE = 12  # of `derived_seed`
PASSES = 4  # over whole videos that count as an epoch: there are so few that one is some steps only
PER_VIDEO = 4  # single segments in a batch for each whole video that a batch has
FREE = {"joint_dropout": 0.0, "joint_weight_decay": 0.0, "joint_lr": 1e-3}
EVALUATION = 256  # samples scored together
RIGHT = ("detection", "classification")  # of a sample: at a score of 0.5, by its most probable class


@dataclass(frozen=True)
class Trial:
    """One way and seed: accuracy after each epoch, and at the end of each held-out video.

    train, held_out: a line an epoch; shares of samples in [0, 1] that are right in `detection`, in `classification`,
    and in `one_hot`, each of the class's outputs counted by itself at 0.5. held: a line a held-out video, its samples
    and how many are right. tested: scores of the test videos by the last model; empty with cross-validation.
    """

    way: str
    seed: int
    train: pd.DataFrame
    held_out: pd.DataFrame
    held: pd.DataFrame
    tested: tuple[VideoScores, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What the three ways gave, and what the fixed segments are like: their number, and two shares of them.

    same_video: of those held out at random, whose nearest neighbour in training is of the same video; mislabelled: of
    those labelled anomalous, which hold no annotated frame (None where nothing is annotated in time).
    """

    classes: tuple[str, ...]
    videos: tuple[Video, ...]
    trials: tuple[Trial, ...]
    segments: int
    same_video: float
    mislabelled: float | None

    def of(self, way: str) -> list[Trial]:
        return [t for t in self.trials if t.way == way]

    def majority(self) -> pd.Series:
        """Accuracies of always giving the most frequent answer: anomalous or not, and the class; a trial's columns."""
        anomalous = np.mean([v.label for v in self.videos])
        share = max(np.mean([v.category == c for v in self.videos]) for c in self.classes)
        right = {"detection": max(anomalous, 1 - anomalous), "classification": share}
        return pd.Series({**right, "one_hot": 1 - 1 / len(self.classes)})


@dataclass(frozen=True)
class HeldOut(SequenceSystem):
    """The joint model trained without restraint, on what one way leaves for training."""

    way: str = RANDOM
    parameters = ("joint_width", "joint_top_k", "joint_class_weight", "joint_batch", "joint_epochs")
    scores_validation = False

    def segments(self, config: Config) -> Callable[[int, float], int]:
        if self.way == WHOLE:
            return super().segments(config)
        rate = rows_per_second(config) or config.analysis_fps
        return lambda frames, fps: max(1, min(SEGMENTS, int(rate * frames / fps)))

    def folds(self, config: Config, corpus: Corpus, seed: int) -> list[Sides]:
        """Training and validation videos in one pool, of which `fit` holds some out."""
        pool, test = corpus.of("train", "val", "all"), corpus.of("test")
        return [Sides(tuple(v.name for v in pool), (), tuple(v.name for v in test))]

    def check(self, sides: Sides, problems: Sequence[Problem]) -> None:
        if len({item.video.source for item in sides.train}) < 2 or len({item.video.label for item in sides.train}) < 2:
            wanted = "expected two sources, and normal and anomalous videos; give more videos"
            raise DataError(f"{len(sides.train)} videos are not enough: {wanted}")

    def identity(self, config: Config, view: Item, side: str) -> list:
        return [view.identity, len(view.bag), view.video.category, view.video.source]

    def samples(self, items: Sequence[Item]) -> tuple[list[Bag], pd.DataFrame]:
        """(bags, a line a bag: name and source of its video, the number of its class)."""
        bags, lines = [], []
        for item in items:
            cut = self._cut(item.bag)
            bags += cut
            lines += [(item.video.name, item.video.source, self.classes.index(item.video.category))] * len(cut)
        return bags, pd.DataFrame(lines, columns=["name", "source", "number"])

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        seed, classes, (bags, samples) = task.seed, len(self.classes), self.samples(task.train)
        held = held_out(self.way, samples, seed)
        sides = [[bags[k] for k in np.flatnonzero(side)] for side in (~held, held)]
        labels = [torch.tensor(samples["number"].to_numpy()[side]) for side in (~held, held)]
        settings, curves = task.settings(), ([], [])
        settings.__dict__.update(FREE)
        settings.joint_batch *= 1 if self.way == WHOLE else PER_VIDEO
        weights, streams = class_weights(labels[0], classes), self.streams(task.config)
        with seeded(seed, PHASE):
            dim = bags[0].features.shape[1]
            model, optimiser = new_model(settings, "joint", dim, classes, streams)
            for epoch in range(1, min(EPOCHS, settings.joint_epochs) + 1):
                torch.manual_seed(derived_seed(seed, PHASE, epoch))
                for _ in range(PASSES if self.way == WHOLE else 1):
                    what = f"{self.way}, seed {seed}, epoch {epoch}"
                    losses = sequence_losses(model, sides[0], labels[0], settings, weights)
                    train_epoch(model, optimiser, losses, what, "joint_lr")
                rights = [_right(model, its_bags, its) for its_bags, its in zip(sides, labels, strict=True)]
                for curve, right in zip(curves, rights, strict=True):
                    curve.append({name: part.double().mean().item() for name, part in right.items()})
        counts = pd.DataFrame({"samples": 1} | {name: rights[1][name].numpy().astype(int) for name in RIGHT})
        counts = counts.groupby(samples["name"].to_numpy()[held]).sum()
        built = {"name": "joint", "feature_dim": dim, "classes": classes, "streams": streams}
        facts = {"model": built | sequence_options(settings), "train": curves[0], "held_out": curves[1]}
        return Fitted(model.state_dict(), facts | {"held": counts.to_dict("index")})

    def score(self, config: Config, path: Path, views: Sequence[Item]) -> list[VideoScores]:
        model, found = self.load(path), []
        with one_thread(), torch.no_grad():
            for item in views:
                inputs, mask = padded(self._cut(item.bag))
                found.append(video_scores(item, model(inputs, mask).scores[mask].numpy(), config))
        return found

    def recognise(self, config: Config, path: Path, views: Sequence[Item]) -> list:
        return []

    def _cut(self, bag: Bag) -> list[Bag]:
        """A video's samples."""
        if self.way == WHOLE:
            return [bag]
        return [Bag(bag.starts[k : k + 1], bag.features[k : k + 1]) for k in range(len(bag))]


def run(config: Config, corpus: Corpus, progress: Progress | None = None) -> Failure:
    """Train the joint model in the three ways, with every seed; what the cache has is not done again.

    Raises DataError where fewer than two sources can be used, or all usable videos are of one class.
    """
    runs = {way: runner.run(config, corpus, HeldOut(f"joint model, {way}", way=way), progress) for way in WAYS}
    trials = []
    for way, one in runs.items():
        for seed in one.seeds:
            facts = seed.folds[0].facts
            held = pd.DataFrame.from_dict(facts["held"], orient="index")
            curves = (pd.DataFrame(facts[side]) for side in ("train", "held_out"))
            trials.append(Trial(way, seed.seed, *curves, held, seed.scores))
    system, items = runs[RANDOM].system, runs[RANDOM].seeds[0].folds[0].sides.train
    bags, samples = system.samples(items)
    same = _same_video(bags, samples["name"].to_numpy(), held_out(RANDOM, samples, config.seeds[0]))
    mislabelled = _mislabelled(items, {v.name: v for v in corpus.videos})
    return Failure(system.classes, tuple(item.video for item in items), tuple(trials), len(bags), same, mislabelled)


def held_out(way: str, samples: pd.DataFrame, seed: int) -> np.ndarray:
    """Which samples are held out: one of `FOLDS` folds of samples, or of sources. Shape: (samples,) bool.

    samples: a line each, of `HeldOut.samples`. Raises ValueError for another way, DataError for too few videos.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}, got '{way}'")
    if way == RANDOM:
        return np.random.default_rng(seed).permutation(len(samples)) % FOLDS == 0
    # folds of videos, so that both ways by source hold the same ones out
    videos = samples.drop_duplicates("name").sort_values("name")
    anomalous = videos["number"] > 0
    folds = min(FOLDS, videos["source"].nunique(), anomalous.value_counts().max())
    if folds < 2:
        raise DataError(f"{len(videos)} videos cannot be held apart by source; give more videos")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few sources of a class: then the share held out differs, no more
        deal = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        _, test = next(deal.split(videos, anomalous, videos["source"]))
    return samples["name"].isin(videos["name"].iloc[test]).to_numpy()


def metrics_of(failure: Failure, config: Config, way: str) -> list[Metric]:
    """detection_accuracy and classification_accuracy of all seeds' held-out samples after the last epoch, with
    intervals over videos; a video that several seeds hold out counts in each."""
    trials, counts = failure.of(way), resamples(failure.videos, config)
    totals = sum(t.held.reindex([v.name for v in failure.videos], fill_value=0) for t in trials)
    found = []
    for name in RIGHT:
        share = ratio(totals[name].to_numpy(float), totals["samples"].to_numpy(float))
        whole = estimate(f"{name}_accuracy", {0: share}, counts, config.interval_level)
        per_seed = tuple(float(t.held[name].sum() / t.held["samples"].sum()) for t in trials)
        found.append(replace(whole, per_seed=per_seed, videos=int((totals["samples"] > 0).sum())))
    return found


def _same_video(bags: Sequence[Bag], names: np.ndarray, held: np.ndarray) -> float:
    """Share of held-out segments whose nearest one in training, by cosine, is of the same video."""
    unit = np.concatenate([bag.features for bag in bags])
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    parts = np.array_split(unit[held], -(-held.sum() // EVALUATION))
    nearest = np.concatenate([(part @ unit[~held].T).argmax(axis=1) for part in parts])
    return float(np.mean(names[held] == names[~held][nearest]))


def _mislabelled(items: Sequence[Item], videos: Mapping[str, Video]) -> float | None:
    """By the annotation, which training never sees."""
    empty = []
    for item in items:
        video = videos[item.video.name]
        if video.label and video.intervals is not None:
            labels = video.frame_labels(item.frames)
            empty += [not part.any() for part in np.split(labels, item.bag.starts[1:])]
    return float(np.mean(empty)) if empty else None


def _right(model, bags: Sequence[Bag], labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Which samples are right, by `Trial`'s columns; (n,) bool, one_hot: (n, classes)."""
    model.eval()
    with torch.no_grad():
        outs = [model(*padded(bags[k : k + EVALUATION])) for k in range(0, len(bags), EVALUATION)]
    scores, classes = torch.cat([out.videos for out in outs]), torch.cat([out.classes for out in outs]).softmax(dim=1)
    one_hot = torch.nn.functional.one_hot(labels, classes.shape[1]).bool()
    return {
        "detection": (scores > 0.5) == (labels > 0),
        "classification": classes.argmax(dim=1) == labels,
        "one_hot": (classes > 0.5) == one_hot,
    }
