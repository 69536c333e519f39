"""Write the digests of the files that ship: `make sums`, after one of them was meant to change.

    python docs/sums.py [FOLDER ...]

Each folder gets a SHA256SUMS, which `sha256sum -c` reads as well.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = {
    "demo_world/assets": "*.*",
    "vadkit/report": "*.csv",
    "vadkit/corpora/lists": "*.csv",
    "notebooks/recorded/demo": "**/*.*",
}


def write_sums(folder: Path, pattern: str = "**/*.*") -> None:
    """List the files of a folder that fit a pattern."""
    found = sorted(path for path in folder.glob(pattern) if path.is_file() and path.name[0] != ".")
    lines = [f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.relative_to(folder).as_posix()}\n" for one in found]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for name, pattern in SHIPPED.items() if not sys.argv[1:] else ((name, "**/*.*") for name in sys.argv[1:]):
        write_sums(ROOT / name, pattern)
