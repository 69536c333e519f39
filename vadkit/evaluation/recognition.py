"""Which anomaly is it? Metrics of the class that a model gives to a video, with intervals, and what chance gives.

    found = recognition.evaluate(run.recognised(), config)             # which of the anomalies, of anomalous videos
    found = recognition.evaluate(run.recognised(), config, "all")      # with the normal class as one of them

| metric | of what | range |
| --- | --- | --- |
| accuracy | videos whose most probable class is theirs | [0, 1] |
| macro_f1 | F1 of each class that a video has; their plain mean, so that a rare class counts as a common one | [0, 1] |
| mean_ap | average precision of each such class against the rest, by its probability; their plain mean | [0, 1] |

Of anomalous videos alone, the probability of the normal class is left out and the others are scaled to sum to 1: to
see *that* something happens is detection, which other metrics measure. A video whose whole probability is on the
normal class is then given no class, which is wrong whatever its class is. Values are means over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.errors import UndefinedMetricError
from vadkit.corpora.video import NORMAL
from vadkit.evaluation import bootstrap
from vadkit.evaluation.bootstrap import Metric, Statistic

if TYPE_CHECKING:
    from vadkit.core.config import Config

METRICS = ("accuracy", "macro_f1", "mean_ap")
PERMUTATIONS = 200
NONE_GIVEN = -1  # the class number of a video that is given none


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


def evaluate(recognised: SeedClasses, config: Config, among: str = "anomalous") -> list[Metric]:
    """The metrics of the table above, each with its interval; None and the reason where classes cannot be told apart.

    among: "anomalous" videos, or "all". Videos of classes that no model was trained on take no part (see `strangers`).
    Raises ValueError where there is no seed, seeds differ in their videos or classes, or a probability is not one.
    """
    videos = next(iter(_checked(recognised).values()))
    try:
        tables = {seed: _table(its, among) for seed, its in recognised.items()}
    except UndefinedMetricError as error:
        nothing = (None, None, None, (None,) * len(recognised), len(_taking_part(videos, among)), str(error))
        return [Metric(name, *nothing) for name in METRICS]
    counts = bootstrap.resamples(_taking_part(videos, among), config)
    return [
        bootstrap.estimate(
            name, {seed: _statistic(name, t) for seed, t in tables.items()}, counts, config.interval_level
        )
        for name in METRICS
    ]


def chance(
    recognised: SeedClasses, config: Config, training: Mapping[str, int], among: str = "anomalous", seed: int = 0
) -> list[Chance]:
    """What each metric of `evaluate` would be by chance. training: how many training videos each class has.

    Where config.interval_over is "sources", whole sources are shuffled, and the videos of each, as cuts of one
    recording are not independent: the classes, source by source in a new order, are laid over the videos, source by
    source (our reading where sources have different numbers of videos). Raises ValueError as `evaluate` does.
    """
    _checked(recognised)
    try:
        tables = [_table(videos, among) for videos in recognised.values()]
    except UndefinedMetricError as error:
        return [Chance(name, None, None, None, None, str(error)) for name in METRICS]
    first = tables[0]
    frequent = int(np.argmax([training.get(c, 0) for c in first.classes]))
    always = np.zeros_like(first.probabilities)
    always[:, frequent] = 1.0
    majority = replace(first, probabilities=always, given=np.full_like(first.truth, frequent))
    rng = np.random.default_rng(seed)
    groups = bootstrap.drawn_together(first.videos, config)
    blocks = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    place = np.argsort(np.concatenate(blocks))
    shuffled = []
    for _ in range(PERMUTATIONS):
        order = np.concatenate([rng.permutation(blocks[k]) for k in rng.permutation(len(blocks))])
        shuffled.append(first.truth[order][place])
    found = []
    for name in METRICS:
        ours = np.mean([_statistic(name, t).value for t in tables])
        drawn = [np.mean([_statistic(name, replace(t, truth=truth)).value for t in tables]) for truth in shuffled]
        p = (1 + np.sum(np.array(drawn) >= ours - 1e-12)) / (1 + PERMUTATIONS)
        permuted = float(np.mean(drawn)), float(np.quantile(drawn, 0.975))
        found.append(Chance(name, _statistic(name, majority).value, *permuted, float(p)))
    return found


def confusion(recognised: SeedClasses, among: str = "all") -> tuple[tuple[str, ...], np.ndarray]:
    """(classes, counts): videos of each class (rows) by the class given to them (columns), the mean over seeds.

    Classes that no video has keep an empty row; a video that is given no class is in no column. Raises ValueError as
    `evaluate` does.
    """
    from sklearn.metrics import confusion_matrix

    _checked(recognised)
    tables = [_tabulated(videos, among) for videos in recognised.values()]
    labels = np.arange(len(tables[0].classes))
    found = [confusion_matrix(t.truth, t.given, labels=labels) for t in tables if len(t.truth)]
    return tables[0].classes, np.mean(found, axis=0) if found else np.zeros((len(labels), len(labels)))


def strangers(recognised: SeedClasses) -> dict[str, int]:
    """How many videos of each class take no part because no model was trained on the class."""
    videos = next(iter(recognised.values()), ())
    lost = [v.category for v in videos if v.category not in v.classes]
    return {category: lost.count(category) for category in sorted(set(lost))}


# --- tables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Table:
    """One seed's videos: truth and given (videos,) class numbers, probabilities (videos, classes)."""

    videos: tuple[Recognised, ...]
    classes: tuple[str, ...]
    truth: np.ndarray
    probabilities: np.ndarray
    given: np.ndarray


