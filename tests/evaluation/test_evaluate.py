from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from vadkit.core.parameters import make_config
from vadkit.evaluation import metrics
from vadkit.evaluation.bootstrap import ratio
from vadkit.evaluation.evaluate import compare, evaluate
from vadkit.evaluation.metrics import METRICS, Definition, Scored, definitions, video_sas
from vadkit.evaluation.sas import sigmoidal_anomaly_score
from vadkit.evaluation.scores import VideoScores

CONFIG = make_config({"bootstrap_resamples": 200})


def make_test_set(seed, lift=0.45, videos=24, frames=240):
    """Twelve normal videos, four of each of three classes; a third of an anomalous video's frames are anomalous."""
    layout = np.random.default_rng(99)
    rng = np.random.default_rng(seed)
    scored = []
    for k in range(videos):
        category = ("Normal", "Arson")[k % 2] if k < 8 else ("Normal", "Burglary" if k < 16 else "Robbery")[k % 2]
        labels = np.zeros(frames, np.uint8)
        if category != "Normal":
            start = int(layout.integers(0, frames - 80))
            labels[start : start + 80] = 1
        index = np.arange(0, frames, 10)
        confidence = np.clip(
            0.3 + lift * labels[index] + rng.normal(scale=0.2, size=len(index)) + 0.1 * rng.normal(), 0, 1
        )
        scored.append(VideoScores(f"v{k}", category, f"v{k}", 30.0, index, confidence, labels))
    return scored


def by_name(found):
    return {m.name: m for m in found}


def test_values_are_those_of_the_metrics_and_lie_in_their_intervals():
    scores = {0: make_test_set(0), 7: make_test_set(1)}
    found = by_name(evaluate(scores, CONFIG))
    expected_names = (
        "fl_auc ap anomalous_only_auc hard_vs_normal_auc macro_class_auc false_alarm_rate vl_f1 vl_tpr vl_fpr "
        "detection_delay_s spans_detected spans_early video_auc video_auc_sas auc_Arson auc_Burglary auc_Robbery"
    )
    assert list(found) == expected_names.split()

    def of_hard_frames(videos):
        hard = [np.where(v.label, v.labels == 1, True) for v in videos]
        labels = np.concatenate([v.labels[h] for v, h in zip(videos, hard, strict=True)])
        return roc_auc_score(labels, np.concatenate([v.frame_scores()[h] for v, h in zip(videos, hard, strict=True)]))

    def of_classes(videos):
        chosen = [[v for v in videos if v.category in (c, "Normal")] for c in ("Arson", "Burglary", "Robbery")]
        return np.mean([metrics.frame_auc(*metrics.pool(one)) for one in chosen])

    for name, function in (
        ("fl_auc", lambda v: metrics.frame_auc(*metrics.pool(v))),
        ("ap", lambda v: average_precision_score(*metrics.pool(v))),
        ("hard_vs_normal_auc", of_hard_frames),
        ("macro_class_auc", of_classes),
    ):
        values = tuple(function(v) for v in scores.values())
        assert found[name].per_seed == pytest.approx(values, abs=1e-12) and found[name].value == pytest.approx(
            np.mean(values)
        )
    peaks = [np.array([video_sas(v, CONFIG).max() for v in videos]) for videos in scores.values()]
    labels = np.array([v.label for v in scores[0]])
    assert found["vl_f1"].per_seed == tuple(f1_score(labels, p > 0.5) for p in peaks)
    assert found["spans_early"].value == 0 and "the same in every resample" in found.pop("spans_early").reason
    for m in found.values():  # four videos of a class of 24: some resamples have none of it
        assert m.videos == 24 and (m.reason == "" or m.name.startswith("auc_")), m
        assert m.reason == "" or "of 200 resamples left out: no value on the videos drawn" in m.reason
        assert m.ci_low <= m.value <= m.ci_high and len(m.per_seed) == 2
    assert found["detection_delay_s"].unit == "s" and found["fl_auc"].unit == ""


