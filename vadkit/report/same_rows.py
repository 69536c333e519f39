"""The rows in which two runs' results differ, for `vadkit compare` and `benchmarks/same_rows.py`.

Numbers may lie 1e-9 apart, all else must be equal. What a machine measured of itself (times, memory) is not compared,
nor which notebook saved a row and under which parameters.
"""

from pathlib import Path

import pandas as pd

from vadkit.core.errors import DataError, reading
from vadkit.corpora.video import TABLE
from vadkit.report.rows import KEY

PROVENANCE = ["notebook", "config"]
MEASURED = {"item": ["efficiency", "real time"], "unit": ["s", "ms", "fps", "times", "MB", "MiB"]}
ABSENT = "(no such row)"
TOLERANCE = 1e-9


def read(path: Path) -> pd.DataFrame:
    """The rows to compare, as text, of a results.csv or the folder that holds it; index: KEY. Raises DataError."""
    path = path / "results.csv" if path.is_dir() else path
    with reading(path, TABLE, "give a run's results, outputs/<profile>"):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := {*KEY, *PROVENANCE, *MEASURED, "value"} - {*frame.columns}:
        raise DataError(f"{path} holds no run's results: no column {', '.join(sorted(missing))}")
    measured = frame[list(MEASURED)].isin(MEASURED).all(axis=1)
    return frame[~measured].set_index(KEY).drop(columns=PROVENANCE)


def differences(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """A line for each cell that differs, columns `old` and `new`; a row that one side lacks is one line, its value."""
    old, new = old.align(new, axis=1, fill_value="")
    old, new = old.align(new, axis=0, fill_value=ABSENT)
    cells = pd.DataFrame({"old": old.stack(), "new": new.stack()})
    apart = cells.apply(pd.to_numeric, errors="coerce").diff(axis=1)["new"].abs()
    absent = cells.eq(ABSENT).any(axis=1) & (cells.index.get_level_values(-1) != "value")
    return cells[cells["old"].ne(cells["new"]) & ~apart.le(TOLERANCE) & ~absent]


def report(old: Path, new: Path) -> tuple[str, int]:
    """(what differs, for a terminal; how many rows do)."""
    before, after = read(old), read(new)
    found = differences(before, after)
    rows = len(found.index.droplevel(-1).unique())
    table = found.reset_index().to_string(index=False, max_colwidth=80) + "\n" if rows else ""
    return f"{table}{rows} rows differ, of {len(before)} old and {len(after)} new ones", rows
