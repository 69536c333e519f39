"""Decode a video once, and convert only the frames that are wanted.

Frame numbers count what decodes, from 0: a container's own count and its clock are promises, checked here.
What is odd but usable becomes a note; what is not usable raises DataError with the file's name and a remedy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadkit.core.errors import NOT_TEXT, DataError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what matters is raised or noted below

import cv2

# A container may promise this many frames more than decode (trailing B-frames, a lost last packet) ...
TOLERATED_FRAMES, TOLERATED_SHARE = 3, 0.02  # ... whichever is more; beyond it the file is truncated or damaged
PLAUSIBLE_FPS = (0.1, 240.0)
REMEDY = "fetch it again, or take it off the lists"
FLAT_LEVELS, FLAT_SHARE = 8, 0.9  # a frame is nearly constant when 90% of its pixels are within 8 of the median


@dataclass(frozen=True)
class Probe:
    """What a container says of its video, before anything is decoded; `frames` is 0 where it does not say."""

    width: int
    height: int
    fps: float
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


@dataclass(frozen=True)
class Decoded(Probe):
    """What decoding a whole video found, `fps` as the container says; notes name what is odd but usable."""

    notes: tuple[str, ...] = ()


class Frames:
    """Iterator of (frame number from 0, image (H, W, 3) uint8 BGR) that holds an open video; see `read_frames`.

    `probe` is there from the start, `decoded` once the video has been read to its end. `close` releases the
    file before that.
    """

    def __init__(self, path: str | Path, wanted: Callable[[int], bool] | None = None):
        self.path = Path(path)
        self._capture = _open(self.path)
        self.probe = _probe(self._capture, self.path)
        self._wanted = wanted
        self._decoded: Decoded | None = None
        self._images = self._read()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return self

    def __next__(self) -> tuple[int, np.ndarray]:
        return next(self._images)

    def close(self) -> None:
        self._images.close()
        self._capture.release()

    @property
    def decoded(self) -> Decoded:
        """Facts of the whole video. Raises ValueError before its end has been reached."""
        if self._decoded is None:
            raise ValueError(f"{self.path} has not been read to its end; its facts are known then")
        return self._decoded

    def _read(self) -> Iterator[tuple[int, np.ndarray]]:
        times: list[float] = []
        flat, level, number, size = 0, 0.0, 0, (0, 0)
        try:
            while self._capture.grab():
                times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC))
                is_wanted = self._wanted is None or self._wanted(number)
                if is_wanted or flat == number:  # looked at until the first frame with a picture
                    done, image = self._capture.retrieve()
                    if not done:
                        what = f"frame {number} was read but does not decode to an image"
                        raise DataError(f"{self.path}: {what}; {REMEDY}")
                    size = size if number else image.shape[1::-1]
                    if flat == number and (constant := _constant_level(image)) is not None:
                        flat, level = flat + 1, constant
                    if is_wanted:
                        yield number, image
                number += 1
        finally:
            self._capture.release()
        _check_complete(self.path, self.probe, times)
        notes = _notes(self.probe, size, times)
        if flat:
            shade = "black" if level < 48 else "white" if level > 208 else "grey"
            which = f"{'all' if flat == number else 'the first'} {flat} frame{'s are' if flat > 1 else ' is'}"
            notes.append(f"{which} {shade}: nearly constant, without a picture")
        self._decoded = Decoded(*size, self.probe.fps, number, tuple(notes))


def read_frames(path: str | Path, wanted: Callable[[int], bool] | None = None) -> Frames:
    """Iterate over (frame number, image (H, W, 3) uint8 BGR); frames with `wanted(number)` false are only grabbed.

    Raises DataError at once for a file that is missing, empty, not a video or without a plausible frame rate; later for
    one that decodes to nothing or ends early: more than 3 frames and 2% short of what the container promises.
    """
    return Frames(path, wanted)


def frames_at(path: str | Path, numbers: Iterable[int]) -> dict[int, np.ndarray]:
    """Some frames by their number, (H, W, 3) uint8 BGR; reads on to the last. Raises DataError as `read_frames`."""
    wanted, found = set(numbers), {}
    with closing(read_frames(path, wanted.__contains__)) as frames:
        while missing := wanted - found.keys():
            number, image = next(frames, (None, None))
            if number is None:
                ends = f"the video ends after {frames.decoded.frames}"
                raise DataError(f"{path}: expected a frame {min(missing)}, {ends}; {REMEDY}")
            found[number] = image
    return found


def probe(path: str | Path) -> Probe:
    """The container's facts, without decoding. Raises DataError as `read_frames` does at once."""
    with closing(read_frames(path)) as frames:
        return frames.probe


