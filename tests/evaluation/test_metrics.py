from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from vadkit.core.config import Config
from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation import metrics
from vadkit.evaluation.metrics import Scored
from vadkit.evaluation.pooled import PairCounts, average_precision
from vadkit.evaluation.scores import VideoScores


def video(name, category, confidence, labels, fps=10.0, every=1):
    labels = np.asarray(labels, np.uint8)
    return VideoScores(
        name, category, name, fps, np.arange(0, len(labels), every), np.asarray(confidence, float), labels
    )


def value(metric, videos, **options):
    return metric(Scored(tuple(videos), Config()), **options).value


def called(labels, scores):
    """One video a label, whose largest SAS is the score."""
    videos = [video(f"v{k}", ("Normal", "Arson")[y], [0.5], [y]) for k, y in enumerate(labels)]
    scored = Scored(tuple(videos), Config())
    vars(scored)["peaks"] = np.asarray(scores, float)  # in the place of what the property would compute
    return scored


# scores from few values, so that ties are common
labelled = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 12).map(lambda k: k / 12)), min_size=2, max_size=80
).filter(lambda rows: 0 < sum(r[0] for r in rows) < len(rows))


@given(labelled)
def test_frame_metrics_equal_scikit_learns(rows):
    labels, scores = np.array(rows).T
    assert metrics.frame_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    for parts in (1, 2):  # of one video, and of two
        cut = [np.array_split(x, parts) for x in (labels, scores)]
        assert average_precision(*cut).value == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
        assert PairCounts(*cut).auc().value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(labelled)
def test_turning_the_scores_round_turns_the_area_round(rows):
    labels, scores = np.array(rows).T
    assert metrics.frame_auc(labels, 1 - scores) == pytest.approx(1 - metrics.frame_auc(labels, scores), abs=1e-12)


def test_equal_scores_give_one_half():
    assert metrics.frame_auc([0, 1, 1], [0.3, 0.3, 0.3]) == 0.5
    assert average_precision([[0, 1], [1, 0]], [[0.3] * 2] * 2).value == 0.5


@given(labelled)
def test_video_f1_equals_scikit_learns(rows):
    labels, scores = np.array(rows).T
    scored, alarm = called(labels.astype(int), scores), scores > 0.5
    assert metrics.vl_f1(scored).value == pytest.approx(f1_score(labels, alarm, zero_division=0), abs=1e-12)
    assert metrics.vl_tpr(scored).value == alarm[labels == 1].mean()
    assert metrics.vl_fpr(scored).value == alarm[labels == 0].mean()
    assert metrics.METRICS["video_auc_sas"].statistic(scored).value == pytest.approx(roc_auc_score(labels, scores))


def test_a_video_score_of_exactly_the_threshold_is_no_alarm():
    assert metrics.vl_tpr(called([1], [0.5])).value == 0
    assert metrics.vl_tpr(called([1], [np.nextafter(0.5, 1)])).value == 1
    assert metrics.vl_fpr(called([0, 0], [0.5, 0.8])).value == 0.5


@pytest.mark.parametrize(("labels", "absent"), [([0, 0, 0], "anomalous"), ([1, 1, 1], "normal")])
def test_one_class_is_undefined_with_the_reason(labels, absent):
    with pytest.raises(UndefinedMetricError, match=f"no {absent} frame among 3"):
        metrics.frame_auc(labels, [0.1, 0.5, 0.9])
    for name in ("fl_auc", "ap", "hard_vs_normal_auc", "vl_f1", "video_auc", "video_auc_sas"):
        statistic = metrics.METRICS[name].statistic(called(labels, [0.1, 0.5, 0.9]))
        with pytest.raises(UndefinedMetricError, match=f"no {absent} (frame|video) among 3"):
            statistic.value  # noqa: B018


