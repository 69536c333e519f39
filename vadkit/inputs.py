"""What a system sees of a video: its samples, the pretrained networks that look at them, and the features they make.

Two kinds, by `System.network`: single frames with their flow images (`FrameInputs`), and clips for 3D networks
(`ClipInputs`). The experiment trains, scores and remembers both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vadkit.clip_features import CODE as CLIPS_CODE
from vadkit.clip_features import clip_features, extract_clip_features
from vadkit.clips import BAGS, Clips, extract_clips
from vadkit.config import Config
from vadkit.corpora import Problem, Video
from vadkit.errors import ConfigError, WeightsError
from vadkit.features import CODE as FRAMES_CODE
from vadkit.features import extract_features, pooled
from vadkit.models import backbones
from vadkit.samples import Samples, extract
from vadkit.systems import System

Progress = Callable[[int, int, str], None]

C3D_FRAMES = 16  # its five poolings leave one step of time
PIXELS_AT_ONCE = 64 * 224 * 224  # of clips, in phase two: about four gigabytes with gradients


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
        from vadkit.models import video

        return video.build_video_network(self.name, self.weights, width=self.width, size=self.size, device=device)

    def preprocess(self, images: np.ndarray) -> Tensor:
        """Images (n, S, S, 3), or clips (n, T, S, S, 3), uint8 RGB, as the network was trained to see them."""
        if self.width is None:
            return backbones.preprocess(images, self.name)
        from vadkit.models import video

        return video.preprocess_clips(images, self.name)


def network_of(name: str, weights: str, width: float | None = None, size: int | None = None) -> Network:
    """The network with those weights, as they are now."""
    if width is None:
        return Network(name, weights, backbones.weights_digest(name, weights))
    from vadkit.models import video

    return Network(name, weights, video.video_weights_digest(name, weights), width, size)


@dataclass(frozen=True)
class FrameInputs:
    """Frames, flow images and bags of objects: the paper's own systems (section 3)."""

    config: Config
    system: System

    code = FRAMES_CODE
    image_rows = 64  # at once

    @cached_property
    def networks(self) -> dict[str, Network]:
        """By stream."""
        return {
            stream: network_of(self.config.backbone, self.config.backbone_weights)
            for stream in self.system.stream_names(self.config)
        }

    def extract(
        self, videos: Sequence[Video], purpose: str, progress: Progress | None
    ) -> tuple[list[Samples], list[Problem]]:
        return extract(videos, self.config, progress, purpose=purpose)

    def extract_features(self, samples: Sequence[Samples], progress: Progress | None) -> None:
        extract_features(samples, tuple(self.networks), self.config, progress)

    def features(self, one: Samples, rows: np.ndarray) -> np.ndarray:
        """Pooled features of the given rows, streams side by side. Shape: -> (k, D) float16."""
        return np.concatenate([pooled(one, stream, self.config)[rows] for stream in self.networks], axis=1)


@dataclass(frozen=True)
class ClipInputs:
    """Clips of 16 frames, for C3D (section 4.5) and the two-stream I3D (section 4.6)."""

    config: Config
    system: System

    code = CLIPS_CODE

    @cached_property
    def networks(self) -> dict[str, Network]:
        """By stream. Raises ConfigError where C3D is to see clips of another length than it was made for."""
        c = self.config
        if self.system.network == "c3d":
            if c.clip_frames != C3D_FRAMES:
                raise ConfigError(
                    f"C3D takes clips of {C3D_FRAMES} frames, clip_frames is {c.clip_frames}; set clip_frames: {C3D_FRAMES}"
                )
            return {"rgb": network_of("c3d", c.c3d_weights, c.clip_width, c.c3d_size)}
        weights = {"rgb": c.i3d_rgb_weights, "flow": c.i3d_flow_weights}
        return {stream: network_of(f"i3d_{stream}", weights[stream], c.clip_width, c.i3d_size) for stream in weights}

    @property
    def size(self) -> int:
        return self.config.c3d_size if self.system.network == "c3d" else self.config.i3d_size

    @property
    def every(self) -> int:
        """Analysed frames that share a clip."""
        return self.config.i3d_score_every if self.system.network == "i3d" else 1

    @property
    def image_rows(self) -> int:
        """Clips that phase two, and scoring after it, hold in memory at once."""
        return max(1, PIXELS_AT_ONCE // (self.config.clip_frames * self.size**2))

    def extract(
        self, videos: Sequence[Video], purpose: str, progress: Progress | None
    ) -> tuple[list[Clips], list[Problem]]:
        streams = (*self.networks, BAGS) if self.system.bag else tuple(self.networks)
        return extract_clips(videos, self.config, self.size, streams, progress, purpose=purpose, every=self.every)

    def extract_features(self, samples: Sequence[Clips], progress: Progress | None) -> None:
        extract_clip_features(samples, self.networks, self.config, progress)

    def features(self, one: Clips, rows: np.ndarray) -> np.ndarray:
        """Features of the given clips, streams side by side. Shape: -> (k, D) float16."""
        return np.concatenate(
            [clip_features(one, stream, network, self.config)[rows] for stream, network in self.networks.items()],
            axis=1,
        )


class TubeInputs(ClipInputs):
    """Clips of windows of the frame, which `vadkit.tube_systems` cuts: how large they are depends on the training videos."""

    def extract(
        self, videos: Sequence[Video], purpose: str, progress: Progress | None
    ) -> tuple[list[Clips], list[Problem]]:
        raise ConfigError(
            f"{self.system.name} sees windows as large as its training tubes; they are cut for the corpus's own lists only. Score other videos with full-I3D"
        )


Inputs = FrameInputs | ClipInputs


def inputs_of(config: Config, system: System) -> Inputs:
    """What the system sees under these parameters."""
    if system.network == "two_stream":
        return FrameInputs(config, system)
    return (ClipInputs if system.view == "full" else TubeInputs)(config, system)


def remembered(networks: dict[str, Network]) -> list[dict[str, Any]]:
    """Networks as a model's file holds them; `recalled` reads them."""
    return [{"stream": stream, **asdict(network)} for stream, network in networks.items()]


def recalled(lines: Sequence[dict[str, Any]]) -> dict[str, Network]:
    return {line["stream"]: Network(**{k: v for k, v in line.items() if k != "stream"}) for line in lines}


def as_tensors(networks: dict[str, Network], images: dict[str, np.ndarray], device: torch.device | str) -> list[Tensor]:
    """Preprocessed images of each stream. Raises KeyError for a stream without images."""
    return [network.preprocess(images[stream]).to(device) for stream, network in networks.items()]
