"""Scores as people store them, each layout brought to one form: the frames from which each score holds.

| layout | files |
| --- | --- |
| a score for each frame, or each N frames (`every`) | .npy, .mat, .json or .csv a video, in folders; a .json of all; one long .npy with a list of its videos |
| equal segments | a table, one row a video: name, class (where given), frames, scores; 32 scores a video of known length |
| scores at frames | (video, frame, score) in a table; {frame: score} in .json; what `vadkit score --csv` writes |
| events | (start, end, score) in a table or .json, {"start, end": score}; frames of no event have score 0 |

A table has commas, semicolons or tabs, with decimal commas where those do not part its cells. Pickles are never read.
"""  # noqa: E501

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError, reading, shown
from vadkit.corpora.ucf_crime import video_name
from vadkit.corpora.video import MOST_FRAMES, TABLE, Problem
from vadkit.views.segments import read_npy

SEGMENTS = 32  # scores a video of Sultani et al.
TABLES = (".csv", ".tsv", ".txt")
FOLDER_KINDS = ((".npy",), (".json",), (".mat",), TABLES[:2])
NAMES = ("video", "name", "video_id", "path")
SCORES = ("score", "confidence", "scores", "frame_scores", "segment_scores", "segment_scores_smooth", "predictions")
WHOLE = ("video_score", "video_anomaly_score")
PER_FRAME = "a score for each frame"
# what released lists and arrays add to a video's name: a crop's number, what the file holds
ADDED = re.compile(r"(__\d{1,2})?(_gt|_pred|_scores?|_i3d|_c3d|_rgb)?$")


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

    frames: how many frames they stand for; step: frames of one score; loose: by how many frames a layout's end is
    uncertain by itself (a clip that is cut, an end that counts or not). category: empty where the file has none.
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
                yield self._vector(name, str(path), values)
        elif path.suffix == ".json":
            yield from self._json(path)
        else:
            yield from self._table(path)

    def _folder(self, path: Path) -> Iterator[Scored | Finding]:
        files = [f for f in sorted(path.rglob("*")) if f.is_file() and not f.name.startswith(".")]
        kinds = {kind: some for kind in FOLDER_KINDS if (some := [f for f in files if f.suffix in kind])}
        if len(kinds) != 1:
            got = ", ".join(f"{len(some)} {kind[0]}" for kind, some in kinds.items()) or "there is none"
            expected = "expected <name>.npy files, or .json, .csv or .mat, of one kind, one a video"
            raise DataError(f"{path}: {expected}; {got}")
        (mine,) = kinds.values()
        for other in (f for f in files if f not in mine):
            yield Finding("other file", other.name, str(other), "no scores by its name", "not read")
        for file in mine:
            name = plain(file.stem)
            try:
                if file.suffix in TABLES:
                    yield from self._table(file, name)
                elif file.suffix == ".json":
                    yield self._item(name, str(file), _load_json(file))
                else:
                    read = read_npy if file.suffix == ".npy" else _read_mat
                    yield self._vector(name, str(file), read(file), file.suffix == ".mat")
            except DataError as error:
                yield Finding("malformed file", name, str(file), str(error))

    def _vector(self, name: str, where: str, values, segments=False, category="") -> Scored | Finding:
        """A score for each frame, each clip (`every`) or, of SEGMENTS scores, each equal segment."""
        values = np.asarray(values)
        if values.ndim == 2 and 1 in values.shape:
            values = values.reshape(-1)
        count, known = len(values) if values.ndim else 0, self.lengths.get(name)
        if values.ndim != 1 or not 0 < count * (self.every or 1) <= MOST_FRAMES or values.dtype.kind not in "fiub":
            what = f"expected a vector of numbers, one a frame, got shape {values.shape} of {values.dtype}"
            return Finding("malformed file", name, where, what)
        values = values.astype(np.float64)
        if self.every:
            layout = f"a score for each {self.every} frames"
            starts = np.arange(count) * self.every
            return Scored(name, where, category, starts, values, count * self.every, self.every, layout, self.every - 1)
        if count == SEGMENTS and known and known >= 2 * SEGMENTS:
            return _equal_segments(name, where, category, known, values)
        if segments:
            what = f"{count} scores of segments, and no length of the video; give --dataset or --frames"
            return Finding("length unknown", name, where, what)
        return Scored(name, where, category, np.arange(count), values, count, 1, PER_FRAME)

    def _json(self, path: Path) -> Iterator[Scored | Finding]:
        content = _load_json(path)
        expected = "expected {video: scores}, or a list of records with a video's name and its scores"
        if isinstance(content, dict):
            content = content.get("vid_score", content)  # VADTree's
            named = [(plain(name), item, "") for name, item in content.items()]
        elif isinstance(content, list) and all(isinstance(one, dict) for one in content):
            named = list(self._records(content, path, expected))
        else:
            raise DataError(f"{path}: {expected}; got {type(content).__name__}")
        if not named:
            raise DataError(f"{path}: {expected}; got none")
        for name, item, category in named:
            yield self._item(name, f"{path}, {shown(name, 80)}", item, category)

    def _records(self, records: list[dict], path: Path, expected: str) -> Iterator[tuple[str, object, str]]:
        events: dict[str, list] = {}
        for number, one in enumerate(records, 1):
            name = next((str(one[key]) for key in NAMES if key in one), "")
            key = next((key for key in (WHOLE if self.whole else SCORES) if key in one), None)
            if not name or key is None:
                got = f"record {number} has {', '.join(map(str, one))}"
                raise DataError(f"{path}: {expected} ({', '.join(WHOLE if self.whole else SCORES)}); {shown(got, 200)}")
            if "start" in one and "end" in one:
                events.setdefault(plain(name), []).append([one["start"], one["end"], one[key]])
            else:
                item = {"0": one[key]} if self.whole else one[key]
                yield plain(name), item, str(one.get("category_label", one.get("class", "")))
        yield from ((name, item, "") for name, item in events.items())

    def _item(self, name: str, where: str, item: object, category="") -> Scored | Finding:
        """One video's scores out of JSON: [score], {frame: score}, [[start, end, score]], {"start, end": score}."""
        if isinstance(item, dict):
            rows = [[*re.findall(r"\d+(?:\.\d+)?", key), _first(value)] for key, value in item.items()]
        elif isinstance(item, list) and item and all(isinstance(one, (dict, list)) for one in item):
            rows = [[one.get(k) for k in ("start", "end", "score")] if isinstance(one, dict) else one for one in item]
        elif isinstance(item, list):
            return self._vector(name, where, [_number(one, True) for one in item], category=category)
        else:
            return Finding("malformed scores", name, where, f"expected scores, got {shown(item, 80)}")
        return self._placed(name, where, rows, category)

    def _placed(self, name: str, where: str, rows: list[list], category="") -> Scored | Finding:
        """Scores at frames (frame, score), or of events (start, end, score); cells may be text."""
        width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
        placed = [[_number(cell, True) for cell in row] for row in rows]
        ok = [len(p) == width and all(0 <= x <= MOST_FRAMES and x == int(x) for x in p[:-1]) for p in placed]
        if width not in (2, 3) or not all(ok):
            got = shown(rows[ok.index(False)] if False in ok else rows, 80)
            return Finding("malformed row", name, where, f"expected (frame, score) or (start, end, score), got {got}")
        table = np.array(sorted(placed), np.float64)
        starts, values, twice = table[:, 0].astype(int), table[:, -1], np.flatnonzero(np.diff(table[:, 0]) == 0)
        if width == 2:
            if twice.size:
                return Finding("duplicate frame", name, where, f"frame {starts[twice[0]]} has two scores; keep one")
            step = int(np.median(np.diff(starts))) if len(starts) > 1 else self.lengths.get(name, 1)
            layout = "a score at some frames, each held until the next"
            return Scored(name, where, category, starts, values, int(starts[-1]) + step, step, layout, step)
        ends = table[:, 1].astype(int)
        over = np.flatnonzero((ends[:-1] > starts[1:] + 1) | (starts[:-1] == starts[1:]))
        if (ends < starts).any() or over.size:
            what = "an event ends before it starts" if (ends < starts).any() else f"events overlap at {ends[over[0]]}"
            return Finding("malformed events", name, where, what)
        after = np.append(starts[1:], self.lengths.get(name, ends[-1]))
        gaps = ends + 1 < after  # ends may count or not: a gap is of two frames or more
        starts = np.concatenate([[0] if starts[0] else [], starts, ends[gaps]]).astype(int)
        values = np.concatenate([[0] if table[0, 0] else [], values, np.zeros(gaps.sum())])
        order = np.argsort(starts, kind="stable")
        frames = max(int(ends[-1]), self.lengths.get(name, 0))
        layout = "a score for each event, 0 between events"
        return Scored(name, where, category, starts[order], values[order], frames, 1, layout, 1)

    def _table(self, path: Path, name: str = "") -> Iterator[Scored | Finding]:
        """A table of all videos, or of the one `name`."""
        expected = "one row a video: name, class (where given), frames, segment scores"
        rows, point = read_table(path, expected)
        head = [cell.lower() for cell in rows[0][1]] if rows else []
        titled = bool({"frames", "frame", "start", *SCORES, *NAMES}.intersection(head))
        head, rows = (head, rows[1:]) if titled else ([], rows)
        if not rows:
            raise DataError(f"{path}: expected {expected}; got none")
        place = ["start", "end"] if {"start", "end"} <= {*head} else ["frame"]
        score = next((key for key in SCORES if key in head), None)
        video = next((key for key in NAMES if key in head), None)
        width = Counter(len(row) for _, row in rows).most_common(1)[0][0]
        if score and {*place} <= {*head} and (video or name):
            columns = [head.index(key) for key in (*place, score)]
            key = head.index(video) if video else None
        elif name and width <= 3:  # a file of one video: scores, or (frame, score), or (start, end, score)
            columns, key = list(range(width)), None
        elif width in (3, 4) and not head and len({row[0] for _, row in rows}) < len(rows):
            columns, key = list(range(1, width)), 0
        else:
            yield from _segment_rows(path, rows, width, point)
            return
        grouped: dict[str, list] = {}
        for number, row in rows:
            if len(row) != width:
                what = f"expected {width} columns as most rows have, got {len(row)}"
                yield Finding("malformed row", name or plain(row[0]), f"{path}, line {number}", what)
                return
            cells = [row[k].replace(",", ".") if point else row[k] for k in columns]
            grouped.setdefault(name if key is None else plain(row[key]), []).append(cells)
        for one, cells in grouped.items():
            if len(columns) == 1:
                yield self._vector(one, str(path), [_number(cell, True) for (cell,) in cells])
            else:
                yield self._placed(one, str(path), cells)


