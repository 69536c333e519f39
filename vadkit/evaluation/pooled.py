"""Areas over pooled frames as functions of how often each video is drawn: exact, and quick for a million frames.

What such an area hangs on is which frames come before which distinct score of a positive one. Tables, made once, say
how many of each video do; a resample's area is a product of them with its counts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from vadkit.evaluation.bootstrap import Statistic, divide, one_class

AT_ONCE = 512  # scores that are counted together


class PairCounts:
    """Rightly ordered (positive, negative) pairs of frames between every two videos, ties one half.

    labels, scores: one vector a video. `won[i, j]` counts pairs of a positive of video i and a negative of video j;
    `positives` and `negatives` count frames. Counts, so sums are exact.
    """

    def __init__(self, labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]):
        videos, (video, positive, values) = len(scores), _frames(labels, scores)
        anomalous, normal = (values[positive], video[positive]), (values[~positive], video[~positive])
        self.positives, self.negatives = (np.bincount(of, np.ones(len(of)), videos) for _, of in (anomalous, normal))
        places = np.unique(values[positive])
        mine = _table(places, *anomalous, videos)
        beaten = (_table(places, *normal, videos, "left") + _table(places, *normal, videos, "right")) / 2
        self.won = np.zeros((videos, videos))
        for k, below in _sums(beaten):
            self.won += mine[k : k + AT_ONCE].T @ below

    def auc(self, of=slice(None), against=slice(None), what: str = "frame") -> Statistic:
        """AUC of the positives of some videos against the negatives of some; masks (videos,), all by default.

        what: what a row of a video is, for the reason where one class is absent.
        """
        won, positives, negatives = self.won[of][:, against], self.positives[of], self.negatives[against]

        def function(counts: np.ndarray) -> np.ndarray:
            a, b = counts[:, of], counts[:, against]
            return divide(np.einsum("rj,rj->r", a @ won, b), (a @ positives) * (b @ negatives))

        return Statistic(function, len(self.won), one_class(positives.sum(), negatives.sum(), what))


def average_precision(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], trapezoids=False) -> Statistic:
    """Average precision of pooled frames, a sum of steps without interpolation, ties taken together.

    labels, scores: one vector a video. Chance: the share of positives. trapezoids: see `precision_area`.
    """
    video, positive, values = _frames(labels, scores)
    gains = (video[positive], np.ones(positive.sum()), values[positive])
    area = precision_area(gains, labels, scores, trapezoids)
    normal = np.bincount(video[~positive], minlength=len(scores))
    why = one_class(positive.sum(), normal.sum(), "frame")
    return Statistic(lambda counts: np.where(counts @ normal > 0, area(counts), np.nan), len(scores), why)


def precision_area(gains: tuple[np.ndarray, ...], labels, scores, trapezoids=False) -> Statistic:
    """Precision of pooled frames summed over a recall: its steps are `gains`, (video, gain, score that the threshold
    falls to), whose sum over the videos drawn is a recall of 1.

    trapezoids: straight lines between the points of precision and recall, from a precision of 1 at recall 0.
    """
    owner, gain, score = (np.asarray(column) for column in gains)
    videos, (video, positive, values) = len(scores), _frames(labels, scores)
    places = np.unique(-score)  # the threshold falls
    steps, whole = _table(places, -score, owner, videos, weights=gain), np.bincount(owner, gain, videos)
    tables = [  # of the positives and of all frames: those that reach a threshold, and those that pass it
        [_table(places, -values[these], video[these], videos, side) for these in (positive, slice(None))]
        for side in (("left", "right") if trapezoids else ("left",))
    ]

    def function(counts: np.ndarray) -> np.ndarray:
        drawn, total = np.ascontiguousarray(counts.T), np.zeros(len(counts))
        for found, alarms in tables:
            for (k, hits), (_, called) in zip(_sums(found, drawn), _sums(alarms, drawn), strict=True):
                precision = np.divide(hits, called, out=np.ones_like(hits), where=called > 0)
                total += np.sum(precision * (steps[k : k + AT_ONCE] @ drawn), axis=0) / len(tables)
        return divide(total, counts @ whole)

    return Statistic(function, videos)


def _frames(labels: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The video of every frame, whether it is positive, and its score."""
    video = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
    return video, np.concatenate(labels) > 0, np.concatenate(scores)


def _table(places, values, video, videos: int, side="left", weights=None) -> csr_array:
    """Counts, or sums of the weights, of each video by the first of the rising places that is not below a value
    ("left"), or that is above it ("right"). Shape: -> (places and one more, videos)."""
    weights = np.ones(len(values)) if weights is None else weights
    return csr_array((weights, (np.searchsorted(places, values, side), video)), (len(places) + 1, videos))


def _sums(table: csr_array, drawn: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, sums of all rows so far) of AT_ONCE rows at a time: by video, or of the videos as often as drawn."""
    before = 0.0
    for k in range(0, table.shape[0], AT_ONCE):
        rows = table[k : k + AT_ONCE]
        sums = (rows.toarray() if drawn is None else rows @ drawn).cumsum(axis=0) + before
        before = sums[-1]
        yield k, sums
