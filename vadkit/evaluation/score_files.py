"""Scores as people store them, each layout brought to one form: the frames from which each score holds.

| layout | files |
| --- | --- |
| a score for each frame, or each N frames (`every`) | .npy, .mat, .json or .csv a video, in folders; a .json of all; one long .npy with a list of its videos |
| equal segments | a table, one row a video: name, class (where given), frames, scores; 32 scores a video of known length |
| scores at frames | (video, frame, score) in a table; {frame: score} in .json; what `vadkit score --csv` writes |
| events | (start, end, score) in a table or .json, {"start, end": score}; frames of no event have score 0 |

A table has commas, semicolons or tabs, with decimal commas where those do not part its cells. Pickles are never read.
"""  # noqa: E501

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError, reading, shown
from vadkit.corpora.video import MOST_FRAMES, Problem
from vadkit.evaluation.video_lists import NAMES, cut_up, plain, read_table
from vadkit.views.segments import read_npy

SEGMENTS = 32  # scores a video of Sultani et al.
KINDS = (".npy", ".json", ".mat", ".csv", ".tsv")  # of a folder
SCORES = ("score", "confidence", "scores", "frame_scores", "segment_scores", "segment_scores_smooth", "predictions")
WHOLE = ("video_score", "video_anomaly_score")
CLASSES = ("class", "category", "category_label")
PER_FRAME = "a score for each frame"


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


@dataclass(frozen=True, eq=False)
class Scored:
    """One video's scores as given: `values` (n,), each from its frame in `starts` (n,) on, rising from 0.

    frames: how many they stand for; step: frames of one score; loose: by how many a layout's end is uncertain by itself
    (a clip that is cut, an end that counts or not). category: empty where the file has none.
    """

    name: str
    where: str
    category: str
    starts: np.ndarray
    values: np.ndarray
    frames: int
    step: int
    layout: str
    loose: int = 0


