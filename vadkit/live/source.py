"""Cameras and streams as they come: read in order (`Camera`), or watched, where the newest frame wins (`LiveSource`).

    with LiveSource("rtsp://door/live") as source:
        while not source.state.ended:
            frame = source.newest(timeout=1.0)  # None while nothing comes: it reconnects by itself

A file is a source as well: it is played in real time and then ends. A stream ends only when it is closed.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from vadkit.core.clock import Timeline
from vadkit.core.container import Source
from vadkit.core.errors import DataError, shown
from vadkit.core.video import PLAUSIBLE_FPS, Probe, probe, read_frames

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is said once, by us
ASSUMED_FPS = 30.0  # of a camera that does not say
OPEN_SECONDS, STALL_SECONDS = 10.0, 5.0  # without an answer, without a frame: then a stream is lost
RETRY_SECONDS = (1, 2, 4, 8, 15, 30)  # between attempts to reconnect; the last one stays
BEHIND_SECONDS = 1.0  # a stream that comes later is caught up with, or its clock is wrong
OLD_SECONDS = 1.0  # after connecting, in which frames that come at once are those that had to wait
JUMP_SECONDS = 2.0  # a clock that goes further ahead of the wall's at once has been set anew
WINDOW_SECONDS, WINDOWS = 3.0, 3  # a clock is held against the wall's so long, and is wrong when it was so many times
SAME_RATE = (0.8, 1.25)  # of a clock and the wall's
LEAK = 0.001  # seconds a second, by which any two clocks may differ


def is_live(source: str) -> bool:
    """Whether it is a stream's URL or a camera's number. Raises DataError for a camera's path."""
    if re.match(r"/dev/video\d+$", source):
        raise DataError(f"{source}: a camera is given by its number, {source[len('/dev/video') :]}")
    return "://" in source or source.isdigit()


def named(source: str) -> tuple[str, str]:
    """A source and the name that was written before it, NAME=SOURCE; "" where there is none."""
    found = re.fullmatch(r"([\w. -]+)=(.+)", source)
    return (found[2], found[1]) if found and not Path(source).exists() else (source, "")


def names_of(sources: Sequence[str]) -> list[str]:
    """What cameras are called, each otherwise: their names, or the number, the address without its password, or the
    file's name."""
    given = [named(source) for source in sources]
    called = [f"camera {one}" if one.isdigit() else one if is_live(one) else Path(one).name for one, _ in given]
    names = [name or shown(other) for (_, name), other in zip(given, called, strict=True)]
    which = [names[: number + 1].count(name) for number, name in enumerate(names)]
    return [name if names.count(name) == 1 else f"{name} ({n})" for name, n in zip(names, which, strict=True)]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a source. image: (H, W, 3) uint8 BGR; time_s: since the source's start, by its clock where that
    agrees with the wall's; arrived: when it was decoded, `time.monotonic`."""

    number: int
    image: np.ndarray
    time_s: float
    arrived: float


@dataclass
class SourceState:
    """How a source is doing. fps: that came in the last seconds; dropped: frames that newer ones took the place of;
    lag_s: the age of the last frame that was taken; ended: why it is over, "" while it lives; failed: not as it should.
    """

    fps: float = 0.0
    dropped: int = 0
    reconnects: int = 0
    connected: bool = False
    lag_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    ended: str = ""
    failed: bool = False


class LiveClock:
    """Seconds since a stream's start, over all its connections: by its own clock while that agrees with the wall's.

    late: seconds that the last frame came later than the earliest ones did; behind: these wait for the decoder.
    """

    def __init__(self, note: Callable[[str], None]):
        self.seconds, self.late, self.behind, self.untrue, self._note = 0.0, 0.0, False, False, note
        self._began = self._wall = self._stamp = self._ahead = None
        self._odd, self._since = 0, (0.0, 0.0, 0.0)  # windows in which it was wrong, and since when the last one is

    def connect(self) -> None:
        """Another connection, whose clock begins anew."""
        self._stamp = self._ahead = None

    def add(self, stamp: float | None) -> float:
        """Seconds of the next frame. stamp: its own time; None where it has none."""
        now = time.monotonic()
        self._began, self._wall = self._began or now, self._wall or now
        gap, step = now - self._wall, None
        if None not in (stamp, self._stamp) and not self.untrue:
            step = stamp - self._stamp
            if not -0.1 <= step <= gap + JUMP_SECONDS:
                self._note(f"its clock jumps by {step:+.1f} s; seconds go on from there")
                step = None
        self.seconds += gap if step is None else max(step, 0.0)
        self._wall, self._stamp = now, self._stamp + gap if stamp is None and self._stamp is not None else stamp
        ahead = self.seconds - (now - self._began)
        if self._ahead is None:
            self._ahead, self._odd, self._since = ahead, 0, (now, self.seconds, time.thread_time())
        self._ahead = max(self._ahead - LEAK * gap, ahead)
        self.late = self._ahead - ahead
        if now - self._since[0] >= WINDOW_SECONDS:
            self._check(now)
        self.behind &= self.late > BEHIND_SECONDS / 4
        return self.seconds

    def _check(self, now: float) -> None:
        """Whether the clock went as the wall's did, since the last time; only a decoder that waited for it can tell."""
        wall, went, busy = (b - a for a, b in zip(self._since, (now, self.seconds, time.thread_time()), strict=True))
        wrong, late, waited = not SAME_RATE[0] < went / wall < SAME_RATE[1], self.late > BEHIND_SECONDS, busy < wall / 2
        self.behind = late and not waited
        self._odd = self._odd + 1 if waited and (wrong or late) and not self.untrue else 0
        if self._odd >= WINDOWS:
            self.untrue, self._odd = wrong, 0
            facts = f"goes at {went / wall:.2f} of the wall's" if wrong else f"fell {self.late:.1f} s behind the wall's"
            self._note(f"its clock {facts}; seconds follow the wall's{' from now on' * wrong}")
            self.seconds, self.late = max(self.seconds, now - self._began), 0.0
            self._ahead = self.seconds - (now - self._began)
        self._since = (now, self.seconds, time.thread_time())


