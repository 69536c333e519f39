from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

from vadkit.core.errors import ConfigError
from vadkit.evaluation.scores import VideoScores
from vadkit.evaluation.smoothing import HOW, smoothed

SCORES = np.random.default_rng(0).random(20)
VIDEO = VideoScores("v", "Abuse", "v", 10.0, np.arange(20) * 16, SCORES, np.zeros(325, np.uint8))


def test_each_filter_is_what_it_says():
    assert smoothed(VIDEO, "raw") is VIDEO
    np.testing.assert_allclose(smoothed(VIDEO, "gaussian").confidence, gaussian_filter1d(SCORES, 10))
    held = VIDEO.frame_scores()
    wide = smoothed(VIDEO, "gaussian", seconds=2)
    np.testing.assert_allclose(wide.frame_scores(), gaussian_filter1d(held, 20))
    assert smoothed(VIDEO, "video mean").frame_scores() == pytest.approx(held.mean())
    expected = pd.Series(held).ewm(alpha=1 - np.exp(-1 / 30)).mean()
    np.testing.assert_allclose(smoothed(VIDEO, "causal mean", seconds=3).frame_scores(), expected)


def test_only_the_causal_mean_is_blind_to_what_comes():
    from dataclasses import replace

    later = replace(VIDEO, confidence=np.append(SCORES[:10], 1 - SCORES[10:]))
    for how in HOW[1:]:
        same = np.array_equal(*(smoothed(v, how).frame_scores()[:160] for v in (VIDEO, later)))
        assert same == (how == "causal mean")


@pytest.mark.parametrize("how", HOW)
def test_scores_stay_in_their_range(how):
    flat = VideoScores("v", "Abuse", "v", 30.0, np.arange(99), np.ones(99), np.zeros(99, np.uint8))
    assert smoothed(flat, how).frame_scores().max() <= 1


@pytest.mark.parametrize(
    ("how", "width"),
    [
        ("median", {}),
        ("gaussian", {"sigma": 0.0}),
        ("gaussian", {"sigma": 1.0, "seconds": 1.0}),
        ("causal mean", {"sigma": 1.0}),
        ("raw", {"seconds": 1.0}),
        ("causal mean", {"seconds": float("nan")}),
    ],
)
def test_what_makes_no_sense_is_refused(how, width):
    with pytest.raises(ConfigError, match="smoothing"):
        smoothed(VIDEO, how, **width)