def test_rates_without_their_videos_are_undefined():
    with pytest.raises(UndefinedMetricError, match="no anomalous video among 2"):
        metrics.vl_tpr(called([0, 0], [0.1, 0.2])).value  # noqa: B018
    with pytest.raises(UndefinedMetricError, match="no normal video among 2"):
        metrics.vl_fpr(called([1, 1], [0.1, 0.2])).value  # noqa: B018
    with pytest.raises(UndefinedMetricError, match="no frame"):
        metrics.frame_auc([], [])
    with pytest.raises(UndefinedMetricError, match="no video"):
        metrics.pool([])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1], "1 scores and 2 labels"),
        ([0, 1], [0.1, np.nan], "nan at position 1"),
        ([0, 1], [np.inf, 0], "finite"),
        ([0, 2], [0.1, 0.2], "0 or 1, got 2"),
        ([0, 0.5], [0.1, 0.2], "0 or 1, got 0.5"),
        ([[0, 1]], [[0.1, 0.2]], "vectors"),
    ],
)
def test_malformed_input_is_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metrics.frame_auc(labels, scores)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (video("Robbery7", "Robbery", [0.1, np.nan], [0, 1]), "Robbery7: .*nan"),
        (video("Robbery7", "Robbery", [0.1, 1.5], [0, 1]), r"Robbery7: .*\[0, 1\]"),
        (video("Robbery7", "Robbery", [0.1], [0, 1]), "Robbery7: .*one confidence per analysed frame"),
        (video("Robbery7", "Robbery", [0.1, 0.2], [0, 3]), "Robbery7: labels"),
        (video("Robbery7", "Robbery", [0.1, 0.2], [0, 1], fps=0), "Robbery7: .*frame rate"),
        (video("Normal7", "Normal", [0.1, 0.2], [0, 1]), "Normal7: .*1 anomalous frames"),
    ],
)
def test_a_malformed_video_is_named(bad, message):
    with pytest.raises(ValueError, match=message):
        metrics.pool([video("ok", "Normal", [0.1], [0]), bad])


def test_frames_of_chosen_videos():
    videos = [
        video("a", "Arson", [0.9, 0.4], [0, 0, 1, 1], every=2),  # found the wrong half
        video("b", "Burglary", [0.2, 0.8], [0, 0, 1, 1], every=2),
        video("n", "Normal", [0.3, 0.6], [0, 0, 0, 0], every=2),
    ]
    assert value(metrics.anomalous_only_auc, videos) == 0.5
    assert value(metrics.hard_vs_normal_auc, videos) == pytest.approx(3 / 4)  # 0.8 beats 0.3 and 0.6, 0.4 beats 0.3
    assert value(metrics.class_auc, videos, category="Arson") == pytest.approx(1 / 3)  # 0.4 beats 0.3 of 0.9, 0.3, 0.6
    assert value(metrics.class_auc, videos, category="Burglary") == 1
    assert value(metrics.macro_class_auc, videos) == pytest.approx(2 / 3)
    assert metrics.anomaly_classes(videos) == ["Arson", "Burglary"]
    assert value(metrics.false_alarm_rate, videos) == 0.5
    with pytest.raises(UndefinedMetricError, match="no anomalous frame among 4"):
        value(metrics.class_auc, videos, category="Fighting")
    with pytest.raises(UndefinedMetricError, match="no normal video among 2"):
        value(metrics.false_alarm_rate, videos[:2])
    with pytest.raises(UndefinedMetricError, match="no normal frame"):
        value(metrics.hard_vs_normal_auc, videos[:2])
    for metric in (metrics.anomalous_only_auc, metrics.macro_class_auc):
        with pytest.raises(UndefinedMetricError, match="no anomalous video among 1"):
            value(metric, videos[2:])
    silent = video("c", "Coughing", [0.5, 0.5], [0, 0, 0, 0], every=2)  # a class without a positive frame
    with pytest.raises(UndefinedMetricError, match="no anomalous frame among 8"):
        value(metrics.macro_class_auc, [*videos, silent])


def test_delay_counts_seconds_from_each_span_and_keeps_the_undetected_apart():
    labels = [0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1]
    one = video("a", "Arson", [0.0] * 12, labels, fps=2.0)
    sas = [0, 0, 0, 0, 0.9, 0, 0, 0.5, 0.5, 0.9, 0.9, 0]
    np.testing.assert_array_equal(metrics.detection_delay(one, sas), [1.0, np.nan, -0.5])  # the last began before it


