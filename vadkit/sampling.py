"""Which frames of a video are sampled, and between which two each flow is taken.

Training rows follow the paper's adaptive sampling rates, scoring rows are an even grid over the whole video.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vadkit.config import Config
    from vadkit.corpora import Video

PURPOSES = ("train", "score", "both")


def stride_frames(fps: float, rate: float) -> int:
    """Frames between samples at `rate` a second: fps / rate rounded half up, at least 1 (a rate above the video's
    takes every frame). Released: 30 fps at 3 and 1 a second, strides 10 and 30."""
    return max(1, int(fps / rate + 0.5))


def plan(video: Video, frames: int, fps: float, config: Config, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames to sample and, for each, the earlier frame that its flow starts from.

    Shape: -> (n,) int64 and (n,) int64, ordered. "score": every stride-th frame from 0. "train": inside each hard
    anomaly every stride-th frame from its first, elsewhere likewise with the other stride, so that no span goes
    unseen (paper 3.3; counting from a span's start is our reading). "both": the union. Flow: by config.flow_pair, the
    frame one scoring stride earlier ("grid"), the frame before ("adjacent"), or the previous frame of the same plan
    ("sampled", as released: the gap then differs between anomalous and normal frames, and gives the class away).
    Never before frame 0; frame 0 itself has no flow. The plan of a shorter video is the head of a longer one's.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)}, got '{purpose}'")
    grid = stride_frames(fps, config.analysis_fps)
    pairs: set[tuple[int, int]] = set()
    for one in ("train", "score") if purpose == "both" else (purpose,):
        index = np.arange(0, frames, grid) if one == "score" else _training_frames(video.frame_labels(frames), fps, config)
        if config.flow_pair == "sampled":
            flow_from = np.concatenate([index[:1], index[:-1]])
        else:
            flow_from = np.maximum(index - (grid if config.flow_pair == "grid" else 1), 0)
        pairs.update(zip(index.tolist(), flow_from.tolist(), strict=True))
    table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def _training_frames(labels: np.ndarray, fps: float, config: Config) -> np.ndarray:
    strides = [stride_frames(fps, rate) for rate in config.training_fps]  # in hard anomalies, elsewhere
    starts = np.flatnonzero(np.diff(labels, prepend=2))  # 2: the first frame always starts a span
    ends = np.append(starts[1:], len(labels))
    spans = [np.arange(start, end, strides[0 if labels[start] else 1]) for start, end in zip(starts, ends, strict=True)]
    return np.concatenate(spans) if spans else np.empty(0, np.int64)


class Walk:
    """The plan of a video whose length is not known yet: it grows ahead of the decoder.

    Sound because the plan of a shorter video is the head of a longer one's.
    """

    def __init__(self, video: Video, fps: float, config: Config, purpose: str, expected_frames: int):
        self._plan = lambda frames: plan(video, frames, fps, config, purpose)
        # No flow spans more frames than the longest stride
        self._reach = max(stride_frames(fps, rate) for rate in (config.analysis_fps, *config.training_fps))
        self._grow(expected_frames)

    def wants(self, number: int) -> bool:
        if number + self._reach >= self._frames:
            self._grow(2 * number)
        return number in self._flows or number in self._last_use

    def flows_to(self, number: int) -> list[int]:
        """The frames from which flows to this one start, one a row; itself where there is no flow."""
        return self._flows.get(number, [])

    def last_use(self, number: int) -> int:
        """The last frame whose flow starts from this one."""
        return self._last_use.get(number, -1)

    def _grow(self, frames: int) -> None:
        self._frames = frames + 2 * self._reach + 1
        self._flows: dict[int, list[int]] = {}
        self._last_use: dict[int, int] = {}
        for number, start in zip(*(array.tolist() for array in self._plan(self._frames)), strict=True):
            self._flows.setdefault(number, []).append(start)
            self._last_use[start] = number
