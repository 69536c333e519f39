"""Errors a person can act on: each names what was expected, what came, and what to do."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# control characters but tab and newline, marks that turn the direction of writing, bytes that were no UTF-8
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NOT_TEXT = re.compile("[\ud800-\udfff]")  # bytes of a file name that were no UTF-8
SECRET = re.compile(r"(://[^\s:@/]*:)\S*(?=@)|([?&](?:pass\w*|pwd|token|\w*key|secret)=)[^\s&'\"]+", re.IGNORECASE)


def shown(text: object, most: int | None = None) -> str:
    """Text as a terminal may get it, at most so many characters: what could steer it is escaped, as are bytes of a file
    name that are not UTF-8, and an address's password is left out."""
    text = SECRET.sub(lambda found: f"{found[1] or found[2]}***", str(text))
    text = UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1].replace(r"\udc", r"\x"), text)
    return text if most is None or len(text) <= most else f"{text[: most - 3]}..."


def few(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first of many lines, and how many more there are."""
    return [*lines[:most], f"and {len(lines) - most} more"] if len(lines) > most else list(lines)


class VadkitError(Exception):
    """Base of all errors raised for a user's input; the command and a notebook's page show it without a traceback."""

    def __str__(self) -> str:
        return "\n".join(shown(line, 2000) for line in super().__str__().split("\n"))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(VadkitError):
    """A parameter is unknown, of the wrong type, out of range or in conflict with another."""


class DataError(VadkitError):
    """Videos, lists or annotations are missing, malformed or contradict each other."""


class AnnotationError(DataError):
    """A line that is not what its file's format says; `where` is the file and line, `what` the rest."""

    def __init__(self, where: str, what: str):
        super().__init__(f"{where}: {what}")
        self.where, self.what = where, what

    def __reduce__(self):  # a worker process raises it as well
        return type(self), (self.where, self.what)


class TooShortError(DataError):
    """A video has fewer frames than it is to have segments."""


class WeightsError(VadkitError):
    """A weights file is missing, damaged, or belongs to another architecture."""


class UndefinedMetricError(VadkitError):
    """A metric has no value on this input (one class only, no positive frame); says why."""


class RunError(VadkitError):
    """A run of the notebooks cannot start or did not get to its end."""


class DiskError(VadkitError):
    """A disk is full, a place on it may not be written, or a file went while it was in use."""


@contextmanager
def reading(
    path: str | Path, what: str, remedy: str = "get the file again", kind: type[VadkitError] = DataError
) -> Iterator[None]:
    """Within it one file is read: whatever is wrong with it is raised as one error that names it.

    what: the file should be ("a table in UTF-8"); kind: of the error. A file's content raises many types: cut short, of
    another format or encoding, nested without end, larger than the memory. Errors that say it better pass.
    """
    try:
        yield
    except VadkitError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        if isinstance(error, OSError) and error.filename:  # else a library's word for content
            raise kind(f"{path} cannot be read ({error.strerror}); expected {what}") from None
        if "pickle" in said or "weights_only" in said:  # the libraries advise to run what is in it
            reason = "it holds Python objects, which are never loaded"
        elif isinstance(error, RecursionError):
            reason = "it nests too deeply"
        elif isinstance(error, UnicodeDecodeError):
            reason = f"byte {error.start} is not UTF-8"
        else:
            reason = f"{type(error).__name__}{said and ': '}{shown(said, 160)}"
        raise kind(f"{path} is not {what} ({reason}); {remedy}") from None
