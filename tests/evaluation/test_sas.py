from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.evaluation.sas import VARIANTS, SasStream, frames_to_alarm, sigmoidal_anomaly_score

unit = st.floats(0, 1)
streams = st.lists(unit, min_size=1, max_size=60)
taus = st.floats(0, 0.99)
reactivities = st.floats(0.01, 20)


def logistic(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def test_the_papers_parameters_by_hand():
    # -7 + 2, + 2, + 2, + 2 = 1; then -1 from a confidence of 0.25
    score = sigmoidal_anomaly_score([1, 1, 1, 1, 0.25])
    assert score == pytest.approx(logistic([-5, -3, -1, 1, 0]), abs=1e-15)


def test_a_confidence_equal_to_tau_leaves_the_accumulator():
    assert sigmoidal_anomaly_score([0.3, 0.3], tau=0.3, start=0) == pytest.approx([0.5, 0.5], abs=0)


def test_as_printed_is_the_letter_of_the_paper():
    # tau 0.8, s 0.5 < tau: the printed decrease is (1 - 0.5 - 0.8) / 0.2 = -1.5, so the score rises by 1.5 v
    assert sigmoidal_anomaly_score([0.5], tau=0.8, reactivity=2, start=0, variant="as_printed")[0] == pytest.approx(
        logistic(3.0)
    )
    assert sigmoidal_anomaly_score([0.5], tau=0.8, reactivity=2, start=0)[0] == pytest.approx(logistic(-0.75))
    # tau 0.2, just below it: the printed decrease is 0.75, ours goes to 0
    assert sigmoidal_anomaly_score([0.2 - 1e-12], tau=0.2, reactivity=2, start=0, variant="as_printed")[
        0
    ] == pytest.approx(logistic(-1.5))
    assert sigmoidal_anomaly_score([0.2 - 1e-12], tau=0.2, reactivity=2, start=0)[0] == pytest.approx(0.5)


def test_as_released_passes_a_bound_by_one_step_and_comes_back():
    score = sigmoidal_anomaly_score([1, 1, 0], start=7, variant="as_released")
    assert score == pytest.approx(logistic([9, 9, 5]))
    assert sigmoidal_anomaly_score([1, 1, 0], start=7) == pytest.approx(logistic([7, 7, 5]))
    assert sigmoidal_anomaly_score([0], variant="as_released") == pytest.approx(logistic([-9]))


@given(streams, taus, reactivities)
def test_the_score_stays_within_the_logistic_of_the_bounds(stream, tau, reactivity):
    for variant in ("normalised", "as_printed"):
        score = sigmoidal_anomaly_score(stream, tau, reactivity, bounds=(-3, 4), start=-3, variant=variant)
        assert score.shape == (len(stream),)
        assert np.all(score >= logistic(-3) - 1e-15) and np.all(score <= logistic(4) + 1e-15)
    released = sigmoidal_anomaly_score(stream, tau, reactivity, bounds=(-3, 4), start=-3, variant="as_released")
    assert np.all(released >= logistic(-3 - reactivity) - 1e-15) and np.all(
        released <= logistic(4 + reactivity) + 1e-15
    )


@given(
    st.lists(st.tuples(unit, unit), min_size=1, max_size=60),
    taus,
    reactivities,
    st.sampled_from(["normalised", "as_released"]),
)
def test_more_confidence_never_lowers_a_later_score(pairs, tau, reactivity, variant):
    low = sigmoidal_anomaly_score([min(p) for p in pairs], tau, reactivity, variant=variant)
    high = sigmoidal_anomaly_score([max(p) for p in pairs], tau, reactivity, variant=variant)
    assert np.all(high >= low - 1e-12)


@given(streams, reactivities)
def test_printed_and_normalised_agree_at_one_half(stream, reactivity):
    ours = sigmoidal_anomaly_score(stream, 0.5, reactivity)
    assert sigmoidal_anomaly_score(stream, 0.5, reactivity, variant="as_printed") == pytest.approx(ours, abs=1e-9)


@given(st.lists(unit, min_size=1, max_size=20), taus)
def test_released_and_normalised_agree_while_no_bound_is_met(stream, tau):
    wide = {"bounds": (-100.0, 100.0), "start": 0.0, "reactivity": 2.0}
    ours = sigmoidal_anomaly_score(stream, tau, **wide)
    assert np.array_equal(ours, sigmoidal_anomaly_score(stream, tau, variant="as_released", **wide))


@given(streams, taus, reactivities, st.floats(0.5, 10))
def test_bounding_before_or_after_an_update_gives_the_same_alarms(stream, tau, reactivity, bound):
    options = {"bounds": (-bound, bound), "start": -bound}
    ours, released = (
        sigmoidal_anomaly_score(stream, tau, reactivity, variant=v, **options) for v in ("normalised", "as_released")
    )
    assert np.array_equal(ours > 0.5, released > 0.5)
    assert np.allclose(np.clip(released, logistic(-bound), logistic(bound)), ours, atol=1e-12)


@given(streams, taus, reactivities, st.sampled_from(VARIANTS))
def test_one_at_a_time_gives_the_same_numbers(stream, tau, reactivity, variant):
    live = SasStream(tau, reactivity, variant=variant)
    batch = sigmoidal_anomaly_score(stream, tau, reactivity, variant=variant)
    assert [live.update(c) for c in stream] == batch.tolist()
    live.reset()
    assert live.update(stream[0]) == batch[0]


@given(streams, reactivities)
def test_tau_zero_never_falls(stream, reactivity):
    for variant in ("normalised", "as_printed"):
        assert np.all(np.diff(sigmoidal_anomaly_score(stream, 0.0, reactivity, variant=variant)) >= 0)


@given(streams, streams, taus, reactivities)
def test_the_future_does_not_change_the_past(past, future, tau, reactivity):
    whole = sigmoidal_anomaly_score(past + future, tau, reactivity)
    assert np.array_equal(whole[: len(past)], sigmoidal_anomaly_score(past, tau, reactivity))


@settings(max_examples=200)
@given(
    st.integers(0, 20).map(lambda k: k / 20),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]),
    st.sampled_from([0.5, 1.0, 2.0, 8.0]),
    st.sampled_from([(-7.0, 7.0), (-3.5, 1.25), (-0.5, 20.0), (-12.0, 0.0), (-2.0, -0.25)]),
    st.sampled_from(VARIANTS),
)
def test_frames_to_alarm_counts_what_the_score_does(confidence, tau, reactivity, bounds, variant):
    options = {"bounds": bounds, "start": bounds[0], "variant": variant}
    expected = frames_to_alarm(confidence, tau, reactivity, **options)
    # 1e-9 above 0.5: the sum of steps may end a rounding error above 0 where the closed form ends on it
    score = sigmoidal_anomaly_score([confidence] * 600, tau, reactivity, **options)
    alarmed = np.flatnonzero(score > 0.5 + 1e-9)
    assert expected == (alarmed[0] + 1 if len(alarmed) else None)


