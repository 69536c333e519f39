from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from vadkit.errors import UndefinedMetricError
from vadkit.scoring import VideoScores
from vadkit.thresholds import GRID, above, choose_threshold, f1_over_thresholds, frame_f1, video_f1


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


def test_each_fold_is_counted_at_its_own_threshold():
    low = [video("a", np.float32([0.3, 0.1])), video("b", np.float32([0.2]), "Normal")]
    high = [video("c", np.float32([0.9, 0.7])), video("d", np.float32([0.8]), "Normal")]
    assert video_f1(low + high).max() == pytest.approx(0.8)  # no one threshold parts both folds
    assert video_f1(above([low, high], [0.25, 0.85]), [0.5]) == 1
    together = above([low + high], [0.25])
    assert frame_f1(together, [0.5]) == frame_f1(low + high, [0.25]) and [v.name for v in together] == list("abcd")
    with pytest.raises(ValueError, match="longer|shorter"):
        above([low, high], [0.5])
