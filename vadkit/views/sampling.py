"""Which frames of a video are sampled, and between which two each flow is taken.

Training rows follow the paper's adaptive sampling rates, scoring rows are an even grid over the whole video.
"""

from collections.abc import Iterable

import numpy as np

from vadkit.core.clock import Clock
from vadkit.core.config import Config
from vadkit.corpora.video import Video

PURPOSES = ("train", "score", "both")
FLOWS_OF_A_WINDOW = 3  # successive flows that place the motion window and make the speed image


def stride_frames(fps: float, rate: float) -> int:
    """Frames between samples at `rate` a second: fps / rate rounded half up, at least 1 (a rate above the video's
    takes every frame). Released: 30 fps at 3 and 1 a second, strides 10 and 30."""
    return max(1, int(fps / rate + 0.5))


def gap_frames(fps: float, config: Config) -> int:
    """Frames nearest to config.flow_gap_seconds, at least 1."""
    return max(1, int(config.flow_gap_seconds * fps + 0.5))


def flows_of(start: int, number: int, count: int) -> list[tuple[int, int]]:
    """The last `count` flows up to a row's own, which goes from `start` to `number`: pairs of frames, rising. All span
    the row's own gap; those that would start before the video are left out. Empty for a row without flow."""
    gap = number - start
    if gap == 0:
        return []
    return [(number - k * gap, number - (k - 1) * gap) for k in range(count, 0, -1) if number - k * gap >= 0]


def plan(
    video: Video, frames: int, fps: float, config: Config, purpose: str, times: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The frames to sample and, for each, the earlier frame that its flow starts from.

    Shape: -> (n,) int64 twice, ordered. "score": every stride-th frame from 0. "train": inside each hard anomaly every
    stride-th frame from its first, elsewhere likewise with the other stride, so that no span goes unseen (paper 3.3;
    counting from a span's start is our reading). "both": the union. Flow: by config.flow_pair, the frame one scoring
    stride earlier ("grid"), the frame before ("adjacent"), config.flow_gap_seconds earlier ("gap"), or the previous
    frame of the same plan ("sampled", as released: its gap gives the class away). Never before frame 0, which has no
    flow. The plan of a shorter video is the head of a longer one's. times: of every frame, where the rate varies: the
    plan is made in ticks (`core.clock.Clock`), of which a frame stands for several or none, and sampled once.
    """
    shown = Clock(fps, times).shown(frames)
    index, flow_from = plan_ticks(video, shown, fps, config, purpose)
    return shown[index], shown[flow_from]


def plan_ticks(
    video: Video, shown: np.ndarray, fps: float, config: Config, purpose: str
) -> tuple[np.ndarray, np.ndarray]:
    """`plan` in ticks. shown: (ticks,) the frame that stands for each."""
    if purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)}, got '{purpose}'")
    grid = stride_frames(fps, config.analysis_fps)
    strides = [stride_frames(fps, rate) for rate in config.training_fps]  # in hard anomalies, elsewhere
    pairs: set[tuple[int, int]] = set()
    for one in ("train", "score") if purpose == "both" else (purpose,):
        spans = [(0, len(shown), 0)] if one == "score" else spans_of(labels_at(video, shown))
        steps = (grid, grid) if one == "score" else strides[::-1]
        index = np.concatenate([np.empty(0, np.int64), *(np.arange(a, b, steps[label]) for a, b, label in spans)])
        index = index[np.unique(shown[index], return_index=True)[1]]
        if config.flow_pair == "sampled":
            flow_from = np.concatenate([index[:1], index[:-1]])
        else:
            gap = {"grid": grid, "adjacent": 1, "gap": gap_frames(fps, config)}[config.flow_pair]
            flow_from = np.maximum(index - gap, 0)
        pairs.update(zip(index.tolist(), flow_from.tolist(), strict=True))
    return columns(pairs)


def labels_at(video: Video, shown: np.ndarray) -> np.ndarray:
    """Label of the frame at each tick. Shape: (ticks,) -> (ticks,) uint8."""
    return video.frame_labels(int(shown[-1]) + 1 if len(shown) else 0)[shown]


def spans_of(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """(start, end, label) of the spans of one label. Shape: (frames,) uint8."""
    starts = np.flatnonzero(np.diff(labels, prepend=2)).tolist()  # 2: the first frame always starts a span
    return [(a, b, int(labels[a])) for a, b in zip(starts, [*starts[1:], len(labels)], strict=True)]


def columns(pairs: Iterable[tuple[int, int]], by: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as two arrays, ordered by the given one of the two first. Shape: -> (n,) int64 twice."""
    ordered = sorted(pairs, key=lambda pair: (pair[by], pair))
    table = np.array(ordered, np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


class Walk:
    """The plan of a video of unknown length, in ticks: it grows ahead of the decoder, and keeps its head."""

    def __init__(self, video: Video, fps: float, config: Config, purpose: str, expected_frames: int, times=None):
        self._plan = lambda frames: plan_ticks(video, Clock(fps, times).shown(frames), fps, config, purpose)
        self.flows = FLOWS_OF_A_WINDOW if config.frame_window or config.speed_stream else 1  # of each row
        # No flow spans more frames than the longest stride or the fixed gap
        strides = [stride_frames(fps, rate) for rate in (config.analysis_fps, *config.training_fps)]
        self._reach = self.flows * max(*strides, gap_frames(fps, config))
        self._grow(expected_frames)

    def wants(self, number: int) -> bool:
        if number + self._reach >= self._frames:
            self._grow(2 * number)
        return number in self._flows or number in self._last_use

    def flows_to(self, number: int) -> list[int]:
        """The frames from which flows to this one start, one a row; itself where there is no flow."""
        return self._flows.get(number, [])

    def last_use(self, number: int) -> int:
        """The last row that needs this frame for one of its flows."""
        return self._last_use.get(number, -1)

    def _grow(self, frames: int) -> None:
        self._frames = frames + 2 * self._reach + 1
        self._flows: dict[int, list[int]] = {}
        self._last_use: dict[int, int] = {}
        for number, start in zip(*(array.tolist() for array in self._plan(self._frames)), strict=True):
            self._flows.setdefault(number, []).append(start)
            for both in flows_of(start, number, self.flows):
                self._last_use |= dict.fromkeys(both, number)
            self._last_use.setdefault(number, number)


def segment_starts(frames: int, segments: int) -> np.ndarray:
    """First frame of each of `segments` equal parts of a video; the last part takes the remainder (our reading). Shape:
    -> (segments,) int64. Raises ValueError where frames < segments. Source: Sultani et al. 2018, who cut 32."""
    if segments < 1 or frames < segments:
        what = f"{frames} frames cannot be cut into {segments} segments of at least one frame"
        raise ValueError(f"{what}; ask for fewer segments")
    return np.arange(segments, dtype=np.int64) * (frames // segments)
