"""Training: what is learnt, when it stops, and that an interrupted run ends as a whole one."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn

from vadkit.core.compute import device_of, has_bfloat16
from vadkit.core.config import Config
from vadkit.core.errors import DataError, VadkitError
from vadkit.models.two_stream import Head, TwoStream, confidence, sample_losses
from vadkit.systems import runner
from vadkit.systems import trainer as module
from vadkit.systems.base import derived_seed, find_system
from vadkit.systems.examples import Examples
from vadkit.systems.trainer import make_head, rank_auc, train

DIM = 12
CONFIG = Config(head_width=32, head_epochs=4, head_lr=3e-3)
FULL, PLAIN, FIXED = find_system("2S-bag"), find_system("2S-bag-no-hm"), find_system("2S-bag-ha-no-es")


def examples(n: int, seed: int, signal: float = 1.0, positives: float = 0.3) -> Examples:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < positives).astype(np.uint8)
    features = rng.normal(size=(n, DIM)) + signal * labels[:, None] * np.linspace(0, 1, DIM)
    return Examples(
        torch.from_numpy(features).half(), torch.from_numpy(rng.poisson(0.2, (n, 80))).float(), torch.from_numpy(labels)
    )


def tiny_backbone(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, DIM // 2, 3), nn.BatchNorm2d(DIM // 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()


def backbones() -> list[nn.Module]:
    with torch.random.fork_rng():
        return [tiny_backbone(0), tiny_backbone(1)]


def image_examples(n: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(np.uint8)
    images = torch.from_numpy(rng.random((2, n, 3, 8, 8), dtype=np.float32))
    images[1] += torch.from_numpy(labels).float()[:, None, None, None]
    with torch.no_grad():
        features = torch.cat([net(x) for net, x in zip(backbones(), images, strict=True)], dim=1).half()
    return Examples(
        features,
        torch.from_numpy(rng.poisson(0.2, (n, 80))).float(),
        torch.from_numpy(labels),
        lambda rows: [images[0][rows], images[1][rows]],
    )


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def without_time(history) -> list[dict]:
    return [asdict(replace(line, seconds=0.0)) for line in history]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60))
@settings(max_examples=100, deadline=None)
def test_the_histories_auc_is_the_usual_one(pairs):
    labels, scores = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]) / 6
    if labels.all() or not labels.any():
        assert rank_auc(labels, scores) is None
    else:
        assert rank_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_it_learns_what_can_be_learnt():
    trained = train(
        replace_config(head_epochs=12), FULL, examples(600, 0, signal=1.5), examples(300, 1, signal=1.5), seed=0
    )
    assert max(line.validation_auc for line in trained.history) > 0.9
    assert trained.history[0].validation_loss > min(line.validation_loss for line in trained.history)


def test_mining_trains_on_one_third_of_the_samples_and_plain_training_on_all():
    training, validation = examples(480, 0), examples(100, 1)
    assert [line.samples for line in train(CONFIG, FULL, training, validation, 0).history] == [160] * 4
    assert [line.samples for line in train(CONFIG, PLAIN, training, validation, 0).history] == [480] * 4


def test_mining_picks_by_weighted_loss_of_the_network_without_dropout(monkeypatch):
    """The rows that reach the optimiser are recomputed here from the definition."""
    picked = []
    original = module.hardest
    monkeypatch.setattr(
        module, "hardest", lambda losses, keep: picked.append((losses.clone(), original(losses, keep))) or picked[-1][1]
    )
    training = examples(48, 0)
    train(replace_config(head_epochs=1), FULL, training, examples(30, 1), seed=3)
    torch.manual_seed(derived_seed(3, 0, 0))
    head = make_head(CONFIG, FULL, DIM).eval()
    rows = torch.randperm(48, generator=torch.Generator().manual_seed(derived_seed(3, 1, 1)))
    with torch.no_grad():
        losses = sample_losses(head(training.features[rows], training.bags[rows]), training.labels[rows])
    weighted = torch.where(training.labels[rows] == 1, 2 * losses, losses)
    assert torch.allclose(picked[0][0], weighted, atol=1e-6)
    assert sorted(picked[0][1].tolist()) == sorted(torch.argsort(weighted, descending=True)[:16].tolist())


def test_the_class_weight_moves_the_confidence():
    training, validation = examples(400, 0, signal=0.2), examples(200, 1, signal=0.2)
    means = []
    for weight in (0.5, 8.0):
        config = replace_config(anomaly_weight=weight, head_epochs=3)
        means.append(scores(config, PLAIN, train(config, PLAIN, training, validation, 0).state, validation).mean())
    assert means[1] > means[0] + 0.2


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    training, validation = examples(200, 0), examples(60, 1)
    first, again, other = (train(CONFIG, FULL, training, validation, seed) for seed in (0, 0, 1))
    assert same(first.state, again.state) and without_time(first.history) == without_time(again.history)
    assert not same(first.state, other.state)


def test_the_callers_random_numbers_and_threads_are_left_alone():
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    train(replace_config(head_epochs=1), FULL, examples(60, 0), examples(30, 1), seed=0)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


def test_it_stops_when_patience_is_over_and_returns_the_best_weights():
    training, validation = (
        examples(300, 0, signal=0.0),
        examples(200, 1, signal=0.0),
    )  # nothing to learn: validation only gets worse
    config = replace_config(head_epochs=60, patience=3)
    trained = train(config, PLAIN, training, validation, 0)
    losses = [line.validation_loss for line in trained.history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 60
    head = make_head(config, PLAIN, DIM)
    head.load_state_dict(trained.state)
    with torch.no_grad():
        loss = sample_losses(head.eval()(validation.features, validation.bags), validation.labels).mean().item()
    assert loss == pytest.approx(losses[best], rel=1e-5)


def test_fixed_epochs_need_no_validation_and_keep_the_last_weights():
    training = examples(200, 0)
    trained = train(CONFIG, FIXED, training, None, 0)
    assert [line.epoch for line in trained.history] == [1, 2, 3, 4, 5]  # the system's five, not the parameters' four
    assert all(line.validation_loss is None for line in trained.history)
    watched = train(CONFIG, FIXED, training, examples(50, 1), 0)
    assert same(trained.state, watched.state)


class Killed(Exception):
    pass


def kill_after(epochs: int):
    seen = []

    def progress(done, total, what):
        seen.append(done)
        if len(seen) == epochs:
            raise Killed

    return progress


@pytest.mark.parametrize("epochs", [1, 3, 4, 5, 7])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, epochs):
    """Killed in phase one, at its last epoch, and in phase two."""
    config = replace_config(finetune_epochs=3, finetune_lr=1e-3)
    training, validation = image_examples(90, 0), image_examples(40, 1)
    whole = train(config, FULL, training, validation, 0, backbones=backbones)
    assert [line.phase for line in whole.history] == [1] * 4 + [2] * 3
    options = {"backbones": backbones, "checkpoint_dir": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        train(config, FULL, training, validation, 0, **options, progress=kill_after(epochs))
    assert (tmp_path / module.CHECKPOINT).is_file()
    ran = []
    resumed = train(
        config, FULL, training, validation, 0, **options, progress=lambda done, total, what: ran.append(what)
    )
    assert len(ran) == 7 - epochs
    assert same(whole.state, resumed.state) and without_time(whole.history) == without_time(resumed.history)
    assert [p.name for p in tmp_path.iterdir()] == [module.CHECKPOINT]  # whoever keeps the result deletes it
    again = train(config, FULL, training, validation, 0, **options, progress=lambda done, total, what: ran.append(what))
    assert len(ran) == 7 - epochs and same(whole.state, again.state)


def test_a_checkpoint_is_forgotten_with_its_folder_where_nothing_else_is_in_it(tmp_path):
    folders = [tmp_path / name for name in ("alone", "shared")]
    for folder in folders:
        folder.mkdir()
        (folder / module.CHECKPOINT).write_text("x")
    (folders[1] / "checkpoint.123").write_text("of another process")
    for folder in folders:
        runner.forget(folder)
    assert not folders[0].exists() and [p.name for p in folders[1].iterdir()] == ["checkpoint.123"]


def test_patience_is_remembered_across_an_interruption(tmp_path):
    training, validation = examples(300, 0, signal=0.0), examples(200, 1, signal=0.0)
    config = replace_config(head_epochs=60, patience=4)
    whole = train(config, PLAIN, training, validation, 0)
    with pytest.raises(Killed):
        train(
            config,
            PLAIN,
            training,
            validation,
            0,
            checkpoint_dir=tmp_path,
            checkpoint_seconds=0,
            progress=kill_after(len(whole.history) - 2),
        )
    resumed = train(config, PLAIN, training, validation, 0, checkpoint_dir=tmp_path, checkpoint_seconds=0)
    assert len(resumed.history) == len(whole.history) and same(whole.state, resumed.state)


class Payload:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("planted", [False, True])
def test_a_damaged_checkpoint_is_reported_and_the_run_starts_over(tmp_path, planted):
    (tmp_path / module.CHECKPOINT).write_bytes(b"cut short")
    if planted:
        torch.save({"phase": Payload(tmp_path / "ran")}, tmp_path / module.CHECKPOINT)
    said = []
    training, validation = examples(100, 0), examples(40, 1)
    resumed = train(
        CONFIG,
        FULL,
        training,
        validation,
        0,
        checkpoint_dir=tmp_path,
        progress=lambda done, total, what: said.append(what),
    )
    assert "cannot be read" in said[0] and "weights_only" not in said[0] and not (tmp_path / "ran").exists()
    assert same(resumed.state, train(CONFIG, FULL, training, validation, 0).state)


@pytest.mark.parametrize("what", ["a bit of a tensor", "another training's"])
def test_a_checkpoint_that_is_not_its_own_is_not_taken_up(tmp_path, what):
    training, validation = examples(100, 0), examples(40, 1)
    folder, other = tmp_path / "one", tmp_path / "other"
    for seed, place in enumerate((folder, other)):
        options = {"checkpoint_dir": place, "checkpoint_seconds": 0, "progress": kill_after(2)}
        with pytest.raises(Killed):
            train(CONFIG, FULL, training, validation, seed, **options)
    path = folder / module.CHECKPOINT
    if what == "a bit of a tensor":
        with zipfile.ZipFile(path) as file:
            largest = max(file.infolist(), key=lambda one: one.file_size)
        data = bytearray(path.read_bytes())
        data[largest.header_offset + largest.file_size // 2] ^= 64  # exponents and signs among them
        path.write_bytes(data)
    else:
        shutil.copy(other / module.CHECKPOINT, path)
    said = []
    options = {"checkpoint_dir": folder, "progress": lambda done, total, what: said.append(what)}
    resumed = train(CONFIG, FULL, training, validation, 0, **options)
    assert "cannot be read (ValueError); starting over" in said[0]
    assert same(resumed.state, train(CONFIG, FULL, training, validation, 0).state)


def test_phase_two_trains_the_streams_and_leaves_batch_normalisation():
    config = replace_config(finetune_epochs=1)
    trained = train(config, FIXED, image_examples(90, 0), None, 0, backbones=backbones)
    assert trained.facts["finetuned"] and [(line.phase, line.epoch) for line in trained.history] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
        (2, 1),
        (2, 2),
    ]
    before = TwoStream(backbones(), make_head(config, FULL, DIM)).state_dict()
    changed = {
        name for name in before if name.startswith("backbones") and not torch.equal(before[name], trained.state[name])
    }
    assert changed == {f"backbones.{i}.0.{kind}" for i in (0, 1) for kind in ("weight", "bias")}


def test_phase_two_in_bfloat16_is_near_float32_and_not_the_same(monkeypatch):
    runs, forward = [], Head.forward
    for precision in ("float32", "bfloat16"):
        config = replace_config(finetune_epochs=1, finetune_precision=precision, dropout=0.0, hard_mining_alpha=1)
        runs.append(train(config, FIXED, image_examples(90, 0), None, 0, backbones=backbones))
    full, low = runs
    seen = []
    monkeypatch.setattr(Head, "forward", lambda head, *given: seen.append(out := forward(head, *given)) or out)
    train(config, FULL, image_examples(90, 0), image_examples(40, 1), 0, backbones=backbones)
    assert {logits.dtype for logits in seen} == {torch.float32}, "of training and of validation"
    assert full.history[4].train_loss == low.history[4].train_loss, "phase one computes in float32 alone"
    assert low.history[-1].train_loss != full.history[-1].train_loss
    assert low.history[-1].train_loss == pytest.approx(full.history[-1].train_loss, rel=0.01)
    assert all(value.dtype == full.state[name].dtype for name, value in low.state.items())


def test_the_precision_is_settled_before_training_is_keyed():
    system = find_system("2S-bag")
    settled = system.adapted(replace_config(finetune_epochs=1)).finetune_precision
    assert settled == ("bfloat16" if has_bfloat16(device_of(replace_config())) else "float32")
    assert system.adapted(replace_config(finetune_epochs=0)).finetune_precision == "auto"
    given = replace_config(finetune_epochs=1, finetune_precision="bfloat16")
    assert system.adapted(given).finetune_precision == "bfloat16"


def test_phase_two_that_only_harms_returns_phase_ones_network():
    training, validation = image_examples(90, 0), image_examples(40, 1)
    config = replace_config(finetune_epochs=2, finetune_lr=1.0, head_epochs=6)
    trained = train(config, FULL, training, validation, 0, backbones=backbones)
    before = train(replace_config(head_epochs=6), FULL, training, validation, 0).state
    ones = [line.validation_loss for line in trained.history if line.phase == 1]
    assert min(line.validation_loss for line in trained.history if line.phase == 2) > min(ones)
    assert all(torch.equal(trained.state[f"head.{name}"], before[name]) for name in before)


def test_training_on_cached_features_equals_recomputing_them_each_step():
    """Phase one from float16 features against the whole network with frozen streams, step by step."""
    training, validation = image_examples(90, 0), image_examples(40, 1)
    config = replace_config(dropout=0.0, head_epochs=2)
    cached = train(config, PLAIN, training, validation, 0)
    exact = replace(training, features=torch.empty(90, DIM))
    torch.manual_seed(derived_seed(0, 0, 0))
    model = TwoStream(backbones(), make_head(config, PLAIN, DIM)).train()
    model.backbones.requires_grad_(False)
    optimiser = torch.optim.Adam(model.head.parameters(), lr=config.head_lr)
    for epoch in (1, 2):
        for rows in torch.randperm(90, generator=torch.Generator().manual_seed(derived_seed(0, 1, epoch))).split(16):
            images = exact.images(rows.numpy())
            losses = sample_losses(model(list(images), training.bags[rows]), training.labels[rows])
            loss = (losses * torch.where(training.labels[rows] == 1, 2.0, 1.0)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    head = make_head(config, PLAIN, DIM)
    head.load_state_dict(cached.state)
    with torch.no_grad():
        ours = confidence(head.eval()(validation.features, validation.bags))
        theirs = confidence(model.eval()(list(validation.images(np.arange(40))), validation.bags))
    assert cached.history[-1].validation_loss == min(line.validation_loss for line in cached.history)
    assert torch.allclose(ours, theirs, atol=5e-3)
    assert ours.std() > 0.01


@pytest.mark.parametrize(("positives", "what"), [(0.0, "all normal"), (1.1, "all anomalous")])
def test_a_single_class_is_refused_with_the_reason(positives, what):
    with pytest.raises(DataError, match=f"needs normal and anomalous samples, got 20 samples, {what}"):
        train(CONFIG, FULL, examples(20, 0, positives=positives), examples(20, 1), 0)


def test_no_samples_at_all_are_refused():
    with pytest.raises(DataError, match="got no sample"):
        train(CONFIG, FULL, examples(0, 0), examples(20, 1), 0)


def test_early_stopping_without_validation_is_refused():
    with pytest.raises(DataError, match="early stopping needs validation samples"):
        train(CONFIG, FULL, examples(50, 0), None, 0)


def test_a_loss_that_is_not_finite_names_the_epoch_and_a_remedy():
    broken = examples(50, 0)
    broken.features[7] = math.nan
    with pytest.raises(VadkitError, match=r"training loss is nan in epoch 1 of phase 1.*lower head_lr \(now 0.003\)"):
        train(CONFIG, FULL, broken, examples(50, 1), 0)
    with pytest.raises(VadkitError, match="lower head_lr"):
        train(replace_config(head_lr=1e30), FULL, examples(50, 0), examples(50, 1), 0)


def test_the_history_is_json():
    trained = train(CONFIG, FULL, examples(60, 0), examples(30, 1), 0)
    lines = json.loads(json.dumps([asdict(line) for line in trained.history], allow_nan=False))
    assert set(lines[0]) == {"phase", "epoch", "train_loss", "validation_loss", "validation_auc", "samples", "seconds"}


def test_examples_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="got 3, 2 and 3"):
        Examples(torch.zeros(3, 4), torch.zeros(2, 80), torch.zeros(3))


def replace_config(**changes) -> Config:
    return Config(**{**CONFIG.model_dump(), **changes})


def scores(config, system, state, on: Examples) -> np.ndarray:
    head = make_head(config, system, DIM)
    head.load_state_dict(state)
    with torch.no_grad():
        return confidence(head.eval()(on.features, on.bags)).numpy()
