"""Results: one row a number, beside the printed one, with its interval, verdict and provenance.

`outputs/<profile>/results/<notebook>.csv` holds a notebook's rows and `outputs/<profile>/results.csv` those of all.
Shares and areas are in percent, as the papers print them; everything else is in its `unit`.
"""

import fcntl
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import pandas as pd

from vadkit.core.config import Config
from vadkit.core.disk import write_atomic
from vadkit.core.errors import reading
from vadkit.corpora.video import Problem
from vadkit.evaluation.bootstrap import Comparison, Metric
from vadkit.report import comparable, published

KEY = ["paper", "item", "system", "metric", "origin"]  # what makes a row one number
PROBLEM = ["left_out", "where", "what"]
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


COLUMNS = [f.name for f in fields(ResultRow)]
TEXTS = [f.name for f in fields(ResultRow) if f.type is str]

# --- rows --------------------------------------------------------------------------------------------------------


def result_rows(
    config: Config, found: Iterable[Metric], paper: str, item: str, system: str, problems: Sequence[Problem] = ()
) -> list[ResultRow]:
    """A system's metrics as rows, each beside the printed number where the paper has one under `item` and `system`.

    Shares, which have no unit, are in percent. problems: of its videos; where one was left out, the data are not the
    paper's.
    """
    rows = []
    for m in found:
        numbers = [x if m.unit or x is None else 100.0 * x for x in (m.value, m.ci_low, m.ci_high)]
        key = (paper, item, system, m.name)
        rows.append(_row(config, key, m.unit or "%", numbers, m.reason, problems, len(m.per_seed), m.videos))
    return rows


def change_rows(
    config: Config, found: Comparison, paper: str, item: str, system: str, problems: Sequence[Problem] = ()
) -> list[ResultRow]:
    """A comparison as two rows: the relative change, as the first paper counts, and the difference.

    system: "2S-bag / 2S-no-bag". Metrics `<metric>_relative_change` (%) and `<metric>_difference` (points, or the
    metric's unit). problems: as for `result_rows`.
    """
    c, of = found, ((None,) * found.seeds, found.videos)
    zero = f"{system.split(' / ')[-1]} has 0: no multiple of it" if c.relative is None and c.b == 0 else ""
    relative = (c.relative, c.relative_low, c.relative_high, *of, "; ".join(filter(None, (c.reason, zero))))
    difference = (c.difference, c.ci_low, c.ci_high, *of, c.reason, c.unit)
    both = [Metric(f"{c.metric}_relative_change", *relative), Metric(f"{c.metric}_difference", *difference)]
    return result_rows(config, both, paper, item, system, problems)


def number_row(
    config: Config, value: float | None, unit: str, paper: str, item: str, system: str, metric: str, reason: str = ""
) -> ResultRow:
    """A count, a time or a setting: no seeds, no interval. reason: why there is no value."""
    numbers = (None if value is None else float(value), None, None)
    return _row(config, (paper, item, system, metric), unit, numbers, reason)


def claim_rows(config: Config) -> list[ResultRow]:
    """Each claim of the papers beside what its own numbers give, origin "arithmetic"."""
    rows = []
    for check in published.check_claims():
        c = check.claim
        numbers, difference = (check.computed, check.low, check.high), check.computed - c.value
        row = (*c.key, c.unit, "arithmetic", *numbers, 0, 0, c.text, difference, check.verdict, c.note)
        rows.append(ResultRow(*row, "", config.fingerprint()))
    return rows


def _row(config, key, unit, numbers, reason, problems=(), seeds=0, videos=0) -> ResultRow:
    """key: paper, item, system, metric. numbers: value, ci_low, ci_high."""
    printed = published.lookup(*key) if key[0] else None
    text, difference, verdict = "", None, ""
    if printed is not None:
        if printed.unit != unit:
            raise ValueError(f"{', '.join(key)}: printed in '{printed.unit}', ours is in '{unit}'")
        differs = comparable.why_not(config, printed, problems)
        text, verdict = printed.text, printed.judge(*numbers, comparable=not differs)
        difference = None if numbers[0] is None else numbers[0] - printed.value
        reason = "; ".join(filter(None, (reason, differs)))
    tail = (text, difference, verdict, reason, "", config.fingerprint())
    return ResultRow(*key, unit, "ours", *numbers, seeds, videos, *tail)


# --- files -------------------------------------------------------------------------------------------------------


def save_rows(config: Config, notebook: str, rows: Sequence[ResultRow]) -> Path:
    """Write a notebook's rows, rebuild results.csv from all notebooks' rows, and return the notebook's file.

    Both files are replaced whole; two processes take turns. Warns where two notebooks give one number two values.
    Raises ValueError for no row, a number given twice, or a notebook name that is not a plain file name.
    """
    if not rows:
        raise ValueError(f"{notebook}: no row to save")
    _plain(notebook)
    frame = pd.DataFrame([replace(r, notebook=notebook) for r in rows])
    frame[TEXTS] = frame[TEXTS].map(lambda text: " ".join(text.split()))  # one line a row, for grep as well
    twice = frame[frame.duplicated(KEY)]
    if len(twice):
        raise ValueError(f"{notebook}: {' | '.join(twice.iloc[0][KEY])} is given twice")
    once = partial(_each_number_once, fingerprint=config.fingerprint())
    return _save(config.output_dir / "results.csv", notebook, frame, once)


