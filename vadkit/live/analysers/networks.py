"""The first paper's systems: a confidence at every analysed frame, looking back only, in constant memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError
from vadkit.live.analysers.base import NO_BOXES, Analyser, Reading
from vadkit.live.analysers.rows import ClipRows, Rows, padded
from vadkit.models.backbones import fused
from vadkit.models.network import Network, as_tensors
from vadkit.models.two_stream import confidence
from vadkit.systems.inputs import inputs_of
from vadkit.systems.record import TrainedModel
from vadkit.systems.scorer import Scorer, load_model
from vadkit.views.objects import COCO_CLASSES, Detector


def pooled_now(
    modules: Sequence[torch.nn.Module], networks: Mapping[str, Network], images: Mapping[str, np.ndarray]
) -> torch.Tensor:
    """Features of one row as they are stored for training, in half precision, streams side by side. Shape: -> (1, D).

    modules: the built networks, in the order of the streams; images: of each stream, without the axis of rows.
    """
    device = next(modules[0].parameters()).device
    tensors = as_tensors(networks, {stream: images[stream][None] for stream in networks}, device)
    return torch.cat([module(one) for module, one in zip(modules, tensors, strict=True)], dim=1).half()


class NetworkAnalyser(Analyser):
    """What the trained network sees of every analysed frame, images or clips and the bag of objects, looking back only."""

    def __init__(
        self, config: Config, scorer: Scorer, fps: float, finetuned: bool = False, detector: Detector | None = None
    ):
        super().__init__(config, fps)
        self.scorer, self.finetuned, self.detector = scorer, finetuned, detector
        self._clips = scorer.system.network != "two_stream"
        sizes = {stream: network.size for stream, network in scorer.networks.items()}
        self.rows = (
            ClipRows(config, fps, sizes, inputs_of(config, scorer.system).every) if self._clips else Rows(config, fps)
        )
        self._modules = (
            [network if self._clips else fused(network) for network in scorer.model.backbones] if not finetuned else []
        )
        self._device = next(scorer.model.parameters()).device
        self._bags: deque[np.ndarray] = deque(maxlen=config.clip_frames if self._clips else 1)  # of a clip's frames
        self._boxes, self._seen, self._value = NO_BOXES, None, 0.0

    def wants(self, number: int) -> bool:
        return self.rows.wants(number)

    def see(self, number: int, frame: np.ndarray) -> Reading | None:
        if not self.wants(number):
            return None
        with self._timed("flow"):
            images = self.rows.images(number, frame)
        if self.rows.keeps(number) if self._clips else images is not None:
            self._detect(frame)
        if images is None:
            return None
        self.analysed += 1
        if images is not self._seen:  # else the row shares its clip, and so its confidence
            self._seen, self._value = images, self._confidence(images)
        return self._reading(number, self._value, self._boxes)

    def _detect(self, frame: np.ndarray) -> None:
        with self._timed("detector"):
            self._boxes = NO_BOXES if self.detector is None else self.detector.detect(frame)
        self._bags.append(
            np.bincount(self._boxes[:, 5].astype(np.int64), minlength=len(COCO_CLASSES)).astype(np.float32)
        )

    def _confidence(self, images: dict[str, np.ndarray]) -> float:
        bag = np.stack(padded(self._bags, self._bags.maxlen))[None] if self._clips else self._bags[-1][None]
        if self.finetuned:
            with self._timed("backbone"):
                return float(self.scorer.confidence({name: image[None] for name, image in images.items()}, bag)[0])
        with torch.inference_mode():
            with self._timed("backbone"):
                features = pooled_now(self._modules, self.scorer.networks, images)
            with self._timed("head"):
                return float(confidence(self.scorer.model.head(features, torch.as_tensor(bag, device=self._device)))[0])


def analyser_of(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> NetworkAnalyser:
    """With the model and detector loaded; a file and a stream are seen alike."""
    scorer = load_model(trained.path, device_of(config))
    if scorer.system.view != "full":
        raise ConfigError(
            f"{trained.system} sees windows as large as its training tubes, cut for the corpus's own videos; score other videos with full-I3D"
        )
    finetuned = json.loads((trained.path / "model.json").read_text())["finetuned"]
    return NetworkAnalyser(config, scorer, fps, finetuned, Detector(config) if scorer.system.bag else None)
