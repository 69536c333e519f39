"""What content is known by: SHA-256 digests of keys, of files, and of all that ships."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from vadkit.core.errors import DataError

SUMS = "SHA256SUMS"


def files_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The state of a folder's files, by their names in it; hidden ones are a file browser's or a network disk's."""
    start = len(os.path.join(folder, ""))
    names = [os.path.join(place, name)[start:] for place, _, names in os.walk(folder) for name in names]
    return {name: _state(os.path.join(folder, name)) for name in sorted(names) if "/." not in f"/{name}"}


def as_shipped(folder: Path, *names: str) -> Path:
    """The folder, whose files, or those of the names, are what its SHA256SUMS lists. Raises DataError where one is not.
    `docs/sums.py` writes such a list, in the way of `sha256sum`."""
    lines = (folder / SUMS).read_text(errors="replace").split("\n")[:-1] if (folder / SUMS).is_file() else []
    for name in names or sorted({*(line[66:] for line in lines), *files_of(folder)} - {SUMS}):
        path = folder / name
        if not path.is_file() or f"{whole_digest(str(path), _state(path))}  {name}" not in lines:
            remedy = "`git checkout` it or install vadkit again; after a change that was meant, run docs/sums.py"
            raise DataError(f"{path} is missing, or not as {SUMS} beside it says; {remedy}")
    return folder


def digest(key: Any) -> str:
    """Twenty hex digits of a key, whatever the order of its dictionaries. Raises TypeError for what JSON cannot hold,
    ValueError for NaN."""
    text = json.dumps(key, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def file_digest(path: str | Path) -> str:
    """Twenty hex digits of a file's content, or of a folder's files; remembered while size and times stay."""
    if os.path.isdir(path):
        files = sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        return digest([[os.path.basename(file), file_digest(file)] for file in files])
    return whole_digest(os.fspath(path), _state(path))[:20]


@cache
def whole_digest(path: str, state: tuple[int, ...]) -> str:
    """All hex digits of a file's content. state: of `files_of`, by which it is remembered."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: str | Path) -> tuple[int, ...]:
    """What changes with a file's content; the last of the times cannot be set back."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