def _taking_part(videos: Sequence[Recognised], among: str) -> list[Recognised]:
    return [v for v in videos if v.category in v.classes and (among == "all" or v.category != NORMAL)]


def _table(videos: Sequence[Recognised], among: str) -> _Table:
    table = _tabulated(videos, among)
    trained, nothing = len(table.classes), "there is no class to tell from another"
    if trained < 2:
        only = f" ({table.classes[0]})" if table.classes else ""
        raise UndefinedMetricError(f"the training videos have {trained} class of anomaly{only}: {nothing}")
    present = len(np.unique(table.truth))
    if present < 2:
        tested = f"{len(table.truth)} test videos of {present} of the {trained} classes trained on"
        raise UndefinedMetricError(f"{tested}: {nothing}")
    return table


def _tabulated(videos: Sequence[Recognised], among: str) -> _Table:
    if among not in ("anomalous", "all"):
        raise ValueError(f"among must be 'anomalous' or 'all', got '{among}'")
    kept = _taking_part(videos, among)
    columns = [k for k, name in enumerate(videos[0].classes) if among == "all" or name != NORMAL]
    classes = tuple(videos[0].classes[k] for k in columns)
    chosen = np.array([np.asarray(v.probabilities, np.float64)[columns] for v in kept]).reshape(len(kept), len(columns))
    total = chosen.sum(axis=1, keepdims=True)
    probabilities = np.divide(chosen, total, out=np.zeros_like(chosen), where=total > 0)
    given, sure = np.full(len(kept), NONE_GIVEN), total[:, 0] > 0
    if columns:
        given[sure] = probabilities[sure].argmax(axis=1)
    truth = np.array([classes.index(v.category) for v in kept], np.int64)
    return _Table(tuple(kept), classes, truth, probabilities, given)


def _checked(recognised: SeedClasses) -> SeedClasses:
    if not recognised or not all(recognised.values()):
        what = "the classes of at least one seed and one video"
        raise ValueError(f"expected {what}, got none; a model of detection alone gives none")
    start, first = next(iter(recognised.items()))
    for seed, videos in recognised.items():
        if [(v.name, v.category, v.classes) for v in videos] != [(v.name, v.category, v.classes) for v in first]:
            same = "the same videos, in the same order, among the same classes"
            raise ValueError(f"seeds {start} and {seed} must recognise {same}")
        for v in videos:
            p = np.asarray(v.probabilities)
            probable = p.shape == (len(v.classes),) and np.isfinite(p).all() and p.min() >= 0
            if not probable or abs(p.sum() - 1) > 1e-3 or v.classes != first[0].classes:
                what = f"{len(v.classes)} probabilities that sum to 1, got {p.tolist()}"
                raise ValueError(f"{v.name}, seed {seed}: expected {what}")
    return recognised


# --- metrics -----------------------------------------------------------------------------------------------------


def _statistic(name: str, table: _Table) -> Statistic:
    """A metric of one seed, over the classes that occur among the videos drawn."""
    truth, given = table.truth, table.given
    if name == "accuracy":
        return bootstrap.ratio(given == truth, np.ones(len(truth)))
    each = []
    for c in np.unique(truth):
        mine = truth == c
        if name == "macro_f1":
            f1 = bootstrap.ratio(2 * (mine & (given == c)), mine * 1 + (given == c))
            each.append(_where_drawn(f1, mine))
        else:
            each.append(bootstrap.average_precision(mine[:, None], table.probabilities[:, [c]]))
    return bootstrap.mean_of(each)


def _where_drawn(statistic: Statistic, mine: np.ndarray) -> Statistic:
    return replace(statistic, function=lambda counts: np.where(counts @ mine > 0, statistic(counts), np.nan))
