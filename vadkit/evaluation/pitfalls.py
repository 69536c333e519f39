"""Wrong ways to evaluate, each computed exactly, so that what it is worth can be told on any scores.

A wrong way is a statistic of how often each video is drawn, as in `vadkit.evaluation.bootstrap`: its value and its
paired difference from the pooled frame AUC come from the same resamples. None of these numbers belongs into a results
table without the right one beside it.

    bench = Bench(videos, config)
    bench.size("averaged over pairs", pair_averaged(bench.counted, videos))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import bootstrap
from vadkit.evaluation.bootstrap import Comparison, Metric, PairCounts, Statistic
from vadkit.evaluation.metrics import check_video
from vadkit.evaluation.scores import VideoScores

if TYPE_CHECKING:
    from vadkit.core.config import Config

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
        return [
            self.auc,
            Metric("fl_auc_difference", c.difference, c.ci_low, c.ci_high, (c.difference,), c.videos, c.reason),
        ]


@dataclass(frozen=True)
class Bench:
    """One scorer's videos, and what every way shares. Raises ValueError for a malformed video, or none."""

    videos: Sequence[VideoScores]
    config: Config

    @cached_property
    def counted(self) -> PairCounts:
        return pairs(self.videos)

    @cached_property
    def drawn(self) -> np.ndarray:
        return bootstrap.resamples(self.videos, self.config)

    @cached_property
    def right(self) -> Statistic:
        """The pooled frame AUC."""
        return self.counted.auc()

    def size(self, title: str, way: Statistic) -> Way:
        """A way's value, interval and difference from the right one."""
        one, right, level = {0: way}, {0: self.right}, self.config.interval_level
        change = bootstrap.difference("fl_auc", one, right, (self.drawn, self.drawn), level, len(self.videos))
        return Way(title, bootstrap.estimate("fl_auc", one, self.drawn, level), change)


# --- pooling -----------------------------------------------------------------------------------------------------


def pairs(videos: Sequence[VideoScores]) -> PairCounts:
    """Rightly ordered pairs of frames between every two videos; `.auc()` of it is the pooled frame AUC."""
    checked = [check_video(v) for v in videos]
    return PairCounts([v.labels for v in checked], [v.frame_scores() for v in checked])


def pair_averaged(counted: PairCounts, videos: Sequence[VideoScores]) -> Statistic:
    """Mean over all pairs of an anomalous and a normal video of the AUC of the two videos' frames alone.

    What released evaluation loops compute on one random pairing, `zip(anomaly_loader, normal_loader)`; this is the
    mean of all pairings. Anomalous videos without a positive frame are in no pair.
    """
    anomalous, normal, matrix = _pair_matrix(counted, videos)

    def function(drawn: np.ndarray) -> np.ndarray:
        a, b = drawn[:, anomalous], drawn[:, normal]
        return bootstrap.divide(np.einsum("rj,rj->r", a @ matrix, b), a.sum(axis=1) * b.sum(axis=1))

    why = "" if matrix.size else "no pair of an anomalous and a normal video"
    return Statistic(function, len(videos), why)


def random_pairings(
    counted: PairCounts, videos: Sequence[VideoScores], repeats: int = 1000, seed: int = 0
) -> np.ndarray:
    """The average over one random pairing, again and again: what a shuffled loader prints. Shape: (repeats,)."""
    _, _, matrix = _pair_matrix(counted, videos)
    rng, count = np.random.default_rng(seed), min(matrix.shape)
    return np.array(
        [
            matrix[rng.permutation(len(matrix))[:count], rng.permutation(matrix.shape[1])[:count]].mean()
            for _ in range(repeats)
        ]
    )


