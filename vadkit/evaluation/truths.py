"""What is true of each video that scores are evaluated on: its class, its anomalous spans, its length where known.

From a data set's public lists, from lines of text, or from labels of every frame.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError, shown
from vadkit.corpora.public_lists import listed
from vadkit.corpora.ucf_forms import VIDEO_SUFFIXES, category_of
from vadkit.corpora.vatic import merge, numbered_lines
from vadkit.corpora.video import NORMAL, Spans
from vadkit.evaluation.metrics import spans
from vadkit.evaluation.video_lists import cut_up, plain
from vadkit.views.segments import read_npy

EXPECTED = "lines of <video> <class, where given> start end start end ..., -1 for none"
UNKNOWN = "Anomaly"  # the class of an anomalous video that nothing names
XD_NAME = re.compile(r"_label_([A-Z]\d?)")
WHOLE = re.compile(r"-?\d{1,9}")
FILE = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))}))(?: (\S+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Truth:
    """fault: what is wrong with the annotation of this video, empty where nothing is. fps: None where nobody says."""

    where: str
    category: str
    spans: Spans
    fault: str = ""
    frames: int | None = None
    fps: float | None = None


def of_dataset(dataset: str, first_frame: int | None = None) -> dict[str, Truth]:
    """The test videos of a data set's public lists. Raises ConfigError for one that is not there.

    first_frame: reads the annotation with ends included and this number for the first frame, instead of as we do (1 of
    UCF-Crime, our reading; XD-Violence's from 0, half-open, as released evaluations slice it). LAVAD's evaluation, and
    those built on it, count from 0.
    """
    found = {}
    for one in listed(dataset).values():
        if one.split == "test":
            raw = [(a + (dataset == "ucf-crime"), b) for a, b in one.intervals or ()]
            kept = one.intervals or () if first_frame is None else _spans(raw, first_frame)
            found[one.name] = Truth(f"{dataset}'s list", one.category, kept, "", one.frames, one.fps)
    return found


def of_file(path: Path, first_frame: int | None, order: Mapping, lengths: Mapping[str, int]) -> dict[str, Truth]:
    """Lines of text, `.npy` labels of every frame in a folder, or one long array of them with the list of its videos.

    Lines: UCF-Crime's, with or without the class, any number of spans, parted by white space or commas; XD-Violence's,
    known by their names and read from 0, half-open. Raises DataError.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.npy"))
        arrays = {plain(f.stem): (str(f), read_npy(f)) for f in files}
        if len(arrays) < len(files):
            twice = Counter(plain(f.stem) for f in files).most_common(1)[0][0]
            raise DataError(f"{path}: two files have labels of {twice}; keep one")
    elif path.suffix == ".npy":
        arrays = {k: (str(path), v) for k, v in cut_up(read_npy(path), order, lengths, None, path).items()}
    elif os.path.isfile(path):
        return _lines(path, first_frame)
    else:
        raise DataError(f"no annotation {path}; expected {EXPECTED}, or .npy labels of every frame")
    if not arrays:
        raise DataError(f"{path}: expected <name>.npy files, one a video, with a label for each frame; there is none")
    return {name: _of_labels(name, *where_and_labels) for name, where_and_labels in arrays.items()}


def _of_labels(name: str, where: str, labels: np.ndarray) -> Truth:
    labels = np.squeeze(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "fiub" or not np.isin(labels, (0, 1)).all():
        got = f"shape {labels.shape} of {labels.dtype}"
        return Truth(where, UNKNOWN, (), f"expected a label of 0 or 1 for each frame, got {got}")
    found = spans(labels)
    category = _category(name, found)
    return Truth(where, category if found else NORMAL, tuple(found), "", len(labels))


def _lines(path: Path, first_frame: int | None) -> dict[str, Truth]:
    found: dict[str, Truth] = {}
    for number, line in numbered_lines(path):
        where, cells = f"{path}, line {number}", re.split(r"\s*[,;]\s*|\s+", line)
        numbers = list(takewhile(WHOLE.fullmatch, reversed(cells)))[::-1]
        head = " ".join(cells[: len(cells) - len(numbers)])
        of = FILE.fullmatch(head)  # a file's name may have blanks
        file, category = of.groups("") if of else [*head.rsplit(maxsplit=1), "", ""][:2]
        name, raw, fault = plain(file), [int(text) for text in numbers], ""
        pairs = [p for p in zip(raw[::2], raw[1::2], strict=False) if p != (-1, -1)]
        if not raw or len(raw) % 2:
            fault = f"expected {EXPECTED}, got {shown(line, 120)!r}"
        elif bad := [p for p in pairs if p[0] < 0 or p[1] < p[0]]:
            fault = f"expected -1 -1 or frames with 0 <= start <= end, got {bad[0][0]} {bad[0][1]}"
        category = (NORMAL if category.lower() == NORMAL.lower() else category) or _category(name, pairs)
        if not fault and bool(pairs) != (category != NORMAL):
            fault = f"class {category} with {len(pairs)} spans"
        sliced = XD_NAME.search(name) and first_frame is None
        kept = merge(pairs) if sliced else _spans(pairs, 1 if first_frame is None else first_frame)
        truth = Truth(where, category, () if fault else kept, "annotated twice" if name in found else fault)
        found[name] = truth
    if not found:
        raise DataError(f"{path}: expected {EXPECTED}, got none")
    return found


def _category(name: str, found: object) -> str:
    """The class that a name gives, where the annotation gives none; else whether there are spans."""
    if match := XD_NAME.search(name):
        return NORMAL if match[1] == "A" else match[1]
    return category_of(name) or (UNKNOWN if found else NORMAL)


def _spans(pairs, first_frame: int) -> Spans:
    return merge((max(a - first_frame, 0), b - first_frame + 1) for a, b in pairs)
