from __future__ import annotations

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from drawn import assert_readable, words

mpl.use("Agg")

from vadkit.core.errors import UndefinedMetricError
from vadkit.evaluation.bootstrap import Metric
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.evaluation.sas import sigmoidal_anomaly_score
from vadkit.evaluation.scores import VideoScores
from vadkit.report import figures
from vadkit.report.style import ORANGE
from vadkit.report.timelines import timelines
from vadkit.studies import ablation_plots


@pytest.fixture(autouse=True)
def _settings_stay(figures_close):
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before


def video(name, category, seed, frames=300):
    rng = np.random.default_rng(seed)
    labels = np.zeros(frames, np.uint8)
    if category != "Normal":
        labels[100:180] = 1
    index = np.arange(0, frames, 10)
    confidence = np.clip(0.3 + 0.4 * labels[index] + rng.normal(scale=0.15, size=len(index)), 0, 1)
    return VideoScores(name, category, name, 30.0, index, confidence, labels)


def sas(one):
    return sigmoidal_anomaly_score(one.confidence)


def picture(shade, height=60, width=80):
    return np.full((height, width, 3), shade, np.uint8)


def test_roc_names_each_systems_area_and_the_printed_one():
    seeds = {s: [video("a", "Arson", s), video("n", "Normal", s + 10)] for s in range(3)}
    figure = figures.roc_curves({"2S-bag": seeds, "1S-bag": {0: seeds[1]}}, printed={"2S-bag": 82.6})
    area = 100 * np.mean([frame_auc(*pool(v)) for v in seeds.values()])
    assert f"2S-bag: AUC {area:.1f}% (printed: 82.6%)" in words(figure)
    of_others = figures.roc_curves(
        {f"system {k}": seeds for k in range(4)},
        printed={f"system {k}": 82.0 for k in range(4)},
        printed_on="UCF-Crime",
    )
    assert f"system 3: AUC {area:.1f}%\n(printed, on UCF-Crime: 82.0%)" in words(of_others)
    assert_readable(of_others)
    axes = figure.axes[0]
    x, y = axes.lines[1].get_data()
    assert np.trapezoid(y, x) == pytest.approx(frame_auc(*pool(seeds[1])), abs=0.01) and np.all(np.diff(y) >= 0)
    assert len(axes.collections) == 1  # a band for the system of three seeds alone
    assert "frames" in axes.get_xlabel() and "frames" in axes.get_ylabel()
    assert_readable(figure)


def test_roc_of_one_class_is_undefined():
    with pytest.raises(UndefinedMetricError, match="no anomalous frame"):
        figures.roc_curves({"2S-bag": {0: [video("n", "Normal", 0)]}})


@pytest.mark.parametrize("images", [None, {5: picture(90), 120: picture(140), 290: picture(200, 80, 40)}])
def test_timeline_shows_the_span_the_score_and_the_threshold(images):
    one = video("Arson011", "Arson", 0)
    figure = timelines([(one, sas(one), images)], columns=1)
    axes = next(a for a in figure.axes if a.get_xlabel() == "time (s)")
    span = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (span.x0, span.x1) == pytest.approx((100 / 30, 180 / 30))
    assert axes.get_xlim() == (0, 10) and [0.5, 0.5] in [list(line.get_ydata()) for line in axes.lines]
    assert len(figure.axes) == 1 + len(images or {})
    assert {"Arson011", "labelled anomalous", "SAS", "confidence", "alarm: SAS over 0.5"} <= set(words(figure))
    assert_readable(figure)


def test_eight_timelines_with_and_without_pictures():
    videos = [video(f"v{k}", ("Normal", "Robbery")[k % 2], k) for k in range(8)]
    panels = (
        [(v, sas(v), {30: picture(80)}) for v in videos[:3]]
        + [(v, sas(v)) for v in videos[3:7]]
        + [(videos[7], sas(videos[7]), None, "a false negative")]
    )
    figure = timelines(panels)
    assert {"(a) v0, Normal", "(h) a false negative"} <= set(words(figure))
    assert sum(a.get_xlabel() == "time (s)" for a in figure.axes) == 8
    assert_readable(figure)