def _pair_matrix(counted: PairCounts, videos: Sequence[VideoScores]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(anomalous videos, normal ones, AUC of each two): (a,), (b,), (a, b)."""
    labels = np.array([v.label for v in videos])
    anomalous, normal = np.flatnonzero((labels == 1) & (counted.positives > 0)), np.flatnonzero(labels == 0)
    won = counted.won[anomalous, anomalous][:, None] + counted.won[np.ix_(anomalous, normal)]
    negatives = counted.negatives[anomalous][:, None] + counted.negatives[normal][None, :]
    return anomalous, normal, won / (counted.positives[anomalous][:, None] * negatives)


def anomalous_only(counted: PairCounts, videos: Sequence[VideoScores]) -> Statistic:
    """Pooled over the frames of anomalous videos alone: another question, is the span found within its video?"""
    mine = np.array([v.label for v in videos]) == 1
    return counted.auc(mine, mine)


# --- frames and lengths ------------------------------------------------------------------------------------------


def over_segments(videos: Sequence[VideoScores], segments: int = SEGMENTS) -> Statistic:
    """Pooled over equal segments instead of frames, so that a video of an hour counts as much as one of five seconds.

    A segment's score is the mean of its frames', and it is anomalous where at least half of its frames are. Videos
    shorter than `segments` have one segment a frame.
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
    return _rescored(
        videos, lambda v: np.where(np.arange(v.frames) < v.frames // segments * segments, v.frame_scores(), 0.0)
    )


def stretched(videos: Sequence[VideoScores], factor: float) -> Statistic:
    """Scores laid out over a length that is wrong by a factor, as where a container promises more frames than decode.

    factor > 1: the scores come too late and their end is lost; factor < 1: too early, and the last one holds.
    """
    return _rescored(
        videos, lambda v: v.frame_scores()[np.minimum((np.arange(v.frames) / factor).astype(int), v.frames - 1)]
    )


def _rescored(videos: Sequence[VideoScores], scores: Callable[[VideoScores], np.ndarray]) -> Statistic:
    """The pooled AUC where each video has other scores, (frames,)."""
    return PairCounts([v.labels for v in videos], [scores(v) for v in videos]).auc()


# --- what the test set is made of --------------------------------------------------------------------------------


def length_alone(videos: Sequence[VideoScores]) -> Statistic:
    """The AUC of a scorer that never looks at a picture: the shorter the video, the higher its score."""
    longest = max(v.frames for v in videos)
    return _rescored(videos, lambda v: np.full(v.frames, 1 - v.frames / (longest + 1)))


def longest_normal(videos: Sequence[VideoScores], count: int = 2) -> tuple[np.ndarray, float]:
    """(positions of the `count` longest normal videos, their share of all frames)."""
    normal = [k for k, v in enumerate(videos) if not v.label]
    chosen = np.array(sorted(normal, key=lambda k: (-videos[k].frames, k))[:count], dtype=int)
    return chosen, sum(videos[k].frames for k in chosen) / sum(v.frames for v in videos)


def with_constant(videos: Sequence[VideoScores], chosen: Sequence[int], score: float) -> Statistic:
    """The pooled AUC if some videos had the same score throughout: 0 for silence, 1 for an alarm that never ends."""
    names = {videos[k].name for k in chosen}
    return _rescored(videos, lambda v: np.full(v.frames, score) if v.name in names else v.frame_scores())


def standard_error_of_frames(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC if all frames were independent, which frames of one video are not.

    Source: Hanley and McNeil 1982. Too small by far here: for the comparison with an interval over videos.
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(variance / (positives * negatives))


# --- choosing on the test set ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """What choosing the best of several equally good checkpoints does to the AUC.

    typical, spread: mean and standard deviation of the candidates on all videos; best: by number of candidates, the
    expected AUC of the one that is best on all videos. Over many random halves of the videos: typical_half, the
    candidates' mean; seen and unseen, the AUC of the candidate that is best on one half, on that half and on the
    other.
    """

    typical: float
    spread: float
    best: dict[int, float]
    typical_half: float
    seen: float
    unseen: float


def choose_on_test(
    videos: Sequence[VideoScores], candidates: int = 50, wobble: float = 0.2, halves: int = 40, seed: int = 0
) -> Selection:
    """Choose among stand-ins for the checkpoints of one run: the scorer with each video's scores shifted a little.

    Scores count by their rank among all frames, on a logit scale, so that neither zeros nor what scale they were
    given on matters. wobble: standard deviation of the shift, in those of the videos' means. All candidates are
    equally good by construction, so that whatever the choice gains is chance. A simulation: the checkpoints of a real
    run differ in quality as well.
    """
    rng = np.random.default_rng(seed)
    logits, positives, negatives, video = _rows(videos)
    means = np.bincount(video, logits * (positives + negatives)) / np.bincount(video, positives + negatives)
    shifts = rng.normal(0, wobble * means.std(), (candidates, len(videos)))
    masks = np.array([_half(videos, rng) for _ in range(halves)], dtype=np.float64)
    masks = np.concatenate([np.ones((1, len(videos))), masks, 1 - masks])
    areas = np.stack(
        [_areas(logits + shift[video], positives, negatives, video, masks) for shift in shifts]
    )  # (candidates, 1 + 2 halves)
    whole, first, second = areas[:, 0], areas[:, 1 : halves + 1], areas[:, halves + 1 :]
    chosen, column = first.argmax(axis=0), np.arange(halves)
    best = {
        k: float(np.mean([rng.permutation(whole)[:k].max() for _ in range(200)]))
        for k in (1, 5, 20, candidates)
        if k <= candidates
    }
    return Selection(
        float(whole.mean()),
        float(whole.std()),
        best,
        float(areas[:, 1:].mean()),
        float(first[chosen, column].mean()),
        float(second[chosen, column].mean()),
    )


def _rows(videos: Sequence[VideoScores]) -> tuple[np.ndarray, ...]:
    """Frames of equal score within a video as one row: (logit of the score's rank, positives, negatives, video)."""
    step = -(-sum(len(v.index) for v in videos) // MOST_ROWS)
    held = [v.frame_scores().astype(np.float64)[::step] for v in videos]
    values, positives, negatives, video = bootstrap.collapse([v.labels[::step] for v in videos], held)
    _, equal = np.unique(values, return_inverse=True)
    frames = np.bincount(equal, positives + negatives)
    share = (np.cumsum(frames) - frames / 2) / frames.sum()  # of frames below, half of the equal ones among them
    return np.log(share / (1 - share))[equal], positives, negatives, video


def _areas(
    scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray, video: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """AUC over the videos of each mask. Shape: rows (n,), masks (m, videos) -> (m,).

    The shifts leave no ties between videos.
    """
    order = np.argsort(scores, kind="stable")
    positives, negatives, chosen = positives[order], negatives[order], video[order]
    found = np.empty(len(masks))
    for k, mask in enumerate(masks):
        p, n = positives * mask[chosen], negatives * mask[chosen]
        if why := bootstrap.one_class(p.sum(), n.sum(), "frame"):
            raise UndefinedMetricError(why)
        below = np.cumsum(n) - n
        found[k] = np.sum(p * (below + 0.5 * n)) / (p.sum() * n.sum())
    return found


def _half(videos: Sequence[VideoScores], rng: np.random.Generator) -> np.ndarray:
    """A random half of the anomalous and of the normal videos. Shape: (videos,) bool."""
    mask = np.zeros(len(videos), bool)
    labels = np.array([v.label for v in videos])
    for label in (0, 1):
        mine = rng.permutation(np.flatnonzero(labels == label))
        mask[mine[: len(mine) // 2]] = True
    return mask
