"""Bootstrap intervals over videos.

Frames of one video are not independent, so a resample draws whole videos, with replacement; how often each was drawn
is its count, and a `Statistic` is a metric as a function of these counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError

MAX_UNDEFINED = 0.1  # past this share of undefined resamples, the rest no longer stand for the videos drawn
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
