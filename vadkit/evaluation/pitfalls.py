"""Wrong ways to evaluate, each computed exactly, so that what it is worth can be told on any scores.

    bench = Bench(videos, config)
    bench.size("averaged over pairs", pair_averaged(bench.scored))

None of these numbers belongs into a results table without the right one beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import bootstrap
from vadkit.evaluation.bootstrap import Comparison, Metric, PairCounts, Statistic
from vadkit.evaluation.metrics import Scored, check_video
from vadkit.evaluation.scores import VideoScores
from vadkit.evaluation.smoothing import smoothed

SEGMENTS = 32  # of Sultani et al., and of the second paper
MOST_ROWS = 60_000  # frames that the candidates' curves are computed on; beyond it, every k-th


@dataclass(frozen=True)
class Way:
    """One way to evaluate: its AUC, and its difference from the pooled frame AUC, paired by video."""

    title: str
    auc: Metric
    change: Comparison

    @property
    def shown(self) -> list[Metric]:
        """AUC and difference as `ablation_plots.ablation_bars` takes them."""
        c = self.change
        interval = (c.difference, c.ci_low, c.ci_high)
        return [self.auc, Metric("fl_auc_difference", *interval, (c.difference,), c.videos, c.reason)]


class Bench:
    """One scorer's videos `scored`, and the `right` way, the pooled frame AUC. ValueError for bad or no videos."""

    def __init__(self, videos: Sequence[VideoScores], config: Config):
        self.scored = Scored(tuple(check_video(v) for v in videos), config)
        self.right = self.scored.pairs.auc()
        self._drawn = bootstrap.resamples(videos, config)

    def size(self, title: str, way: Statistic) -> Way:
        """A way's value, interval and difference from the right one."""
        drawn, level = self._drawn, self.scored.config.interval_level
        change = bootstrap.difference("fl_auc", {0: way}, {0: self.right}, (drawn, drawn), level, drawn.shape[1])
        return Way(title, bootstrap.estimate("fl_auc", {0: way}, drawn, level), change)


def pair_averaged(scored: Scored) -> Statistic:
    """Mean over all pairs of an anomalous and a normal video of the AUC of the two videos' frames alone.

    Released evaluation loops take one random pairing, `zip(anomaly_loader, normal_loader)`; see `random_pairings`.
    """
    anomalous, normal, matrix = _pair_matrix(scored)

    def function(drawn: np.ndarray) -> np.ndarray:
        a, b = drawn[:, anomalous], drawn[:, normal]
        return bootstrap.divide(np.einsum("rj,rj->r", a @ matrix, b), a.sum(axis=1) * b.sum(axis=1))

    why = "" if matrix.size else "no pair of an anomalous and a normal video"
    return Statistic(function, len(scored.videos), why)


def random_pairings(scored: Scored, repeats: int = 1000, seed: int = 0) -> np.ndarray:
    """The average over one random pairing, again and again: what a shuffled loader prints. Shape: (repeats,)."""
    *_, matrix = _pair_matrix(scored)
    rng, count = np.random.default_rng(seed), min(matrix.shape)
    paired = (tuple(rng.permutation(side)[:count] for side in matrix.shape) for _ in range(repeats))
    return np.array([matrix[pair].mean() for pair in paired])


