"""The suspicious class: how far a frame belongs to it, what its loss is, and what three classes learn that two do
not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vadkit.core.config import Config
from vadkit.models.two_stream import Head, confidence, fuzzy_targets, sample_losses, two_way
from vadkit.systems import runner
from vadkit.systems.base import derived_seed, find_system
from vadkit.systems.examples import Examples
from vadkit.systems.material import membership
from vadkit.systems.trainer import hardest, make_head, train

CONFIG = Config(head_width=32, head_epochs=6, head_lr=1e-2)
PLAIN = find_system("2S-bag")
SUSPICIOUS = replace(PLAIN, name="three classes", suspicious=True)


@st.composite
def videos(draw) -> tuple[int, tuple[tuple[int, int], ...]]:
    """(frames, hard spans): disjoint, at least one."""
    edges = sorted(draw(st.sets(st.integers(0, 200), min_size=2, max_size=6)))
    spans = tuple(zip(edges[::2], edges[1::2], strict=False))
    return edges[-1] + draw(st.integers(1, 60)), spans


@given(videos(), st.sampled_from([5.0, 10.0, 29.97]), st.floats(0.2, 8.0))
@settings(max_examples=80, deadline=None)
def test_membership_falls_with_the_time_to_the_crime_and_never_touches_it(video, fps, seconds):
    frames, spans = video
    index = np.arange(frames)
    hard = np.zeros(frames, bool)
    for start, end in spans:
        hard[start:end] = True
    found = membership(index, fps, spans, seconds)
    assert found.shape == (frames,) and found.min() >= 0 and found.max() < 1
    assert not found[hard].any()
    away = np.abs(index[:, None] - np.flatnonzero(hard)).min(axis=1) / fps  # by definition, frame by frame
    assert np.allclose(found[~hard], np.clip(1 - away / seconds, 0, 1)[~hard], atol=1e-6)
    assert (found[~hard & (away >= seconds)] == 0).all() and (found[~hard & (away < seconds * 0.99)] > 0).all()
    assert np.all(membership(index, fps, spans, 2 * seconds) >= found)


@given(videos(), st.floats(0.5, 8.0))
@settings(max_examples=40, deadline=None)
def test_membership_looks_both_ways_alike(video, seconds):
    frames, spans = video
    mirrored = tuple(sorted((frames - end, frames - start) for start, end in spans))
    forth, back = (membership(np.arange(frames), 10.0, one, seconds) for one in (spans, mirrored))
    assert np.array_equal(forth, back[::-1])


@pytest.mark.parametrize("spans", [(), None])
def test_without_a_known_crime_nothing_is_suspicious(spans):
    assert membership(np.arange(50), 10.0, spans, 3.0).tolist() == [0.0] * 50


@pytest.mark.parametrize(("fps", "seconds"), [(0.0, 3.0), (10.0, 0.0), (10.0, float("nan"))])
def test_a_width_of_nothing_is_refused(fps, seconds):
    with pytest.raises(ValueError, match="above 0"):
        membership(np.arange(5), fps, ((1, 2),), seconds)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1, width=32)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_targets_are_distributions(pairs):
    labels, suspicion = torch.tensor([a for a, _ in pairs], dtype=torch.uint8), torch.tensor([b for _, b in pairs])
    targets = fuzzy_targets(labels, suspicion)
    assert torch.allclose(targets.sum(1), torch.ones(len(pairs))) and targets.min() >= 0
    assert torch.equal(targets[:, 2], labels.float())
    assert torch.equal(targets[labels == 0, 1], suspicion[labels == 0])


def test_soft_targets_that_are_not_soft_give_the_usual_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits, classes = 5 * torch.randn(40, 3, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    targets = fuzzy_targets((classes == 2).to(torch.uint8), (classes == 1).float())
    assert torch.allclose(
        sample_losses(logits, targets), functional.cross_entropy(logits, classes, reduction="none"), atol=1e-6
    )
    half = sample_losses(logits, fuzzy_targets(torch.zeros(40), torch.full((40,), 0.5)))
    ends = [sample_losses(logits, fuzzy_targets(torch.zeros(40), torch.full((40,), end))) for end in (0.0, 1.0)]
    assert torch.allclose(half, (ends[0] + ends[1]) / 2, atol=1e-5)


def test_labels_alone_do_not_train_three_classes():
    with pytest.raises(ValueError, match=r"shape \(4, 3\), got \(4,\)"):
        sample_losses(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match="give its examples `suspicion`"):
        train(CONFIG, SUSPICIOUS, replace(toy(60, 0)[0], suspicion=None), toy(30, 1)[0], 0)
    with pytest.raises(ValueError, match="give its examples `suspicion`"):
        train(CONFIG, SUSPICIOUS, toy(60, 0)[0], replace(toy(30, 1)[0], suspicion=None), 0)
    with pytest.raises(ValueError, match=r"each of 3 samples, got \(2,\)"):
        Examples(torch.zeros(3, 4), torch.zeros(3, 80), torch.zeros(3), suspicion=torch.zeros(2))


def test_the_confidence_of_three_classes_is_the_hard_ones():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 30.0, 0.0], [-40.0, -40.0, 40.0]])
    assert torch.allclose(confidence(logits), torch.softmax(logits, dim=1)[:, 2])
    assert two_way(logits).shape == (3, 2)
    for two in (logits[:, :1], logits[:, :2]):
        assert two_way(two) is two


def toy(n: int, seed: int) -> tuple[Examples, np.ndarray]:
    """Three kinds of sample, each on its own axis, and which kind each is: 0 normal, 1 suspicious, 2 hard."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, n, p=[0.5, 0.25, 0.25])
    features = rng.normal(size=(n, 6)) * 0.5
    features[np.arange(n), kinds] += 3.0
    suspicion = np.where(kinds == 1, rng.uniform(0.5, 1, n), 0)
    examples = Examples(
        torch.from_numpy(features).half(),
        torch.zeros(n, 80),
        torch.from_numpy((kinds == 2).astype(np.uint8)),
        suspicion=torch.from_numpy(suspicion).float(),
    )
    return examples, kinds


