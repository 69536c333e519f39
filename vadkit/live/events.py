"""Alarms as events: when one opens and closes, what is kept of it, and the folder that holds them all.

    events.jsonl         a line each time an event opens and closes; the last line of an id is the truth
    <id>/snapshot.jpg    its most confident frame so far, with Grad-CAM's box where the system is a network of frames
    <id>/clip.mp4        from a few seconds before it

Neither paper says when an alarm is over: here (our reading) once the score has not passed 0.5 for QUIET_SECONDS.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vadkit.core.encode import write_h264
from vadkit.core.errors import ConfigError, VadkitError
from vadkit.core.store import is_left, on_disk, write_atomic
from vadkit.live.analysers import Reading
from vadkit.live.source import Frame

if TYPE_CHECKING:
    from vadkit.live.page import Page
    from vadkit.live.sinks import Sink

FILE, SNAPSHOT, CLIP = "events.jsonl", "snapshot.jpg", "clip.mp4"
QUIET_SECONDS = 5.0  # without a score above 0.5, after which an alarm is over
CLIP_FPS, CLIP_WIDTH, CLIP_BEFORE, CLIP_MOST = 8.0, 960, 5.0, 60.0  # pixels, seconds
CLIP_WAITING = 150  # pictures for the encoder
CURVE = 200  # points
UNWRITTEN = 1000  # lines that wait for room on a disk

Place = Callable[[], "Sequence[float] | None"]  # Grad-CAM's box of a frame, in its pixels, once it is asked for


@dataclass(frozen=True)
class Event:
    """One alarm. state: "open", "closed", or "cut off" by the end of the process; start_s to end_s: stream seconds;
    peak: of the score, confidence: the highest; curve: (seconds, confidence, score); snapshot, clip: from the folder;
    threshold: sas_tau; category: where the system recognises classes."""

    id: str
    camera: str
    state: str
    system: str
    run: str
    started_at: str
    ended_at: str | None
    start_s: float
    end_s: float | None
    peak: float
    peak_s: float
    confidence: float
    threshold: float
    curve: tuple[tuple[float, float, float], ...] = ()
    category: str | None = None
    snapshot: str | None = None
    clip: str | None = None
    box: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self), allow_nan=False))


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a folder as their last lines say, in the order of their start; lines that are damaged are left."""
    found: dict[str, dict] = {}
    with suppress(FileNotFoundError), open(folder / FILE, encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError, TypeError, KeyError):
                event = json.loads(line)
                found[event["id"]] = event
    return [found[name] for name in sorted(found)]


class EventLog:
    """A folder of events. One thread writes, makes snapshots and tells `sinks` and `page`, so that nobody waits.

    A folder has one writer at a time. What the disk does not take is said once and waits for room. Raises ConfigError
    for a folder that another process writes to, DiskError for one that cannot be written.
    """

    def __init__(self, folder: Path, sinks: Sequence[Sink] = (), page: Page | None = None, say=print):
        self.folder, self._sinks, self._page, self._say = Path(folder), sinks, page, say
        self._lines: deque[str] = deque(maxlen=UNWRITTEN)
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._refused = ""
        with on_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self.folder / FILE, "a+b", buffering=0)  # held with its lock until `close`
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigError(f"{folder}: another process watches into it; give another --folder") from None
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()
        for event in read_events(self.folder):
            if event.get("state") == "open":
                self.do(lambda event=event: self._cut_off(event))

    def do(self, job: Callable[[], None]) -> None:
        """Let the thread do something of the disk's, after what waits."""
        self._jobs.put(job)

    def record(self, event: Event) -> None:
        """Write an event's line; in the thread. Others are told by `tell`."""
        self._lines.append(json.dumps(event.as_json(), ensure_ascii=False) + "\n")
        self.attempt(self._append)

    def tell(self, event: Event) -> None:
        for sink in self._sinks:
            sink.send(event.as_json(), self.folder)
        if self._page is not None:
            self._page.event(event.as_json())

    def attempt(self, write: Callable[[], Any]) -> Any:
        """What `write` gives; None where the disk refuses, which is said once until it takes something again."""
        try:
            with on_disk(self.folder):
                found = write()
        except (OSError, VadkitError) as error:
            if not self._refused:
                self._say(f"{error}; the watch goes on, and writes again once it can")
            self._refused = str(error)
            return None
        self._refused = ""
        return found

    def close(self, timeout: float) -> None:
        """Finish what waits, at most so long."""
        self._jobs.put(None)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._file.close()

    def _work(self) -> None:
        with suppress(OSError, AttributeError):  # of this thread, on Linux: the analysis goes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # of one event; the others shall be written
                self._say(f"an event was not finished: {type(error).__name__}: {error}")

    def _append(self) -> None:
        while self._lines:
            text = self._lines[0].encode()
            if self._file.seek(0, os.SEEK_END) and not self._ends_whole():
                text = b"\n" + text  # after a line that was cut short
            if self._file.write(text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
            self._lines.popleft()

    def _ends_whole(self) -> bool:
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) == b"\n"

    def _cut_off(self, event: dict[str, Any]) -> None:
        """An event in whose middle the process was killed: what is there of it stays."""
        for left in (self.folder / event["id"]).glob(".*"):
            if is_left(left):
                left.unlink()
        has = {name: f"{event['id']}/{file}" for name, file in (("snapshot", SNAPSHOT), ("clip", CLIP))}
        has = {name: path if (self.folder / path).is_file() else None for name, path in has.items()}
        notes = [*event.get("notes", ()), "vadkit was ended in the middle of it; it may have gone on"]
        event |= {"state": "cut off", "notes": notes, **has}
        self._lines.append(json.dumps(event, ensure_ascii=False) + "\n")
        self.attempt(self._append)
        self._say(f"{event['camera']}: the event {event['id']} was cut off when vadkit was last ended")


