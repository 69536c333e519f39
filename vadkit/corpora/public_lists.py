"""What is public of data sets without their videos: names, classes, splits, lengths, rates, annotated spans.

`lists/*.csv` holds a row a video; `lists/README.md` says where each column is from. Nothing else of the data sets is
here, and no reader needs their files for these facts.
"""

from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from vadkit.core.digests import as_shipped
from vadkit.core.errors import ConfigError
from vadkit.corpora.video import Spans, Video

DATASETS = {"ucf-crime": "ucf_crime.csv", "xd-violence": "xd_violence.csv"}
LISTS = Path(str(resources.files("vadkit.corpora") / "lists"))


@cache
def listed(dataset: str) -> dict[str, Video]:
    """The videos of a data set by name, in the order of its lists, with lengths and rates and without files. Raises
    ConfigError for one that is not here."""
    if dataset not in DATASETS:
        raise ConfigError(f"no lists of a data set '{dataset}'; there are {', '.join(DATASETS)}")
    as_shipped(LISTS, DATASETS[dataset])
    table = pd.read_csv(LISTS / DATASETS[dataset], dtype={"name": str, "spans": str}, keep_default_na=False)
    return {
        name: Video(name, Path(f"{name}.mp4"), category, split, name, _spans(spans), None, int(frames), float(fps))
        for name, category, split, frames, fps, spans in table.itertuples(index=False)
    }


def _spans(text: str) -> Spans | None:
    """'165-240 300-310' half-open, '' for none, '?' where only the label is known."""
    if text == "?":
        return None
    return tuple(tuple(map(int, one.split("-"))) for one in text.split())
