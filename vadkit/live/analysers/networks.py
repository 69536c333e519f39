"""The first paper's systems: a confidence at every analysed frame, looking back only, in constant memory."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError
from vadkit.live.analysers.base import NO_BOXES, Analyser, Reading
from vadkit.live.analysers.rows import ClipRows, Rows, row_features
from vadkit.models.two_stream import confidence
from vadkit.systems import scorer
from vadkit.systems.record import TrainedModel, read_facts
from vadkit.views.clips import filled
from vadkit.views.objects import COCO_CLASSES, Detector


class NetworkAnalyser(Analyser):
    """What the trained network sees of every analysed frame: images, or clips, and the bag of objects.

    finetuned: it takes images, since its backbones' features are no longer those of the pretrained ones.
    """

    def __init__(self, config: Config, trained: scorer.Scorer, fps: float, finetuned: bool, detector: Detector | None):
        super().__init__(config, fps)
        self.trained, self.finetuned, self.detector = trained, finetuned, detector
        if not trained.system.on_clips:
            self.rows, length = Rows(config, fps), None
        else:
            sizes = {stream: network.size for stream, network in trained.networks.items()}
            self.rows = ClipRows(config, fps, sizes, trained.system.inputs(config).every)
            length = config.clip_frames
        self._device = next(trained.model.parameters()).device
        self._length, self._bags = length, deque(maxlen=length or 1)  # of a clip's frames
        self._boxes, self._seen, self._value = NO_BOXES, None, 0.0
        self._detected: np.ndarray | None = None  # the frame of these boxes, which may stand for many ticks

    def wants(self, tick: int) -> bool:
        return self.rows.wants(tick)

    def see(self, tick: int, frame: np.ndarray, number: int | None = None, again: bool = False) -> Reading | None:
        if not self.wants(tick):
            return None
        with self._timed("flow"):
            images = self.rows.images(tick, frame, again)
        if self.rows.shows(tick):
            self._detect(frame)
        if images is None:
            return None
        self.analysed += 1
        if images is not self._seen:  # else the row shares its clip, and so its confidence
            self._seen, self._value = images, self._confidence(images)
        return self._reading(tick, self._value, self._boxes)

    def _detect(self, frame: np.ndarray) -> None:
        with self._timed("detector"):
            if self.detector is not None and frame is not self._detected:
                self._boxes, self._detected = self.detector.detect(frame), frame
        counts = np.bincount(self._boxes[:, 5].astype(np.int64), minlength=len(COCO_CLASSES))
        self._bags.append(counts.astype(np.float32))

    def _confidence(self, images: dict[str, np.ndarray]) -> float:
        bag = np.stack(filled(self._bags, self._length))[None] if self._length else self._bags[-1][None]
        if self.finetuned:
            with self._timed("backbone"):
                return float(self.trained.confidence({name: image[None] for name, image in images.items()}, bag)[0])
        with torch.inference_mode():
            with self._timed("backbone"):
                features = row_features(self.config, self.trained.networks, images)
            with self._timed("head"):
                logits = self.trained.model.head(features, torch.as_tensor(bag, device=self._device))
                return float(confidence(logits)[0])


def analyser_of(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> NetworkAnalyser:
    """With the model and detector loaded; a file and a stream are seen alike."""
    loaded = scorer.load_model(trained.path, device_of(config))
    if not loaded.system.whole_frames:
        sees = "sees windows as large as its training tubes, cut for the corpus's own videos"
        raise ConfigError(f"{trained.system.name} {sees}; score other videos with full-I3D")
    finetuned = read_facts(trained.path)["finetuned"]
    return NetworkAnalyser(config, loaded, fps, finetuned, Detector(config) if loaded.system.bag else None)
