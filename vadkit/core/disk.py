"""Files that are written whole or not at all, and what a disk refuses, in a person's words."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from vadkit.core.errors import DiskError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
FULL_WORDS = ("iostream error", " requested and ")  # torch's and OpenVINO's, and NumPy's: their errors have no number


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
