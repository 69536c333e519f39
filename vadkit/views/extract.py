"""What samples, clips and tubes are extracted with: cache entries made in processes, and every video that cannot be used named.

Nothing here decides what an entry holds: this module is no part of their keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from vadkit.core.compute import each
from vadkit.core.errors import DataError
from vadkit.core.store import Store
from vadkit.corpora.vatic import clip_intervals
from vadkit.corpora.video import Problem, Video

Extracted = TypeVar("Extracted")
Entry = tuple[
    int, dict, Callable[[Path], None]
]  # the video's position, the key, and what fills the entry's folder (a partial, not a lambda: it goes to processes)


def absent(videos: Sequence[Video]) -> dict[int, str]:
    """Why a video cannot be used, by its position, for those without a file."""
    return {
        n: f"no file {v.path}; put the video there or take it off its list"
        for n, v in enumerate(videos)
        if not v.path.is_file()
    }


def make_entries(kind: str, entries: Sequence[Entry], cache: Path, workers: int) -> Iterator[tuple[int, str | None]]:
    """Make cache entries; yields the video's position and why it cannot be used, or None, as they are finished."""
    return each(_make, [(kind, cache, *entry) for entry in entries], workers)


def _make(kind: str, cache: Path, position: int, key: dict, build: Callable[[Path], None]) -> tuple[int, str | None]:
    try:
        Store(cache).fetch(kind, key, build)
    except DataError as error:
        return position, str(error)
    return position, None


def load_entries(
    videos: Sequence[Video],
    wrong: Mapping[int, str],
    one: Callable[[int], tuple[Extracted, list[Problem]]],
    strict: bool,
) -> tuple[list[Extracted], list[Problem]]:
    """`one(position)` of every video that is not wrong, and all problems.

    A video that is wrong, or of which `one` raises DataError, is left out and named in the problems; DataError where strict.
    """
    found, problems = [], []
    for n, video in enumerate(videos):
        try:
            if n in wrong:
                raise DataError(wrong[n])
            made, noted = one(n)
        except DataError as error:
            if strict:
                raise
            problems.append(Problem(str(video.path), str(error), left_out=True))
            continue
        found.append(made)
        problems += noted
    return found, problems


def open_entry(video: Video, folder: Path, slack: int) -> tuple[Video, dict, list[Problem]]:
    """The video with its spans fitted into its frames, the entry's facts, and what was lived with.

    Raises DataError where annotation and video do not belong together.
    """
    facts = json.loads((folder / "facts.json").read_text())
    video, clipped = clip_intervals(video, facts["frames"], slack)
    return (
        video,
        facts,
        [Problem(str(video.path), note, left_out=False) for note in facts["notes"]] + ([clipped] if clipped else []),
    )
