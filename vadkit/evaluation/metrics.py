"""Metrics: one definition for every system, over frames and over videos.

A metric that has no value on its input raises UndefinedMetricError with the reason; it never returns 0, 0.5 or NaN
in its place. Shares and areas lie in [0, 1]; delays are in seconds.

The functions of arrays take labels of 0 and 1 and finite scores, and raise ValueError otherwise. The functions of
videos take `VideoScores` and name the video at fault. An alarm is a score strictly above the threshold ("exceeds 0.5",
section 5.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.errors import UndefinedMetricError
from vadkit.corpora.video import NORMAL
from vadkit.evaluation.scores import VideoScores, hold

THRESHOLD = 0.5


# --- pooled frames -----------------------------------------------------------------------------------------------


def frame_auc(labels, scores) -> float:
    """Area under the ROC curve of pooled frames; equal scores count one half.

    Shape: labels (n,), scores (n,) -> [0, 1]. Raises UndefinedMetricError where one of the classes is absent.
    Source: FL-AUC of section 5.1; all frames of all videos together, as in Sultani et al.
    """
    labels, scores = check_pair(labels, scores)
    _, positives, negatives = runs(labels, scores)
    return auc_of_runs(positives, negatives)


def average_precision(labels, scores) -> float:
    """Mean precision over recall, as a sum of steps without interpolation, ties taken together.

    Shape: labels (n,), scores (n,) -> [0, 1]. Its chance level is the share of positives. Raises
    UndefinedMetricError where one of the classes is absent.
    """
    labels, scores = check_pair(labels, scores)
    _, positives, negatives = runs(labels, scores)
    _need_both(positives.sum(), negatives.sum(), "frame")
    found = np.cumsum(positives[::-1])
    alarms = found + np.cumsum(negatives[::-1])
    return float(np.sum(positives[::-1] / found[-1] * (found / alarms)))


def roc_points(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """False-positive and true-positive rate at every threshold, from (0, 0) to (1, 1).

    Shape: (n,), (n,) -> two vectors of (different scores + 1,). Raises UndefinedMetricError as `frame_auc` does.
    """
    labels, scores = check_pair(labels, scores)
    _, positives, negatives = runs(labels, scores)
    _need_both(positives.sum(), negatives.sum(), "frame")
    tpr = np.concatenate([[0], np.cumsum(positives[::-1])]) / positives.sum()
    fpr = np.concatenate([[0], np.cumsum(negatives[::-1])]) / negatives.sum()
    return fpr, tpr


def runs(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collapse frames of equal score: the different scores, rising, with positives and negatives at each.

    Exact, and small where a score holds over many frames.
    """
    values, where = np.unique(scores, return_inverse=True)
    positives = np.bincount(where, weights=labels, minlength=len(values))
    return values, positives, np.bincount(where, minlength=len(values)) - positives


def auc_of_runs(positives: np.ndarray, negatives: np.ndarray) -> float:
    """`frame_auc` of runs that rise in score. Shape: (k,), (k,) counts -> [0, 1]."""
    _need_both(positives.sum(), negatives.sum(), "frame")
    below = np.cumsum(negatives) - negatives
    return float(np.sum(positives * (below + 0.5 * negatives)) / (positives.sum() * negatives.sum()))


# --- whole videos ------------------------------------------------------------------------------------------------


def video_f1(labels, video_scores, threshold: float = THRESHOLD) -> float:
    """F1 of videos called anomalous, harmonic mean of precision and recall; 0 where no anomalous video is found.

    Shape: labels (videos,), video_scores (videos,): the largest SAS of each -> [0, 1]. Raises UndefinedMetricError
    where all videos are of one class.
    Source: VL-F1 of section 5.1. At recall 0 its printed form divides by zero; 0 is its limit (our reading).
    """
    found, false, positives, _ = _video_counts(labels, video_scores, threshold, need="both")
    return 2 * found / (found + false + positives)


def video_tpr(labels, video_scores, threshold: float = THRESHOLD) -> float:
    """Share of anomalous videos called anomalous (VL-TPR, table 3). Shape: (videos,), (videos,) -> [0, 1].

    Raises UndefinedMetricError where no video is anomalous.
    """
    found, _, positives, _ = _video_counts(labels, video_scores, threshold, need="positives")
    return found / positives


