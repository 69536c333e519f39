"""Bag of objects: how many of each COCO class a detector sees in a frame (paper 3.1).

The detector runs through ultralytics, kept offline and quiet: nothing is installed, reported, or written outside the
cache. Weights are ONNX files, which hold data only, or ultralytics' `.pt` files, which are pickles: of these only
ultralytics' and torch's own classes are restored, and one that asks for anything else is refused unrun.
"""

import ast
import importlib.metadata
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.digests import digest, file_digest
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.models.detector import COCO_CLASSES, RELEASES, detector_file, onnx_session

BATCH = 8  # frames handed to the detector at once
OUTSIDE = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn")  # Python's audit events
EXPORT = "yolo export model=yolov8n.pt format=onnx"


class Detector:
    """A loaded object detector.

    threads: of the ONNX session; 1 where several processes detect at once. Raises ConfigError for
    detector_weights "none", WeightsError for weights that are missing, damaged, or not of COCO's 80 classes.
    """

    def __init__(self, config: Config, threads: int | None = None):
        self.path, self.confidence = _fetch(config), config.detector_confidence
        session = _session(self.path, threads) if self.path.suffix == ".onnx" else None
        self._model = _load(self.path, config.cache_dir)
        names, task = (self._model.names, self._model.task) if session is None else _said(session, self.path)
        if task != "detect":
            needed = "a bag of objects needs a detector (task 'detect')"
            raise WeightsError(f"{self.path} is a model for '{task}'; {needed}")
        given = tuple(names[n] for n in range(len(names)))
        if given != COCO_CLASSES:
            pairs = enumerate(zip(given, COCO_CLASSES, strict=False))
            others = (f"class {n} is '{one}', expected '{coco}'" for n, (one, coco) in pairs if one != coco)
            expected = f"expected COCO's 80 in their order ({next(others, 'the rest is missing')})"
            raise WeightsError(f"{self.path} detects {len(given)} classes, {expected}; give a detector trained on COCO")
        shape = session.get_inputs()[0].shape if session else ()
        static = bool(shape) and all(isinstance(side, int) for side in shape)  # takes one image of its own size
        self.batched, self.input_size = not static, tuple(shape[2:]) if static else config.detector_size
        self._device = "cpu" if session else device_of(config)  # the onnxruntime that the project asks for has no CUDA
        if session:
            # Ultralytics builds its session at the first call, with a thread for every core that spins while it waits:
            # twice the processor time for the same frames, and processes that fight. Ours takes its place.
            self._predict([np.zeros((64, 64, 3), np.uint8)])
            self._model.predictor.model.backend.session = session

    def bags(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Detections of each class in each frame, raw counts at detector_confidence or above. Shape: n frames (H, W, 3)
        uint8 BGR of any size -> (n, 80) float32, in the order of COCO_CLASSES."""
        counts = np.zeros((len(frames), len(COCO_CLASSES)), np.float32)
        for row, boxes in zip(counts, self._boxes(frames), strict=True):
            row += np.bincount(boxes[:, 5].astype(np.int64), minlength=len(COCO_CLASSES))
        return counts

    def detect(self, frame: np.ndarray) -> np.ndarray:
        """Boxes of one frame, (H, W, 3) uint8 BGR: x1, y1, x2, y2 in pixels, confidence, class, (k, 6) float32."""
        return self._boxes([frame])[0]

    def _boxes(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        for frame in frames:
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                raise ValueError(f"expected (H, W, 3) uint8 BGR frames, got {frame.shape} {frame.dtype}")
        one_shape = len({frame.shape for frame in frames}) == 1
        groups = [list(frames)] if self.batched and one_shape else [[frame] for frame in frames]
        return [result.boxes.data.cpu().numpy() for group in groups for result in self._predict(group)]

    def _predict(self, frames: list[np.ndarray]) -> list:
        options = {"imgsz": self.input_size, "conf": self.confidence, "device": self._device}
        return self._model.predict(frames, verbose=False, save=False, **options)


class BagCounter:
    """Counts the bags of a video's frames, BATCH at a time, by the one detector of this process."""

    _loaded: dict[str, Detector] = {}  # at most one

    def __init__(self, config: Config):
        import cv2

        name = digest(detector_key(config))
        if name not in self._loaded:
            self._loaded.clear()
            # beside other processes there is one thread for each (`processes.each`)
            self._loaded[name] = Detector(config, threads=1 if cv2.getNumThreads() == 1 else None)
        self._detector, self._waiting, self._counted = self._loaded[name], [], []

    def add(self, frame: np.ndarray) -> None:
        """The next frame, (H, W, 3) uint8 BGR."""
        self._waiting.append(frame)
        if len(self._waiting) == BATCH:
            self._counted.append(self._detector.bags(self._waiting))
            self._waiting = []

    def bags(self) -> np.ndarray:
        """Of all frames, in their order, after the last. Shape: -> (n, 80) float32."""
        rest = [self._detector.bags(self._waiting)] if self._waiting else []
        return np.concatenate([*self._counted, *rest])


def detector_key(config: Config) -> dict | None:
    """What bags depend on, for a cache key: the weights' content and the detector's parameters; None for "none". A
    published name that is not in the cache yet is fetched. Raises WeightsError where a weights file is missing."""
    if config.detector_weights == "none":
        return None
    key = {"weights": file_digest(_fetch(config)), "ultralytics": importlib.metadata.version("ultralytics")}
    return {**key, "confidence": config.detector_confidence, "size": config.detector_size}


def _fetch(config: Config) -> Path:
    if config.detector_weights == "none":
        remedy = "give 'world' or a path, or take a system without a bag"
        raise ConfigError(f"detector_weights is 'none', so there is no bag of objects; {remedy}")
    path = detector_file(config)
    if path.is_file():
        return path
    _quiet_ultralytics(config.cache_dir)
    from ultralytics.utils.downloads import attempt_download_asset

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(str(path))
        why = "" if path.is_file() else "nothing came"
    except Exception as error:  # ultralytics raises many types for a failed download
        why = f"{type(error).__name__}: {error}"
    if why:
        remedy = f"download it from {RELEASES} and put it at {path}"
        raise WeightsError(f"{path.name} could not be fetched ({why}); {remedy}")
    return path


def _quiet_ultralytics(cache_dir: Path) -> None:
    """Keep ultralytics from installing, reporting, running what is in a file, and writing under the user's home."""
    # YOLO_OFFLINE: no look-ups; a named download still works, for it only matters after a failure
    os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false", "YOLO_OFFLINE": "true"}
    os.environ |= {"ULTRALYTICS_SAFE_LOAD": "true", "YOLO_CONFIG_DIR": str(cache_dir / "ultralytics")}
    (cache_dir / "ultralytics").mkdir(parents=True, exist_ok=True)
    from ultralytics import settings
    from ultralytics.utils import LOGGER

    LOGGER.setLevel("ERROR")
    # Where someone imported ultralytics before us its settings are the user's own file: leave that alone.
    if settings["sync"] and str(cache_dir) in str(settings.file):
        settings.update({"sync": False})


def _session(path: Path, threads: int | None):
    try:
        return onnx_session(path, threads)
    except Exception as error:  # onnxruntime's exceptions have no common public base
        what = f"{path} is not a model that onnxruntime loads ({type(error).__name__})"
        raise WeightsError(f"{what}; export it again: {EXPORT}") from None


def _said(session, path: Path) -> tuple[dict[int, str], str]:
    """The classes and the task that ultralytics wrote into an ONNX file."""
    facts = session.get_modelmeta().custom_metadata_map
    try:
        return ast.literal_eval(facts["names"]), facts["task"]
    except (KeyError, ValueError, SyntaxError):
        what = f"{path} does not say which classes it detects"
        raise WeightsError(f"{what}; export it with ultralytics: {EXPORT}") from None


def _load(path: Path, cache_dir: Path):
    _quiet_ultralytics(cache_dir)
    from ultralytics import YOLO
    from ultralytics.nn.tasks import SAFE_LOAD, torch_safe_load

    reading = _indoors()
    reading.now = True
    try:
        with warnings.catch_warnings(action="ignore"):
            if path.suffix == ".pt" and not SAFE_LOAD:  # someone imported ultralytics first; what passes here is safe
                torch_safe_load(str(path), safe_only=True)
            return YOLO(str(path), task="detect" if path.suffix == ".onnx" else None, verbose=False)
    except Exception as error:  # of many types, in words that advise to load it unsafely
        what = f"{path} is damaged, or holds other things than a YOLO model of ultralytics ({type(error).__name__})"
        remedy = f"take its author's .onnx, or export one where you trust it: {EXPORT}"
        raise WeightsError(f"{what}; none of its code was run; {remedy}") from None
    finally:
        reading.now = False


@cache
def _indoors() -> threading.local:
    """While its `now` is true this thread gets no network and no process: ultralytics lets a file build networks, and
    some of those fetch weights."""
    reading = threading.local()

    def refuse(event: str, _: tuple) -> None:
        if event.startswith(OUTSIDE) and getattr(reading, "now", False):
            raise PermissionError(event)

    sys.addaudithook(refuse)
    return reading
