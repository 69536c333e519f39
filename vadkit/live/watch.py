"""Watch cameras: alarms as events, for as long as it is left to run, in fixed memory.

    ended = watch(["rtsp://door/live", "0"], find_model("outputs/demo"), Path("outputs/demo/watch"))

Every source is decoded by a thread of its own; one loop analyses them all with one model. In a round each camera gives
at most one frame, and their rows are one batch of the networks, so that none waits for another. The score moves by the
time between analysed frames: the paper's reactivity is for frames at the rate of the training.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import DataError, shown
from vadkit.core.parameters import make_config
from vadkit.live.analysers import Analyser, Reading, analysers_of, look_together
from vadkit.live.analysers.base import Looking, Ticks
from vadkit.live.events import CLIP_FPS, CLIP_WIDTH, EventLog, Recorder, jpeg_of
from vadkit.live.source import STALL_SECONDS, Frame, LiveSource, names_of
from vadkit.systems.record import TrainedModel
from vadkit.systems.two_stream import TwoStreamSystem
from vadkit.views.sampling import stride_frames

if TYPE_CHECKING:
    from vadkit.live.familiarity import Calibration, Familiarity
    from vadkit.live.page import Page
    from vadkit.live.sinks import Sink

FROZEN_SECONDS = 30.0  # of the very same picture
STATUS_SECONDS = 1.0
CLOSING_SECONDS = 0.5  # for sinks, at the end


def watch(
    sources: Sequence[str],
    trained: TrainedModel,
    folder: Path,
    *,
    fps: float | None = None,
    config: Config | None = None,
    sinks: Sequence[Sink] = (),
    page: Page | None = None,
    familiarity: Callable[[], Familiarity | None] | None = None,
    calibrations: Mapping[str, Calibration] | None = None,
    stopped: Callable[[], bool] | None = None,
    say: Callable[[str], None] = print,
) -> str:
    """Watch until it is `stopped` ("user") or every source is over ("source").

    fps: analysed frames a second, the training's by default; config: the model's own, or with changes that
    `System.scoring` allows; familiarity: called once a camera; calibrations: by a camera's name (`names_of`); stopped:
    asked several times a second; say: told what happens, from any thread. Closes neither sinks nor page. Raises
    DataError where a file cannot be read, or breaks off while no other source lives, ConfigError for a rate that the
    system cannot take, DiskError for a folder that cannot be written, and as loading does.
    """
    stopped, lock, ready, names = stopped or (lambda: False), threading.Lock(), threading.Event(), names_of(sources)
    screen = Screen()

    def told(text: str) -> None:
        with lock:
            screen.clear()
            say(text)

    config, changed = at_rate(trained, config or trained.config, fps), time.monotonic()
    with ExitStack() as stack:
        log = EventLog(folder, sinks, page, told)
        stack.callback(log.close, CLOSING_SECONDS + 30)
        cameras, facts = [], {"system": trained.system.name, "run": trained.config.profile}
        for number, (source, name) in enumerate(zip(sources, names, strict=True)):
            calibration = (calibrations or {}).get(name)
            tau = calibration.tau if calibration else config.sas_tau
            recorder = Recorder(log, name, number, {**facts, "threshold": tau}, told)
            known, live = familiarity() if familiarity else None, LiveSource(source, name, told, ready)
            cameras.append(Watched(live, recorder, trained, config, tau, told, page, known))
            cameras[-1].notes += [one.note for one in (known, calibration) if one]
        make = analysers_of(trained, config, endless=True)
        for camera in cameras:
            camera.make = make
            stack.callback(camera.recorder.close, "closed at the end of the watch")
            stack.enter_context(camera.source)
        while not (by_user := stopped()) and not all(camera.over for camera in cameras):
            frames = [(camera, frame) for camera in cameras if (frame := camera.next())]
            looks = [(camera, frame) for camera, frame in frames if camera.looks(frame)]
            readings = look_together(
                [camera.analyser for camera, _ in looks], [camera.looking(f) for camera, f in looks]
            )
            for (camera, frame), reading in zip(looks, readings, strict=True):
                if reading is not None:
                    camera.read(reading, frame)
            if time.monotonic() - changed > STATUS_SECONDS:
                changed = time.monotonic()
                with lock:
                    screen.show([camera.status() for camera in cameras])
            if not frames:
                ready.wait(0.1)
                ready.clear()
    failed = [camera.source.state.ended for camera in cameras if camera.source.state.failed]
    if failed and not by_user:
        raise DataError("\n".join(failed))
    return "user" if by_user else "source"


def at_rate(trained: TrainedModel, config: Config, fps: float | None) -> Config:
    """The parameters to analyse so many frames a second. A flow spans the same time as in training at any rate: what
    training tied to its rate becomes a fixed gap. Raises ConfigError for a system that cannot look at another rate."""
    if fps is None or fps == config.analysis_fps:
        return config
    changes: dict[str, Any] = {"analysis_fps": fps}
    if "analysis_fps" not in trained.system.scoring(config) and isinstance(trained.system, TwoStreamSystem):
        changes |= {"flow_pair": "gap", "flow_gap_seconds": 1 / config.analysis_fps}
        return make_config({**config.model_dump(), **changes}, where="--fps")
    return trained.changed({**config.model_dump(), **changes})


@dataclass
class Watched:
    """One camera of a watch: its source, its analyser since it was last connected, its events."""

    source: LiveSource
    recorder: Recorder
    trained: TrainedModel
    config: Config
    tau: float
    say: Callable[[str], None]
    page: Page | None
    known: Familiarity | None
    notes: list[str] = field(default_factory=list)
    make: Callable[[float], Analyser] | None = None
    analyser: Analyser | None = None
    reading: Reading | None = None
    lost: bool = False
    _of: tuple = ()  # which connection and size the analyser is for
    _start_s: float = 0.0  # of the analyser
    _offered_s: float = -1.0  # by the decoding thread
    _same: tuple[np.ndarray | None, float] = (None, 0.0)  # a picture that does not change, since when
    _frozen: bool = False
    _jpeg: bytes = b""

    @property
    def over(self) -> bool:
        """Whether its source has ended, and all of it was seen."""
        return bool(self.source.state.ended) and self.lost

    def next(self) -> Frame | None:
        """The next frame to look at or keep; None where there is none. Notices that the camera is lost, or back."""
        state, frame = self.source.state, self.source.newest(0)
        if frame is None:
            silent = self.source.silent_s > STALL_SECONDS + 1
            if not self.lost and (state.ended or silent or not state.connected and self.reading is not None):
                self._lose(state.ended or f"no frame came for {STALL_SECONDS:.0f} s", silent and state.connected)
            return None
        self.lost = False
        if (of := (state.reconnects, frame.image.shape)) != self._of:
            self._start(frame, of)
        self._jpeg = jpeg_of(frame.image)
        self.recorder.picture(frame, self._jpeg)
        return frame

    def looks(self, frame: Frame) -> bool:
        """Whether the frame is to be analysed."""
        return self.analyser.ticks.wanted(frame.time_s - self._start_s, self.analyser.wants)

    def looking(self, frame: Frame) -> Looking:
        return self.analyser.looking(frame.number, frame.image, frame.time_s - self._start_s)

    def read(self, reading: Reading, frame: Frame) -> None:
        """Take in what the analyser says of a frame."""
        self.reading = reading = replace(reading, time_s=frame.time_s)
        self._check_frozen(frame)
        if self.known is not None and (verdict := self.known.see(self.analyser.features, frame.time_s)):
            self.notes.append(verdict)
            self.say(f"{self.source.name}: {verdict}")
        place = self.analyser.place() if reading.alarm and hasattr(self.analyser, "place") else None
        notes = (*self.notes, *self.source.state.notes, *self.analyser.notes)
        self.recorder.read(reading, frame, self.analyser.category, place, notes)
        self._show(frame.image.shape[1])

    def status(self) -> str:
        """One line on how it is doing."""
        state, score = self.source.state, "" if self.reading is None else f", score {self.reading.sas:.2f}"
        doing = state.ended or ("lost" if self.lost else "ALARM" if self.recorder.open else "quiet")
        if self.reading is None:
            doing = "waiting for its first frame"
        facts = f"{state.fps:.1f} frames a second, lag {state.lag_s:.2f} s, {state.dropped} dropped{score}"
        return f"{self.source.name}: {facts}, {doing}"

    def _start(self, frame: Frame, of: tuple) -> None:
        """A new analyser: over another connection or size no flow leads from the frame before."""
        self._of, fps = of, self.source.probe.fps
        analyser = self.make(fps)
        analyser.alarm_above(self.tau)
        analyser.nominal_s = stride_frames(fps, self.trained.config.analysis_fps) / fps
        self.analyser, self._start_s, self._offered_s = analyser, frame.time_s, frame.time_s
        ticks, start = Ticks(fps), frame.time_s
        self.source.keep_s = 1 / self.config.analysis_fps

        def wanted(time_s: float) -> bool:
            due = any([analyser.wants(tick) for tick in ticks.take(time_s - start)])
            if due or time_s - self._offered_s >= 0.9 / CLIP_FPS:
                self._offered_s = time_s
                return True
            return False

        self.source.wanted = wanted

    def _lose(self, why: str, unsaid: bool) -> None:
        self.lost = True
        if unsaid:
            self.say(f"{self.source.name}: {why}")
        if self.reading is not None:
            self.recorder.close("" if self.source.state.ended else f"the camera was lost: {why}")
            self._show(0)

    def _check_frozen(self, frame: Frame) -> None:
        """A camera whose picture stays the very same sees nothing; said once."""
        few, (before, since) = frame.image[::16, ::16], self._same
        if before is None or before.shape != few.shape or not np.array_equal(before, few):
            self._same, self._frozen = (few.copy(), frame.time_s), False
        elif frame.time_s - since > FROZEN_SECONDS and not self._frozen:
            self._frozen = True
            self.say(f"{self.source.name}: its picture has not changed for {FROZEN_SECONDS:.0f} s: it may be frozen")

    def _show(self, width: int) -> None:
        """Give the page what it shows. width: of the frame that the boxes are of."""
        if self.page is None:
            return
        state, one = self.source.state, self.reading
        zoom = min(1.0, CLIP_WIDTH / width) if width else 1.0
        boxes = [[*(zoom * side for side in box[:4]), *box[4:]] for box in one.boxes.tolist()] if width else []
        said = {"time_s": one.time_s, "confidence": one.confidence, "sas": one.sas, "alarm": one.alarm, "boxes": boxes}
        doing = {"fps": state.fps, "lag_s": state.lag_s, "dropped": state.dropped, "connected": not self.lost}
        notes = [*self.notes, *state.notes, *self.analyser.notes]
        self.page.show(self.source.name, self._jpeg, {**said, **doing, "notes": notes})


class Screen:
    """A line of status a camera, below what is said; none where the output is no terminal."""

    def __init__(self):
        self._terminal, self._lines = sys.stdout.isatty(), 0

    def show(self, lines: Sequence[str]) -> None:
        if self._terminal:
            self.clear()
            width = shutil.get_terminal_size().columns - 1
            print("\n".join(shown(line)[:width] for line in lines), flush=True)
            self._lines = len(lines)

    def clear(self) -> None:
        if self._lines:
            print(f"\x1b[{self._lines}A\x1b[J", end="", flush=True)
        self._lines = 0
