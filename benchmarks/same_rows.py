"""Whether two runs gave the same results: prints each value that differs, and exits with 1 where one does.

    python benchmarks/same_rows.py OLD NEW

OLD and NEW are results.csv files, or folders that hold one. Numbers may lie 1e-9 apart, all else must be equal. What a
machine measured of itself (times, memory) is not compared, nor which notebook saved a row and under which parameters.
Imports nothing of the package, so that it reads the results of any version.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

KEY = ["paper", "item", "system", "metric", "origin"]
PROVENANCE = ["notebook", "config"]
MEASURED = {"item": ["efficiency", "real time"], "unit": ["s", "ms", "fps", "times", "MB", "MiB"]}
ABSENT = "(no such row)"
TOLERANCE = 1e-9


def read(path: Path) -> pd.DataFrame:
    """The rows to compare, as text; index: KEY. Raises FileNotFoundError."""
    frame = pd.read_csv(path / "results.csv" if path.is_dir() else path, dtype=str, keep_default_na=False)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    old, new = read(options.old), read(options.new)
    found = differences(old, new)
    if len(found):
        print(found.reset_index().to_string(index=False, max_colwidth=80))
    rows = len(found.index.droplevel(-1).unique())
    print(f"{rows} rows differ, of {len(old)} old and {len(new)} new ones")
    return int(rows > 0)


if __name__ == "__main__":
    sys.exit(main())
