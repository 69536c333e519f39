from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.errors import ConfigError, WeightsError
from vadkit.models.i3d import same_padding
from vadkit.models.network import build_network, preprocess, published_shapes
from vadkit.models.pretrained import NETWORKS, WORLD_WIDTH, weights_digest, weights_file

pytestmark = pytest.mark.usefixtures("one_thread")

VIDEO_NETWORKS = [name for name, row in NETWORKS.items() if row.kind]
FIXTURES = {
    "c3d": "c3d_sports1m",
    "i3d_rgb": "i3d_rgb_kinetics",
    "i3d_flow": "i3d_flow_kinetics",
    "resnext3d": "resnext101_kinetics",
}
CLASSIFIERS = ("fc", "logits", "module.fc")
CLASSES = {
    "c3d": "fc8.weight",
    "i3d_rgb": "logits.conv3d.weight",
    "i3d_flow": "logits.conv3d.weight",
    "resnext3d": "module.fc.weight",
}


def listed(name: str) -> dict:
    """The published file's facts: names and shapes as in the public code that reads it."""
    return json.loads((Path(__file__).parents[1] / "fixtures" / f"{FIXTURES[name]}.json").read_text(encoding="utf-8"))


def made(name: str, light: bool = True) -> dict[str, torch.Tensor]:
    """A state dict to the published list. light: one number a tensor, spread to its shape: a small file."""
    state = {}
    for k, (key, shape) in enumerate(listed(name)["shapes"].items()):
        if light or key.startswith(CLASSIFIERS):
            state[key] = torch.tensor(0.001 * (k + 1)).expand(shape)
        elif len(shape) > 1:
            state[key] = (
                torch.randn(shape, generator=torch.Generator().manual_seed(k)) * (2 / math.prod(shape[1:])) ** 0.5
            )
        else:
            state[key] = 0.5 + torch.rand(shape, generator=torch.Generator().manual_seed(k))
    return state


def write(name: str, state: dict, path: Path) -> str:
    wrapped = {"state_dict": state, "arch": "resnext-101", "epoch": 200} if listed(name).get("inside") else state
    torch.save(wrapped, path)
    return str(path)


def clips(name: str, side: int, count: int = 2, frames: int = 16) -> torch.Tensor:
    return preprocess(np.random.default_rng(3).integers(0, 256, (count, frames, side, side, 3), dtype=np.uint8), name)


# --- the published files ---


@pytest.mark.parametrize("name", VIDEO_NETWORKS)
def test_our_networks_have_the_published_names_and_shapes(name):
    facts = {key.removeprefix("module."): tuple(shape) for key, shape in listed(name)["shapes"].items()}
    assert published_shapes(name) == facts


@pytest.mark.parametrize(
    ("name", "whole", "without_classes"),
    [
        ("c3d", 79_991_015, 77_995_776),
        ("i3d_rgb", 12_697_264, 12_287_264),
        ("i3d_flow", 12_675_312, 12_265_312),
        ("resnext3d", 48_340_816, 47_521_216),
    ],
)
def test_parameter_counts_are_the_literatures(name, whole, without_classes):
    """C3D 78.0 million up to fc7 (OpenMMLab's file: 312 MB of float32), I3D 12.3 million, ResNeXt-101 47.5 million."""
    learned = {key: math.prod(shape) for key, shape in published_shapes(name).items() if "running_" not in key}
    classes = sum(
        n
        for key, n in learned.items()
        if key.startswith(("fc8", "logits")) or (name == "resnext3d" and key.startswith("fc."))
    )
    assert (sum(learned.values()), sum(learned.values()) - classes) == (whole, without_classes)


@pytest.mark.parametrize(
    ("name", "side", "maps"),
    [
        ("c3d", 112, (512, 2, 7, 7)),
        ("i3d_rgb", 64, (1024, 2, 2, 2)),
        ("i3d_flow", 64, (1024, 2, 2, 2)),
        ("resnext3d", 112, (2048, 1, 4, 4)),
    ],
)
def test_a_file_made_to_the_published_list_loads_whole_and_runs(name, side, maps, tmp_path):
    state = made(name, light=False)
    network = build_network(name, write(name, state, tmp_path / "weights"), size=side)
    own = network.state_dict()
    for key, value in state.items():
        if not key.startswith(CLASSIFIERS):
            assert torch.equal(own.pop(key.removeprefix("module.")), value), key
    assert all(key.endswith("num_batches_tracked") for key in own) and not network.training
    with torch.inference_mode():
        seen = {}
        network.target_layer.register_forward_hook(lambda module, inputs, output: seen.update(maps=output))
        pooled = network(clips(name, side, 1))
    assert tuple(seen["maps"].shape[1:]) == maps
    assert pooled.shape == (1, network.feature_dim)
    assert torch.isfinite(pooled).all() and pooled.std() > 0
    if name == "c3d":
        assert network.feature_dim == 8192  # what fc6 takes


