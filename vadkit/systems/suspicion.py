"""Soft anomalies as a class of their own: how suspicious a frame is, by its distance in time from the crime.

Petrocchi et al. name it as future work (section 6): "the model could be trained to distinguish soft anomalies as a
different suspicious class, using for instance, a fuzzy assignment". They say neither which membership nor how wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vadkit.views.frames import Samples


def membership(
    index: np.ndarray, fps: float, intervals: tuple[tuple[int, int], ...] | None, seconds: float
) -> np.ndarray:
    """How far frames belong to the suspicious class. Shape: (n,) frame numbers -> (n,) float32 in [0, 1].

    Triangular (our reading): from 1 beside a hard span [start, end) evenly down to 0 at `seconds` from its nearest frame,
    before as after; 0 within hard spans, which belong to the anomaly wholly, and where there is none: a normal video, or
    one of which the video-level label alone is known (intervals None), whose frames are all hard. Raises ValueError where
    fps or seconds is not above 0.
    """
    if not fps > 0 or not seconds > 0:
        raise ValueError(f"expected fps and seconds above 0, got {fps} and {seconds}")
    index = np.asarray(index, np.int64)
    if not intervals:
        return np.zeros(len(index), np.float32)
    starts, ends = np.array(intervals, np.int64).T[:, :, None]
    distance = np.maximum(starts - index, index - (ends - 1)).min(
        axis=0
    )  # frames to the nearest hard one; 0 or less within
    return np.where(distance > 0, np.clip(1 - distance / (fps * seconds), 0, 1), 0).astype(np.float32)


def suspicion_of(samples: Samples, rows: np.ndarray, seconds: float) -> np.ndarray:
    """`membership` of a video's rows. Shape: (k,) row numbers -> (k,) float32."""
    return membership(samples.index[rows], samples.fps, samples.video.intervals, seconds)
