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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import DataError, shown
from vadkit.core.parameters import make_config
from vadkit.live.analysers import Analyser, Reading, analysers_of, look_together
from vadkit.live.analysers.base import Looking, Ticks
from vadkit.live.events import CLIP_FPS, EventLog, Recorder, jpeg_of
from vadkit.live.familiarity import NOT_RECORDED
from vadkit.live.overlay import Painter
from vadkit.live.score import Shot
from vadkit.live.source import ASSUMED_FPS, STALL_SECONDS, Frame, LiveSource, named, names_of
from vadkit.systems.record import TrainedModel
from vadkit.systems.two_stream import TwoStreamSystem
from vadkit.views.sampling import stride_frames

if TYPE_CHECKING:
    from vadkit.live.calibration import Calibration
    from vadkit.live.familiarity import Familiarity
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
    show: Callable[[Sequence[str]], None] | None = None,
) -> str:
    """Watch until it is `stopped` ("user") or every source is over ("source").

    fps: analysed frames a second, the training's by default; config: the model's own, or with changes that
    `System.scoring` allows; familiarity: called once a camera; calibrations: by a camera's name (`names_of`); stopped:
    asked several times a second; say: told what happens, from any thread; show: given a line of status a camera, every
    second. Closes neither sinks nor page. Raises DataError where a file cannot be read, or breaks off while no other
    source lives, ConfigError for a rate that the system cannot take, and as `EventLog` and loading do.
    """
    config, ready, shown_at = at_rate(trained, config or trained.config, fps), threading.Event(), time.monotonic()

    def tell(event: dict[str, Any]) -> None:
        for sink in sinks:
            sink.send(event, Path(folder))
        if page is not None:
            page.event(event)

    with ExitStack() as stack:
        live = [
            LiveSource(named(one)[0], name, say, ready) for one, name in zip(sources, names_of(sources), strict=True)
        ]
        log = EventLog(folder, tell, say)
        stack.callback(log.close)
        make, cameras = analysers_of(trained, config, endless=True), []
        make(ASSUMED_FPS)  # what cannot be loaded is said before anything is watched
        for source in live:
            known, calibration = familiarity and familiarity(), (calibrations or {}).get(source.name)
            tau = calibration.tau if calibration else config.sas_tau
            facts = {"system": trained.system.name, "run": trained.config.profile, "threshold": tau}
            recorder = Recorder(log, source.name, len(cameras), facts, say)
            notes = [one.note for one in (known, calibration) if one]
            if familiarity and not cameras:
                say(f"note: {known.note if known else f'{trained.system.name} was {NOT_RECORDED}'}")
            if calibration:
                say(f"{source.name}: {calibration.note}")
            cameras.append(Watched(source, recorder, make, tau, trained.config.analysis_fps, say, page, known, notes))
            stack.callback(recorder.close, "closed at the end of the watch")
        for source in live:
            stack.enter_context(source)
        while not (by_user := stopped is not None and stopped()) and not all(camera.over for camera in cameras):
            frames = [(camera, frame) for camera in cameras if (frame := camera.next())]
            looks = [(camera, frame, steps) for camera, frame in frames if (steps := camera.looking(frame))]
            readings = look_together([camera.analyser for camera, *_ in looks], [steps for *_, steps in looks])
            for (camera, frame, _), reading in zip(looks, readings, strict=True):
                if reading is not None:
                    camera.read(reading, frame)
            if show is not None and time.monotonic() - shown_at > STATUS_SECONDS:
                show([camera.status() for camera in cameras])
                shown_at = time.monotonic()
            if not frames:
                ready.wait(0.1)
                ready.clear()
    failed = [source.state.ended for source in live if source.state.failed]
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
    make: Callable[[float], Analyser]
    tau: float
    rate: float  # that the score's reactivity is for
    say: Callable[[str], None]
    page: Page | None
    known: Familiarity | None
    notes: list[str]
    analyser: Analyser | None = None
    reading: Reading | None = None
    lost: bool = False
    _of: tuple = ()  # which connection and size the analyser is for
    _start_s: float = 0.0  # of the analyser
    _few: np.ndarray | None = None  # some pixels of a picture, and since when they are the same
    _since_s: float = 0.0

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
            self._of = of
            self._start(frame)
        self.recorder.picture(frame, jpeg_of(frame.image))
        return frame

    def looking(self, frame: Frame) -> Looking | None:
        """The analyser's steps at a frame, None where it is not to be analysed."""
        time_s = frame.time_s - self._start_s
        wanted = self.analyser.ticks.wanted(time_s, self.analyser.wants)
        return self.analyser.looking(frame.number, frame.image, time_s) if wanted else None

    def read(self, reading: Reading, frame: Frame) -> None:
        """Take in what the analyser says of a frame."""
        self.reading = reading = replace(reading, time_s=frame.time_s)
        self._check_frozen(frame)
        if self.known is not None and (verdict := self.known.see(self.analyser.features, frame.time_s)):
            self.notes.append(verdict)
            self.say(f"{self.source.name}: {verdict}")
        place = self.analyser.place() if reading.alarm and hasattr(self.analyser, "place") else None
        self.recorder.read(reading, frame, self.analyser.category, place, self._notes)
        if self.page is not None:
            shot = Shot(frame.number, frame.time_s, frame.image, reading, 0.0, self.source.state.fps)
            self._show(jpeg_of(self._painter.paint(shot)[: self._painter.height]))

    def status(self) -> str:
        """One line on how it is doing."""
        if self.reading is None:
            return f"{self.source.name}: waiting for its first frame"
        state, score = self.source.state, self.reading.sas
        doing = state.ended or ("lost" if self.lost else "ALARM" if self.recorder.event else "quiet")
        facts = f"{state.fps:.1f} frames a second, lag {state.lag_s:.2f} s, {state.dropped} dropped, score {score:.2f}"
        return f"{self.source.name}: {facts}, {doing}"

    @property
    def _notes(self) -> list[str]:
        return [*self.notes, *self.source.state.notes, *self.analyser.notes]

    def _start(self, frame: Frame) -> None:
        """A new analyser: over another connection or size no flow leads from the frame before."""
        fps, start, last = self.source.probe.fps, frame.time_s, [frame.time_s]
        analyser = self.analyser = self.make(fps)
        analyser.alarm_above(self.tau)
        analyser.nominal_s = stride_frames(fps, self.rate) / fps
        ticks, self._start_s, self.source.keep_s = Ticks(fps), start, 1 / analyser.config.analysis_fps
        self._painter = Painter(*frame.image.shape[1::-1], title="")

        def wanted(time_s: float) -> bool:  # by the analysis, and else for a clip
            due = any([analyser.wants(tick) for tick in ticks.take(time_s - start)])
            if due := due or time_s - last[0] >= 0.9 / CLIP_FPS:
                last[0] = time_s
            return due

        self.source.wanted = wanted

    def _lose(self, why: str, unsaid: bool) -> None:
        self.lost = True
        if unsaid:
            self.say(f"{self.source.name}: {why}")
        self.recorder.close("" if self.source.state.ended else f"the camera was lost: {why}")
        if self.page is not None and self.reading is not None:
            self._show(b"")

    def _check_frozen(self, frame: Frame) -> None:
        """A camera whose picture stays the very same sees nothing; said once."""
        few = frame.image[::16, ::16]
        if self._few is None or not np.array_equal(self._few, few):
            self._few, self._since_s = few.copy(), frame.time_s
        elif frame.time_s - self._since_s > FROZEN_SECONDS:
            self._since_s = np.inf
            self.say(f"{self.source.name}: its picture has not changed for {FROZEN_SECONDS:.0f} s: it may be frozen")

    def _show(self, jpeg: bytes) -> None:
        state, one = self.source.state, self.reading
        said = {name: getattr(one, name) for name in ("time_s", "confidence", "sas", "alarm")}
        said |= {"fps": state.fps, "lag_s": state.lag_s, "dropped": state.dropped, "connected": not self.lost}
        self.page.show(self.source.name, jpeg, {**said, "boxes": one.boxes.tolist(), "notes": self._notes})


class Screen:
    """A terminal with a line of status a camera below what is said; of another output only what is said."""

    def __init__(self, say: Callable[[str], None]):
        self._say, self._lines, self._lock = say, 0, threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            self._clear()
            self._say(text)

    def show(self, lines: Sequence[str]) -> None:
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            with self._lock:
                self._clear()
                print("\n".join(shown(line)[:width] for line in lines), flush=True)
                self._lines = len(lines)

    def _clear(self) -> None:
        if self._lines:
            print(f"\x1b[{self._lines}A\x1b[J", end="", flush=True)
        self._lines = 0
