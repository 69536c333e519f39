"""A pretrained network as a trained model remembers it, and building it: no classifier, checked weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vadkit.core.compute import to_device
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.models import c3d
from vadkit.models.backbones import Backbone
from vadkit.models.pretrained import RESNET_URL, row_of, weights_digest, weights_file
from vadkit.models.weights import COUNTERS, check_state, read_state

CLASSIFIERS = ("fc.", "_fc.")  # of networks of images
INT8 = "openvino-int8"  # the one engine whose features are others than torch's


@dataclass(frozen=True)
class Network:
    """One stream's pretrained network, as a trained model remembers it. weights: as its parameter says; digest: what
    they were; width, size: of 3D networks, share of channels, input side; engine: int8's, whose features differ."""

    name: str
    weights: str
    digest: str
    width: float | None = None
    size: int | None = None
    engine: str | None = None

    def build(self, device: str = "cpu") -> nn.Module:
        """The network in evaluation mode. Raises WeightsError where its weights are no longer those of `digest`."""
        now = weights_digest(self.name, self.weights)
        if now != self.digest:
            facts = f"weights of the training were {self.digest}, '{self.weights}' now gives {now}"
            raise WeightsError(f"{self.name} {facts}; put the former weights back, or train again")
        return build_network(self.name, self.weights, width=self.width or 1.0, size=self.size or 112).to(device)

    def preprocess(self, images: np.ndarray) -> Tensor:
        """`preprocess` for this network."""
        return preprocess(images, self.name)


def network_of(config: Config, name: str) -> Network:
    """A network under these parameters. Raises as `weights_file`, and ConfigError for clips of another length."""
    row = row_of(name)
    weights, engine = getattr(config, row.weights), INT8 if config.inference == INT8 else None
    if not row.kind:
        return Network(name, weights, weights_digest(name, weights), engine=engine)
    if row.frames not in (None, config.clip_frames):
        facts = f"takes clips of {row.frames} frames, clip_frames is {config.clip_frames}"
        raise ConfigError(f"{row.title.partition(' (')[0]} {facts}; set clip_frames: {row.frames}")
    return Network(name, weights, weights_digest(name, weights), config.clip_width, getattr(config, row.size), engine)


def remembered(networks: Mapping[str, Network]) -> list[dict[str, Any]]:
    """Networks as a model's file holds them; `recalled` reads them."""
    return [{"stream": stream, **asdict(network)} for stream, network in networks.items()]


def recalled(lines: Sequence[dict[str, Any]]) -> dict[str, Network]:
    """The networks of a model's file, by stream."""
    return {line["stream"]: Network(**{k: v for k, v in line.items() if k != "stream"}) for line in lines}


def as_tensors(networks: Mapping[str, Network], images: Mapping[str, np.ndarray], device: str) -> list[Tensor]:
    """Preprocessed images of each stream. Raises KeyError for a stream without images."""
    return [to_device(network.preprocess(images[stream]), device) for stream, network in networks.items()]


def preprocess(images: np.ndarray, name: str) -> Tensor:
    """Images, or clips for a 3D network, as its weights were trained to see them.

    Shape: (n, S, S, 3) uint8 RGB -> (n, 3, S, S), or (n, T, S, S, 3) uint8 -> (n, 3, T, S, S); float32, channels last
    in memory; of flow only the first two channels. Raises ValueError for another shape or type.
    """
    row = row_of(name)
    shape, what = ("(n, T, S, S, 3)", "uint8 clips") if row.kind else ("(n, S, S, 3)", "uint8 RGB images")
    if images.dtype != np.uint8 or images.ndim != shape.count(",") + 1 or images.shape[-1] != 3:
        raise ValueError(f"expected {shape} {what}, got {images.shape} {images.dtype}")
    pixels = torch.from_numpy(np.ascontiguousarray(images[..., : row.channels])).float()
    return row.normalise(pixels).movedim(-1, 1)


def build_network(name: str, weights="imagenet", *, width=1.0, size=112, frames=16, seed=0) -> nn.Module:
    """A network in evaluation mode, channels last.

    weights: "imagenet" (of images), "world" (of clips, at WORLD_WIDTH), a path to the published file or to a state dict
    of this network, or "random" (tests only; the same for the same seed). width: of a 3D network; size and frames: of
    its clips, which decide C3D's number of features. Raises ConfigError for an unknown name or a width that the weights
    do not have, WeightsError for weights that are missing, damaged or another network's, with the first differences.
    """
    row = row_of(name)
    state = None if weights == "random" else _read(name, weights, width)  # refused before anything is built
    with torch.random.fork_rng(devices=[]):  # building draws initial weights; the caller's generator stays as it was
        torch.manual_seed(seed)
        network = row.build(width, size, frames)
    if state is not None:
        network.load_state_dict(state, strict=False)  # `_read` has checked; a classifier is left out
    if row.kind:
        return network.eval().to(memory_format=torch.channels_last_3d)
    return Backbone(network).eval().to(memory_format=torch.channels_last)


def published_shapes(name: str, width: float = 1.0) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a network's file, without batch normalisation's counters and images' classes.
    Published files, of width 1, hold a 3D network's classifier as well."""
    with torch.device("meta"):
        network = row_of(name).build(width, 112, 16)
    beside = getattr(network, "CLASSIFIER", {}) if width == 1.0 else {}
    own = {key: tuple(value.shape) for key, value in network.state_dict().items() if not key.startswith(CLASSIFIERS)}
    return {key: shape for key, shape in own.items() if not key.endswith(COUNTERS)} | beside


def _read(name: str, weights: str, width: float) -> dict[str, Tensor]:
    """The tensors of the file, checked with all that should be in it."""
    row, path = row_of(name), weights_file(name, weights, width)
    if not path.is_file():
        _download(name, path)
    title, advice = row.title, row.obtain
    if width != 1.0:
        title = f"{name} at width {width}"
        advice = f"the network was asked for at width {width} (clip_width); published weights have width 1"
    state, expected = read_state(path, title, advice), published_shapes(name, width)
    if not row.kind:
        state = {key: value for key, value in state.items() if not key.startswith(CLASSIFIERS)}
    if name == "c3d" and (renamed := c3d.from_openmmlab(state)).keys() != state.keys():
        state = renamed
        expected = {key: shape for key, shape in expected.items() if not key.startswith("fc8.")}
    check_state(state, expected, path, title, advice)
    return state


def _download(name: str, path: Path) -> None:
    """Fetch torchvision's published file into torch's cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    url, head = RESNET_URL + path.name, path.stem.rpartition("-")[2]
    try:
        torch.hub.download_url_to_file(url, str(path), head, progress=False)
    except (OSError, RuntimeError) as error:  # no network, or another content than the name's
        what = f"ImageNet weights could not be loaded ({type(error).__name__}: {error})"
        remedy = f"download {url} on a machine with a network and put it at {path}, or give backbone_weights its path"
        other = "set backbone: efficientnet_lite0, whose weights come with a package"
        raise WeightsError(f"{name}: {what}; {remedy}, or {other}") from None
