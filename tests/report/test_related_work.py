"""Others' statements stand apart from every number of the two papers and of ours."""

from __future__ import annotations

import re

import pytest

from vadkit.core.parameters import make_config
from vadkit.report import claims, published, related_work


def test_statements_are_no_printed_numbers_and_meet_no_verdict():
    rows = published.related()
    assert {r.kind for r in rows} == set(published.RELATED) and not set(rows) & set(published.load())
    assert {r.paper for r in rows}.isdisjoint(published.PAPERS)
    for one in rows:
        with pytest.raises(ValueError, match="unknown paper"):
            published.lookup(*one.key)
    names = {one.system for one, _ in claims.uncovered(make_config({}), [])} | {
        check.claim.system for check in published.check_claims()
    }
    assert not names & {"GS-MoE", "URF-HVAA", "VADTree"}


def test_each_statement_says_when_of_what_and_where_it_was_checked():
    for one in (r for r in published.related() if r.kind != "stated"):
        assert re.search(r"\b20[12]\d\b", one.place) and one.ours.startswith("none: ") and 0 < one.value < 100
        assert one.metric in (related_work.AUC, related_work.AP) and one.unit == "%"
        said = r"checked: \S+|the abstract prints no number|not found|not in the abstract|scores of \S+"
        assert re.match(said, one.note), one
    claimed = {one.system for one in published.related() if one.kind == "claimed"}
    assert {one.system for one in published.related() if one.kind == "rerun"} <= claimed and len(claimed) == 27


def test_the_table_has_a_line_a_system_and_the_figure_names_all_of_them():
    table = related_work.table()
    assert table.loc["BN-WVAD", ["UCF-Crime AUC", "AUC, rerun by others", "XD-Violence AP"]].tolist() == [
        "87.24",
        "82, 84.8",
        "84.93",
    ]
    assert table.loc["LAVIDA", "XD-Violence AP"] == ""  # an AUC there
    figure = related_work.auc_over_years()
    shown = [label.get_text().split("   ") for label in figure.axes[0].get_yticklabels()]
    assert sorted(name for name, _ in shown) == sorted(table.index)
    assert [year for _, year in shown] == sorted(year for _, year in shown)
