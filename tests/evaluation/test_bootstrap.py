from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation.bootstrap import Statistic, difference, draw, estimate, mean_of, ratio
from vadkit.evaluation.metrics import frame_auc
from vadkit.evaluation.pooled import PairCounts, average_precision

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


def precision(labels, scores):
    if len(set(labels)) < 2:
        raise UndefinedMetricError("one class")
    return average_precision_score(labels, scores)


@settings(max_examples=300)
@given(corpora())
def test_a_resamples_statistic_is_the_metric_of_its_frames(corpus):
    labels, scores, counts = corpus
    for statistic, metric in (
        (PairCounts(labels, scores).auc(), frame_auc),
        (average_precision(labels, scores), precision),
    ):
        try:
            expected = metric(*repeated(labels, scores, counts))
        except UndefinedMetricError:
            expected = np.nan
        assert statistic(counts[None])[0] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_masks_choose_whose_positives_meet_whose_negatives():
    labels = [np.array([0, 1]), np.array([0, 1]), np.array([0, 0])]
    scores = [np.array([0.2, 0.7]), np.array([0.9, 0.1]), np.array([0.7, 0.3])]
    pairs = PairCounts(labels, scores)
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


def auc_of(labels, scores, resamples=1000, seed=0, level=0.95):
    statistics = {0: PairCounts(labels, scores).auc()}
    return estimate("fl_auc", statistics, draw(len(labels), resamples, seed), level)


def test_an_interval_is_that_of_a_loop_over_resamples():
    labels, scores = noisy(np.random.default_rng(0))
    counts = draw(len(labels), 60, 3)
    for statistic, metric in (
        (PairCounts(labels, scores).auc(), frame_auc),
        (average_precision(labels, scores), precision),
    ):
        found = estimate("it", {0: statistic}, counts, 0.95)
        slow = [metric(*repeated(labels, scores, row)) for row in counts]
        assert found.value == pytest.approx(metric(np.concatenate(labels), np.concatenate(scores)), abs=1e-12)
        assert (found.ci_low, found.ci_high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-12)
        assert found.ci_low < found.value < found.ci_high and found.reason == "" and found.videos == 30


def test_the_same_seed_gives_the_same_interval_and_another_another():
    labels, scores = noisy(np.random.default_rng(0))
    first = auc_of(labels, scores, resamples=50, seed=1)
    assert first == auc_of(labels, scores, resamples=50, seed=1)
    assert first != auc_of(labels, scores, resamples=50, seed=2)


def test_a_paired_difference_is_much_tighter_than_its_parts():
    rng = np.random.default_rng(1)
    labels, a = noisy(rng)
    b = [s - 0.1 * y + rng.normal(scale=0.05, size=len(s)) for s, y in zip(a, labels, strict=True)]
    counts, both = draw(len(labels), 300, 0), [{0: PairCounts(labels, scores).auc()} for scores in (a, b)]
    paired = difference("fl_auc", *both, (counts, counts), 0.95, len(labels))
    alone = auc_of(labels, a, resamples=300)
    assert paired.difference == pytest.approx(alone.value - auc_of(labels, b, resamples=10).value)
    assert paired.ci_high - paired.ci_low < 0.3 * (alone.ci_high - alone.ci_low)
    assert paired.ci_low > 0
    same = difference("fl_auc", both[0], both[0], (counts, counts), 0.95, len(labels))
    assert (same.difference, same.ci_low, same.ci_high) == (0, 0, 0)


def test_undefined_resamples_are_counted_and_too_many_leave_no_interval():
    one_anomalous = [np.array([0, 1]), *[np.zeros(2, int)] * 5]
    scores = [np.array([0.1, 0.9]), *[np.array([0.2, 0.3])] * 5]
    result = auc_of(one_anomalous, scores, resamples=400)
    assert result.value == 1 and result.ci_low is None and result.ci_high is None
    undefined = int(result.reason.split()[2])
    assert 0.25 < undefined / 400 < 0.45  # (1 - 1/6)^6 = 0.33
    assert f"undefined in {undefined} of 400 resamples" in result.reason


def test_the_undefined_resamples_that_an_interval_leaves_out_are_counted_in_its_reason():
    four = [np.array([0, 1])] * 4 + [np.zeros(2, int)] * 4
    enough = auc_of(four, [np.array([0.1, 0.9])] * 4 + [np.array([0.2, 0.3])] * 4, resamples=400)
    drawn = draw(8, 400, 0)
    undefined = int(np.sum((drawn[:, :4].sum(axis=1) == 0) | (drawn.sum(axis=1) == 0)))
    left_out = f"{undefined} of 400 resamples left out: no value on the videos drawn"
    assert enough.ci_low == enough.ci_high == 1 and 0 < undefined < 40
    assert enough.reason == f"the same in every resample, which leaves no interval; {left_out}"
    labels, scores = noisy(np.random.default_rng(0), videos=8)
    one, two = ({0: PairCounts(labels, [s + k * y for s, y in zip(scores, labels, strict=True)]).auc()} for k in (0, 1))
    found = difference("fl_auc", one, two, (drawn, drawn), 0.95, 8)
    undefined = int(np.sum(drawn[:, 1::2].sum(axis=1) == 0))
    assert found.ci_low is not None
    assert found.reason == f"{undefined} of 400 resamples left out: no value on the videos drawn"


def test_a_metric_undefined_on_the_videos_says_so():
    found = auc_of([np.zeros(2), np.zeros(2)], [np.ones(2), np.ones(2)])
    assert found.value is None and "no anomalous frame among 4" in found.reason and found.per_seed == (None,)
    with pytest.raises(UndefinedMetricError, match="no anomalous frame among 4"):
        PairCounts([np.zeros(2), np.zeros(2)], [np.ones(2), np.ones(2)]).auc().value  # noqa: B018
    with pytest.raises(UndefinedMetricError, match="nothing to count"):
        ratio([1, 2], [0, 0], "nothing to count").value  # noqa: B018
    with pytest.raises(UndefinedMetricError, match="no value on these videos"):
        Statistic(lambda counts: np.full(len(counts), np.nan), 3).value  # noqa: B018


def test_what_cannot_be_drawn_is_refused():
    labels, scores = noisy(np.random.default_rng(0))
    with pytest.raises(ValueError, match="level"):
        auc_of(labels, scores, level=95)
    with pytest.raises(ValueError, match="at least one video and one resample, got 0 and 5"):
        draw(0, 5, 0)


def test_mean_and_ratio_leave_out_what_is_undefined():
    counts = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    first, second = ratio([1, 0], [2, 0]), ratio([1, 1], [1, 1])
    assert first(counts) == pytest.approx([0.5, 0.5, np.nan], nan_ok=True)
    assert mean_of([first, second])(counts) == pytest.approx([0.75, 0.75, 1.0])
    assert (second - first)(counts) == pytest.approx([0.5, 0.5, np.nan], nan_ok=True)


def test_coverage_on_small_samples():
    """95% intervals from 30 videos cover the area of a large sample about as often as they promise."""
    rng = np.random.default_rng(5)
    truth = frame_auc(*(np.concatenate(x) for x in noisy(rng, videos=6000)))
    covered = 0
    for trial in range(200):
        labels, scores = noisy(rng)
        result = auc_of(labels, scores, resamples=200, seed=trial)
        covered += result.ci_low <= truth <= result.ci_high
    # percentile intervals are a little short on so few videos; 200 trials have a standard error of 1.7 points
    assert 0.86 <= covered / 200 <= 0.99
