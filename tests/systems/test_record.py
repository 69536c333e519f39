"""The record of trained models: found again, also elsewhere, and clear where it is not."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from doubles import fake_corpus, fake_world

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError, WeightsError
from vadkit.systems import runner
from vadkit.systems.record import find_model, read_state, save_models


def make(root: Path, **changes) -> Config:
    values = {
        "cache_root": str(root / "cache"),
        "output_root": str(root / "outputs"),
        "profile": "toy",
        "workers": 1,
        "seeds": [0, 4],
        "head_width": 8,
    }
    return Config(
        **{
            **values,
            "head_epochs": 2,
            "backbone_weights": "random",
            "detector_weights": str(root / "toy.onnx"),
            **changes,
        }
    )


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """Two systems of two seeds, trained and recorded; the run's folder."""
    fake_world(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.onnx").write_text("only its content's digest counts")
    config, corpus = make(tmp_path), fake_corpus()
    save_models(*(runner.run(config, corpus, name) for name in ("2S-bag-ha", "1S-no-bag")))
    return tmp_path / "outputs" / "toy"


def test_a_recorded_model_is_found_with_the_parameters_of_its_training(run, tmp_path):
    found = find_model(run, "1S-no-bag", 4)
    assert (found.system.name, found.seed, found.fold, found.folds, found.held_out) == ("1S-no-bag", 4, 0, 1, False)
    assert found.config == make(tmp_path)
    assert json.loads((found.path / "key.json").read_text())["key"]["seed"] == 4
    assert find_model(run).path != found.path


def test_the_record_moves_with_the_project(run, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("outputs", "cache"):
        shutil.move(tmp_path / name, moved / name)
    assert str(moved) in str(find_model(moved / "outputs" / "toy").path)


def test_relative_parameters_count_from_the_projects_root(tmp_path, monkeypatch):
    fake_world(monkeypatch)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "toy.onnx").write_text("x")
    monkeypatch.chdir(tmp_path)
    config, corpus = (
        make(tmp_path, cache_root="cache", output_root="outputs", detector_weights="weights/toy.onnx"),
        fake_corpus(),
    )
    save_models(runner.run(config, corpus, "2S-bag"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    found = find_model(tmp_path / "outputs" / "toy", "2S-bag").config
    assert found.detector_weights == str(tmp_path / "weights" / "toy.onnx") and found.cache_root == str(
        tmp_path / "cache"
    )


def test_of_a_cross_validation_the_fold_that_tests_the_video_is_taken(tmp_path, monkeypatch):
    fake_world(monkeypatch)
    config, corpus = (
        make(tmp_path, corpus="folder", data_root=".", split="grouped_cv", folds=3, seeds=[0]),
        fake_corpus(official=False),
    )
    save_models(run := runner.run(config, corpus, "2S-no-bag"))
    folder, folds = tmp_path / "outputs" / "toy", set()
    for video in corpus.videos:
        found = find_model(folder, "2S-no-bag", video=f"/somewhere/{video.name}.mp4")
        assert found.held_out and found.folds == 3
        folds.add(found.fold)
        assert found.path == run.seeds[0].model_paths[found.fold].resolve()
    assert folds == {0, 1, 2}
    other = find_model(folder, "2S-no-bag", video="new.mp4")
    assert (other.fold, other.held_out) == (0, False)


def test_what_is_not_there_is_named_with_the_remedy(run, tmp_path):
    with pytest.raises(
        DataError, match=r"no folder .*demo; there are .*toy; or train with `vadkit run params/demo.yaml --only 04`"
    ):
        find_model(run.parent / "demo")
    (run.parent / "bare").mkdir()
    with pytest.raises(DataError, match=r"no trained system yet; train with `vadkit run params/bare.yaml"):
        find_model(run.parent / "bare")
    with pytest.raises(ConfigError, match="did you mean '2S-bag-ha'"):
        find_model(run, "2S-bag-hb")
    with pytest.raises(ConfigError, match="for seed 0 and 4, not for seed 1"):
        find_model(run, seed=1)
    shutil.rmtree(tmp_path / "cache" / "models")
    with pytest.raises(DataError, match="gone from the cache .*--force"):
        find_model(run)


def test_a_damaged_record_and_another_detector_are_refused(run, tmp_path):
    (tmp_path / "toy.onnx").write_text("retrained since")
    with pytest.raises(WeightsError, match="not the one of the training"):
        find_model(run)
    assert find_model(run, "1S-no-bag")  # has no bag
    record = run / "models" / "1S-no-bag.json"
    whole, refused = record.read_bytes(), "1S-no-bag.json is not a record .*; delete it and .* --force"
    damaged = [b"{", b"", b"[]", b"3", b"\xff", b"[" * 20_000, (run / "models" / "2S-bag-ha.json").read_bytes()]
    for place in random.Random(0).sample(range(8 * len(whole)), 60):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        damaged.append(bytes(data))
    for data in damaged:
        record.write_bytes(data)
        with pytest.raises(DataError, match=refused):
            find_model(run, "1S-no-bag")
    record.write_bytes(whole)
    assert find_model(run, "1S-no-bag")


def test_a_recorded_model_that_was_damaged_or_swapped_is_refused(run, tmp_path):
    one, other = (find_model(run, "1S-no-bag", seed).path for seed in (0, 4))
    aside = tmp_path / "aside"
    for name in ("model.pt", "system.json", "."):
        for source, place in ((one / name, aside), (other / name, one / name), (aside, other / name)):
            source.rename(place)
        for seed in (0, 4):
            with pytest.raises(DataError, match="the model .* is damaged: .* not as it was built; .* with --force"):
                find_model(run, "1S-no-bag", seed)
        for source, place in ((one / name, aside), (other / name, one / name), (aside, other / name)):
            source.rename(place)
    assert find_model(run, "1S-no-bag")


def test_a_damaged_model_is_trained_again_by_the_run(run, tmp_path):
    path = find_model(run, "1S-no-bag").path
    whole, data = read_state(path), bytearray((path / "model.pt").read_bytes())
    data[len(data) // 2] ^= 4
    (path / "model.pt").write_bytes(data)
    with pytest.warns(UserWarning, match="model.pt is not as it was built; it is dropped and made again"):
        runner.run(make(tmp_path), fake_corpus(), "1S-no-bag")
    again = read_state(find_model(run, "1S-no-bag").path)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
