"""A confidence for every frame of a video, spread from those at its analysed frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vadkit.core.clock import Clock
from vadkit.views.sampling import stride_frames


@dataclass(frozen=True)
class VideoScores:
    """What one trained system says of one video.

    index: (n,) analysed frame numbers, rising; confidence: (n,) of the anomaly class, in [0, 1]; labels: (frames,)
    hard-anomaly label of every frame, 0 or 1. steps: frames at which the anomaly score steps, where those are others
    than index: a segment is one confidence that stands for many steps. times: (frames,) seconds of each frame,
    where the rate varies; else frame number / fps.
    """

    name: str
    category: str
    source: str
    fps: float
    index: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray
    steps: np.ndarray | None = None
    times: np.ndarray | None = None

    @classmethod
    def of(cls, view, index: np.ndarray, confidence: np.ndarray) -> VideoScores:
        """Scores of a video at frames of it; its facts and labels come from what is seen of it (video, frames, fps,
        and times where the rate varies)."""
        video, times = view.video, getattr(view, "times", None)
        labels, facts = video.frame_labels(view.frames), (video.name, video.category, video.source, view.fps)
        return cls(*facts, index, confidence, labels, times=times)

    def seconds(self, start, end):
        """From one frame to another, of which the last may be the first past the end; numbers or arrays of them."""
        if self.times is None:
            return (end - start) / self.fps
        times = np.append(self.times, self.times[-1] + 1 / self.fps)
        return times[end] - times[start]

    @property
    def stepped(self) -> VideoScores:
        """The video as the anomaly score sees it: its confidences at the frames where that steps, and no others."""
        if self.steps is None:
            return self
        return replace(self, index=self.steps, confidence=self.frame_scores()[self.steps], steps=None)

    @property
    def frames(self) -> int:
        return len(self.labels)

    @property
    def label(self) -> int:
        """1 for a video with an anomaly (by its category), 0 for a normal one."""
        return int(self.category != "Normal")

    def frame_scores(self) -> np.ndarray:
        """A confidence for every frame. Shape: (frames,)."""
        return hold(self.index, self.confidence, self.frames)


def on_clock(video: VideoScores, analysis_fps: float) -> VideoScores:
    """The same scores; the anomaly score steps where the first paper's systems analyse, `analysis_fps` a second."""
    shown = Clock(video.fps, video.times).shown(video.frames)
    return replace(video, steps=np.unique(shown[:: stride_frames(video.fps, analysis_fps)]))


def hold(index: np.ndarray, confidence: np.ndarray, frames: int) -> np.ndarray:
    """Spread confidences over all frames: each holds until the next analysed frame.

    Shape: index (n,) rising, confidence (n,) -> (frames,). Frames before the first analysed one take its value. Causal
    (our reading). Raises ValueError where nothing was analysed or an index is out of range.
    """
    index = np.asarray(index)
    if len(index) == 0 or len(index) != len(confidence):
        got = f"got {len(index)} frames and {len(confidence)} confidences"
        raise ValueError(f"expected one confidence per analysed frame and at least one, {got}")
    if np.any(np.diff(index) <= 0) or index[0] < 0 or index[-1] >= frames:
        raise ValueError(f"analysed frames must rise within [0, {frames}), got {index[0]} to {index[-1]}")
    position = np.searchsorted(index, np.arange(frames), side="right") - 1
    return np.asarray(confidence)[np.maximum(position, 0)]
