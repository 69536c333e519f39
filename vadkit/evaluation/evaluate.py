"""One evaluator for all systems: every metric with its interval, and paired differences between two systems.

A system's scores are `{seed: [VideoScores]}`, the same videos for every seed. The value of a metric is the mean over
seeds; its interval is a bootstrap over videos (config.interval_over: or over whole sources) of that mean, so it holds the chance of which videos were filmed, not
that of which seeds were run (those are in `per_seed`).

| metric | of what | range |
| --- | --- | --- |
| fl_auc, ap | confidence, all frames pooled | [0, 1] |
| anomalous_only_auc | confidence, frames of anomalous videos | [0, 1] |
| hard_vs_normal_auc | confidence, hard frames and those of normal videos | [0, 1] |
| auc_<Class>, macro_class_auc | confidence, frames of one class's videos and of all normal ones; their mean | [0, 1] |
| false_alarm_rate | frames of normal videos with a confidence above 0.5 | [0, 1] |
| vl_f1, vl_tpr, vl_fpr | videos whose SAS exceeds 0.5 at any point | [0, 1] |
| detection_delay_s, spans_detected | annotated spans: mean seconds to the alarm of those detected; share detected | >= 0; [0, 1] |
| video_auc, video_auc_sas | videos, by mean confidence over frames; by largest SAS | [0, 1] |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import bootstrap as intervals
from vadkit.evaluation import metrics
from vadkit.evaluation.sas import sigmoidal_anomaly_score
from vadkit.evaluation.scores import VideoScores

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.corpora.video import Video

SeedScores = Mapping[int, Sequence[VideoScores]]
RESAMPLING_SEED = 0  # the same resamples for every metric and system of one test set


@dataclass(frozen=True)
class Metric:
    """A metric's mean over seeds and its interval; None where it has no value, and `reason` says why."""

    name: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    per_seed: tuple[float | None, ...]
    videos: int
    reason: str = ""

    @property
    def unit(self) -> str:
        """ "s" for a delay, "" for a share or an area in [0, 1]."""
        return "s" if self.name.endswith("_s") else ""


@dataclass(frozen=True)
class Comparison:
    """System a minus system b on one metric, paired by video; `relative` is a / b - 1, as the first paper counts.

    None where it has no value, and `reason` says why.
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


def video_sas(video: VideoScores, config: Config) -> np.ndarray:
    """SAS at the steps of one video (`VideoScores.stepped`), with the run's parameters. Shape: (steps,) in (0, 1)."""
    bound = config.sas_bound
    return sigmoidal_anomaly_score(
        video.stepped.confidence, config.sas_tau, config.sas_reactivity, (-bound, bound), -bound, config.sas_variant
    )


def evaluate(scores: SeedScores, config: Config, wanted: Callable[[str], bool] | None = None) -> list[Metric]:
    """Every metric of the table above, or those whose name is `wanted`; classes in alphabetical order.

    Raises ValueError where there is no seed or no video, a video is malformed, or seeds differ in their videos;
    the message names the video. A metric without a value is in the list, with None and the reason.
    """
    runs = _prepare(scores, config)
    counts = resamples(runs[0].videos, config)
    chosen = [name for name in runs[0].definitions if wanted is None or wanted(name)]
    return [
        _metric(name, [run.definitions[name] for run in runs], runs[0].names, counts, config, tuple(scores))
        for name in chosen
    ]


def compare(a: SeedScores, b: SeedScores, config: Config, metric: str = "fl_auc") -> Comparison:
    """Difference of two systems on the same videos, each averaged over its seeds, in the same resamples.

    Raises ValueError where the videos or their labels differ, or the metric is unknown (with the known ones).
    """
    runs_a, runs_b = _prepare(a, config), _prepare(b, config)
    _same_videos(runs_a[0].videos, runs_b[0].videos, "the two systems")
    known = runs_a[0].definitions
    if metric not in known:
        raise ValueError(f"no metric '{metric}' on these videos; there are {', '.join(known)}")
    counts = resamples(runs_a[0].videos, config)
    return _difference(
        metric, dict(zip(a, runs_a, strict=True)), dict(zip(b, runs_b, strict=True)), counts, counts, config
    )


