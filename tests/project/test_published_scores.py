"""Scores that others publish for UCF-Crime: our evaluator gives the values that their authors store."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vadkit.core.parameters import make_config
from vadkit.evaluation import external, pitfalls
from vadkit.evaluation.metrics import METRICS, Scored
from vadkit.evaluation.pooled import average_precision
from vadkit.evaluation.smoothing import smoothed

CONFIG = make_config({})
PAST = {"annotation past the end": 7}  # of the official annotation: clipped there, by 14 frames at most
PUBLISHED = "data/ucf_crime/published"
URF = f"{PUBLISHED}/urf_hvaa/refined_scores/videollama3_7B"
VADTREE = (
    f"{PUBLISHED}/vadtree/result/UCF_Crime_test/EGEBD_x2x3x4_r50_eff_split_out_th0.5_peak_dfs_kmeans_1_0.4"
    "/LLaVA-Video-7B-Qwen2_ucf_prior_q_fine"
)
PLAIN = f"{VADTREE}/DeepSeek-R1-Distill-Qwen-14B/maxf64_ucf_prior_q_Here is a .json"
REFINED = f"{VADTREE}/DeepSeek-R1-Distill-Qwen-14B_VxV10_nn10_tao0.1/refine_maxf64_ucf_prior_q_Here is a .json"
VIDEOMAE = f"{PUBLISHED}/frozen_videomae/outputs_scc/videomae_rtfm/seed_42"


def value(videos, metric: str) -> float:
    return METRICS[metric].statistic(Scored(tuple(videos), CONFIG)).value


def trapezoids(videos) -> float:
    return pitfalls.trapezoidal_ap(Scored(tuple(videos), CONFIG)).value


def test_urf_hvaa_smoothed_and_raw(shared):
    path = shared(URF)
    given = external.read(path, dataset="ucf-crime", first_frame=0)  # the authors count frames from 0, ends included
    assert len(given.videos) == 290 and given.counts == {"other file": 3, **PAST}
    gaussian = [smoothed(v, "gaussian") for v in given.videos]
    stored = {name: float((path / "metrics" / f"{name}.txt").read_text()) for name in ("roc_auc", "pr_auc")}
    assert value(gaussian, "fl_auc") == pytest.approx(stored["roc_auc"], abs=1e-12)
    assert trapezoids(gaussian) == pytest.approx(stored["pr_auc"], abs=1e-12)  # an area by trapezoids
    assert value(gaussian, "ap") == pytest.approx(0.375248, abs=1e-6)
    assert value(given.videos, "fl_auc") == pytest.approx(0.7373, abs=5e-5)
    assert value(given.videos, "ap") == pytest.approx(0.2169, abs=5e-5)
    ours = external.read(path, dataset="ucf-crime").videos  # our reading of the annotation: from 1
    assert value([smoothed(v, "gaussian") for v in ours], "fl_auc") == pytest.approx(0.842911, abs=1e-6)
    for how, auc in (("video mean", 0.814), ("causal mean", 0.835)):
        assert value([smoothed(v, how) for v in ours], "fl_auc") == pytest.approx(auc, abs=3e-3)


@pytest.mark.parametrize(
    ("scores", "auc", "ap", "digits"), [(PLAIN, 0.7356, 0.2384, 5e-5), (REFINED, 0.8272, 0.3306, 1e-4)]
)
def test_vadtree(shared, scores, auc, ap, digits):
    """The refined scores are released rounded to four decimals, which moves the last digit of their stored AUC."""
    path = shared(scores)
    given = external.read(path, dataset="ucf-crime", first_frame=0)
    assert len(given.videos) == 290 and given.counts == PAST
    stored = json.loads((path.parent / "00vid_metric.json").read_text())["dataset_metric"]["all"]
    assert stored["roc_auc"] == auc and value(given.videos, "fl_auc") == pytest.approx(auc, abs=digits)
    assert round(trapezoids(given.videos), 4) == stored["pr_auc"]
    assert value(given.videos, "ap") == pytest.approx(ap, abs=5e-5)


def test_vadtree_video_by_video(shared):
    path = shared(PLAIN)
    stored = json.loads((path.parent / "00vid_metric.json").read_text())["vid_metric"]
    videos = [v for v in external.read(path, dataset="ucf-crime", first_frame=0).videos if v.labels.any()]
    assert len(videos) == 140
    for v in videos:
        assert value([v], "fl_auc") == pytest.approx(stored[f"{v.name}_x264"]["roc_auc"], abs=5.1e-5)
        assert trapezoids([v]) == pytest.approx(stored[f"{v.name}_x264"]["pr_auc"], abs=5.1e-5)


def test_frozen_videomae(shared):
    path = shared(f"{VIDEOMAE}/test_video_results.json")
    stored = json.loads((path.parent / "results_summary.json").read_text())["test"]["binary"]
    whole = external.read(path, dataset="ucf-crime", whole=True, leave_out=True)
    assert len(whole.videos) == 206 and whole.counts["unscored video"] == 84
    labels, scores = [np.array([v.label]) for v in whole.videos], [v.confidence for v in whole.videos]
    assert value(whole.videos, "video_auc") == pytest.approx(stored["auc"], abs=1e-12)
    assert average_precision(labels, scores).value == pytest.approx(stored["ap"], abs=1e-12)
    clips = external.read(path, dataset="ucf-crime", every=16, leave_out=True)
    assert len(clips.videos) == 206 and clips.layout == "a score for each 16 frames"
    assert 0.80 < value(clips.videos, "fl_auc") < 0.83
