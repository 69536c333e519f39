"""Unseen classes: whose videos are scored, against which normal ones, and what is said where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from doubles import fake_corpus, fake_world
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Corpus
from vadkit.evaluation.evaluate import compare, compare_sets
from vadkit.evaluation.metrics import video_sas
from vadkit.evaluation.scores import VideoScores
from vadkit.studies import generalization

SMALL = {
    "head_width": 8,
    "head_epochs": 2,
    "patience": 1,
    "seeds": [0, 1],
    "workers": 1,
    "bootstrap_resamples": 100,
    "device": "cpu",
}


def scored(name, category, level):
    labels = np.zeros(100, np.uint8)
    if category != "Normal":
        labels[20:80] = 1
    return VideoScores(name, category, name, 10.0, np.arange(0, 100, 5), np.full(20, level, np.float32), labels)


def with_unseen(corpus: Corpus, *categories: str) -> Corpus:
    model = corpus.of("test")[0]
    more = [
        replace(
            model,
            name=f"{c}{k:03d}u",
            path=model.path.with_name(f"{c}{k:03d}u.mp4"),
            category=c,
            split="unseen",
            source=f"u{k}",
            intervals=() if c == "Normal" else ((21, 42),),
        )
        for k, c in enumerate(categories)
    ]
    return Corpus("fake", (*corpus.videos, *more))


@pytest.fixture
def trained(tmp_path, monkeypatch):
    world = fake_world(monkeypatch)
    config = make_config({**SMALL, "cache_root": str(tmp_path / "cache")})

    def make(*categories):
        corpus = with_unseen(fake_corpus(), *categories)
        return config, corpus, world

    return make


def test_the_unseen_list_is_scored_with_its_own_normal_videos(trained):
    config, corpus, _ = trained("Arson", "Arson", "Shooting", "Normal", "Normal", "Normal")
    study = generalization.run(config, corpus, "2S-bag-ha")
    assert list(study.unseen) == [0, 1] and [v.name for v in study.unseen[0]] == [v.name for v in corpus.of("unseen")]
    assert "not used in training" in study.negatives and not study.reason
    assert study.counts() == {
        "Abuse": 0,
        "Arson": 2,
        "Explosion": 0,
        "Fighting": 0,
        "RoadAccidents": 0,
        "Shooting": 1,
        "Shoplifting": 0,
        "Normal": 3,
    }
    rows = {(r.item, r.system, r.metric): r for r in study.rows()}
    assert (
        rows["table 3", "2S-bag-ha", "vl_f1"].published == "89.7"
        and rows["table 3", "2S-bag-ha", "vl_f1"].verdict == "not comparable"
    )
    assert (
        rows["section 4.7", "unseen test set", "normal_videos"].value == 3
        and rows["claim 4.7", "unseen test set", "classes"].value == 2
    )
    abuse = rows["table 3 by class", "2S-bag-ha, Abuse", "vl_tpr"]
    assert abuse.value is None and abuse.reason == "no video of class Abuse"
    tpr = np.mean([np.mean([video_sas(v, config).max() > 0.5 for v in videos[:2]]) for videos in study.unseen.values()])
    assert rows["table 3 by class", "2S-bag-ha, Arson", "vl_tpr"].value == pytest.approx(100 * tpr)


def test_without_unseen_normal_videos_the_test_lists_stand_in(trained):
    config, corpus, _ = trained("Arson", "Shooting")
    study = generalization.run(config, corpus, "2S-bag-ha")
    assert study.negatives.startswith("the test list")
    normal = [v.name for v in corpus.of("test") if not v.label]
    assert [v.name for v in study.unseen[1] if not v.label] == normal
    change = next(c for c in study.against_seen() if c.metric == "vl_fpr")
    assert (change.difference, change.ci_low, change.ci_high) == (0, 0, 0)  # the same videos, drawn together


def test_what_was_left_out_is_named(trained):
    config, corpus, world = trained("Arson", "Normal")
    from vadkit.corpora.video import Problem

    world["problems"].append(Problem("Arson.mp4", "truncated", True))
    assert [p.where for p in generalization.run(config, corpus, "2S-bag-ha").problems] == ["Arson.mp4"]


def test_a_corpus_without_unseen_classes_says_so(trained):
    config, corpus, world = trained()
    study = generalization.run(config, corpus, "2S-bag-ha")
    assert "no video of a class that is not trained on" in study.reason
    assert study.rows() == [] == study.found and study.counts() == {} == study.by_class() and study.against_seen() == []
    folds = generalization.run(config.model_copy(update={"split": "grouped_cv"}), corpus, "2S-bag-ha")
    assert "cross-validation" in folds.reason and folds.seen_found == []
    assert world["trained"] == 0  # nothing is trained for nothing


def test_one_kind_of_video_leaves_the_metric_undefined():
    videos = {0: [scored("a", "Arson", 0.9), scored("b", "Arson", 0.1)]}
    study = generalization.Study(make_config({"bootstrap_resamples": 20}), "2S-bag-ha", videos, videos)
    rows = {(r.system, r.metric): r for r in study.rows() if r.item.startswith("table 3")}
    assert rows["2S-bag-ha", "vl_tpr"].value == 50
    for system, metric in (("2S-bag-ha", "vl_f1"), ("2S-bag-ha", "vl_fpr"), ("2S-bag-ha, Arson", "video_auc_sas")):
        assert rows[system, metric].value is None and "no normal" in rows[system, metric].reason


def test_unpaired_sets_have_resamples_of_their_own():
    config = make_config({"bootstrap_resamples": 400})
    one = {
        0: [
            scored(f"{c}{k}", c, 0.9 if (k % 3 == 0) == (c == "Normal") else 0.1)
            for c in ("Arson", "Normal")
            for k in range(12)
        ]
    }
    other = {0: [replace(v, name="z" + v.name) for v in one[0]]}
    unpaired, paired = compare_sets(one, other, config, "vl_tpr"), compare_sets(one, one, config, "vl_tpr")
    assert unpaired.difference == paired.difference == 0 and unpaired.videos == 48 and paired.videos == 24
    assert (paired.ci_low, paired.ci_high) == (0, 0) and unpaired.ci_low < -0.1 and unpaired.ci_high > 0.1
    assert compare(one, one, config, "vl_tpr") == paired
    with pytest.raises(ValueError, match="no metric 'auc_Fire'"):
        compare_sets(one, other, config, "auc_Fire")


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.integers(1, 40))
def test_f1_at_the_lists_own_share_is_its_f1(found, false, positives, negatives):
    found, false = min(found, positives), min(false, negatives)
    labels = np.r_[np.ones(positives, int), np.zeros(negatives, int)]
    called = np.r_[np.arange(positives) < found, np.arange(negatives) < false].astype(float)
    share = positives / (positives + negatives)
    assert generalization.f1_at_share(found / positives, false / negatives, share) == pytest.approx(
        f1_score(labels, called, zero_division=0)
    )


def test_f1_at_share_by_hand():
    assert generalization.f1_at_share(1, 1, 0.75) == pytest.approx(6 / 7)  # "always anomaly" on the paper's list
    assert generalization.f1_at_share(0.864, 0.186, 0.75) == pytest.approx(0.897, abs=5e-4)  # table 3's own F1
    with pytest.raises(ValueError, match="share"):
        generalization.f1_at_share(0.5, 0.5, 0)
