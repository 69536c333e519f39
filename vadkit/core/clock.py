"""When frames are shown: one clock, in seconds from the first frame, of what containers and streams promise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BREAK_SECONDS = 600.0  # a clock that jumps further ahead, or back by a second, has been set anew


@dataclass(frozen=True, eq=False)
class Clock:
    """When frames are shown. times: (frames,) seconds from the first, None where the rate is constant: number / fps.

    A tick is 1 / fps: where the rate varies, a frame stands for the ticks after the frame before, up to its own.
    """

    fps: float
    times: np.ndarray | None = None

    def ticks(self, frames: int) -> np.ndarray:
        """The tick of each frame, rising; its number where the rate is constant. Shape: -> (frames,) int64."""
        return np.arange(frames) if self.times is None else np.rint(self.times * self.fps).astype(np.int64)

    def shown(self, frames: int) -> np.ndarray:
        """The frame that stands for each tick. Shape: -> (ticks,) int64."""
        ticks = self.ticks(frames)
        return ticks if self.times is None else np.searchsorted(ticks, np.arange(ticks[-1] + 1))

    def stands_for(self, number: int) -> Sequence[int]:
        """The ticks of one frame; none of a frame past those that are known."""
        if self.times is None:
            return (number,)
        ends = np.rint(self.times[max(number - 1, 0) : number + 1] * self.fps).astype(int).tolist()
        return range(ends[0] + 1 if number else 0, ends[-1] + 1) if number < len(self.times) else ()


class UnevenError(Exception):
    """The rate of a video that was taken for constant is not."""


class Timeline:
    """Makes one clock that never goes back of the times that frames carry, which may be missing or set anew."""

    def __init__(self, fps: float):
        self.seconds, self.frames, self.missing, self.jumps = 0.0, 0, 0, []
        self._step, self._first = 1 / fps, None

    def add(self, stamp: float | None) -> float:
        """Seconds from the first frame of the next one. stamp: its own time in seconds."""
        if stamp is None:
            self.missing += 1
            self.seconds += self._step if self.frames else 0.0
        elif self._first is None:
            self.seconds += self._step if self.frames else 0.0
            self._first = stamp - self.seconds
        else:
            step = stamp - self._first - self.seconds
            if not -1 < step <= BREAK_SECONDS:
                self.jumps.append((self.frames, step))
                self._first, step = self._first + step - self._step, self._step
            self._step = step if step > 0 else self._step
            self.seconds = max(self.seconds, stamp - self._first)
        self.frames += 1
        return self.seconds
