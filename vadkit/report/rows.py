"""Results: one row a number, beside the printed one, with its interval, verdict and provenance.

`outputs/<profile>/results/<notebook>.csv` holds a notebook's rows and `outputs/<profile>/results.csv` those of all. Shares and
areas are in percent, as the papers print them; everything else is in its `unit`.
"""

from __future__ import annotations

import csv
import fcntl
import io
import warnings
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vadkit.core.store import write_atomic
from vadkit.report import comparable, published

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vadkit.core.config import Config
    from vadkit.corpora.video import Problem
    from vadkit.evaluation.evaluate import Comparison, Metric

KEY = ("paper", "item", "system", "metric", "origin")  # what makes a row one number
FIGURE_DPI = 160
SVG_BYTES = 300_000  # a vector file past this is slower to open than the picture


@dataclass(frozen=True)
class ResultRow:
    """One number. None stands for "none"; `reason` says why."""

    paper: str
    item: str
    system: str
    metric: str
    unit: str
    origin: str  # "ours", or "arithmetic" on the paper's own numbers
    value: float | None
    ci_low: float | None
    ci_high: float | None
    seeds: int
    videos: int
    published: str  # as printed; empty where nothing is printed
    difference: float | None  # value minus published
    verdict: str  # one of published.VERDICTS or of a claim's; empty where nothing is printed
    reason: str  # why there is no value, no interval, or nothing to compare it with
    notebook: str
    config: str  # the fingerprint of the parameters


# --- rows --------------------------------------------------------------------------------------------------------


def result_rows(
    config: Config, found: Iterable[Metric], paper: str, item: str, system: str, problems: Sequence[Problem] = ()
) -> list[ResultRow]:
    """A system's metrics as rows, each beside the printed number where the paper has one under `item` and `system`.

    problems: of its videos; where one was left out, the data are not the paper's.
    """
    rows = []
    for m in found:
        scale, unit = (1.0, m.unit) if m.unit else (100.0, "%")
        value, low, high = (None if x is None else scale * x for x in (m.value, m.ci_low, m.ci_high))
        rows.append(
            _row(
                config,
                paper,
                item,
                system,
                m.name,
                unit,
                value,
                low,
                high,
                len(m.per_seed),
                m.videos,
                m.reason,
                problems,
            )
        )
    return rows


def change_rows(
    config: Config, found: Comparison, paper: str, item: str, system: str, problems: Sequence[Problem] = ()
) -> list[ResultRow]:
    """A comparison as two rows: the relative change, as the first paper counts, and the difference.

    system: for a claim of the paper as printed there, "2S-bag / 2S-no-bag". Metrics `<metric>_relative_change` (%) and
    `<metric>_difference` (points, or the metric's unit). problems: as for `result_rows`.
    """
    unit, scale = ("s", 1.0) if found.metric.endswith("_s") else ("%", 100.0)
    parts = (
        ("relative_change", "%", 100.0, (found.relative, found.relative_low, found.relative_high)),
        ("difference", unit, scale, (found.difference, found.ci_low, found.ci_high)),
    )
    rows = []
    for name, its_unit, factor, numbers in parts:
        value, low, high = (None if x is None else factor * x for x in numbers)
        reason = found.reason or (f"{system.split(' / ')[-1]} has 0: no multiple of it" if value is None else "")
        rows.append(
            _row(
                config,
                paper,
                item,
                system,
                f"{found.metric}_{name}",
                its_unit,
                value,
                low,
                high,
                found.seeds,
                found.videos,
                reason,
                problems,
            )
        )
    return rows


def number_row(
    config: Config, value: float | None, unit: str, paper: str, item: str, system: str, metric: str, reason: str = ""
) -> ResultRow:
    """A count, a time or a setting: no seeds, no interval. reason: why there is no value."""
    return _row(
        config, paper, item, system, metric, unit, None if value is None else float(value), None, None, 0, 0, reason
    )


