"""Which anomaly is it? Metrics of the class that a model gives to a video, with intervals over videos, and what chance gives.

    found = recognition.evaluate(run.recognised(), config)             # which of the anomalies, of anomalous videos
    found = recognition.evaluate(run.recognised(), config, "all")      # with the normal class as one of them

| metric | of what | range |
| --- | --- | --- |
| accuracy | videos whose most probable class is theirs | [0, 1] |
| macro_f1 | F1 of each class that a video has, their plain mean, so that a rare class counts as much as a common one | [0, 1] |
| mean_ap | average precision of each such class against the rest, by its probability, their plain mean (mAP) | [0, 1] |

Of anomalous videos alone, the probability of the normal class is left out and the others are scaled to sum to 1: to see
*that* something happens is detection, which other metrics measure. Values are means over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vadkit.core.errors import UndefinedMetricError
from vadkit.corpora.video import NORMAL
from vadkit.evaluation import bootstrap as intervals
from vadkit.evaluation import metrics
from vadkit.evaluation.evaluate import Metric, resamples

if TYPE_CHECKING:
    from vadkit.core.config import Config

METRICS = ("accuracy", "macro_f1", "mean_ap")
PERMUTATIONS = 200
Among = Literal["anomalous", "all"]


@dataclass(frozen=True, eq=False)
class Recognised:
    """What a model says of a video's class. classes: the normal one first; probabilities: (classes,), summing to 1."""

    name: str
    category: str
    source: str
    classes: tuple[str, ...]
    probabilities: np.ndarray


@dataclass(frozen=True)
class Chance:
    """What a metric would be without knowing the videos.

    majority: of a model that gives every video the class most frequent in training. permuted, permuted_high: mean and
    upper 97.5 % of the metric with the videos' classes shuffled among them. p: share of shuffles that reach the model's
    value (with the model's own among them). None, with `reason`, where the metric has no value.
    """

    metric: str
    majority: float | None
    permuted: float | None
    permuted_high: float | None
    p: float | None
    reason: str = ""


SeedClasses = Mapping[int, Sequence[Recognised]]


def evaluate(recognised: SeedClasses, config: Config, among: Among = "anomalous") -> list[Metric]:
    """The metrics of the table above, each with its interval; None and the reason where classes cannot be told apart.

    Videos of classes that no model was trained on take no part (see `strangers`). Raises ValueError where there is no
    seed, seeds differ in their videos or classes, or a probability is not one.
    """
    videos = next(iter(_checked(recognised).values()))
    try:
        tables = [_table(seed, among) for seed in recognised.values()]
    except UndefinedMetricError as error:
        return [
            Metric(name, None, None, None, (None,) * len(recognised), len(_taking_part(videos, among)), str(error))
            for name in METRICS
        ]
    counts = resamples(tables[0].videos, config)
    found = []
    for name in METRICS:
        values = [_value(name, t.truth, t.probabilities) for t in tables]
        resampled = intervals.mean_of([_statistic(name, t) for t in tables])(counts)
        its = intervals.interval(float(np.mean(values)), resampled, config.interval_level)
        found.append(Metric(name, its.value, its.low, its.high, tuple(values), len(tables[0].truth), its.reason))
    return found


def chance(
    recognised: SeedClasses,
    training: Mapping[str, int],
    among: Among = "anomalous",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[Chance]:
    """What each metric of `evaluate` would be by chance. training: how many training videos each class has.

    Raises ValueError as `evaluate` does.
    """
    _checked(recognised)
    try:
        tables = [_table(videos, among) for videos in recognised.values()]
    except UndefinedMetricError as error:
        return [Chance(name, None, None, None, None, str(error)) for name in METRICS]
    truth, classes = tables[0].truth, tables[0].classes
    guess = np.zeros((len(truth), len(classes)))
    guess[:, int(np.argmax([training.get(c, 0) for c in classes]))] = 1.0
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(truth) for _ in range(permutations)]
    found = []
    for name in METRICS:
        ours = np.mean([_value(name, truth, t.probabilities) for t in tables])
        drawn = np.array([np.mean([_value(name, order, t.probabilities) for t in tables]) for order in shuffled])
        p = (1 + np.sum(drawn >= ours - 1e-12)) / (1 + permutations)
        found.append(
            Chance(name, _value(name, truth, guess), float(drawn.mean()), float(np.quantile(drawn, 0.975)), float(p))
        )
    return found


def confusion(recognised: SeedClasses, among: Among = "all") -> tuple[tuple[str, ...], np.ndarray]:
    """(classes, counts): videos of each class (rows) by the class given to them (columns), the mean over seeds.

    Classes that no video has keep an empty row. Raises ValueError as `evaluate` does.
    """
    from sklearn.metrics import confusion_matrix

    _checked(recognised)
    tables = [_tabulated(videos, among) for videos in recognised.values()]
    labels = np.arange(len(tables[0].classes))
    found = [confusion_matrix(t.truth, t.probabilities.argmax(axis=1), labels=labels) for t in tables if len(t.truth)]
    return tables[0].classes, np.mean(found, axis=0) if found else np.zeros((len(labels), len(labels)))


