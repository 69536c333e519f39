"""Wrong ways to evaluate, each computed exactly, so that what it is worth can be told on any scores.

    bench = Bench(videos, config)
    bench.size("averaged over pairs", pair_averaged(bench.scored))

None of these numbers belongs into a results table without the right one beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from scipy.stats import rankdata

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import bootstrap
from vadkit.evaluation.bootstrap import Comparison, Metric, Statistic
from vadkit.evaluation.metrics import Scored, check_video
from vadkit.evaluation.pooled import PairCounts, average_precision
from vadkit.evaluation.scores import VideoScores

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


def rescored(videos: Sequence[VideoScores], scores_of: Callable[[VideoScores], np.ndarray]) -> Statistic:
    """The pooled AUC where a video has the scores that a function gives of it, (frames,)."""
    return PairCounts([v.labels for v in videos], [scores_of(v) for v in videos]).auc()


def trapezoidal_ap(scored: Scored) -> Statistic:
    """The area under precision and recall by trapezoids: `auc(recall, precision)` of `precision_recall_curve`.

    Average precision lets nothing between two scores count that was not measured; a straight line between them does,
    and it is worth most where few scores differ (Davis and Goadrich, ICML 2006).
    """
    return average_precision([v.labels for v in scored.videos], scored.held, trapezoids=True)


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
    rng, step = np.random.default_rng(seed), -(-sum(len(v.index) for v in videos) // MOST_ROWS)
    labels = [v.labels[::step] for v in videos]
    ranks = rankdata(np.concatenate([v.frame_scores()[::step].astype(np.float64) for v in videos]))
    logits = np.split(logit((ranks - 0.5) / len(ranks)), np.cumsum([len(y) for y in labels])[:-1])
    shifts = rng.normal(0, wobble * np.std([one.mean() for one in logits]), (candidates, len(videos)))
    masks = np.array([_half(videos, rng) for _ in range(halves)], dtype=np.float64)
    masks = np.concatenate([np.ones((1, len(videos))), masks, 1 - masks])
    for positives, frames in masks @ [[y.sum(), len(y)] for y in labels]:
        if why := bootstrap.one_class(positives, frames - positives, "frame"):
            raise UndefinedMetricError(why)
    shifted = ([one + by for one, by in zip(logits, shift, strict=True)] for shift in shifts)
    areas = np.stack([PairCounts(labels, one).auc()(masks) for one in shifted])  # (candidates, 1 + 2 halves)
    whole, (first, second) = areas[:, 0], np.split(areas[:, 1:], 2, axis=1)
    counts = (k for k in (1, 5, 20, candidates) if k <= candidates)
    best = {k: float(np.mean([rng.permutation(whole)[:k].max() for _ in range(200)])) for k in counts}
    gains = (np.take_along_axis(h, first.argmax(axis=0)[None], axis=0)[0] - h.mean(axis=0) for h in (first, second))
    found = ((float(g.mean()), *np.quantile(g, (0.025, 0.975)).tolist()) for g in gains)
    return Selection(float(whole.mean()), float(whole.std()), best, *found)


def _half(videos: Sequence[VideoScores], rng: np.random.Generator) -> np.ndarray:
    """A random half of the anomalous and of the normal videos. Shape: (videos,) bool."""
    mask = np.zeros(len(videos), bool)
    labels = np.array([v.label for v in videos])
    for label in (0, 1):
        mine = rng.permutation(np.flatnonzero(labels == label))
        mask[mine[: len(mine) // 2]] = True
    return mask
