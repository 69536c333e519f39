"""A content-keyed, atomic cache: an entry is a folder that either is complete or does not exist.

Its name is the hash of everything it was made from. It is built in a temporary folder beside its place and moved there
by one rename: a killed process never leaves half an entry, and of two that build the same one both end with a whole.

`key.json` holds the digest of every file, and an entry is held against it when a process first opens it. One that is
damaged is dropped, said so, and built again. So is one of an earlier version, which has no digests: what cannot be
checked is not used.
"""

import fcntl
import json
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from vadkit.core.digests import digest, files_of, whole_digest
from vadkit.core.disk import on_disk
from vadkit.core.errors import DataError

KEY = "key.json"
STALE_SECONDS = 60  # a living owner holds a lock, but not yet in the moment that it makes its folder


class Store:
    """A folder of finished entries, `<root>/<kind>/<digest>/`."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def path(self, kind: str, key: dict[str, Any]) -> Path:
        """Where the entry of `key` is or would be."""
        return self.root / kind / digest(key)

    def has(self, kind: str, key: dict[str, Any]) -> bool:
        """Whether the entry is there. A damaged one is dropped, with a warning; DataError where it cannot be."""
        final = self.path(kind, key)
        while final.is_dir() and damage(final):
            _drop(final)
        return final.is_dir()

    def fetch(self, kind: str, key: dict[str, Any], build: Callable[[Path], None]) -> Path:
        """The finished entry's folder; `build(folder)` fills it first where it is missing. key: JSON-able, holding
        everything that the content depends on. An exception in `build` leaves no entry; a disk's is a DiskError. Raises
        as `has`."""
        final = self.path(kind, key)
        with on_disk(final):
            return final if self.has(kind, key) else self._make(final, kind, key, build)

    def _make(self, final: Path, kind: str, key: dict[str, Any], build: Callable[[Path], None]) -> Path:
        final.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(final.parent)
        scratch = _aside(final)
        scratch.mkdir()  # not mkdtemp: others may read an entry
        lock = _locked(scratch, wait=True)
        if not scratch.is_dir():  # swept before it was locked, on a machine that slept, say
            return self._make(final, kind, key, build)
        try:
            build(scratch)
            (scratch / KEY).write_bytes(_key_text(key, _digests(scratch, files_of(scratch))))
            _sync(scratch)
            try:
                os.rename(scratch, final)
            except OSError:
                if not self.has(kind, key):  # not a race that another process won
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if lock is not None:
                os.close(lock)
        return final

    def scratch(self, kind: str, key: dict[str, Any]) -> Path:
        """A folder that survives a kill, for work that resumes (checkpoints); not an entry."""
        folder = self.root / "unfinished" / kind / digest(key)
        with on_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @staticmethod
    def _sweep(folder: Path) -> None:
        """Remove what killed processes left, once it is old; its owner holds a lock on it as long as it lives."""
        for left in folder.glob(".building-*"):
            with suppress(OSError):  # it is gone
                if time.time() - left.stat().st_mtime > STALE_SECONDS and (lock := _locked(left)) is not None:
                    shutil.rmtree(left, ignore_errors=True)
                    os.close(lock)


def damage(folder: Path) -> str:
    """What of an entry is not as it was built, "" where all is. Looked at once a process, and again where a file's size
    or times have changed. Raises DataError where a file cannot be read."""
    try:
        return _damage(folder, tuple(files_of(folder).items()))
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        raise DataError(f"{error}; delete {folder}, and it is made again") from None


@cache
def _damage(folder: Path, files: tuple) -> str:
    text, found, changed = (folder / KEY).read_bytes(), _digests(folder, dict(files)), []
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        key, built = (json.loads(text)[name] for name in ("key", "files"))
        if text == _key_text(key, found) and digest(key) == folder.name:
            return ""
        changed = [name for name in sorted({*built, *found}) if built.get(name) != found.get(name)]
    return (
        f"{changed[0] if changed else f'{KEY}, which earlier versions wrote without digests,'} is not as it was built"
    )


def _drop(final: Path) -> None:
    """Take a damaged entry away by one rename, then delete it: what others have open they can read on. Under a lock,
    lest one that another process has built since goes in its place."""
    lock, aside = _locked(final.parent, wait=True), _aside(final)
    try:
        if final.is_dir() and (what := damage(final)):
            os.rename(final, aside)
            warnings.warn(f"{final}: {what}; it is dropped and made again", stacklevel=4)
    except OSError as error:
        if final.is_dir():  # else, without locks, another process was faster
            raise DataError(f"{final}: {what}, and it cannot be removed ({error.strerror}); delete it") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _aside(final: Path) -> Path:
    """A name for what is no entry yet, or no longer; what a killed process leaves there is swept."""
    return final.with_name(f".building-{os.getpid()}-{secrets.token_hex(4)}")


def _key_text(key: Any, digests: dict[str, str]) -> bytes:
    return json.dumps({"key": key, "files": digests}, indent=1, sort_keys=True).encode()


def _digests(folder: Path, files: dict[str, tuple[int, ...]]) -> dict[str, str]:
    return {name: whole_digest(os.path.join(folder, name), state) for name, state in files.items() if name != KEY}


def _locked(folder: Path, wait: bool = False) -> int | None:
    """An open descriptor that holds a folder's lock until it is closed or its process ends; None where there is none.
    wait: until another lets it go. On a file system without locks nobody's death can be told, so nothing is swept."""
    opened = None
    try:
        opened = os.open(folder, os.O_RDONLY)
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
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
