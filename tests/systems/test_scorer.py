"""A run's model folder at scoring time: what is damaged or no longer fits is named. What it scores: test_experiment."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from doubles import fake_corpus, fake_world

from vadkit.core.config import Config
from vadkit.core.errors import DataError, WeightsError
from vadkit.systems import runner
from vadkit.systems.scorer import load_model


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A trained model's."""
    fake_world(monkeypatch)
    config = Config(
        cache_root=str(tmp_path), workers=1, seeds=[0], head_width=16, head_epochs=1, backbone_weights="random"
    )
    return runner.run(config, fake_corpus(), "2S-bag").seeds[0].model_paths[0]


def test_damaged_model_folders_are_named(tmp_path, folder):
    with pytest.raises(DataError, match="holds no model"):
        load_model(tmp_path)
    (folder / "model.pt").write_bytes(b"cut")
    with pytest.raises(DataError, match="model.pt is not as it was built; run its notebook again with --force"):
        load_model(folder)


class Payload:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_models_file_is_data_and_nobody_is_told_to_run_it(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("vadkit.systems.record.damage", lambda _: "")  # whoever plants it can write digests, too
    torch.save({"a": Payload(tmp_path / "ran")}, folder / "model.pt")
    with pytest.raises(DataError, match="model.pt is not a file of plain tensors .*never loaded") as found:
        load_model(folder)
    assert not (tmp_path / "ran").exists() and "weights_only" not in str(found.value)


def test_other_backbone_weights_than_those_of_the_training_are_refused(folder, monkeypatch):
    monkeypatch.setattr("vadkit.models.network.weights_digest", lambda *_: "others")
    with pytest.raises(
        WeightsError, match="efficientnet_lite0 weights of the training were random-0, 'random' now gives others"
    ):
        load_model(folder)
