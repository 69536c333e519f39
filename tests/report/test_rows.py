from __future__ import annotations

import csv
import multiprocessing

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Problem
from vadkit.evaluation.bootstrap import Comparison, Metric
from vadkit.report import rows as report
from vadkit.report import tables

P = "petrocchi2021"


@pytest.fixture
def demo(tmp_path):
    return make_config({"output_root": str(tmp_path / "outputs")})


@pytest.fixture
def real(tmp_path, the_papers):
    return the_papers(output_root=str(tmp_path / "outputs"))


AUC = Metric("fl_auc", 0.815, 0.78, 0.86, (0.81, 0.82), 45)
F1 = Metric("vl_f1", 0.5, 0.4, 0.6, (0.5, 0.5), 45)
DELAY = Metric("detection_delay_s", 1.25, 0.9, 1.7, (1.2, 1.3), 45, unit="s")
NONE = Metric("auc_Arson", None, None, None, (None, None), 45, "no anomalous frame among 9")


def rows(config, system="2S-bag", item="table 1"):
    return report.result_rows(config, [AUC, F1, DELAY, NONE], P, item, system)


def test_rows_are_in_the_papers_units_beside_the_printed_number(real):
    auc, f1, delay, none = rows(real)
    assert (auc.value, auc.ci_low, auc.unit, auc.published) == (81.5, 78.0, "%", "82.6")
    assert auc.difference == pytest.approx(-1.1) and auc.verdict == "reproduced" and auc.seeds == 2
    assert f1.verdict == "not reproduced"
    assert (delay.value, delay.unit, delay.published, delay.verdict, delay.difference) == (1.25, "s", "", "", None)
    assert none.value is None and none.reason == "no anomalous frame among 9"
    assert auc.config == real.fingerprint()


def test_other_data_never_claim_to_reproduce(demo):
    found = rows(demo)
    assert {r.verdict for r in found} == {"not comparable", ""}
    assert all(bool(r.reason) == (r.verdict != "" or r.value is None) for r in found)  # the file says why
    assert "reason" not in tables.table(found[:2])  # a page says it once, at its top


def test_an_interval_of_no_width_settles_nothing(real):
    never = Metric("vl_fpr", 0.18, 0.18, 0.18, (0.18,), 3, "the same in every resample, which leaves no interval")
    assert report.result_rows(real, [never], P, "table 3", "2S-bag-ha")[0].verdict == "inconclusive"


def test_a_claim_is_judged_by_the_paired_relative_change(real):
    found = Comparison("fl_auc", 0.80, 0.75, 0.05, 0.02, 0.08, 0.0667, 0.03, 0.11, 3, 45)
    relative, difference = report.change_rows(real, found, P, "claim 5.2a", "2S-bag / 2S-no-bag")
    assert (
        relative.metric == "fl_auc_relative_change" and relative.published == "6.4" and relative.verdict == "reproduced"
    )
    assert (difference.value, difference.unit, difference.published) == (5.0, "%", "")
    unsure = Comparison("fl_auc", 0.80, 0.75, 0.05, -0.01, 0.08, 0.0667, -0.01, 0.11, 3, 45)
    assert report.change_rows(real, unsure, P, "claim 5.2a", "2S-bag / 2S-no-bag")[0].verdict == "inconclusive"
    zero = Comparison("vl_f1", 0.5, 0.0, 0.5, 0.4, 0.6, None, None, None, 3, 45)
    assert "b has 0" in report.change_rows(real, zero, "", "extra", "a / b")[0].reason


def test_the_unit_of_a_change_is_that_of_the_metric_and_not_of_its_name(real):
    delay = Comparison("detection_delay_s", 1.5, 1.0, 0.5, 0.2, 0.8, 0.5, 0.2, 0.8, 3, 45, unit="s")
    area = Comparison("auc_hit_s", 0.8, 0.7, 0.1, 0.02, 0.2, 0.14, 0.0, 0.3, 3, 45)
    for found, value, unit in ((delay, 0.5, "s"), (area, 10.0, "%")):
        relative, difference = report.change_rows(real, found, "", "extra", "a / b")
        assert relative.unit == "%" and (difference.value, difference.unit) == (pytest.approx(value), unit)


def test_claims_of_the_paper_are_rows_of_their_own(demo):
    found = report.claim_rows(demo)
    assert {r.origin for r in found} == {"arithmetic"} and len(found) > 40
    bad = next(r for r in found if r.item == "claim 5.4c")
    assert bad.verdict == "disagrees" and bad.value == pytest.approx(18.667, abs=1e-3) and bad.published == "18.6"


def test_counts_are_exact(real):
    assert (
        report.number_row(real, 210, "videos", P, "section 4.1", "UCFCrime2Local", "train_videos").verdict
        == "reproduced"
    )
    assert (
        report.number_row(real, 209, "videos", P, "section 4.1", "UCFCrime2Local", "train_videos").verdict
        == "not reproduced"
    )
    with pytest.raises(ValueError, match="printed in 'videos', ours is in 'frames'"):
        report.number_row(real, 209, "frames", P, "section 4.1", "UCFCrime2Local", "train_videos")


