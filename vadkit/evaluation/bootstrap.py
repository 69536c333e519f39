"""Bootstrap intervals over videos, exact and quick enough for a million frames.

Frames of one video are not independent, so a resample draws whole videos, with replacement; how often each was drawn is
its count. A *statistic* here is a function of counts, (resamples, videos) -> (resamples,), NaN where it
is undefined. With every count 1 it is the metric itself. Two systems on the same videos are compared on the same counts, and a
statistic of several seeds is their mean within each resample.

What makes it quick: frames of one video with equal scores collapse into one row; and the number of (positive, negative) pairs
that a score orders rightly is a sum over pairs of videos, counted once, after which a resample's AUC is one
quadratic form of its counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import metrics

MAX_UNDEFINED = 0.1  # past this share of undefined resamples, the rest no longer stand for the videos drawn

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A percentile interval; `low` and `high` are None where it is undefined, and `reason` says why.

    Where every resample gives one value (a rate of 0, an area of 1), `low` equals `high`: such an interval says nothing
    about how sure the value is, and `reason` says so.
    """

    value: float
    low: float | None
    high: float | None
    resamples: int
    undefined: int  # resamples that were left out because the statistic had no value on them
    reason: str = ""


# --- the public way in -------------------------------------------------------------------------------------------


def bootstrap_interval(
    labels_by_video, scores_by_video, statistic="frame_auc", resamples=1000, level=0.95, seed=0
) -> Interval:
    """Interval of a metric of pooled frames, by the percentile bootstrap over videos.

    labels_by_video, scores_by_video: one vector a video, of equal lengths. statistic: "frame_auc",
    "average_precision", or a function (labels, scores) of pooled frames -> float, which may raise
    UndefinedMetricError; the two named ones are exact and quick, a function sees every resample's frames. Resamples on which the
    statistic is undefined are left out and counted; where they are more than a tenth, the interval is
    undefined, with the reason. Raises UndefinedMetricError where the metric has no value on the videos themselves, ValueError for
    malformed input.
    """
    value, function = _prepare(labels_by_video, scores_by_video, statistic)
    return interval(value, function(draw(len(labels_by_video), resamples, seed)), level)


def paired_difference(
    labels_by_video, scores_a, scores_b, statistic="frame_auc", resamples=1000, level=0.95, seed=0
) -> Interval:
    """Interval of a's metric minus b's on the same videos: both are drawn together.

    Arguments and errors as for `bootstrap_interval`; scores_a and scores_b: one vector a video each.
    """
    (value_a, a), (value_b, b) = (_prepare(labels_by_video, s, statistic) for s in (scores_a, scores_b))
    counts = draw(len(labels_by_video), resamples, seed)
    return interval(value_a - value_b, a(counts) - b(counts), level)


def _prepare(labels_by_video, scores_by_video, statistic) -> tuple[float, Statistic]:
    """The metric on the videos themselves, and its statistic."""
    labels, scores = _checked(labels_by_video, scores_by_video)
    pooled = np.concatenate(labels), np.concatenate(scores)
    if callable(statistic):
        return float(statistic(*pooled)), pooled_function(labels, scores, statistic)
    if statistic == "frame_auc":
        return metrics.frame_auc(*pooled), PairCounts(labels, scores).auc()
    if statistic == "average_precision":
        return metrics.average_precision(*pooled), average_precision(labels, scores)
    raise ValueError(f"statistic must be 'frame_auc', 'average_precision' or a function, got {statistic!r}")


# --- resamples ---------------------------------------------------------------------------------------------------


def draw(videos: int, resamples: int, seed: int) -> np.ndarray:
    """How often each video is drawn. Shape: (resamples, videos) float64; every row sums to `videos`.

    The same for the same arguments, so that two systems on the same videos meet the same resamples.
    """
    if videos < 1 or resamples < 1:
        raise ValueError(f"expected at least one video and one resample, got {videos} and {resamples}")
    rng = np.random.default_rng(np.random.SeedSequence([seed, videos]))
    return rng.multinomial(videos, np.full(videos, 1 / videos), size=resamples).astype(np.float64)


def interval(value: float, resampled: np.ndarray, level: float) -> Interval:
    """The percentile interval of resampled values, NaN being undefined ones."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    total, undefined = len(resampled), int(np.isnan(resampled).sum())
    if undefined > MAX_UNDEFINED * total:
        reason = f"undefined in {undefined} of {total} resamples: too few videos of a class"
        return Interval(value, None, None, total, undefined, reason)
    tail = (1 - level) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    reason = "the same in every resample, which leaves no interval" if low == high else ""
    return Interval(value, float(low), float(high), total, undefined, reason)


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several statistics (seeds, classes) in each resample, over those that have a value there."""

    def function(counts: np.ndarray) -> np.ndarray:
        values = np.stack([s(counts) for s in statistics])
        defined = ~np.isnan(values)
        return divide(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0).astype(float))

    return function


# --- statistics --------------------------------------------------------------------------------------------------


