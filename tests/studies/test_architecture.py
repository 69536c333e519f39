"""The figure's numbers come from the network: what hooks see must be what the modules are."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import nn

mpl.use("Agg")
from drawn import assert_readable, words

from vadkit.core.parameters import make_config
from vadkit.models.two_stream import Head, TwoStream
from vadkit.studies.architecture import draw, rows, trace

pytestmark = pytest.mark.usefixtures("figures_close")


class Toy(nn.Module):
    """Two sizes of maps, in two or three dimensions; D features."""

    name = "toy"

    def __init__(self, features: int = 12, channels: int = 3, volume: bool = False):
        super().__init__()
        conv, norm, pool = (
            (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d) if volume else (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        )
        self.feature_dim = features
        self.body = nn.Sequential(
            conv(channels, 6, 3, padding=1),
            norm(6),
            nn.ReLU(),
            pool(2),
            conv(6, features, 3, padding=1, bias=False),
            norm(features),
        )

    def forward(self, images):
        return self.body(images).flatten(2).mean(dim=2)


def two_stream(streams=2, bag=True, output="sigmoid"):
    torch.manual_seed(0)
    return TwoStream([Toy() for _ in range(streams)], Head(12 * streams, use_bag=bag, width=20, output=output))


@pytest.mark.parametrize(("streams", "bag"), [(1, False), (1, True), (2, False), (2, True)])
def test_counts_and_shapes_are_those_of_the_network(streams, bag):
    model = two_stream(streams, bag)
    found = trace(
        model, [torch.zeros(1, 3, 16, 16)] * streams, torch.zeros(1, 80) if bag else None, ["frame", "flow"][:streams]
    )
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert (
        found.stream_parameters
        == sum(parameters for stream in found.streams for _, parameters in stream.stages)
        == sum(p.numel() for p in model.backbones.parameters())
    )
    assert found.bag == (80 if bag else 0) and found.inputs == 12 * streams + found.bag
    assert [(layer.inputs, layer.outputs) for layer in found.layers] == [
        (found.inputs, 20),
        (20, 20),
        (20, 1),
    ] and found.output == "sigmoid"
    assert found.layers[0].parameters == found.inputs * 20 + 20 and found.layers[0].name == "Linear, ReLU, Dropout(0.5)"
    stream = found.streams[0]
    assert (stream.name, stream.network, stream.shape, stream.features) == ("frame", "toy", (3, 16, 16), 12)
    assert [shape for shape, _ in stream.stages] == [(6, 16, 16), (12, 8, 8)]
    assert [parameters for _, parameters in stream.stages] == [3 * 6 * 9 + 6 + 12, 6 * 12 * 9 + 24]


def test_the_model_is_left_as_it_was():
    model = two_stream().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace(model, [torch.rand(2, 3, 16, 16)] * 2, torch.ones(2, 80))
    assert model.training and all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="bags of shape"):
        trace(model, [torch.rand(2, 3, 16, 16)] * 2)
    assert not any(module._forward_hooks for module in model.modules())


def test_clips_pass_through_the_same_function():
    model = TwoStream([Toy(volume=True)], Head(12, use_bag=False, width=8, output="softmax"))
    found = trace(model, [torch.zeros(1, 3, 8, 16, 16)], names=["rgb"])
    assert found.streams[0].shape == (3, 8, 16, 16) and found.streams[0].stages[-1][0] == (12, 4, 8, 8)
    assert found.output == "softmax" and found.bag == 0
    assert {"8×16×16\n× 6\n" + str(3 * 6 * 27 + 6 + 12), "softmax"} <= set(words(draw(found)))


@pytest.mark.parametrize(("streams", "bag"), [(1, False), (1, True), (2, True), (3, True)])
def test_the_drawing_says_what_was_traced_and_can_be_read(streams, bag):
    names = ["frame", "flow", "speed"][:streams]
    found = trace(
        two_stream(streams, bag), [torch.zeros(1, 3, 16, 16)] * streams, torch.zeros(1, 80) if bag else None, names
    )
    figure = draw(found, {"frame": np.zeros((16, 16, 3), np.uint8)}, title="2S-bag")
    texts = words(figure)
    assert any("bag of objects: 80 counts" in t for t in texts) == bag
    assert any(f"in {streams} stream" in t and t.endswith("in all") for t in texts)
    assert sum(t.startswith("toy: ") for t in texts) == streams and str(found.inputs) in texts
    assert_readable(figure)


def test_rows_hold_the_counts_and_what_the_paper_says_of_the_classifier():
    found = {
        name: trace(
            two_stream(streams, bag), [torch.zeros(1, 3, 16, 16)] * streams, torch.zeros(1, 80) if bag else None
        )
        for name, streams, bag in (("2S-bag", 2, True), ("1S-no-bag", 1, False))
    }
    saved = {(r.item, r.system, r.metric): r for r in rows(make_config({}), found)}
    assert saved["figure 1", "2S-bag", "joined_features"].value == 104
    assert saved["figure 1", "1S-no-bag", "parameters"].value == sum(
        p.numel() for p in two_stream(1, False).parameters()
    )
    neurons = saved["section 3.2", "classifier", "hidden_neurons"]
    assert (neurons.value, neurons.published, neurons.verdict) == (20, "4096", "not comparable")
    assert saved["section 3.2", "classifier", "hidden_layers"].value == 2