@pytest.mark.parametrize("name", VIDEO_NETWORKS)
def test_every_tensor_of_the_file_moves_the_features(name):
    """Nothing that is loaded lies idle: weights by their gradient, running statistics by a change."""
    network = build_network(name, "random", width=0.125, size=48)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, 0.1, 0.5)
    batch = clips(name, 48)
    before = network(batch)
    before.square().sum().backward()
    assert [key for key, value in network.named_parameters() if not value.grad.abs().sum() > 0] == []
    statistics = [(key, value) for key, value in network.named_buffers() if "running_" in key][-6:]
    for key, value in statistics:
        kept = value.clone()
        value.add_(0.5)
        assert not torch.allclose(network(batch), before), key
        value.copy_(kept)


def test_openmmlabs_file_is_the_same_network_under_other_names(tmp_path):
    state = made("c3d")
    theirs = {}
    for key, value in state.items():
        layer, kind = key.split(".")
        if layer.startswith("conv"):
            theirs[f"{ {'conv1': 'conv1a', 'conv2': 'conv2a'}.get(layer, layer) }.conv.{kind}"] = value
        elif layer != "fc8":
            theirs[key] = value
    assert len(theirs) == 20
    torch.save(theirs, tmp_path / "theirs.pth")
    network = build_network("c3d", str(tmp_path / "theirs.pth"))
    assert torch.equal(network.conv1.weight, state["conv1.weight"]) and torch.equal(
        network.conv5b.bias, state["conv5b.bias"]
    )
    theirs["conv3a.conv.weight"] = torch.zeros(256, 64, 3, 3, 3)
    torch.save(theirs, tmp_path / "theirs.pth")
    with pytest.raises(WeightsError, match=r"conv3a\.weight has shape \(256, 64, 3, 3, 3\), expected \(256, 128"):
        build_network("c3d", str(tmp_path / "theirs.pth"))


def test_batch_normalisations_counters_may_be_there_or_not(tmp_path):
    state = made("i3d_flow")
    counters = {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(9)
        for key in state
        if key.endswith("running_mean")
    }
    network = build_network("i3d_flow", write("i3d_flow", {**state, **counters}, tmp_path / "w.pt"))
    assert torch.equal(network.Mixed_5c.b3b.bn.running_var, state["Mixed_5c.b3b.bn.running_var"])


# --- what is refused ---


@pytest.mark.parametrize("name", VIDEO_NETWORKS)
def test_a_file_that_differs_is_refused_with_the_first_differences(name, tmp_path):
    path, state = tmp_path / "weights.pt", made(name)
    first, second, *_ = [key for key in state if not key.startswith(CLASSIFIERS)]
    changed = {**state, second: torch.zeros(7)}
    del changed[first]
    short, other = (key.removeprefix("module.") for key in (first, second))
    with pytest.raises(
        WeightsError,
        match=rf"weights\.pt does not fit .*{short} is missing; {other} has shape \(7,\), expected .*; obtain ",
    ):
        build_network(name, write(name, changed, path))
    classes = CLASSES[name]
    with pytest.raises(
        WeightsError,
        match=rf"does not fit .* \((Sports-1M, 487|Kinetics, 400) classes\): {classes.removeprefix('module.')} has "
        r"shape \(101, .*expected \((487|400), ",
    ):
        build_network(name, write(name, {**state, classes: torch.zeros(101, *state[classes].shape[1:])}, path))
    with pytest.raises(WeightsError, match=rf"{other} holds values that are not finite"):
        build_network(name, write(name, {**state, second: torch.full(state[second].shape, float("nan"))}, path))
    path.write_bytes(Path(write(name, state, path)).read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"weights\.pt is not a file of plain tensors.*; obtain "):
        build_network(name, str(path))


@pytest.mark.parametrize("given", VIDEO_NETWORKS)
def test_another_networks_file_is_refused(given, tmp_path):
    path = write(given, made(given), tmp_path / "w.pt")
    for name in set(VIDEO_NETWORKS) - {given}:
        with pytest.raises(WeightsError, match=r"does not fit .*(is missing|has shape).*; obtain "):
            build_network(name, path)


def test_a_full_width_file_for_a_narrow_network_names_the_parameter(tmp_path):
    path = write("i3d_rgb", made("i3d_rgb"), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"i3d_rgb at width 0\.5.*published weights have width 1"):
        build_network("i3d_rgb", path, width=0.5)


@pytest.mark.parametrize("act", [lambda name, weights: build_network(name, weights), weights_digest])
def test_a_missing_file_says_where_it_goes_and_where_it_is_obtained(act, tmp_path):
    for name, source in (
        ("c3d", "DavideA/c3d-pytorch"),
        ("i3d_rgb", r"rgb_imagenet\.pt"),
        ("i3d_flow", r"flow_imagenet\.pt"),
        ("resnext3d", r"resnext-101-kinetics\.pth"),
    ):
        with pytest.raises(
            WeightsError, match=rf"{name}_weights: no file .*gone\.pt; it is where .* should be put: obtain .*{source}"
        ):
            act(name, str(tmp_path / "gone.pt"))
    with pytest.raises(ConfigError, match="c3d, i3d_rgb, i3d_flow, resnext3d, got 'r3d'"):
        act("r3d", "random")