def _segment_rows(path: Path, rows, width: int, point: bool) -> Iterator[Scored | Finding]:
    for number, row in rows:
        name, where = video_name(row[0]), f"{path}, line {number}"
        has_class = len(row) > 1 and _number(row[1], point) is None
        length, cells = "".join(row[1 + has_class : 2 + has_class]), row[2 + has_class :]
        frames = _number(length, point)
        if len(row) != width or not cells:
            what = f"expected {width} columns as most rows have, and segment scores among them; got {len(row)}"
            yield Finding("malformed row", name, where, what)
        elif frames is None or not len(cells) <= frames <= MOST_FRAMES or frames != int(frames):
            what = f"expected up to {MOST_FRAMES} frames, at least its {len(cells)} segments, got '{shown(length, 80)}'"
            yield Finding("malformed row", name, where, what)
        else:
            values = np.array([_number(cell, point) for cell in cells], np.float64)  # NaN for what is no number
            yield _equal_segments(name, where, row[1] if has_class else "", int(frames), values)


def _equal_segments(name: str, where: str, category: str, frames: int, values: np.ndarray) -> Scored:
    starts = -(-np.arange(len(values)) * frames // len(values))
    layout = f"{len(values)} equal segments a video"
    return Scored(name, where, category, starts, values, frames, -(-frames // len(values)), layout)


def cut_up(values: np.ndarray, order: Mapping, lengths: Mapping, every: int | None, path: Path) -> dict:
    """A long array as {video: its part}, by the list of its videos and their lengths: true ones, or whole clips only.

    Raises DataError where there is no list, a length is unknown, or no rule fits the array.
    """
    if not order:
        raise DataError(f"{path}: one array of many videos needs --list FILE, their names in its order, one a line")
    if unknown := [name for name, frames in order.items() if frames is None and name not in lengths]:
        raise DataError(f"{path}: no length of {', '.join(unknown[:3])}; give --dataset, or (name, frames) in --list")
    frames, values = np.array([lengths[n] if f is None else f for n, f in order.items()]), np.squeeze(values)
    clip = every or 16
    rules = [frames // clip, -(-frames // clip)] if every else [frames, frames // clip * clip]
    for counts in rules:
        if values.shape == (counts.sum(),):
            return dict(zip(order, np.split(values, np.cumsum(counts)[:-1]), strict=True))
    fits = next((n for n in (16, 8, 32, 10) if len(values) in (np.sum(frames // n), np.sum(-(-frames // n)))), None)
    remedy = f"; these are scores of {fits}-frame clips: give --every {fits}" if fits and not every else ""
    wanted = " or ".join(str(counts.sum()) for counts in rules)
    raise DataError(f"{path}: expected {wanted} numbers for {len(order)} videos, got shape {values.shape}{remedy}")


def read_order(path: Path) -> dict[str, int | None]:
    """The videos of a long array in its order: a name a line, with its frames where given; lines of crops are one."""
    rows, _ = read_table(path, "a video a line, or the columns name and frames")
    found: dict[str, int | None] = {}
    for number, (first, *rest) in rows:
        if number == 1 and first.lower() in NAMES:
            continue
        name, last = plain(first.split()[0] if not rest else first), rest[-1] if rest else ""
        frames = int(last) if last.isdecimal() and 0 < int(last) <= MOST_FRAMES else None
        if name in found and name != next(reversed(found)):
            raise DataError(f"{path}, line {number}: {name} stands further up already; keep one")
        found[name] = frames
    if not found:
        raise DataError(f"{path}: expected a video a line, got none")
    return found


def read_table(path: Path, expected: str) -> tuple[list[tuple[int, list[str]]], bool]:
    """((line number, cells) of each row that is not empty, whether a decimal comma may stand in them)."""
    with reading(path, TABLE, f"give {expected}"), open(path, newline="", encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "")
        file.seek(0)
        parts = max("\t;,", key=first.count)
        rows = csv.reader((line.removeprefix("\ufeff") for line in file), delimiter=parts)
        found = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    return [(number, row) for number, row in found if any(row)], parts != ","


def plain(text: str) -> str:
    """A video's name without folder, suffix, and what released lists add to it."""
    return ADDED.sub("", video_name(str(text).removesuffix(".npy"))).removesuffix("_x264")


def _number(cell: object, point: bool = False) -> float | None:
    """The number in a cell; None for none (NaN as an array's). point: a decimal comma counts."""
    try:
        return float(cell.replace(",", ".") if point and isinstance(cell, str) else cell)
    except (TypeError, ValueError):
        return None


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _load_json(path: Path) -> object:
    def once(pairs: Iterable[tuple[str, object]]) -> dict:
        found = dict(pairs := list(pairs))
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise DataError(f"{path}: '{shown(twice, 80)}' is given twice; keep one")
        return found

    with reading(path, "JSON in UTF-8", "give scores as `vadkit evaluate --help` lists them"):
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)


def _read_mat(path: Path) -> np.ndarray:
    """The one array of a MATLAB file, or `predictions` or `scores` among several. Raises DataError."""
    from scipy.io import loadmat

    with reading(path, "a MATLAB file of numbers (up to version 7)"):
        arrays = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    name = next((key for key in SCORES if key in arrays), None)
    if name is None and len(arrays) != 1:
        raise DataError(f"{path}: expected one array, or one named predictions; got {', '.join(arrays) or 'none'}")
    return arrays[name] if name else next(iter(arrays.values()))
