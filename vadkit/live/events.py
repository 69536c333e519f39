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
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vadkit.core.disk import is_left, on_disk, write_atomic
from vadkit.core.encode import write_h264
from vadkit.core.errors import ConfigError, VadkitError
from vadkit.live.source import Frame

if TYPE_CHECKING:
    from vadkit.live.analysers import Reading

FILE, SNAPSHOT, CLIP = "events.jsonl", "snapshot.jpg", "clip.mp4"
QUIET_SECONDS = 5.0  # without a score above 0.5, after which an alarm is over
CLIP_FPS, CLIP_WIDTH, CLIP_BEFORE, CLIP_MOST = 8.0, 960, 5.0, 60.0  # pixels, seconds
CLIP_WAITING = 150  # pictures for the encoder, else they are left out
LEAD, CURVE = 15, 200  # points before an alarm, in all
UNWRITTEN = 1000  # lines that wait for room on a disk


@dataclass(frozen=True)
class Event:
    """One alarm. state: "open", "closed", or "cut off" by the end of the process; start_s to end_s: stream seconds;
    peak: of the score; confidence: the highest; threshold: sas_tau; curve: (seconds, confidence, score); category:
    where the system recognises classes; snapshot, clip: from the folder; box: x1, y1, x2, y2 in its pixels."""

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
    """The events of a folder as their last lines say, in the order of their start; damaged lines are passed over."""
    found: dict[str, dict] = {}
    with suppress(FileNotFoundError), open(folder / FILE, encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError, TypeError, KeyError):
                event = json.loads(line)
                found[event["id"]] = event
    return [found[name] for name in sorted(found)]


