"""A view: what a network gets to see of one video, as rows; and the way of every view through the cache."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vadkit.core.compute import each
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.core.video import Decoded
from vadkit.corpora.vatic import clip_intervals
from vadkit.corpora.video import Problem, Video

Pairs = tuple[np.ndarray, np.ndarray]  # (n,) each
Entry = tuple[dict, Callable[[Path], None]]  # a key, and what fills its folder: a partial, for it goes to processes
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class View(ABC):
    """What a network gets to see of one video: rows, each a sample of one of its frames.

    frames: how many decoded; fps: as the container says; index: (n,) frame number of each row, rising; labels: (n,)
    uint8, 1 in hard anomalies; digest: of all that the rows were made from, for the keys of what is made from them.

    A view further has `streams`, the names that `images` takes; `shown`, (n,) whole numbers that are the same for rows
    with the same images; and `bags`, a float32 row each, of width 0 where no objects were counted.
    """

    video: Video
    frames: int
    fps: float
    index: np.ndarray
    labels: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.index)

    def images(self, stream: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images of the given rows, in their order. Shape: (k, S, S, 3), of clips (k, T, S, S, 3), uint8 RGB.

        Raises ValueError for a stream that is not there or no rows, IndexError for a row out of range, DataError where
        the cache entry is damaged.
        """
        if stream not in self.streams:
            raise ValueError(f"stream must be one of {', '.join(self.streams)}, got '{stream}'")
        rows = np.asarray(rows)
        if len(rows) == 0:
            raise ValueError("no rows were asked for; an image array needs at least one")
        if wrong := [row for row in rows.tolist() if not 0 <= row < len(self)]:
            raise IndexError(f"row {wrong[0]} of {self.video.name}, which has {len(self)}")
        return self._read(stream, rows)

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training or for scoring. Shape: (k,) int64, rising.

        purpose: "train", where hard_only leaves out the rows of anomalous videos that are no hard anomaly (paper 3.4),
        or "score", the grid at config.analysis_fps over the whole video, which hard_only does not touch. Raises
        ValueError where the view was extracted for another purpose or other rates.
        """
        if purpose not in ("train", "score"):
            raise ValueError(f"purpose must be 'train' or 'score', got '{purpose}'")
        own, planned = self._planned(purpose, config)
        where = {pair: row for row, pair in enumerate(zip(*(one.tolist() for one in own), strict=True))}
        try:
            found = [where[pair] for pair in zip(*(one.tolist() for one in planned), strict=True)]
        except KeyError as error:
            raise ValueError(
                f"{self.video.name}: row {error.args[0]} is wanted for '{purpose}' but was not extracted; extract with "
                f"purpose '{purpose}' or 'both', and with the same sampling and rates"
            ) from None
        rows = np.array(found, np.int64)
        return rows[self.labels[rows] == 1] if purpose == "train" and hard_only and self.video.label else rows

    @abstractmethod
    def _read(self, stream: str, rows: np.ndarray) -> np.ndarray:
        """`images`, of rows that are there."""

    def _planned(self, purpose: str, config: Config) -> tuple[Pairs, Pairs]:
        """What tells rows apart, two numbers each: of the rows that are here, and of those that are wanted."""
        raise NotImplementedError  # tubes have `rows` of their own


def extract_views(
    kind: str,
    videos: Sequence[Video],
    entries_of: Callable[[int], Sequence[Entry]],
    view_of: Callable[[int, Video, dict[str, Any], list[Path]], Made],
    config: Config,
    progress: Progress | None = None,
) -> tuple[list[Made], list[Problem]]:
    """Views of many videos, of cache entries that are made in config.workers processes where they are missing.

    kind: of the entries; entries_of(n): those that the n-th video's view is made of, each with the facts of
    `write_facts`; view_of(n, video, facts, folders): the view, of the video with its spans fitted into its frames. A
    video that cannot be used is left out and named in the problems, or raises DataError where config.strict; oddities
    that were lived with are problems too (left_out False).
    """
    store = Store(config.cache_dir)
    absent = "no file {}; put the video there or take it off its list"
    wrong = {n: absent.format(video.path) for n, video in enumerate(videos) if not video.path.is_file()}
    entries = {n: entries_of(n) for n in range(len(videos)) if n not in wrong}
    missing = [(n, key, build) for n, those in entries.items() for key, build in those if not store.has(kind, key)]
    total = sum(map(len, entries.values()))
    done = total - len(missing)
    if progress is not None and done:
        progress(done, total, f"{kind} in the cache")
    for n, error in each(_make, [(kind, config.cache_dir, *one) for one in missing], config.workers):
        if error is not None:
            wrong.setdefault(n, error)
            if config.strict:
                raise DataError(error)
        done += 1
        if progress is not None:
            progress(done, total, f"{kind} of {videos[n].name}")
    views, problems = [], []
    for n, video in enumerate(videos):
        try:
            if n in wrong:
                raise DataError(wrong[n])
            folders = [store.path(kind, key) for key, _ in entries[n]]
            facts = json.loads((folders[0] / "facts.json").read_text())
            fitted, clipped = clip_intervals(video, facts["frames"], config.annotation_slack_frames)
            views.append(view_of(n, fitted, facts, folders))
        except DataError as error:
            if config.strict:
                raise
            problems.append(Problem(str(video.path), str(error), left_out=True))
            continue
        problems += [Problem(str(video.path), note, left_out=False) for note in facts["notes"]]
        problems += [clipped] if clipped else []
    return views, problems


def _make(kind: str, cache: Path, n: int, key: dict, build: Callable[[Path], None]) -> tuple[int, str | None]:
    """Make one entry; returns the video's position, and why it cannot be used."""
    try:
        Store(cache).fetch(kind, key, build)
    except DataError as error:
        return n, str(error)
    return n, None


def write_facts(folder: Path, found: Decoded) -> None:
    """What a view needs of the decoded video, beside its rows."""
    facts = {"frames": found.frames, "fps": found.fps, "notes": list(found.notes)}
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
