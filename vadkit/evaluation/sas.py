"""Sigmoidal anomaly score (SAS): a bounded accumulator of confidences behind a logistic function.

Source: Petrocchi et al., section 3.5. Every step, one analysed frame (the released code: 3 a second), adds or takes
away up to `reactivity`; an alarm is a score above 0.5, an accumulator above 0. Three readings, the parameter `variant`:

normalised   the decrease is (tau - s) / tau, the mirror of the increase, so that both lie in [0, 1] for any tau as the
             paper asks; the accumulator is held within its bounds at every step. Ours.
as_printed   the decrease is (1 - s - tau) / (1 - tau), letter by letter. It equals the other only at tau = 0.5: for a
             lower tau it jumps where s nears tau, for a higher one the score *rises* for s in (1 - tau, tau).
as_released  the steps of `normalised` with the bounds of the released code: a step up is taken only below the upper
             bound, a step down only above the lower one; otherwise the accumulator is set to that bound. So it passes
             a bound by up to one step, and a step that finds it at the bound is lost. Alarms can differ.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

VARIANTS = ("normalised", "as_printed", "as_released")
ALARM = 0.5  # section 5.1: a video is anomalous where its score exceeds 0.5 at any point


def sigmoidal_anomaly_score(
    confidence, tau=0.5, reactivity=2.0, bounds=(-7.0, 7.0), start=-7.0, variant="normalised"
) -> np.ndarray:
    """Score every analysed frame of one video from the confidences up to it.

    Shape: confidence (n,) in [0, 1], n >= 1 -> (n,) float64 in (0, 1); the first score has the first confidence in it.
    Raises ValueError for a confidence that is not such a vector, or for tau outside [0, 1), reactivity <= 0, bounds
    that do not rise, a start outside them, or an unknown variant. With tau = 0 the score never falls.
    Source: section 3.5; defaults of section 5.1; start at the lower bound as released.
    """
    stream = SasStream(tau, reactivity, bounds, start, variant)
    return expit([stream._advance(s) for s in _checked(confidence).tolist()])


@dataclass
class SasStream:
    """The same score, one confidence at a time, for a live stream: the numbers are the same.

    Parameters and errors as for `sigmoidal_anomaly_score`. `accumulator` is x_t, `start` before the first update.
    """

    tau: float = 0.5
    reactivity: float = 2.0
    bounds: tuple[float, float] = (-7.0, 7.0)
    start: float = -7.0
    variant: str = "normalised"

    def __post_init__(self):
        lower, upper = self.bounds
        if not (0.0 <= self.tau < 1.0):
            raise ValueError(f"tau must lie in [0, 1), got {self.tau}")
        if not (0.0 < self.reactivity < math.inf):
            raise ValueError(f"reactivity must be positive and finite, got {self.reactivity}")
        if not (-math.inf < lower < upper < math.inf):
            raise ValueError(f"bounds must be finite and rise, got ({lower}, {upper})")
        if not (lower <= self.start <= upper):
            raise ValueError(f"start must lie within the bounds ({lower}, {upper}), got {self.start}")
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got '{self.variant}'")
        self.accumulator = float(self.start)

    def update(self, confidence: float) -> float:
        """Take in the next analysed frame's confidence in [0, 1]; the score after it, in (0, 1)."""
        return float(expit(self._advance(float(_checked([confidence])[0]))))

    def _advance(self, confidence: float) -> float:
        (lower, upper), x, step = self.bounds, self.accumulator, self._step(confidence)
        if self.variant != "as_released":
            x = min(max(x + step, lower), upper)
        elif confidence >= self.tau:
            x = x + step if x < upper else upper
        else:
            x = x + step if x > lower else lower
        self.accumulator = x
        return x

    def _step(self, confidence: float) -> float:
        """Signed change of the accumulator before any bound."""
        if confidence >= self.tau:
            return (confidence - self.tau) / (1.0 - self.tau) * self.reactivity
        if self.variant == "as_printed":
            return -(1.0 - confidence - self.tau) / (1.0 - self.tau) * self.reactivity
        return -(self.tau - confidence) / self.tau * self.reactivity


def at_level(confidence, level: float):
    """Confidences with a camera's own level taken off their logits (`live.calibration`): what was expit(level) is 0.5.
    Shape: any, in [0, 1], as given back. Our reading."""
    return confidence if level == 0 else expit(logit(np.asarray(confidence, np.float64)) - level)


def frames_to_alarm(
    confidence, tau=0.5, reactivity=2.0, bounds=(-7.0, 7.0), start=-7.0, variant="normalised"
) -> int | None:
    """Analysed frames at one constant confidence until the score first exceeds 0.5; None where it never does.

    Closed form: the smallest n with start + n * step > 0; 1 where the start is above 0 and the first step leaves it
    there. Bounds around 0 are not met before the alarm. Raises ValueError as `sigmoidal_anomaly_score` does.
    """
    stream, (lower, upper) = SasStream(tau, reactivity, bounds, start, variant), bounds
    confidence = float(_checked([confidence])[0])
    step = stream._step(confidence)
    if stream._advance(confidence) > 1e-9:  # a rounding error above 0 is 0, as below
        return 1
    if variant == "as_released" and confidence < tau and lower > 0:
        return 2  # it fell past a lower bound that is an alarm itself, and is set back to it
    if step <= 0:
        return None
    frames = math.floor(-start / step + 1e-9) + 1  # a sum that ends on 0 is no alarm yet: do not let rounding decide
    # as released, the step of the alarm is taken if the one before it ended below the upper bound, even one below 0
    before = start + (frames - 1) * step if variant == "as_released" else 0.0
    return frames if before < upper else None


def _checked(confidence) -> np.ndarray:
    values = np.asarray(confidence, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"expected a vector of at least one confidence, got shape {values.shape}")
    if (wrong := np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))).size:  # NaN fails both
        what = f"{values[wrong[0]]} at position {wrong[0]} ({len(wrong)} of {len(values)} do not)"
        raise ValueError(f"confidences must lie in [0, 1], got {what}")
    return values
