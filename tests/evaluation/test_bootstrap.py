from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import bootstrap as intervals
from vadkit.evaluation import metrics

# a video: its labels and scores of few values, so that scores tie within and between videos
one_video = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6).map(lambda k: k / 6)), min_size=1, max_size=12)


@st.composite
def corpora(draw):
    videos = draw(st.lists(one_video, min_size=1, max_size=7))
    counts = draw(st.lists(st.integers(0, 3), min_size=len(videos), max_size=len(videos)))
    labels, scores = [np.array([r[0] for r in v]) for v in videos], [np.array([r[1] for r in v]) for v in videos]
    return labels, scores, np.array(counts, float)


def repeated(labels, scores, counts):
    drawn = np.repeat(np.arange(len(labels)), counts.astype(int))
    return np.concatenate([[], *(labels[v] for v in drawn)]), np.concatenate([[], *(scores[v] for v in drawn)])


@settings(max_examples=300)
@given(corpora())
def test_a_resamples_statistic_is_the_metric_of_its_frames(corpus):
    labels, scores, counts = corpus
    for statistic, metric in (
        (intervals.PairCounts(labels, scores).auc(), metrics.frame_auc),
        (intervals.average_precision(labels, scores), metrics.average_precision),
    ):
        try:
            expected = metric(*repeated(labels, scores, counts))
        except UndefinedMetricError:
            expected = np.nan
        assert statistic(counts[None])[0] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_masks_choose_whose_positives_meet_whose_negatives():
    labels = [np.array([0, 1]), np.array([0, 1]), np.array([0, 0])]
    scores = [np.array([0.2, 0.7]), np.array([0.9, 0.1]), np.array([0.7, 0.3])]
    pairs = intervals.PairCounts(labels, scores)
    auc = pairs.auc(of=np.array([True, False, False]), against=np.array([True, False, True]))
    assert auc(np.ones((1, 3)))[0] == pytest.approx((1 + 0.5 + 1) / 3)


def noisy(rng, videos=30, frames=60, lift=1.0):
    labels, scores = [], []
    for k in range(videos):
        y = np.zeros(frames, int)
        if k % 2:
            start = rng.integers(0, frames - 20)
            y[start : start + 20] = 1
        labels.append(y)
        scores.append(rng.normal(size=frames) + rng.normal() + lift * y)
    return labels, scores


def test_named_statistics_and_a_function_give_one_interval():
    labels, scores = noisy(np.random.default_rng(0))
    for name, metric in (("frame_auc", metrics.frame_auc), ("average_precision", metrics.average_precision)):
        quick = intervals.bootstrap_interval(labels, scores, name, resamples=60, seed=3)
        slow = intervals.bootstrap_interval(labels, scores, metric, resamples=60, seed=3)
        assert (quick.value, quick.low, quick.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)
        assert quick.low < quick.value < quick.high and quick.undefined == 0 and quick.resamples == 60


def test_the_same_seed_gives_the_same_interval_and_another_another():
    labels, scores = noisy(np.random.default_rng(0))
    first = intervals.bootstrap_interval(labels, scores, resamples=50, seed=1)
    assert first == intervals.bootstrap_interval(labels, scores, resamples=50, seed=1)
    assert first != intervals.bootstrap_interval(labels, scores, resamples=50, seed=2)


def test_a_paired_difference_is_much_tighter_than_its_parts():
    rng = np.random.default_rng(1)
    labels, a = noisy(rng)
    b = [s - 0.1 * y + rng.normal(scale=0.05, size=len(s)) for s, y in zip(a, labels, strict=True)]
    paired = intervals.paired_difference(labels, a, b, resamples=300)
    alone = intervals.bootstrap_interval(labels, a, resamples=300)
    assert paired.value == pytest.approx(alone.value - intervals.bootstrap_interval(labels, b, resamples=10).value)
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)
    assert paired.low > 0
    same = intervals.paired_difference(labels, a, a, resamples=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_undefined_resamples_are_counted_and_too_many_leave_no_interval():
    one_anomalous = [np.array([0, 1]), *[np.zeros(2, int)] * 5]
    scores = [np.array([0.1, 0.9]), *[np.array([0.2, 0.3])] * 5]
    result = intervals.bootstrap_interval(one_anomalous, scores, resamples=400)
    assert result.value == 1 and result.low is None and result.high is None
    assert 0.25 < result.undefined / 400 < 0.45  # (1 - 1/6)^6 = 0.33
    assert f"undefined in {result.undefined} of 400 resamples" in result.reason
    four = [np.array([0, 1])] * 4 + [np.zeros(2, int)] * 4
    enough = intervals.bootstrap_interval(four, [np.array([0.1, 0.9])] * 4 + [np.array([0.2, 0.3])] * 4, resamples=400)
    assert (
        enough.low == enough.high == 1
        and enough.undefined < 40
        and enough.reason == "the same in every resample, which leaves no interval"
    )


def test_a_metric_undefined_on_the_videos_says_so():
    with pytest.raises(UndefinedMetricError, match="no anomalous frame among 4"):
        intervals.bootstrap_interval([np.zeros(2), np.zeros(2)], [np.ones(2), np.ones(2)])
    with pytest.raises(UndefinedMetricError, match="no video"):
        intervals.bootstrap_interval([], [])


def test_malformed_input_is_named():
    with pytest.raises(ValueError, match="video 1: .*1 scores and 2 labels"):
        intervals.bootstrap_interval([[0, 1], [0, 1]], [[0.1, 0.2], [0.1]])
    with pytest.raises(ValueError, match="1 vectors of scores and 2 of labels"):
        intervals.bootstrap_interval([[0, 1], [0, 1]], [[0.1, 0.2]])
    with pytest.raises(ValueError, match="'auc'"):
        intervals.bootstrap_interval([[0, 1]], [[0.1, 0.2]], "auc")
    with pytest.raises(ValueError, match="level"):
        intervals.bootstrap_interval([[0, 1]], [[0.1, 0.2]], level=95)


def test_mean_and_ratio_leave_out_what_is_undefined():
    counts = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    first, second = intervals.ratio([1, 0], [2, 0]), intervals.ratio([1, 1], [1, 1])
    assert first(counts) == pytest.approx([0.5, 0.5, np.nan], nan_ok=True)
    assert intervals.mean_of([first, second])(counts) == pytest.approx([0.75, 0.75, 1.0])


def test_coverage_on_small_samples():
    """95% intervals from 30 videos cover the area of a large sample about as often as they promise."""
    rng = np.random.default_rng(5)
    truth = metrics.frame_auc(*(np.concatenate(x) for x in noisy(rng, videos=6000)))
    covered = 0
    for trial in range(200):
        labels, scores = noisy(rng)
        result = intervals.bootstrap_interval(labels, scores, resamples=200, seed=trial)
        covered += result.low <= truth <= result.high
    # percentile intervals are a little short on so few videos; 200 trials have a standard error of 1.7 points
    assert 0.86 <= covered / 200 <= 0.99
