"""Anybody's scores through the one evaluator: a table of segment scores, or a folder of frame scores.

    python -m vadkit evaluate scores.csv --annotations Temporal_Anomaly_Annotation.txt

How scores and labels meet, each rule named in the output:

equal   segment k of s holds over frames floor(k n / s) to floor((k + 1) n / s) - 1 of n: the parts cover the whole
        video and differ by one frame at most (our reading; repeating each score n // s times would leave a tail)
clip    an annotation that passes the last scored frame by at most the slack ends there
hold    scores that end before the video does by at most the slack: the last one holds
cut     scores that pass the video's end by at most the slack: the rest is not used

The slack is one segment; for frame scores, which have none, a clip of 16 frames. A difference beyond it is a fault,
as is a score that is not a number in [0, 1], and a video that is given twice, unknown or unscored. Faults stop the
evaluation, or the videos are left out where that is asked for: either way each is named and counted.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError
from vadkit.corpora.ucf_crime import Spans, temporal_spans, video_name
from vadkit.corpora.vatic import AnnotationError, numbered_lines
from vadkit.corpora.video import NORMAL, Problem
from vadkit.evaluation.scores import VideoScores

CLIP_FRAMES = 16  # what C3D and I3D features are made of; the slack where there are no segments
AS_SCORED = "as scored"  # a video whose length nobody gave: that of its scores counts
SHOWN = 20  # faults named in an error; the rest is counted


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong with one video. rule: how it was mended; empty for a fault, which leaves the video
    out."""

    kind: str
    video: str
    where: str
    what: str
    rule: str = ""

    @property
    def problem(self) -> Problem:
        """The same for `report.save_problems`."""
        return Problem(
            self.where, f"{self.video}: {self.what}" + (f"; rule '{self.rule}'" if self.rule else ""), not self.rule
        )


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

    @property
    def slack(self) -> int:
        return CLIP_FRAMES if len(self.values) == self.frames else -(-self.frames // len(self.values))

    def over_frames(self) -> np.ndarray:
        """Shape: (frames,); rule 'equal'."""
        return self.values[(np.arange(self.frames, dtype=np.int64) * len(self.values)) // self.frames]


@dataclass
class _Reader:
    findings: list[Finding] = field(default_factory=list)

    def note(self, kind: str, video: str, where: str | Path, what: str, rule: str = "") -> None:
        self.findings.append(Finding(kind, video, str(where), what, rule))


# --- the public way in -------------------------------------------------------------------------------------------


def read(
    scores: str | Path,
    annotations: str | Path,
    fps: float = 30.0,
    slack: int | None = None,
    lengths: str | Path | None = None,
    leave_out: bool = False,
) -> Given:
    """Read scores and the temporal annotation of UCF-Crime, and align them by the rules above.

    scores: a CSV, one row a video (name, class where given, frames, then equal segments), or a folder of <name>.npy
    with a score for each frame. fps: of all videos, for delays in seconds; UCF-Crime's is 30. slack: frames that
    lengths may differ by, instead of one segment. lengths: a CSV with the columns name (or video, or path) and
    frames, the true length of videos where it is known. leave_out: go on without videos at fault. Raises DataError
    for files that cannot be read, for faults otherwise, each named, and where no video is left.
    """
    if slack is not None and slack < 0:
        raise DataError(f"the slack is a number of frames, 0 or more, got {slack}")
    if not (np.isfinite(fps) and fps > 0):
        raise DataError(f"expected a positive frame rate, got {fps}")
    reader, scores, annotations = _Reader(), Path(scores), Path(annotations)
    if not scores.exists():
        raise DataError(f"no scores at {scores}; expected a CSV, one row a video, or a folder of <name>.npy")
    scored = list(_folder(reader, scores) if scores.is_dir() else _table(reader, scores))
    named = _annotations(annotations)
    true_lengths = _lengths(Path(lengths)) if lengths is not None else {}
    videos = []
    for one in _once(reader, scored):
        if one.name not in named:
            reader.note("unknown video", one.name, one.where, f"no line in {annotations}")
            continue
        video = _aligned(reader, one, named[one.name], true_lengths.get(one.name), bool(true_lengths), fps, slack)
        videos += [video] if video is not None else []
    seen = {one.name for one in scored} | {f.video for f in reader.findings}
    for name in (n for n in named if n not in seen):
        reader.note("unscored video", name, annotations, f"annotated, without scores in {scores}")
    faults = [f for f in reader.findings if not f.rule]
    if faults and not leave_out:
        raise DataError(_faults(scores, faults))
    if not videos:
        raise DataError(f"{scores}: no video is left to evaluate. {_faults(scores, faults)}")
    segments = sorted({len(one.values) for one in scored})
    layout = "a score for each frame" if scores.is_dir() else f"{segments[0]} equal segments a video"
    return Given(tuple(videos), tuple(reader.findings), layout)


# --- reading -----------------------------------------------------------------------------------------------------


def _table(reader: _Reader, path: Path) -> Iterator[_Scored]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [
                (number, [cell.strip() for cell in row])
                for number, row in enumerate(csv.reader(file), 1)
                if any(cell.strip() for cell in row)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is not a CSV in UTF-8 ({error}); expected rows of name, class (where given), frames, segment "
            "scores"
        ) from None
    if rows and any(cell.lower() == "frames" for cell in rows[0][1]):  # the line of column names
        rows = rows[1:]
    if not rows:
        raise DataError(f"{path}: expected one row a video (name, class where given, frames, segment scores), got none")
    widths = Counter(len(row) for _, row in rows)
    width = widths.most_common(1)[0][0]
    for number, row in rows:
        name, where = video_name(row[0]), f"{path}, line {number}"
        has_class = len(row) > 1 and _number(row[1]) is None
        frames = _number(row[1 + has_class]) if len(row) > 1 + has_class else None
        cells = row[2 + has_class :]
        if len(row) != width or not cells:
            reader.note(
                "malformed row",
                name,
                where,
                f"expected {width} columns as most rows have, and segment scores among them; got {len(row)}",
            )
        elif frames is None or not np.isfinite(frames) or frames != int(frames) or frames < len(cells):
            reader.note(
                "malformed row",
                name,
                where,
                f"expected the number of frames, at least its {len(cells)} segments, got '{row[1 + has_class]}'",
            )
        else:
            values = [_number(cell) for cell in cells]
            yield _Scored(
                name,
                where,
                row[1] if has_class else "",
                int(frames),
                np.array([np.nan if v is None else v for v in values]),
            )


def _folder(reader: _Reader, path: Path) -> Iterator[_Scored]:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise DataError(f"{path}: expected <name>.npy files, one a video, with a score for each frame; there is none")
    for file in files:
        name = video_name(file.stem)
        try:
            values = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            reader.note("malformed file", name, file, f"not a NumPy array of numbers ({error})")
            continue
        if values.ndim == 2 and 1 in values.shape:
            values = values.reshape(-1)
        if values.ndim != 1 or len(values) == 0 or values.dtype.kind not in "fiub":
            reader.note(
                "malformed file",
                name,
                file,
                f"expected a vector of numbers, one a frame, got shape {values.shape} of {values.dtype}",
            )
            continue
        yield _Scored(name, str(file), "", len(values), values.astype(np.float64))


def _annotations(path: Path) -> dict[str, tuple[str, str, Spans | AnnotationError]]:
    """By name: (where, class, spans, or what is wrong with them)."""
    if not path.is_file():
        raise DataError(
            f"no annotation {path}; expected UCF-Crime's Temporal_Anomaly_Annotation.txt, lines of <video> <class> "
            "start end start end"
        )
    found: dict[str, tuple[str, str, Spans | AnnotationError]] = {}
    for number, line in numbered_lines(path):
        where, fields = f"{path}, line {number}", line.split()
        name, category = video_name(fields[0]), fields[1] if len(fields) > 1 else ""
        try:
            spans: Spans | AnnotationError = temporal_spans(where, line)
            if bool(spans) != (category != NORMAL):
                spans = AnnotationError(where, f"class {category} with {len(spans)} spans")
            if name in found:
                spans = AnnotationError(where, "annotated twice")
        except AnnotationError as error:
            spans = error
        found[name] = (where, category, spans)
    if not found:
        raise DataError(f"{path}: expected lines of <video> <class> start end start end, got none")
    return found


def _lengths(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise DataError(f"no lengths at {path}; expected a CSV with the columns name (or video, or path) and frames")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns, lines = rows.fieldnames or (), [(rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is not a CSV in UTF-8 ({error}); expected the columns name (or video, or path) and frames"
        ) from None
    key = next((c for c in ("name", "video", "path") if c in columns), None)
    if key is None or "frames" not in columns:
        raise DataError(
            f"{path}: expected the columns name (or video, or path) and frames, got "
            f"{','.join(columns) or 'an empty file'}"
        )
    found: dict[str, int] = {}
    for number, row in lines:
        name, frames = video_name(row[key] or ""), (row["frames"] or "").strip()
        if not name or not frames.isdecimal() or int(frames) == 0:
            raise DataError(
                f"{path}, line {number}: expected a video and its number of frames, got '{row[key] or ''}' and "
                f"'{frames}'"
            )
        if found.get(name, int(frames)) != int(frames):
            raise DataError(
                f"{path}, line {number}: {name} has {frames} frames here and {found[name]} further up; keep the "
                "right one"
            )
        found[name] = int(frames)
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- aligning ----------------------------------------------------------------------------------------------------


def _once(reader: _Reader, scored: list[_Scored]) -> Iterator[_Scored]:
    """The videos given once; of those given twice nobody knows which is meant."""
    times = Counter(one.name for one in scored)
    told: set[str] = set()
    for one in scored:
        if times[one.name] == 1:
            yield one
        elif one.name not in told:
            told.add(one.name)
            places = "; ".join(other.where for other in scored if other.name == one.name)
            reader.note("duplicate video", one.name, one.where, f"given {times[one.name]} times: {places}")


def _aligned(
    reader: _Reader,
    one: _Scored,
    annotation: tuple,
    length: int | None,
    lengths_given: bool,
    fps: float,
    slack: int | None,
) -> VideoScores | None:
    where, category, spans = annotation
    slack = one.slack if slack is None else slack
    fault = _fault(one, annotation)
    if fault:
        reader.note(*fault)
        return None
    values = one.over_frames()
    if length is not None and abs(length - one.frames) > slack:
        reader.note(
            "length differs",
            one.name,
            one.where,
            f"scores for {one.frames} frames, the video has {length}: a difference beyond the slack of {slack}",
        )
        return None
    end = one.frames if length is None else length
    if length is None and lengths_given:
        reader.note(
            "length unknown",
            one.name,
            one.where,
            f"not among the lengths given: its {one.frames} scored frames count",
            AS_SCORED,
        )
    past = max((stop for _, stop in spans), default=0) - end
    if past > slack:
        reader.note(
            "annotation past the end",
            one.name,
            where,
            f"ends {past} frames past the last of {end}, beyond the slack of {slack}",
        )
        return None
    if length is not None and length != one.frames:
        rule = "hold" if length > one.frames else "cut"
        values = values[np.minimum(np.arange(length), one.frames - 1)]
        reader.note(
            "length differs", one.name, one.where, f"scores for {one.frames} frames, the video has {length}", rule
        )
    if past > 0:
        reader.note("annotation past the end", one.name, where, f"ends {past} frames past the last of {end}", "clip")
    labels = np.zeros(end, np.uint8)
    for start, stop in spans:
        labels[start:stop] = 1
    index = np.append(0, np.flatnonzero(np.diff(values)) + 1)  # a score holds until it changes: nothing is lost
    return VideoScores(one.name, category, one.name, fps, index, values[index], labels)


def _fault(one: _Scored, annotation: tuple) -> tuple[str, str, str, str] | None:
    """What is wrong with a video's scores or its line, as the arguments of `note`."""
    where, category, spans = annotation
    unreal = np.flatnonzero(~np.isfinite(one.values))
    outside = np.flatnonzero((one.values < 0) | (one.values > 1))
    total = len(one.values)
    if len(unreal):
        return (
            "not a number",
            one.name,
            one.where,
            f"{len(unreal)} of {total} scores are not finite numbers, the first at position {unreal[0]}",
        )
    if len(outside):
        value = one.values[outside[0]]
        return (
            "out of range",
            one.name,
            one.where,
            f"{len(outside)} of {total} scores lie outside [0, 1], the first is {value:g} at position {outside[0]}",
        )
    if isinstance(spans, AnnotationError):
        return "malformed annotation", one.name, where, spans.what
    if one.category and one.category.lower() != category.lower():
        return "class differs", one.name, one.where, f"the scores say {one.category}, the annotation {category}"
    return None


def _faults(scores: Path, faults: list[Finding]) -> str:
    kinds: Mapping[str, int] = Counter(f.kind for f in faults)
    lines = [f"{f.kind}: {f.video}: {f.what} ({f.where})" for f in faults[:SHOWN]]
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    summary = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    return "\n  ".join(
        [
            f"{scores}: {len(faults)} faults ({summary}); mend them, or leave these videos out with --leave-out",
            *lines,
            *more,
        ]
    )
