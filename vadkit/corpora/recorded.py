"""A finished run that was written down: its videos as a table, a few of them as clips, and the scores of its systems.

Notebooks 08 and 12 work on it without training and without torch. `docs/record_run.py` writes one.
"""

import json
import os
from pathlib import Path

import pandas as pd

from vadkit.core.config import Config, resolve
from vadkit.core.digests import as_shipped
from vadkit.core.errors import DataError, reading, shown
from vadkit.core.progress import Progress
from vadkit.corpora.video import MOST_FRAMES, Corpus, Video

TABLE, SCORES, FEATURES, CLIPS = "videos.csv", "scores.npz", "features.npz", "clips"
REMEDY = "record the run again"
COLUMNS = ["name", "category", "split", "source", "fps", "frames", "intervals"]


def load(config: Config, progress: Progress | None = None) -> Corpus:
    """The recorded videos below `config.data_root`. Raises DataError where something is missing or changed."""
    root = resolve(config.data_root)
    videos = tuple(
        Video(str(row["name"]), clip(root, row["name"]), row.category, row.split, str(row.source), spans(row.intervals))
        for _, row in table(root).iterrows()
    )
    return Corpus("recorded", videos, recorded=root)


def table(root: Path) -> pd.DataFrame:
    """The videos, a row each; see COLUMNS. Raises as `load`."""
    path = root / TABLE
    if not path.is_file():
        raise DataError(f"no {path}; set data_root to the folder of a recorded run, such as notebooks/recorded/demo")
    as_shipped(root)
    with reading(path, "the table of a recorded run", REMEDY):
        found = pd.read_csv(path, dtype={"name": str, "source": str, "intervals": str}, keep_default_na=False)
        if missing := [name for name in COLUMNS if name not in found]:
            raise DataError(f"{path}: the column {missing[0]} is missing; {REMEDY}")
        if twice := found["name"][found["name"].duplicated()].tolist():
            raise DataError(f"{path}: {shown(twice[0], 80)} is there twice; {REMEDY}")
        if astray := [one for one in found["name"] if os.path.normpath(f"/{one}") != f"/{one}" or "\0" in one]:
            raise DataError(f"{path}: {shown(astray[0], 80)} is no name below {CLIPS}/; {REMEDY}")
        if not found["frames"].between(1, MOST_FRAMES).all():
            raise DataError(f"{path}: expected 1 to {MOST_FRAMES} frames of a video, got others; {REMEDY}")
        found["intervals"].map(spans)
    return found


def clip(root: Path, name: str) -> Path:
    """Where a video's clip is, if it was recorded."""
    return root / CLIPS / f"{name}.mp4"


def spans(text: str) -> tuple[tuple[int, int], ...] | None:
    found = json.loads(text)
    return None if found is None else tuple((start, end) for start, end in found)