def test_saved_rows_come_back_and_a_second_save_replaces_them(real):
    part = report.save_rows(real, "02_ablation", rows(real))
    report.save_rows(
        real, "01_data", [report.number_row(real, 210, "videos", P, "section 4.1", "UCFCrime2Local", "train_videos")]
    )
    report.save_rows(real, "02_ablation", rows(real)[:3])
    assert part == real.output_dir / "results" / "02_ablation.csv"
    frame = report.load_results(real)
    assert list(frame["notebook"]) == ["01_data", *["02_ablation"] * 3] and frame["current"].all()
    assert (
        frame["value"][1] == 81.5
        and np.isnan(frame["ci_low"][0])
        and frame["published"][1] == "82.6"
        and frame["published"][3] == ""
    )
    other = real.model_copy(update={"seeds": [5]})
    assert not report.load_results(other)["current"].any()
    with open(real.output_dir / "results.csv", newline="") as file:
        assert next(csv.reader(file))[:7] == ["paper", "item", "system", "metric", "unit", "origin", "value"]
    assert not list(real.output_dir.rglob(".*csv*"))


def test_rows_of_other_parameters_are_counted_and_skipped(real):
    report.save_rows(real, "02", rows(real))
    assert report.split_current(report.load_results(real))[1] == "All 4 saved rows are of these parameters."
    other = real.model_copy(update={"seeds": [5]})
    report.save_rows(other, "03", rows(other, item="extra")[:3])
    kept, said = report.split_current(report.load_results(other))
    assert set(kept["notebook"]) == {"03"} and len(kept) == 3
    assert said.startswith("4 of 7 saved rows were made with other parameters and are skipped (notebooks 02)")


def test_two_values_of_one_number_are_named(real, recwarn):
    other = real.model_copy(update={"seeds": [5]})
    for config, notebook, value in ((real, "05", 10.0), (other, "06", 9.0), (real, "07", 10.0)):
        report.save_rows(
            config, notebook, [report.number_row(config, value, "fps", P, "section 4.5", "C3D-ha", "sampling_fps")]
        )
    assert not recwarn.list  # the same again, or of other parameters
    with pytest.warns(
        UserWarning,
        match=r"notebooks 05 and 15 give petrocchi2021 \| section 4.5 \| C3D-ha \| sampling_fps .* as 10 and 7.5",
    ):
        report.save_rows(real, "15", [report.number_row(real, 7.5, "fps", P, "section 4.5", "C3D-ha", "sampling_fps")])
    assert list(report.load_results(real)["value"]) == [10.0]


def test_reasons_with_commas_quotes_and_line_breaks_survive(demo):
    metric = Metric("ap", None, None, None, (None,), 3, 'no "positive",\nnone at all')
    report.save_rows(demo, "nb", report.result_rows(demo, [metric], "", "extra", "a, b"))
    frame = report.load_results(demo)
    assert len(frame) == 1 and frame["reason"][0] == 'no "positive", none at all' and frame["system"][0] == "a, b"


def test_a_part_of_an_earlier_version_still_fits(demo):
    report.save_rows(demo, "b", rows(demo))
    (demo.output_dir / "results" / "a.csv").write_text("metric,value,dropped\nfl_auc,70,x\n")
    report.save_rows(demo, "c", rows(demo, item="extra"))
    frame = report.load_results(demo)
    assert len(frame) == 9 and frame["metric"][0] == "fl_auc" and frame["value"][0] == 70 and frame["paper"][0] == ""


def _save(config, notebook):
    report.save_rows(config, notebook, rows(config, item=f"extra {notebook}"))


