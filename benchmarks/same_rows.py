"""Whether two runs gave the same results: prints each value that differs, and exits with 1 where one does.

    python benchmarks/same_rows.py OLD NEW

OLD and NEW are results.csv files, or folders that hold one, of any version of the package. `vadkit compare` prints the
same; what counts as a difference stands in `vadkit.report.same_rows`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vadkit.report.same_rows import differences, read, report  # noqa: E402, F401


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    text, rows = report(options.old, options.new)
    print(text)
    return int(rows > 0)


if __name__ == "__main__":
    sys.exit(main())