class Camera:
    """A camera (its number) or a stream (its URL), read as a file's `Frames`: (frame number, image) in order.

    time_s: of the last frame, by the clock that a stream carries; of what carries none, by when its frames arrive.
    recording: a stream that says how long it is. Any other one has no end: iterating raises DataError where it is lost.
    """

    def __init__(self, source: str, wanted: Callable[[int], bool] | None = None, clock: LiveClock | None = None):
        self.where, self.time_s, self._wanted, self._device, self._stream = shown(source), 0.0, wanted, None, None
        try:
            if source.isdigit():
                self._device = cv2.VideoCapture(int(source))
            else:
                limits, over_tcp = (OPEN_SECONDS, STALL_SECONDS), {"rtsp_flags": "prefer_tcp"}
                self._stream = Source(source, timeout=limits, options=over_tcp)
        except (av.FFmpegError, OSError, LookupError):
            pass
        if self._stream is None and not (self._device and self._device.isOpened()):
            what = f"no camera {source}" if source.isdigit() else f"the stream {source} does not open"
            raise DataError(f"{what}; check that it is there and that no other program holds it, or give a video file")
        if self._stream is not None:
            (width, height), said = self._stream.size(None), self._stream.fps
        else:
            asked = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
            width, height, said = (self._device.get(one) for one in asked)
        known = PLAUSIBLE_FPS[0] <= said <= PLAUSIBLE_FPS[1]
        self.recording = self._stream is not None and self._stream.promised > 0
        self.probe = Probe(int(width), int(height), said if known else ASSUMED_FPS, frames=0)
        self._seconds = self._stream.promised / self.probe.fps if self.recording else 0.0
        self._has_clock = self._stream is not None and self._stream.has_clock
        self._clock = Timeline(self.probe.fps) if clock is None or self.recording else clock
        arrival = "it carries no times: seconds count from when its frames arrive"
        assumed = f"it does not say its frame rate; {ASSUMED_FPS:g} a second assumed"
        self.notes = [note for note, holds in ((assumed, not known), (arrival, not self._has_clock)) if holds]

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        asked, waited = time.monotonic(), 0.0
        for number, (frame, stamp) in enumerate(self._stream or self._from_device()):
            wait = time.monotonic() - asked
            waited = wait if wait > 0.01 else waited  # what the decoder still holds comes at once
            self.time_s = self._clock.add(stamp if self._has_clock else time.monotonic())
            if self._stream is not None:
                self._follow(number)
            if self._wanted is None or self._wanted(number):
                yield number, frame if self._stream is None else self._stream.image(frame)
            asked = time.monotonic()
        if self.recording and self.time_s >= 0.98 * self._seconds - 1:
            return
        waited = max(waited, time.monotonic() - asked)
        why = f"no frame came for {waited:.0f} s" if waited > 0.8 * STALL_SECONDS else "it ended"
        raise DataError(f"{self.where}: the stream was lost after {self.time_s:.1f} s: {why}")

    def _from_device(self) -> Iterator[tuple[np.ndarray, None]]:
        while (read := self._device.read())[0]:
            yield read[1], None

    def _follow(self, number: int) -> None:
        """A new size of the pictures; a decoder that is behind takes key frames alone until it is not."""
        if len(sizes := self._stream.sizes) > 1:
            _, width, height = sizes[-1]
            self.notes.append(f"its pictures have {width}x{height} from frame {number} on")
            del sizes[:-1]
        behind = getattr(self._clock, "behind", False)
        self._stream.stream.codec_context.skip_frame = "NONKEY" if behind else "DEFAULT"

    def close(self) -> None:
        self._device.release() if self._device else self._stream.close()


