"""Ablations: each difference beside the paper's claim, what mining keeps, which objects stand in hard frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from doubles import FakeSamples, fake_corpus, fake_world
from tiny import tiny_corpus

from vadkit.core.config import Config
from vadkit.corpora.video import Problem
from vadkit.evaluation.evaluate import compare
from vadkit.studies import ablation
from vadkit.systems.base import find_system, plan_folds
from vadkit.views.objects import COCO_CLASSES


def make(tmp_path, **changes) -> Config:
    values = {
        "cache_root": str(tmp_path),
        "workers": 1,
        "seeds": [0, 1],
        "head_width": 16,
        "head_epochs": 12,
        "head_lr": 3e-3,
        "backbone": "resnet18",
        "backbone_weights": "random",
        "bootstrap_resamples": 60,
    }
    return Config(**{**values, **changes})


@pytest.fixture
def world(monkeypatch):
    return fake_world(monkeypatch)


def test_a_study_compares_systems_as_the_evaluator_does_and_under_the_papers_claims(tmp_path, world):
    config = make(tmp_path)
    study = ablation.run(config, fake_corpus(), ["2S-bag", "2S-no-bag"])
    changes = study.changes({"The bag": ("2S-bag", "2S-no-bag")}, ["fl_auc", "ap"])
    expected = compare(study.runs["2S-bag"].by_seed(), study.runs["2S-no-bag"].by_seed(), config, "fl_auc")
    by_name = {row.metric: row for row in changes.rows}
    row = by_name["fl_auc_difference"]
    numbers = (expected.difference, expected.ci_low, expected.ci_high)
    assert (row.value, row.ci_low, row.ci_high) == pytest.approx([100 * number for number in numbers])
    assert (by_name["fl_auc_relative_change"].item, by_name["fl_auc_relative_change"].published) == (
        "claim 5.2a",
        "6.4",
    )
    assert by_name["ap_difference"].item == "ablation"  # the paper claims nothing about it
    assert len(changes.sentences) == 2 and all(s.startswith("The bag changes") for s in changes.sentences)


def test_a_claim_about_points_stands_beside_the_difference(tmp_path, world):
    """Section 5.2: C3D-ha is "tied" with 2S-bag-ha."""
    study = ablation.run(make(tmp_path, seeds=[0], c3d_weights="random"), fake_corpus(), ["C3D-ha", "2S-bag-ha"])
    rows = {row.metric: row for row in study.changes({"C3D": ("C3D-ha", "2S-bag-ha")}, ("fl_auc", "vl_f1", "ap")).rows}
    assert (rows["fl_auc_difference"].item, rows["fl_auc_difference"].published) == ("claim 5.2k", "0.0")
    assert rows["vl_f1_difference"].item == "claim 5.2l" and rows["ap_difference"].item == "ablation"


def test_rows_stand_beside_table_1(tmp_path, world):
    study = ablation.run(make(tmp_path), fake_corpus(), ["1S-bag", "1S-no-bag"])
    printed = {(r.system, r.metric): r.published for r in study.rows("table 1") if r.published}
    assert printed == {
        ("1S-bag", "fl_auc"): "78.6",
        ("1S-bag", "vl_f1"): "74.1",
        ("1S-no-bag", "fl_auc"): "75.3",
        ("1S-no-bag", "vl_f1"): "58.3",
    }


def test_a_video_that_was_left_out_makes_other_data(tmp_path, world, the_papers):
    study = ablation.run(make(tmp_path, seeds=[0]), fake_corpus(), ["2S-bag", "2S-no-bag"])
    for problems, said in (((), False), ((Problem("a.mp4", "does not decode", True),), True)):
        papers = ablation.Study(
            the_papers(bootstrap_resamples=20),
            {name: replace(one, problems=problems) for name, one in study.runs.items()},
        )
        rows = [*papers.rows("table 1"), *papers.changes({"The bag": ("2S-bag", "2S-no-bag")}, ["fl_auc"]).rows]
        assert {
            row.verdict == "not comparable" and "does not decode" in row.reason for row in rows if row.published
        } == {said}


@pytest.mark.parametrize(
    "changes",
    [{}, {"validation": "test_parity"}, {"corpus": "folder", "data_root": "x", "split": "grouped_cv", "folds": 2}],
)
def test_training_videos_are_those_that_a_system_is_trained_on(tmp_path, world, changes):
    """With the papers' validation, the validation side is a half of the test list."""
    config, corpus = make(tmp_path, seeds=[0], **changes), fake_corpus(official="split" not in changes)
    fold = plan_folds(config, corpus, 0)[0]
    found = [
        one.video.name for one in ablation.trained_on(config, corpus, find_system("2S-no-bag").material(config, corpus))
    ]
    assert found and tuple(found) == fold.train and not set(found) & {*fold.val, *fold.test}


def test_a_system_trained_for_one_notebook_is_found_by_another(tmp_path, world):
    config, corpus = make(tmp_path), fake_corpus()
    ablation.run(config, corpus, ["2S-bag", "2S-no-bag"])
    trained = world["trained"]
    study = ablation.run(config, corpus, ["2S-bag", "2S-bag-no-hm"])
    assert world["trained"] - trained == len(config.seeds)  # one system, not two
    assert set(study.histories()) == {"2S-bag", "2S-bag-no-hm"} and len(study.histories()["2S-bag"]) == 2


