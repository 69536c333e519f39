"""Any collection of labelled clips: `<data_root>/<class>/<clip>`, or a `clips.csv` that lists them.

A clip is a video file or a folder of pictures, read at `config.picture_fps`.

Every video has the split "all": there are no official lists, so `splits.grouped_folds` cuts folds by source. Without a
CSV folds are by clip, and a score is too good wherever a recording was cut (the corpus says so in its problems).
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vadkit.core.config import Config, resolve
from vadkit.core.container import PICTURES, pictures_in
from vadkit.core.errors import AnnotationError, DataError, few, reading, shown
from vadkit.core.progress import Progress
from vadkit.corpora import vatic
from vadkit.corpora.ucf_forms import VIDEO_SUFFIXES
from vadkit.corpora.video import MOST_FRAMES, NORMAL, TABLE, Corpus, Findings, Video

LIST = "clips.csv"
NO_CLIPS = {LIST, "LICENSE", "README.md", "README.txt", "README"}  # and nobody takes them for one
COLUMNS = ("path", "label", "source", "start", "end", "category")
NEGATIVE_NAMES = {*"negative negatives background nonviolent nonviolence noviolence nofight nonfight noanomaly".split()}
BY_CLIP = "each clip is its own source and folds are by clip; cuts of one recording may stand on both sides"
EXPECTED = f"""expected either
  <data_root>/<class>/<clip>.mp4 with one folder of normal clips (named Normal..., noFight, NonViolence, negative, ...),
  or <data_root>/{LIST} with the columns path,label and, where known, source,start,end,category: label 0 is normal,
  1 anomalous; start,end are frame numbers from 0, end not included; a clip with several spans has several lines"""


def load(config: Config, progress: Progress | None = None) -> Corpus:
    """The labelled clips below `config.data_root`; spans are None (all is anomalous) unless the CSV has some.

    Raises DataError where nothing usable is found, where no class or no anomalous class can be told from the folders'
    names, and under `config.strict` for the first clip that is left out.
    """
    root = Path(os.path.normpath(resolve(config.data_root)))
    if not root.is_dir():
        raise DataError(f"data_root: {root} is not a folder; {EXPECTED}")
    reader, listed = _Reader(root, config.strict), root / LIST
    found, passed_over = clips_in(root)
    clips = list(reader.named(found))
    if not clips and not listed.is_file():
        raise DataError(f"{root}: no clips found; {EXPECTED}")
    if passed_over:
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in passed_over.most_common())
        reader.note(root, f"passed over as no video: {kinds}")
    videos = reader.from_csv(listed, clips) if listed.is_file() else reader.from_folders(clips)
    kinds = {v.label for v in videos}
    if len(kinds) < 2:
        missing = "normal" if 1 in kinds else "anomalous" if kinds else "usable"
        first = next((f"; the first problem: {p.where}: {p.what}" for p in reader.problems if p.left_out), "")
        raise DataError(f"{root}: no {missing} clip, so there is nothing to tell apart{first}; {EXPECTED}")
    return Corpus("folder", tuple(videos), tuple(reader.problems))


def is_normal(folder: str, others: Iterable[str] = ()) -> bool:
    """Whether a class folder's name says that nothing anomalous happens: Normal..., noFight, non_violence, or `no`
    in front of another class folder's name (noTheft beside Theft)."""
    plain, *others = (re.sub(r"[^a-z0-9]", "", name.lower()) for name in (folder, *others))
    negated = {no + other for no in ("no", "non", "not") for other in others if other}
    return plain.startswith("normal") or plain in NEGATIVE_NAMES | negated


def clips_in(root: Path) -> tuple[list[Path], Counter[str]]:
    """The clips below a folder, and how many other files there are, by suffix."""
    clips, others = [], Counter()
    for folder, below, files in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if len(Path(folder).relative_to(root).parts) > 8:  # a link back up; no real tree is that deep
            raise DataError(f"{folder}: folders nest more than 8 deep; a link may lead back up: remove it")
        kinds = [
            (name, Path(name).suffix.lower()) for name in files if not name.startswith(".") and name not in NO_CLIPS
        ]
        videos = [Path(folder, name) for name, kind in kinds if kind in VIDEO_SUFFIXES]
        pictures = [] if videos else [name for name, kind in kinds if kind in PICTURES]
        taken = VIDEO_SUFFIXES | (PICTURES if len(pictures) > 1 else set())  # one alone is no video
        clips += [*videos, *([Path(folder)] if len(pictures) > 1 else [])]
        others.update(kind for _, kind in kinds if kind not in taken)
    return sorted(clips), others


@dataclass
class _Row:
    """One clip of the CSV; several lines may have added spans."""

    path: Path
    where: str
    label: int
    source: str
    category: str
    spans: list[tuple[int, int]]


