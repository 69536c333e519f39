"""Metrics: one definition for every system, over frames and over videos.

A metric is a function of one seed's scored videos that gives a `Statistic`: its `value`, and what it is on resampled
videos; where it has none, the statistic knows the reason. To add a metric, add it to `METRICS`. An alarm is a score
strictly above the threshold ("exceeds 0.5", section 5.1 of the first paper).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.corpora.video import NORMAL
from vadkit.evaluation.bootstrap import Statistic, f1, mean_of, one_class, ratio
from vadkit.evaluation.pooled import PairCounts, average_precision
from vadkit.evaluation.sas import sigmoidal_anomaly_score
from vadkit.evaluation.scores import VideoScores, hold

THRESHOLD = 0.5


def frame_auc(labels, scores) -> float:
    """Area under the ROC curve of pooled frames; equal scores count one half.

    Shape: labels (n,) of 0 and 1, scores (n,) finite -> [0, 1]. Raises ValueError for other input, UndefinedMetricError
    for one class alone. Source: FL-AUC of section 5.1; all frames of all videos together, as in Sultani et al.
    """
    from sklearn.metrics import roc_auc_score

    labels, scores = check_pair(labels, scores)
    if why := one_class(labels.sum(), (1 - labels).sum(), "frame"):
        raise UndefinedMetricError(why)
    return float(roc_auc_score(labels, scores))


def pool(videos: Sequence[VideoScores]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and held confidences of all frames of all videos. Shape: two vectors (all frames,).

    Raises ValueError naming a video whose labels or confidences are malformed, UndefinedMetricError for no video.
    """
    if not videos:
        raise UndefinedMetricError("no video to evaluate")
    scores = [check_video(v).frame_scores() for v in videos]
    return np.concatenate([v.labels for v in videos]), np.concatenate(scores)


def video_sas(video: VideoScores, config: Config) -> np.ndarray:
    """SAS at the steps of one video (`VideoScores.stepped`), with the run's parameters. Shape: (steps,) in (0, 1)."""
    bound = config.sas_bound
    return sigmoidal_anomaly_score(
        video.stepped.confidence, config.sas_tau, config.sas_reactivity, (-bound, bound), -bound, config.sas_variant
    )


@dataclass(frozen=True)
class Scored:
    """One seed's scored videos, and what several metrics share."""

    videos: tuple[VideoScores, ...]
    config: Config

    @cached_property
    def anomalous(self) -> np.ndarray:
        """(videos,) bool"""
        return np.array([v.label == 1 for v in self.videos])

    @cached_property
    def held(self) -> list[np.ndarray]:
        """Each video's confidence at every frame."""
        return [v.frame_scores() for v in self.videos]

    @cached_property
    def sas(self) -> list[np.ndarray]:
        return [video_sas(v, self.config) for v in self.videos]

    @cached_property
    def peaks(self) -> np.ndarray:
        """The largest SAS of each video, which is called anomalous where that exceeds 0.5. Shape: (videos,)."""
        return np.array([s.max() for s in self.sas])

    @cached_property
    def delays(self) -> list[np.ndarray]:
        return [detection_delay(v.stepped, s) for v, s in zip(self.videos, self.sas, strict=True)]

    @cached_property
    def pairs(self) -> PairCounts:
        return PairCounts([v.labels for v in self.videos], self.held)


def anomalous_only_auc(scored: Scored) -> Statistic:
    """Frame AUC over the anomalous videos alone: does the score find the moment, not just the video?"""
    found = scored.pairs.auc(scored.anomalous, scored.anomalous)
    absent = f"no anomalous video among {len(scored.videos)}"
    return found if scored.anomalous.any() else replace(found, why=absent)


def hard_vs_normal_auc(scored: Scored) -> Statistic:
    """Frame AUC of hard anomalies against the frames of normal videos; soft frames are left out of the evaluation.

    Ours; with `anomalous_only_auc` it takes the frame AUC apart. Section 4.4 counts soft frames as normal.
    """
    return scored.pairs.auc(scored.anomalous, ~scored.anomalous)


def class_auc(scored: Scored, category: str) -> Statistic:
    """Frame AUC of one class of anomaly: its videos' frames and all normal videos', soft ones as negatives."""
    mine = np.array([v.category == category for v in scored.videos])
    return scored.pairs.auc(mine, mine | ~scored.anomalous)


