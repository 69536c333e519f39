"""A notebook's answer to its question: sentences that rules make of its own rows, so that no prose contradicts one.

    answers.show(config, "02", answers.effect(rows, "2S-bag / 2S-no-bag", "fl_auc", "Knowing the objects"))

A rule says no more than an interval allows: a difference is higher or lower only where its interval leaves out zero.
"""

from collections.abc import Sequence
from typing import Any

from vadkit.core.config import Config
from vadkit.core.disk import write_atomic
from vadkit.report.rows import ResultRow
from vadkit.report.tables import label, number_text

TITLE = "## Answer, on these data"


def show(config: Config, notebook: str, *sentences: str) -> Any:
    """The answer as a page shows it; kept in `answers/<notebook>.md` beside the results. Empty sentences are left out.

    Raises ValueError where no sentence is left.
    """
    from IPython.display import Markdown

    said = [one.strip() for one in sentences if one.strip()]
    if not said:
        raise ValueError(f"{notebook}: an answer needs at least one sentence")
    text = " ".join(said)
    write_atomic(config.output_dir / "answers" / f"{notebook}.md", f"{text}\n")
    return Markdown(f"{TITLE}\n\n{text}")


def find(rows: Sequence[ResultRow], system: str, metric: str) -> ResultRow:
    """The row of a system's metric. Raises KeyError where there is none."""
    for row in rows:
        if (row.system, row.metric) == (system, metric):
            return row
    raise KeyError(f"no row of {system}, {metric}")


def sign(rows: Sequence[ResultRow], pair: str, metric: str) -> int:
    """1 or -1 where a difference's interval leaves out zero, by its side; 0 where it contains zero or is missing."""
    row = find(rows, pair, f"{metric}_difference")
    return 0 if row.ci_low is None or row.ci_high is None else (row.ci_low > 0) - (row.ci_high < 0)


def effect(rows: Sequence[ResultRow], pair: str, metric: str, subject: str) -> str:
    """A sentence on a paired difference. pair: "2S-bag / 2S-no-bag"; subject: what the first has and the second not."""
    row, name, what = find(rows, pair, f"{metric}_difference"), label(metric), subject.rstrip(",")
    if row.value is None or row.ci_low is None:
        return f"{what}: no statement on {name} ({row.reason or 'there is no interval'})."
    if row.value == row.ci_low == row.ci_high == 0:
        return f"{what} changes nothing in {name}: here both systems are the same one."
    unit = "points" if row.unit == "%" else row.unit
    size = f"{abs(row.value):.1f} {unit} [{row.ci_low:+.1f}, {row.ci_high:+.1f}]"
    if not (side := sign(rows, pair, metric)):
        size = f"{row.value:+.1f} {unit} [{row.ci_low:+.1f}, {row.ci_high:+.1f}]"
        return f"{subject} moves {name} by {size}, which these videos cannot distinguish from zero."
    return f"{subject} {'raises' if side > 0 else 'lowers'} {name} by {size}."


def value(rows: Sequence[ResultRow], system: str, metric: str) -> str:
    """ "80.3 % [75.0, 85.5]" of a system's metric, with its unit."""
    row = find(rows, system, metric)
    number, bracket, interval = number_text(row).partition(" [")
    return f"{number} {row.unit}{bracket}{interval}" if row.value is not None else f"not defined ({row.reason})"


def against(rows: Sequence[ResultRow], system: str, metric: str, level: float, what: str) -> str:
    """Where a system stands beside a fixed level (in the row's unit), such as chance, by its interval."""
    row = find(rows, system, metric)
    shown = f"The {label(metric)} of {system} is {value(rows, system, metric)}"
    if row.ci_low is None or row.ci_high is None:
        return f"{shown}."
    side = (row.ci_low > level) - (row.ci_high < level)
    than = {1: "above", -1: "below", 0: "not distinguishable from"}[side]
    return f"{shown}, {than} {what} ({level:g})."