def video_fpr(labels, video_scores, threshold: float = THRESHOLD) -> float:
    """Share of normal videos called anomalous (VL-FPR, table 3). Shape: (videos,), (videos,) -> [0, 1].

    Raises UndefinedMetricError where no video is normal.
    """
    _, false, _, negatives = _video_counts(labels, video_scores, threshold, need="negatives")
    return false / negatives


def video_auc(labels, video_scores) -> float:
    """Area under the ROC curve over videos, by whatever one score a video has (largest SAS, mean confidence).

    Shape: (videos,), (videos,) -> [0, 1]. Raises UndefinedMetricError where all videos are of one class.
    """
    labels, video_scores = check_pair(labels, video_scores)
    _need_both(labels.sum(), (1 - labels).sum(), "video")
    return frame_auc(labels, video_scores)


def _video_counts(labels, scores, threshold: float, need: str) -> tuple[int, int, int, int]:
    labels, scores = check_pair(labels, scores)
    positives, negatives = int(labels.sum()), int((1 - labels).sum())
    if need == "both":
        _need_both(positives, negatives, "video")
    elif need == "positives" and positives == 0:
        raise UndefinedMetricError(f"no anomalous video among {negatives}: there is no true-positive rate")
    elif need == "negatives" and negatives == 0:
        raise UndefinedMetricError(f"no normal video among {positives}: there is no false-positive rate")
    called = scores > threshold
    return int((called & (labels == 1)).sum()), int((called & (labels == 0)).sum()), positives, negatives


# --- frames of chosen videos -------------------------------------------------------------------------------------


