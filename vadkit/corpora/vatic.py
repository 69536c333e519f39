"""Vatic annotation files: boxes around an anomaly, and the frames that they make anomalous.

UCFCrime2Local writes one box a line: track, xmin, ymin, xmax, ymax, frame, lost, occluded, generated, "label".
A hard anomaly is a frame with a box whose `lost` is not 1, whatever the track (released code).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vadkit.core.errors import AnnotationError, DataError, reading
from vadkit.corpora.video import Problem, Spans, Video

FIELDS = 'track xmin ymin xmax ymax frame lost occluded generated "label"'
# nine integers, a label in quotes or a bare word, then Vatic's optional quoted attributes
LINE = re.compile(r'((?:\S+\s+){9})(?:"([^"]*)"|([^\s"]+))((?:\s+"[^"]*")*)')


@dataclass(frozen=True)
class Box:
    """One line of a Vatic file; corners in pixels of the annotated video, `frame` from 0."""

    track: int
    xmin: int
    ymin: int
    xmax: int
    ymax: int
    frame: int
    lost: bool  # outside of the view: the anomaly is not seen here
    occluded: bool
    generated: bool  # interpolated between two hand-drawn boxes
    label: str


def parse(path: str | Path) -> tuple[Box, ...]:
    """Every box of a Vatic file, in its order. Raises AnnotationError naming file, line, what was expected and came."""
    return tuple(_box(path, number, text) for number, text in numbered_lines(path))


def boxes(path: str | Path) -> dict[int, list[Box]]:
    """The boxes seen at each frame (`lost` is not 1). Raises AnnotationError as `parse` does."""
    seen: dict[int, list[Box]] = {}
    for box in parse(path):
        if not box.lost:
            seen.setdefault(box.frame, []).append(box)
    return seen


def intervals(path: str | Path) -> Spans:
    """Hard-anomaly spans [start, end), 0-based: frames where any track is seen (section 4.1; as released). Raises
    AnnotationError where a line is malformed, or where no line has lost = 0."""
    spans = merge((frame, frame + 1) for frame in boxes(path))
    if not spans:
        expected = "expected at least one frame with lost = 0, got none; an anomalous video needs one"
        raise AnnotationError(str(path), expected)
    return spans


def merge(spans: Iterable[tuple[int, int]]) -> Spans:
    """Half-open spans, sorted, with overlapping and touching ones joined; empty ones dropped."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((start, end))
    return tuple(merged)


def clip_intervals(video: Video, frames: int, slack: int) -> tuple[Video, Problem | None]:
    """Fit a video's spans into its decoded frames; what passes the end by at most `slack` frames is cut and noted.
    Raises DataError where they pass it by more or nothing is left: the annotation is of another video (our reading)."""
    last = max((end for _, end in video.intervals or ()), default=0)
    if last <= frames:
        return video, None
    where = str(video.boxes_path or video.path)
    kept = merge((start, min(end, frames)) for start, end in video.intervals or ())
    counted = f"{video.path} decodes to" if video.path.exists() else "it has"
    facts = f"{video.name} is annotated up to frame {last}, {counted} {frames} frames"
    if last - frames > slack or not kept:
        remedy = "the video may be truncated or of another frame rate: fetch it again, or take it off the lists"
        raise DataError(f"{where}: {facts}: expected at most {slack} frames more (annotation_slack_frames); {remedy}")
    problem = Problem(where, f"{facts}; the annotation is cut at the last frame", left_out=False)
    return replace(video, intervals=kept), problem


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """Lines that are not blank, stripped, with their number from 1. Raises DataError where the file is not text."""
    with reading(path, "a text file in UTF-8"):
        text = Path(path).read_text(encoding="utf-8-sig")
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _box(path: str | Path, number: int, text: str) -> Box:
    where = f"{path}, line {number}"
    match = LINE.fullmatch(text)
    if match is None:
        raise AnnotationError(where, f"expected ten fields, {FIELDS}; got {len(text.split())} in {text[:120]!r}")
    try:
        values = [int(field) for field in match[1].split()]
    except ValueError:
        raise AnnotationError(where, f"expected nine integers before the label, {FIELDS}; got {text[:120]!r}") from None
    _, xmin, ymin, xmax, ymax, frame, *flags = values
    if xmin > xmax or ymin > ymax:
        raise AnnotationError(where, f"expected xmin <= xmax and ymin <= ymax, got {xmin} {ymin} {xmax} {ymax}")
    if frame < 0:
        raise AnnotationError(where, f"expected a frame number from 0, got {frame}")
    if not set(flags) <= {0, 1}:
        raise AnnotationError(where, f"expected 0 or 1 for lost, occluded and generated, got {flags}")
    return Box(*values[:6], *map(bool, flags), match[3] if match[2] is None else match[2])
