from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_code import defined_in
from sklearn.metrics import roc_auc_score

from vadkit.core.parameters import make_config
from vadkit.evaluation import external, pitfalls
from vadkit.evaluation.bootstrap import draw
from vadkit.evaluation.metrics import Scored, anomalous_only_auc
from vadkit.evaluation.pooled import PairCounts
from vadkit.evaluation.scores import VideoScores

CONFIG = make_config({"bootstrap_resamples": 100})
ONCE = np.ones
FUNCTIONS = ("in_segments", "with_zero_tail", "stretched", "longest_normal", "constant", "shortness", "standard_error")
WRONG = defined_in("12", *FUNCTIONS)  # what the notebook does to scores


def video(name, category, labels, scores):
    return VideoScores(
        name, category, name, 30.0, np.arange(len(labels)), np.asarray(scores, float), np.asarray(labels, np.uint8)
    )


def make_videos(seed=0, count=12, longest=90, lift=0.25):
    rng = np.random.default_rng(seed)
    videos = []
    for k in range(count):
        frames = int(rng.integers(40, longest))
        labels = np.zeros(frames, np.uint8)
        if k % 2:
            labels[10:25] = 1
        scores = np.clip(0.4 + 0.1 * rng.normal() + lift * labels + 0.15 * rng.normal(size=frames), 0, 1)
        videos.append(video(f"v{k}", "Arson" if k % 2 else "Normal", labels, scores))
    return videos


def value(way, videos):
    return float(way(ONCE((1, len(videos))))[0])


def scored(videos):
    return Scored(tuple(videos), CONFIG)


def pooled(videos, scores=None, labels=None):
    labels = np.concatenate([v.labels for v in videos] if labels is None else labels)
    return roc_auc_score(labels, np.concatenate([v.frame_scores() for v in videos] if scores is None else scores))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_mean_over_pairs_is_that_of_a_loop_over_all_pairs(seed):
    videos = make_videos(seed, count=6)
    expected = np.mean([pooled([a, n]) for a, n in itertools.product(videos[1::2], videos[::2])])
    assert value(pitfalls.pair_averaged(scored(videos)), videos) == pytest.approx(expected, abs=1e-12)
    assert pitfalls.random_pairings(scored(videos), 500).mean() == pytest.approx(expected, abs=0.03)


def test_a_pair_drawn_twice_counts_twice():
    videos = make_videos()
    drawn = draw(len(videos), 5, 0)
    at = pitfalls.pair_averaged(scored(videos))(drawn)
    for counts, found in zip(drawn.astype(int), at, strict=True):
        taken = [v for v, times in zip(videos, counts, strict=True) for _ in range(times)]
        anomalous, normal = [v for v in taken if v.label], [v for v in taken if not v.label]
        assert found == pytest.approx(np.mean([pooled([a, n]) for a in anomalous for n in normal]), abs=1e-12)


def test_the_mean_over_pairs_needs_both_kinds():
    videos = make_videos()[::2]
    found = pitfalls.Bench(videos, CONFIG).size("pairs", pitfalls.pair_averaged(scored(videos)))
    assert found.auc.value is None and found.change.difference is None and found.auc.reason


def test_anomalous_only_is_the_pooled_auc_of_anomalous_videos():
    videos = make_videos()
    assert value(anomalous_only_auc(scored(videos)), videos) == pytest.approx(pooled(videos[1::2]), abs=1e-12)


def over_segments(videos, segments=32):
    return value(PairCounts(*zip(*(WRONG.in_segments(v, segments) for v in videos), strict=True)).auc(), videos)


def test_segments_count_videos_alike_whatever_their_length():
    short = [
        video("a", "Arson", np.repeat([0, 1], 32), np.repeat([0.4, 0.6], 32)),
        video("n", "Normal", np.zeros(64), np.full(64, 0.5)),
    ]
    long = [short[0], video("n", "Normal", np.zeros(6400), np.full(6400, 0.5))]
    assert over_segments(short) == over_segments(long) == 1.0
    mixed = [short[0], video("n", "Normal", np.zeros(6400), np.full(6400, 0.7))]
    assert over_segments(mixed) == pytest.approx(16 / 48)
    assert pooled(mixed) == pytest.approx(32 / 6432)


def test_a_segment_takes_the_label_of_half_of_its_frames():
    one = video("a", "Arson", [0, 0, 1, 1, 1, 0, 0, 0], [0.1, 0.1, 0.9, 0.9, 0.4, 0.2, 0.2, 0.2])
    other = video("n", "Normal", np.zeros(8), np.full(8, 0.35))
    labels, scores = [[0, 1, 1, 0], [0] * 4], [[0.1, 0.9, 0.3, 0.2], [0.35] * 4]
    assert over_segments([one, other], 4) == pytest.approx(
        roc_auc_score(np.concatenate(labels), np.concatenate(scores))
    )


def test_a_tail_at_zero_hides_an_anomaly_at_the_end():
    labels = np.r_[np.zeros(60), np.ones(3)]
    videos = [
        video("a", "Arson", labels, np.where(labels, 0.9, 0.1)),
        video("n", "Normal", np.zeros(64), np.full(64, 0.2)),
    ]
    assert pooled(videos) == 1.0
    assert value(pitfalls.rescored(videos, WRONG.with_zero_tail), videos) < 0.2
    whole = [videos[1], video("b", "Arson", np.repeat([0, 1], 32), np.repeat([0.1, 0.9], 32))]
    assert value(pitfalls.rescored(whole, WRONG.with_zero_tail), whole) == pytest.approx(pooled(whole))


