"""The forms that UCF-Crime gives to names of files and lines of annotation, which other collections follow."""

import re
from pathlib import Path

from vadkit.core.errors import AnnotationError
from vadkit.corpora import vatic
from vadkit.corpora.video import NORMAL, Spans

KINDS = "mp4 avi mkv mov webm mpg mpeg m4v wmv flv ts mts m2ts 3gp 3g2 dav h264 264 h265 265 hevc asf ogv vob mjpeg"
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in KINDS.split())
NAME = re.compile(r"([A-Za-z]+(?:_[A-Za-z]+)*)_?\d+")  # class, then a number: Assault018, Normal_Videos_006


def video_name(text: str) -> str:
    """A listed or found video's name: no folder, no suffix, no `_x264`."""
    stem = text.replace("\\", "/").rsplit("/", 1)[-1]
    if Path(stem).suffix.lower() in VIDEO_SUFFIXES | {".txt"}:
        stem = stem[: stem.rindex(".")]
    return stem.removesuffix("_x264")


def category_of(name: str) -> str | None:
    """Class of a name such as Assault018 or Normal_Videos_006 (Normal); None where it has another form."""
    match = NAME.fullmatch(name)
    return match and (NORMAL if match[1].lower().startswith("normal") else match[1])


def temporal_spans(where: str, line: str) -> Spans:
    """Half-open spans from 0 of one line `<video> <class> start end start end`, where -1 -1 stands for no span. Our
    reading: 1-based and inclusive (a MATLAB evaluation's), so 165 240 becomes [164, 240). Raises AnnotationError."""
    try:
        numbers = [int(text) for text in line.split()[2:]]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        expected = "six fields, <video> <class> start end start end"
        raise AnnotationError(where, f"expected {expected}, got {line[:120]!r}")
    spans = []
    for start, end in (numbers[:2], numbers[2:]):
        if (start, end) == (-1, -1):
            continue
        if start < 0 or end < start:
            raise AnnotationError(where, f"expected -1 -1 or frames with 0 <= start <= end, got {start} {end}")
        spans.append((max(start - 1, 0), end))
    return vatic.merge(spans)
