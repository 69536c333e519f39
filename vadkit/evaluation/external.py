"""Anybody's scores through the one evaluator: a table of segment scores, or a folder of frame scores.

    python -m vadkit evaluate scores.csv --annotations Temporal_Anomaly_Annotation.txt

How scores and labels meet, each rule named in the output:

equal   segment k of s holds over frames floor(k n / s) to floor((k + 1) n / s) - 1 of n: the parts cover the whole
        video and differ by one frame at most (our reading; repeating each score n // s times would leave a tail)
clip    an annotation that passes the last scored frame by at most the slack ends there
hold    scores that end before the video does by at most the slack: the last one holds
cut     scores that pass the video's end by at most the slack: the rest is not used

The slack is one segment; for frame scores, which have none, a clip of 16 frames. A fault (a difference beyond it, a
score outside [0, 1], a video given twice, unknown or unscored) stops the evaluation, or leaves the video out.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadkit.core.errors import AnnotationError, DataError, few, reading, shown
from vadkit.corpora.ucf_crime import Spans, temporal_spans, video_name
from vadkit.corpora.vatic import numbered_lines
from vadkit.corpora.video import MOST_FRAMES, NORMAL, TABLE, Problem
from vadkit.evaluation.scores import VideoScores
from vadkit.views.segments import read_npy

CLIP_FRAMES = 16  # what C3D and I3D features are made of; the slack where there are no segments
AS_SCORED = "as scored"  # a video whose length nobody gave: that of its scores counts


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong with one video. rule: how it was mended; empty for a fault: the video is left out."""

    kind: str
    video: str
    where: str
    what: str
    rule: str = ""

    @property
    def problem(self) -> Problem:
        """The same for `report.rows.save_problems`."""
        rule = f"; rule '{self.rule}'" if self.rule else ""
        return Problem(self.where, f"{self.video}: {self.what}{rule}", not self.rule)


@dataclass(frozen=True)
class Given:
    """The videos that can be evaluated, in the order of the scores, and everything that was found wrong."""

    videos: tuple[VideoScores, ...]
    findings: tuple[Finding, ...]
    layout: str  # "32 equal segments a video", "a score for each frame"

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of thing was found."""
        return dict(Counter(f.kind for f in self.findings))


@dataclass(frozen=True)
class _Scored:
    """One video's scores as given. frames: how many frames they stand for."""

    name: str
    where: str
    category: str  # empty where the file does not say
    frames: int
    values: np.ndarray


@dataclass(frozen=True)
class _Annotation:
    where: str
    category: str
    spans: Spans
    fault: str


def read(scores, annotations, fps: float = 30.0, slack: int | None = None, lengths=None, leave_out=False) -> Given:
    """Read scores and the temporal annotation of UCF-Crime, and align them by the rules above.

    scores: a CSV, one row a video (name, class where given, frames, then equal segments), or a folder of <name>.npy
    with a score for each frame. fps: of all videos. slack: frames that lengths may differ by, instead of one segment.
    lengths: a CSV with the columns name (or video, or path) and frames. leave_out: go on without videos at fault.
    Raises DataError for what cannot be read, faults, and no video left.
    """
    if slack is not None and slack < 0:
        raise DataError(f"the slack is a number of frames, 0 or more, got {slack}")
    if not (np.isfinite(fps) and fps > 0):
        raise DataError(f"expected a positive frame rate, got {fps}")
    scores, annotations = Path(scores), Path(annotations)
    if not os.path.exists(scores):
        raise DataError(f"no scores at {scores}; expected a CSV, one row a video, or a folder of <name>.npy")
    by_name, found = {}, []
    for one in _folder(scores) if scores.is_dir() else _table(scores):
        if isinstance(one, Finding):
            found.append(one)
        else:
            by_name.setdefault(one.name, []).append(one)
    named = _annotations(annotations)
    true_lengths = _lengths(Path(lengths)) if lengths is not None else {}
    unscored = named.keys() - {*by_name, *(f.video for f in found)}
    for name, (one, *more) in by_name.items():
        if more:  # nobody knows which is meant
            places = "; ".join(each.where for each in (one, *more))
            found.append(Finding("duplicate video", name, one.where, f"given {1 + len(more)} times: {places}"))
        elif name not in named:
            found.append(Finding("unknown video", name, one.where, f"no line in {annotations}"))
        else:
            found += _aligned(one, named[name], true_lengths, fps, slack)
    for name in filter(unscored.__contains__, named):
        found.append(Finding("unscored video", name, str(annotations), f"annotated, without scores in {scores}"))
    videos = tuple(one for one in found if isinstance(one, VideoScores))
    findings = tuple(one for one in found if isinstance(one, Finding))
    faults = [f for f in findings if not f.rule]
    if faults and not leave_out:
        raise DataError(_listed(scores, faults))
    if not videos:
        raise DataError(f"{scores}: no video is left to evaluate. {_listed(scores, faults)}")
    segments = min(len(one.values) for one, *_ in by_name.values())
    layout = "a score for each frame" if scores.is_dir() else f"{segments} equal segments a video"
    return Given(videos, findings, layout)


