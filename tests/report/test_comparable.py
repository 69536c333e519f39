"""A verdict is given on the paper's data and network, and on nothing else; otherwise the row says what differs."""

from __future__ import annotations

import pytest
from papers_tree import write_tree

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Problem
from vadkit.evaluation.bootstrap import Comparison, Metric
from vadkit.report import comparable, published
from vadkit.report import rows as report

P = "petrocchi2021"


def why(config, item, system, metric, paper=P, problems=()):
    return comparable.why_not(config, published.lookup(paper, item, system, metric), problems)


def test_the_papers_own_set_up_may_be_compared_and_can_reproduce(the_papers):
    config = the_papers()
    assert [why(config, one.item, one.system, one.metric) for one in published.load() if one.paper == P] == [""] * sum(
        one.paper == P for one in published.load()
    )
    found = report.result_rows(config, [Metric("fl_auc", 0.83, 0.81, 0.85, (0.83,), 45)], P, "table 1", "2S-bag")
    assert (found[0].verdict, found[0].reason) == ("reproduced", "")


def test_other_videos_than_the_papers():
    assert (
        why(make_config({}), "table 1", "2S-bag", "fl_auc")
        == comparable.OTHER_VIDEOS
        == why(make_config({}), "section 4.2", "training", "patience")
    )


@pytest.mark.parametrize(
    ("missing", "said"), [("Arrest1", "209 training and 90 test"), ("Normal_Videos5001", "210 training and 89 test")]
)
def test_a_list_that_lacks_a_video_is_another_list(the_papers, tmp_path, missing, said):
    config = the_papers(data_root=str(write_tree(tmp_path / "tree", missing=(missing,))))
    assert said in why(config, "table 1", "2S-bag", "fl_auc") and said in why(
        config, "section 4.2", "training", "patience"
    )


def test_videos_of_unseen_classes_count_for_table_3_alone(the_papers, tmp_path):
    config = the_papers(data_root=str(write_tree(tmp_path / "tree", missing=("Abuse001",))))
    assert why(config, "table 1", "2S-bag", "fl_auc") == ""
    assert "449 videos of unseen classes" in why(config, "table 3", "2S-bag-ha", "vl_f1")


def test_each_paper_has_its_own_lists(the_papers, tmp_path):
    theirs = {"mil_features": "resnext3d"}
    local, official = (
        the_papers(**theirs),
        the_papers(**theirs, data_root=str(write_tree(tmp_path / "tree", "official"))),
    )
    assert (
        why(official, "section VI", "MIL learner", "fl_auc", "raqeeb")
        == ""
        != why(official, "table 1", "2S-bag", "fl_auc")
    )
    assert "UCFCrime2Local's" in why(local, "section VI", "MIL learner", "fl_auc", "raqeeb")
    others = official.model_copy(update={"mil_published": "features"})
    assert "a network that is not known" in why(others, "section VI", "MIL learner", "fl_auc", "raqeeb")


def test_data_that_cannot_be_read_are_not_the_papers(the_papers):
    assert "cannot be read" in why(the_papers(data_root="/nowhere"), "table 1", "2S-bag", "fl_auc")


def test_the_validation_side_decides_who_is_tested(the_papers):
    cut = the_papers(validation="train_cut")
    assert "train_cut" in why(cut, "table 1", "2S-bag", "fl_auc")
    assert (
        why(cut, "table 2", "2S-bag-ha-no-es", "fl_auc") == ""
    )  # has no validation set: its lists are whole either way


@pytest.mark.parametrize(
    ("changes", "system", "said"),
    [
        ({"backbone": "resnet18"}, "2S-bag", "backbone is resnet18, the paper's resnet50"),
        ({"backbone_weights": "random"}, "1S-no-bag", "backbone_weights is random"),
        ({"head_width": 512}, "2S-bag", "head_width is 512, the paper's 4096"),
        ({"finetune_epochs": 0}, "2S-bag", "phase two is left out"),
        ({"detector_weights": "world"}, "2S-bag", "not a detector trained on COCO"),
        ({"clip_width": 0.25}, "C3D-ha", "clip_width is 0.25"),
        ({"c3d_weights": "random"}, "C3D-ha", "c3d_weights is 'random'"),
        ({"c3d_size": 64}, "C3D-ha", "c3d_size is 64, the paper's 112"),
    ],
)
def test_another_network_than_the_papers(the_papers, changes, system, said):
    assert said in why(the_papers(**changes), "table 1", system, "fl_auc")


def test_a_network_speaks_for_its_own_systems_only(the_papers):
    narrow = the_papers(clip_width=0.25, c3d_weights="world", detector_weights="world", i3d_flow_weights="random")
    assert why(narrow, "table 1", "2S-no-bag", "fl_auc") == ""  # sees neither clips nor objects
    assert "c3d_weights" in why(narrow, "claim 5.2k", "C3D-ha / 2S-bag-ha", "fl_auc_difference")  # both of a pair count
    assert "i3d_flow_weights is 'random'" in why(narrow, "table 2", "full-I3D", "fl_auc")
    assert why(narrow, "section 4.5", "C3D-ha", "segment_frames") == ""  # a setting: no network has a part in it


def test_a_video_that_could_not_be_used_is_said_in_the_row(the_papers):
    config = the_papers()
    lost, odd = Problem("Arrest001_x264.mp4", "does not decode", True), Problem("a.txt", "clipped", False)
    metric = Metric("fl_auc", 0.83, 0.83, 0.83, (0.83,), 45, "no interval")
    row = report.result_rows(config, [metric], P, "table 1", "2S-bag", [odd, lost])[0]
    assert (
        row.verdict == "not comparable"
        and row.reason.startswith("no interval; 1 of the lists' videos")
        and "does not decode" in row.reason
    )
    change = Comparison("fl_auc", 0.80, 0.75, 0.05, 0.02, 0.08, 0.0667, 0.03, 0.11, 3, 45)
    verdicts = [
        report.change_rows(config, change, P, "claim 5.2a", "2S-bag / 2S-no-bag", problems)[0].verdict
        for problems in ([odd], [lost])
    ]
    assert verdicts == ["reproduced", "not comparable"]