def test_an_alarm_that_began_before_its_span_is_early_and_has_no_part_in_the_delay():
    late = video("a", "Arson", [0.1, 0.1, 0.1, 0.9, 0.9, 0.1], [0, 0, 1, 1, 1, 0], fps=2.0)
    early = video("b", "Arson", [0.1, 0.9, 0.9, 0.9, 0.9, 0.1], [0, 0, 1, 1, 1, 0], fps=2.0)
    silent = video("c", "Arson", [0.1] * 6, [0, 0, 1, 1, 1, 0], fps=2.0)
    scored = Scored((late, early, silent), Config(sas_bound=1e-6))  # in alarm where the confidence is above tau
    assert [d.tolist() for d in scored.delays[:2]] == [[0.5], [-0.5]]
    assert metrics.mean_delay(scored).value == 0.5
    assert metrics.spans_detected(scored).value == metrics.spans_early(scored).value == pytest.approx(1 / 3)
    assert metrics.vl_tpr(scored).value == pytest.approx(2 / 3)  # of the video, the early alarm counts as before


def test_an_alarm_carried_over_from_an_earlier_span_is_not_early():
    one = video("a", "Arson", [0.0] * 8, [0, 1, 1, 0, 1, 1, 0, 1], fps=2.0)
    assert metrics.detection_delay(one, [0, 0, 0.9, 0.9, 0.9, 0, 0, 0.9]).tolist() == [0.5, 0.0, 0.0]


def test_delay_holds_the_score_between_analysed_frames():
    one = video("a", "Arson", [0.0, 0.0, 0.0], [0, 0, 0, 0, 0, 1, 1, 1, 1], every=4)
    assert metrics.detection_delay(one, [0, 0, 0.9]).tolist() == [0.3]
    assert metrics.detection_delay(one, [0, 0.9, 0]).tolist() == [-0.1]  # on when the span starts
    assert np.isnan(metrics.detection_delay(one, [0.9, 0, 0])).tolist() == [True]  # off again before it
    with pytest.raises(ValueError, match="one confidence per analysed frame"):
        metrics.detection_delay(one, [0, 0.9])


def test_spans():
    assert metrics.spans(np.array([1, 1, 0, 1])) == [(0, 2), (3, 4)]
    assert metrics.spans(np.zeros(3)) == []


def test_the_traps_of_the_field_on_published_scores(shared):
    """Pooled, pair-averaged, segment-averaged and anomalous-only areas of one scorer differ by several points."""
    videos = published_scores(shared)
    labels, scores = metrics.pool(videos)
    pooled = metrics.frame_auc(labels, scores)
    assert pooled == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert len(videos) == 290 and labels.mean() == pytest.approx(0.076, abs=0.001)
    assert value(metrics.anomalous_only_auc, videos) < pooled - 0.05
    order = sorted(range(len(videos)), key=lambda k: -videos[k].frames)
    assert sum(videos[k].frames for k in order[:2]) / len(labels) == pytest.approx(0.19, abs=0.01)
    assert not any(videos[k].label for k in order[:2])


def published_scores(shared):
    """The 290 test videos of UCF-Crime with a public re-run's 32 segment scores, spread over the frames."""
    spans = {}
    for line in shared("data/ucf_crime/lists/Temporal_Anomaly_Annotation.txt").read_text().splitlines():
        if fields := line.split():
            numbers = [int(x) for x in fields[2:]]
            spans[fields[0].removesuffix(".mp4")] = [
                (a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True) if a >= 0
            ]
    videos = []
    with open(shared("data/ucf_crime/scores_mil_c3d.csv"), newline="") as file:
        for row in csv.DictReader(file):
            frames = int(row["frames"])
            labels = np.zeros(frames, np.uint8)
            for start, end in spans[row["video"]]:
                labels[start - 1 : end] = 1
            index = np.unique(np.arange(32) * frames // 32)
            confidence = np.array([float(row[f"s{k:02d}"]) for k in range(32)])[: len(index)]
            videos.append(VideoScores(row["video"], row["class"], row["video"], 30.0, index, confidence, labels))
    return videos