def claim_rows(config: Config, paper: str | None = None) -> list[ResultRow]:
    """Each claim of a paper (of both by default) beside what its own numbers give, origin "arithmetic"."""
    rows = []
    for check in published.check_claims(paper):
        c = check.claim
        rows.append(
            ResultRow(
                c.paper, c.item, c.system, c.metric, c.unit, "arithmetic", check.computed, check.low, check.high, 0, 0,
                c.text, check.computed - c.value, check.verdict, c.note, "", config.fingerprint(),
            )
        )  # fmt: skip
    return rows


def _row(config, paper, item, system, metric, unit, value, low, high, seeds, videos, reason, problems=()) -> ResultRow:
    printed = published.lookup(paper, item, system, metric) if paper else None
    difference = verdict = None
    if printed is not None:
        if printed.unit != unit:
            raise ValueError(f"{paper}, {item}, {system}, {metric}: printed in '{printed.unit}', ours is in '{unit}'")
        difference = None if value is None else value - printed.value
        interval = None if low is None or high is None or low == high else (low, high)  # of no width: no interval
        differs = comparable.why_not(config, printed, problems)
        verdict = published.verdict(
            value,
            interval,
            printed.value,
            printed.decimals,
            not differs,
            printed.tolerance,
            printed.is_change,
            printed.relation,
        )
        reason = "; ".join(filter(None, (reason, differs)))
    text = printed.text if printed is not None else ""
    return ResultRow(
        paper,
        item,
        system,
        metric,
        unit,
        "ours",
        value,
        low,
        high,
        seeds,
        videos,
        text,
        difference,
        verdict or "",
        reason,
        "",
        config.fingerprint(),
    )


# --- files -------------------------------------------------------------------------------------------------------


def save_rows(config: Config, notebook: str, rows: Sequence[ResultRow]) -> Path:
    """Write a notebook's rows, rebuild results.csv from all notebooks' rows, and return the notebook's file.

    Both files are replaced whole; two processes take turns. Warns where two notebooks give one number two values. Raises ValueError for no row, a number given twice, or a
    notebook name that is not a plain file name.
    """
    if not rows:
        raise ValueError(f"{notebook}: no row to save")
    _plain(notebook)
    keys = [tuple(getattr(r, name) for name in KEY) for r in rows]
    twice = next((k for k in keys if keys.count(k) > 1), None)
    if twice:
        raise ValueError(f"{notebook}: {' | '.join(twice)} is given twice")
    folder = config.output_dir / "results"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{notebook}.csv"
    with _turn(folder / ".lock"):
        write_atomic(part, _csv([replace(r, notebook=notebook) for r in rows]))
        write_atomic(config.output_dir / "results.csv", _joined(sorted(folder.glob("*.csv")), config.fingerprint()))
    return part


def load_results(config: Config) -> pd.DataFrame:
    """All saved rows of the profile, with `current`: whether a row was made with these very parameters.

    Raises FileNotFoundError where nothing is saved yet.
    """
    import pandas as pd

    path = config.output_dir / "results.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no results of profile '{config.profile}' yet: {path} is written by the notebooks")
    text = {f.name: str for f in fields(ResultRow) if f.type == "str"}
    frame = pd.read_csv(
        path, dtype=text, keep_default_na=False, na_values={f.name: [""] for f in fields(ResultRow) if f.type != "str"}
    )
    frame["current"] = frame["config"] == config.fingerprint()
    return frame