def test_a_metric_is_in_seconds_because_its_definition_says_so_and_not_by_its_name():
    """A class may be called hit_s, and a metric need not end in _s to be a time."""
    videos = [replace(v, category="hit_s") if v.label else v for v in make_test_set(0)]
    found = by_name(evaluate({0: videos}, CONFIG))
    assert found["auc_hit_s"].unit == "" and found["detection_delay_s"].unit == "s"
    assert compare({0: videos}, {0: videos}, CONFIG, "auc_hit_s").unit == ""
    assert compare({0: videos}, {0: videos}, CONFIG, "detection_delay_s").unit == "s"


def test_a_metric_is_added_by_its_name(monkeypatch):
    def longest(scored):
        return ratio([v.frames / v.fps * v.label for v in scored.videos], [v.label for v in scored.videos], "none")

    monkeypatch.setitem(METRICS, "mean_length", Definition(longest, "s"))
    found = by_name(evaluate({0: make_test_set(0)}, CONFIG))["mean_length"]
    assert found.value == pytest.approx(8.0) and found.unit == "s"


def test_every_statistic_is_its_metric_on_the_videos_drawn():
    videos = make_test_set(3)
    counts = np.random.default_rng(0).integers(0, 3, len(videos))
    drawn = [replace(v, name=f"{v.name}-{k}") for v, n in zip(videos, counts, strict=True) for k in range(n)]
    one, other = Scored(tuple(videos), CONFIG), Scored(tuple(drawn), CONFIG)
    assert set(definitions(one)) == set(definitions(other))
    for name, definition in definitions(one).items():
        at = definition.statistic(one)(counts[None].astype(float))[0]
        assert at == pytest.approx(definition.statistic(other).value, abs=1e-12), name


def test_sas_takes_the_runs_parameters():
    video = make_test_set(0)[1]
    config = make_config({"sas_tau": 0.7, "sas_reactivity": 1.0, "sas_bound": 4.0, "sas_variant": "as_released"})
    expected = sigmoidal_anomaly_score(video.confidence, 0.7, 1.0, (-4, 4), -4, "as_released")
    assert np.array_equal(video_sas(video, config), expected)


def test_metrics_without_a_value_keep_their_reason():
    normal_only = {0: [v for v in make_test_set(0) if not v.label]}
    found = by_name(evaluate(normal_only, CONFIG))
    for name in (
        "fl_auc",
        "ap",
        "anomalous_only_auc",
        "hard_vs_normal_auc",
        "macro_class_auc",
        "vl_f1",
        "vl_tpr",
        "detection_delay_s",
        "spans_detected",
        "spans_early",
        "video_auc",
    ):
        assert found[name].value is None and found[name].ci_low is None and found[name].reason, name
    assert "no anomalous frame among 2880" in found["fl_auc"].reason
    assert found["vl_fpr"].value is not None and found["false_alarm_rate"].value is not None


def test_a_seed_without_a_delay_is_left_out_and_named():
    silent = [replace(v, confidence=np.zeros_like(v.confidence)) for v in make_test_set(0)]
    found = by_name(evaluate({0: make_test_set(0), 5: silent}, CONFIG))
    assert found["detection_delay_s"].per_seed[1] is None
    assert found["detection_delay_s"].value == found["detection_delay_s"].per_seed[0]
    assert "seed 5 left out: none of 12 annotated spans was detected" in found["detection_delay_s"].reason
    assert found["spans_detected"].per_seed[1] == 0


def test_too_few_videos_of_a_class_have_a_value_and_no_interval():
    videos = [v for v in make_test_set(0) if v.category != "Arson" or v.name == "v1"]
    arson = by_name(evaluate({0: videos}, CONFIG))["auc_Arson"]
    assert arson.value is not None and arson.ci_low is None and "too few videos" in arson.reason


