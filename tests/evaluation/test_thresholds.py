from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation.bootstrap import resamples
from vadkit.evaluation.scores import VideoScores
from vadkit.evaluation.thresholds import (
    GRID,
    above,
    choose_threshold,
    f1_of_decisions,
    f1_of_frames,
    f1_of_videos,
    f1_over_thresholds,
)


def video(name: str, confidence, category: str = "Fighting") -> VideoScores:
    confidence = np.asarray(confidence)
    labels = (
        np.repeat(confidence > 0.5, 2).astype(np.uint8)
        if category != "Normal"
        else np.zeros(2 * len(confidence), np.uint8)
    )
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
    assert f1_of_frames(videos, [0.0, 0.25, 0.5, 0.95]).tolist() == pytest.approx([0.4, 2 / 3, 1.0, 0.0])
    assert f1_of_videos(videos, [0.0, 0.25, 0.5, 0.95]).tolist() == pytest.approx([2 / 3, 2 / 3, 1.0, 0.0])


def test_the_threshold_is_the_middle_of_the_best():
    chosen = choose_threshold([video("a", [0.9]), video("b", [0.3], "Normal")])
    assert chosen == pytest.approx(0.6, abs=0.005) and chosen in GRID


def test_without_an_anomalous_video_there_is_none():
    with pytest.raises(UndefinedMetricError, match="no positive among 1"):
        choose_threshold([video("b", [0.3], "Normal")])


def test_each_fold_is_counted_at_its_own_threshold():
    low = [video("a", np.float32([0.3, 0.1])), video("b", np.float32([0.2]), "Normal")]
    high = [video("c", np.float32([0.9, 0.7])), video("d", np.float32([0.8]), "Normal")]
    assert f1_of_videos(low + high).max() == pytest.approx(0.8)  # no one threshold parts both folds
    assert f1_of_videos(above([low, high], [0.25, 0.85]), [0.5]) == 1
    together = above([low + high], [0.25])
    assert f1_of_frames(together, [0.5]) == f1_of_frames(low + high, [0.25]) and [v.name for v in together] == list(
        "abcd"
    )
    with pytest.raises(ValueError, match="longer|shorter"):
        above([low, high], [0.5])


@pytest.mark.parametrize(("what", "f1"), [("frames", f1_of_frames), ("videos", f1_of_videos)])
def test_the_interval_is_over_videos_and_pairs_seeds_whose_folds_differ(what, f1):
    rng = np.random.default_rng(0)
    videos = [video(f"{n:02d}", rng.random(4), "Fighting" if n % 2 else "Normal") for n in range(30)]
    decided = {0: above([videos], [0.6]), 1: above([videos[::-1]], [0.8])}
    config = Config(bootstrap_resamples=300)
    found = f1_of_decisions(decided, config, what)
    assert found.per_seed == tuple(f1(one, [0.5])[0] for one in decided.values()) and found.value == pytest.approx(
        np.mean(found.per_seed)
    )
    assert found.ci_low < found.value < found.ci_high and found.videos == 30
    drawn = []
    for counts in resamples(videos, config).astype(int):
        sides = [sorted(one, key=lambda v: v.name) for one in decided.values()]
        drawn.append(
            np.mean(
                [
                    f1([v for v, count in zip(side, counts, strict=True) for _ in range(count)], [0.5])[0]
                    for side in sides
                ]
            )
        )
    assert (found.ci_low, found.ci_high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_an_oracles_decisions_have_f1_of_one():
    videos = [video("a", [0.0, 0.9]), video("b", [0.3, 0.1], "Normal")]
    for what in ("frames", "videos"):
        assert f1_of_decisions({0: above([videos], [0.5])}, Config(), what).value == 1
    with pytest.raises(UndefinedMetricError):
        f1_of_decisions({0: above([videos[1:]], [0.5])}, Config(), "frames")