def load_results(config: Config) -> pd.DataFrame:
    """All saved rows of the profile, if any, with `current`: whether made with these parameters."""
    path = config.output_dir / "results.csv"
    if not path.is_file():
        return pd.DataFrame(columns=[*COLUMNS, "current"])
    empty = {name: [""] for name in COLUMNS if name not in TEXTS}
    with reading(path, "a table of results", "delete it and run the notebooks again"):
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=empty)
        frame = frame[COLUMNS].assign(current=frame["config"] == config.fingerprint())
    return frame


def split_current(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of `load_results`' frame the rows of these very parameters, and a sentence that counts the others."""
    if not len(rows):
        return rows, "No results of this profile are saved yet: run the other notebooks first, best by `vadkit run`."
    others = rows[~rows["current"]]
    if not len(others):
        return rows, f"All {len(rows)} saved rows are of these parameters."
    said = f"{len(others)} of {len(rows)} saved rows were made with other parameters and are skipped"
    return rows[rows["current"]], f"{said} (notebooks {', '.join(sorted(set(others['notebook'])))}): run those again."


def rows_of(rows: Sequence[ResultRow] | pd.DataFrame) -> list[ResultRow]:
    """Rows as they are, or out of `load_results`' frame."""
    if not isinstance(rows, pd.DataFrame):
        return list(rows)
    frame = rows[COLUMNS].astype(object)
    return [ResultRow(**record) for record in frame.where(frame.notna(), None).to_dict("records")]


def save_problems(config: Config, notebook: str, problems: Iterable[Problem]) -> Path:
    """Write what a notebook left out or mended, and rebuild left_out.csv from all notebooks, each line once.

    What was left out comes first. Both files are replaced whole; two processes take turns.
    """
    _plain(notebook)
    found = pd.DataFrame([("yes" if p.left_out else "no", p.where, p.what) for p in problems], columns=PROBLEM)
    path = config.output_dir / "left_out.csv"
    order = {"by": PROBLEM, "ascending": [False, True, True]}  # "yes" before "no"
    _save(path, notebook, found, lambda parts: parts.drop_duplicates().sort_values(**order))
    return path


def _save(path: Path, notebook: str, frame: pd.DataFrame, merge: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """Write a notebook's part into the folder of `path`'s name, and `path` anew, merged from all notebooks' parts.

    Parts are read as text and by column name: one written by an earlier version still fits.
    """
    folder = path.with_suffix("")
    write_atomic(folder / f"{notebook}.csv", _csv(frame))
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the process ends, however it ends
        parts = []
        for file in sorted(folder.glob("*.csv")):
            with reading(file, "a notebook's rows", "delete it and run that notebook again"):
                parts.append(pd.read_csv(file, dtype=str, keep_default_na=False))
        write_atomic(path, _csv(merge(pd.concat(parts, ignore_index=True).fillna(""))))
    return folder / f"{notebook}.csv"


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, float_format="%.8g", lineterminator="\n")


def _each_number_once(rows: pd.DataFrame, fingerprint: str) -> pd.DataFrame:
    """Of the rows of one number those of these parameters rather than others, then the first notebook's.

    Two values of one number are a warning and no error, for hours of training may be waiting to be saved.
    """
    rows = rows.reindex(columns=COLUMNS, fill_value="")
    rows["number"] = rows.groupby(KEY, sort=False).ngroup()
    rows["others"] = rows["config"] != fingerprint
    kept = rows.sort_values(["number", "others"], kind="stable").drop_duplicates("number")
    beside = rows.merge(kept, on=["number", "config"], suffixes=("", "_kept"))
    numbers = ["value", "ci_low", "ci_high"]
    differs = (beside[numbers] != beside[[f"{name}_kept" for name in numbers]].to_numpy()).any(axis=1)
    for _, one in beside[differs].iterrows():
        values, places = (f"{one[f'{c}_kept'] or 'none'} and {one[c] or 'none'}" for c in ("value", "notebook"))
        number = " | ".join(filter(None, one[KEY]))
        warnings.warn(f"notebooks {places} give {number} as {values}; the first is kept: run both again", stacklevel=4)
    return kept[COLUMNS]


def save_figure(config: Config, name: str, figure) -> Path:
    """Write a matplotlib figure to figures/<name>.png, and .svg where that is small, each whole; returns the PNG.

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


def _rendered(figure, **options) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def _plain(name: str) -> None:
    if not name or name.startswith(".") or any(c in name for c in "/\\ "):
        raise ValueError(f"expected a plain name without folders, spaces or a leading point, got '{name}'")