def compare_sets(a: SeedScores, b: SeedScores, config: Config, metric: str) -> Comparison:
    """Difference of a metric between two sets of videos, unpaired: each set has resamples of its own.

    A video of both sets (by name), such as a normal one that two sets of anomalies share, is drawn as often in the one as in the other.
    Raises ValueError where the metric is unknown on either set (with the known ones).
    """
    runs_a, runs_b = _prepare(a, config), _prepare(b, config)
    for run in (runs_a[0], runs_b[0]):
        if metric not in run.definitions:
            raise ValueError(f"no metric '{metric}' on these videos; there are {', '.join(run.definitions)}")
    place = {name: k for k, name in enumerate(runs_a[0].names)}
    counts_a, counts_b = resamples(runs_a[0].videos, config), resamples(runs_b[0].videos, config, RESAMPLING_SEED + 1)
    for k, name in enumerate(runs_b[0].names):
        if name in place:
            counts_b[:, k] = counts_a[:, place[name]]
    return _difference(
        metric, dict(zip(a, runs_a, strict=True)), dict(zip(b, runs_b, strict=True)), counts_a, counts_b, config
    )


def resamples(videos: Sequence[VideoScores | Video], config: Config, seed: int = RESAMPLING_SEED) -> np.ndarray:
    """How often each video is drawn. Shape: (resamples, videos). By sources, all videos of a source come together.

    The one place that reads config.interval_over: whatever has an interval over videos draws here. seed: another one
    for a second set of videos, which is to be independent of the first.
    """
    if config.interval_over == "videos":
        return intervals.draw(len(videos), config.bootstrap_resamples, seed)
    sources, source_of = np.unique([v.source for v in videos], return_inverse=True)
    return intervals.draw(len(sources), config.bootstrap_resamples, seed)[:, source_of]


def _difference(
    metric: str, a: dict[int, _Run], b: dict[int, _Run], counts_a: np.ndarray, counts_b: np.ndarray, config: Config
) -> Comparison:
    """a minus b, each over its seeds, with the resample k of the one beside the resample k of the other."""
    side_a, side_b = ([run.definitions[metric] for run in side.values()] for side in (a, b))
    (value_a, _, why_a), (value_b, _, why_b) = _point(side_a, tuple(a)), _point(side_b, tuple(b))
    fewest, videos = min(len(a), len(b)), len({name for side in (a, b) for name in next(iter(side.values())).names})
    if value_a is None or value_b is None:
        return Comparison(metric, value_a, value_b, *[None] * 6, seeds=fewest, videos=videos, reason=why_a or why_b)
    at_a, at_b = (
        intervals.mean_of([d.statistic() for d in side])(counts)
        for side, counts in ((side_a, counts_a), (side_b, counts_b))
    )
    difference = intervals.interval(value_a - value_b, at_a - at_b, config.interval_level)
    relative = intervals.interval(
        value_a / value_b - 1 if value_b else np.nan, intervals.divide(at_a, at_b) - 1, config.interval_level
    )
    return Comparison(
        metric,
        value_a,
        value_b,
        difference.value,
        difference.low,
        difference.high,
        relative.value if value_b else None,
        relative.low if value_b else None,
        relative.high if value_b else None,
        fewest,
        videos,
        difference.reason or why_a or why_b,
    )


# --- one seed ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Definition:
    point: Callable[[], float]
    statistic: Callable[[], intervals.Statistic]