class PairCounts:
    """Rightly ordered (positive, negative) pairs between every two videos, ties one half.

    `won[i, j]` counts pairs of a positive of video i and a negative of video j; `positives` and `negatives` count
    frames. Counts, so sums are exact.
    """

    def __init__(self, labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]):
        collapsed = [metrics.runs(y, s) for y, s in zip(labels, scores, strict=True)]
        self.positives = np.array([p.sum() for _, p, _ in collapsed])
        self.negatives = np.array([n.sum() for _, _, n in collapsed])
        self.won = np.zeros((len(collapsed), len(collapsed)))
        held = [(values[p > 0], p[p > 0]) for values, p, _ in collapsed]
        lengths = np.array([len(p) for _, p in held])
        with_positives = np.flatnonzero(lengths)
        if len(with_positives) == 0:
            return
        values = np.concatenate([held[k][0] for k in with_positives])
        weights = np.concatenate([held[k][1] for k in with_positives])
        starts = np.concatenate([[0], np.cumsum(lengths[with_positives])[:-1]])
        order = np.argsort(values, kind="stable")  # sorted needles make searchsorted several times quicker
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        needles = values[order]
        for j, (others, _, n) in enumerate(collapsed):
            below = np.concatenate([[0.0], np.cumsum(n)])
            left, right = np.searchsorted(others, needles, "left"), np.searchsorted(others, needles, "right")
            beaten = (0.5 * (below[left] + below[right]))[inverse]
            self.won[with_positives, j] = np.add.reduceat(weights * beaten, starts)

    def auc(self, of: np.ndarray | None = None, against: np.ndarray | None = None) -> Statistic:
        """Frame AUC of the positives of some videos against the negatives of some; masks (videos,), all by default."""
        mine = np.ones(len(self.won), bool) if of is None else np.asarray(of)
        theirs = np.ones(len(self.won), bool) if against is None else np.asarray(against)
        won, positives, negatives = self.won[np.ix_(mine, theirs)], self.positives[mine], self.negatives[theirs]

        def function(counts: np.ndarray) -> np.ndarray:
            a, b = counts[:, mine], counts[:, theirs]
            return divide(np.einsum("rj,rj->r", a @ won, b), (a @ positives) * (b @ negatives))

        return function


def average_precision(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> Statistic:
    """Average precision of pooled frames; one pass over the rows, sorted once, for each resample."""
    collapsed = [metrics.runs(y, s) for y, s in zip(labels, scores, strict=True)]
    values = np.concatenate([v for v, _, _ in collapsed])
    order = np.argsort(-values, kind="stable")
    video = np.repeat(np.arange(len(collapsed)), [len(v) for v, _, _ in collapsed])[order]
    positives = np.concatenate([p for _, p, _ in collapsed])[order]
    frames = positives + np.concatenate([n for _, _, n in collapsed])[order]
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)  # the last row of each different score
    # a group of equal scores without positives adds nothing to recall: only the others' precision is wanted
    held = np.flatnonzero(positives > 0)
    group = np.searchsorted(ends, held)
    wanted = np.unique(group)

    def function(counts: np.ndarray) -> np.ndarray:
        result = np.full(len(counts), np.nan)
        for k, count in enumerate(counts):
            weight = count[video]
            alarms = np.cumsum(frames * weight)
            found = np.cumsum(positives[held] * weight[held])
            total = found[-1] if len(found) else 0.0
            if total == 0 or total == alarms[-1]:
                continue
            last = np.searchsorted(group, wanted, "right") - 1
            at, hits = alarms[ends[wanted]], found[last]
            gained = np.diff(hits, prepend=0.0)
            result[k] = np.sum(gained * np.divide(hits, at, out=np.zeros_like(hits), where=at > 0)) / total
        return result

    return function


def ratio(numerator, denominator) -> Statistic:
    """A sum over videos divided by another. Shape: two vectors (videos,). Undefined where the second is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return lambda counts: divide(counts @ numerator, counts @ denominator)


def pooled_function(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], metric: Callable) -> Statistic:
    """Any function of pooled frames, called on every resample's frames: slow, for metrics without a quicker form."""

    def function(counts: np.ndarray) -> np.ndarray:
        result = np.full(len(counts), np.nan)
        for k, count in enumerate(counts.astype(int)):
            drawn = np.repeat(np.arange(len(labels)), count)
            try:
                result[k] = metric(
                    np.concatenate([labels[v] for v in drawn]), np.concatenate([scores[v] for v in drawn])
                )
            except UndefinedMetricError:
                continue
        return result

    return function


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), math.nan), where=denominator != 0)


def _checked(labels_by_video, scores_by_video) -> tuple[list[np.ndarray], list[np.ndarray]]:
    if len(labels_by_video) != len(scores_by_video):
        raise ValueError(
            f"expected scores for every video, got {len(scores_by_video)} vectors of scores and {len(labels_by_video)} of labels"
        )
    if len(labels_by_video) == 0:
        raise UndefinedMetricError("no video to evaluate")
    pairs = [
        metrics.check_pair(y, s, f"video {k}")
        for k, (y, s) in enumerate(zip(labels_by_video, scores_by_video, strict=True))
    ]
    return [y for y, _ in pairs], [s for _, s in pairs]
