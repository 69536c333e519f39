"""Typical videos are chosen by the rule, and the sensitivity map agrees with the metric itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_code import defined_in

from vadkit.core.parameters import make_config
from vadkit.evaluation import alarms
from vadkit.evaluation.evaluate import evaluate
from vadkit.evaluation.metrics import video_sas, vl_f1, vl_fpr
from vadkit.evaluation.scores import VideoScores

CONFIG = make_config({})
NOTEBOOK = defined_in("08", "vary", "disagreement", "sensitivity", "thinned", "vary_rate")
NOTEBOOK.names["VARIED"] = ("vl_f1", "vl_tpr", "vl_fpr", "detection_delay_s", "spans_detected", "spans_early")


def video(name, category, confidence):
    confidence = np.asarray(confidence, np.float32)
    labels = np.zeros(10 * len(confidence), np.uint8)
    if category != "Normal":
        labels[20:60] = 1
    return VideoScores(name, category, name, 30.0, np.arange(len(confidence)) * 10, confidence, labels)


def test_every_kind_of_outcome_is_told_apart():
    high, low, blip = np.full(12, 0.95), np.full(12, 0.1), np.array([0.1] * 5 + [0.9] + [0.1] * 6)
    cases = [
        ("Assault", high, False, "detected"),
        ("Assault", low, False, "missed"),
        ("Normal", high, False, "false alarm"),
        ("Normal", low, False, "normal and quiet"),
        ("Normal", blip, False, "noise filtered by SAS"),
        ("Arson", high, True, "unseen class, detected"),
        ("Arson", low, True, "unseen class, missed"),
    ]
    for category, confidence, unseen, kind in cases:
        one = video("v", category, confidence)
        assert alarms.outcome(one, video_sas(one, CONFIG), unseen) == kind


def test_an_alarm_is_detected_early_or_elsewhere_by_where_it_begins():
    one = video("v", "Assault", np.full(12, 0.5))  # labelled from its third analysed frame to its sixth
    for sas, kind in (
        ([0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0], "detected"),
        ([0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], "early"),
        ([1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0], "detected"),  # that alarm had ended
        ([1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0], "alarm elsewhere"),
        ([0] * 12, "missed"),
    ):
        assert alarms.outcome(one, np.array(sas)) == kind
        assert alarms.outcome(one, np.array(sas), unseen=True) == f"unseen class, {kind}"
    untimed = replace(one, labels=np.zeros_like(one.labels))
    assert alarms.outcome(untimed, np.eye(12)[0]) == "detected" and alarms.outcome(untimed, np.zeros(12)) == "missed"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=20))
def test_panels_are_different_videos_and_one_of_each_kind_there_is(kinds):
    test = [
        video(f"v{n:02d}", "Assault" if anomalous else "Normal", np.full(8, c))
        for n, (anomalous, c) in enumerate(kinds)
    ]
    for order in (test, test[::-1]):
        panels = [p for p in alarms.figure_3(order, CONFIG) if p.video]
        assert len({p.video.name for p in panels}) == len(panels)
        assert {p.kind for p in panels} == {alarms.outcome(one, video_sas(one, CONFIG)) for one in test}
    assert [p.video.name for p in panels] == [p.video.name for p in alarms.figure_3(test, CONFIG) if p.video]


def test_the_sensitivity_map_holds_the_metric_of_the_run_itself():
    rng = np.random.default_rng(0)
    scores = {
        s: [
            video(f"v{n:02d}", "Assault" if n % 2 else "Normal", rng.uniform(0, 1, 20) ** (0.6 if n % 2 else 1.4))
            for n in range(20)
        ]
        for s in (0, 1)
    }
    at = NOTEBOOK.sensitivity(scores, CONFIG, [0.3, 0.5], [1.0, 2.0], vl_f1)
    assert at[1, 1] == pytest.approx(next(m.value for m in evaluate(scores, CONFIG) if m.name == "vl_f1"))
    assert len(np.unique(at.round(6))) > 1
    fpr = NOTEBOOK.sensitivity(scores, CONFIG, [0.5], [2.0], vl_fpr)
    assert fpr[0, 0] == pytest.approx(next(m.value for m in evaluate(scores, CONFIG) if m.name == "vl_fpr"))
    assert np.isnan(NOTEBOOK.sensitivity({0: scores[0][::2]}, CONFIG, [0.5], [2.0], vl_f1)).all()


def outcomes(detected=5, quiet=2):
    test = [video(f"Assault{n:03d}", "Assault", np.full(12, 0.85 + n / 100)) for n in range(detected)]
    test += [video(f"Normal_{n}", "Normal", np.full(12, 0.1 + n / 100)) for n in range(quiet)]
    return test


def test_figure_3_has_the_papers_eight_panels_and_two_of_ours_and_says_which_are_empty():
    panels = alarms.figure_3(
        outcomes(),
        CONFIG,
        [video("Arson001", "Arson", np.full(12, 0.9)), video("Normal_9", "Normal", np.full(12, 0.9))],
    )
    assert [p.kind for p in panels] == list(alarms.FIGURE_3) and len(panels) == 10
    assert [p.video and p.video.name for p in panels] == [
        "Assault000",
        "Assault002",
        "Normal_1",
        "Assault004",
        "Arson001",
        *[None] * 5,
    ]
    assert [p.of for p in panels] == [5, 5, 2, 5, 1, 0, 0, 0, 0, 0]
    empty = panels[6]
    assert empty.title == "false alarm (0)" and empty.drawn == (
        None,
        f"no video meets the rule:\n{alarms.RULES['false alarm']}",
    )
    assert panels[0].drawn[0].name == "Assault000" and len(panels[0].drawn[1]) == 12


@given(st.integers(0, 6))
def test_figure_3_shows_no_video_twice_and_every_detected_one_there_is_room_for(detected):
    panels = alarms.figure_3(outcomes(detected), CONFIG)
    names = [p.video.name for p in panels if p.video is not None]
    assert len(names) == len(set(names)) and sum(p.kind == "detected" and p.video is not None for p in panels) == min(
        detected, 3
    )
    left = [p for p in panels if p.kind == "detected" and p.video is None]
    assert all(p.drawn[1].startswith("no other video" if detected else "no video") for p in left)


def test_the_frames_shown_are_before_in_and_after_the_anomaly():
    one = video("Assault001", "Assault", np.full(12, 0.5))
    assert alarms.moments(one) == [10, 40, 90]
    quiet = video("Normal_1", "Normal", np.r_[np.full(9, 0.1), 0.4, 0.1, 0.1])
    assert alarms.moments(quiet) == [20, 90, 100]


def noisy(seed):
    rng = np.random.default_rng(seed)
    return [
        video(f"v{n:02d}", "Assault" if n % 2 else "Normal", rng.uniform(0, 1, 24) ** (0.6 if n % 2 else 1.4))
        for n in range(20)
    ]


def values(found, name="vl_f1"):
    return {key: next(m.value for m in metrics if m.name == name) for key, metrics in found.items()}


def test_one_parameter_varied_is_the_run_with_that_parameter():
    scores = {0: noisy(0), 1: noisy(1)}
    small = CONFIG.model_copy(update={"bootstrap_resamples": 50})
    found = NOTEBOOK.vary(scores, small, "sas_bound", [1.0, 7.0, 30.0])
    assert values(found)[7.0] == next(m.value for m in evaluate(scores, small) if m.name == "vl_f1")
    assert (
        values(found, "vl_tpr")[1.0] >= values(found, "vl_tpr")[7.0] >= values(found, "vl_tpr")[30.0]
    )  # a lower start is further from the alarm
    assert set(NOTEBOOK.vary(scores, small, "sas_variant", ["normalised", "as_printed"])) == {
        "normalised",
        "as_printed",
    }


def test_a_lower_rate_sees_every_kth_confidence():
    scores = {0: noisy(0)}
    small = CONFIG.model_copy(update={"bootstrap_resamples": 50})
    found = NOTEBOOK.vary_rate(scores, small, [1, 2, 3])
    assert list(found) == [3.0, 1.5, 1.0]
    thin = [
        VideoScores(v.name, v.category, v.source, v.fps, v.index[::2], v.confidence[::2], v.labels) for v in scores[0]
    ]
    assert values(found)[1.5] == next(m.value for m in evaluate({0: thin}, small) if m.name == "vl_f1")
    faster = NOTEBOOK.vary_rate(scores, small, [1, 3], per_second=True)
    assert values(faster)[3.0] == values(found)[3.0] and values(faster, "vl_tpr")[1.0] >= values(found, "vl_tpr")[1.0]
    with pytest.raises(ValueError, match="zero"):
        NOTEBOOK.vary_rate(scores, small, [0])


def test_two_readings_of_the_score_are_counted_where_they_differ():
    dips = video("dips", "Assault", [0.6, 0, 1, 1, 1, 1])  # ours alarms at the last frame, the released bound never
    late = video("late", "Assault", [1] * 7 + [0.9, 0, 0, 0, 0, 0])  # both alarm
    odd = video("odd", "Normal", [0.8] * 11 + [1] + [0] * 6)  # 8.2 and not 7: the released alarm ends a frame later
    found = NOTEBOOK.disagreement({0: [dips, late], 5: [odd]}, CONFIG, "normalised", "as_released")
    assert found == {"videos": (1, 3), "analysed frames": (2, 37)}
    assert NOTEBOOK.disagreement({0: [dips]}, CONFIG, "normalised", "as_printed")["videos"] == (0, 1)