@dataclass
class _Best:
    """An event's most confident frame so far, and what finds Grad-CAM's box in it."""

    image: np.ndarray
    time_s: float
    place: Place | None


@dataclass
class Recorder:
    """The events of one camera, made of its readings and pictures. facts: system, run, threshold; number: its own."""

    log: EventLog
    camera: str
    number: int
    facts: dict[str, Any]
    say: Callable[[str], None]
    _ring: deque = field(default_factory=deque)
    _notes: Sequence[str] = ()
    _event: Event | None = None
    _curve: list = field(default_factory=list)
    _best: _Best | None = None
    _clip: _Clip | None = None
    _above_s: float = 0.0  # when the score was last above 0.5

    @property
    def open(self) -> bool:
        return self._event is not None

    def picture(self, frame: Frame, jpeg: bytes) -> None:
        """Keep a picture for a clip."""
        self._ring.append((jpeg, frame.time_s))
        while self._ring[0][1] < frame.time_s - CLIP_BEFORE:
            self._ring.popleft()
        if self._clip is not None:
            self._clip.add(jpeg, frame.time_s)

    def read(self, reading: Reading, frame: Frame, category=None, place: Place | None = None, notes=()) -> None:
        """Take in what was found in a frame: an alarm may open, go on or close. notes: what one should know by now."""
        self._notes = notes
        point = (round(reading.time_s, 3), round(reading.confidence, 6), round(reading.sas, 6))
        self._curve.append(point)
        if self._event is None:
            del self._curve[:-15]  # what led up to it
            if reading.alarm:
                self._open(reading, frame)
        if self._event is None:
            return
        if len(self._curve) > 2 * CURVE:
            del self._curve[1::2]
        event = self._event
        if reading.sas > event.peak:
            event = replace(event, peak=reading.sas, peak_s=reading.time_s)
        if self._best is None or reading.confidence > event.confidence:
            event = replace(event, confidence=reading.confidence, category=category)
            self._best = _Best(frame.image, reading.time_s, place)
        self._event = event
        if self._clip is None:
            self._opened()
        if reading.alarm:
            self._above_s = reading.time_s
        elif reading.time_s - self._above_s >= QUIET_SECONDS:
            self.close()

    def close(self, why: str = "") -> None:
        """The alarm is over: at its last score above 0.5. why: a note, where it ended otherwise."""
        if self._event is None:
            return
        event, best, clip, self._event, self._best, self._clip = self._event, self._best, self._clip, None, None, None
        start = datetime.fromisoformat(event.started_at)
        lasted = timedelta(seconds=max(0.0, self._above_s - event.start_s))
        curve = [self._curve[n] for n in np.unique(np.linspace(0, len(self._curve) - 1, CURVE).astype(int))]
        event = replace(
            event,
            state="closed",
            ended_at=_iso(start + lasted),
            end_s=self._above_s,
            curve=tuple(curve),
            notes=(*self._notes, *filter(None, [why])),
        )
        self._curve = []
        clip.end()
        self.log.do(lambda: self._finish(event, best, clip))

    def _open(self, reading: Reading, frame: Frame) -> None:
        at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - frame.arrived)
        name = f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z-{self.number:02d}"
        self._above_s = reading.time_s
        facts = {"peak": reading.sas, "peak_s": reading.time_s, "confidence": reading.confidence, **self.facts}
        begun = {"started_at": _iso(at), "ended_at": None, "start_s": reading.time_s, "end_s": None}
        self._event = Event(name, self.camera, "open", **begun, **facts, notes=tuple(self._notes))

    def _opened(self) -> None:
        event, best = replace(self._event, curve=tuple(self._curve)), self._best
        self._clip = _Clip(self.log.folder / event.id / CLIP, self.log.attempt, self._ring)
        self.say(f"{self.camera}: ALARM at {event.start_s:.1f} s, score {event.peak:.2f}")

        def first() -> None:
            self.log.record(event)
            self.log.tell(self._seen(event, best))

        self.log.do(first)

    def _finish(self, event: Event, best: _Best, clip: _Clip) -> None:
        event = self._seen(event, best)
        if clip.finished():
            event = replace(event, clip=f"{event.id}/{CLIP}")
        self.log.record(event)
        self.log.tell(event)
        lasted = f"{event.end_s - event.start_s:.1f} s, score up to {event.peak:.2f}"
        self.say(f"{self.camera}: alarm over after {lasted}; {self.log.folder / event.id}")

    def _seen(self, event: Event, best: _Best) -> Event:
        """With the snapshot of its most confident frame, in the log's thread."""
        try:
            box = best.place() if best.place is not None else None
        except Exception as error:  # a picture without a box is better than none
            box, event = None, replace(event, notes=(*event.notes, f"no box: {type(error).__name__}: {error}"))
        image = best.image
        if box is not None:
            box, image = tuple(round(float(one), 1) for one in box), image.copy()
            corners = tuple(map(round, box[:2])), tuple(map(round, box[2:]))
            for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 2)):
                cv2.rectangle(image, *corners, colour, width)
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        path = self.log.folder / event.id / SNAPSHOT
        written = self.log.attempt(lambda: (write_atomic(path, data), True))
        return replace(event, box=box, snapshot=f"{event.id}/{SNAPSHOT}" if written else None)


