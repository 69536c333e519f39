"""Decode a video once, and convert only the frames that are wanted.

Frame numbers count what decodes, from 0; times are presentation times, in seconds from the first frame. A container's
own count and rate are promises, checked here. What is odd but usable becomes a note; what is not usable raises
DataError with the file's name and a remedy.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np

from vadkit.core.clock import Clock, Timeline, UnevenError
from vadkit.core.container import PICTURES, REMEDY, Pictures, Source
from vadkit.core.errors import NOT_TEXT, DataError

# A container may promise this many frames more than decode (trailing B-frames, a lost last packet) ...
TOLERATED_FRAMES, TOLERATED_SHARE = 3, 0.02  # ... whichever is more; beyond it the file is truncated or damaged
DAMAGED_SHARE = 0.1  # of the packets; beyond it a video is left out
PLAUSIBLE_FPS = (0.1, 240.0)
PICTURE_FPS = 25.0
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


@dataclass(frozen=True, eq=False)
class Decoded(Probe):
    """What decoding a whole video found, `fps` as the container says; notes name what is odd but usable."""

    clock: Clock
    notes: tuple[str, ...] = ()


class Frames:
    """Iterator of (frame number from 0, image (H, W, 3) uint8 BGR) that holds an open video; see `read_frames`.

    `probe` is there from the start, `time_s` is of the last frame that was decoded, and `decoded` is there once the
    video has been read to its end. `close` releases the file before that.
    """

    def __init__(self, path: str | Path, wanted=None, picture_fps: float = PICTURE_FPS, even: bool = False):
        self.path = Path(path)
        self._source = _open(self.path, picture_fps)
        self._coming = iter(self._source)
        try:
            self._first = next(self._coming, None)  # a picture lies on its side only by what its frames say
            self.probe = _probe(self._source, self.path, self._first)
        except DataError:
            self._source.close()
            raise
        self._wanted, self._must_be_even, self._even = wanted, even, True
        self._times: list[float] = []
        self._decoded: Decoded | None = None
        self._images = self._read()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return self

    def __next__(self) -> tuple[int, np.ndarray]:
        return next(self._images)

    def close(self) -> None:
        self._images.close()
        self._source.close()

    @property
    def time_s(self) -> float:
        """Seconds of the last decoded frame: its number over the rate while that is constant, as the container says."""
        return (len(self._times) - 1) / self.probe.fps if self._even else self._times[-1]

    @property
    def decoded(self) -> Decoded:
        """Facts of the whole video. Raises ValueError before its end has been reached."""
        if self._decoded is None:
            raise ValueError(f"{self.path} has not been read to its end; its facts are known then")
        return self._decoded

    def _read(self) -> Iterator[tuple[int, np.ndarray]]:
        source, times, timeline = self._source, self._times, Timeline(self.probe.fps)
        flat, level, number, size = 0, 0.0, 0, (0, 0)
        try:
            for picture, stamp in chain([self._first] if self._first else [], self._coming):
                times.append(timeline.add(stamp))
                self._even &= _is_even(times, self.probe.fps)
                if self._must_be_even and not self._even:
                    raise UnevenError
                is_wanted = self._wanted is None or self._wanted(number)
                if is_wanted or flat == number:  # looked at until the first frame with a picture
                    try:
                        image = source.image(picture)
                    except (av.FFmpegError, ValueError, MemoryError):
                        what = f"frame {number} was read but does not decode to an image"
                        raise DataError(f"{self.path}: {what}; {REMEDY}") from None
                    size = size if number else image.shape[1::-1]
                    if flat == number and (constant := _constant_level(image)) is not None:
                        flat, level = flat + 1, constant
                    if is_wanted:
                        yield number, image
                number += 1
        finally:
            source.close()
        _check_complete(self.path, self.probe, source, times)
        clock = Clock(self.probe.fps, None if self._even else np.array(times))
        notes = _notes(self.probe, size, source, times, timeline, clock)
        if flat:
            shade = "black" if level < 48 else "white" if level > 208 else "grey"
            which = f"{'all' if flat == number else 'the first'} {flat} frame{'s are' if flat > 1 else ' is'}"
            notes.append(f"{which} {shade}: nearly constant, without a picture")
        self._decoded = Decoded(*size, self.probe.fps, number, clock, tuple(notes))


def read_frames(
    path: str | Path, wanted: Callable[[int], bool] | None = None, picture_fps: float = PICTURE_FPS, even: bool = False
) -> Frames:
    """Iterate over (frame number, image (H, W, 3) uint8 BGR); frames with `wanted(number)` false are not converted.

    path: a video, or a folder of pictures at `picture_fps`. even: raise UnevenError once the rate turns out not to be
    constant. Raises DataError at once for what is missing, empty, not a video or without a plausible frame rate; later
    for one that decodes to nothing, with more than 10% of its packets damaged, or that ends early: more than 3 frames
    and 2% short of what the container promises.
    """
    return Frames(path, wanted, picture_fps, even)


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


def probe(path: str | Path, picture_fps: float = PICTURE_FPS) -> Probe:
    """The container's facts; only the first frame is decoded. Raises DataError as `read_frames` does at once."""
    with closing(read_frames(path, picture_fps=picture_fps)) as frames:
        return frames.probe


def inspect(path: str | Path, picture_fps: float = PICTURE_FPS) -> Decoded:
    """Decode a whole video for its facts. Raises DataError as `read_frames` does."""
    frames = read_frames(path, lambda number: False, picture_fps)
    for _ in frames:
        pass
    return frames.decoded


