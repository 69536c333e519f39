"""Bootstrap intervals over videos, exact and quick enough for a million frames.

Frames of one video are not independent, so a resample draws whole videos, with replacement; how often each was drawn
is its count, and a `Statistic` is a metric as a function of these counts. Quick, because frames of one video with equal
scores collapse into one row, and rightly ordered (positive, negative) pairs are counted once, by pairs of videos: a
resample's AUC is one quadratic form of its counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError

MAX_UNDEFINED = 0.1  # past this share of undefined resamples, the rest no longer stand for the videos drawn
AT_ONCE = 4096  # thresholds that are counted together
RESAMPLING_SEED = 0  # the same resamples for every metric and system of one test set


@dataclass(frozen=True)
class Statistic:
    """A metric of `videos` videos as a function of how often each is drawn; NaN where it is undefined.

    Shape of a call: counts (resamples, videos) -> (resamples,). why: why it has no value on the videos themselves, each
    drawn once; empty where it has one.
    """

    function: Callable[[np.ndarray], np.ndarray]
    videos: int
    why: str = ""

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        return self.function(counts)

    def __sub__(self, other: Statistic) -> Statistic:
        return Statistic(lambda counts: self(counts) - other(counts), self.videos, self.why or other.why)

    @property
    def value(self) -> float:
        """The metric of the videos themselves. Raises UndefinedMetricError, with `why`, where it has none."""
        value = float(self(np.ones((1, self.videos)))[0])
        if math.isnan(value):
            raise UndefinedMetricError(self.why or "no value on these videos")
        return value


@dataclass(frozen=True)
class Metric:
    """A metric's mean over seeds and its interval; None where it has no value, and `reason` says why.

    unit: "s" for seconds, "" for a share or an area in [0, 1].
    """

    name: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    per_seed: tuple[float | None, ...]
    videos: int
    reason: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Comparison:
    """System a minus system b on one metric; `relative` is a / b - 1, as the first paper counts.

    None where it has no value, and `reason` says why. unit: as that of the metric.
    """

    metric: str
    a: float | None
    b: float | None
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    seeds: int
    videos: int
    reason: str = ""
    unit: str = ""


def estimate(name: str, statistics: Mapping[int, Statistic], counts: np.ndarray, level: float, unit="") -> Metric:
    """A metric with its percentile interval: the mean of each seed's statistic, over those that have a value.

    counts: (resamples, videos), from `resamples`; level: in (0, 1), otherwise ValueError. Resamples on which the metric
    is undefined are left out, and `reason` counts them; where they are more than a tenth there is no interval.
    """
    value, per_seed, left_out = _over_seeds(statistics)
    if value is None:
        return Metric(name, None, None, None, per_seed, counts.shape[1], left_out, unit)
    low, high, reason = _percentiles(mean_of(statistics.values())(counts), level)
    return Metric(name, value, low, high, per_seed, counts.shape[1], "; ".join(filter(None, (reason, left_out))), unit)


def difference(metric: str, a, b, counts: Sequence[np.ndarray], level: float, videos: int, unit="") -> Comparison:
    """a minus b, each the mean over its seeds, with resample k of a beside resample k of b.

    a, b: a statistic a seed; counts: of a and of b, the same where both are on the same videos; videos: all there are.
    """
    (value_a, _, why_a), (value_b, _, why_b) = _over_seeds(a), _over_seeds(b)
    seeds = min(len(a), len(b))
    if value_a is None or value_b is None:
        return Comparison(metric, value_a, value_b, *[None] * 6, seeds, videos, why_a or why_b, unit)
    at_a, at_b = (mean_of(side.values())(drawn) for side, drawn in zip((a, b), counts, strict=True))
    low, high, reason = _percentiles(at_a - at_b, level)
    relative = [None] * 3
    if value_b:
        *bounds, its_reason = _percentiles(divide(at_a, at_b) - 1, level)
        relative = [value_a / value_b - 1, *bounds]
        if its_reason not in ("", reason):
            reason = f"{reason}; relative change: {its_reason}".removeprefix("; ")
    absolute = (value_a, value_b, value_a - value_b, low, high)
    return Comparison(metric, *absolute, *relative, seeds, videos, reason or why_a or why_b, unit)


def _over_seeds(statistics: Mapping[int, Statistic]) -> tuple[float | None, tuple[float | None, ...], str]:
    """(mean over the seeds that have a value, each seed's value, why some have none)."""
    values, reasons = dict.fromkeys(statistics), {}
    for seed, statistic in statistics.items():
        try:
            values[seed] = statistic.value
        except UndefinedMetricError as error:
            reasons[seed] = str(error)
    if len(reasons) == len(values):
        return None, tuple(values.values()), next(iter(reasons.values()))
    mean = float(np.mean([v for v in values.values() if v is not None]))
    return mean, tuple(values.values()), "; ".join(f"seed {s} left out: {why}" for s, why in reasons.items())


def _percentiles(resampled: np.ndarray, level: float) -> tuple[float | None, float | None, str]:
    """(low, high, what to know about them) of resampled values, NaN being undefined ones."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    total, undefined = len(resampled), int(np.isnan(resampled).sum())
    if undefined > MAX_UNDEFINED * total:
        return None, None, f"undefined in {undefined} of {total} resamples: too few videos of a class"
    tail = (1 - level) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    constant = "the same in every resample, which leaves no interval" if low == high else ""
    left_out = f"{undefined} of {total} resamples left out: no value on the videos drawn" if undefined else ""
    return float(low), float(high), "; ".join(filter(None, (constant, left_out)))


def resamples(videos: Sequence, config: Config, seed: int = RESAMPLING_SEED) -> np.ndarray:
    """How often each video is drawn. Shape: (resamples, videos). By sources, all videos of a source come together.

    videos: anything with a `source`; seed: another one for a second set of videos, independent of the first.
    """
    group = drawn_together(videos, config)
    return draw(int(group.max(initial=-1)) + 1, config.bootstrap_resamples, seed)[:, group]


def drawn_together(videos: Sequence, config: Config) -> np.ndarray:
    """The number of the group that each video is drawn with: itself alone, or its source. Shape: (videos,)."""
    names = range(len(videos)) if config.interval_over == "videos" else [v.source for v in videos]
    return np.unique(names, return_inverse=True)[1]


def draw(videos: int, count: int, seed: int) -> np.ndarray:
    """How often each video is drawn, `count` times. Shape: (count, videos) float64; every row sums to `videos`.

    The same for the same arguments, so that two systems on the same videos meet the same resamples.
    """
    if videos < 1 or count < 1:
        raise ValueError(f"expected at least one video and one resample, got {videos} and {count}")
    rng = np.random.default_rng(np.random.SeedSequence([seed, videos]))
    return rng.multinomial(videos, np.full(videos, 1 / videos), size=count).astype(np.float64)


def ratio(numerator, denominator, why: str = "") -> Statistic:
    """A sum over videos divided by another. Shape: two vectors (videos,). Undefined where the second is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    why = "" if denominator.any() else why
    return Statistic(lambda counts: divide(counts @ numerator, counts @ denominator), len(numerator), why)


def f1(called: np.ndarray, truth: np.ndarray, needed: Sequence[np.ndarray], why: str = "") -> Statistic:
    """F1 of videos. Shape: masks (videos,). Undefined where no video of one of the masks `needed` is drawn."""
    anyway = ratio(2 * (called & truth), called * 1 + truth)

    def function(counts: np.ndarray) -> np.ndarray:
        return np.where(np.all([counts @ mask > 0 for mask in needed], axis=0), anyway(counts), np.nan)

    return Statistic(function, len(truth), why)


def mean_of(statistics: Iterable[Statistic]) -> Statistic:
    """The mean of several statistics (seeds, classes) in each resample, over those that have a value there."""
    each = list(statistics)

    def function(counts: np.ndarray) -> np.ndarray:
        values = np.stack([one(counts) for one in each])
        return divide(np.nansum(values, axis=0), np.sum(~np.isnan(values), axis=0).astype(float))

    return Statistic(function, each[0].videos)


def average_precision(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], trapezoids=False) -> Statistic:
    """Average precision of pooled frames, a sum of steps without interpolation, ties taken together.

    labels, scores: one vector a video. Chance: the share of positives. trapezoids: see `precision_area`.
    """
    values, positives, negatives, video = collapse(labels, scores)
    held = positives > 0  # the other rows add nothing to recall
    area = precision_area((video[held], positives[held], values[held]), labels, scores, trapezoids)
    normal = np.bincount(video, negatives, len(scores))
    why = one_class(positives.sum(), negatives.sum(), "frame")
    return Statistic(lambda counts: np.where(counts @ normal > 0, area(counts), np.nan), len(scores), why)


