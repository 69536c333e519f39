"""Delays against false alarms, of videos in a row."""

from __future__ import annotations

import numpy as np
import pytest

from vadkit.core.config import Config
from vadkit.evaluation.scores import VideoScores
from vadkit.studies.realtime import alarms, confidences, in_a_row

CONFIG = Config()


def video(name: str, confidence: list[float], span: tuple[int, int] | None = None) -> VideoScores:
    """Thirty frames a second, three analysed."""
    labels = np.zeros(10 * len(confidence), np.int64)
    if span:
        labels[span[0] : span[1]] = 1
    category = "Normal" if span is None else "Fighting"
    return VideoScores(name, category, name, 30.0, np.arange(0, len(labels), 10), np.array(confidence), labels)


def test_normal_videos_stand_evenly_before_each_event():
    events, normal = [video(f"e{n}", [0.9], (0, 10)) for n in range(2)], [video(f"n{n}", [0.1]) for n in range(5)]
    stream = in_a_row(events, normal)
    assert [one.name for one in stream] == ["n0", "n1", "n2", "e0", "n3", "n4", "e1"]
    assert confidences(stream) == pytest.approx([0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.9])


def test_delays_count_from_the_true_start_and_false_alarms_in_normal_videos():
    quiet, loud = video("quiet", [0.0] * 30), video("loud", [0.0] * 10 + [1.0] * 10 + [0.0] * 20)
    event = video("event", [0.0] * 12 + [1.0] * 18, (120, 300))
    found = alarms([quiet, loud, event], CONFIG)
    hours = (300 + 400) / 30 / 3600
    assert found["false_alarms_an_hour"] == pytest.approx(1 / hours)
    assert found["most_an_hour"] == pytest.approx(4.74 / hours, rel=0.01)
    # four steps of 2 from -7: the alarm is on at the fourth analysed frame, one second after the first
    assert found["mean_delay"] == found["median_delay"] == pytest.approx(1.0) and found["spans"] == 1
    assert [found[f"within_{s}_s"] for s in (1, 3, 10)] == [1, 1, 1]


def test_an_alarm_from_the_video_before_is_no_detection():
    loud, event = video("loud", [1.0] * 30), video("event", [1.0] * 30, (0, 300))
    found = alarms([loud, event], CONFIG)
    assert found["within_10_s"] == 0 and "mean_delay" not in found and found["spans"] == 1


def test_a_level_silences_what_lies_below_it():
    stream = [video("n", [0.9] * 60), video("e", [0.9] * 10 + [0.999] * 30, (100, 400))]
    before, after = alarms(stream, CONFIG), alarms(stream, CONFIG, 4.0)
    assert before["false_alarms_an_hour"] > 0 and before["within_10_s"] == 0
    assert after["false_alarms_an_hour"] == 0 and after["within_3_s"] == 1