def _open(path: Path, picture_fps: float) -> Source | Pictures:
    if NOT_TEXT.search(str(path)):  # no table could name it
        raise DataError(f"{path}: its path is not text in UTF-8; rename it")
    if path.is_dir():
        if len((pictures := Pictures(path, picture_fps)).paths):
            return pictures
        raise DataError(f"{path}: expected a video, got a folder without pictures ({', '.join(sorted(PICTURES))})")
    if not path.is_file():
        raise DataError(f"{path}: expected a video, got no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: expected a video, got an empty file (0 bytes); {REMEDY}")
    try:
        return Source(str(path), options={"protocol_whitelist": "file"})  # a playlist opens nothing elsewhere
    except (av.FFmpegError, OSError, LookupError):
        raise DataError(f"{path}: expected a video, got {_what_instead(path)}; {REMEDY}") from None


def _probe(source: Source | Pictures, path: Path, first: tuple | None) -> Probe:
    width, height = source.size(first and first[0])
    fps, frames = source.fps, source.promised
    low, high = PLAUSIBLE_FPS
    if not low <= fps <= high:  # also NaN
        facts = f"expected {low} to {high:g} frames per second, its container says {fps:g}"
        remedy = f"re-encode it at a constant rate (ffmpeg -i {path.name} -r 30 -c:v libx264 repaired.mp4)"
        raise DataError(f"{path}: {facts}; {remedy}, or take it off the lists")
    return Probe(width, height, fps, frames)


def _check_complete(path: Path, says: Probe, source: Source | Pictures, times: list[float]) -> None:
    decoded = len(times)
    if decoded == 0:
        raise DataError(f"{path}: expected at least one frame, none decodes; {REMEDY}")
    if source.damaged > DAMAGED_SHARE * source.packets:
        facts = f"{source.damaged} of {source.packets} packets do not decode (at most {100 * DAMAGED_SHARE:.0f} % may)"
        raise DataError(f"{path}: truncated or damaged: {facts}; {REMEDY}")
    tolerated = max(TOLERATED_FRAMES, TOLERATED_SHARE * says.frames)
    if says.frames - decoded - source.damaged <= tolerated:
        return
    # MP4 counts its frames. Others estimate them as duration times rate, too many where the rate varies:
    # there a file is short only if packets are missing and its clock stops early. The last frame may last as any.
    last, least = times[-1] + max(np.diff(times), default=0.0), says.frames - tolerated
    ends_early = source.packets < least and last < least / says.fps
    if ends_early or _head(path)[4:8] == b"ftyp":
        facts = f"promises {says.frames} frames, {decoded} decode (at most {tolerated:.0f} may be missing)"
        raise DataError(f"{path}: truncated or damaged: its container {facts}; {REMEDY}")


def _notes(says, size, source, times, timeline: Timeline, clock: Clock) -> list[str]:
    width, height = size
    notes = [f"odd size {width}x{height}"] if width % 2 or height % 2 else []
    if size != (says.width, says.height):
        notes.append(f"the container says {says.width}x{says.height}, frames are {width}x{height}")
    if source.videos > 1:
        notes.append(f"it holds {source.videos} videos; the one that players show is read, of {width}x{height}")
    if len(source.sizes) > 1:
        number, *other = source.sizes[1]
        notes.append(f"from frame {number} on it has {other[0]}x{other[1]}; all are read as {width}x{height}")
    if says.frames and says.frames != len(times):
        notes.append(f"the container says {says.frames} frames, {len(times)} decode")
    if source.damaged:
        notes.append(f"damaged: {source.damaged} of {source.packets} packets do not decode; their frames are missing")
    if source.repaired:
        notes.append(f"damaged: {source.repaired} of {len(times)} frames were pieced together by the decoder")
    if timeline.missing == len(times):
        notes.append(f"it carries no times; {says.fps:g} frames a second is a guess, and all seconds follow from it")
        return notes
    if timeline.missing:
        notes.append(f"{timeline.missing} of {len(times)} frames carry no time; each is taken for one step later")
    for number, step in timeline.jumps[:1]:
        way = "back" if step < 0 else "ahead"
        count = f", the first of {len(timeline.jumps)} such jumps" if len(timeline.jumps) > 1 else ""
        notes.append(f"its clock jumps {way} by {abs(step):.1f} s at frame {number}{count}; time goes on from there")
    if clock.times is not None:
        steps = 1000 * np.diff(times)
        typical, mean_fps = float(np.median(steps)), 1000 / max(float(steps.mean()), 1e-3)
        uneven = int(np.sum(np.abs(steps - typical) > 0.5 * typical))
        if uneven > source.damaged:  # else it is what was lost
            spread = f"{steps.min():.0f} to {steps.max():.0f} ms between frames"
            off = f"{uneven} of {len(steps)} steps off the typical {typical:.0f} ms"
            notes.append(f"variable frame rate: {spread}, {off}")
        elif not uneven:
            rates = f"the container says {says.fps:.2f} frames per second, its clock {mean_fps:.2f}"
            notes.append(f"{rates}; the clock is used")
    return notes


def _is_even(times: list[float], fps: float) -> bool:
    """Whether the last frame comes about 1 / fps after the one before, and all so far about when they should."""
    number = len(times) - 1
    step = times[-1] - times[-2] if number else 1 / fps
    return abs(step * fps - 1) <= 0.5 and abs(times[-1] * fps - number) <= max(0.75, 0.005 * number)


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
