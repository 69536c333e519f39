"""Errors a person can act on: each names what was expected, what came, and what to do."""


class VadkitError(Exception):
    """Base of all errors raised for a user's input; the command and a notebook's page show it without a traceback."""

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