class _Clip:
    """A film that a thread encodes while its event goes on: at its end little is left to do."""

    def __init__(self, path: Path, attempt: Callable, before: Sequence[tuple[bytes, float]]):
        self._path, self._attempt, self._written = path, attempt, None
        self._pictures: queue.SimpleQueue[tuple[bytes, float] | None] = queue.SimpleQueue()
        self._until = math.inf
        for one in before:
            self.add(*one)
        self._thread = threading.Thread(target=self._encode, name="clip", daemon=True)
        self._thread.start()

    def add(self, jpeg: bytes, time_s: float) -> None:
        """One more picture; beyond CLIP_MOST seconds, and where encoding does not keep up, none."""
        self._until = min(self._until, time_s + CLIP_MOST)
        if time_s < self._until and self._pictures.qsize() < CLIP_WAITING:
            self._pictures.put((jpeg, time_s))

    def end(self) -> None:
        self._pictures.put(None)

    def finished(self) -> bool:
        """Wait for the end; whether the film is there."""
        self._thread.join(30)
        return bool(self._written)

    def _encode(self) -> None:
        self._written = self._attempt(lambda: write_h264(self._path, self._shown(), CLIP_FPS))

    def _shown(self) -> Iterator[tuple[np.ndarray, float]]:
        first = size = None
        while (one := self._pictures.get()) is not None:
            image = cv2.imdecode(np.frombuffer(one[0], np.uint8), cv2.IMREAD_COLOR)
            first, size = (one[1], image.shape[1::-1]) if first is None else (first, size)
            yield cv2.resize(image, size) if image.shape[1::-1] != size else image, one[1] - first


def jpeg_of(image: np.ndarray) -> bytes:
    """A picture for clips and the page, at most CLIP_WIDTH pixels wide. Shape: (H, W, 3) uint8 BGR."""
    height, width = image.shape[:2]
    if width > CLIP_WIDTH:
        size = CLIP_WIDTH, 2 * round(height * CLIP_WIDTH / width / 2)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