def _table(path: Path) -> Iterator[_Scored | Finding]:
    expected = "one row a video: name, class (where given), frames, segment scores"
    rows = _csv(path, expected)
    if rows and any(cell.lower() == "frames" for cell in rows[0][1]):  # the line of column names
        rows = rows[1:]
    if not rows:
        raise DataError(f"{path}: expected {expected}; got none")
    width = Counter(len(row) for _, row in rows).most_common(1)[0][0]
    for number, row in rows:
        name, where = video_name(row[0]), f"{path}, line {number}"
        has_class = len(row) > 1 and _number(row[1]) is None
        length, cells = "".join(row[1 + has_class : 2 + has_class]), row[2 + has_class :]
        frames = _number(length)
        if len(row) != width or not cells:
            what = f"expected {width} columns as most rows have, and segment scores among them; got {len(row)}"
            yield Finding("malformed row", name, where, what)
        elif frames is None or not len(cells) <= frames <= MOST_FRAMES or frames != int(frames):
            what = f"expected up to {MOST_FRAMES} frames, at least its {len(cells)} segments, got '{shown(length, 80)}'"
            yield Finding("malformed row", name, where, what)
        else:
            values = np.array([_number(cell) for cell in cells], np.float64)  # NaN for what is no number
            yield _Scored(name, where, row[1] if has_class else "", int(frames), values)


def _folder(path: Path) -> Iterator[_Scored | Finding]:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise DataError(f"{path}: expected <name>.npy files, one a video, with a score for each frame; there is none")
    for file in files:
        name = video_name(file.stem)
        try:
            values = read_npy(file)
        except DataError as error:
            yield Finding("malformed file", name, str(file), str(error))
            continue
        if values.ndim == 2 and 1 in values.shape:
            values = values.reshape(-1)
        if values.ndim != 1 or len(values) == 0 or values.dtype.kind not in "fiub":
            what = f"expected a vector of numbers, one a frame, got shape {values.shape} of {values.dtype}"
            yield Finding("malformed file", name, str(file), what)
        else:
            yield _Scored(name, str(file), "", len(values), values.astype(np.float64))


def _annotations(path: Path) -> dict[str, _Annotation]:
    expected = "lines of <video> <class> start end start end"
    if not os.path.isfile(path):
        raise DataError(f"no annotation {path}; expected UCF-Crime's Temporal_Anomaly_Annotation.txt, {expected}")
    found = {}
    for number, line in numbered_lines(path):
        where, (file, category, *_) = f"{path}, line {number}", [*line.split(), ""]
        name, spans, fault = video_name(file), (), ""
        try:
            spans = temporal_spans(where, line)
            if bool(spans) != (category != NORMAL):
                fault = f"class {category} with {len(spans)} spans"
            if name in found:
                fault = "annotated twice"
        except AnnotationError as error:
            fault = error.what
        found[name] = _Annotation(where, category, spans, fault)
    if not found:
        raise DataError(f"{path}: expected {expected}, got none")
    return found


