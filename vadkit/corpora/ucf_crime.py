"""UCF-Crime on disk, with UCFCrime2Local's annotations where they are: one reader for real and synthetic trees.

Videos, lists and annotations are found by name anywhere below the root. UCFCrime2Local's lists come first; without them
the official lists and their temporal annotation serve. Where features stand for the videos (`config.mil_published`) no
file is needed at all: what the root lacks is taken from `vadkit.corpora.public_lists`.
"""

import csv
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vadkit.core.config import Config, resolve
from vadkit.core.errors import AnnotationError, DataError, few, reading, shown
from vadkit.core.progress import Progress
from vadkit.corpora import hard_frames, splits, vatic
from vadkit.corpora.public_lists import LISTS, listed
from vadkit.corpora.ucf_forms import VIDEO_SUFFIXES, category_of, temporal_spans, video_name
from vadkit.corpora.video import MOST_FRAMES, NORMAL, TABLE, Corpus, Findings, Spans, Video

LOCAL_TRAIN, LOCAL_TEST = "train_split_ad.txt", "test_split_ad.txt"
OFFICIAL_TRAIN, OFFICIAL_TEST, TEMPORAL = "anomaly_train.txt", "anomaly_test.txt", "temporal_anomaly_annotation.txt"
LENGTHS = "lengths.csv"  # name, frames, fps: where they are not those of the public lists
HOME = "https://www.crcv.ucf.edu/projects/real-world/"

# An anomalous video's (spans or None, Vatic file or None); raises AnnotationError where it is unusable.
_Finder = Callable[["_Tree", "_Entry"], tuple[Spans | None, Path | None]]

EXPECTED = """expected below it
  videos, any folders:  Anomaly-Videos/<Class>/<Name>_x264.mp4, Training_Normal_Videos_Anomaly/,
                        Testing_Normal_Videos_Anomaly/
  and either            UCFCrime2Local/Train_split_AD.txt, Test_split_AD.txt, annotations/<Name>.txt
  or                    Anomaly_Train.txt, Anomaly_Test.txt, Temporal_Anomaly_Annotation.txt
The videos and the official lists are on the page of UCF-Crime, "Real-world Anomaly Detection in Surveillance Videos"
(Center for Research in Computer Vision, University of Central Florida); the frame-level annotations on the page of
UCFCrime2Local (ImageLab, University of Modena and Reggio Emilia)."""


@dataclass
class _Tree(Findings):
    """What one walk below the root found."""

    videos: dict[str, list[Path]] = field(default_factory=dict)  # by name
    texts: dict[str, list[Path]] = field(default_factory=dict)  # by lower-case file name
    vatic: dict[str, list[Path]] = field(default_factory=dict)  # by name
    public: Mapping[str, Video] = field(default_factory=dict)  # what is known without any file, by name
    others: dict[str, tuple[Spans, Path | None]] = field(default_factory=dict)  # `hard_frames`, by name

    def one(self, found: dict[str, list[Path]], key: str) -> Path | None:
        """The file of that key, the first in sorted order where there are several."""
        paths = found.get(key, [])
        if len(paths) > 1:
            self.note(paths[0], f"used, although the same name is also at {', '.join(map(str, paths[1:]))}; keep one")
            del paths[1:]
        return paths[0] if paths else None


@dataclass(frozen=True)
class _Entry:
    name: str
    category: str
    where: str  # list file and line


def load(config: Config, progress: Progress | None = None) -> Corpus:
    """The corpus at `config.data_root`. Raises DataError, saying what is expected where, if it is not there.

    With `config.mil_published` it may lack the videos, the lists, or all; lengths are then those of the public lists.
    """
    root = resolve(config.data_root) if config.data_root else LISTS
    return read_tree(root, config, listed("ucf-crime") if config.listed_alone else {})


