"""Write video files that a browser plays: H.264 in MP4, by PyAV (OpenCV's writer has no H.264)."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vadkit.core.disk import whole_file
from vadkit.core.errors import DataError


def write_h264(path: str | Path, frames: Iterable, fps: float, crf: int = 23, preset: str = "veryfast") -> int:
    """Encode frames to an MP4 file, whole or not at all; returns how many there were.

    frames: (H, W, 3) uint8 BGR, all of one size, each 1 / fps after the one before, or (frame, its time in seconds);
    odd sizes are padded to even ones by repeating the last row or column, since yuv420p needs it. fps: frames a second,
    > 0. crf: 0 (best) to 51. One thread, so that the same frames give the same file. Raises DataError for no frames, a
    frame of another size or type, and for fps or crf out of range.
    """
    path = Path(path)
    if not fps > 0:
        raise DataError(f"{path}: fps must be above 0, got {fps}")
    if not 0 <= crf <= 51:
        raise DataError(f"{path}: crf must be in 0..51, got {crf}")
    with whole_file(path) as scratch:
        return _encode(scratch, path, frames, fps, crf, preset)


def _encode(scratch: Path, path: Path, frames: Iterable, fps: float, crf: int, preset: str) -> int:
    size = stream = None
    count = at = 0
    with av.open(str(scratch), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        for frame in frames:
            frame, seconds = frame if isinstance(frame, tuple) else (frame, None)
            if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
                raise DataError(f"{path}: frame {count} must be uint8 of shape (H, W, 3), got {got}")
            if size is None:
                size = frame.shape
                fine = 1 if seconds is None else 16  # steps of the film's clock in a frame
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(60000))
                stream.width, stream.height = size[1] + size[1] % 2, size[0] + size[0] % 2
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = 1 / (fine * stream.codec_context.framerate)
                # these two depend on memory that x264 has not written: the same frames would give other files
                stream.options = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0:weightp=0"}
                stream.codec_context.thread_count = 1
            elif frame.shape != size:
                now, first = f"{frame.shape[1]}x{frame.shape[0]}", f"{size[1]}x{size[0]}"
                raise DataError(f"{path}: frame {count} is {now}, the first was {first}; all must be of one size")
            if size[0] % 2 or size[1] % 2:
                frame = cv2.copyMakeBorder(frame, 0, size[0] % 2, 0, size[1] % 2, cv2.BORDER_REPLICATE)
            planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            at = at + fine * (count > 0) if seconds is None else max(at + (count > 0), round(seconds * fps * fine))
            picture.pts, picture.time_base = at, 1 / (fine * stream.codec_context.framerate)
            container.mux(stream.encode(picture))
            count += 1
        if stream is None:
            raise DataError(f"{path}: there are no frames to write")
        container.mux(stream.encode())
    return count
