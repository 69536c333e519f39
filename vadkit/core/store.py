"""A content-keyed, atomic cache: an entry is a folder that either is complete or does not exist.

Its name is the hash of everything it was made from. It is built in a temporary folder beside its place and moved there
by one rename: a killed process never leaves half an entry, and of two that build the same one both end with a whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

STALE_SECONDS = 24 * 3600  # younger folders are left alone: one is not locked yet in the moment it is made


class Store:
    """A folder of finished entries, `<root>/<kind>/<digest>/`."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def path(self, kind: str, key: dict[str, Any]) -> Path:
        """Where the entry of `key` is or would be."""
        return self.root / kind / digest(key)

    def has(self, kind: str, key: dict[str, Any]) -> bool:
        return self.path(kind, key).is_dir()

    def fetch(self, kind: str, key: dict[str, Any], build: Callable[[Path], None]) -> Path:
        """The finished entry's folder; `build(folder)` fills it first where it is missing. key: JSON-able, holding
        everything that the content depends on. An exception in `build` leaves no entry."""
        final = self.path(kind, key)
        if final.is_dir():
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(final.parent)
        # not mkdtemp: others may read an entry
        scratch = final.parent / f".building-{os.getpid()}-{secrets.token_hex(4)}"
        scratch.mkdir()
        lock = _locked(scratch)
        try:
            build(scratch)
            (scratch / "key.json").write_text(json.dumps(key, indent=1, sort_keys=True, default=str))
            _sync(scratch)
            try:
                os.rename(scratch, final)
            except OSError:
                if not final.is_dir():  # not a race that another process won
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if lock is not None:
                os.close(lock)
        return final

    def scratch(self, kind: str, key: dict[str, Any]) -> Path:
        """A folder that survives a kill, for work that resumes (checkpoints); not an entry."""
        folder = self.root / "unfinished" / kind / digest(key)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @staticmethod
    def _sweep(folder: Path) -> None:
        """Remove what killed processes left, once it is a day old; its owner holds a lock on it as long as it lives."""
        for left in folder.glob(".building-*"):
            with suppress(OSError):  # it is gone
                if time.time() - left.stat().st_mtime > STALE_SECONDS and (lock := _locked(left)) is not None:
                    shutil.rmtree(left, ignore_errors=True)
                    os.close(lock)


def digest(key: Any) -> str:
    """Twenty hex digits of a key, whatever the order of its dictionaries. Raises TypeError for what JSON cannot hold,
    ValueError for NaN."""
    text = json.dumps(key, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def file_digest(path: str | Path) -> str:
    """Twenty hex digits of a file's content, or of a folder's files; remembered while size and time stay the same."""
    if os.path.isdir(path):
        files = sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        return digest([[os.path.basename(file), file_digest(file)] for file in files])
    status = os.stat(path)
    return _file_digest(os.fspath(path), status.st_size, status.st_mtime_ns)


@cache
def _file_digest(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:20]


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write a whole file or nothing."""
    with whole_file(path) as scratch, open(scratch, "xb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A scratch file beside `path`, whose folder is made; it takes that name at the end, and is gone after an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # not mkstemp: others may read the file
    scratch = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _locked(folder: Path) -> int | None:
    """An open descriptor that holds a folder's lock until it is closed or its process ends; None where there is none.
    On a file system without locks nobody's death can be told, so nothing is swept."""
    opened = None
    try:
        opened = os.open(folder, os.O_RDONLY)
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if opened is not None:
            os.close(opened)
        return None
    return opened


def _sync(folder: Path) -> None:
    """Push an entry's files to the disk before its rename, so that a power cut keeps the promise."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