def probabilities(config: Config, state: dict, on: Examples) -> torch.Tensor:
    head = make_head(config, SUSPICIOUS, on.features.shape[1])
    head.load_state_dict(state)
    with torch.no_grad():
        return torch.softmax(head.eval()(on.features, on.bags), dim=1)


def test_three_classes_are_told_apart():
    (training, _), (validation, kinds) = toy(300, 0), toy(200, 1)
    found = probabilities(CONFIG, train(CONFIG, SUSPICIOUS, training, validation, 0).state, validation).numpy()
    means = np.array([found[kinds == kind].mean(axis=0) for kind in range(3)])  # (kind, class)
    assert means[:, 2].argmax() == 2 and means[2, 2] > 0.9  # the score: hard frames above all others
    assert means[1, 1] > 0.6 and means[1, 1] > means[0, 1] + 0.5 and means[1, 1] > means[2, 1] + 0.5
    assert np.all(means[[0, 1], 2] < 0.1)


def test_a_path_from_normal_to_hard_is_climbed_in_order():
    """One number that grows from normal over suspicious to hard, as nearness in time might."""
    rng = np.random.default_rng(0)
    depth = np.sort(rng.uniform(0, 3, 400))
    labels, suspicion = depth > 2, np.where(depth <= 2, np.clip(depth - 1, 0, 1), 0)
    features = np.stack([depth - 1.5, rng.normal(size=400) * 0.1], axis=1)
    path = Examples(
        torch.from_numpy(features).half(),
        torch.zeros(400, 80),
        torch.from_numpy(labels.astype(np.uint8)),
        suspicion=torch.from_numpy(suspicion).float(),
    )
    state = train(CONFIG, SUSPICIOUS, path, path, 0).state
    head = make_head(CONFIG, SUSPICIOUS, 2)
    head.load_state_dict(state)
    with torch.no_grad():
        score = confidence(head.eval()(path.features, path.bags)).numpy()
    normal, suspicious, hard = (score[kind].mean() for kind in (depth < 1, (depth > 1.3) & (depth < 2), depth > 2))
    assert hard > suspicious + 0.3 > normal + 0.3


def test_mining_keeps_what_the_fuzzy_loss_finds_hardest(monkeypatch):
    from vadkit.systems import trainer as module

    picked = []
    monkeypatch.setattr(module, "hardest", lambda losses, keep: picked.append(losses.clone()) or hardest(losses, keep))
    examples, _ = toy(48, 0)
    config = CONFIG.model_copy(update={"head_epochs": 1})
    train(config, SUSPICIOUS, examples, toy(30, 1)[0], seed=3)
    torch.manual_seed(derived_seed(3, 0, 0))
    head = make_head(config, SUSPICIOUS, 6).eval()
    rows = torch.randperm(48, generator=torch.Generator().manual_seed(derived_seed(3, 1, 1)))
    with torch.no_grad():
        logs = functional.log_softmax(head(examples.features[rows], examples.bags[rows]), dim=1)
    hard, soft = examples.labels[rows] == 1, examples.suspicion[rows]
    expected = torch.where(
        hard, -2 * logs[:, 2], -soft * logs[:, 1] - (1 - soft) * logs[:, 0]
    )  # a hard anomaly weighs 2
    assert torch.allclose(picked[0], expected, atol=1e-5)