def test_two_processes_lose_no_rows(demo):
    names = [f"nb{k}" for k in range(8)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(_save, [(demo, name) for name in names])
    assert sorted(set(report.load_results(demo)["notebook"])) == names


def test_what_cannot_be_saved_is_named(demo):
    with pytest.raises(ValueError, match="nb: no row"):
        report.save_rows(demo, "nb", [])
    with pytest.raises(ValueError, match="2S-bag . fl_auc . ours is given twice"):
        report.save_rows(demo, "nb", rows(demo) + rows(demo))
    with pytest.raises(ValueError, match="plain name"):
        report.save_rows(demo, "../nb", rows(demo))


def test_where_nothing_is_saved_yet_there_is_no_row_and_it_says_what_to_run(demo):
    found, said = report.split_current(report.load_results(demo))
    assert len(found) == 0 and "run the other notebooks first" in said
    assert report.rows_of(found) == [] and len(tables.table(found)) == 0


def test_a_wide_table_of_other_data_shows_no_printed_number(demo):
    found = rows(demo)
    assert found[0].published == "82.6"
    assert list(tables.wide_table(found, ["fl_auc", "vl_f1"]).columns) == ["FL-AUC (%)", "VL-F1 (%)"]


def test_tables_for_a_page(real):
    found = rows(real)
    frame = tables.table(found)
    assert list(frame.columns) == [
        "item",
        "system",
        "metric",
        "ours [interval]",
        "printed",
        "difference",
        "verdict",
        "reason",
    ]
    assert list(frame["ours [interval]"]) == ["81.5 [78.0, 86.0]", "50.0 [40.0, 60.0]", "1.25 [0.90, 1.70]", "none"]
    assert (
        list(frame["metric"])[:3] == ["FL-AUC (%)", "VL-F1 (%)", "delay of detected spans (s)"]
        and frame["difference"][0] == "-1.1"
    )
    report.save_rows(real, "nb", found)
    assert tables.table(report.load_results(real)).equals(frame)
    wide = tables.wide_table(found + rows(real, "2S-no-bag"), ["fl_auc", "vl_f1", "detection_delay_s"])
    assert list(wide.index) == ["2S-bag", "2S-no-bag"]
    assert list(wide.columns) == [
        "FL-AUC (%)",
        "FL-AUC, printed",
        "VL-F1 (%)",
        "VL-F1, printed",
        "delay of detected spans (s)",
    ]
    assert wide.loc["2S-no-bag", "FL-AUC, printed"] == "77.6"
    claims = tables.table(report.claim_rows(real))
    assert "from the paper's numbers" in claims.columns and "ours [interval]" not in claims.columns


def test_figures_are_whole_and_the_same_twice(demo):
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, 1])
    path = report.save_figure(demo, "roc", figure)
    first = path.read_bytes(), path.with_suffix(".svg").read_bytes()
    assert path == demo.output_dir / "figures" / "roc.png" and first[0].startswith(b"\x89PNG")
    report.save_figure(demo, "roc", figure)
    assert (path.read_bytes(), path.with_suffix(".svg").read_bytes()) == first
    axes.imshow(np.random.default_rng(0).random((400, 400)))  # far too much for a vector file
    report.save_figure(demo, "roc", figure)
    assert not path.with_suffix(".svg").exists() and len(list(path.parent.iterdir())) == 1
    plt.close(figure)
    with pytest.raises(ValueError, match="plain name"):
        report.save_figure(demo, "a/b", figure)


def test_problems_are_listed_once_left_out_first(demo):
    mended, lost = Problem("a.txt, line 3", "clipped, by 2", False), Problem("b.mp4", "is empty", True)
    report.save_problems(demo, "01", [mended])
    with open(report.save_problems(demo, "04", [mended, lost, mended]), newline="") as file:
        assert list(csv.reader(file)) == [
            ["left_out", "where", "what"],
            ["yes", "b.mp4", "is empty"],
            ["no", "a.txt, line 3", "clipped, by 2"],
        ]
    again = report.save_problems(demo, "04", []).read_text().splitlines()
    assert len(again) == 2 and mended.what in again[1]  # what another notebook met is kept
    assert report.save_problems(demo, "01", []).read_text() == "left_out,where,what\n"


def test_a_sentence_says_what_follows_from_the_interval_and_not_more():
    def said(low, high, metric="fl_auc", unit=""):
        return tables.sentence("A", Comparison(metric, 0.8, 0.7, 0.1, low, high, 0.14, 0.0, 0.3, 3, 40, "", unit))

    assert "+10.0 points [-2.0, +22.0]; the interval contains zero" in said(-0.02, 0.22)
    assert "leaves zero out: higher" in said(0.02, 0.22)
    assert "leaves zero out: lower" in said(-0.3, -0.1)
    assert "+0.1 s" in said(0.05, 0.2, "detection_delay_s", "s")
    assert "+10.0 points" in said(0.05, 0.2, "auc_hit_s")  # a class's name says nothing of the unit
    nothing = Comparison("vl_f1", None, None, None, None, None, None, None, None, 3, 40, "one class only")
    assert tables.sentence("A", nothing) == "A: no statement on VL-F1: one class only."


def test_a_number_that_two_notebooks_save_is_one_row_and_the_current_one(tmp_path):
    import pandas as pd

    def config_with(**values):
        return make_config({"output_root": str(tmp_path), "profile": "p", **values})

    def saved(config, notebook, value):
        report.save_rows(config, notebook, [report.number_row(config, value, "s", "", "time", "2S", "t")])
        return pd.read_csv(tmp_path / "p" / "results.csv")

    old, new = config_with(), config_with(seeds=[4])
    assert saved(old, "02", 1.0)["value"].tolist() == [1.0]
    assert saved(old, "04", 1.0)["notebook"].tolist() == [2]
    assert saved(new, "04", 5.0)["value"].tolist() == [5.0]