@dataclass(frozen=True)
class _Run:
    """One seed's videos, and what several metrics share."""

    videos: tuple[VideoScores, ...]
    config: Config

    @cached_property
    def names(self) -> np.ndarray:
        return np.array([v.name for v in self.videos])

    @cached_property
    def labels(self) -> np.ndarray:
        return np.array([v.label for v in self.videos])

    @cached_property
    def held(self) -> list[np.ndarray]:
        return [v.frame_scores() for v in self.videos]

    @cached_property
    def sas(self) -> list[np.ndarray]:
        return [video_sas(v, self.config) for v in self.videos]

    @cached_property
    def peaks(self) -> np.ndarray:
        return np.array([s.max() for s in self.sas])

    @cached_property
    def called(self) -> np.ndarray:
        return self.peaks > metrics.THRESHOLD

    @cached_property
    def means(self) -> np.ndarray:
        return np.array([s.mean() for s in self.held])

    @cached_property
    def delays(self) -> list[metrics.Delays]:
        return [metrics.detection_delay(v.stepped, s) for v, s in zip(self.videos, self.sas, strict=True)]

    @cached_property
    def pairs(self) -> intervals.PairCounts:
        return intervals.PairCounts([v.labels for v in self.videos], self.held)

    @cached_property
    def definitions(self) -> dict[str, _Definition]:
        """Each metric twice: from its definition in `metrics`, and as a statistic of counts for the interval."""
        videos, anomalous = self.videos, self.labels == 1
        classes = metrics.anomaly_classes(videos)
        found = {
            "fl_auc": _Definition(lambda: metrics.frame_auc(*metrics.pool(videos)), lambda: self.pairs.auc()),
            "ap": _Definition(
                lambda: metrics.average_precision(*metrics.pool(videos)),
                lambda: intervals.average_precision([v.labels for v in videos], self.held),
            ),
            "anomalous_only_auc": _Definition(
                lambda: metrics.anomalous_only_auc(videos), lambda: self.pairs.auc(anomalous, anomalous)
            ),
            "hard_vs_normal_auc": _Definition(
                lambda: metrics.hard_vs_normal_auc(videos), lambda: self.pairs.auc(anomalous, ~anomalous)
            ),
            "macro_class_auc": _Definition(
                self._macro, lambda: intervals.mean_of([self._class_auc(c) for c in classes])
            ),
            "false_alarm_rate": _Definition(
                lambda: metrics.false_alarm_rate(videos),
                lambda: intervals.ratio(
                    [(s > metrics.THRESHOLD).sum() for s in self.held] * ~anomalous,
                    [len(s) for s in self.held] * ~anomalous,
                ),
            ),
            "vl_f1": _Definition(
                lambda: metrics.video_f1(self.labels, self.peaks),
                lambda: _both_classes(
                    intervals.ratio(2 * (self.called & anomalous), self.called * 1 + anomalous), anomalous
                ),
            ),
            "vl_tpr": _Definition(
                lambda: metrics.video_tpr(self.labels, self.peaks),
                lambda: intervals.ratio(self.called & anomalous, anomalous),
            ),
            "vl_fpr": _Definition(
                lambda: metrics.video_fpr(self.labels, self.peaks),
                lambda: intervals.ratio(self.called & ~anomalous, ~anomalous),
            ),
            "detection_delay_s": _Definition(
                self._mean_delay,
                lambda: intervals.ratio([sum(d.seconds) for d in self.delays], [len(d.seconds) for d in self.delays]),
            ),
            "spans_detected": _Definition(
                self._spans_detected,
                lambda: intervals.ratio([len(d.seconds) for d in self.delays], [d.spans for d in self.delays]),
            ),
            "video_auc": _Definition(
                lambda: metrics.video_auc(self.labels, self.means), lambda: self._video_auc(self.means)
            ),
            "video_auc_sas": _Definition(
                lambda: metrics.video_auc(self.labels, self.peaks), lambda: self._video_auc(self.peaks)
            ),
        }
        for category in classes:
            found[f"auc_{category}"] = _Definition(
                lambda c=category: self._class_point(c),
                lambda c=category: self._class_auc(c),
            )
        return found

    def _class_auc(self, category: str) -> intervals.Statistic:
        mine = np.array([v.category == category for v in self.videos])
        return self.pairs.auc(mine, mine | (self.labels == 0))

    def _class_point(self, category: str) -> float:
        """`metrics.class_auc`, from the pairs that are counted already: pooling a million frames for each class takes seconds."""
        value = float(self._class_auc(category)(np.ones((1, len(self.videos))))[0])
        return metrics.class_auc(self.videos, category) if np.isnan(value) else value  # which says why there is none

    def _macro(self) -> float:
        values = [self._class_point(c) for c in metrics.anomaly_classes(self.videos)]
        return float(np.mean(values)) if values else metrics.macro_class_auc(self.videos)

    def _video_auc(self, scores: np.ndarray) -> intervals.Statistic:
        return intervals.PairCounts(self.labels[:, None], scores[:, None]).auc()

    def _mean_delay(self) -> float:
        seconds = [s for d in self.delays for s in d.seconds]
        if not seconds:
            raise UndefinedMetricError(
                f"none of {sum(d.spans for d in self.delays)} annotated spans was detected: there is no delay"
            )
        return float(np.mean(seconds))

    def _spans_detected(self) -> float:
        total = sum(d.spans for d in self.delays)
        if not total:
            raise UndefinedMetricError(f"no annotated span in {len(self.videos)} videos")
        return sum(len(d.seconds) for d in self.delays) / total


