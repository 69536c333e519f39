"""What all analysers share: the interface, the anomaly score, and a clock for each stage."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.evaluation.sas import ALARM, SasStream

STAGES = ("decode", "flow", "detector", "backbone", "head", "SAS")
NO_BOXES = np.empty((0, 6), np.float32)


@dataclass(frozen=True)
class Reading:
    """What is known at an analysed frame; boxes: (k, 6) x1, y1, x2, y2 in the frame's pixels, confidence, class."""

    frame: int
    time_s: float
    confidence: float
    sas: float
    alarm: bool
    boxes: np.ndarray


class Ticks:
    """The ticks (`core.clock.Clock`) that frames stand for as they come, those since the last frame taken."""

    def __init__(self, fps: float):
        self.fps, self._last = fps, -1

    def take(self, time_s: float) -> range:
        """The ticks of the frame at that time."""
        found = range(self._last + 1, round(time_s * self.fps) + 1)
        self._last = max(self._last, found.stop - 1)
        return found

    def wanted(self, time_s: float, wants: Callable[[int], bool]) -> bool:
        """Whether one of its ticks is wanted; if not, it is taken."""
        before = self._last
        if wanted := any(map(wants, self.take(time_s))):
            self._last = before
        return wanted


class Analyser(ABC):
    """Scores one video: `look` takes its frames in order, those that `ticks.wanted` names at least.

    seconds: spent in each of STAGES; analysed: frames that the network has seen; notes: what a reader of the scores
    should know; ahead_seconds: spent by `look_ahead`, for each frame of the video.
    """

    notes: tuple[str, ...] = ()
    ahead_seconds = 0.0

    def __init__(self, config: Config, fps: float):
        self.config, self.fps, self.ticks = config, fps, Ticks(fps)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.analysed = 0
        bounds = (-config.sas_bound, config.sas_bound)
        self._sas = SasStream(config.sas_tau, config.sas_reactivity, bounds, -config.sas_bound, config.sas_variant)

    def look(self, number: int, frame: np.ndarray, time_s: float) -> Reading | None:
        """Take in the frame shown at that time, (H, W, 3) uint8 BGR; the reading, where it is one to analyse: once."""
        reading = None
        for tick in self.ticks.take(time_s):
            reading = self.see(tick, frame, number, again=reading is not None) or reading
        return reading and replace(reading, frame=number, time_s=time_s)

    @abstractmethod
    def wants(self, tick: int) -> bool:
        """Whether `see` needs the frame at this tick."""

    @abstractmethod
    def see(self, tick: int, frame: np.ndarray, number: int | None = None, again: bool = False) -> Reading | None:
        """Take in the frame at a tick, by default its number; the reading, but not again of the same frame."""

    def look_ahead(self, path: Path, stopped: Callable, progress: Progress | None) -> None:  # noqa: B027 - most need none
        """See a whole file before its frames come, where scores depend on its length."""

    def _reading(self, number: int, value: float, boxes: np.ndarray = NO_BOXES) -> Reading:
        with self._timed("SAS"):
            score = self._sas.update(value)
        return Reading(number, number / self.fps, value, score, score > ALARM, boxes)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started