def test_compare_is_paired_and_relative_as_the_paper_counts():
    a, b = {0: make_test_set(0), 1: make_test_set(1)}, {0: make_test_set(0, lift=0.25), 1: make_test_set(1, lift=0.25)}
    found = compare(a, b, CONFIG)
    single = {m.name: m for m in evaluate(a, CONFIG)}["fl_auc"]
    assert found.a == single.value and found.difference == pytest.approx(found.a - found.b)
    assert found.relative == pytest.approx(found.a / found.b - 1)
    assert 0 < found.ci_low < found.difference < found.ci_high
    assert found.relative_low < found.relative < found.relative_high
    same = compare(a, a, CONFIG, "vl_f1")
    assert (same.difference, same.ci_low, same.ci_high, same.relative) == (0, 0, 0, 0)
    assert (found.seeds, found.videos) == (2, 24)


def test_compare_without_a_value_says_why():
    silent = {0: [replace(v, confidence=np.zeros_like(v.confidence)) for v in make_test_set(0)]}
    found = compare({0: make_test_set(0)}, silent, CONFIG, "detection_delay_s")
    assert found.difference is None and found.relative is None and "none of 12" in found.reason
    zero = compare({0: make_test_set(0)}, silent, CONFIG, "vl_f1")
    assert zero.difference == zero.a and zero.relative is None  # nothing is a multiple of 0


def test_what_does_not_match_is_named():
    videos = make_test_set(0)
    with pytest.raises(ValueError, match="at least one seed"):
        evaluate({}, CONFIG)
    with pytest.raises(ValueError, match="seed 3: no video"):
        evaluate({3: []}, CONFIG)
    with pytest.raises(ValueError, match="seeds 0 and 1 .* v23"):
        evaluate({0: videos, 1: videos[:-1]}, CONFIG)
    with pytest.raises(ValueError, match="order differs"):
        evaluate({0: videos, 1: videos[::-1]}, CONFIG)
    with pytest.raises(ValueError, match="two systems disagree on the labels of v1: 240 and 240 frames, 80 and 240"):
        compare({0: videos}, {0: [videos[0], replace(videos[1], labels=np.ones(240, np.uint8)), *videos[2:]]}, CONFIG)
    with pytest.raises(ValueError, match="v0 is scored more than once"):
        evaluate({0: [*videos, videos[0]]}, CONFIG)
    with pytest.raises(ValueError, match="no metric 'auc'.*fl_auc"):
        compare({0: videos}, {0: videos}, CONFIG, "auc")
    with pytest.raises(ValueError, match="v2: .*nan"):
        evaluate({0: [*videos[:2], replace(videos[2], confidence=np.full(24, np.nan)), *videos[3:]]}, CONFIG)


def test_intervals_over_sources_draw_a_recordings_cuts_together():
    rng = np.random.default_rng(0)
    videos = []
    for source in range(12):  # every cut of a recording is as hard as the others
        shift = rng.normal(0, 0.2)
        for cut in range(6):
            label, score = cut % 2, np.clip(0.5 + 0.15 * (cut % 2) + shift + rng.normal(0, 0.02, 4), 0, 1)
            videos.append(
                VideoScores(
                    f"{source}-{cut}",
                    "Assault" if label else "Normal",
                    f"s{source}",
                    10.0,
                    np.arange(4) * 5,
                    score,
                    np.full(20, label, np.uint8),
                )
            )
    widths = {}
    for over in ("videos", "sources"):
        found = {m.name: m for m in evaluate({0: videos}, make_config({"interval_over": over}))}
        widths[over] = found["false_alarm_rate"].ci_high - found["false_alarm_rate"].ci_low
        alone = {
            m.name: m
            for m in evaluate({0: [replace(v, source=v.name) for v in videos]}, make_config({"interval_over": over}))
        }
        assert alone["fl_auc"].value == found["fl_auc"].value
    assert widths["sources"] > 1.3 * widths["videos"]


def test_only_wanted_metrics_are_computed():
    scores = {0: make_test_set(0)}
    everything = evaluate(scores, CONFIG)
    some = evaluate(scores, CONFIG, wanted=lambda name: name in ("ap", "vl_f1"))
    assert some == [m for m in everything if m.name in ("ap", "vl_f1")]
