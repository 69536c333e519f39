from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vadkit.evaluation.sas import VARIANTS, SasStream, frames_to_alarm, sigmoidal_anomaly_score

unit = st.floats(0, 1)
streams = st.lists(unit, min_size=1, max_size=60)
taus = st.floats(0, 0.99)
reactivities = st.floats(0.01, 20)


def logistic(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def logit(score):
    return np.log(score) - np.log1p(-score)


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


def test_as_released_passes_a_bound_by_one_step_and_loses_the_step_that_finds_it_there():
    def released(confidence, start):
        return sigmoidal_anomaly_score(confidence, start=start, variant="as_released")

    # 6.5 passes 7 by a step, which the next fall counts from; or the next rise sets it back to 7
    assert released([1, 0, 0], 6.5) == pytest.approx(logistic([8.5, 6.5, 4.5]))
    assert released([1, 1, 1, 0], 6.5) == pytest.approx(logistic([8.5, 7, 7, 5]))
    assert sigmoidal_anomaly_score([1, 0, 0], start=6.5) == pytest.approx(logistic([7, 5, 3]))
    assert released([0, 1, 1], -6.5) == pytest.approx(logistic([-8.5, -6.5, -4.5]))
    assert released([0, 0, 1], -7) == pytest.approx(logistic([-7, -7, -5]))


def test_as_released_can_alarm_where_ours_does_not_and_the_other_way_round():
    def alarms(confidence, start, variant):
        return (sigmoidal_anomaly_score(confidence, start=start, variant=variant) > 0.5).tolist()

    dips = [0.6, 0, 1, 1, 1, 1]  # below the lower bound by most of a step, so that four rises are too few
    assert alarms(dips, -7, "as_released") == [False] * 6 and alarms(dips, -7, "normalised") == [False] * 5 + [True]
    ends = [1, 0, 0, 0, 0]  # above the upper bound by most of a step, so that the alarm lasts a frame longer
    assert alarms(ends, 6.5, "as_released") == [True] * 5 and alarms(ends, 6.5, "normalised") == [True] * 4 + [False]


def released_by_a_plain_loop(stream, tau, reactivity, lower, upper, start):
    """The released class, in words: see the page of `as_released`."""
    x, scores = start, []
    for s in stream:
        if s >= tau:
            if x < upper:
                x += reactivity * (s - tau) / (1 - tau)
            else:
                x = upper
        else:
            if x > lower:
                x -= reactivity * (tau - s) / tau
            else:
                x = lower
        scores.append(1 / (1 + math.exp(-x)))
    return scores


@settings(max_examples=300)
@given(
    st.lists(st.integers(0, 8).map(lambda k: k / 8), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    st.sampled_from([0.25, 1.0, 2.0, 8.0]),  # of few values, so that the accumulator often ends on a bound
    st.sampled_from([(-7.0, 7.0), (-3.0, 4.0), (-0.5, 0.5), (0.5, 3.0), (-3.0, -0.5)]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_as_released_is_a_plain_loop(stream, tau, reactivity, bounds, where):
    start = bounds[0] + where * (bounds[1] - bounds[0])
    expected = released_by_a_plain_loop(stream, tau, reactivity, *bounds, start)
    score = sigmoidal_anomaly_score(stream, tau, reactivity, bounds, start, "as_released")
    assert score == pytest.approx(expected, abs=1e-12)


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


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=60), taus, reactivities)
def test_more_confidence_never_lowers_a_later_score(pairs, tau, reactivity):
    low = sigmoidal_anomaly_score([min(p) for p in pairs], tau, reactivity)
    high = sigmoidal_anomaly_score([max(p) for p in pairs], tau, reactivity)
    assert np.all(high >= low - 1e-12)


def test_as_released_more_confidence_can_lower_a_later_score():
    """Not ours, the released bounds: at 7 the first rise is lost, at 6.9 it is kept."""
    more, less = (sigmoidal_anomaly_score([1, 0.25], start=start, variant="as_released") for start in (7.0, 6.9))
    assert np.all(more < less)


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
def test_released_differs_by_no_more_than_what_it_passed_the_bounds_by(stream, tau, reactivity, bound):
    options = {"bounds": (-bound, bound), "start": -bound}
    ours, released = (
        logit(sigmoidal_anomaly_score(stream, tau, reactivity, variant=v, **options))
        for v in ("normalised", "as_released")
    )
    assert np.all(np.abs(ours - released) <= reactivity + 1e-6)


@given(streams, taus, reactivities, st.sampled_from(VARIANTS))
def test_one_at_a_time_gives_the_same_numbers(stream, tau, reactivity, variant):
    live = SasStream(tau, reactivity, variant=variant)
    batch = sigmoidal_anomaly_score(stream, tau, reactivity, variant=variant)
    assert [live.update(c) for c in stream] == batch.tolist()


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
    st.sampled_from([(-7.0, 7.0), (-3.5, 1.25), (-0.5, 20.0), (-12.0, 0.0), (-2.0, -0.25), (0.25, 2.0)]),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.sampled_from(VARIANTS),
)
def test_frames_to_alarm_counts_what_the_score_does(confidence, tau, reactivity, bounds, where, variant):
    options = {"bounds": bounds, "start": bounds[0] + where * (bounds[1] - bounds[0]), "variant": variant}
    expected = frames_to_alarm(confidence, tau, reactivity, **options)
    score = sigmoidal_anomaly_score([confidence] * 600, tau, reactivity, **options)
    if bounds[1] <= 0 and variant == "as_released":  # whether a sum of steps ends at or below the bound is rounding's
        assume(np.abs(logit(score) - bounds[1])[np.abs(logit(score) - bounds[1]) > 0].min(initial=1) > 1e-9)
    # 1e-9 above 0.5: the sum of steps may end a rounding error above 0 where the closed form ends on it
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
    assert frames_to_alarm(1.0, bounds=(-7, -0.5), variant="as_released") == 4  # -1 is below it: passes it by a step
    assert frames_to_alarm(1.0, bounds=(-7, -1), variant="as_released") is None  # -1 is at it: set to it for ever
    assert frames_to_alarm(0.0, bounds=(1, 7), start=1.5, variant="as_released") == 2  # -0.5, then set back to 1
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
