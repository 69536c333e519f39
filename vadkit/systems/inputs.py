"""What a system sees of a video: its samples, the pretrained networks that look at them, and the features they make.

Two kinds, by `System.network`: single frames with their flow images (`FrameInputs`), and clips for 3D networks
(`ClipInputs`). The experiment trains, scores and remembers both alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError
from vadkit.core.progress import Progress
from vadkit.corpora.video import Problem, Video
from vadkit.models.network import Network, network_of
from vadkit.models.pretrained import clip_networks
from vadkit.systems.base import System
from vadkit.views.clips import BAGS, Clips, extract_clips
from vadkit.views.features import extract_features, features_of, pooled
from vadkit.views.frames import Samples, extract

PIXELS_AT_ONCE = 64 * 224 * 224  # of clips, in phase two: about four gigabytes with gradients


@dataclass(frozen=True)
class FrameInputs:
    """Frames, flow images and bags of objects: the paper's own systems (section 3)."""

    config: Config
    system: System

    image_rows = 64  # at once

    @cached_property
    def networks(self) -> dict[str, Network]:
        """By stream."""
        return {
            stream: network_of(self.config, self.config.backbone) for stream in self.system.stream_names(self.config)
        }

    def extract(
        self, videos: Sequence[Video], purpose: str, progress: Progress | None
    ) -> tuple[list[Samples], list[Problem]]:
        return extract(videos, self.config, progress, purpose=purpose)

    def extract_features(self, samples: Sequence[Samples], progress: Progress | None) -> None:
        extract_features(samples, self.networks, self.config, progress)

    def features(self, one: Samples, rows: np.ndarray) -> np.ndarray:
        """Pooled features of the given rows, streams side by side. Shape: -> (k, D) float16."""
        return np.concatenate([pooled(one, stream, self.config)[rows] for stream in self.networks], axis=1)


@dataclass(frozen=True)
class ClipInputs:
    """Clips of 16 frames, for C3D (section 4.5) and the two-stream I3D (section 4.6)."""

    config: Config
    system: System

    @cached_property
    def networks(self) -> dict[str, Network]:
        """By stream. Raises ConfigError where C3D is to see clips of another length than it was made for."""
        names = clip_networks(self.system.network)
        return {stream: network_of(self.config, name) for stream, name in names.items()}

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
        extract_features(samples, self.networks, self.config, progress)

    def features(self, one: Clips, rows: np.ndarray) -> np.ndarray:
        """Features of the given clips, streams side by side. Shape: -> (k, D) float16."""
        return np.concatenate(
            [features_of(one, stream, network, self.config)[rows] for stream, network in self.networks.items()],
            axis=1,
        )


class TubeInputs(ClipInputs):
    """Clips of windows of the frame, which `vadkit.systems.tubes` cuts: how large they are depends on the training videos."""

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