def anomaly_classes(videos: Sequence[VideoScores]) -> list[str]:
    """The anomalous categories present, in alphabetical order."""
    return sorted({v.category for v in videos if v.label})


def macro_class_auc(scored: Scored) -> Statistic:
    """Plain mean of `class_auc` over the classes present; without a value where one of them has none."""
    each = [class_auc(scored, c) for c in anomaly_classes(scored.videos)]
    each = each or [anomalous_only_auc(scored)]  # without an anomalous video it says so
    return next((one for one in each if one.why), mean_of(each))


def false_alarm_rate(scored: Scored) -> Statistic:
    """Share of the frames of normal videos whose confidence, not SAS, exceeds 0.5, as Sultani et al. report it."""
    alarms = [(s > THRESHOLD).sum() for s in scored.held] * ~scored.anomalous
    frames = [len(s) for s in scored.held] * ~scored.anomalous
    return ratio(alarms, frames, f"no normal video among {len(scored.videos)}: there is no false-alarm rate")


def vl_f1(scored: Scored) -> Statistic:
    """F1 of videos called anomalous, harmonic mean of precision and recall; 0 where no anomalous video is found.

    Source: VL-F1 of section 5.1. At recall 0 its printed form divides by zero; 0 is its limit (our reading).
    """
    anomalous, normal = scored.anomalous, ~scored.anomalous
    why = one_class(anomalous.sum(), normal.sum(), "video")
    return f1(scored.peaks > THRESHOLD, anomalous, [anomalous, normal], why)


def vl_tpr(scored: Scored) -> Statistic:
    """Share of anomalous videos called anomalous (VL-TPR, table 3)."""
    why = f"no anomalous video among {len(scored.videos)}: there is no true-positive rate"
    return ratio((scored.peaks > THRESHOLD) & scored.anomalous, scored.anomalous, why)


def vl_fpr(scored: Scored) -> Statistic:
    """Share of normal videos called anomalous (VL-FPR, table 3)."""
    why = f"no normal video among {len(scored.videos)}: there is no false-positive rate"
    return ratio((scored.peaks > THRESHOLD) & ~scored.anomalous, ~scored.anomalous, why)


def video_auc(scored: Scored, of: Sequence[float]) -> Statistic:
    """Area under the ROC curve over videos, by whatever one score a video has. Shape: of (videos,)."""
    return PairCounts(scored.anomalous[:, None], np.array(of)[:, None]).auc(what="video")


def video_ap(scored: Scored) -> Statistic:
    """Average precision over videos, by mean confidence over frames."""
    return average_precision(scored.anomalous[:, None], np.array([[s.mean()] for s in scored.held]))


def detection_delay(video: VideoScores, sas) -> np.ndarray:
    """Seconds from the start of each annotated span to its alarm; NaN for a span that ends without one.

    Negative where the alarm was on already when the span starts and began in a frame that is not labelled: an *early*
    alarm, by so many seconds. It may be right (soft anomalies go before) or a false alarm that happens to last; the
    labels cannot tell, so that it has no part in the delay. 0 where it began in an earlier span of the same video.
    Shape: sas (analysed frames,), held as confidences are -> (spans,). A span is a run of positive frame labels. Our
    reading: the delay ends at the first frame of the span whose SAS exceeds 0.5. Raises ValueError for a malformed
    video or a SAS of another length.
    """
    check_video(video)
    alarm = hold(video.index, np.asarray(sas), video.frames) > THRESHOLD
    runs, found = spans(alarm), []
    for start, end in spans(video.labels):
        first = next((begin for begin, over in runs if start < over and begin < end), None)  # of the alarm met first
        carried = first is not None and first < start and video.labels[first]
        found.append(np.nan if first is None else 0.0 if carried else video.seconds(start, first))
    return np.array(found)


def mean_delay(scored: Scored) -> Statistic:
    """Mean seconds to the alarm over the annotated spans that were detected; those with an early alarm have none."""
    why = f"none of {sum(map(len, scored.delays))} annotated spans was detected: there is no delay"
    return ratio([d[d >= 0].sum() for d in scored.delays], [(d >= 0).sum() for d in scored.delays], why)


