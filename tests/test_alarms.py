"""Typical videos are chosen by the rule, and the sensitivity map agrees with the metric itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit import alarms
from vadkit.config import make_config
from vadkit.evaluation import evaluate
from vadkit.scoring import VideoScores

CONFIG = make_config({})


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
        assert alarms.outcome(one, alarms.video_sas(one, CONFIG), unseen) == kind


def test_a_rare_kind_gets_its_panel_and_the_middle_video_stands_for_a_kind():
    test = [video(f"Assault{n:03d}", "Assault", np.full(12, 0.9 + n / 200)) for n in range(9)] + [video("Normal_1", "Normal", np.full(12, 0.1))]
    panels = alarms.choose_timelines(test, CONFIG, panels=2)
    assert [(p.kind, p.video.name, p.of) for p in panels] == [("detected", "Assault004", 9), ("normal and quiet", "Normal_1", 1)]
    assert alarms.choose_timelines(test[::-1], CONFIG, panels=2)[0].video.name == "Assault004"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=20), st.integers(1, 9))
def test_panels_are_different_videos_and_as_many_as_there_is_room_for(kinds, room):
    test = [video(f"v{n:02d}", "Assault" if anomalous else "Normal", np.full(8, c)) for n, (anomalous, c) in enumerate(kinds)]
    names = [p.video.name for p in alarms.choose_timelines(test, CONFIG, panels=room)]
    assert len(names) == len(set(names)) == min(room, len(test))


def test_the_sensitivity_map_holds_the_metric_of_the_run_itself():
    rng = np.random.default_rng(0)
    scores = {s: [video(f"v{n:02d}", "Assault" if n % 2 else "Normal", rng.uniform(0, 1, 20) ** (0.6 if n % 2 else 1.4)) for n in range(20)] for s in (0, 1)}
    at = alarms.sensitivity(scores, CONFIG, [0.3, 0.5], [1.0, 2.0])
    assert at[1, 1] == pytest.approx(next(m.value for m in evaluate(scores, CONFIG) if m.name == "vl_f1"))
    assert len(np.unique(at.round(6))) > 1
    assert np.isnan(alarms.sensitivity({0: scores[0][::2]}, CONFIG, [0.5], [2.0])).all()
