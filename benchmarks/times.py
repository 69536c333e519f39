"""How long each notebook of a run took: prints a table for a page, from the run's receipts, and a JSON line.

    python benchmarks/times.py outputs/demo [outputs/fights ...]

A receipt holds the seconds of a notebook's last execution, the day and the machine. What an earlier notebook, or an
earlier run, left in the cache is not computed again, so only a run from an empty cache says what everything takes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vadkit.workbook.receipts import read_receipt
from vadkit.workbook.run import clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, nargs="+", help="folders of finished runs")
    folders = parser.parse_args().outputs
    runs = {folder.name: receipts(folder) for folder in folders}
    print(f"| notebook | {' | '.join(runs)} |\n| --- |{' --- |' * len(runs)}")
    for name in sorted({name for run in runs.values() for name in run}):
        print(f"| {name} | {' | '.join(clock(run[name]['seconds']) if name in run else '' for run in runs.values())} |")
    whole = {profile: round(sum(one["seconds"] for one in run.values()), 1) for profile, run in runs.items()}
    print(f"| all | {' | '.join(map(clock, whole.values()))} |")
    for profile, run in runs.items():
        where = sorted({f"{one.get('machine', 'machine not recorded')}, {one.get('day', '')}" for one in run.values()})
        print(json.dumps({"profile": profile, "seconds": whole[profile], "where": where}))


def receipts(folder: Path) -> dict[str, dict]:
    """By notebook, the receipts in a run's folder."""
    found = {path.stem: read_receipt(folder, path.stem) for path in sorted((folder / "notebooks").glob("*.ipynb"))}
    return {name: one for name, one in found.items() if one}


if __name__ == "__main__":
    main()
