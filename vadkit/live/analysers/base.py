"""What all analysers share: the interface, the anomaly score, and a clock for each stage."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


class Analyser(ABC):
    """Scores one video: `see` takes its frames in order, those that `wants` names at least.

    seconds: spent in each of STAGES; analysed: frames that the network has seen; notes: what a reader of the scores
    should know; ahead_seconds: spent by `look_ahead`, for each frame of the video.
    """

    notes: tuple[str, ...] = ()
    ahead_seconds = 0.0

    def __init__(self, config: Config, fps: float):
        self.config, self.fps = config, fps
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.analysed = 0
        bounds = (-config.sas_bound, config.sas_bound)
        self._sas = SasStream(config.sas_tau, config.sas_reactivity, bounds, -config.sas_bound, config.sas_variant)

    @abstractmethod
    def wants(self, number: int) -> bool:
        """Whether `see` needs this frame."""

    @abstractmethod
    def see(self, number: int, frame: np.ndarray) -> Reading | None:
        """Take in a frame, (H, W, 3) uint8 BGR; the reading, where it is one to analyse."""

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
