"""The first paper's two ideas for the future (section 6), for which it names no rule; the rules are our readings.

A suspicious class for soft anomalies, by "a fuzzy assignment": `membership`, by the distance in time from the crime.
Sampling that "also considers the different types of anomalies": a rate for each class, higher (config.class_rates_by)
where frames "change" more from one sample to the next, seen in the frame stream's features, for a flow image is a
difference itself; or for fewer "seconds" of hard anomaly in the training videos. Rates are within hard anomalies only;
the number of samples in all, and what is validated, tested or scored, stay the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.corpora.video import Spans
from vadkit.models.network import network_of
from vadkit.views.features import extract_features, features_of
from vadkit.views.frames import Samples, extract
from vadkit.views.sampling import stride_frames
from vadkit.views.view import View

WITHIN = 3.0  # a class's rate lies within this factor of the common one, either way (our reading)
LEAST_NEED = 1e-3  # of a class whose frames stand still; far beyond what WITHIN lets through

Rates = Mapping[str, float]  # by class


def membership(index: np.ndarray, fps: float, intervals: Spans | None, seconds: float) -> np.ndarray:
    """How far frames belong to the suspicious class. Shape: (n,) frame numbers -> (n,) float32 in [0, 1].

    Triangular (our reading): from 1 beside a hard span [start, end) evenly down to 0 at `seconds` from its nearest
    frame, before as after; 0 within hard spans, which belong to the anomaly wholly, and where there is none: a normal
    video, or one of which the video-level label alone is known (intervals None), whose frames are all hard. Raises
    ValueError where fps or seconds is not above 0.
    """
    if not fps > 0 or not seconds > 0:
        raise ValueError(f"expected fps and seconds above 0, got {fps} and {seconds}")
    index = np.asarray(index, np.int64)
    if not intervals:
        return np.zeros(len(index), np.float32)
    starts, ends = np.array(intervals, np.int64).T[:, :, None]
    distance = np.maximum(starts - index, index - (ends - 1)).min(axis=0)  # to the nearest hard frame; <= 0 within
    return np.where(distance > 0, np.clip(1 - distance / (fps * seconds), 0, 1), 0).astype(np.float32)


def suspicion(view: View, rows: np.ndarray, seconds: float) -> np.ndarray:
    """`membership` of a view's rows, by its clock. Shape: (k,) row numbers -> (k,) float32."""
    ticks, spans = view.clock.ticks(view.frames), view.video.intervals
    spans = spans and tuple((ticks[start], ticks[end - 1] + 1) for start, end in spans)
    return membership(ticks[view.index[rows]], view.fps, spans, seconds)


# --- rates by class ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassRate:
    """One class's share. seconds: of hard anomaly in the training videos; need: as `needs`; common_samples, samples:
    hard ones at the common rate and at its own."""

    category: str
    videos: int
    seconds: float
    need: float
    rate: float
    common_samples: int
    samples: int


@dataclass(frozen=True, eq=False)
class RatedSamples(Samples):
    """Samples of a training video at its class's rate, frames a second in hard anomalies."""

    rate: float

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """As `Samples.rows`, for training at `rate`; scoring rows were not extracted and raise ValueError."""
        return super().rows(purpose, at_rate(config, self.rate), hard_only)


def at_rate(config: Config, rate: float) -> Config:
    """The parameters with another rate in hard anomalies and the same elsewhere."""
    return config.model_copy(update={"sampling": "custom", "anomaly_fps": rate, "normal_fps": config.training_fps[1]})


def at_class_rates(samples: Sequence[Samples], config: Config, progress: Progress | None = None) -> list[Samples]:
    """Training samples with each class at its own rate; extracted anew where that takes other frames, else as given.
    Raises DataError where a video cannot be read any more."""
    rates = {one.category: one.rate for one in plan_rates(samples, config, progress)}
    anew, common = {}, config.training_fps[0]
    for category, rate in rates.items():
        changed = [one for one in samples if stride_frames(one.fps, rate) != stride_frames(one.fps, common)]
        videos = [one.video for one in changed if one.video.category == category]
        found, problems = extract(videos, at_rate(config, rate), progress, purpose="train") if videos else ([], [])
        if len(found) < len(videos):
            lost = next(problem for problem in problems if problem.left_out)
            now = f"cannot be now, at {rate:g} frames a second: {lost.what}"
            raise DataError(f"{lost.where} was sampled before and {now}")
        anew |= {one.video.name: rated(one, rate) for one in found}
    return [anew.get(one.video.name, one) for one in samples]


