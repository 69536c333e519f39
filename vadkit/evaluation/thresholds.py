"""F1 over thresholds of a confidence, of frames and of videos, and a threshold chosen on validation videos (figure 3 of the second paper).

The paper prints an F1 of 85% without saying of what and at which threshold; both readings are here. An alarm is a
score strictly above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import bootstrap as intervals
from vadkit.evaluation.evaluate import Metric, SeedScores, resamples
from vadkit.evaluation.metrics import pool, runs
from vadkit.evaluation.scores import VideoScores

GRID = np.linspace(0.0, 1.0, 201)[:-1]  # at 1 nothing can be above


def f1_over_thresholds(labels, scores, thresholds=GRID) -> np.ndarray:
    """F1 at each threshold, 0 where nothing true is found. Shape: (n,), (n,), (k,) -> (k,) in [0, 1].

    Raises UndefinedMetricError where there is no positive.
    """
    labels = np.asarray(labels)
    values, positives, negatives = runs(labels, np.asarray(scores, np.float64))
    if positives.sum() == 0:
        raise UndefinedMetricError(f"no positive among {len(labels)}: there is no F1")
    above = np.searchsorted(values, thresholds, side="right")
    found, false = (np.append(np.cumsum(side[::-1])[::-1], 0)[above] for side in (positives, negatives))
    return 2 * found / (found + false + positives.sum())


def frame_f1(videos: Sequence[VideoScores], thresholds=GRID) -> np.ndarray:
    """F1 of pooled frames at each threshold. Shape: (k,) -> (k,). Raises UndefinedMetricError as above."""
    return f1_over_thresholds(*pool(videos), thresholds)


def video_f1(videos: Sequence[VideoScores], thresholds=GRID) -> np.ndarray:
    """F1 of videos, by their largest confidence, at each threshold. Shape: (k,) -> (k,). Raises UndefinedMetricError as above."""
    return f1_over_thresholds([v.label for v in videos], [v.confidence.max() for v in videos], thresholds)


def choose_threshold(validation: Sequence[VideoScores], thresholds=GRID) -> float:
    """The threshold with the highest F1 of validation videos, the middle one among equals.

    From video labels alone, as training: a weakly labelled validation set has no frame labels. Raises
    UndefinedMetricError where no validation video is anomalous.
    """
    values = video_f1(validation, thresholds)
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(np.asarray(thresholds)[best[len(best) // 2]])


def above(folds: Sequence[Sequence[VideoScores]], thresholds: Sequence[float]) -> list[VideoScores]:
    """The folds' test videos with confidence 1 where it was above the fold's own threshold, and 0 elsewhere.

    So `video_f1(above(folds, thresholds), [0.5])` counts each video at the threshold of its fold. Raises ValueError
    where there are not as many thresholds as folds.
    """
    return [
        replace(v, confidence=(np.asarray(v.confidence, np.float64) > t).astype(np.float64))
        for videos, t in zip(folds, thresholds, strict=True)
        for v in videos
    ]


def f1_of_decisions(decided: SeedScores, config: Config, what: str) -> Metric:
    """F1 of the decisions that `above` gives, of "frames" or of "videos": the mean over seeds, with its interval over videos.

    The thresholds are held as they were chosen: the interval has the chance of which videos were tested, not of which were there to
    choose by. Raises UndefinedMetricError where there is no positive.
    """
    f1 = {"frames": frame_f1, "videos": video_f1}[what]
    by_name = [sorted(videos, key=lambda v: v.name) for videos in decided.values()]  # folds differ from seed to seed
    per_seed = [float(f1(videos, [0.5])[0]) for videos in by_name]
    statistics = []
    for videos in by_name:
        labels = [v.labels if what == "frames" else np.array([v.label]) for v in videos]
        called = [v.frame_scores() if what == "frames" else v.confidence.max(keepdims=True) for v in videos]
        found = [np.sum(y * s) for y, s in zip(labels, called, strict=True)]
        statistics.append(
            intervals.ratio(2 * np.array(found), [y.sum() + s.sum() for y, s in zip(labels, called, strict=True)])
        )
    value, counts = float(np.mean(per_seed)), resamples(by_name[0], config)
    interval = intervals.interval(value, intervals.mean_of(statistics)(counts), config.interval_level)
    return Metric("f1", value, interval.low, interval.high, tuple(per_seed), len(by_name[0]), interval.reason)