def inspect(path: str | Path) -> Decoded:
    """Decode a whole video for its facts. Raises DataError as `read_frames` does."""
    frames = read_frames(path, lambda number: False)
    for _ in frames:
        pass
    return frames.decoded


def _open(path: Path) -> cv2.VideoCapture:
    if NOT_TEXT.search(str(path)):  # OpenCV would end the process
        raise DataError(f"{path}: its path is not text in UTF-8; rename it")
    if not path.is_file():
        raise DataError(f"{path}: expected a video, got {'a folder' if path.is_dir() else 'no such file'}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: expected a video, got an empty file (0 bytes); {REMEDY}")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:  # FFmpeg alone: the other backends take fi001.mp4 for a numbered series of pictures
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        capture.release()
        raise DataError(f"{path}: expected a video, got {_what_instead(path)}; {REMEDY}")
    return capture


def _probe(capture: cv2.VideoCapture, path: Path) -> Probe:
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    low, high = PLAUSIBLE_FPS
    if not low <= fps <= high:  # also NaN
        capture.release()
        facts = f"expected {low} to {high:g} frames per second, its container says {fps:g}"
        remedy = f"re-encode it at a constant rate (ffmpeg -i {path.name} -r 30 -c:v libx264 repaired.mp4)"
        raise DataError(f"{path}: {facts}; {remedy}, or take it off the lists")
    return Probe(width, height, float(fps), max(0, int(frames)))


def _check_complete(path: Path, says: Probe, times: list[float]) -> None:
    decoded = len(times)
    if decoded == 0:
        raise DataError(f"{path}: expected at least one frame, none decodes; {REMEDY}")
    tolerated = max(TOLERATED_FRAMES, TOLERATED_SHARE * says.frames)
    if says.frames - decoded <= tolerated:
        return
    # MP4 counts its frames. Others estimate them as duration times rate, too many where the rate varies:
    # there a file is short only if its clock stops early as well. The last frame may last as long as any.
    last_ms = times[-1] + max(np.diff(times), default=0.0)
    ends_early = last_ms / 1000 < (says.frames - tolerated) / says.fps
    if ends_early or _head(path)[4:8] == b"ftyp":
        facts = f"promises {says.frames} frames, {decoded} decode (at most {tolerated:.0f} may be missing)"
        raise DataError(f"{path}: truncated or damaged: its container {facts}; {REMEDY}")


def _notes(says: Probe, size: tuple[int, int], times: list[float]) -> list[str]:
    width, height = size
    notes = [f"odd size {width}x{height}"] if width % 2 or height % 2 else []
    if size != (says.width, says.height):
        notes.append(f"the container says {says.width}x{says.height}, frames are {width}x{height}")
    if says.frames and says.frames != len(times):
        notes.append(f"the container says {says.frames} frames, {len(times)} decode")
    steps = np.diff(times)
    if len(steps) and times[-1] > times[0]:
        typical = float(np.median(steps))
        uneven = int(np.sum(np.abs(steps - typical) > 0.5 * typical))
        if uneven:
            spread = f"{steps.min():.0f} to {steps.max():.0f} ms between frames"
            off = f"{uneven} of {len(steps)} steps off the typical {typical:.0f} ms"
            notes.append(f"variable frame rate: {spread}, {off}")
        mean_fps = 1000 * len(steps) / (times[-1] - times[0])
        if len(steps) >= 10 and abs(mean_fps / says.fps - 1) > 0.05:
            rates = f"the container says {says.fps:.2f} frames per second, its clock {mean_fps:.2f}"
            notes.append(f"{rates}; the first is used")
    return notes


def _constant_level(image: np.ndarray) -> float | None:
    """Median level of a frame without a picture; None for one with."""
    sample = image[::4, ::4, 1].astype(np.int16)  # green stands for brightness
    level = float(np.median(sample))
    return level if np.mean(np.abs(sample - level) <= FLAT_LEVELS) >= FLAT_SHARE else None


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(512)


def _what_instead(path: Path) -> str:
    try:
        head = _head(path)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if head[4:8] == b"ftyp" and not _has_moov(path):
        return "an MP4 that broke off: its index (the moov box) is missing"
    if b"\0" not in head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        begins = head[:40].decode(errors="replace")
        return f"text, perhaps a web page or a pointer to the video, which begins {begins!r}"
    return "something that FFmpeg does not open"


def _has_moov(path: Path) -> bool:
    """Whether the top-level boxes of an MP4 hold its index."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        while (header := file.read(16))[4:8] != b"moov":
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # the true length follows in 64 bits
                length = int.from_bytes(header[8:], "big")
            if length < 8 or len(header) < 8 or length > size:  # what is longer than the file has nothing after it
                return False
            file.seek(length - len(header), os.SEEK_CUR)
    return True
