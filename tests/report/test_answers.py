"""Answers: what an interval allows to say, and nothing that the rows do not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.config import Config
from vadkit.report import answers
from vadkit.report.rows import ResultRow

ROW = ResultRow(
    *("petrocchi2021", "ablation", "A / B", "fl_auc_difference", "%", "ours", 1.7, 0.4, 3.0, 3, 72),
    *("", None, "", "", "02", "abc"),
)


def row(**changes) -> ResultRow:
    return replace(ROW, **changes)


def effect(**changes) -> str:
    return answers.effect([row(**changes)], "A / B", "fl_auc", "Counting objects")


def test_an_effect_is_said_by_its_interval():
    assert effect() == "Counting objects raises FL-AUC by 1.7 points [+0.4, +3.0]."
    assert effect(value=-1.7, ci_low=-3.0, ci_high=-0.4) == "Counting objects lowers FL-AUC by 1.7 points [-3.0, -0.4]."
    unsure = effect(value=0.1, ci_low=-2.6, ci_high=2.9)
    said = "moves FL-AUC by +0.1 points [-2.6, +2.9], which these videos cannot distinguish from zero."
    assert unsure == f"Counting objects {said}"
    assert "both systems are the same one" in effect(value=0.0, ci_low=0.0, ci_high=0.0)
    assert "(no video)" in effect(value=None, ci_low=None, ci_high=None, reason="no video")
    seconds = row(metric="detection_delay_s_difference", unit="s")
    assert "delay of detected spans by 1.7 s" in answers.effect([seconds], "A / B", "detection_delay_s", "It")


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3).map(sorted))
def test_a_side_is_named_exactly_where_the_interval_leaves_zero_out(numbers):
    low, middle, high = numbers
    said, side = (
        effect(value=middle, ci_low=low, ci_high=high),
        answers.sign([row(ci_low=low, ci_high=high)], "A / B", "fl_auc"),
    )
    assert ("raises" in said) == (low > 0) == (side == 1)
    assert ("lowers" in said) == (high < 0) == (side == -1)


def test_a_level_is_passed_only_by_the_whole_interval():
    one = row(system="C3D-ha", metric="fl_auc", value=72.0, ci_low=65.6, ci_high=77.4)
    for level, word in (
        (50, "above chance (50)"),
        (70, "not distinguishable from chance (70)"),
        (80, "below chance (80)"),
    ):
        said = answers.against([one], "C3D-ha", "fl_auc", level, "chance")
        assert said == f"The FL-AUC of C3D-ha is 72.0 % [65.6, 77.4], {word}."
    assert (
        answers.value([replace(one, value=None, reason="one class")], "C3D-ha", "fl_auc") == "not defined (one class)"
    )
    with pytest.raises(KeyError, match="no row of C3D-ha, vl_f1"):
        answers.value([one], "C3D-ha", "vl_f1")


def test_an_answer_is_shown_and_kept(tmp_path):
    config = Config(output_root=str(tmp_path))
    shown = answers.show(config, "02", "One thing.", "", "And another.")
    assert shown.data == "## Answer, on these data\n\nOne thing. And another."
    assert (config.output_dir / "answers" / "02.md").read_text() == "One thing. And another.\n"
    with pytest.raises(ValueError, match="at least one sentence"):
        answers.show(config, "02", "")