def read_tree(root: str | Path, config: Config, public: Mapping[str, Video] | None = None) -> Corpus:
    """Videos, splits and hard-anomaly spans of a UCF-Crime tree; see the module's text for what is looked for.

    With UCFCrime2Local, its lists are train and test, its Vatic files the spans; officially listed videos of classes
    that it does not train on are "unseen" (section 4.7 of Petrocchi et al.), and so are normal test videos that it does
    not list. Without it, official training videos have their label only. Validation follows `config.validation`. Raises
    DataError for missing lists, for no video, and under `config.strict` for the first unusable one. public: what stands
    for the lists, the temporal annotation and the lengths that the tree lacks; its videos need no file.
    """
    root = Path(root)
    if not root.is_dir() and not public:
        raise DataError(f"data_root: {root} is not a folder; {EXPECTED}")
    tree = _walk(root, config.strict)
    tree.public = public or {}
    if not root.is_dir():
        tree.note(root, "data_root is not a folder; names, lengths and spans are those of the package's own lists")
    local = LOCAL_TRAIN in tree.texts or LOCAL_TEST in tree.texts
    if local:
        train, test = _lists(tree, LOCAL_TRAIN, LOCAL_TEST)
        find, known = _vatic_spans, {e.name for e in (*train, *test)}
        unseen = _unseen(tree, {e.category for e in train}, known)
    else:
        train, test = _lists(tree, OFFICIAL_TRAIN, OFFICIAL_TEST)
        find, unseen = _temporal_spans(tree, test_names={e.name for e in test}), []
        paths = [path for file in hard_frames.FILES if (path := tree.one(tree.texts, file))]
        tree.others = hard_frames.read(paths, tree.note)
    temporal = _temporal_spans(tree, test_names=set()) if unseen else None
    sources, lengths = _sources(tree), _lengths(tree)
    # parity counts listed lines, so that a missing video moves no other
    sides = ("test", "val") if config.validation == "test_parity" else ("test", "test")
    entries = [(e, "train", find) for e in train] + [(e, sides[n % 2], find) for n, e in enumerate(test)]
    entries += [(e, "unseen", temporal) for e in unseen]
    videos = tree.each_once(v for entry in entries if (v := _video(tree, *entry, sources)))
    if not videos:
        lost = [p for p in tree.problems if p.left_out]
        first = f"the first of {len(lost)} problems: {lost[0].where}: {lost[0].what}; " if lost else ""
        raise DataError(f"none of the {len(entries)} usable listed videos is below {root}; {first}{EXPECTED}")
    videos = [replace(v, **lengths.get(v.name, {})) for v in videos]
    if tree.public and not local:
        _differences(tree, videos)
    if config.validation != "test_parity":
        _, held = splits.train_cut([v for v in videos if v.split == "train"], config.validation_fraction)
        names = {v.name for v in held}
        videos = [replace(v, split="val") if v.split == "train" and v.name in names else v for v in videos]
    _check_sides(tree, videos)
    no_pixels = _no_pixels(tree, videos, config.data_root) if public else ""
    lists = "UCFCrime2Local" if local else "official"
    return Corpus("ucf_crime", tuple(videos), tuple(tree.problems), lists, no_pixels=no_pixels)


def _walk(root: Path, strict: bool) -> _Tree:
    tree, seen = _Tree(root, strict), set()
    found: list[Path] = []
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # not again through a link back up
        below[:] = [] if real in seen else sorted(name for name in below if not name.startswith("."))
        found += [] if real in seen else [Path(folder, name) for name in files if not name.startswith(".")]
        seen.add(real)
    for path in tree.named(
        p for p in sorted(found) if p.suffix.lower() in VIDEO_SUFFIXES | {".txt", ".csv", ".pkl", ".json"}
    ):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            tree.videos.setdefault(video_name(path.name), []).append(path)
        else:
            tree.texts.setdefault(path.name.lower(), []).append(path)
            tree.vatic.setdefault(video_name(path.name), []).append(path)
    return tree