def _both_classes(statistic: intervals.Statistic, anomalous: np.ndarray) -> intervals.Statistic:
    """Undefined where a resample holds one class only, as `metrics.video_f1` is."""
    return lambda counts: np.where((counts @ anomalous > 0) & (counts @ ~anomalous > 0), statistic(counts), np.nan)


# --- over seeds --------------------------------------------------------------------------------------------------


def _metric(
    name: str,
    definitions: list[_Definition],
    names: np.ndarray,
    counts: np.ndarray,
    config: Config,
    seeds: tuple[int, ...],
) -> Metric:
    value, per_seed, reason = _point(definitions, seeds)
    if value is None:
        return Metric(name, None, None, None, per_seed, len(names), reason)
    found = intervals.interval(
        value, intervals.mean_of([d.statistic() for d in definitions])(counts), config.interval_level
    )
    return Metric(
        name, value, found.low, found.high, per_seed, len(names), "; ".join(r for r in (found.reason, reason) if r)
    )


def _point(
    definitions: list[_Definition], seeds: tuple[int, ...]
) -> tuple[float | None, tuple[float | None, ...], str]:
    """(mean over the seeds that have a value, each seed's value, why some have none)."""
    values, reasons = [], []
    for seed, definition in zip(seeds, definitions, strict=True):
        try:
            values.append(definition.point())
        except UndefinedMetricError as error:
            values.append(None)
            reasons.append((seed, str(error)))
    defined = [v for v in values if v is not None]
    if not defined:
        return None, tuple(values), reasons[0][1]
    return float(np.mean(defined)), tuple(values), "; ".join(f"seed {seed} left out: {why}" for seed, why in reasons)


def _prepare(scores: SeedScores, config: Config) -> list[_Run]:
    if not scores:
        raise ValueError("expected the scores of at least one seed, got none")
    runs = []
    for seed, videos in scores.items():
        if not videos:
            raise ValueError(f"seed {seed}: no video to evaluate")
        runs.append(_Run(tuple(metrics.check_video(v) for v in videos), config))
        _same_videos(runs[0].videos, runs[-1].videos, f"seeds {next(iter(scores))} and {seed}")
    repeated = [n for n in runs[0].names if np.sum(runs[0].names == n) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is scored more than once; each video counts once")
    return runs


def _same_videos(first: Sequence[VideoScores], second: Sequence[VideoScores], whose: str) -> None:
    if [v.name for v in first] != [v.name for v in second]:
        differ = sorted({v.name for v in first} ^ {v.name for v in second})
        what = f"{len(differ)} are in one alone, the first is {differ[0]}" if differ else "their order differs"
        raise ValueError(f"{whose} must score the same videos in the same order: {what}")
    for one, other in zip(first, second, strict=True):
        if one.category != other.category or not np.array_equal(one.labels, other.labels):
            raise ValueError(
                f"{whose} disagree on the labels of {one.name}: {one.frames} and {other.frames} frames, {one.labels.sum()} and {other.labels.sum()} anomalous"
            )
