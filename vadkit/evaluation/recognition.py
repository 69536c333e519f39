"""Which anomaly is it? Metrics of the class that a model gives to a video, with intervals, and what chance gives.

    found = recognition.evaluate(run.recognised(), config)  # of anomalous videos; "all": with the normal class as one

| metric | of what | range |
| --- | --- | --- |
| accuracy | videos whose most probable class is theirs | [0, 1] |
| macro_f1 | F1 of each class that a video has; their plain mean, so that a rare class counts as a common one | [0, 1] |
| mean_ap | average precision of each such class against the rest, by its probability; their plain mean | [0, 1] |

Of anomalous videos alone, the probability of the normal class is left out and the others are scaled to sum to 1; a
video whose whole probability is on the normal class is given no class, which is wrong. Values are means over seeds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vadkit.core.config import Config
from vadkit.corpora.video import NORMAL
from vadkit.evaluation import bootstrap
from vadkit.evaluation.bootstrap import Metric, Statistic
from vadkit.evaluation.pooled import average_precision

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
    """What a metric would be without knowing the videos; None, with `reason`, where it has no value.

    majority: if every video had the class most frequent in training. permuted, permuted_high: mean and 97.5 % quantile
    with the videos' classes shuffled. p: share of shuffles that reach the model's value (its own among them).
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
    tables = _tables(recognised, among)
    first = next(iter(tables.values()))
    if why := first.undefined:
        return [Metric(name, None, None, None, (None,) * len(tables), len(first.videos), why) for name in METRICS]
    counts, found = bootstrap.resamples(first.videos, config), []
    for name in METRICS:
        statistics = {seed: _statistic(name, table) for seed, table in tables.items()}
        found.append(bootstrap.estimate(name, statistics, counts, config.interval_level))
    return found


def chance(
    recognised: SeedClasses, config: Config, training: Mapping[str, int], among: str = "anomalous", seed: int = 0
) -> list[Chance]:
    """What each metric of `evaluate` would be by chance. training: how many training videos each class has.

    Where config.interval_over is "sources", whole sources are shuffled: the classes, source by source in a new order,
    are laid over the videos, source by source (our reading). Raises ValueError as `evaluate` does.
    """
    tables = list(_tables(recognised, among).values())
    first, rng, found = tables[0], np.random.default_rng(seed), []
    if first.undefined:
        return [Chance(name, None, None, None, None, first.undefined) for name in METRICS]
    frequent = np.full_like(first.truth, np.argmax([training.get(c, 0) for c in first.classes]))
    majority = replace(first, probabilities=np.eye(len(first.classes))[frequent], given=frequent)
    groups = bootstrap.drawn_together(first.videos, config)
    blocks = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    place = np.argsort(np.concatenate(blocks))
    orders = ([rng.permutation(blocks[k]) for k in rng.permutation(len(blocks))] for _ in range(PERMUTATIONS))
    shuffled = [first.truth[np.concatenate(order)][place] for order in orders]
    for name in METRICS:
        ours = np.mean([_statistic(name, t).value for t in tables])
        drawn = [np.mean([_statistic(name, replace(t, truth=truth)).value for t in tables]) for truth in shuffled]
        p = (1 + np.sum(np.array(drawn) >= ours - 1e-12)) / (1 + PERMUTATIONS)
        permuted = float(np.mean(drawn)), float(np.quantile(drawn, 0.975))
        found.append(Chance(name, _statistic(name, majority).value, *permuted, float(p)))
    return found


def confusion(recognised: SeedClasses, among: str = "all") -> tuple[tuple[str, ...], np.ndarray]:
    """(classes, counts): videos of each class (rows) by the class given to them (columns), the mean over seeds.

    Classes without a video keep an empty row; a video that is given no class is in no column. ValueError as `evaluate`.
    """
    from sklearn.metrics import confusion_matrix

    tables = list(_tables(recognised, among).values())
    labels = np.arange(len(tables[0].classes))
    found = [confusion_matrix(t.truth, t.given, labels=labels) for t in tables if len(t.truth)]
    return tables[0].classes, np.mean(found or [np.zeros((len(labels), len(labels)))], axis=0)


def strangers(recognised: SeedClasses) -> dict[str, int]:
    """How many videos of each class take no part because no model was trained on the class."""
    videos = next(iter(recognised.values()), ())
    return dict(sorted(Counter(v.category for v in videos if v.category not in v.classes).items()))


@dataclass(frozen=True, eq=False)
class _Table:
    """One seed's videos: truth and given (videos,) class numbers, probabilities (videos, classes)."""

    videos: tuple[Recognised, ...]
    classes: tuple[str, ...]
    truth: np.ndarray
    probabilities: np.ndarray
    given: np.ndarray

    @property
    def undefined(self) -> str:
        """Why classes cannot be told apart; empty where they can."""
        trained, present = len(self.classes), len(np.unique(self.truth))
        if trained < 2:
            what = f"the training videos have {trained} class of anomaly" + "".join(f" ({c})" for c in self.classes)
        else:
            what = f"{len(self.truth)} test videos of {present} of the {trained} classes trained on"
        return "" if min(trained, present) > 1 else f"{what}: there is no class to tell from another"


def _table(videos: Sequence[Recognised], among: str) -> _Table:
    classes = tuple(name for name in videos[0].classes if among == "all" or name != NORMAL)
    kept, columns = tuple(v for v in videos if v.category in classes), np.isin(videos[0].classes, classes)
    chosen = np.array([v.probabilities for v in kept], np.float64).reshape(len(kept), len(columns))[:, columns]
    total = chosen.sum(axis=1, keepdims=True)
    probabilities = np.divide(chosen, total, out=np.zeros_like(chosen), where=total > 0)
    given = np.where(total[:, 0] > 0, probabilities.argmax(axis=1), NONE_GIVEN) if classes else np.zeros(0)
    truth = np.array([classes.index(v.category) for v in kept], np.int64)
    return _Table(kept, classes, truth, probabilities, given)


def _tables(recognised: SeedClasses, among: str) -> dict[int, _Table]:
    """A table a seed, once all is as it should be."""
    if among not in ("anomalous", "all"):
        raise ValueError(f"among must be 'anomalous' or 'all', got '{among}'")
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
    return {seed: _table(videos, among) for seed, videos in recognised.items()}


def _statistic(name: str, table: _Table) -> Statistic:
    """A metric of one seed, over the classes that occur among the videos drawn."""
    truth, given = table.truth, table.given
    if name == "accuracy":
        return bootstrap.ratio(given == truth, np.ones(len(truth)))
    each = []
    for c in np.unique(truth):
        mine = truth == c
        if name == "mean_ap":
            each.append(average_precision(mine[:, None], table.probabilities[:, [c]]))
        else:
            each.append(bootstrap.f1(given == c, mine, [mine]))
    return bootstrap.mean_of(each)