class EventLog:
    """A folder of events. Threads of its own write, find boxes and tell `tell`, so that the analysis never waits.

    It has one writer at a time. What the disk does not take is said once, and lines wait for room. Raises ConfigError
    for a folder that another process writes to, DiskError for one that cannot be written.
    """

    def __init__(self, folder: Path, tell: Callable[[dict], None], say: Callable[[str], None]):
        self.folder, self._tell, self._say = Path(folder), tell, say
        self._lines, self._refused = deque(maxlen=UNWRITTEN), None
        with on_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self.folder / FILE, "a+b", buffering=0)  # held with its lock until `close`
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigError(f"{folder}: another process watches into it; give another --folder") from None
        self._films, self._jobs = ThreadPoolExecutor(64, "clip", _behind), ThreadPoolExecutor(1, "events", _behind)
        for event in read_events(self.folder):
            if event.get("state") == "open":
                self.do(lambda event=event: self._cut_off(event))

    def do(self, job: Callable[[], Any]) -> None:
        """Have something done after what waits."""
        self._jobs.submit(self.attempt, job)

    def film(self, path: Path, pictures: Iterator) -> Future:
        """Have a film encoded while its pictures come; the result is whether it is there."""
        return self._films.submit(self.attempt, lambda: write_h264(path, pictures, CLIP_FPS) > 0)

    def attempt(self, job: Callable[[], Any]) -> Any:
        """What the job gives; None where it fails, as on a full disk, which is said once until a line is written."""
        try:
            with on_disk(self.folder):
                return job()
        except Exception as error:  # whatever it is: the watch goes on
            said = str(error) if isinstance(error, VadkitError) else f"an event failed: {type(error).__name__}: {error}"
            if self._refused is not type(error):
                self._say(f"{said}; the watch goes on")
            self._refused = type(error)

    def record(self, event: dict[str, Any]) -> None:
        """Write an event's line."""
        self._lines.append(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        self.attempt(self._append)

    def tell(self, event: Event) -> None:
        self._tell(event.as_json())

    def close(self) -> None:
        """Finish what waits."""
        self._jobs.shutdown()
        self._films.shutdown()
        self._file.close()

    def _append(self) -> None:
        while self._lines:
            text, size = self._lines[0], self._file.seek(0, os.SEEK_END)
            if size and os.pread(self._file.fileno(), 1, size - 1) != b"\n":
                text = b"\n" + text  # after a line that was cut short
            if self._file.write(text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
            self._lines.popleft()
            self._refused = None

    def _cut_off(self, event: dict[str, Any]) -> None:
        """An event in whose middle the process was killed: what is there of it stays."""
        for left in filter(is_left, (self.folder / event["id"]).glob(".*")):
            left.unlink()
        for name, file in (("snapshot", SNAPSHOT), ("clip", CLIP)):
            event[name] = f"{event['id']}/{file}" if (self.folder / event["id"] / file).is_file() else None
        event["notes"] = [*event.get("notes", ()), "vadkit was ended in the middle of it; it may have gone on"]
        self.record(event | {"state": "cut off"})
        self._say(f"{event['camera']}: the event {event['id']} was cut off when vadkit was last ended")


class Recorder:
    """The events of one camera, made of its readings and pictures. number: its own; facts: system, run, threshold."""

    def __init__(self, log: EventLog, camera: str, number: int, facts: dict[str, Any], say: Callable[[str], None]):
        self._log, self._say, self._number, self._facts = log, say, number, {"camera": camera, **facts}
        self._ring: deque[tuple[bytes, float]] = deque()  # the last seconds' pictures
        self._curve: list[tuple[float, float, float]] = []
        self.event: Event | None = None  # while an alarm is on
        self._best: tuple[np.ndarray, Callable | None] | None = None  # its most confident frame, what finds its box
        self._pictures: SimpleQueue | None = None  # for its clip
        self._above_s = 0.0  # when the score was last above 0.5

    def picture(self, frame: Frame, jpeg: bytes) -> None:
        """Keep a picture for a clip."""
        self._ring.append((jpeg, frame.time_s))
        while self._ring[0][1] < frame.time_s - CLIP_BEFORE:
            self._ring.popleft()
        long = self.event is not None and frame.time_s > self.event.start_s + CLIP_MOST - CLIP_BEFORE
        if self.event is not None and not long and self._pictures.qsize() < CLIP_WAITING:
            self._pictures.put(self._ring[-1])

    def read(self, reading: Reading, frame: Frame, category=None, place=None, notes: Sequence[str] = ()) -> None:
        """Take in what was found in a frame: an alarm may open, go on or close.

        place: gives Grad-CAM's box once it is asked, in another thread; notes: what one should know by now.
        """
        self._curve.append((round(reading.time_s, 3), round(reading.confidence, 6), round(reading.sas, 6)))
        opens = self.event is None and reading.alarm
        if opens:
            self._begin(reading, frame)
        if self.event is None:
            del self._curve[:-LEAD]
            return
        if len(self._curve) > 2 * CURVE:
            del self._curve[1::2]
        if reading.sas > self.event.peak:
            self.event = replace(self.event, peak=reading.sas, peak_s=reading.time_s)
        if opens or reading.confidence > self.event.confidence:
            self.event = replace(self.event, confidence=reading.confidence, category=category)
            self._best = frame.image, place
        self.event = replace(self.event, notes=tuple(notes))
        if opens:
            self._log.do(lambda event=self.event, best=self._best: self._opened(event, best))
        if reading.alarm:
            self._above_s = reading.time_s
        elif reading.time_s - self._above_s >= QUIET_SECONDS:
            self.close()

    def close(self, why: str = "") -> None:
        """The alarm, if there is one, is over: at its last score above 0.5. why: a note, where it ended otherwise."""
        if (event := self.event) is None:
            return
        lasted = timedelta(seconds=self._above_s - event.start_s)
        places = np.unique(np.linspace(0, len(self._curve) - 1, CURVE).astype(int))
        ends = {"state": "closed", "end_s": self._above_s, "curve": tuple(self._curve[n] for n in places)}
        ends |= {"ended_at": _iso(datetime.fromisoformat(event.started_at) + lasted)}
        event = replace(event, **ends, notes=(*event.notes, *filter(None, [why])))
        self._pictures.put(None)
        self._log.do(lambda best=self._best, film=self._film: self._closed(event, best, film))
        self.event, self._best, self._curve = None, None, []

    def _begin(self, reading: Reading, frame: Frame) -> None:
        at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - frame.arrived)
        name = f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z-{self._number:02d}"
        begun = {"started_at": _iso(at), "ended_at": None, "start_s": reading.time_s, "end_s": None}
        found = {"peak": reading.sas, "peak_s": reading.time_s, "confidence": reading.confidence}
        self.event = Event(name, state="open", **self._facts, **begun, **found, curve=tuple(self._curve[-LEAD:]))
        self._pictures = SimpleQueue()
        for one in self._ring:
            self._pictures.put(one)
        self._film = self._log.film(self._log.folder / name / CLIP, _shown(self._pictures))
        self._say(f"{self.event.camera}: ALARM at {reading.time_s:.1f} s, score {reading.sas:.2f}")

    def _opened(self, event: Event, best: tuple) -> None:
        self._log.record(event.as_json())
        self._log.tell(self._seen(event, *best))

    def _closed(self, event: Event, best: tuple, film: Future) -> None:
        event = replace(self._seen(event, *best), clip=f"{event.id}/{CLIP}" if film.result() else None)
        self._log.record(event.as_json())
        self._log.tell(event)
        lasted = f"{event.end_s - event.start_s:.1f} s, score up to {event.peak:.2f}"
        self._say(f"{event.camera}: alarm over after {lasted}; {self._log.folder / event.id}")

    def _seen(self, event: Event, image: np.ndarray, place: Callable | None) -> Event:
        """With the snapshot of its most confident frame, and the box in it."""
        if box := self._log.attempt(place) if place is not None else None:
            event, image = replace(event, box=tuple(round(float(one), 1) for one in box)), image.copy()
            for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 2)):
                cv2.rectangle(image, tuple(map(round, box[:2])), tuple(map(round, box[2:])), colour, width)
        data, path = cv2.imencode(".jpg", image)[1].tobytes(), self._log.folder / event.id / SNAPSHOT
        written = self._log.attempt(lambda: write_atomic(path, data) or True)
        return replace(event, snapshot=f"{event.id}/{SNAPSHOT}" if written else None)


def jpeg_of(image: np.ndarray) -> bytes:
    """A picture for clips and the page, at most CLIP_WIDTH pixels wide. Shape: (H, W, 3) uint8 BGR."""
    height, width = image.shape[:2]
    if width > CLIP_WIDTH:
        size = CLIP_WIDTH, 2 * round(height * CLIP_WIDTH / width / 2)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _shown(pictures: SimpleQueue) -> Iterator[tuple[np.ndarray, float]]:
    """A clip's frames, all in the first one's size, with their time, as they come."""
    first = None
    while (one := pictures.get()) is not None:
        image = cv2.imdecode(np.frombuffer(one[0], np.uint8), cv2.IMREAD_COLOR)
        first = first or (one[1], image.shape[1::-1])
        yield cv2.resize(image, first[1]) if image.shape[1::-1] != first[1] else image, one[1] - first[0]


def _behind() -> None:
    """A thread that lets the analysis go first, on Linux."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