def _lengths(path: Path) -> dict[str, int]:
    expected = "the columns name (or video, or path) and frames"
    (_, columns), *rows = _csv(path, expected) or [(0, [])]
    key = next((c for c in ("name", "video", "path") if c in columns), None)
    if key is None or "frames" not in columns:
        raise DataError(f"{path}: expected {expected}, got {','.join(columns) or 'an empty file'}")
    found = {}
    for number, row in rows:
        cells = dict(zip(columns, [*row, *[""] * len(columns)], strict=False))  # a row may be too short
        name, frames = video_name(cells[key]), cells["frames"]
        if not name or not frames.isdecimal() or not 0 < float(frames) <= MOST_FRAMES:
            got = f"'{shown(cells[key], 80)}' and '{shown(frames, 80)}'"
            raise DataError(f"{path}, line {number}: expected a video and its number of frames, got {got}")
        if found.setdefault(name, int(frames)) != int(frames):
            both = f"{name} has {frames} frames here and {found[name]} further up"
            raise DataError(f"{path}, line {number}: {both}; keep the right one")
    return found


def _csv(path: Path, expected: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each row that is not empty."""
    with reading(path, TABLE, f"give {expected}"), open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        found = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    return [(number, row) for number, row in found if any(row)]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _aligned(
    one: _Scored, annotation: _Annotation, lengths: dict[str, int], fps: float, slack: int | None
) -> Iterator[VideoScores | Finding]:
    """What was mended of a video, then the video; or the one fault that leaves it out. lengths: true ones by name."""
    values, total = one.values, len(one.values)
    frames = lengths.get(one.name, one.frames)
    past = max((stop for _, stop in annotation.spans), default=0) - frames
    if slack is None:
        slack = CLIP_FRAMES if total == one.frames else -(-one.frames // total)
    differ = f"scores for {one.frames} frames, the video has {frames}"
    passes = f"ends {past} frames past the last of {frames}"

    def found(kind: str, what: str, rule: str = "", where: str = one.where) -> Finding:
        return Finding(kind, one.name, where, what, rule)

    if (wrong := np.flatnonzero(~np.isfinite(values))).size:
        what = f"{len(wrong)} of {total} scores are not finite numbers, the first at position {wrong[0]}"
        yield found("not a number", what)
    elif (wrong := np.flatnonzero((values < 0) | (values > 1))).size:
        first = f"the first is {values[wrong[0]]:g} at position {wrong[0]}"
        yield found("out of range", f"{len(wrong)} of {total} scores lie outside [0, 1], {first}")
    elif annotation.fault:
        yield found("malformed annotation", annotation.fault, where=annotation.where)
    elif one.category and one.category.lower() != annotation.category.lower():
        yield found("class differs", f"the scores say {one.category}, the annotation {annotation.category}")
    elif abs(frames - one.frames) > slack:
        yield found("length differs", f"{differ}: a difference beyond the slack of {slack}")
    elif past > slack:
        yield found("annotation past the end", f"{passes}, beyond the slack of {slack}", where=annotation.where)
    else:
        if lengths and one.name not in lengths:
            what = f"not among the lengths given: its {one.frames} scored frames count"
            yield found("length unknown", what, AS_SCORED)
        if frames != one.frames:
            yield found("length differs", differ, "hold" if frames > one.frames else "cut")
        if past > 0:
            yield found("annotation past the end", passes, "clip", annotation.where)
        labels = np.zeros(frames, np.uint8)
        for start, stop in annotation.spans:
            labels[start:stop] = 1
        spread = values[np.minimum(np.arange(frames), one.frames - 1) * total // one.frames]  # rules equal, hold, cut
        index = np.append(0, np.flatnonzero(np.diff(spread)) + 1)  # a score holds until it changes: nothing is lost
        yield VideoScores(one.name, annotation.category, one.name, fps, index, spread[index], labels)


def _listed(scores: Path, faults: list[Finding]) -> str:
    summary = ", ".join(f"{count} x {kind}" for kind, count in Counter(f.kind for f in faults).items())
    lines = [f"{scores}: {len(faults)} faults ({summary}); mend them, or leave these videos out with --leave-out"]
    return "\n  ".join([*lines, *few([f"{f.kind}: {f.video}: {f.what} ({f.where})" for f in faults])])