class Reader:
    """Reads scores for videos whose lengths may be known. every: frames of one score in layouts that do not say."""

    def __init__(self, lengths: Mapping[str, int], every: int | None, order: Mapping[str, int | None], whole: bool):
        self.lengths, self.every, self.order, self.whole = lengths, every, order, whole

    def read(self, path: Path) -> Iterator[Scored | Finding]:
        """The scores in a file or folder, a video at a time. Raises DataError where nothing in it can be read."""
        if path.is_dir():
            yield from self._folder(path)
        elif path.suffix == ".npy":
            for name, values in cut_up(read_npy(path), self.order, self.lengths, self.every, path).items():
                yield self._one(name, str(path), values)
        elif path.suffix == ".json":
            for name, content, category in self._named(path):
                yield self._one(name, f"{path}, {shown(name, 80)}", content, category)
        else:
            yield from self._table(path)

    def _folder(self, path: Path) -> Iterator[Scored | Finding]:
        files = [f for f in sorted(path.rglob("*")) if f.is_file() and not f.name.startswith(".")]
        kinds = Counter(f.suffix for f in files if f.suffix in KINDS)
        if len(kinds) != 1:
            got = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "there is none"
            raise DataError(f"{path}: expected <name>.npy files, or {', '.join(KINDS[1:])}, of one kind; {got}")
        for file in files:
            name, where = plain(file.stem), str(file)
            try:
                if file.suffix not in kinds:
                    yield Finding("other file", file.name, where, "no scores by its name", "not read")
                elif file.suffix in (".csv", ".tsv"):
                    yield from self._table(file, name)
                else:
                    yield self._one(name, where, {".npy": read_npy, ".json": _json, ".mat": _mat}[file.suffix](file))
            except DataError as error:
                yield Finding("malformed file", name, where, str(error))

    def _named(self, path: Path) -> Iterator[tuple[str, object, str]]:
        """(video, its scores, its class) out of one JSON file of all."""
        content, wanted = _json(path), WHOLE if self.whole else SCORES
        expected = f"{path}: expected {{video: scores}}, or records of a video's name and {', '.join(wanted)}"
        if isinstance(content, dict):
            content = content.get("vid_score", content)  # VADTree's
            content = [{"video": name, wanted[0]: scores} for name, scores in content.items()]
        if not isinstance(content, list) or not content:
            raise DataError(f"{expected}; got {'none' if isinstance(content, list) else type(content).__name__}")
        events: dict[str, list] = {}
        for number, one in enumerate(content, 1):
            found = one if isinstance(one, dict) else {}
            keys = [next((k for k in some if k in found), None) for some in (NAMES, wanted, CLASSES)]
            if None in keys[:2]:
                raise DataError(f"{expected}; record {number} is {shown(one, 200)}")
            name, scores, category = (one.get(k, "") for k in keys)
            if {"start", "end"} <= {*one}:
                events.setdefault(plain(name), []).append([one["start"], one["end"], scores])
            else:
                yield plain(name), [[0, scores]] if self.whole else scores, str(category)
        yield from ((name, rows, "") for name, rows in events.items())

    def _one(self, name: str, where: str, content: object, category="") -> Scored | Finding:
        """One video's scores: a vector, {frame: score}, [[start, end, score]] or {"start, end": score}."""
        if isinstance(content, dict):
            firsts = [x[0] if isinstance(x, list) and x else x for x in content.values()]
            content = [
                [*re.findall(r"(?<![\d.])-?\d+(?:\.\d+)?", key), x] for key, x in zip(content, firsts, strict=True)
            ]
        if isinstance(content, list) and content and all(isinstance(row, list) for row in content):
            return self._placed(name, where, [[_number(x) for x in row] for row in content], category)
        values = np.array([_number(x) for x in content]) if isinstance(content, list) else np.asarray(content)
        if values.ndim == 2 and 1 in values.shape:
            values = values.reshape(-1)
        every, count, known = self.every or 1, values.size, self.lengths.get(name, 0)
        if values.ndim != 1 or not 0 < count * every <= MOST_FRAMES or values.dtype.kind not in "fiub":
            what = f"expected a vector of numbers, one a frame, got shape {values.shape} of {values.dtype}"
            return Finding("malformed file", name, where, what)
        values = values.astype(np.float64)
        if count == SEGMENTS and not self.every and known >= 2 * SEGMENTS:
            return _segments(name, where, category, known, values)
        if where.endswith(".mat") and not self.every and not known:
            what = f"{count} scores of segments, and no length of the video; give --dataset or --frames"
            return Finding("length unknown", name, where, what)
        layout = f"a score for each {every} frames" if self.every else PER_FRAME
        return Scored(
            name, where, category, np.arange(count) * every, values, count * every, every, layout, loose=every - 1
        )

    def _placed(self, name: str, where: str, rows: list[list[float]], category: str) -> Scored | Finding:
        """Scores at frames (frame, score), or of events (start, end, score)."""
        width = len(rows[0])
        for row in rows:
            whole = all(0 <= x <= MOST_FRAMES and x == int(x) for x in row[:-1])
            if width not in (2, 3) or len(row) != width or not whole or list(row[:-1]) != sorted(row[:-1]):
                what = f"expected (frame, score) or (start, end, score), got {row}"
                return Finding("malformed row", name, where, what)
        rows, known = sorted(rows), self.lengths.get(name)
        if width == 3 and rows[0][0] > 0:
            rows.insert(0, [0, rows[0][0], 0.0])
        table = np.array(rows)
        starts, values = table[:, 0].astype(int), table[:, -1]
        if (twice := np.flatnonzero(np.diff(starts) == 0)).size:
            return Finding("duplicate frame", name, where, f"two scores hold from frame {starts[twice[0]]}; keep one")
        if width == 2:
            step = int(np.median(np.diff(starts))) if len(starts) > 1 else known or 1
            layout = "a score at some frames, each held until the next"
            return Scored(name, where, category, starts, values, int(starts[-1]) + step, step, layout, loose=step)
        ends = table[:, 1].astype(
            int
        )  # they may count or not: two events overlap, or leave a gap, by more than a frame
        after = np.append(starts[1:], known or ends[-1])
        if (over := np.flatnonzero(ends[:-1] > after[:-1] + 1)).size:
            return Finding("malformed events", name, where, f"events overlap at frame {ends[over[0]]}; cut them")
        quiet = ends[ends + 1 < after]
        starts, values = np.append(starts, quiet), np.append(values, np.zeros(len(quiet)))
        order, layout = np.argsort(starts), "a score for each event, 0 between events"
        last = max(int(ends[-1]), known or 0)
        return Scored(name, where, category, starts[order], values[order], last, 1, layout, loose=1)

    def _table(self, path: Path, name: str = "") -> Iterator[Scored | Finding]:
        """A table of all videos, or of the one `name`."""
        expected = "one row a video: name, class (where given), frames, segment scores"
        rows = read_table(path, expected)
        head = [cell.lower() for cell in rows[0][1]] if rows else []
        if {"frames", "frame", "start", *SCORES, *NAMES}.intersection(head):
            rows = rows[1:]
        else:
            head = []
        if not rows:
            raise DataError(f"{path}: expected {expected}; got none")
        width = Counter(len(row) for _, row in rows).most_common(1)[0][0]
        find = [next((head.index(k) for k in some if k in head), None) for some in (NAMES, ["start"], ["end"], SCORES)]
        frame = head.index("frame") if "frame" in head else None
        columns = [k for k in ([frame] if None in find[1:3] else find[1:3]) if k is not None]
        if columns and find[3] is not None and (name or find[0] is not None):
            key, columns = find[0], [*columns, find[3]]
        elif name and width <= 3:  # scores, (frame, score) or (start, end, score)
            key, columns = None, list(range(width))
        elif width in (3, 4) and not head and len({row[0] for _, row in rows}) < len(rows):
            key, columns = 0, list(range(1, width))
        else:
            key, columns = 0, []
        grouped: dict[str, list] = {}
        for number, row in rows:
            mine, where = name if key is None else plain(row[key]) if key < len(row) else "", f"{path}, line {number}"
            if len(row) != width:
                what = f"expected {width} columns as most rows have, got {len(row)}"
                yield Finding("malformed row", mine, where, what)
            elif not columns:
                yield _segment_row(mine, where, row)
            else:
                cells = [row[k] for k in columns]
                grouped.setdefault(mine, []).append(cells if len(cells) > 1 else cells[0])
        for one, cells in grouped.items():
            yield self._one(one, str(path), cells)