def strangers(recognised: SeedClasses) -> dict[str, int]:
    """How many videos of each class take no part because no model was trained on the class."""
    videos = next(iter(recognised.values()), ())
    lost = [v.category for v in videos if v.category not in v.classes]
    return {category: lost.count(category) for category in sorted(set(lost))}


# --- tables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Table:
    """One seed: truth (videos,) class numbers, probabilities (videos, classes)."""

    videos: tuple[Recognised, ...]
    classes: tuple[str, ...]
    truth: np.ndarray
    probabilities: np.ndarray


def _taking_part(videos: Sequence[Recognised], among: Among) -> list[Recognised]:
    return [v for v in videos if v.category in v.classes and (among == "all" or v.category != NORMAL)]


def _table(videos: Sequence[Recognised], among: Among) -> _Table:
    table = _tabulated(videos, among)
    if len(table.classes) < 2:
        only = f" ({table.classes[0]})" if table.classes else ""
        raise UndefinedMetricError(
            f"the training videos have {len(table.classes)} class of anomaly{only}: there is no class to tell from another"
        )
    present = len(np.unique(table.truth))
    if present < 2:
        raise UndefinedMetricError(
            f"{len(table.truth)} test videos of {present} of the {len(table.classes)} classes trained on: there is no class to tell from another"
        )
    return table


def _tabulated(videos: Sequence[Recognised], among: Among) -> _Table:
    if among not in ("anomalous", "all"):
        raise ValueError(f"among must be 'anomalous' or 'all', got '{among}'")
    kept = _taking_part(videos, among)
    everything = videos[0].classes
    columns = [k for k, name in enumerate(everything) if among == "all" or name != NORMAL]
    classes = tuple(everything[k] for k in columns)
    chosen = np.array([np.asarray(v.probabilities, np.float64)[columns] for v in kept]).reshape(len(kept), len(columns))
    total = chosen.sum(axis=1, keepdims=True)
    even = np.full_like(chosen, 1 / max(len(columns), 1))
    probabilities = np.divide(chosen, total, out=even, where=total > 0)  # all of it on the normal class: no opinion
    return _Table(tuple(kept), classes, np.array([classes.index(v.category) for v in kept], np.int64), probabilities)


def _checked(recognised: SeedClasses) -> SeedClasses:
    if not recognised or not all(recognised.values()):
        raise ValueError(
            "expected the classes of at least one seed and one video, got none; a model of detection alone gives none"
        )
    first = next(iter(recognised.values()))
    for seed, videos in recognised.items():
        if [(v.name, v.category, v.classes) for v in videos] != [(v.name, v.category, v.classes) for v in first]:
            raise ValueError(
                f"seeds {next(iter(recognised))} and {seed} must recognise the same videos, in the same order, among the same classes"
            )
        for v in videos:
            p = np.asarray(v.probabilities)
            if (
                p.shape != (len(v.classes),)
                or not np.isfinite(p).all()
                or p.min() < 0
                or abs(p.sum() - 1) > 1e-3
                or v.classes != first[0].classes
            ):
                raise ValueError(
                    f"{v.name}, seed {seed}: expected {len(v.classes)} probabilities that sum to 1, got {p.tolist()}"
                )
    return recognised


# --- metrics -----------------------------------------------------------------------------------------------------


def _value(name: str, truth: np.ndarray, probabilities: np.ndarray) -> float:
    """A metric of one seed, over the classes that occur in `truth`."""
    predicted, present = probabilities.argmax(axis=1), np.unique(truth)
    if name == "accuracy":
        return float(np.mean(predicted == truth))
    if name == "macro_f1":
        size = probabilities.shape[1]
        right = np.bincount(truth[predicted == truth], minlength=size)
        return float(
            (2 * right / np.maximum(np.bincount(truth, minlength=size) + np.bincount(predicted, minlength=size), 1))[
                present
            ].mean()
        )
    return float(np.mean([metrics.average_precision(truth == c, probabilities[:, c]) for c in present]))


def _statistic(name: str, table: _Table) -> intervals.Statistic:
    """The same as a function of how often each video is drawn, over the classes that occur among those drawn."""
    truth, predicted = table.truth, table.probabilities.argmax(axis=1)
    if name == "accuracy":
        return intervals.ratio(predicted == truth, np.ones(len(truth)))
    each = []
    for c in np.unique(truth):
        mine, given = truth == c, predicted == c
        if name == "macro_f1":
            each.append(_where_drawn(intervals.ratio(2 * (mine & given), mine * 1 + given), mine))
        else:
            each.append(intervals.average_precision(mine.astype(int)[:, None], table.probabilities[:, [c]]))
    return intervals.mean_of(each)


def _where_drawn(statistic: intervals.Statistic, mine: np.ndarray) -> intervals.Statistic:
    return lambda counts: np.where(counts @ mine > 0, statistic(counts), np.nan)