def test_world_weights_are_narrow_and_some_networks_have_none():
    with pytest.raises(ConfigError, match=r"world.*width 0\.25, got 1\.0; set clip_width: 0\.25"):
        build_network("c3d", "world", width=1.0)
    with pytest.raises(
        WeightsError, match=r"resnext3d_weights: 'world' weights ship for .*; give the path of 3D ResNeXt-101 .*obtain"
    ):
        build_network("resnext3d", "world", width=WORLD_WIDTH)


@pytest.mark.parametrize("name", ["c3d", "i3d_rgb", "i3d_flow"])
def test_the_shipped_weights_load_and_see_clips(name):
    assert weights_file(name, "world").stat().st_size < 3e6
    network = build_network(name, "world", width=WORLD_WIDTH, size=64)
    picture = np.kron(np.random.default_rng(0).integers(40, 220, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    moving = np.stack([[picture] * 16, [np.roll(picture, 3 * frame, axis=1) for frame in range(16)]])
    with torch.no_grad():
        still, seen = network(preprocess(moving, name))
    assert torch.isfinite(seen).all() and (still - seen).norm() > 0.05 * still.norm()
    assert seen.abs().max() < 1000  # features are kept in half precision
    assert len(weights_digest(name, "world")) == 20


# --- the networks ---


@pytest.mark.parametrize("name", VIDEO_NETWORKS)
@pytest.mark.parametrize(("width", "side", "frames"), [(0.25, 64, 16), (0.1, 40, 20)])
def test_narrow_networks_take_small_clips(name, width, side, frames):
    network = build_network(name, "random", width=width, size=side, frames=frames)
    batch = clips(name, side, frames=frames)
    with torch.no_grad():
        maps, pooled = network.features(batch), network(batch)
    assert pooled.shape == (2, network.feature_dim)
    assert maps.ndim == 5 and not torch.allclose(pooled[0], pooled[1])
    if name != "c3d":
        assert torch.allclose(pooled, maps.mean(dim=(2, 3, 4)), atol=1e-6)


@pytest.mark.parametrize("name", VIDEO_NETWORKS)
def test_the_target_layer_sees_the_last_maps_and_their_gradient(name):
    network = build_network(name, "random", width=0.125, size=64)
    seen = {}
    network.target_layer.register_forward_hook(lambda module, inputs, output: seen.update(maps=output))
    batch = clips(name, 64, 1)
    gradient = torch.autograd.grad(network(batch).sum(), seen["maps"])[0]
    assert torch.equal(seen["maps"], network.features(batch))
    if name == "c3d":  # pool5 takes the largest of each window that it sees
        assert gradient.sum() == network.feature_dim
    else:
        assert torch.allclose(gradient, torch.tensor(1.0 / gradient[0, 0].numel()))


def test_a_clip_too_short_for_c3d_is_refused():
    for size, frames in ((112, 12), (8, 16)):
        with pytest.raises(ValueError, match="at least 16 frames of 16 px"):
            build_network("c3d", "random", size=size, frames=frames)


@given(st.integers(1, 50), st.integers(1, 7), st.integers(1, 3))
def test_same_padding_is_tensorflows(size, kernel, stride):
    """ceil(size / stride) outputs, with no more padding than they need, the odd one at the end."""
    before, after = same_padding((size,), (kernel,), (stride,))
    outputs = math.ceil(size / stride)
    assert before + after == max((outputs - 1) * stride + kernel - size, 0)
    assert after - before in (0, 1)


def test_preprocessing_is_each_networks_own():
    pixels = np.zeros((1, 1, 1, 1, 3), np.uint8)
    pixels[..., :] = (255, 128, 1)
    assert preprocess(pixels, "c3d").flatten().tolist() == [255, 128, 1]
    assert np.allclose(preprocess(pixels, "i3d_rgb").flatten(), [1, 1 / 255, 2 / 255 - 1], atol=1e-6)
    assert preprocess(pixels, "i3d_flow").flatten().tolist() == [1.0, 0.0]  # +20 px to the right, none downwards
    assert np.allclose(preprocess(pixels, "resnext3d").flatten(), [255 - 114.7748, 128 - 107.7354, 1 - 99.475])
    block = np.arange(2 * 16 * 4 * 4 * 3).reshape(2, 16, 4, 4, 3).astype(np.uint8)
    moved = preprocess(block, "c3d")
    assert (
        moved.shape == (2, 3, 16, 4, 4)
        and moved.dtype == torch.float32
        and moved[1, 2, 5, 3, 1] == block[1, 5, 3, 1, 2]
    )
    for bad in (block[0], block.astype(np.float32), block[..., :2]):
        with pytest.raises(ValueError, match="uint8 clips"):
            preprocess(bad, "c3d")


def test_random_weights_follow_their_seed_and_leave_the_callers_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (
        build_network("i3d_flow", "random", width=0.125, seed=seed).Conv3d_1a_7x7.conv3d.weight for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert weights_digest("i3d_flow", "random", 1) != weights_digest("i3d_flow", "random", 2)
