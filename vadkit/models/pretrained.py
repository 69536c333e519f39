"""A stream's pretrained network, as a trained model remembers it: which, with which weights, and what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vadkit.core.errors import WeightsError
from vadkit.models import backbones


@dataclass(frozen=True)
class Network:
    """One stream's pretrained network, as a trained model remembers it.

    weights: as its parameter says; digest: what they were. width and size: of 3D networks, their share of channels and
    the side of their input in pixels.
    """

    name: str
    weights: str
    digest: str
    width: float | None = None
    size: int | None = None

    def build(self, device: str = "cpu") -> nn.Module:
        """The network in evaluation mode. Raises WeightsError where its weights are no longer those of `digest`."""
        now = network_of(self.name, self.weights, self.width, self.size)
        if now.digest != self.digest:
            raise WeightsError(
                f"{self.name} weights of the training were {self.digest}, '{self.weights}' now gives {now.digest}; put the former weights back, or train again"
            )
        if self.width is None:
            return backbones.build_backbone(self.name, self.weights, device)
        from vadkit.models import video_networks as video

        return video.build_video_network(self.name, self.weights, width=self.width, size=self.size, device=device)

    def preprocess(self, images: np.ndarray) -> Tensor:
        """Images (n, S, S, 3), or clips (n, T, S, S, 3), uint8 RGB, as the network was trained to see them."""
        if self.width is None:
            return backbones.preprocess(images, self.name)
        from vadkit.models import video_networks as video

        return video.preprocess_clips(images, self.name)


def network_of(name: str, weights: str, width: float | None = None, size: int | None = None) -> Network:
    """The network with those weights, as they are now."""
    if width is None:
        return Network(name, weights, backbones.weights_digest(name, weights))
    from vadkit.models import video_networks as video

    return Network(name, weights, video.video_weights_digest(name, weights), width, size)


def remembered(networks: dict[str, Network]) -> list[dict[str, Any]]:
    """Networks as a model's file holds them; `recalled` reads them."""
    return [{"stream": stream, **asdict(network)} for stream, network in networks.items()]


def recalled(lines: Sequence[dict[str, Any]]) -> dict[str, Network]:
    return {line["stream"]: Network(**{k: v for k, v in line.items() if k != "stream"}) for line in lines}


def as_tensors(networks: dict[str, Network], images: dict[str, np.ndarray], device: torch.device | str) -> list[Tensor]:
    """Preprocessed images of each stream. Raises KeyError for a stream without images."""
    return [network.preprocess(images[stream]).to(device) for stream, network in networks.items()]
