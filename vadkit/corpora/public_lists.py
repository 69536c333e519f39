"""What is public of data sets without their videos: names, classes, splits, lengths, rates, annotated spans.

`lists/*.csv` holds a row a video; `lists/README.md` says where each column is from. Nothing else of the data sets is
here, and no reader needs their files for these facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from vadkit.core.errors import ConfigError
from vadkit.core.store import as_shipped
from vadkit.corpora.video import Spans

DATASETS = {"ucf-crime": "ucf_crime.csv", "xd-violence": "xd_violence.csv"}
LISTS = Path(str(resources.files("vadkit.corpora") / "lists"))


@dataclass(frozen=True)
class Listed:
    """One video. spans: as of `corpora.video.Video`; None for an anomalous video known by its label alone."""

    name: str
    category: str
    split: str  # "train" or "test", as the data set's authors say
    frames: int
    fps: float
    spans: Spans | None

    @property
    def label(self) -> int:
        """1 for a video with an anomaly, 0 for a normal one."""
        return int(self.category != "Normal")


@cache
def listed(dataset: str) -> dict[str, Listed]:
    """The videos of a data set by name, in the order of its lists. Raises ConfigError for one that is not here."""
    if dataset not in DATASETS:
        raise ConfigError(f"no lists of a data set '{dataset}'; there are {', '.join(DATASETS)}")
    as_shipped(LISTS, DATASETS[dataset])
    table = pd.read_csv(LISTS / DATASETS[dataset], dtype={"name": str, "spans": str}, keep_default_na=False)
    return {
        row.name: Listed(row.name, row.category, row.split, int(row.frames), float(row.fps), _spans(row.spans))
        for row in table.itertuples(index=False)
    }


def _spans(text: str) -> Spans | None:
    """'165-240 300-310' half-open, '' for none, '?' where only the label is known."""
    if text == "?":
        return None
    return tuple(tuple(map(int, one.split("-"))) for one in text.split())
