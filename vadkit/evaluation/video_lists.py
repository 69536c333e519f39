"""Videos by name: tables and lists of them with their lengths, and long arrays that are cut up by such a list."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError, reading, shown
from vadkit.corpora.ucf_forms import video_name
from vadkit.corpora.video import MOST_FRAMES, TABLE

NAMES = ("video", "name", "video_id", "path")
CLIPS = (16, 8, 32, 10, 64, 12, 24, 30)  # frames of a clip that are tried
# what released lists and arrays add to a video's name: a crop's number, what the file holds
DECIMAL = re.compile(r"^(-?\d+),(\d+(?:[eE]-?\d+)?)$")
ADDED = re.compile(r"(__\d{1,2})?(_gt|_pred|_scores?|_i3d|_c3d|_rgb)?$")


def cut_up(values: np.ndarray, order: Mapping, lengths: Mapping, every: int | None, path: Path) -> dict:
    """A long array as {video: its part}, by the list of its videos and their lengths: true ones, or whole clips only.

    Raises DataError where there is no list, a length is unknown, or no rule fits the array.
    """
    if not order:
        raise DataError(f"{path}: one array of many videos needs --list FILE, their names in its order, one a line")
    if unknown := [name for name, frames in order.items() if frames is None and name not in lengths]:
        raise DataError(f"{path}: no length of {', '.join(unknown[:3])}; give --dataset, or (name, frames) in --list")
    frames, values = np.array([lengths[n] if f is None else f for n, f in order.items()]), np.squeeze(values)
    rules = [frames // every, -(-frames // every)] if every else [frames, frames // 16 * 16]
    for counts in rules:
        if values.shape == (counts.sum(),):
            return dict(zip(order, np.split(values, np.cumsum(counts)[:-1]), strict=True))
    size = next((n for n in CLIPS if not every and values.size in (sum(frames // n), sum(-(-frames // n)))), None)
    remedy = f"; these are scores of {size}-frame clips: give --every {size}" if size else ""
    wanted = " or ".join(str(counts.sum()) for counts in rules)
    raise DataError(f"{path}: expected {wanted} numbers for {len(order)} videos, got shape {values.shape}{remedy}")


def read_lengths(path: Path, needed: bool = True) -> dict[str, int | None]:
    """The videos of a list in its order, with their frames: a table of name (or video, or path) and frames; where they
    are not `needed`, a name a line will do, and the ten lines of a video's crops are one. Raises DataError."""
    expected, found = "the columns name (or video, or path) and frames", {}
    rows = read_table(path, expected)
    head = rows[0][1] if rows else []
    key = next((head.index(name) for name in NAMES if name in head), None)
    if needed and (key is None or "frames" not in head):
        raise DataError(f"{path}: expected {expected}, got {','.join(head) or 'an empty file'}")
    place = head.index("frames") if "frames" in head else 1
    for number, row in rows[key is not None :]:
        text = row[key or 0] if (key or 0) < len(row) else ""
        name, frames = plain(text), row[place] if place < len(row) else ""
        if not name or (needed or frames) and not (frames.isdecimal() and 0 < float(frames) <= MOST_FRAMES):
            got = f"'{shown(text, 80)}' and '{shown(frames, 80)}'"
            raise DataError(f"{path}, line {number}: expected a video and its number of frames, got {got}")
        count = int(frames) if frames else None
        if found.setdefault(name, count) != count or not needed and name != next(reversed(found)):
            both = f"{name} has {count} frames here and {found[name]} further up"
            twice = f"{name} stands further up already"
            raise DataError(f"{path}, line {number}: {both if found[name] != count else twice}; keep the right one")
    return found


def read_table(path: Path, expected: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each row that is not empty; decimal commas, where they part no cells, become points."""
    with reading(path, TABLE, f"give {expected}"), open(path, newline="", encoding="utf-8-sig") as file:
        parts = max("\t;,", key=file.readline().count)
        file.seek(0)
        rows = csv.reader(file, delimiter=parts)
        found = [(rows.line_num, [cell.strip().removeprefix("\ufeff") for cell in row]) for row in rows]
    if parts != ",":
        found = [(number, [DECIMAL.sub(r"\1.\2", cell) for cell in row]) for number, row in found]
    return [(number, row) for number, row in found if any(row)]


def plain(text: object) -> str:
    """A video's name without folder, suffix, and what released lists add to it."""
    return ADDED.sub("", video_name(str(text).removesuffix(".npy"))).removesuffix("_x264")
