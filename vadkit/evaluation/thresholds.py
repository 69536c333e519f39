"""F1 over thresholds of a confidence, of frames and of videos, and a threshold chosen on validation videos.

Figure 3 of the second paper prints an F1 of 85% without saying of what and at which threshold. Alarms are above it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation.bootstrap import Metric, estimate, ratio, resamples
from vadkit.evaluation.evaluate import SeedScores
from vadkit.evaluation.metrics import pool
from vadkit.evaluation.scores import VideoScores

GRID = np.linspace(0.0, 1.0, 201)[:-1]  # at 1 nothing can be above


def f1_over_thresholds(labels, scores, thresholds=GRID) -> np.ndarray:
    """F1 at each threshold, 0 where nothing true is found. Shape: (n,), (n,), (k,) -> (k,) in [0, 1].

    Raises UndefinedMetricError where there is no positive.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    positives = scores[labels == 1]
    if not len(positives):
        raise UndefinedMetricError(f"no positive among {len(labels)}: there is no F1")
    found, alarms = (len(s) - np.searchsorted(np.sort(s), thresholds, side="right") for s in (positives, scores))
    return 2 * found / (alarms + len(positives))


def f1_of_frames(videos: Sequence[VideoScores], thresholds=GRID) -> np.ndarray:
    """F1 of pooled frames at each threshold. Shape: (k,) -> (k,). Raises UndefinedMetricError as above."""
    return f1_over_thresholds(*pool(videos), thresholds)


def f1_of_videos(videos: Sequence[VideoScores], thresholds=GRID) -> np.ndarray:
    """F1 of videos, by their largest confidence. Shape: (k,) -> (k,). Raises UndefinedMetricError as above."""
    return f1_over_thresholds([v.label for v in videos], [v.confidence.max() for v in videos], thresholds)


def choose_threshold(validation: Sequence[VideoScores], thresholds=GRID) -> float:
    """The threshold with the highest F1 of validation videos, from video labels alone; the middle one among equals.

    Raises UndefinedMetricError where no validation video is anomalous.
    """
    values = f1_of_videos(validation, thresholds)
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(np.asarray(thresholds)[best[len(best) // 2]])


def above(folds: Sequence[Sequence[VideoScores]], thresholds: Sequence[float]) -> list[VideoScores]:
    """The folds' test videos with confidence 1 where it was above the fold's own threshold, and 0 elsewhere.

    Raises ValueError where there are not as many thresholds as folds.
    """
    pairs = [(v, t) for videos, t in zip(folds, thresholds, strict=True) for v in videos]
    return [replace(v, confidence=(np.asarray(v.confidence, np.float64) > t).astype(np.float64)) for v, t in pairs]


def f1_of_decisions(decided: SeedScores, config: Config, what: str) -> Metric:
    """F1 of the decisions that `above` gives, of "frames" or of "videos": the mean over seeds, with its interval.

    The interval holds the thresholds as they were chosen. Raises UndefinedMetricError where there is no positive.
    """
    statistics = {}
    for seed, unordered in decided.items():
        videos = sorted(unordered, key=lambda v: v.name)  # folds differ by seed
        labels = [v.labels if what == "frames" else np.array([v.label]) for v in videos]
        called = [v.frame_scores() if what == "frames" else v.confidence.max(keepdims=True) for v in videos]
        if not any(y.any() for y in labels):
            raise UndefinedMetricError(f"no positive among {len(np.concatenate(labels))}: there is no F1")
        sums = [(2 * np.sum(y * s), y.sum() + s.sum()) for y, s in zip(labels, called, strict=True)]
        statistics[seed] = ratio(*np.transpose(sums))
    return estimate("f1", statistics, resamples(videos, config), config.interval_level)
