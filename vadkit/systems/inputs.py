"""What networks get to see of videos: the views, the pretrained networks that look at them, and the features they make.

Two kinds: single frames with their flow images (`FrameInputs`), and clips for 3D networks (`ClipInputs`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Seen, Video
from vadkit.models.network import Network
from vadkit.views.clips import BAGS, extract_clips
from vadkit.views.features import extract_features, features_of
from vadkit.views.frames import extract
from vadkit.views.view import View

PIXELS_AT_ONCE = 64 * 224 * 224  # of clips, in phase two: about four gigabytes with gradients


@dataclass(frozen=True)
class FrameInputs:
    """Frames, flow images and bags of objects (section 3). networks: by stream."""

    config: Config
    networks: Mapping[str, Network]

    every = 1  # analysed frames that share what is seen
    image_rows = 64  # that phase two, and scoring after it, hold in memory at once

    def extract(self, videos: Sequence[Video], purpose: str, progress: Progress | None = None) -> Seen:
        return extract(videos, self.config, progress, purpose=purpose)

    def extract_features(self, views: Sequence[View], progress: Progress | None = None) -> None:
        extract_features(views, self.networks, self.config, progress)

    def features(self, view: View, rows: np.ndarray) -> np.ndarray:
        """Features of the given rows, streams side by side. Shape: -> (k, D) float16."""
        parts = [features_of(view, stream, network, self.config) for stream, network in self.networks.items()]
        return np.concatenate([part[rows] for part in parts], axis=1)


@dataclass(frozen=True)
class ClipInputs(FrameInputs):
    """Clips for C3D (section 4.5), I3D (section 4.6) or 3D ResNeXt."""

    every: int = 1
    bags: bool = False

    @property
    def size(self) -> int:
        """Side of the clips in pixels."""
        return next(iter(self.networks.values())).size

    @property
    def image_rows(self) -> int:
        return max(1, PIXELS_AT_ONCE // (self.config.clip_frames * self.size**2))

    def extract(self, videos: Sequence[Video], purpose: str, progress: Progress | None = None) -> Seen:
        streams = (*self.networks, BAGS) if self.bags else tuple(self.networks)
        return extract_clips(videos, self.config, self.size, streams, progress, purpose=purpose, every=self.every)
