from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.report import published
from vadkit.report.published import check_claims, load, lookup, verdict

P, R = "petrocchi2021", "raqeeb"


def test_the_tables_as_printed():
    def column(item, metric):
        return {r.system: r.text for r in published.items(P, item) if r.metric == metric}

    assert column("table 1", "fl_auc") == {
        "2S-bag": "82.6",
        "2S-no-bag": "77.6",
        "2S-bag-no-hm": "80.2",
        "2S-bag-ha": "83.7",
        "1S-bag": "78.6",
        "1S-no-bag": "75.3",
        "1S-bag-ha": "81.5",
        "C3D-ha": "83.7",
    }
    assert column("table 1", "vl_f1") == {
        "2S-bag": "66.7",
        "2S-no-bag": "61.5",
        "2S-bag-no-hm": "64.0",
        "2S-bag-ha": "91.0",
        "1S-bag": "74.1",
        "1S-no-bag": "58.3",
        "1S-bag-ha": "87.5",
        "C3D-ha": "69.0",
    }
    assert column("table 2", "fl_auc") == {
        "full-I3D": "56.1",
        "oracle-I3D": "74.7",
        "ws-I3D": "81.0",
        "2S-bag-ha-no-es": "82.4",
    }
    assert {r.metric: r.text for r in published.items(P, "table 3")} == {
        "vl_f1": "89.7",
        "vl_tpr": "86.4",
        "vl_fpr": "18.6",
    }
    assert [r.text for r in published.items(R, "related work")] == [
        "83.03",
        "82.12",
        "81.22",
        "81.91",
        "82.12",
        "78.27",
    ]


def test_every_row_is_whole():
    for row in load():
        assert row.paper in published.PAPERS and row.kind in ("number", "claim") and row.relation in ("=", "<", ">"), (
            row
        )
        assert row.place and row.tolerance >= 0 and (row.kind == "claim") == bool(row.formula), row
        assert round(row.value, row.decimals) == row.value, row
        assert (row.tolerance > 0) <= (row.unit == "%"), row


def test_lookup():
    assert lookup(P, "table 1", "2S-bag", "fl_auc").value == 82.6
    assert lookup(P, "table 1", "2S-bag", "ap") is None
    with pytest.raises(ValueError, match="unknown paper 'sultani'; there are petrocchi2021, raqeeb"):
        lookup("sultani", "table 1", "2S-bag", "fl_auc")
    with pytest.raises(ValueError, match="no item 'table 9' .*table 1, table 2, table 3"):
        published.items(P, "table 9")


def test_the_claims_that_disagree_with_their_own_paper_are_these():
    checks = {(c.claim.paper, c.claim.item): c for c in check_claims() if not c.claim.item.startswith("text")}
    assert {key for key, c in checks.items() if c.verdict == "disagrees"} == {
        (P, "claim 3.3"),
        (P, "claim 5.3c"),
        (P, "claim 5.3d"),
        (P, "claim 5.4c"),
        (R, "claim abstract"),
        (R, "claim I"),
    }
    assert checks[P, "claim 5.2a"].computed == pytest.approx(6.4433, abs=1e-4)
    assert all(checks[P, f"claim 5.2{letter}"].verdict == "agrees" for letter in "abcdefghijk")
    assert checks[P, "claim 5.3b"].computed == pytest.approx(46.88, abs=0.01)
    assert checks[P, "claim 5.4a"].verdict == "agrees"


def test_what_the_text_repeats_is_what_the_tables_print():
    repeats = [c for c in check_claims(P) if c.claim.item.startswith("text")]
    assert len(repeats) == 19 and {c.verdict for c in repeats} == {"agrees"}


def test_the_range_of_a_claim_allows_for_the_rounding_of_its_inputs():
    check = published._check(lookup(P, "claim 5.2a", "2S-bag / 2S-no-bag", "fl_auc_relative_change"))
    assert check.low == pytest.approx(100 * (82.55 / 77.65 - 1)) and check.high == pytest.approx(
        100 * (82.65 / 77.55 - 1)
    )
    off = replace(check.claim, value=6.5)
    assert published._check(off).verdict == "agrees within rounding"
    assert published._check(replace(off, value=6.7)).verdict == "disagrees"


def test_formulas_are_arithmetic_and_nothing_else():
    claim = lookup(P, "claim 4.5a", "C3D-ha", "fps")
    with pytest.raises(ValueError, match="numbers"):
        published._check(replace(claim, formula="__import__('os').getcwd()"))
    with pytest.raises(ValueError, match="which is not there"):
        published._check(replace(claim, formula="[table 9 | a | b] / 2"))


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        (82.0, (78.0, 86.0), "reproduced"),
        (85.64, (82.0, 89.0), "reproduced"),  # 3 points and the printed value's rounding
        (85.7, (83.0, 88.0), "not reproduced"),
        (85.7, (82.6, 88.0), "inconclusive"),  # far, and the interval holds the printed value
        (82.0, (70.0, 90.0), "inconclusive"),  # close, by an interval 20 points wide
        (82.0, None, "inconclusive"),
        (None, None, "inconclusive"),
        (82.4, (82.3, 82.5), "reproduced"),  # sharp: within tolerance though the printed value is outside
        (60.0, (55.0, 65.0), "not reproduced"),
    ],
)
def test_verdicts_beside_a_printed_82_6(value, interval, expected):
    assert verdict(value, interval, 82.6, 1, comparable=True) == expected
    assert verdict(value, interval, 82.6, 1, comparable=False) == "not comparable"


def test_a_change_that_may_be_none_is_inconclusive():
    assert verdict(5.0, (1.0, 9.0), 6.4, 1, True, is_change=True) == "reproduced"
    assert verdict(5.0, (-1.0, 9.0), 6.4, 1, True, is_change=True) == "inconclusive"
    assert verdict(0.5, (-1.0, 2.0), 0.0, 1, True, is_change=True) == "reproduced"  # the paper's tie


def test_counts_are_equal_or_not_reproduced():
    assert verdict(6289, None, 6289, 0, True, tolerance=0) == "reproduced"
    assert verdict(6290, None, 6289, 0, True, tolerance=0) == "not reproduced"


def test_a_claim_of_less_or_more_has_a_side_and_no_tolerance():
    assert verdict(0.03, None, 0.1, 1, True, 0, relation="<") == "reproduced"
    assert verdict(0.33, None, 0.1, 1, True, 0, relation="<") == "not reproduced"
    assert verdict(2.0, (0.5, 3.0), 0.0, 1, True, 3, True, ">") == "reproduced"
    assert verdict(2.0, (-0.5, 3.0), 0.0, 1, True, 3, True, ">") == "inconclusive"
    assert verdict(-2.0, (-3.0, -0.5), 0.0, 1, True, 3, True, ">") == "not reproduced"


def test_a_falling_interval_is_refused():
    with pytest.raises(ValueError, match="low, high"):
        verdict(80.0, (85.0, 75.0), 82.6, 1, True)


@given(st.floats(0, 100), st.floats(0, 20), st.floats(0, 20), st.floats(0, 100), st.booleans())
def test_reproduced_means_close_and_not_reproduced_means_outside(value, below, above, printed, change):
    low, high = value - below, value + above
    found = verdict(value, (low, high), printed, 1, True, 3.0, change)
    assert found in published.VERDICTS
    if found == "reproduced":
        assert abs(value - printed) <= 3.06 and high - low <= 12
    if found == "not reproduced":
        assert abs(value - printed) > 3 and not low <= printed <= high