def split_current(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of `load_results`' frame the rows of these very parameters, and a sentence that counts the others, which nothing today speaks of."""
    others = rows[~rows["current"]]
    if not len(others):
        return rows, f"All {len(rows)} saved rows are of these parameters."
    places = ", ".join(sorted(set(others["notebook"])))
    return (
        rows[rows["current"]],
        f"{len(others)} of {len(rows)} saved rows were made with other parameters and are skipped (notebooks {places}): run those again.",
    )


def rows_of(rows: Sequence[ResultRow] | pd.DataFrame) -> list[ResultRow]:
    """Rows as they are, or out of `load_results`' frame."""
    if not hasattr(rows, "to_dict"):
        return list(rows)
    names = [f.name for f in fields(ResultRow)]
    records = rows[names].to_dict("records")
    return [
        ResultRow(**{k: None if v != v else v for k, v in record.items()}) for record in records
    ]  # NaN differs from itself


def save_figure(config: Config, name: str, figure: Figure) -> Path:
    """Write a figure to figures/<name>.png, and .svg where that is small, each whole; returns the PNG's path.

    The same figure gives the same bytes: no date and no version is written into them.
    """
    import matplotlib

    _plain(name)
    path = config.output_dir / "figures" / f"{name}.png"
    write_atomic(path, _rendered(figure, format="png", dpi=FIGURE_DPI, metadata={"Software": None}))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        vector = _rendered(figure, format="svg", metadata={"Date": None, "Creator": None})
    if len(vector) <= SVG_BYTES:
        write_atomic(path.with_suffix(".svg"), vector)
    else:
        path.with_suffix(".svg").unlink(missing_ok=True)
    return path


def save_problems(config: Config, notebook: str, problems: Iterable[Problem]) -> Path:
    """Write what a notebook left out or mended, and rebuild left_out.csv from all notebooks, each line once.

    What was left out comes first. Both files are replaced whole; two processes take turns.
    """
    _plain(notebook)
    folder = config.output_dir / "left_out"
    folder.mkdir(parents=True, exist_ok=True)
    path = config.output_dir / "left_out.csv"
    with _turn(folder / ".lock"):
        write_atomic(
            folder / f"{notebook}.csv",
            _problems_csv(["yes" if p.left_out else "no", p.where, p.what] for p in problems),
        )
        lines = []
        for part in sorted(folder.glob("*.csv")):
            with open(part, newline="", encoding="utf-8") as file:
                lines += list(csv.reader(file))[1:]
        write_atomic(path, _problems_csv(lines))
    return path


def _problems_csv(lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["left_out", "where", "what"])
    writer.writerows(sorted(set(map(tuple, lines)), key=lambda line: (line[0] != "yes", line)))
    return text.getvalue()


def _csv(rows: Sequence[ResultRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f.name for f in fields(ResultRow)])
    # one line a row, so that the file can be read with grep as well
    writer.writerows(
        [
            " ".join(v.split())
            if isinstance(v, str)
            else ""
            if v is None
            else f"{v:.8g}"
            if isinstance(v, float)
            else v
            for v in asdict(r).values()
        ]
        for r in rows
    )
    return text.getvalue()


def _joined(parts: Sequence[Path], fingerprint: str) -> str:
    """All parts under one header, each number once: of these parameters rather than others, from the first notebook.

    By column name, so that a part written by an earlier version still fits. Two notebooks that give one number, with the same parameters,
    two values are named in a warning: one of them is from before a change, or they do not measure the same. No error, for hours of
    training may be waiting to be saved.
    """
    rows: dict[tuple, dict] = {}
    for part in parts:
        with open(part, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = tuple(row.get(name, "") for name in KEY)
                kept = rows.get(key, row)
                if kept.get("config") == row.get("config") and any(
                    kept.get(name) != row.get(name) for name in ("value", "ci_low", "ci_high")
                ):
                    values, places = (
                        " and ".join(one.get(name) or "none" for one in (kept, row)) for name in ("value", "notebook")
                    )
                    warnings.warn(
                        f"notebooks {places} give {' | '.join(filter(None, key))} as {values}; the first is kept: run both again",
                        stacklevel=3,
                    )
                if key not in rows or (row.get("config") == fingerprint != rows[key].get("config")):
                    rows[key] = row
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [f.name for f in fields(ResultRow)], restval="", extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows.values())
    return text.getvalue()


def _rendered(figure: Figure, **options) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def _plain(name: str) -> None:
    if not name or name.startswith(".") or any(c in name for c in "/\\ "):
        raise ValueError(f"expected a plain name without folders, spaces or a leading point, got '{name}'")


@contextmanager
def _turn(path: Path):
    """Hold an exclusive lock on a file, released when the process ends however it ends."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