def rated(one: Samples, rate: float) -> Samples:
    return RatedSamples(**{field.name: getattr(one, field.name) for field in fields(Samples)}, rate=rate)


def plan_rates(samples: Sequence[Samples], config: Config, progress: Progress | None = None) -> list[ClassRate]:
    """What each class of anomaly gets, by name. samples: of the training videos at the common rate.

    The number of hard samples is counted as it will be drawn, in whole strides from each span's start, so the total
    is as near to that of the common rate as whole strides allow.
    """
    samples = [one for one in samples if one.video.label]
    classes = sorted({one.video.category for one in samples})
    members = {category: [one for one in samples if one.video.category == category] for category in classes}
    common = config.training_fps[0]
    if config.class_rates_by == "change":
        extract_features(samples, {"frame": network_of(config, config.backbone)}, config, progress)
    wanted = needs(members, config)

    def count(category: str, rate: float) -> int:
        spans = [(end - start, stride_frames(one.fps, rate)) for one in members[category] for start, end in _spans(one)]
        return sum(-(-frames // stride) for frames, stride in spans)

    rates = class_rates(wanted, common, lambda trial: sum(count(category, rate) for category, rate in trial.items()))
    planned = []
    for category, of in members.items():
        counts = [count(category, rate) for rate in (common, rates[category])]
        planned.append(ClassRate(category, len(of), _seconds(of), wanted[category], rates[category], *counts))
    return planned


def class_rates(needs: Rates, rate: float, count: Callable[[Rates], float]) -> Rates:
    """Frames per second of each class, proportional to its need, within a factor of WITHIN of the common rate.

    needs: above 0, any unit. count: how many samples given rates draw, never falling as rates rise; the factor of
    proportion is the one whose total is nearest to that of the common rate. Raises ValueError for a need that is not
    above 0.
    """
    if not needs:
        return {}
    if not min(needs.values()) > 0:
        raise ValueError(f"expected needs above 0, got {dict(needs)}")

    def scaled(factor: float) -> dict[str, float]:
        return {category: min(max(factor * need, rate / WITHIN), rate * WITHIN) for category, need in needs.items()}

    target = count(dict.fromkeys(needs, rate))
    low, high = rate / WITHIN / max(needs.values()), rate * WITHIN / min(needs.values())
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if count(scaled(middle)) < target else (low, middle)
    return min((scaled(high), scaled(low)), key=lambda rates: abs(count(rates) - target))


def needs(members: Mapping[str, Sequence[Samples]], config: Config) -> Rates:
    """How much each class wants to be sampled, in no unit: 1 on average over classes.

    "change": the mean cosine distance between the pooled frame features of successive hard samples of a span; a class
    that never has two takes the mean of the others. "seconds": 1 / its seconds of hard anomaly.
    """
    by_seconds = config.class_rates_by == "seconds"
    found = {name: 1 / _seconds(of) if by_seconds else _change(of, config) for name, of in members.items()}
    known = {name: need for name, need in found.items() if not math.isnan(need)}
    mean = float(np.mean(list(known.values()))) if known else 0.0
    return {name: max(known[name] / mean, LEAST_NEED) if mean > 0 and name in known else 1.0 for name in found}


def _change(members: Sequence[Samples], config: Config) -> float:
    """Mean cosine distance of successive hard samples; NaN where no span has two."""
    found, network = [], network_of(config, config.backbone)
    for one in members:
        rows = one.rows("train", config, hard_only=True)
        span = np.searchsorted([end for _, end in _spans(one)], one.index[rows], side="right")
        seen = np.asarray(features_of(one, "frame", network, config)[rows], np.float64)
        seen /= np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
        distance = 1 - (seen[1:] * seen[:-1]).sum(axis=1)
        found.append(distance[np.diff(span) == 0])
    changes = np.concatenate([np.empty(0), *found])
    return float(changes.mean()) if len(changes) else math.nan


def _spans(one: Samples) -> Spans:
    """Hard spans of an anomalous video; all of it where its label alone is known."""
    return ((0, one.frames),) if one.video.intervals is None else one.video.intervals


def _seconds(members: Sequence[Samples]) -> float:
    return sum((end - start) / one.fps for one in members for start, end in _spans(one))