def pool(videos: Sequence[VideoScores]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and held confidences of all frames of all videos. Shape: two vectors (all frames,).

    Raises ValueError naming a video whose labels or confidences are malformed, UndefinedMetricError for no video.
    """
    if not videos:
        raise UndefinedMetricError("no video to evaluate")
    scores = [check_video(v).frame_scores() for v in videos]
    return np.concatenate([v.labels for v in videos]), np.concatenate(scores)


def anomalous_only_auc(videos: Sequence[VideoScores]) -> float:
    """Frame AUC over the anomalous videos alone: does the score find the moment, not just the video?

    Raises UndefinedMetricError where there is none or where their frames are of one class.
    """
    chosen = [v for v in videos if v.label]
    if not chosen:
        raise UndefinedMetricError(f"no anomalous video among {len(videos)}")
    return frame_auc(*pool(chosen))


def hard_vs_normal_auc(videos: Sequence[VideoScores]) -> float:
    """Frame AUC of hard anomalies against the frames of normal videos; soft frames are left out of the evaluation.

    With `anomalous_only_auc`, which sets the same hard frames against the soft ones, it takes `frame_auc` apart: what a change of
    training does to the one and to the other (ours; section 4.4 of the first paper counts soft frames as normal).
    Raises UndefinedMetricError where there is no hard frame or no normal video.
    """
    labels = [v.labels[v.labels == 1] if v.label else v.labels for v in videos]
    scores = [v.frame_scores()[v.labels == 1] if v.label else v.frame_scores() for v in videos]
    return frame_auc(np.concatenate(labels), np.concatenate(scores))


def class_auc(videos: Sequence[VideoScores], category: str) -> float:
    """Frame AUC of one class of anomaly: the frames of its videos and of all normal videos.

    Our reading: frames of its videos outside hard anomalies are negatives, as in `frame_auc`; videos of other
    classes take no part. Raises UndefinedMetricError where the class has no positive frame.
    """
    chosen = [v for v in videos if v.category in (category, NORMAL)]
    if category not in {v.category for v in chosen}:
        raise UndefinedMetricError(f"no video of class {category}")
    return frame_auc(*pool(chosen))


def anomaly_classes(videos: Sequence[VideoScores]) -> list[str]:
    """The anomalous categories present, in alphabetical order."""
    return sorted({v.category for v in videos if v.label})


def macro_class_auc(videos: Sequence[VideoScores]) -> float:
    """Plain mean of `class_auc` over the classes present, so that a rare class counts as much as a common one.

    Raises UndefinedMetricError where no class is present or one of them has no value.
    """
    classes = anomaly_classes(videos)
    if not classes:
        raise UndefinedMetricError(f"no anomalous video among {len(videos)}")
    return float(np.mean([class_auc(videos, c) for c in classes]))


def false_alarm_rate(videos: Sequence[VideoScores], threshold: float = THRESHOLD) -> float:
    """Share of the frames of normal videos whose confidence exceeds the threshold. Range: [0, 1].

    By the classifier's confidence, not by SAS, as Sultani et al. report it. Raises UndefinedMetricError where no
    video is normal.
    """
    normal = [v for v in videos if not v.label]
    if not normal:
        raise UndefinedMetricError(f"no normal video among {len(videos)}: there is no false-alarm rate")
    return float(np.mean(pool(normal)[1] > threshold))


# --- delay -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delays:
    """Seconds from the start of each detected span to its alarm, and how many spans had none."""

    seconds: tuple[float, ...]
    undetected: int

    @property
    def spans(self) -> int:
        return len(self.seconds) + self.undetected


def detection_delay(video: VideoScores, sas, threshold: float = THRESHOLD) -> Delays:
    """How long after the start of each annotated span the alarm is on.

    Shape: sas (analysed frames,), held until the next one as confidences are. A span is a run of positive frame
    labels. Our reading: the delay ends at the first frame of the span whose SAS exceeds the threshold; 0 where the
    alarm is on already when it starts (soft anomalies go before it); a span that ends without an alarm is
    undetected, counted apart, and has no delay. Raises ValueError for a malformed video or a SAS of another length.
    """
    check_video(video)
    alarm = hold(video.index, np.asarray(sas), video.frames) > threshold
    seconds, undetected = [], 0
    for start, end in spans(video.labels):
        first = np.flatnonzero(alarm[start:end])
        if len(first):
            seconds.append(float(first[0] / video.fps))
        else:
            undetected += 1
    return Delays(tuple(seconds), undetected)


def spans(labels: np.ndarray) -> list[tuple[int, int]]:
    """Runs of 1 in a vector of 0 and 1, as half-open [start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels, np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


# --- checks ------------------------------------------------------------------------------------------------------


def check_pair(labels, scores, name: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and scores as float64. Raises ValueError, with the video's name where one is given."""
    of = f"{name}: " if name else ""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or scores.ndim != 1:
        raise ValueError(
            f"{of}expected two vectors, got labels of shape {labels.shape} and scores of shape {scores.shape}"
        )
    if len(labels) != len(scores):
        raise ValueError(f"{of}expected as many scores as labels, got {len(scores)} scores and {len(labels)} labels")
    if len(labels) and not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{of}labels must be 0 or 1, got {labels[~np.isin(labels, (0, 1))][0]!s}")
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise ValueError(
            f"{of}scores must be finite, got {scores[wrong[0]]} at position {wrong[0]} ({len(wrong)} of {len(scores)} are not)"
        )
    return labels.astype(np.int64), scores


def check_video(video: VideoScores) -> VideoScores:
    """The video, once its labels, index, confidences and rate hold what they should. Raises ValueError naming it."""
    confidence = np.asarray(video.confidence, dtype=np.float64)
    try:
        held = hold(video.index, confidence, video.frames)
    except ValueError as error:
        raise ValueError(f"{video.name}: {error}") from None
    check_pair(video.labels, held, video.name)
    if confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(
            f"{video.name}: confidences must lie in [0, 1], got {confidence.min():g} to {confidence.max():g}"
        )
    if not (video.fps > 0 and np.isfinite(video.fps)):
        raise ValueError(f"{video.name}: expected a positive frame rate, got {video.fps}")
    if not video.label and np.any(video.labels):
        raise ValueError(f"{video.name}: a {NORMAL} video has {int(np.sum(video.labels))} anomalous frames")
    return video


def _need_both(positives: float, negatives: float, what: str) -> None:
    if positives == 0 or negatives == 0:
        total = int(positives + negatives)
        if total == 0:
            raise UndefinedMetricError(f"no {what} to evaluate")
        kind = "anomalous" if positives == 0 else "normal"
        raise UndefinedMetricError(f"no {kind} {what} among {total}: with one class only the metric has no value")