class _Reader(Findings):
    def from_folders(self, clips: list[Path]) -> list[Video]:
        classes = {path.relative_to(self.root).parts[0] for path in clips if path.parent != self.root}
        if not any(is_normal(name, classes) for name in classes):
            names = ", ".join(few(sorted(classes))) or "there is none"
            raise DataError(f"{self.root}: none of the class folders ({names}) is told to be normal; {EXPECTED}")
        videos: dict[str, Video] = {}
        for path in clips:
            if path.parent == self.root:
                self.leave_out(path, "expected the clip in its class's folder, got it beside the folders")
                continue
            folder = path.relative_to(self.root).parts[0]
            name, normal = self._name(path), is_normal(folder, classes)
            video = Video(name, path, NORMAL if normal else folder, "all", name, () if normal else None)
            self._add(videos, str(path), video)
        self.note(self.root, f"no {LIST} with sources: {BY_CLIP}")
        return self.each_once(videos.values())

    def from_csv(self, listed: Path, clips: list[Path]) -> list[Video]:
        rows, has_sources = self._rows(listed)
        folders = {row.path.parent.name for row in rows}
        videos: dict[str, Video] = {}
        for row in rows:
            folder = row.path.parent.name if row.path.parent != self.root else ""
            if not (os.path.isfile(row.path) or os.path.isdir(row.path) and pictures_in(row.path)):
                self.leave_out(row.where, f"listed clip {row.path} does not exist; add it, or take its line out")
            elif row.label and not row.category and folder and is_normal(folder, folders):
                contradicted = f"label 1 contradicts the folder {folder}, whose name says normal"
                self.leave_out(row.where, f"{contradicted}; correct one of them, or give a category")
            elif not row.label and row.spans:
                contradicted = "label 0 contradicts the anomalous span start,end on the same clip"
                self.leave_out(row.where, f"{contradicted}; correct one of them")
            else:
                category = (row.category or folder or "Anomaly") if row.label else NORMAL
                spans = (vatic.merge(row.spans) or None) if row.label else ()
                name = self._name(row.path)
                self._add(videos, row.where, Video(name, row.path, category, "all", row.source or name, spans))
        if extra := set(clips) - {row.path for row in rows}:
            self.note(listed, f"{len(extra)} clips in the folders are not listed and not used, the first: {min(extra)}")
        if not has_sources:
            self.note(listed, f"no column source: {BY_CLIP}")
        elif unsourced := sum(not row.source for row in rows):
            self.note(listed, f"{unsourced} clips have no source; each of them is its own")
        return list(videos.values())

    def _rows(self, listed: Path) -> tuple[list[_Row], bool]:
        rows: dict[str, _Row] = {}
        broken: set[str] = set()
        with reading(listed, TABLE), open(listed, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = reader.fieldnames = [(name or "").strip() for name in reader.fieldnames or ()]
            if not {"path", "label"} <= set(columns) or ("start" in columns) != ("end" in columns):
                expected = f"expected the columns {','.join(COLUMNS)}, the first two at least"
                raise DataError(f"{listed}, line 1: {expected}, got {shown(','.join(columns), 200) or 'nothing'}")
            if unknown := sorted(set(columns) - set(COLUMNS)):
                self.note(f"{listed}, line 1", f"the columns {', '.join(few(unknown))} are not used")
            for fields in reader:
                place = self._place((fields.get("path") or "").strip())
                try:
                    self._take(rows, place, f"{listed}, line {reader.line_num}", fields)
                except AnnotationError as error:
                    broken.add(os.path.realpath(place))
                    self.leave_out(error.where, error.what)
        return [row for path, row in rows.items() if path not in broken], "source" in columns

    def _place(self, listed: str) -> Path:
        """Where a listed path leads, without links that `..` would be taken over; a NUL is not for paths."""
        return Path(os.path.normpath(self.root / listed.replace("\\", "/").replace("\0", "?")))

    def _take(self, rows: dict[str, _Row], place: Path, where: str, fields: dict[str, str | None]) -> None:
        """Check a line, and add it to the rows, or its span to the row of its clip."""
        path, label, source, start, end, category = ((fields.get(name) or "").strip() for name in COLUMNS)

        def check(fits: bool, expected: str) -> None:
            if not fits:
                raise AnnotationError(where, f"expected {expected}")

        got = [v for v in fields.values() if v]
        check(bool(path) and None not in fields, f"a path and one value a column, got {shown(got, 200)}")
        stays = place.is_relative_to(self.root)
        check(stays, f"a path below {self.root}, got {path!r}, which leaves it; put the clip, or a link to it, there")
        check(label in ("0", "1"), f"the label 0 (normal) or 1 (anomalous), got {shown(repr(label), 80)}")
        fits = not category or (label == "0") == is_normal(category)
        check(fits, f"a category that fits label {label}, got {category!r}")
        spans = []
        if start or end:
            short = max(len(start), len(end)) < 15 and start.isdecimal() and end.isdecimal()
            got = f"{shown(repr(start), 30)} and {shown(repr(end), 30)}"
            check(short and int(start) < int(end) <= MOST_FRAMES, f"frame numbers 0 <= start < end, got {got}")
            spans = [(int(start), int(end))]
        row = _Row(place, where, int(label), source, category, spans)
        before = rows.setdefault(os.path.realpath(place), row)
        if before is not row:
            same = (before.label, before.source, before.category) == (row.label, source, category)
            check(same, f"label, source and category as on {before.where} for the same clip, got others")
            if not (before.spans and spans):
                listed = f"the clip is listed on {before.where} already"
                raise AnnotationError(where, f"{listed}; a second line must add a span to a first one")
            before.spans += spans

    def _add(self, videos: dict[str, Video], where: str, video: Video) -> None:
        if video is not (first := videos.setdefault(video.name, video)):
            what = f"{video.path} has the name {video.name}, as has {first.path}"
            self.leave_out(where, f"{what}; rename one of them")

    def _name(self, path: Path) -> str:
        """Of the place below the root."""
        inside = path.relative_to(self.root)
        return (inside if path.is_dir() else inside.with_suffix("")).as_posix()
