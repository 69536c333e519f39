"""What holds frames: a file or a stream that FFmpeg opens, or a folder of pictures."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vadkit.core.errors import DataError

NO_CLOCK = 0x80  # AVFMT_NOTIMESTAMPS: FFmpeg's sign of a format without times
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
PIECES = re.compile(r"(\d+)|(\D+)")
REMEDY = "fetch it again, or take it off the lists"


class Source:
    """The video of a container that players show, in order: iterates over (what `image` takes, its own time or None).

    Packets that do not decode are counted in `damaged` and passed over, frames that are repaired in `repaired`.
    """

    def __init__(self, address: str, **options):
        self.container = av.open(address, metadata_errors="replace", **options)
        self.stream, self.videos = self.container.streams.best("video"), len(self.container.streams.video)
        if self.stream is None or self.stream.codec_context is None:
            self.container.close()
            raise LookupError(f"no video in {address} that FFmpeg decodes")
        # one: how a damaged frame is mended hangs on the threads, and two take a fifth more of processor time
        self.stream.thread_type, self.stream.codec_context.thread_count = "NONE", 1
        self.damaged = self.packets = self.repaired = 0
        self.sizes: list[tuple[int, int, int]] = []  # first frame with each new size
        self.has_clock = not self.container.format.flags & NO_CLOCK
        self._reformatter = VideoReformatter()

    @property
    def fps(self) -> float:
        return float(self.stream.average_rate or self.stream.base_rate or 0)

    @property
    def promised(self) -> int:
        """Frames, as the container counts or estimates them; 0 where it does neither."""
        seconds = (self.container.duration or 0) / av.time_base
        seconds = seconds if seconds > 0 else float((self.stream.duration or 0) * self.stream.time_base)
        return self.stream.frames or max(0, math.floor(seconds * self.fps + 0.5))

    def size(self, frame: av.VideoFrame | None) -> tuple[int, int]:
        """Width and height that the container says, upright as the frame is shown."""
        size = self.stream.codec_context.width, self.stream.codec_context.height
        return size[::-1] if frame and frame.rotation % 180 else size

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, float | None]]:
        packets, number = self.container.demux(self.stream), 0
        base = self.stream.time_base.as_integer_ratio() if self.has_clock else None
        while packets:
            try:
                packet = next(packets)
                self.packets += packet.size > 0
            except (StopIteration, av.FFmpegError, OSError):  # past the last whole packet: what the decoder still holds
                packets = packet = None
            try:
                frames = self.stream.decode(packet)
            except av.FFmpegError as error:
                self.damaged += not isinstance(error, EOFError)  # which says that there is nothing more
                continue
            for frame in frames:
                self.repaired += bool(frame.is_corrupt)
                size = (frame.width, frame.height)
                if not self.sizes or size != self.sizes[-1][1:]:
                    self.sizes.append((number, *size))
                stamp = frame.pts if frame.pts is not None else frame.dts
                number += 1
                yield frame, stamp * base[0] / base[1] if base and stamp is not None else None

    def image(self, frame: av.VideoFrame) -> np.ndarray:
        """A frame as it is shown: upright, in the first one's size. Shape: -> (H, W, 3) uint8 BGR."""
        _, width, height = self.sizes[0]
        of_size = {"width": width, "height": height, "format": "bgr24", "interpolation": "BICUBIC", "threads": 1}
        image = self._reformatter.reformat(frame, **of_size).to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def close(self) -> None:
        self.container.close()


class Pictures:
    """A folder of pictures in the order of their names, with numbers in them by value, read as a `Source`."""

    damaged = repaired = 0
    videos = 1

    def __init__(self, folder: Path, fps: float):
        self.paths, self.fps, self._size = pictures_in(folder), fps, None
        self.promised = self.packets = len(self.paths)
        self.sizes: list[tuple[int, int, int]] = []

    def size(self, first: Path) -> tuple[int, int]:
        return self.image(first).shape[1::-1]

    def __iter__(self) -> Iterator[tuple[Path, float]]:
        for number, path in enumerate(self.paths):
            yield path, number / self.fps

    def image(self, path: Path) -> np.ndarray:
        import cv2  # the light environment has none

        content = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        if image is None:
            raise DataError(f"{path}: expected a picture, got something that does not decode; {REMEDY}")
        self._size = self._size or image.shape[1::-1]
        if image.shape[1::-1] != self._size:
            return cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        return image

    def close(self) -> None:
        pass


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names, where numbers count by value."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith(".")]
    return sorted(found, key=lambda path: [(int(n), "") if n else (-1, s) for n, s in PIECES.findall(path.name)])
