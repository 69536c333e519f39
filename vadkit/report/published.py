"""Every number and claim that the two papers print, their arithmetic, and the rule of a verdict.

`published.csv` holds one row a number: `value` as printed with its `decimals`, its `place`, and the `tolerance` of a
verdict, fixed before anything was run. A row of kind "claim" has a `formula`: arithmetic on other rows of the same
paper, written `[item | system | metric]`, that should give its value; `relation` "<" or ">" reads "less (more) than
the value". `ours` says where this project has a number of its own to set beside it.

Rows of kind "claimed" and "rerun" are no numbers of the two papers: what authors of other systems, and others who ran
them again, say of UCF-Crime and XD-Violence; "stated" are those that authors print of scores that they publish.
`related` alone gives them; no lookup, claim or verdict knows them.
"""

import itertools
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from vadkit.core.digests import as_shipped

PAPERS = {
    "petrocchi2021": "Petrocchi, Giorgi and Cimino 2021, video anomaly detection with hard and soft anomalies",
    "raqeeb": "Alhawsa et al., Raqeeb: anomaly detection in surveillance videos based on deep learning",
}
VERDICTS = ("reproduced", "not reproduced", "inconclusive", "not comparable")
RELATED = ("claimed", "rerun", "stated")  # kinds of rows that are others' statements: never beside a number of ours
CHANGES = ("_relative_change", "_difference")  # metrics whose 0 means "no effect"
MAX_WIDTH_IN_TOLERANCES = 4.0


@dataclass(frozen=True)
class Published:
    """One row of published.csv; `value` is in `unit` ("%" for shares and areas)."""

    paper: str
    item: str
    system: str
    metric: str
    value: float
    decimals: int
    unit: str
    tolerance: float
    place: str
    kind: str  # "number" or "claim"; of related work one of `RELATED`
    relation: str  # "=", "<" or ">"
    formula: str
    ours: str  # where this project computes it: "notebook 04", "parameter patience", "corpus", "code", "none: why not"
    note: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.paper, self.item, self.system, self.metric

    @property
    def text(self) -> str:
        """The value as printed."""
        return ("" if self.relation == "=" else f"{self.relation} ") + f"{self.value:.{self.decimals}f}"

    @property
    def half_unit(self) -> float:
        """How far a number may lie from the printed one that it rounds to."""
        return 0.5 * 10.0**-self.decimals

    def judge(self, value: float | None, low: float | None, high: float | None, comparable: bool) -> str:
        """`verdict` of our value with its interval, in `unit`; an interval of no width is none."""
        interval = None if low is None or high is None or low == high else (low, high)
        rule = {"tolerance": self.tolerance, "is_change": self.metric.endswith(CHANGES), "relation": self.relation}
        return verdict(value, interval, self.value, self.decimals, comparable, **rule)


@dataclass(frozen=True)
class ClaimCheck:
    """A claim beside what the paper's own numbers give; `low` and `high` allow for the rounding of those numbers."""

    claim: Published
    computed: float
    low: float
    high: float
    verdict: str  # "agrees", "agrees within rounding" or "disagrees"


def load() -> tuple[Published, ...]:
    """The two papers' rows, in their order. Raises DataError where they changed, ValueError for a malformed row."""
    return _rows()[0]


def related() -> tuple[Published, ...]:
    """Others' statements on other systems; `item` is the kind of supervision, or which rerun. Raises as `load`."""
    return _rows()[1]


@cache
def _rows() -> tuple[tuple[Published, ...], tuple[Published, ...]]:
    folder = as_shipped(Path(str(resources.files("vadkit.report"))), "published.csv")
    table = pd.read_csv(folder / "published.csv", dtype=str, keep_default_na=False)
    table = table.astype({"value": float, "decimals": int, "tolerance": float})
    rows = tuple(Published(**row) for row in table.to_dict("records"))
    twice = [key for key, count in Counter(row.key for row in rows).items() if count > 1]
    if twice:
        raise ValueError(f"published.csv has {' | '.join(twice[0])} twice")
    return tuple(r for r in rows if r.kind not in RELATED), tuple(r for r in rows if r.kind in RELATED)


def lookup(paper: str, item: str, system: str, metric: str) -> Published | None:
    """The printed number, or None where the paper prints none (most metrics of most systems).

    Raises ValueError for an unknown paper, with the known ones.
    """
    if paper not in PAPERS:
        raise ValueError(f"unknown paper '{paper}'; there are {', '.join(PAPERS)}")
    return next((row for row in load() if row.key == (paper, item, system, metric)), None)


