"""One description of a video and of a corpus, wherever they come from; `vadkit.views` counts a video's frames."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vadkit.core.errors import NOT_TEXT, DataError, shown

NORMAL = "Normal"
TABLE = "a CSV in UTF-8 with fields of at most 131072 characters"
MOST_FRAMES = 10_000_000  # that a table may say of a video: four days at 30 a second

Spans = tuple[tuple[int, int], ...]  # of frames, half-open [start, end), from 0


@dataclass(frozen=True)
class Video:
    """One video and what is known of it. intervals: hard-anomaly spans, half-open frame numbers [start, end), 0-based,
    sorted, disjoint; empty for a normal video, None where only the video-level label is known. frames, fps: where they
    are known without its file, which may be absent then."""

    name: str
    path: Path
    category: str  # "Normal" or the class of anomaly
    split: str  # "train", "val", "test", "unseen" (test videos of classes never trained on) or "all"
    source: str  # videos of one source never stand on both sides of a split
    intervals: Spans | None = ()
    boxes_path: Path | None = None  # its Vatic file, or one of Liu and Ma's boxes, where it has one
    frames: int | None = None
    fps: float | None = None

    @property
    def label(self) -> int:
        """1 for a video with an anomaly, 0 for a normal one."""
        return int(self.category != NORMAL)

    def frame_labels(self, frames: int) -> np.ndarray:
        """Hard-anomaly label of every frame, the video's where nothing else is known. Shape: (frames,) uint8."""
        labels = np.full(frames, self.label if self.intervals is None else 0, np.uint8)
        for start, end in self.intervals or ():
            labels[start:end] = 1
        return labels


@dataclass(frozen=True)
class Problem:
    """Something in the data that was left out or mended; the summary lists all of them."""

    where: str  # the file, and the line where there is one
    what: str
    left_out: bool

    def __post_init__(self):  # it goes to terminals and tables
        for name in ("where", "what"):
            object.__setattr__(self, name, shown(getattr(self, name), 1000))


Seen = tuple[list, list[Problem]]  # what is seen of videos, and what was wrong with the others


@dataclass
class Findings:
    """What is wrong or odd, gathered while a corpus is read from below a root."""

    root: Path
    strict: bool
    problems: list[Problem] = field(default_factory=list)

    def leave_out(self, where: str | Path, what: str) -> None:
        """Something cannot be used. Raises DataError where `strict`."""
        if self.strict:
            raise DataError(f"{where}: {what} (strict: true stops here; with strict: false it is left out)")
        self.problems.append(Problem(str(where), what, left_out=True))

    def note(self, where: str | Path, what: str) -> None:
        """Something is odd but usable."""
        self.problems.append(Problem(str(where), what, left_out=False))

    def named(self, paths: Iterable[Path]) -> Iterator[Path]:
        """The files whose path is text; what is not cannot stand in a table."""
        for path in paths:
            if NOT_TEXT.search(str(path)):
                self.leave_out(path, "its path is not text in UTF-8; rename it")
            else:
                yield path

    def each_once(self, videos: Iterable[Video]) -> list[Video]:
        """The videos without those whose file, by a link, another one's is; a test video stays rather than a training
        one, and of two classes for one file neither."""
        same: dict[str, list[Video]] = {}
        for video in videos:
            same.setdefault(os.path.realpath(video.path), []).append(video)
        once = []
        for found in (sorted(found, key=lambda v: v.split == "train") for found in same.values()):
            kept = found[:1] if len({v.category for v in found}) == 1 else []
            paths, once = ", ".join(str(v.path) for v in found), once + kept
            for video in found[len(kept) :]:
                self.leave_out(video.path, f"it is one file under {len(found)} names, {paths}; keep one")
        return once


@dataclass(frozen=True)
class Corpus:
    name: str
    videos: tuple[Video, ...]
    problems: tuple[Problem, ...] = ()
    lists: str = ""  # whose: "UCFCrime2Local", or "official" for UCF-Crime's own
    recorded: Path | None = None  # the folder of a finished run's scores, which stand for training
    no_pixels: str = ""  # why nothing can look at its videos, and what to get; empty where one is there

    def of(self, *splits: str) -> tuple[Video, ...]:
        """The videos of the given splits, in the corpus's order."""
        return tuple(v for v in self.videos if v.split in splits)