def precision_area(gains: tuple[np.ndarray, ...], labels, scores, trapezoids=False) -> Statistic:
    """Precision of pooled frames summed over a recall: its steps are `gains`, (video, gain, score that the threshold
    falls to), whose sum over the videos drawn is a recall of 1.

    trapezoids: straight lines between the points of precision and recall, from a precision of 1 at recall 0.
    """
    video, gain, score = (np.asarray(column) for column in gains)
    thresholds, place = np.unique(score, return_inverse=True)
    scores = [np.asarray(one) for one in scores]
    hits = [one[np.asarray(y) > 0] for y, one in zip(labels, scores, strict=True)]
    hits, frames = ([(v, np.sort(one)) for v, one in enumerate(each) if len(one)] for each in (hits, scores))
    whole = np.bincount(video, gain, len(scores))
    rising = whole > 0

    # of each score, how many thresholds it reaches ("right") or passes ("left")
    sides = ("right", "left") if trapezoids else ("right",)
    ranks = {
        side: [[(v, np.searchsorted(thresholds, one, side)) for v, one in each] for each in (hits, frames)]
        for side in sides
    }

    def reaching(some: list, k: int, size: int, counts: np.ndarray) -> np.ndarray:
        """How many scores of the videos drawn reach each of `size` thresholds from the k-th on."""
        beyond = (np.minimum(rank[np.searchsorted(rank, k, "right") :] - k, size) for _, rank in some)
        tables = [np.bincount(one, minlength=size + 1) for one in beyond]
        table = np.array(tables, float)[:, :0:-1].cumsum(axis=1)[:, ::-1]
        return counts[:, [v for v, _ in some]] @ table

    def function(counts: np.ndarray) -> np.ndarray:
        total = np.zeros(len(counts))
        for k in range(0, len(thresholds), AT_ONCE):
            at, mine = thresholds[k : k + AT_ONCE], (place >= k) & (place < k + AT_ONCE)
            steps = np.zeros((len(scores), len(at)))
            np.add.at(steps, (video[mine], place[mine] - k), gain[mine])
            height = np.zeros((len(counts), len(at)))
            for each in ranks.values():
                found, alarms = (reaching(some, k, len(at), counts) for some in each)
                height += np.divide(found, alarms, out=np.ones_like(found), where=alarms > 0) / len(sides)
            total += np.sum(height * (counts[:, rising] @ steps[rising]), axis=1)
        return divide(total, counts @ whole)

    return Statistic(function, len(scores))


