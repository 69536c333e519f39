"""The network: shapes, ranges, what is frozen, what it refuses; and the list of systems."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vadkit.core.errors import ConfigError
from vadkit.core.parameters import make_config
from vadkit.models.two_stream import Head, TwoStream, confidence, sample_losses
from vadkit.systems import two_stream
from vadkit.systems.base import find_system


def tiny_backbone(dim: int = 6) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, dim, 3), nn.BatchNorm2d(dim), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def tiny_model(streams: int = 2, **options) -> TwoStream:
    torch.manual_seed(0)
    return TwoStream([tiny_backbone() for _ in range(streams)], Head(6 * streams, width=16, **options))


def inputs(n: int = 5):
    generator = torch.Generator().manual_seed(1)
    frames, flows = torch.rand(2, n, 3, 8, 8, generator=generator)
    return frames, flows, torch.randint(0, 4, (n, 80), generator=generator).float()


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("bag", [True, False])
@pytest.mark.parametrize(("output", "logits"), [("sigmoid", 1), ("softmax", 2)])
def test_a_confidence_in_the_unit_interval_for_every_variant(streams, bag, output, logits):
    model = tiny_model(streams, use_bag=bag, output=output).eval()
    frames, flows, bags = inputs()
    out = model([frames, flows][:streams], bags if bag else None)
    assert out.shape == (5, logits)
    scores = confidence(out)
    assert scores.shape == (5,) and scores.min() >= 0 and scores.max() <= 1


def test_the_head_alone_agrees_with_the_whole_network():
    model = tiny_model().eval()
    frames, flows, bags = inputs()
    with torch.no_grad():
        assert torch.equal(model([frames, flows], bags), model.head(model.pooled([frames, flows]), bags))


@pytest.mark.parametrize(("streams", "stream"), [(1, 0), (2, 0), (2, 1), (3, 2)])
def test_every_input_reaches_the_output(streams, stream):
    model = tiny_model(streams).eval()
    frames, flows, bags = inputs()
    given = [*(frames, flows, frames + 2)[:streams], bags]
    for changed in (stream, streams):  # an image, and the bag
        other = list(given)
        other[changed] = other[changed] + 1
        assert not torch.allclose(model(given[:-1], given[-1]), model(other[:-1], other[-1]))


def test_the_standard_scale_is_that_of_the_samples_it_was_fitted_to():
    generator = torch.Generator().manual_seed(3)
    features, bags = torch.rand(200, 12, generator=generator) * torch.logspace(-2, 1, 12), inputs(200)[2]
    features[:, 5] = 0.25  # says nothing
    head = Head(12, width=8, feature_scale="standard").eval()
    head.fit(features, bags)
    seen = []
    head.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    head(features, bags)
    head(features * 1e6, bags)
    varying = seen[0].std(dim=0) > 0
    assert varying.sum() == 12 - 1 + 80 and torch.allclose(seen[0].mean(dim=0), torch.zeros(92), atol=0.1)
    assert seen[0][:, 5].abs().max() == 0 and seen[1].abs().max() == 5
    loaded = Head(12, width=8, feature_scale="standard").eval()
    loaded.load_state_dict(head.state_dict())
    assert torch.equal(loaded(features, bags), head(features, bags))


def test_two_logits_and_one_give_the_same_confidence_for_the_same_margin():
    one = torch.tensor([[-2.0], [0.0], [3.0]])
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    assert torch.allclose(confidence(one), confidence(two))


def test_losses_of_one_logit_and_of_two_agree():
    logits, labels = torch.tensor([[-1.5], [0.2], [40.0], [-40.0]]), torch.tensor([0, 1, 0, 1])
    one, two = sample_losses(logits, labels), sample_losses(torch.cat([torch.zeros_like(logits), logits], 1), labels)
    assert torch.allclose(one, two) and torch.isfinite(one).all()
    assert one[0].item() == pytest.approx(math.log(1 + math.exp(-1.5)))


def test_log_bags_are_less_steep_than_raw_ones():
    raw, log = Head(4, width=8, bag_scale="raw"), Head(4, width=8, bag_scale="log")
    log.load_state_dict(raw.state_dict())
    features, bags = torch.rand(2, 4), torch.full((2, 80), 7.0)
    raw.eval(), log.eval()
    assert torch.allclose(log(features, bags), raw(features, torch.log1p(bags)))
    assert not torch.allclose(log(features, bags), raw(features, bags))


def test_the_papers_head_has_its_size():
    head = Head(2 * 2048, width=4096)
    assert sum(p.numel() for p in head.parameters()) == (4096 + 80 + 1) * 4096 + (4096 + 1) * 4096 + 4096 + 1
    assert [layer.p for layer in head.layers if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_batch_normalisation_stays_as_pretrained():
    model = tiny_model().train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [m.running_mean.clone() for m in norms]
    frames, flows, bags = inputs()
    model([frames, flows], bags).sum().backward()
    assert len(norms) == 2 and model.head.training
    for norm, mean in zip(norms, before, strict=True):
        assert not norm.training and torch.equal(norm.running_mean, mean)
        assert norm.weight.grad is None and not norm.bias.requires_grad
    assert all(m.weight.grad is not None for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def test_what_does_not_fit_is_refused_with_its_shape():
    model = tiny_model()
    frames, flows, bags = inputs()
    with pytest.raises(ValueError, match="2 streams need as many images each, got 5"):
        model([frames], bags)
    with pytest.raises(ValueError, match=r"bags of shape \(5, 80\), got None"):
        model([frames, flows])
    with pytest.raises(ValueError, match=r"\(n, 12\), got \(5, 7\)"):
        model.head(torch.zeros(5, 7), bags)
    with pytest.raises(ValueError, match="a backbone for each stream"):
        TwoStream([], Head(4))
    with pytest.raises(ValueError, match="'sigmoid' or 'softmax'"):
        Head(4, output="tanh")
    with pytest.raises(ValueError, match="'raw' or 'log'"):
        Head(4, bag_scale="sqrt")


def test_the_bags_of_a_clip_go_through_two_convolutions_in_time():
    """Released: Conv1D(80, 3), MaxPool(2), twice, over 16 bags: 16 - 14 - 7 - 5 - 2 frames of 80."""
    torch.manual_seed(0)
    head = Head(12, width=8, bag_frames=16, dropout=0.0).eval()
    assert head.branch.features == 160 and head.layers[0].in_features == 12 + 160
    convolutions = [
        (m.in_channels, m.out_channels, m.kernel_size) for m in head.branch.modules() if isinstance(m, nn.Conv1d)
    ]
    assert convolutions == [(80, 80, (3,)), (80, 80, (3,))]
    features, bags = torch.randn(3, 12), torch.poisson(torch.full((3, 16, 80), 0.5))
    assert head(features, bags).shape == (3, 1)
    for moved in range(14):  # the last two frames are past what whole windows and poolings reach
        other = bags.clone()
        other[0, moved] += 3
        changed = head.branch(other) != head.branch(bags)
        assert changed[0].any() and not changed[1:].any()
    with pytest.raises(ValueError, match=r"bags of shape \(3, 16, 80\), got \(3, 80\)"):
        head(features, bags[:, 0])
    with pytest.raises(ValueError, match="at least 10 frames, got 9"):
        Head(12, bag_frames=9)


def test_the_branchs_output_is_not_standardised_with_the_features():
    """It changes while it learns; a scale fixed before training would not be its own."""
    head = Head(4, width=8, bag_frames=16, feature_scale="standard", bag_scale="log", dropout=0.0).eval()
    head.fit(torch.rand(20, 4), torch.rand(20, 16, 80))
    assert head.center.shape == (4,) and head(torch.rand(2, 4), torch.rand(2, 16, 80)).shape == (2, 1)


def test_the_papers_systems_differ_in_what_their_names_say():
    systems = {system.name: system for system in two_stream.SYSTEMS if not system.on_clips}
    assert {
        "2S-bag",
        "2S-no-bag",
        "2S-bag-no-hm",
        "2S-bag-ha",
        "1S-bag",
        "1S-no-bag",
        "1S-bag-ha",
        "2S-bag-ha-no-es",
    } <= set(systems)
    assert (
        find_system("C3D-ha").hard_only
        and find_system("C3D-ha").hard_mining
        and find_system("C3D-ha").early_stopping
        and not find_system("C3D-ha").bag
    )
    for name, system in systems.items():
        assert system.streams == int(name[0])
        assert tuple(system.needs(make_config({}))) == ("frame", "flow")[: system.streams]
        two_of_motion = make_config({"speed_stream": True, "frame_stream": False})
        assert tuple(system.needs(two_of_motion)) == (("frame",) if system.streams == 1 else ("flow", "speed"))
        assert system.bag == ("no-bag" not in name)
        assert system.hard_mining == ("no-hm" not in name)
        assert system.hard_only == ("-ha" in name)
        assert system.early_stopping == ("no-es" not in name)
        assert system.suspicious == ("suspicious" in name) and system.class_rates == ("class-rates" in name)
    assert find_system("2S-bag-ha-no-es").fixed_epochs == (5, 2)


@pytest.mark.parametrize(
    ("wrong", "near"), [("2s-bag-ha", "2S-bag-ha"), ("2S_bag", "2S-bag"), ("1S-nobag", "1S-no-bag")]
)
def test_an_unknown_system_names_the_nearest(wrong, near):
    with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
        find_system(wrong)


def test_a_name_like_none_lists_them_all():
    with pytest.raises(ConfigError, match="the systems are 2S-bag, "):
        find_system("xyz")