@given(st.floats(0.01, 1), st.floats(0, 0.99), reactivities, st.floats(0.1, 50))
def test_frames_to_alarm_is_the_formula_of_the_page(confidence, tau, reactivity, bound):
    """n = floor(B (1 - tau) / (v (s - tau))) + 1 from the lower bound -B, where s > tau; never elsewhere."""
    found = frames_to_alarm(confidence, tau, reactivity, bounds=(-bound, bound), start=-bound)
    if confidence <= tau:
        assert found is None
    else:
        frames = bound * (1 - tau) / (reactivity * (confidence - tau))
        assert found == math.floor(frames) + 1 or abs(frames - round(frames)) < 1e-6


def test_frames_to_alarm_by_hand():
    assert frames_to_alarm(1.0) == 4
    assert frames_to_alarm(0.75) == 8  # exactly 0 after 7
    assert frames_to_alarm(0.5) is None
    assert frames_to_alarm(0.2) is None
    assert frames_to_alarm(1.0, bounds=(-7, -1)) is None
    assert frames_to_alarm(1.0, bounds=(-7, -1), variant="as_released") == 4  # passes its bound by a step
    assert frames_to_alarm(0.6, tau=0.8) is None
    assert frames_to_alarm(0.6, tau=0.8, variant="as_printed") == 2  # below the threshold, and yet it rises
    assert frames_to_alarm(0.0, start=7) == 1


@pytest.mark.parametrize(
    ("confidence", "options", "message"),
    [
        ([], {}, "at least one"),
        ([[0.5]], {}, "shape"),
        ([0.5, math.nan], {}, "position 1"),
        ([0.5, 1.01], {}, "1.01"),
        ([-1e-9], {}, r"\[0, 1\]"),
        ([0.5], {"tau": 1.0}, "tau"),
        ([0.5], {"tau": math.nan}, "tau"),
        ([0.5], {"reactivity": 0}, "reactivity"),
        ([0.5], {"bounds": (7, -7)}, "rise"),
        ([0.5], {"start": -8}, "start"),
        ([0.5], {"variant": "paper"}, "normalised, as_printed, as_released"),
    ],
)
def test_errors_name_what_came(confidence, options, message):
    with pytest.raises(ValueError, match=message):
        sigmoidal_anomaly_score(confidence, **options)


def test_very_low_bounds_do_not_overflow():
    assert sigmoidal_anomaly_score([0.0], bounds=(-5000, 5000), start=-5000)[0] == 0.0