def test_the_watched_loss_is_the_fuzzy_one_without_weights():
    (training, _), (validation, _) = toy(200, 0), toy(100, 1)
    trained = train(CONFIG, SUSPICIOUS, training, validation, 0)
    best = min(line.validation_loss for line in trained.history)
    found = probabilities(CONFIG, trained.state, validation)
    expected = -(fuzzy_targets(validation.labels, validation.suspicion) * found.log()).sum(dim=1).mean()
    assert expected.item() == pytest.approx(best, rel=1e-4)


def test_another_seed_gives_other_weights_and_two_classes_ignore_suspicion():
    (training, _), (validation, _) = toy(120, 0), toy(60, 1)
    config = CONFIG.model_copy(update={"head_epochs": 2})
    first, again, other = (train(config, SUSPICIOUS, training, validation, seed).state for seed in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)
    plain, without = (
        train(config, PLAIN, one, validation, 0).state for one in (training, replace(training, suspicion=None))
    )
    assert plain.keys() == without.keys() and all(torch.equal(plain[k], without[k]) for k in plain)


def test_a_head_with_a_suspicious_class_has_three_neurons_whatever_the_output_of_two_classes():
    for output in ("sigmoid", "softmax"):
        config = CONFIG.model_copy(update={"output": output})
        assert make_head(config, SUSPICIOUS, 6)(torch.zeros(2, 6), torch.zeros(2, 80)).shape == (2, 3)
    assert Head(4, output="suspicious").layers[-1].out_features == 3


def test_a_suspicious_system_comes_back_from_its_file_and_scores_live_as_in_the_experiment(tmp_path, monkeypatch):
    """Real videos, without a detector; the three neurons, the score and the system's own name for it."""
    from tiny import live_config, live_corpus

    from vadkit.live.score import score
    from vadkit.systems import base as systems
    from vadkit.systems.record import find_model, save_models
    from vadkit.systems.scorer import load_model

    bagless = replace(find_system("2S-bag-suspicious"), name="bagless", bag=False)
    monkeypatch.setitem(systems.REGISTERED, "bagless", bagless)
    corpus, config = live_corpus(tmp_path), live_config(tmp_path, "suspicious", suspicious_seconds=0.5)
    run = runner.run(config, corpus, "bagless")
    save_models(run)
    (path,) = run.seeds[0].model_paths
    scorer = load_model(path)
    assert scorer.system == run.system and scorer.model.head.layers[-1].out_features == 3
    material = run.system.material(config, corpus)
    for one in run.seeds[0].scores:
        samples = material.views[one.name]
        again = scorer.confidence({stream: samples.images(stream, range(len(samples))) for stream in scorer.networks})
        assert np.allclose(again, one.confidence, atol=5e-3)  # float32 from images against float16 features
        score(
            tmp_path / f"{one.name}.mp4",
            find_model(tmp_path / "outputs" / "suspicious", "bagless"),
            table=tmp_path / "live.csv",
        )
        table = np.loadtxt(tmp_path / "live.csv", delimiter=",", skiprows=1)
        assert np.array_equal(table[:, 0], one.index) and np.allclose(table[:, 2], one.confidence, atol=1e-4)
    assert len({round(float(v), 4) for one in run.seeds[0].scores for v in one.confidence}) > 3


def test_another_width_trains_a_suspicious_system_anew_and_no_other(tmp_path, monkeypatch):
    from doubles import fake_corpus, fake_world

    world = fake_world(monkeypatch)
    base = {
        "cache_root": str(tmp_path),
        "workers": 1,
        "seeds": [0],
        "head_width": 8,
        "head_epochs": 1,
        "backbone_weights": "random",
    }
    for seconds in (0.6, 1.2):
        for name in ("2S-bag", "2S-bag-suspicious"):
            runner.run(Config(**base, suspicious_seconds=seconds), fake_corpus(), name)
    assert world["trained"] == 1 + 2
