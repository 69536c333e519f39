"""A view: what a network gets to see of one video, as rows; and the way of every view through the cache."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from vadkit.core.clock import Clock, UnevenError
from vadkit.core.code import code_version
from vadkit.core.config import Config
from vadkit.core.digests import file_digest
from vadkit.core.errors import DataError
from vadkit.core.processes import cluster_of, each
from vadkit.core.store import Store
from vadkit.core.video import Decoded, inspect
from vadkit.corpora.vatic import clip_intervals
from vadkit.corpora.video import Problem, Seen, Video

Pairs = tuple[np.ndarray, np.ndarray]  # (n,) each


@dataclass(frozen=True, eq=False)
class View(ABC):
    """What a network gets to see of one video: rows, each a sample of one of its frames.

    frames: how many decoded; fps, times: of its clock; index: (n,) frame number of each row, rising; labels: (n,)
    uint8, 1 in hard anomalies; digest: of all that the rows were made from, for the keys of what is made from them.
    Further `streams`, the names that `images` takes; `shown`, (n,) whole numbers that are the same for rows with the
    same images; and `bags`, a float32 row each, of width 0 where no objects were counted.
    """

    video: Video
    frames: int
    fps: float
    index: np.ndarray
    labels: np.ndarray
    digest: str
    times: np.ndarray | None = field(default=None, kw_only=True, repr=False)

    @property
    def clock(self) -> Clock:
        return Clock(self.fps, self.times)

    def __len__(self) -> int:
        return len(self.index)

    def images(self, stream: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images of the given rows, in their order. Shape: (k, S, S, 3), of clips (k, T, S, S, 3), uint8 RGB. Raises
        ValueError for an absent stream or no rows, IndexError for a row out of range, DataError for damage."""
        if stream not in self.streams:
            raise ValueError(f"stream must be one of {', '.join(self.streams)}, got '{stream}'")
        rows = np.asarray(rows)
        if len(rows) == 0:
            raise ValueError("no rows were asked for; an image array needs at least one")
        if wrong := [row for row in rows.tolist() if not 0 <= row < len(self)]:
            raise IndexError(f"row {wrong[0]} of {self.video.name}, which has {len(self)}")
        return self._read(stream, rows)

    @abstractmethod
    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training or for scoring. Shape: (k,) int64, rising."""

    @abstractmethod
    def _read(self, stream: str, rows: np.ndarray) -> np.ndarray:
        """`images`, of rows that are there."""


class PlannedView(View):
    """A view whose rows are a plan's: of which frames, at which rates."""

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training or for scoring. Shape: (k,) int64, rising.

        purpose: "train", where hard_only leaves out the rows of anomalous videos that are no hard anomaly (paper 3.4),
        or "score", the grid at config.analysis_fps over the whole video, which hard_only does not touch. Raises
        ValueError where the view was extracted for another purpose or other rates.
        """
        if purpose not in ("train", "score"):
            raise ValueError(f"purpose must be 'train' or 'score', got '{purpose}'")
        own, planned = (list(map(tuple, np.column_stack(both).tolist())) for both in self._planned(purpose, config))
        where = {pair: row for row, pair in enumerate(own)}
        if lacking := [pair for pair in planned if pair not in where]:
            what = f"row {lacking[0]} is wanted for '{purpose}' but was not extracted"
            remedy = f"extract with purpose '{purpose}' or 'both', and with the same sampling and rates"
            raise ValueError(f"{self.video.name}: {what}; {remedy}")
        rows = np.array([where[pair] for pair in planned], np.int64)
        return rows[self.labels[rows] == 1] if purpose == "train" and hard_only and self.video.label else rows

    @abstractmethod
    def _planned(self, purpose: str, config: Config) -> tuple[Pairs, Pairs]:
        """What tells rows apart, two numbers each: of the rows that are here, and of those that are wanted."""


def extract_views(kind: str, videos: Sequence[Video], entries_of, view_of, config: Config, progress=None) -> Seen:
    """Views of many videos, of cache entries that are made in config.workers processes where they are missing.

    kind: of the entries; entries_of(n): those that the n-th video's view is made of, each a key and what fills its
    folder (`write_facts` among it; a partial, for it goes to processes); view_of(n, video, facts, folders): the view,
    of the video with its spans fitted into its frames. A video that cannot be used is left out and named in the
    problems, or raises DataError where config.strict; oddities that were lived with are problems too (left_out False).
    """
    store, progress = Store(config.cache_dir), progress or (lambda *_: None)
    absent = "no file {}; put the video there or take it off its list"
    wrong = {n: absent.format(video.path) for n, video in enumerate(videos) if not video.path.exists()}
    entries = {n: entries_of(n) for n in range(len(videos)) if n not in wrong}
    missing = [(n, key, build) for n, those in entries.items() for key, build in those if not store.has(kind, key)]
    total = sum(map(len, entries.values()))
    done = total - len(missing)
    if done:
        progress(done, total, f"{kind} in the cache")
    missing.sort(key=lambda one: -_size(videos[one[0]].path))
    tasks = [(kind, config.cache_dir, *one) for one in missing]
    for n, error in each(_make, tasks, config.workers, cluster_of(config)):
        if error is not None:
            wrong.setdefault(n, error)
            if config.strict:
                raise DataError(error)
        done += 1
        progress(done, total, f"{kind} of {videos[n].name}")
    views, problems = [], []
    for n, video in enumerate(videos):
        try:
            if n in wrong:
                raise DataError(wrong[n])
            folders = [store.fetch(kind, key, build) for key, build in entries[n]]
            facts = json.loads((folders[0] / "facts.json").read_text())
            facts["times"] = np.array(facts["times"]) if "times" in facts else None
            fitted, clipped = clip_intervals(video, facts["frames"], config.annotation_slack_frames)
            views.append(view_of(n, fitted, facts, folders))
            problems += [Problem(str(video.path), note, left_out=False) for note in facts["notes"]]
            problems += [clipped] if clipped else []
        except DataError as error:
            if config.strict:
                raise
            problems.append(Problem(str(video.path), str(error), left_out=True))
    return views, problems


def _make(kind: str, cache: Path, n: int, key: dict, build: Callable[[Path], None]) -> tuple[int, str | None]:
    """Make one entry; returns the video's position, and why it cannot be used."""
    try:
        Store(cache).fetch(kind, key, build)
    except DataError as error:
        return n, str(error)
    return n, None


def _size(path: Path) -> int:
    """Bytes, for what takes longest: that is begun first."""
    return sum(one.stat().st_size for one in (path.iterdir() if path.is_dir() else [path]))


def made_of(video: Video, module: str, config: Config) -> dict:
    """What the key of every entry made from a video holds; module: what makes it."""
    rate = {"picture_fps": config.picture_fps} if video.path.is_dir() else {}
    versions = {"opencv": cv2.__version__, "av": av.__version__, "code": code_version(module)}
    return {"video": file_digest(video.path), **versions, **rate}


def by_the_clock(video: Video, config: Config, build: Callable[[Clock | None], Decoded]) -> Decoded:
    """Build from a video by a constant rate; where that turns out wrong, anew by the times of its frames."""
    try:
        return build(None)
    except UnevenError:
        return build(inspect(video.path, config.picture_fps).clock)


def write_facts(folder: Path, found: Decoded) -> None:
    """What a view needs of the decoded video, beside its rows."""
    facts = {"frames": found.frames, "fps": found.clock.fps, "notes": list(found.notes)}
    if found.clock.times is not None:
        facts["times"] = found.clock.times.tolist()
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
