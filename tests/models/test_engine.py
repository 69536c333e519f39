"""Inference engines: the same features as torch, checked before they are taken, and never others silently."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import warnings

import numpy as np
import pytest
import torch

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DiskError, VadkitError
from vadkit.models import engine
from vadkit.models.engine import BOUND, CALIBRATED, INT8_BOUND, frozen
from vadkit.models.network import INT8, network_of
from vadkit.workbook.checks import findings


class Larger(torch.nn.Module):
    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 1.002 * self.module(images)


INSTALLED = [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name)]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(engine, "_SETTLED", {})


def config_of(tmp_path, **changes) -> Config:
    return Config(**{"cache_root": str(tmp_path), "backbone": "resnet18", "backbone_weights": "random", **changes})


def batch_of(network, n: int = 3) -> torch.Tensor:
    shape = (n, 16, 32, 32, 3) if network.width else (n, 64, 64, 3)
    return network.preprocess(np.random.default_rng(0).integers(0, 255, shape, np.uint8))


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("backbone", ["resnet18", "i3d_flow"])
def test_an_engine_gives_torchs_features(name, backbone, tmp_path):
    small = {"clip_width": 0.125, "i3d_size": 32, "i3d_flow_weights": "random"}
    config = config_of(tmp_path, inference=name, **small)
    network = network_of(config, backbone)
    batch = batch_of(network, 12)
    ours = frozen(network, config, batch)
    reference = frozen(network, config_of(tmp_path, inference="torch", **small), batch)
    assert (ours.by, reference.by) == (name, "torch")
    for rows in (12, 1, 5):  # any number at once, the probe's or not
        expected = reference(batch[:rows])
        assert ours(batch[:rows]).shape == expected.shape and ours(batch[:rows]).dtype == torch.float32
        assert (ours(batch[:rows]) - expected).abs().max() <= BOUND * expected.abs().max()
    (entry,) = (tmp_path / "engines").iterdir()
    assert json.loads((entry / "facts.json").read_text())["relative"] <= BOUND


@pytest.mark.skipif(not INSTALLED, reason="no engine is installed")
def test_auto_exports_only_what_pays_and_then_takes_it(tmp_path):
    config = config_of(tmp_path)
    network = network_of(config, "resnet18")
    batch = batch_of(network)
    assert frozen(network, config, batch).by == "torch" and not (tmp_path / "engines").exists()
    engine._SETTLED.clear()
    assert frozen(network, config, batch, export=True).by == INSTALLED[0]
    engine._SETTLED.clear()
    assert frozen(network, config, batch).by == INSTALLED[0]


@pytest.mark.skipif(not INSTALLED, reason="no engine is installed")
@pytest.mark.parametrize("fault", ["other features", "no export"])
def test_an_engine_that_disagrees_is_refused_with_the_figures(fault, tmp_path, monkeypatch):
    def wrong(module, probe, folder):
        if fault == "no export":
            raise RuntimeError("an operator is missing\nand more")
        real(Larger(module), probe, folder)

    name = INSTALLED[0]
    real = engine._save[name]
    monkeypatch.setitem(engine._save, name, wrong)
    monkeypatch.setattr(engine, "ENGINES", {"images": (name,)})
    config = config_of(tmp_path)
    network = network_of(config, "resnet18")
    found = "cannot take resnet18 .RuntimeError: an operator" if fault == "no export" else "of their size off torch's"
    with pytest.warns(UserWarning, match=found):
        assert frozen(network, config, batch_of(network), export=True).by == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # settled: said once
        frozen(network, config, batch_of(network), export=True)
    with pytest.raises(VadkitError, match=f"{found}.*set inference: auto or torch"):
        frozen(network, config_of(tmp_path, inference=name), batch_of(network))


@pytest.mark.skipif(not INSTALLED, reason="no engine is installed")
def test_a_full_disk_is_no_refusal_of_an_engine(tmp_path, monkeypatch):
    def full(module, probe, folder):
        raise RuntimeError("basic_ios::clear: iostream error")  # all that OpenVINO says

    config = config_of(tmp_path, inference=INSTALLED[0])
    network = network_of(config, "resnet18")
    with monkeypatch.context() as patch, pytest.raises(DiskError, match="the disk is full"):
        patch.setitem(engine._save, INSTALLED[0], full)
        frozen(network, config, batch_of(network))
    assert frozen(network, config, batch_of(network)).by == INSTALLED[0]


@pytest.mark.skipif(not importlib.util.find_spec("nncf"), reason="no NNCF")
def test_int8_is_taken_by_name_alone_and_networks_remember_it(tmp_path):
    config = config_of(tmp_path, inference=INT8)
    network, plain = network_of(config, "resnet18"), network_of(config_of(tmp_path), "resnet18")
    assert (network.engine, plain.engine) == (INT8, None)
    with pytest.raises(VadkitError, match=f"at least {CALIBRATED // 2} images or clips, of a profile; 3 are here"):
        frozen(network, config, batch_of(network))
    batch = batch_of(network, CALIBRATED // 2)
    ours, exact = frozen(network, config, batch), frozen(plain, config_of(tmp_path, inference="torch"), batch)
    assert ours.by == INT8
    off = torch.linalg.vector_norm(ours(batch) - exact(batch)) / torch.linalg.vector_norm(exact(batch))
    assert BOUND < off <= INT8_BOUND
    assert sys.modules["openvino_telemetry"] is None  # nothing reports that it was used


def test_an_engine_that_is_not_there_is_an_error_with_the_remedy(tmp_path, monkeypatch):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", gone)
    network = network_of(config_of(tmp_path), "resnet18")
    assert frozen(network, config_of(tmp_path), batch_of(network), export=True).by == "torch"
    with pytest.raises(ConfigError, match=r"'openvino', but openvino is not installed; pip install 'vadkit\[fast\]'"):
        frozen(network, config_of(tmp_path, inference="openvino"), batch_of(network))
    problems = [one for one in findings(config_of(tmp_path, inference="openvino")) if one.problem]
    assert any("not installed; pip install" in one.what for one in problems)
    with pytest.raises(ValueError, match="inference"):
        config_of(tmp_path, inference="tensorrt")