def _pair_matrix(scored: Scored) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(which videos are anomalous, which normal, AUC of each two): (videos,), (videos,), (anomalous, normal)."""
    counted, normal = scored.pairs, ~scored.anomalous
    anomalous = scored.anomalous & (counted.positives > 0)
    won = counted.won.diagonal()[anomalous, None] + counted.won[anomalous][:, normal]
    negatives = counted.negatives[anomalous, None] + counted.negatives[normal]
    return anomalous, normal, won / (counted.positives[anomalous, None] * negatives)


def over_segments(videos: Sequence[VideoScores], segments: int = SEGMENTS) -> Statistic:
    """Pooled over equal segments instead of frames, so that a video of an hour counts as much as one of five seconds.

    A segment's score is the mean of its frames'; it is anomalous where at least half of them are.
    """
    labels, scores = [], []
    for v in videos:
        edges = np.linspace(0, v.frames, min(segments, v.frames) + 1).astype(int)[:-1]
        sizes = np.diff(np.append(edges, v.frames))
        scores.append(np.add.reduceat(v.frame_scores().astype(np.float64), edges) / sizes)
        labels.append((2 * np.add.reduceat(v.labels.astype(np.int64), edges) >= sizes).astype(np.uint8))
    return PairCounts(labels, scores).auc()


def zero_tail(videos: Sequence[VideoScores], segments: int = SEGMENTS) -> Statistic:
    """Segments of `frames // segments` frames: what is left at the end keeps the zero that the array was made with."""
    whole = ((v, v.frames // segments * segments) for v in videos)
    return _rescored(videos, [np.append(v.frame_scores()[:end], np.zeros(v.frames - end)) for v, end in whole])


def stretched(videos: Sequence[VideoScores], factor: float) -> Statistic:
    """Scores laid out over a length that is wrong by a factor: above 1 they come too late and their end is lost."""
    laid = ((v, np.minimum(np.arange(v.frames) / factor, v.frames - 1).astype(int)) for v in videos)
    return _rescored(videos, [v.frame_scores()[at] for v, at in laid])


def _rescored(videos: Sequence[VideoScores], scores: Sequence[np.ndarray]) -> Statistic:
    """The pooled AUC where the videos have other scores, each (frames,)."""
    return PairCounts([v.labels for v in videos], scores).auc()


def trapezoidal_ap(scored: Scored) -> Statistic:
    """The area under precision and recall by trapezoids: `auc(recall, precision)` of `precision_recall_curve`.

    Average precision lets nothing between two scores count that was not measured; a straight line between them does,
    and it is worth most where few scores differ (Davis and Goadrich, ICML 2006).
    """
    return bootstrap.average_precision([v.labels for v in scored.videos], scored.held, trapezoids=True)


def smoothed_auc(videos: Sequence[VideoScores], how: str, **width: float) -> Statistic:
    """The pooled AUC of scores smoothed over the video as `smoothing.smoothed` does; "gaussian" and "video mean" see
    the future, which no camera can."""
    return _rescored(videos, [smoothed(v, how, **width).frame_scores() for v in videos])


def length_alone(videos: Sequence[VideoScores]) -> Statistic:
    """The AUC of a scorer that never looks at a picture: the shorter the video, the higher its score."""
    longest = max(v.frames for v in videos)
    return _rescored(videos, [np.full(v.frames, 1 - v.frames / (longest + 1)) for v in videos])


def longest_normal(videos: Sequence[VideoScores], count: int = 2) -> tuple[np.ndarray, float]:
    """(positions of the `count` longest normal videos, their share of all frames)."""
    frames, normal = np.array([[v.frames, not v.label] for v in videos]).T
    chosen = np.argsort(-frames * normal, kind="stable")[: min(count, normal.sum())]
    return chosen, frames[chosen].sum() / frames.sum()


def with_constant(videos: Sequence[VideoScores], chosen: Sequence[int], score: float) -> Statistic:
    """The pooled AUC if some videos had the same score throughout: 0 for silence, 1 for an alarm that never ends."""
    others = (np.full(v.frames, score) if k in chosen else v.frame_scores() for k, v in enumerate(videos))
    return _rescored(videos, list(others))


def standard_error_of_frames(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC if all frames were independent, which they are not. Hanley and McNeil 1982."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(variance / (positives * negatives))


@dataclass(frozen=True)
class Selection:
    """AUC of equally good candidates on all videos: mean, standard deviation, and expected best by their number.

    Over many random halves, by how much the best on one half is above the candidates' mean on that very half (seen),
    and above their mean on the other half (unseen): one half may be the harder one. Each is (mean, low, high), from the
    low to the high one 95 in 100 halves.
    """

    typical: float
    spread: float
    best: dict[int, float]
    seen: tuple[float, float, float]
    unseen: tuple[float, float, float]


def choose_on_test(
    videos: Sequence[VideoScores], candidates: int = 50, wobble: float = 0.2, halves: int = 40, seed: int = 0
) -> Selection:
    """Choose among stand-ins for the checkpoints of one run: the scorer with each video's scores shifted a little.

    Scores count by their rank among all frames, on a logit scale. wobble: standard deviation of the shift, in those of
    the videos' means. All candidates are equally good by construction: what the choice gains is chance.
    """
    rng = np.random.default_rng(seed)
    rows = logits, positives, negatives, video = _rows(videos)
    means = np.bincount(video, logits * (positives + negatives)) / np.bincount(video, positives + negatives)
    shifts = rng.normal(0, wobble * means.std(), (candidates, len(videos)))
    masks = np.array([_half(videos, rng) for _ in range(halves)], dtype=np.float64)
    masks = np.concatenate([np.ones((1, len(videos))), masks, 1 - masks])
    areas = np.stack([_areas(rows, shift, masks) for shift in shifts])  # (candidates, 1 + 2 halves)
    whole, (first, second) = areas[:, 0], np.split(areas[:, 1:], 2, axis=1)
    counts = (k for k in (1, 5, 20, candidates) if k <= candidates)
    best = {k: float(np.mean([rng.permutation(whole)[:k].max() for _ in range(200)])) for k in counts}
    gains = (np.take_along_axis(h, first.argmax(axis=0)[None], axis=0)[0] - h.mean(axis=0) for h in (first, second))
    found = ((float(g.mean()), *np.quantile(g, (0.025, 0.975)).tolist()) for g in gains)
    return Selection(float(whole.mean()), float(whole.std()), best, *found)


def _rows(videos: Sequence[VideoScores]) -> tuple[np.ndarray, ...]:
    """Frames of equal score within a video as one row: (logit of the score's rank, positives, negatives, video)."""
    step = -(-sum(len(v.index) for v in videos) // MOST_ROWS)
    held = [v.frame_scores().astype(np.float64)[::step] for v in videos]
    values, positives, negatives, video = bootstrap.collapse([v.labels[::step] for v in videos], held)
    _, equal = np.unique(values, return_inverse=True)
    frames = np.bincount(equal, positives + negatives)
    share = (np.cumsum(frames) - frames / 2) / frames.sum()  # of frames below, half of the equal ones among them
    return np.log(share / (1 - share))[equal], positives, negatives, video


def _areas(rows: tuple[np.ndarray, ...], shift: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """AUC over the videos of each mask, of `_rows` shifted by video: (videos,), (masks, videos) -> (masks,).

    The shifts leave no ties between videos.
    """
    logits, *_, video = rows
    order = np.argsort(logits + shift[video], kind="stable")
    positives, negatives, video = (row[order] for row in rows[1:])
    found = []
    for mask in masks:
        p, n = positives * mask[video], negatives * mask[video]
        if why := bootstrap.one_class(p.sum(), n.sum(), "frame"):
            raise UndefinedMetricError(why)
        found.append(np.sum(p * (np.cumsum(n) - 0.5 * n)) / (p.sum() * n.sum()))
    return np.array(found)


def _half(videos: Sequence[VideoScores], rng: np.random.Generator) -> np.ndarray:
    """A random half of the anomalous and of the normal videos. Shape: (videos,) bool."""
    mask = np.zeros(len(videos), bool)
    labels = np.array([v.label for v in videos])
    for label in (0, 1):
        mine = rng.permutation(np.flatnonzero(labels == label))
        mask[mine[: len(mine) // 2]] = True
    return mask
