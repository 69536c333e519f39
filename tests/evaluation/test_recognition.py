"""Classes of anomalies: metrics as scikit-learn has them, what chance gives, and reasons where there is no value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from vadkit.core.config import Config
from vadkit.evaluation import recognition
from vadkit.evaluation.recognition import Recognised, chance, confusion, evaluate, strangers

CLASSES = ("Normal", "Arson", "Fighting", "Robbery")
CONFIG = Config(bootstrap_resamples=200)


def videos(truth: list[int], seed: int = 0, skill: float = 0.0, classes=CLASSES) -> list[Recognised]:
    rng = np.random.default_rng(seed)
    made = []
    for number, label in enumerate(truth):
        logits = rng.normal(size=len(classes)) + skill * (np.arange(len(classes)) == label)
        made.append(
            Recognised(f"v{number}", CLASSES[label], f"s{number // 2}", classes, np.exp(logits) / np.exp(logits).sum())
        )
    return made


def values(found) -> dict[str, float]:
    return {m.name: m.value for m in found}


def by_scikit_learn(name, truth, probabilities):
    given_classes, present = probabilities.argmax(1), np.unique(truth)
    if name == "accuracy":
        return accuracy_score(truth, given_classes)
    if name == "macro_f1":
        return f1_score(truth, given_classes, labels=present, average="macro", zero_division=0)
    return np.mean([average_precision_score(truth == c, probabilities[:, c]) for c in present])


@settings(max_examples=40)
@given(st.lists(st.integers(1, 3), min_size=4, max_size=30).filter(lambda t: len(set(t)) > 1), st.integers(0, 1000))
def test_they_are_scikit_learns(truth, seed):
    made = videos(truth, seed)
    found = values(evaluate({0: made}, Config(bootstrap_resamples=2)))
    truth, given_p = np.array(truth) - 1, np.array([v.probabilities[1:] / v.probabilities[1:].sum() for v in made])
    for name in recognition.METRICS:
        assert found[name] == pytest.approx(by_scikit_learn(name, truth, given_p))


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=6, max_size=20).filter(lambda t: len(set(t)) > 2), st.integers(0, 1000))
def test_a_resample_is_what_its_videos_give(truth, seed):
    made = videos(truth, seed, skill=1.0)
    table = recognition._table(made, "all")
    drawn = np.random.default_rng(seed).integers(len(made), size=(3, len(made)))
    for name in recognition.METRICS:
        at = recognition._statistic(name, table)(
            np.stack([np.bincount(d, minlength=len(made)) for d in drawn]).astype(float)
        )
        for d, value in zip(drawn, at, strict=True):
            if len(set(table.truth[d])) > 1:
                assert value == pytest.approx(by_scikit_learn(name, table.truth[d], table.probabilities[d]))


def test_values_are_means_over_seeds_and_intervals_hold_them():
    truth = [1, 2, 3] * 12
    runs = {seed: videos(truth, seed, skill=2.0) for seed in (3, 5)}
    for m in evaluate(runs, CONFIG):
        assert m.value == pytest.approx(np.mean(m.per_seed)) and m.ci_low < m.value < m.ci_high and m.videos == 36
    wide = evaluate({3: runs[3]}, CONFIG.model_copy(update={"interval_over": "sources"}))
    assert wide[0].ci_low != evaluate({3: runs[3]}, CONFIG)[0].ci_low


def test_detection_is_not_asked_of_anomalous_videos():
    """However sure a model is that nothing happens, which anomaly it would be is judged by the rest."""
    sure = [
        Recognised(
            f"v{k}", c, f"s{k}", CLASSES, np.where(np.array(CLASSES) == c, 0.04, np.array([0.9, 0.03, 0.03, 0.03]))
        )
        for k, c in enumerate(CLASSES[1:] * 4)
    ]
    sure = [Recognised(v.name, v.category, v.source, v.classes, v.probabilities / v.probabilities.sum()) for v in sure]
    assert set(values(evaluate({0: sure}, CONFIG)).values()) == {1.0}
    with_normal = values(
        evaluate({0: [*sure, Recognised("n", "Normal", "n", CLASSES, np.array([1.0, 0, 0, 0]))]}, CONFIG, "all")
    )
    assert with_normal["accuracy"] == pytest.approx(1 / 13)


def test_a_video_that_is_surely_normal_is_given_no_anomaly():
    """Its whole probability is on the normal class: no class among anomalies was given to it, whichever it has."""
    sure = [Recognised(f"v{k}", c, f"s{k}", CLASSES, np.array([1.0, 0, 0, 0])) for k, c in enumerate(CLASSES[1:] * 2)]
    found = values(evaluate({0: sure}, CONFIG))
    assert found["accuracy"] == found["macro_f1"] == 0
    assert found["mean_ap"] == pytest.approx(1 / 3)  # all alike: the share of the class
    right = [Recognised(v.name, v.category, v.source, CLASSES, np.eye(4)[CLASSES.index(v.category)]) for v in sure]
    mixed = values(evaluate({0: [*sure[:3], *right[3:]]}, CONFIG))
    assert mixed["accuracy"] == 0.5 and mixed["macro_f1"] == pytest.approx(2 / 3) and mixed["mean_ap"] > 0.6
    classes, counts = confusion({0: [*sure[:3], *right[3:]]}, "anomalous")
    assert classes == CLASSES[1:] and counts.tolist() == np.eye(3).tolist()  # surely normal: in no column


def test_chance_shuffles_whole_sources_where_intervals_are_over_sources():
    """Cuts of a recording all have its class, and a model that knows recordings is easily reached by whole sources."""
    truth = [1 + s % 2 for s in range(6) for _ in range(10)]
    made = [replace(v, source=f"s{k // 10}") for k, v in enumerate(videos(truth, skill=50.0))]
    over_sources = CONFIG.model_copy(update={"interval_over": "sources"})
    by_video, by_source = (chance({0: made}, config, {})[0] for config in (CONFIG, over_sources))
    assert by_video.p == pytest.approx(1 / 201)
    assert by_source.p > 0.03  # of 20 ways to give three of six sources the class, one is the truth
    assert by_source.permuted_high > by_video.permuted_high + 0.1
    assert by_source.permuted == pytest.approx(by_video.permuted, abs=0.1)
    alone = [replace(v, source=v.name) for v in made]
    assert chance({0: alone}, over_sources, {})[0].p == pytest.approx(1 / 201)
    uneven = [replace(v, source="s0" if k < 25 else v.source) for k, v in enumerate(made)]
    assert chance({0: uneven}, over_sources, {})[0].p < 0.5


def test_chance_is_what_knows_nothing_and_skill_is_beyond_it():
    truth = [1] * 20 + [2] * 10 + [3] * 10
    blind, able = (({s: videos(truth, s, skill) for s in (0, 1)}) for skill in (0.0, 3.0))
    training = {"Normal": 50, "Arson": 9, "Fighting": 3, "Robbery": 3}
    for c, m in zip(chance(blind, CONFIG, training), evaluate(blind, CONFIG), strict=True):
        assert c.metric == m.name and c.p > 0.02 and c.permuted < c.permuted_high
        assert m.value == pytest.approx(c.permuted, abs=0.2)
    by_name = {c.metric: c for c in chance(able, CONFIG, training)}
    assert all(c.p < 0.02 for c in by_name.values())
    assert by_name["accuracy"].majority == 0.5 and by_name["macro_f1"].majority == pytest.approx((2 / 3) / 3)
    assert by_name["mean_ap"].majority == pytest.approx(1 / 3)


def test_where_there_is_nothing_to_tell_apart():
    one = [
        Recognised(f"v{k}", ("Normal", "Fighting")[k % 2], "s", ("Normal", "Fighting"), np.array([0.4, 0.6]))
        for k in range(6)
    ]
    for m in evaluate({0: one, 1: one}, CONFIG):
        assert (
            m.value is None
            and m.ci_low is None
            and m.per_seed == (None, None)
            and "1 class of anomaly (Fighting)" in m.reason
        )
    assert all(c.p is None and "1 class of anomaly" in c.reason for c in chance({0: one}, CONFIG, {}))
    assert all(m.value == 0.5 for m in evaluate({0: one}, CONFIG, "all") if m.name == "accuracy")
    same = videos([2] * 5)
    assert "5 test videos of 1 of the 3 classes" in evaluate({0: same}, CONFIG)[0].reason
    assert "0 test videos of 0 of the 3" in evaluate({0: videos([0] * 5)}, CONFIG)[0].reason


def test_classes_that_nobody_was_trained_on_take_no_part():
    made = videos([1, 2] * 6, skill=3.0)
    odd = [Recognised("x", "Explosion", "x", CLASSES, np.full(4, 0.25))] * 2
    assert values(evaluate({0: [*made, *odd]}, CONFIG)) == values(evaluate({0: made}, CONFIG))
    assert strangers({0: [*made, *odd]}) == {"Explosion": 2} and strangers({0: made}) == {}


def test_the_confusion_matrix_counts_videos():
    truth = [0, 0, 1, 2, 2, 3]
    runs = {seed: videos(truth, seed) for seed in (0, 1)}
    classes, counts = confusion(runs)
    assert classes == CLASSES and counts.sum(axis=1).tolist() == [2, 1, 2, 1]
    assert counts[2, 3] == np.mean(
        [sum(v.category == "Fighting" and v.probabilities.argmax() == 3 for v in r) for r in runs.values()]
    )
    assert confusion(runs, "anomalous")[0] == CLASSES[1:]


def test_what_is_malformed_is_refused():
    made = videos([1, 2, 3])
    with pytest.raises(ValueError, match="a model of detection alone gives none"):
        evaluate({0: []}, CONFIG)
    with pytest.raises(ValueError, match="seeds 0 and 1 must recognise the same videos"):
        evaluate({0: made, 1: made[::-1]}, CONFIG)
    with pytest.raises(ValueError, match="v0, seed 0: expected 4 probabilities that sum to 1"):
        evaluate({0: [Recognised("v0", "Arson", "s", CLASSES, np.full(4, 0.5))]}, CONFIG)
    with pytest.raises(ValueError, match="among must be 'anomalous' or 'all'"):
        evaluate({0: made}, CONFIG, "normal")