def items(paper: str, item: str) -> tuple[Published, ...]:
    """All rows of one table, section or claim. Raises ValueError where the paper has no such item."""
    found = tuple(r for r in load() if r.paper == paper and r.item == item)
    if not found:
        known = sorted({r.item for r in load() if r.paper == paper})
        raise ValueError(f"no item '{item}' of '{paper}'; there are {', '.join(known) or 'none: unknown paper'}")
    return found


def check_claims(paper: str | None = None) -> list[ClaimCheck]:
    """Each claim against its formula on the paper's own numbers: whether its value rounds to the claim.

    Or does so for some values that round to the printed inputs, percentages alone: counts and settings are exact.
    """
    return [_check(row) for row in load() if row.formula and paper in (None, row.paper)]


def _check(claim: Published) -> ClaimCheck:
    inputs = {}
    for name in re.findall(r"\[[^\]]+\]", claim.formula):
        inputs[name] = lookup(claim.paper, *(part.strip() for part in name[1:-1].split("|")))
        if inputs[name] is None:
            raise ValueError(f"published.csv: the formula of {claim.item} asks for {name}, which is not there")
    # arithmetic on positive numbers that uses each input in one direction: its extremes lie at the inputs' extremes
    ends = [[r.value - r.half_unit, r.value + r.half_unit] if r.unit == "%" else [r.value] for r in inputs.values()]
    corners = [_evaluate(claim.formula, dict(zip(inputs, one, strict=True))) for one in itertools.product(*ends)]
    low, high = min(corners), max(corners)
    computed = _evaluate(claim.formula, {name: row.value for name, row in inputs.items()})
    value, half, hair = claim.value, claim.half_unit, 1e-9  # hair: binary fractions of decimal halves
    agrees, could_agree = {
        "<": (computed < value, low < value),
        ">": (computed > value, high > value),
        # touching at one point is no overlap: 84 and 85 are not two roundings of 84.5
        "=": (abs(computed - value) <= half + hair, low < value + half - hair and high > value - half + hair),
    }[claim.relation]
    verdict = "agrees" if agrees else "agrees within rounding" if could_agree else "disagrees"
    return ClaimCheck(claim, computed, low, high, verdict)


def _evaluate(formula: str, values: dict[str, float]) -> float:
    for name, value in values.items():
        formula = formula.replace(name, f"({value!r})")
    if set(re.sub(r"[\d.]+(e-?\d+)?", "", formula)) - set("+-*/() "):
        raise ValueError(f"published.csv: formulas hold numbers, + - * / and brackets, got '{formula}'")
    return float(pd.eval(formula, engine="python"))


def verdict(value, interval, published, decimals, comparable, tolerance=3.0, is_change=False, relation="=") -> str:
    """One of `VERDICTS` for our value and its interval beside a printed number, all in one unit.

    interval: (low, high), or None where there is none. The rule was fixed before any run:

    not comparable   the data or the network are not the paper's (`vadkit.report.comparable`).
    reproduced       our value is within `tolerance` of the printed one, with its rounding, and the interval is at most
                     4 tolerances wide; for a change (`is_change`) it leaves 0 out where the printed change is not 0.
    not reproduced   our value is further off, and the printed one, with its rounding, lies outside the interval.
    inconclusive     the rest, or no value or interval.

    The tolerance is 3 points for an AUC, 5 for a rate over videos (of 45 test videos, each is worth two to five) and 0
    for counts and settings, which have no interval: equal after rounding, or not reproduced. A claim with a `relation`
    ("<", ">") has none either: the whole interval, or else the value, lies on the printed side (reproduced), on the
    other (not reproduced), or on both (inconclusive). Raises ValueError for an interval that does not rise.
    """
    if not comparable:
        return "not comparable"
    if value is None:
        return "inconclusive"
    if relation != "=":
        holds = [x < published if relation == "<" else x > published for x in interval or (value,)]
        return "reproduced" if all(holds) else "inconclusive" if any(holds) else "not reproduced"
    rounding = 0.5 * 10.0**-decimals + 1e-9
    close = abs(value - published) <= tolerance + rounding
    if tolerance == 0:
        return "reproduced" if close else "not reproduced"
    if interval is None:
        return "inconclusive"
    low, high = interval
    if not low <= high:
        raise ValueError(f"expected an interval (low, high), got ({low}, {high})")
    if close:
        pinned = high - low <= MAX_WIDTH_IN_TOLERANCES * tolerance
        could_be_nothing = is_change and abs(published) > rounding and low <= 0 <= high
        return "reproduced" if pinned and not could_be_nothing else "inconclusive"
    return "inconclusive" if low - rounding <= published <= high + rounding else "not reproduced"