def _lists(tree: _Tree, train_file: str, test_file: str) -> tuple[list[_Entry], list[_Entry]]:
    paths = {name: tree.one(tree.texts, name) for name in (train_file, test_file)}
    if tree.public and not any(paths.values()):
        sides = ([v for v in tree.public.values() if v.split == side] for side in ("train", "test"))
        train, test = ([_Entry(v.name, v.category, "UCF-Crime's lists") for v in side] for side in sides)
        return train, test
    if missing := [name for name, path in paths.items() if path is None]:
        raise DataError(f"no {' and no '.join(missing)} (any case) below {tree.root}; {EXPECTED}")
    train, test = (_read_list(tree, path) for path in paths.values())
    tested = {e.name for e in test}
    for entry in train:
        if entry.name in tested:
            tree.note(entry.where, f"{entry.name} is in the test list too; it is kept for the test and not trained on")
    return [e for e in train if e.name not in tested], test


def _read_list(tree: _Tree, path: Path) -> list[_Entry]:
    entries: dict[str, _Entry] = {}
    for number, line in vatic.numbered_lines(path):
        where, name = f"{path}, line {number}", video_name(line)
        category = category_of(name)
        if category is None:
            expected = "a video's name, a class and a number as in Assault018_x264.mp4"
            tree.leave_out(where, f"expected {expected}, got {line[:80]!r}")
        elif name in entries:
            tree.note(where, f"{name} is listed twice; the second line is ignored")
        else:
            entries[name] = _Entry(name, category, where)
    if not entries:
        raise DataError(f"{path}: expected one video name a line, got none; fetch the list again")
    return list(entries.values())


def _unseen(tree: _Tree, trained: set[str], listed: set[str]) -> list[_Entry]:
    """Section 4.7: every video of the classes not trained on, and normal test videos that are in neither list."""
    entries: dict[str, _Entry] = {}
    for file in (OFFICIAL_TEST, OFFICIAL_TRAIN):
        path = tree.one(tree.texts, file)
        for entry in _read_list(tree, path) if path else []:
            is_new = file == OFFICIAL_TEST if entry.category == NORMAL else entry.category not in trained
            if is_new and entry.name not in listed:
                entries.setdefault(entry.name, entry)
    return list(entries.values())


def _vatic_spans(tree: _Tree, entry: _Entry) -> tuple[Spans, Path]:
    path = tree.one(tree.vatic, entry.name)
    if path is None:
        expected = f"UCFCrime2Local/annotations/{entry.name}.txt"
        raise AnnotationError(entry.where, f"{entry.name} has no Vatic file; expected {expected}")
    return vatic.intervals(path), path


def _temporal_spans(tree: _Tree, test_names: set[str]) -> _Finder:
    """Spans of the official temporal annotation; None for a video outside it that is not in `test_names`."""
    path = tree.one(tree.texts, TEMPORAL)
    if path is None and tree.public:
        known = {v.name: v.intervals for v in tree.public.values() if v.split == "test"}
        return lambda tree, entry: (known.get(entry.name), None)
    lines = {video_name(line.split()[0]): (n, line) for n, line in (vatic.numbered_lines(path) if path else ())}
    if path is None:
        means = "anomalous test videos carry their label on every frame, and frame-level figures say little"
        tree.note(tree.root, f"no {TEMPORAL} (any case): {means}")

    def find(tree: _Tree, entry: _Entry) -> tuple[Spans | None, None]:
        number, line = lines.get(entry.name, (0, ""))
        spans = temporal_spans(f"{path}, line {number}", line) if line else None
        if path and not spans and entry.name in test_names:
            expected = f"a line with the spans of the listed test video {entry.name}"
            raise AnnotationError(str(path), f"expected {expected}, got none")
        return spans or None, None

    return find


def _video(tree: _Tree, entry: _Entry, split: str, find: _Finder | None, sources: dict[str, str]) -> Video | None:
    path = tree.one(tree.videos, entry.name)
    if path is None and tree.public:
        path = tree.root / f"{entry.name}_x264.mp4"  # where it would be
    if path is None:
        remedy = f"add {entry.name}_x264.mp4, or take it off the list"
        tree.leave_out(entry.where, f"listed video {entry.name} is not below {tree.root}; {remedy}")
        return None
    try:
        intervals, boxes = find(tree, entry) if entry.category != NORMAL else ((), None)
        if boxes is None and entry.category != NORMAL and entry.name in tree.others:
            spans, boxes = tree.others[entry.name]
            intervals = spans if intervals is None else intervals
    except AnnotationError as error:
        tree.leave_out(error.where, f"{error.what} ({entry.name})")
        return None
    return Video(entry.name, path, entry.category, split, sources.get(entry.name, entry.name), intervals, boxes)