class LiveSource:
    """A source that a thread of its own decodes; what is not taken in time gives way to newer frames.

    name: the one that is shown; say: told once of what happens; ready: set at every frame. wanted: asked of every
    frame's time_s, in rising order, by the decoding thread; others are passed over unconverted. keep_s: frames may wait
    until newer ones are so many seconds ahead. probe: of what is connected. Raises DataError for a file that is none.
    """

    def __init__(self, source: str, name: str = "", say: Callable[[str], None] | None = None, ready=None):
        self.source, self.name, self.state = source, name or names_of([source])[0], SourceState()
        self.wanted: Callable[[float], bool] | None = None
        self.keep_s, self.probe = 0.0, None if is_live(source) else probe(source)
        self._say, self._ready = say or (lambda text: None), ready or threading.Event()
        self._frames, self._came, self._closed = deque(), threading.Condition(), threading.Event()
        self._arrivals: deque[float] = deque(maxlen=100)
        self._clock = LiveClock(self._note)
        self._lost_at, self._time_s = None, 0.0
        self._thread = threading.Thread(target=self._run, name=f"decode {self.name}", daemon=True)

    def __enter__(self) -> LiveSource:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        """Stop decoding; a read that hangs is left to its own limit."""
        self._closed.set()
        self._thread.join(timeout=0.3)

    def newest(self, timeout: float) -> Frame | None:
        """The newest frame not yet taken (with keep_s the earliest of those that wait); None when none came."""
        with self._came:
            self._came.wait_for(lambda: self._frames or self.state.ended, timeout)
            frame = self._frames.popleft() if self._frames else None
        if frame is not None:
            self.state.lag_s = self._clock.late + time.monotonic() - frame.arrived
        return frame

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame came, 0 before the first."""
        return time.monotonic() - self._arrivals[-1] if self._arrivals else 0.0

    # --- the decoding thread ---

    def _run(self) -> None:
        attempt, ended = 0, ""
        while not ended and not self._closed.is_set():
            self.state.connected, ended = False, "it is over"
            try:
                self._read()
            except Exception as error:  # nothing of a stream may end the thread unsaid
                why = str(error) if isinstance(error, DataError) else f"{self.name}: {type(error).__name__}: {error}"
                if not is_live(self.source):
                    self.state.failed, ended = True, why
                    continue
                ended, attempt = "", 0 if self.state.connected else attempt
                self._lose(why)
                self._closed.wait(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
                attempt += 1
        with self._came:
            self.state.ended, self.state.connected = ended, False
            self._came.notify_all()
        self._ready.set()

    def _read(self) -> None:
        """One connection, or the whole file."""
        self._clock.connect()
        live, self._began, self._base = is_live(self.source), None, self._time_s
        reader = Camera(self.source, self._comes, self._clock) if live else read_frames(self.source, self._comes)
        self._reader, self._played = reader, not live or reader.recording
        self._base *= self._played  # the clock of other streams goes on over all their connections
        with closing(reader):
            for number, image in reader:
                for note in reader.notes if live else ():
                    self._note(note)
                if self._closed.is_set():
                    return
                frame = Frame(number, image, self._time_s, time.monotonic())
                with self._came:
                    self._frames.append(frame)
                    while len(self._frames) > 1 and self._frames[0].time_s <= frame.time_s - self.keep_s:
                        self._frames.popleft()
                        self.state.dropped += 1
                    self._came.notify_all()
                self._ready.set()

    def _comes(self, number: int) -> bool:
        """Whether the frame that was just decoded is wanted; one that is played waits here until it is due."""
        at, now = self._reader.time_s, time.monotonic()
        self._time_s = self._base + at
        if self._played:  # what is not decoded in time plays on later
            self._began = max(self._began or now, now - at - BEHIND_SECONDS)
            self._closed.wait(max(0.0, self._began + at - now))
        if not self.state.connected:
            self._connect()
            self._old_until = now + OLD_SECONDS * (not self._played)
        waited = self._arrivals and now - self._arrivals[-1] > 0.3 / self.probe.fps
        self._old_until *= not waited
        self._arrivals.append(time.monotonic())
        self.state.fps = (len(self._arrivals) - 1) / max(self._arrivals[-1] - self._arrivals[0], 1e-3)
        is_old = now < self._old_until and not self._closed.is_set()  # what was buffered while it connected
        return not is_old and (self.wanted is None or self._closed.is_set() or self.wanted(self._time_s))

    def _connect(self) -> None:
        self.state.connected, self.probe = True, self._reader.probe
        self._arrivals.clear()
        if self._lost_at is not None:
            self.state.reconnects += 1
            self._say(f"{self.name}: back after {time.monotonic() - self._lost_at:.0f} s")
        self._lost_at = None

    def _lose(self, why: str) -> None:
        self.state.connected, self.state.fps = False, 0.0
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._say(f"{why}; trying again")
        self._ready.set()

    def _note(self, text: str) -> None:
        """What should be known of it; of a kind, which its first words are, once."""
        if all(note[:14] != text[:14] for note in self.state.notes):
            self.state.notes.append(text)
            self._say(f"{self.name}: {text}")
