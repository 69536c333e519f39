"""What all analysers share: the interface, the anomaly score, and a clock for each stage."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import logit
from torch import Tensor

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.evaluation.sas import ALARM, SasStream, at_level

Images = dict[str, np.ndarray]  # of a row, by stream
STAGES = ("decode", "flow", "detector", "backbone", "head", "SAS")
MOST_SECONDS = 1.0  # that one analysed frame of a stream can stand for
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


Looking = Generator[Images, Tensor, "Reading | None"]


def look_together(analysers: Sequence[Analyser], steps: Sequence[Looking]) -> list[Reading | None]:
    """What each analyser of one system reads; the rows that several have at a time are one batch of its networks."""
    found: list[Reading | None] = [None] * len(steps)
    sent: dict[int, Tensor | None] = dict.fromkeys(range(len(steps)))
    while sent:
        rows = {}
        for number, features in sent.items():
            try:
                rows[number] = steps[number].send(features)
            except StopIteration as end:
                found[number] = end.value
        sent = {}
        if rows:
            started = time.perf_counter()
            features = analysers[0].features_of(list(rows.values()))
            spent = (time.perf_counter() - started) / len(rows)
            for place, number in enumerate(rows):
                analysers[number].seconds["backbone"] += spent
                sent[number] = features[place : place + 1]
    return found


class Analyser(ABC):
    """Scores one video: `look` takes its frames in order, those that `ticks.wanted` names at least.

    seconds: spent in each of STAGES; analysed: frames that the network has seen; notes: what a reader of the scores
    should know; ahead_seconds: spent by `look_ahead`, for each frame of the video. nominal_s: of a stream, the time
    between analysed frames that the score's reactivity is for; 0 where every analysed frame counts alike, as in the
    paper. category: the class that it sees now, None where it recognises none. features: (dims,) float32 that the last
    confidence is of, None before it and of tuned networks.
    """

    notes: tuple[str, ...] = ()
    ahead_seconds = nominal_s = 0.0
    category: str | None = None
    features: np.ndarray | None = None
    _level = 0.0

    def __init__(self, config: Config, fps: float):
        self.config, self.fps, self.ticks = config, fps, Ticks(fps)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.analysed = 0
        bounds = (-config.sas_bound, config.sas_bound)
        self._sas = SasStream(config.sas_tau, config.sas_reactivity, bounds, -config.sas_bound, config.sas_variant)
        self._time_s = self._read_s = None  # of the frame that is looked at, of the last reading

    def alarm_above(self, tau: float) -> None:
        """Let confidences above tau raise the score, in the place of config.sas_tau: that of a camera with a level of
        its own (`sas.at_level`)."""
        own = self.config.sas_tau
        self._level = 0.0 if tau == own else float(logit(tau) - logit(own))

    def look(self, number: int, frame: np.ndarray, time_s: float) -> Reading | None:
        """Take in the frame shown at that time, (H, W, 3) uint8 BGR; the reading, where it is one to analyse: once."""
        return look_together([self], [self.looking(number, frame, time_s)])[0]

    def looking(self, number: int, frame: np.ndarray, time_s: float) -> Looking:
        """`look` in steps: gives the images of each row, and is sent their features (`look_together`)."""
        self._time_s, reading = time_s, None
        for tick in self.ticks.take(time_s):
            reading = (yield from self.seeing(tick, frame, number, reading is not None)) or reading
        return reading and replace(reading, frame=number, time_s=time_s)

    @abstractmethod
    def wants(self, tick: int) -> bool:
        """Whether `see` needs the frame at this tick."""

    def see(self, tick: int, frame: np.ndarray, number: int | None = None, again: bool = False) -> Reading | None:
        """Take in the frame at a tick, by default its number; the reading, but not again of the same frame."""
        return look_together([self], [self.seeing(tick, frame, number, again)])[0]

    @abstractmethod
    def seeing(self, tick: int, frame: np.ndarray, number: int | None, again: bool) -> Looking:
        """`see` in steps, as `looking`."""

    @abstractmethod
    def features_of(self, rows: Sequence[Images]) -> Tensor:
        """Of the images of rows, of any videos of this system. Shape: -> (n, D)."""

    def look_ahead(self, path: Path, stopped: Callable, progress: Progress | None) -> None:  # noqa: B027 - most need none
        """See a whole file before its frames come, where scores depend on its length."""

    def _reading(self, number: int, value: float, boxes: np.ndarray = NO_BOXES) -> Reading:
        with self._timed("SAS"):
            self._sas.reactivity = self.config.sas_reactivity * self._steps()
            score = self._sas.update(at_level(value, self._level))
        return Reading(number, number / self.fps, value, score, score > ALARM, boxes)

    def _steps(self) -> float:
        """How many analysed frames this one stands for: by the time since the last one, at most MOST_SECONDS."""
        since = None if None in (self._read_s, self._time_s) else self._time_s - self._read_s
        self._read_s = self._time_s
        return 1.0 if since is None or not self.nominal_s else max(min(since, MOST_SECONDS) / self.nominal_s, 1e-6)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started