def test_timelines_refuse_what_does_not_fit():
    one = video("v", "Arson", 0)
    with pytest.raises(ValueError, match="at least one panel"):
        timelines([])
    with pytest.raises(ValueError, match="v: there is no frame 300 to show, it has 300"):
        timelines([(one, sas(one), {300: picture(0)})])
    with pytest.raises(ValueError, match="one confidence per analysed frame"):
        timelines([(one, sas(one)[:-1])])


def test_ablation_shows_means_intervals_seeds_and_printed_values():
    found = {
        "2S-bag": [
            Metric("fl_auc", 0.80, 0.75, 0.86, (0.79, 0.81), 45),
            Metric("vl_f1", None, None, None, (None, None), 45, "no normal video"),
        ],
        "2S-no-bag": [
            Metric("fl_auc", 0.76, None, None, (0.75, 0.77), 45, "too few"),
            Metric("vl_f1", 0.6, 0.5, 0.7, (0.6, 0.6), 45),
        ],
    }
    figure = ablation_plots.ablation_bars(found, paper="petrocchi2021", item="table 1")
    auc, f1 = figure.axes
    drawn = [tuple(line.get_xdata()) for line in auc.lines]
    for expected in ((75.0, 86.0), (79.0, 81.0), (80.0,), (82.6,), (76.0,), (77.6,)):
        assert any(len(d) == len(expected) and np.allclose(d, expected) for d in drawn), expected
    assert len(drawn) == 7  # no interval for the second system
    assert [t.get_text() for t in f1.texts] == ["none"] and auc.get_xlabel() == "FL-AUC (%)"
    assert {"mean of seeds", "interval", "each seed", "printed", "2S-bag", "2S-no-bag"} <= set(words(figure))
    assert_readable(figure)
    assert "printed" not in words(ablation_plots.ablation_bars(found))


def epochs(count, second=0, validated=True):
    run = [(1, 1 / (k + 1)) for k in range(count)] + [(2, 0.1)] * second
    return [
        SimpleNamespace(
            phase=p,
            epoch=k,
            train_loss=x,
            validation_loss=x + 0.1 if validated else None,
            validation_auc=0.9 - x / 3 if validated else None,
        )
        for k, (p, x) in enumerate(run)
    ]


def test_learning_curves():
    figure = figures.learning_curves({"2S-bag": [epochs(5, 2), epochs(7)], "1S-bag": [epochs(6)]})
    loss, auc = figure.axes
    assert len(loss.lines) == 6 and len(auc.lines) == 3 and loss.lines[0].get_markevery() == [5]
    assert list(loss.lines[0].get_xdata()) == list(range(1, 8)) and "%" in auc.get_ylabel()
    assert "second phase starts" in words(figure)
    assert_readable(figure)
    bare = figures.learning_curves({"2S-bag-ha-no-es": [epochs(5, validated=False)]})
    assert "nothing was validated" in words(bare) and "second phase starts" not in words(bare)
    assert_readable(bare)


def test_many_learning_curves_are_their_mean_in_a_band():
    runs = [epochs(5), *[epochs(7) for _ in range(14)]]
    figure = figures.learning_curves({"2S-bag": runs, "1S-bag": [epochs(6)]})
    loss, auc = figure.axes
    assert len(loss.lines) == 4 and len(auc.lines) == 2 and len(auc.collections) == 1
    height = auc.lines[0].get_ydata()
    assert len(height) == 7 and height[0] == pytest.approx(100 * np.mean([run[0].validation_auc for run in runs]))
    assert height[6] == pytest.approx(
        100 * np.mean([run[6].validation_auc for run in runs[1:]])
    )  # the short one has ended
    assert "all 15 runs" in words(figure)
    assert_readable(figure)
    bare = figures.learning_curves({"2S-bag-ha-no-es": [epochs(5, validated=False)] * 15})
    assert "all 15 runs" not in words(bare)  # the band is of validation values
    assert_readable(bare)