def _segment_row(name: str, where: str, row: list[str]) -> Scored | Finding:
    has_class = int(len(row) > 1 and np.isnan(_number(row[1])))
    length, cells = "".join(row[1 + has_class : 2 + has_class]), row[2 + has_class :]
    frames = _number(length)
    if not cells or not len(cells) <= frames <= MOST_FRAMES or frames != int(frames):
        what = f"expected up to {MOST_FRAMES} frames, at least its {len(cells)} segments, got '{shown(length, 80)}'"
        return Finding("malformed row", name, where, what)
    return _segments(name, where, row[1] * has_class, int(frames), np.array([_number(cell) for cell in cells]))


def _segments(name: str, where: str, category: str, frames: int, values: np.ndarray) -> Scored:
    count = len(values)
    starts = -(-np.arange(count) * frames // count)
    return Scored(name, where, category, starts, values, frames, -(-frames // count), f"{count} equal segments a video")


def _number(cell: object) -> float:
    """The number in a cell; NaN for none."""
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _json(path: Path) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict:
        if twice := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
            raise DataError(f"{path}: '{shown(twice[0], 80)}' is given twice; keep one")
        return dict(pairs)

    with reading(path, "JSON in UTF-8", "give scores as `vadkit evaluate --help` lists them"):
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)


def _mat(path: Path) -> np.ndarray:
    """The one array of a MATLAB file, or `predictions` or `scores` among several. Raises DataError."""
    from scipy.io import loadmat

    with reading(path, "a MATLAB file of numbers (up to version 7)"):
        arrays = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    name = next((key for key in (*SCORES, *arrays) if key in arrays), None)
    if name is None or len(arrays) > 1 and name not in SCORES:
        raise DataError(f"{path}: expected one array, or one named predictions; got {', '.join(arrays) or 'none'}")
    return arrays[name]