class PairCounts:
    """Rightly ordered (positive, negative) pairs of frames between every two videos, ties one half.

    labels, scores: one vector a video. `won[i, j]` counts pairs of a positive of video i and a negative of video j;
    `positives` and `negatives` count frames. Counts, so sums are exact.
    """

    def __init__(self, labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]):
        videos = len(scores)
        values, positives, negatives, video = collapse(labels, scores)
        self.positives = np.bincount(video, positives, videos)
        self.negatives = np.bincount(video, negatives, videos)
        self.won = np.zeros((videos, videos))
        held = np.flatnonzero(positives > 0)
        held = held[np.argsort(values[held], kind="stable")]  # sorted needles: searchsorted is several times quicker
        needles, weights, owner = values[held], positives[held], video[held]
        for j in range(videos):
            mine = slice(*np.searchsorted(video, (j, j + 1)))
            below = np.append(0.0, np.cumsum(negatives[mine]))
            left, right = (np.searchsorted(values[mine], needles, side) for side in ("left", "right"))
            self.won[:, j] = np.bincount(owner, weights * 0.5 * (below[left] + below[right]), videos)

    def auc(self, of=slice(None), against=slice(None), what: str = "frame") -> Statistic:
        """AUC of the positives of some videos against the negatives of some; masks (videos,), all by default.

        what: what a row of a video is, for the reason where one class is absent.
        """
        won, positives, negatives = self.won[of][:, against], self.positives[of], self.negatives[against]

        def function(counts: np.ndarray) -> np.ndarray:
            a, b = counts[:, of], counts[:, against]
            return divide(np.einsum("rj,rj->r", a @ won, b), (a @ positives) * (b @ negatives))

        return Statistic(function, len(self.won), one_class(positives.sum(), negatives.sum(), what))


def collapse(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Frames of one video with equal scores as one row: (score, positives, negatives, video), four vectors (rows,).

    Rows rise by video, then by score. Exact, and small where a score holds over many frames.
    """
    video = np.repeat(np.arange(len(scores)), [len(s) for s in scores])
    labels, scores = np.concatenate(labels), np.concatenate(scores)
    order = np.lexsort((scores, video))
    scores, video = scores[order], video[order]
    first = np.flatnonzero(np.append(True, (np.diff(scores) != 0) | (np.diff(video) != 0)))
    positives = np.add.reduceat(labels[order].astype(float), first)
    return scores[first], positives, np.diff(np.append(first, len(scores))) - positives, video[first]


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), math.nan), where=denominator != 0)


def one_class(positives: float, negatives: float, what: str) -> str:
    """Why a metric of two classes has no value; empty where both are there. what: "frame" or "video"."""
    total = int(positives + negatives)
    if positives and negatives:
        return ""
    if not total:
        return f"no {what} to evaluate"
    absent = "normal" if positives else "anomalous"
    return f"no {absent} {what} among {total}: with one class only the metric has no value"