def test_sample_grid_wraps_long_titles():
    figure = figures.sample_grid(
        [picture(9 * k) for k in range(7)], [f"Burglary{k:03d}, frame 1234: soft anomaly, before" for k in range(7)]
    )
    assert sum(bool(a.images) for a in figure.axes) == 7 and not any(a.axison for a in figure.axes)
    figure.canvas.draw()
    boxes = [a.title.get_window_extent() for a in figure.axes if a.images]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert len(figures.sample_grid([picture(1)[..., 0], picture(2)]).axes) == 2
    with pytest.raises(ValueError, match="2 images and 1 titles"):
        figures.sample_grid([picture(1), picture(2)], ["one"])


def test_sensitivity_writes_its_numbers_and_frames_the_papers_choice():
    values = np.array([[0.5, 0.612], [np.nan, 0.9]])
    figure = figures.sas_sensitivity({"vl_f1": values, "vl_fpr": 1 - values}, [0.3, 0.5], [1.0, 2.0])
    axes, other = figure.axes[:2]
    assert [t.get_text() for t in other.texts] == ["50", "39", "none", "10"]
    assert [t.get_text() for t in axes.texts] == ["50", "61", "none", "90"]
    assert axes.patches[0].get_xy() == (0.5, 0.5) and "framed: the paper's parameters" in words(figure)
    assert "VL-F1 (%)" in words(figure) and "VL-FPR (%)" in words(figure)
    assert_readable(figure)
    assert not figures.sas_sensitivity({"vl_f1": values}, [0.3, 0.4], [1.0, 2.0]).axes[0].patches
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        figures.sas_sensitivity({"vl_f1": values}, [0.3, 0.5], [1, 2, 3])


def test_rates_of_classes():
    def rate(value, low=None, high=None):
        return [Metric("vl_tpr", value, low, high, (value,), 9)]

    found = {"Arrest, seen": rate(0.8, 0.6, 0.9), "Abuse, unseen": rate(None), "Arson, unseen": rate(1.0)}
    figure = ablation_plots.ablation_bars(found, ("vl_tpr",))
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(found) and [t.get_text() for t in axes.texts] == [
        "none"
    ]
    drawn = [tuple(line.get_xdata()) for line in axes.lines]
    assert (
        any(np.allclose(d, (60, 90)) for d in drawn if len(d) == 2)
        and (80.0,) in [tuple(np.round(d, 6)) for d in drawn]
        and len(drawn) == 3
    )
    assert "VL-TPR (%)" in words(figure)
    assert_readable(figure)


def test_a_panel_without_a_video_says_why():
    one = video("a", "Arson", 0)
    figure = timelines(
        [(one, sas(one), {30: picture(80), 120: picture(90)}), (None, "no video meets the rule", None, "missed (0)")]
    )
    assert {"(b) missed (0)", "no video meets the rule", "frame shown"} <= set(words(figure))
    thumbnails = [a for a in figure.axes if a.images]
    assert [mpl.colors.to_hex(a.spines["top"].get_edgecolor()) for a in thumbnails] == [
        "#999999",
        ORANGE.lower(),
    ]  # frame 120 is labelled
    plot = next(a for a in figure.axes if a.get_xlabel() == "time (s)")
    assert all(a.get_position().y1 < plot.get_position().y0 for a in thumbnails)  # under the curve
    assert_readable(figure)


def test_metrics_against_a_parameter():
    def at(f1, tpr):
        return [Metric("vl_f1", f1, None, None, (f1,), 9), Metric("vl_tpr", tpr, 0.1, 0.9, (tpr,), 9)]

    figure = figures.metric_lines(
        {"bound": {1.0: at(0.5, 0.8), 7.0: at(None, 0.6)}, "rate": {3.0: at(0.4, 0.7), 1.0: at(0.3, 0.6)}},
        ("vl_f1", "vl_tpr"),
        {"bound": 7.0},
    )
    bound, rate = figure.axes
    assert list(rate.lines[0].get_xdata()) == [1.0, 3.0] and np.allclose(rate.lines[0].get_ydata(), [30, 40])
    assert (
        np.isnan(bound.lines[0].get_ydata()[1])
        and list(bound.lines[2].get_xdata()) == [7.0, 7.0]
        and len(rate.lines) == 2
    )
    assert {"VL-F1", "VL-TPR", "this run", "videos (%)"} <= set(words(figure))
    assert_readable(figure)
    with pytest.raises(ValueError, match="at least one panel"):
        figures.metric_lines({})
