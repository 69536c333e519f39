"""The first paper's systems: a confidence at every analysed frame, looking back only, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial

import numpy as np
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError
from vadkit.live.analysers.base import NO_BOXES, Analyser, Images, Looking
from vadkit.live.analysers.rows import ClipRows, Rows, row_features
from vadkit.models.two_stream import confidence
from vadkit.systems import scorer
from vadkit.systems.gradcam import place_of
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

    def seeing(self, tick: int, frame: np.ndarray, number: int | None, again: bool) -> Looking:
        if not self.wants(tick):
            return None
        with self._timed("flow"):
            images = self.rows.images(tick, frame, again)
        if self.rows.shows(tick):
            self._detect(frame)
        if images is None:
            return None
        self.analysed, self._size = self.analysed + 1, frame.shape[1::-1]
        if images is not self._seen:  # else the row shares its clip, and so its confidence
            self._seen, self._value = images, (yield from self._confidence(images))
        return self._reading(tick, self._value, self._boxes)

    def _detect(self, frame: np.ndarray) -> None:
        with self._timed("detector"):
            if self.detector is not None and frame is not self._detected:
                self._boxes, self._detected = self.detector.detect(frame), frame
        counts = np.bincount(self._boxes[:, 5].astype(np.int64), minlength=len(COCO_CLASSES))
        self._bags.append(counts.astype(np.float32))

    def features_of(self, rows: Sequence[Images]) -> torch.Tensor:
        with torch.inference_mode():
            return row_features(self.config, self.trained.networks, rows, self.nominal_s > 0)

    def place(self) -> Callable[[], tuple[float, ...] | None]:
        """What finds, by Grad-CAM, where the last frame that it analysed speaks for an anomaly."""
        images, bag, seen = self._seen, self._bag(), self.rows.seen
        return partial(place_of, self.trained, images, bag, seen, self._size)

    def _bag(self) -> np.ndarray:
        """Shape: -> (1, 80), of clips (1, T, 80)."""
        return np.stack(filled(self._bags, self._length))[None] if self._length else self._bags[-1][None]

    def _confidence(self, images: Images) -> Generator[Images, torch.Tensor, float]:
        if self.finetuned:
            with self._timed("backbone"):
                given = {name: image[None] for name, image in images.items()}
                return float(self.trained.confidence(given, self._bag())[0])
        features = yield images
        self.features = features[0].float().cpu().numpy()
        with torch.inference_mode(), self._timed("head"):
            logits = self.trained.model.head(features, torch.as_tensor(self._bag(), device=self._device))
            return float(confidence(logits)[0])


def analysers_of(trained: TrainedModel, config: Config) -> Callable[[float], NetworkAnalyser]:
    """What makes them, with the model and detector loaded once; a file and a stream are seen alike."""
    loaded = scorer.load_model(trained.path, device_of(config))
    if not loaded.system.whole_frames:
        sees = "sees windows as large as its training tubes, cut for the corpus's own videos"
        raise ConfigError(f"{trained.system.name} {sees}; score other videos with full-I3D")
    finetuned = read_facts(trained.path)["finetuned"]
    detector = Detector(config) if loaded.system.bag else None
    return lambda fps: NetworkAnalyser(config, loaded, fps, finetuned, detector)
