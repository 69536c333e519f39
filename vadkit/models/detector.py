"""The object detector's weights: where they are, what they must detect. `vadkit.views.objects` runs it."""

import os
import re
from importlib.resources import files
from pathlib import Path

from vadkit.core.config import Config, resolve
from vadkit.core.digests import as_shipped
from vadkit.core.errors import WeightsError

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

# Networks trained on the demo world. Its files alone are used here: what draws it is imported by corpora.synthetic.
ASSETS = Path(str(files("demo_world"))) / "assets"
WORLD_WEIGHTS = ASSETS / "world_yolo.onnx"
RELEASES = "github.com/ultralytics/assets/releases"

# Detection models that ultralytics publishes: a bare name of this form may be fetched into the cache.
_PUBLISHED = re.compile(r"yolo(v8|11|12|26)[nsmlx]\.pt|yolov5[nsmlx]6?u\.pt|yolov9[tsmce]\.pt|yolov10[nsmblx]\.pt")


def detector_file(config: Config) -> Path | None:
    """Where the detector's weights are, or will be once they are fetched; None for "none". Raises WeightsError where
    they are missing and cannot be fetched."""
    name = config.detector_weights
    path = resolve(name)
    if name == "none":
        return None
    if name == "world":
        return as_shipped(ASSETS, WORLD_WEIGHTS.name) / WORLD_WEIGHTS.name
    if _PUBLISHED.fullmatch(name) and not path.is_file():
        return config.cache_dir / "weights" / name
    if path.suffix not in (".onnx", ".pt"):
        raise WeightsError(f"detector_weights must be 'world', 'none', or a path to .onnx or .pt, got '{name}'")
    if not path.is_file():
        fetched = f"fetched by ultralytics where there is a network; or download it from {RELEASES} and give its path"
        kinds = f"'yolov8n.pt' ({fetched}), an .onnx exported from one, or 'world' for the synthetic corpus"
        raise WeightsError(f"detector_weights: no file {path}; give a YOLO of COCO's 80 classes: {kinds}")
    return path


def onnx_session(path: Path, threads: int | None):
    """An ONNX model in onnxruntime, on the CPU. threads: None for its own choice."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime >= 1.29 reports each session, and keeps an id in the home
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