def test_mining_keeps_a_third_and_the_samples_that_the_model_gets_wrong(tmp_path, world):
    """Easy labels, weight 1: what a trained model still finds hard is not what an untrained one does."""
    world["signal"] = 8.0
    config = make(tmp_path, anomaly_weight=1.0, batch_size=8)
    corpus = fake_corpus()
    study = ablation.run(config, corpus, ["2S-bag"])
    found = ablation.mined(study.runs["2S-bag"])
    assert set(zip(found.moment, found.kind, strict=True)) == {
        (moment, kind) for moment in ("before training", "after training") for kind in ablation.KINDS
    }
    totals = found.groupby(["moment", "model"])[["offered", "kept"]].sum()
    assert len(totals) == 4 and totals.to_numpy() == pytest.approx(1)
    # half of the training videos are normal; of an anomalous one's 20 rows 7 are hard
    assert found.offered[:3].tolist() == pytest.approx([0.5 * 7 / 20, 0.5 * 13 / 20, 0.5])


def test_a_heavy_weight_on_anomalies_makes_mining_keep_them(tmp_path, world):
    world["signal"] = 0.0
    corpus = fake_corpus()

    def kept(weight: float) -> float:
        config = make(tmp_path, anomaly_weight=weight, seeds=[0])
        study = ablation.run(config, corpus, ["2S-bag"])
        found = ablation.mined(study.runs["2S-bag"]).set_index(["kind", "moment"])
        return found.kept["hard anomaly", "before training"]

    assert kept(50.0) > 0.4 > kept(0.02) == 0.0  # they are 17.5 % of the candidates, a third is kept


def test_streams_that_were_trained_too_are_asked_from_images(tmp_path):
    """With phase two the stored features are no longer what the network sees."""
    config = make(
        tmp_path / "cache",
        seeds=[0],
        image_size=64,
        finetune_epochs=1,
        finetune_lr=0.01,
        head_epochs=1,
        detector_weights="none",
        flow_method="dis",
        batch_size=4,
    )
    corpus = tiny_corpus(tmp_path)
    study = ablation.run(config, corpus, ["2S-no-bag"])
    found = ablation.mined(study.runs["2S-no-bag"])
    assert found.groupby("moment").kept.sum().to_dict() == pytest.approx({"before training": 1, "after training": 1})


def test_each_class_of_the_training_side_has_its_rate(tmp_path, world):
    corpus = fake_corpus()
    found = ablation.class_rates(make(tmp_path), corpus)
    assert [one.category for one in found] == ["Fighting", "Robbery"]
    assert sum(one.videos for one in found) == sum(v.label for v in corpus.of("train"))
    assert {one.seconds / one.videos for one in found} == {2.1}
    assert all(one.common_samples == 7 * one.videos for one in found)


class Counted(FakeSamples):
    """Two more people in hard frames, and a dog everywhere."""

    @property
    def bags(self) -> np.ndarray:
        bags = np.zeros((len(self.index), 80), np.float32)
        bags[:, COCO_CLASSES.index("person")] = np.arange(len(self.index)) % 2 + 2 * self.labels
        bags[:, COCO_CLASSES.index("dog")] = np.arange(len(self.index)) % 3 == 0
        return bags


def test_the_object_of_hard_frames_comes_first(tmp_path):
    found = ablation.object_counts(make(tmp_path), [Counted(v, 0.0) for v in fake_corpus().of("train")])
    assert list(found.index) == ["person", "dog"]  # what is never seen is left out
    person = found.iloc[0]
    assert person.difference == pytest.approx(person.hard - person.rest) == pytest.approx(2, abs=0.3)
    assert person.ci_low <= person.difference <= person.ci_high and person.effect > 1


def test_the_counts_interval_draws_a_recordings_cuts_together_where_asked(tmp_path):
    class Crowded(Counted):
        """Recordings differ in how many people their hard frames show, their cuts do not."""

        @property
        def bags(self) -> np.ndarray:
            bags = super().bags
            bags[:, COCO_CLASSES.index("person")] *= 1 + int(self.video.source) % 3
            return bags

    cuts = [Crowded(replace(v, source=str(number // 6)), 0.0) for number, v in enumerate(fake_corpus(videos=72).videos)]
    cuts = [replace(one, video=replace(one.video, split="train")) for one in cuts]
    found = {
        over: ablation.object_counts(make(tmp_path, interval_over=over, bootstrap_resamples=200), cuts).iloc[0]
        for over in ("videos", "sources")
    }
    widths = {over: one.ci_high - one.ci_low for over, one in found.items()}
    assert found["videos"].name == found["sources"].name == "person" and widths["sources"] > 1.2 * widths["videos"]


def test_counts_need_both_sides(tmp_path):
    normal = [Counted(v, 0.0) for v in fake_corpus().of("train") if not v.label]
    with pytest.raises(ValueError, match="hard frames"):
        ablation.object_counts(make(tmp_path), normal)


def test_the_figures_hold_what_they_are_given(tmp_path, world):
    from vadkit.report.figures import learning_curves
    from vadkit.studies import ablation_plots

    config, corpus = make(tmp_path), fake_corpus()
    study = ablation.run(config, corpus, ["2S-bag", "2S-bag-no-hm"])
    shares = ablation_plots.mined_shares(ablation.mined(study.runs["2S-bag"]))
    assert [t.get_text() for t in shares.axes[0].get_yticklabels()] == list(ablation.KINDS)
    counts = ablation_plots.object_counts(ablation.object_counts(config, [Counted(v, 0.0) for v in corpus.of("train")]))
    assert [t.get_text() for t in counts.axes[0].get_yticklabels()] == ["person", "dog"]
    curves = learning_curves(study.histories(), against="samples")
    history = study.histories()["2S-bag"][0]
    assert curves.axes[0].lines[0].get_xdata()[-1] == pytest.approx(sum(e.samples for e in history))
    for draw in (ablation_plots.mined_shares, ablation_plots.object_counts):
        with pytest.raises(ValueError):
            draw(pd.DataFrame())
    with pytest.raises(ValueError, match="epochs"):
        learning_curves(study.histories(), against="hours")
