"""A content-keyed, atomic cache: an entry is a folder that either is complete or does not exist.

Its name is the hash of everything it was made from. It is built in a temporary folder beside its place and moved there
by one rename: a killed process never leaves half an entry, and of two that build the same one both end with a whole.

`key.json` holds the digest of every file, and an entry is held against it when a process first opens it. One that is
damaged is dropped, said so, and built again. So is one of an earlier version, which has no digests: what cannot be
checked is not used.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from vadkit.core.errors import DataError, DiskError

KEY, SUMS = "key.json", "SHA256SUMS"
STALE_SECONDS = 60  # a living owner holds a lock, but not yet in the moment that it makes its folder
FULL, DENIED = (
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST),
)
FULL_WORDS = ("iostream error", " requested and ")  # torch's and OpenVINO's, and NumPy's: their errors have no number


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
            (scratch / KEY).write_bytes(_key_text(key, _digests(scratch, _files(scratch))))
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
        return _damage(folder, tuple(_files(folder).items()))
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
    return {name: _file_digest(os.path.join(folder, name), state) for name, state in files.items() if name != KEY}


def _files(folder: Path) -> dict[str, tuple[int, ...]]:
    """The state of a folder's files, by their names in it; hidden ones are a file browser's or a network disk's."""
    start = len(os.path.join(folder, ""))
    names = [os.path.join(place, name)[start:] for place, _, names in os.walk(folder) for name in names]
    return {name: _state(os.path.join(folder, name)) for name in sorted(names) if "/." not in f"/{name}"}


def as_shipped(folder: Path, *names: str) -> Path:
    """The folder, whose files, or those of the names, are what its SHA256SUMS lists. Raises DataError where one is not.
    `docs/sums.py` writes such a list, in the way of `sha256sum`."""
    lines = (folder / SUMS).read_text(errors="replace").split("\n")[:-1] if (folder / SUMS).is_file() else []
    for name in names or sorted({*(line[66:] for line in lines), *_files(folder)} - {SUMS}):
        path = folder / name
        if not path.is_file() or f"{_file_digest(str(path), _state(path))}  {name}" not in lines:
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
    return _file_digest(os.fspath(path), _state(path))[:20]


@cache
def _file_digest(path: str, state: tuple[int, ...]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: str | Path) -> tuple[int, ...]:
    """What changes with a file's content; the last of the times cannot be set back."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write a whole file or nothing."""
    with whole_file(path) as scratch, open(scratch, "xb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A scratch file beside `path`, whose folder is made; it takes that name at the end, and is gone after an error,
    as is DiskError."""
    path = Path(path)
    # not mkstemp: others may read the file
    scratch = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield scratch
            os.replace(scratch, path)
    finally:
        with suppress(OSError):  # it has taken its name, or the disk takes nothing
            os.truncate(scratch, 0)  # PyAV keeps a film open that it could not write
            scratch.unlink()


def is_left(scratch: Path) -> bool:
    """Whether a file of `whole_file` was left by a dead process; a living one may be scoring a camera into it."""
    pid = scratch.name.rsplit("-", 2)[-2]
    return pid.isdigit() and not psutil.pid_exists(int(pid))


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


@contextmanager
def on_disk(path: str | Path) -> Iterator[None]:
    """Raises DiskError where the disk refuses what is done within, at `path`; other errors stay as they are."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if said := refusal(error, path):
            raise DiskError(said) from error
        raise


def refusal(error: Exception, path: str | Path) -> str:
    """What the disk refused, with the place and the remedy; empty for an error of another kind."""
    elsewhere = "choose another place (a run's are output_root and cache_root)"
    named = str(getattr(error, "filename", None) or path)
    named = path if os.path.dirname(named) == os.path.dirname(path) else named  # not a scratch file's own name
    for one in (error, error.__context__):
        if getattr(one, "errno", None) in FULL or any(word in str(one) for word in FULL_WORDS):
            return f"{path}: the disk is full; make room there, or {elsewhere}"
    if getattr(error, "errno", None) in DENIED:
        return f"{named}: {error.strerror}; see to it that it can be read and written, or {elsewhere}"
    gone = f"{named} is there no more: it was deleted while it was in use; run it again"
    return gone if isinstance(error, FileNotFoundError) else ""