def spans_detected(scored: Scored) -> Statistic:
    """Share of the annotated spans whose alarm began in one; those with an early alarm are `spans_early`."""
    return _share_of_spans(scored, lambda delay: delay >= 0)


def spans_early(scored: Scored) -> Statistic:
    """Share of the annotated spans whose alarm began before them, in no labelled frame, and was on when they start."""
    return _share_of_spans(scored, lambda delay: delay < 0)


def _share_of_spans(scored: Scored, of: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    why = f"no annotated span in {len(scored.videos)} videos"
    return ratio([of(d).sum() for d in scored.delays], [len(d) for d in scored.delays], why)


def spans(labels: np.ndarray) -> list[tuple[int, int]]:
    """Runs of 1 in a vector of 0 and 1, as half-open [start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels, np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class Definition:
    """A metric as `evaluate` computes it. unit: "s" for seconds, "" for a share or an area in [0, 1]."""

    statistic: Callable[[Scored], Statistic]
    unit: str = ""


METRICS = {
    "fl_auc": Definition(lambda scored: scored.pairs.auc()),
    "ap": Definition(lambda scored: average_precision([v.labels for v in scored.videos], scored.held)),
    "anomalous_only_auc": Definition(anomalous_only_auc),
    "hard_vs_normal_auc": Definition(hard_vs_normal_auc),
    "macro_class_auc": Definition(macro_class_auc),
    "false_alarm_rate": Definition(false_alarm_rate),
    "vl_f1": Definition(vl_f1),
    "vl_tpr": Definition(vl_tpr),
    "vl_fpr": Definition(vl_fpr),
    "detection_delay_s": Definition(mean_delay, "s"),
    "spans_detected": Definition(spans_detected),
    "spans_early": Definition(spans_early),
    "video_auc": Definition(lambda scored: video_auc(scored, [s.mean() for s in scored.held])),
    "video_auc_sas": Definition(lambda scored: video_auc(scored, scored.peaks)),
}


def definitions(scored: Scored) -> dict[str, Definition]:
    """`METRICS`, and the AUC of each class that these videos have."""
    classes = anomaly_classes(scored.videos)
    return METRICS | {f"auc_{c}": Definition(partial(class_auc, category=c)) for c in classes}


def check_pair(labels, scores, name: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Labels as int64 and scores as float64. Raises ValueError, with the video's name where one is given."""
    of = f"{name}: " if name else ""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or scores.ndim != 1:
        shapes = f"labels of shape {labels.shape} and scores of shape {scores.shape}"
        raise ValueError(f"{of}expected two vectors, got {shapes}")
    if len(labels) != len(scores):
        raise ValueError(f"{of}expected as many scores as labels, got {len(scores)} scores and {len(labels)} labels")
    if (odd := ~np.isin(labels, (0, 1))).any():
        raise ValueError(f"{of}labels must be 0 or 1, got {labels[odd][0]!s}")
    if (wrong := np.flatnonzero(~np.isfinite(scores))).size:
        where = f"{scores[wrong[0]]} at position {wrong[0]} ({len(wrong)} of {len(scores)} are not)"
        raise ValueError(f"{of}scores must be finite, got {where}")
    return labels.astype(np.int64), scores


def check_video(video: VideoScores) -> VideoScores:
    """The video, once its labels, index, confidences and rate hold what they should. Raises ValueError naming it."""
    confidence = np.asarray(video.confidence, dtype=np.float64)
    try:
        held = hold(video.index, confidence, video.frames)
    except ValueError as error:
        raise ValueError(f"{video.name}: {error}") from None
    check_pair(video.labels, held, video.name)
    low, high = confidence.min(), confidence.max()
    if low < 0 or high > 1:
        raise ValueError(f"{video.name}: confidences must lie in [0, 1], got {low:g} to {high:g}")
    if not 0 < video.fps < np.inf:
        raise ValueError(f"{video.name}: expected a positive frame rate, got {video.fps}")
    if not video.label and np.any(video.labels):
        raise ValueError(f"{video.name}: a {NORMAL} video has {int(np.sum(video.labels))} anomalous frames")
    return video