def _table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV that have a name. Raises DataError for another file, or one without these columns."""
    with reading(path, TABLE), open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not set(columns) <= set(rows.fieldnames or ()):
            got = shown(",".join(rows.fieldnames or ()), 200) or "an empty file"
            raise DataError(f"{path}: expected the columns {','.join(columns)}; got {got}")
        return [{column: (row[column] or "").strip() for column in columns} for row in rows if row["name"]]


def _sources(tree: _Tree) -> dict[str, str]:
    path = tree.one(tree.texts, "sources.csv")
    if path is None:
        means = "UCF-Crime does not say which videos are cuts of one recording, so each video is its own source"
        tree.note(tree.root, f"no sources.csv (name,source): {means}")
        return {}
    named = [(row["name"], row["source"]) for row in _table(path, "name", "source")]
    found: dict[str, str] = {}
    for name, source in named:
        if found.setdefault(video_name(name), source or name) != (source or name):
            raise DataError(f"{path}: {shown(name, 80)} has two sources; a video is a cut of one recording, keep one")
    return found


def _lengths(tree: _Tree) -> dict[str, dict[str, float]]:
    """{name: frames and fps} of the public lists, and of a `lengths.csv` before them."""
    found = {v.name: {"frames": v.frames, "fps": v.fps} for v in tree.public.values()}
    path = tree.one(tree.texts, LENGTHS) if tree.public else None
    for row in _table(path, "name", "frames", "fps") if path else ():
        with reading(path, f"a table of lengths in the row of {shown(row['name'], 80)}", "mend the row"):
            frames, fps = int(row["frames"]), float(row["fps"])
            if not (0 < frames <= MOST_FRAMES and 0.1 <= fps <= 240):
                raise ValueError(f"1 to {MOST_FRAMES} frames, 0.1 to 240 a second, are possible")
        found[video_name(row["name"])] = {"frames": frames, "fps": fps}
    return found


def _differences(tree: _Tree, videos: list[Video]) -> None:
    """Note where the root's lists and spans, which are used, are not UCF-Crime's own."""
    mine, own = (
        {v.name: (v.split == "train", v.category, v.split != "train" and v.intervals) for v in some}
        for some in (videos, tree.public.values())
    )
    if differ := sorted(name for name in mine.keys() | own.keys() if mine.get(name) != own.get(name)):
        said = f"{len(differ)} videos have another list, class or span here than in UCF-Crime's own lists"
        tree.note(tree.root, f"{said}; those here are used: {', '.join(few(differ, 5))}")


def _no_pixels(tree: _Tree, videos: list[Video], place: str) -> str:
    """Why no video can be looked at; some that are missing are noted."""
    missing = sum(not video.path.exists() for video in videos)
    remedy = f"get them from {HOME} and put them anywhere below data_root"
    if missing == len(videos):
        return f"No video of UCF-Crime is below data_root ({place or 'which is empty'}); {remedy}."
    if missing:
        what = f"{missing} of {len(videos)} listed videos have no file here"
        tree.note(tree.root, f"{what}: what looks at pixels leaves them out; {remedy}")
    return ""


def _check_sides(tree: _Tree, videos: list[Video]) -> None:
    for split in ("train", "val", "test"):
        labels = {v.label for v in videos if v.split == split}
        for label, kind in splits.LABELS.items():
            if label not in labels:
                tree.note(tree.root, f"the {split} side has no {kind} video")
    places: dict[str, set[str]] = {}
    for video in videos:
        places.setdefault(video.source, set()).add("training" if video.split == "train" else "evaluation")
    if shared := sorted(source for source, sides in places.items() if len(sides) > 1):
        what = f"{len(shared)} sources have videos in training and in evaluation, as the lists say"
        tree.note(tree.root, f"{what}: {', '.join(few(shared, 5))}")
