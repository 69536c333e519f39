from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from vadkit.errors import UndefinedMetricError
from vadkit.scoring import VideoScores
from vadkit.thresholds import GRID, choose_threshold, f1_over_thresholds, frame_f1, video_f1


def video(name: str, confidence, category: str = "Fighting") -> VideoScores:
    confidence = np.asarray(confidence)
    labels = np.repeat(confidence > 0.5, 2).astype(np.uint8) if category != "Normal" else np.zeros(2 * len(confidence), np.uint8)
    return VideoScores(name, category, name, 10.0, 2 * np.arange(len(confidence)), confidence, labels)


@given(st.integers(0, 10**6), st.integers(2, 60))
def test_it_is_scikit_learns_f1(seed, n):
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, n), rng.integers(0, 12, n) / 12
    labels[0] = 1
    ours = f1_over_thresholds(labels, scores, [0.0, 0.25, 0.5, 0.99])
    assert ours == pytest.approx([f1_score(labels, scores > t, zero_division=0) for t in (0.0, 0.25, 0.5, 0.99)])


def test_frames_and_videos():
    videos = [video("a", [0.2, 0.9]), video("b", [0.3, 0.1], "Normal")]
    assert frame_f1(videos, [0.0, 0.25, 0.5, 0.95]).tolist() == pytest.approx([0.4, 2 / 3, 1.0, 0.0])
    assert video_f1(videos, [0.0, 0.25, 0.5, 0.95]).tolist() == pytest.approx([2 / 3, 2 / 3, 1.0, 0.0])


def test_the_threshold_is_the_middle_of_the_best():
    chosen = choose_threshold([video("a", [0.9]), video("b", [0.3], "Normal")])
    assert chosen == pytest.approx(0.6, abs=0.005) and chosen in GRID


def test_without_an_anomalous_video_there_is_none():
    with pytest.raises(UndefinedMetricError, match="no positive among 1"):
        choose_threshold([video("b", [0.3], "Normal")])
