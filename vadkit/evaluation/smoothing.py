"""Smoothing of scores over time, by what it must know: the past alone, or the whole video.

| how | knows | what |
| --- | --- | --- |
| raw | | the scores as they are |
| causal mean | the past | the mean of what was seen, weights falling by e in `seconds` |
| gaussian | the future | a Gaussian over the whole video: of `sigma` scores, or of `seconds` |
| video mean | the future | one score a video, its mean |
"""

from dataclasses import replace

import numpy as np

from vadkit.core.errors import ConfigError
from vadkit.evaluation.scores import VideoScores

HOW = ("raw", "causal mean", "gaussian", "video mean")
SEES_THE_FUTURE = frozenset({"gaussian", "video mean"})
SECONDS = 5.0  # a Gaussian of 10 scores, one every 16 frames of 30 a second, has 5.3
SIGMA = 10.0  # scores: URF-HVAA's evaluation


def smoothed(video: VideoScores, how: str, *, seconds: float | None = None, sigma: float | None = None) -> VideoScores:
    """The video with smoothed scores, in their range. Raises ConfigError for another `how` or a width not above 0.

    seconds: of "causal mean" (by default 5) and "gaussian", over frames; sigma: of "gaussian", over the scores as they
    are given (by default 10, as in URF-HVAA's evaluation: one every 16 frames), borders reflected.
    """
    if how not in HOW:
        raise ConfigError(f"no smoothing '{how}'; there are {', '.join(HOW)}")
    widths = [w for w in (seconds, sigma) if w is not None]
    takes = {"gaussian": 1, "causal mean": sigma is None}.get(how, 0)
    if len(widths) > takes or any(not 0 < w < np.inf for w in widths):
        what = "a width above 0, seconds of 'causal mean', seconds or sigma of 'gaussian'"
        raise ConfigError(f"smoothing '{how}': expected at most {what}; got {widths}")
    scores = np.asarray(video.confidence, np.float64)
    if how == "video mean":
        return replace(video, index=video.index[:1], confidence=np.array([video.frame_scores().mean()]))
    if how == "gaussian" and seconds is None:
        return replace(video, confidence=_gaussian(scores, sigma or SIGMA))
    if how == "raw":
        return video
    frames, width = video.frame_scores().astype(np.float64), (seconds or SECONDS) * video.fps
    values = _gaussian(frames, width) if how == "gaussian" else _past(frames, width)
    return replace(video, index=np.arange(video.frames), confidence=values)


def _gaussian(scores: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return np.clip(gaussian_filter1d(scores, sigma), scores.min(), scores.max())


def _past(scores: np.ndarray, frames: float) -> np.ndarray:
    """At each frame the mean of the scores so far, weighted by exp(-age / frames)."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / frames)
    total, weight = (lfilter([1], [1, -keep], x) for x in (scores, np.ones(len(scores))))
    return np.clip(total / weight, scores.min(), scores.max())