def stretched_auc(videos, factor):
    return value(pitfalls.rescored(videos, partial(WRONG.stretched, factor=factor)), videos)


def test_a_wrong_length_shifts_the_scores_and_a_right_one_does_not():
    videos = make_videos(lift=0.5)
    assert stretched_auc(videos, 1.0) == pytest.approx(pooled(videos), abs=1e-12)
    moved = [v.frame_scores()[(np.arange(v.frames) / 1.5).astype(int)] for v in videos]
    assert stretched_auc(videos, 1.5) == pytest.approx(pooled(videos, moved), abs=1e-12)
    assert stretched_auc(videos, 0.5) < pooled(videos)


def test_length_alone_ranks_by_length():
    videos = make_videos()
    WRONG.names["most"] = max(v.frames for v in videos)
    assert value(pitfalls.rescored(videos, WRONG.shortness), videos) == pytest.approx(
        pooled(videos, [np.full(v.frames, -v.frames) for v in videos]), abs=1e-12
    )


def test_the_longest_normal_videos_and_what_hangs_on_them():
    videos = [*make_videos(), video("long", "Normal", np.zeros(900), np.full(900, 0.45))]
    chosen, share = WRONG.longest_normal(videos, 1)
    assert chosen == ["long"] and share == pytest.approx(900 / sum(v.frames for v in videos))
    WRONG.names["names"] = chosen
    ways = (partial(WRONG.constant, score=score) for score in (0.0, 1.0))
    silent, loud = (value(pitfalls.rescored(videos, way), videos) for way in ways)
    assert loud < pooled(videos) < silent
    assert silent == pytest.approx(pooled(videos, [*(v.frame_scores() for v in videos[:-1]), np.zeros(900)]), abs=1e-12)


def test_the_right_way_differs_from_itself_by_nothing_and_others_are_paired():
    videos = make_videos(count=20)
    bench = pitfalls.Bench(videos, CONFIG)
    right, other = (
        bench.size("pooled", bench.right),
        bench.size("anomalous", anomalous_only_auc(bench.scored)),
    )
    assert right.auc.value == pytest.approx(pooled(videos), abs=1e-12)
    assert (right.change.difference, right.change.ci_low, right.change.ci_high) == (0, 0, 0)
    assert other.change.difference == pytest.approx(other.auc.value - right.auc.value)
    assert other.change.ci_high - other.change.ci_low < (right.auc.ci_high - right.auc.ci_low) + (
        other.auc.ci_high - other.auc.ci_low
    )


def test_the_standard_error_of_independent_frames():
    """Against the spread of the AUC over many independent samples."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [300, 100])
    areas = [roc_auc_score(labels, rng.normal(size=400) + labels) for _ in range(400)]
    assert WRONG.standard_error(np.mean(areas), 100, 300) == pytest.approx(np.std(areas), rel=0.15)


def test_choosing_on_the_test_set_gains_there_and_nowhere_else():
    videos = make_videos(count=40)
    found = pitfalls.choose_on_test(videos, candidates=20, wobble=0.5, halves=30)
    gains = list(found.best.values())
    assert list(found.best) == [1, 5, 20] and gains == sorted(gains) and gains[-1] > found.typical + found.spread
    (seen, low, high), (unseen, *_) = found.seen, found.unseen
    assert 0 < low < seen < high and unseen < seen / 2
    assert found.best[1] == pytest.approx(found.typical, abs=found.spread)


def test_without_any_shift_all_candidates_are_the_scorer_itself():
    videos = make_videos(count=10)
    found = pitfalls.choose_on_test(videos, candidates=3, wobble=0.0, halves=4)
    assert found.typical == pytest.approx(pooled(videos), abs=1e-9) and found.spread == pytest.approx(0, abs=1e-12)
    for gains in (found.seen, found.unseen):  # though one half is harder than the other
        assert gains == pytest.approx((0, 0, 0), abs=1e-12)


def test_what_choosing_gains_does_not_depend_on_the_scale_of_scores_nor_on_zeros():
    """A scorer that writes 0 for what it is sure of, or six decimals, is as good as before."""
    videos = make_videos(count=24)
    zeros = [replace(v, confidence=np.where(v.confidence < 0.1, 0.0, v.confidence)) for v in videos]
    squeezed = [replace(v, confidence=v.confidence.astype(np.float64) ** 9) for v in videos]
    plain, with_zeros, small = (
        pitfalls.choose_on_test(some, candidates=20, halves=10) for some in (videos, zeros, squeezed)
    )
    assert small == plain
    assert with_zeros.typical == pytest.approx(pooled(zeros), abs=0.02) and with_zeros.spread < 2 * plain.spread


def test_the_published_scores_of_ucf_crime(shared):
    videos = external.read(
        shared("data/ucf_crime/scores_mil_c3d.csv"), shared("data/ucf_crime/lists/Temporal_Anomaly_Annotation.txt")
    ).videos
    bench = pitfalls.Bench(videos, CONFIG)
    right = bench.size("pooled", bench.right).auc
    assert right.value == pytest.approx(0.690, abs=5e-4) and right.ci_high - right.ci_low > 0.1
    assert bench.size("anomalous", anomalous_only_auc(bench.scored)).change.difference == pytest.approx(
        -0.069, abs=2e-3
    )
    assert abs(bench.size("pairs", pitfalls.pair_averaged(bench.scored)).change.difference) > 0.01
    chosen, share = WRONG.longest_normal(videos)
    assert set(chosen) == {"Normal_Videos_924", "Normal_Videos_935"} and share == pytest.approx(0.19, abs=0.01)
