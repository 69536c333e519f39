from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vadkit.core.errors import ConfigError, WeightsError
from vadkit.core.parameters import make_config
from vadkit.core.store import file_digest
from vadkit.views import objects
from vadkit.views.objects import COCO_CLASSES, Detector, detector_file, detector_key

PERSON, CAR, DOG = (COCO_CLASSES.index(name) for name in ("person", "car", "dog"))
# centre x, centre y, width, height in pixels of a 64-pixel input, class, confidence
SEEN = [
    (12, 12, 8, 16, PERSON, 0.9),
    (40, 20, 8, 16, PERSON, 0.6),
    (30, 50, 20, 10, CAR, 0.75),
    (55, 55, 6, 6, DOG, 0.3),
]


def write_detector(path: Path, names: object = None, task: str = "detect", side: int | None = None) -> Path:
    """An ONNX model that detects the objects in SEEN, whatever it is shown; of any input size, or of one `side`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    classes = dict(enumerate(COCO_CLASSES)) if names is None else names
    output = np.zeros((1, 84, len(SEEN)), np.float32)
    for column, (*box, kind, confidence) in enumerate(SEEN):
        output[0, :4, column] = box
        output[0, 4 + kind, column] = confidence
    batch, height, width = (1, side, side) if side else ("batch", "height", "width")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["one"]),
        helper.make_node("Add", ["one", "seen"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, height, width])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, 84, len(SEEN)])],
        [
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
            numpy_helper.from_array(np.array([-1, 1, 1], np.int64), "shape"),
            numpy_helper.from_array(output, "seen"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    facts = {"names": str(classes), "task": task, "stride": "32", "imgsz": str([side or 64] * 2), "batch": "1"}
    for key, value in facts.items() if names != {} else ():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


def config_for(weights: object, tmp_path: Path, **values):
    return make_config(
        {"detector_weights": str(weights), "cache_root": str(tmp_path / "cache"), "detector_size": 64, **values}
    )


@pytest.mark.parametrize("side", [None, 64])
def test_bags_count_classes_at_or_above_the_confidence(tmp_path, side):
    weights = write_detector(tmp_path / "constant.onnx", side=side)
    frames = [np.full((64, 64, 3), shade, np.uint8) for shade in (0, 90, 255)]
    detector = Detector(config_for(weights, tmp_path))
    bags = detector.bags(frames)
    assert bags.shape == (3, 80) and bags.dtype == np.float32
    assert (bags == bags[0]).all()
    assert {COCO_CLASSES[n]: bags[0, n] for n in np.flatnonzero(bags[0])} == {"person": 2, "car": 1}
    assert detector.bags([]).shape == (0, 80)
    assert detector.bags([frames[0], np.zeros((32, 64, 3), np.uint8)]).shape == (2, 80)  # sizes that differ
    lenient = Detector(config_for(weights, tmp_path, detector_confidence=0.2)).bags(frames[:1])[0]
    assert lenient[DOG] == 1 and lenient.sum() == 4


def test_boxes_are_in_the_frames_own_pixels(tmp_path):
    weights = write_detector(tmp_path / "constant.onnx")
    boxes = Detector(config_for(weights, tmp_path)).detect(np.zeros((128, 128, 3), np.uint8))
    assert boxes.shape == (3, 6) and boxes.dtype == np.float32
    assert np.allclose(boxes[0], [16, 8, 32, 40, 0.9, PERSON], atol=0.5)  # twice the size of the input


def test_strange_frames_are_refused(tmp_path):
    weights = write_detector(tmp_path / "constant.onnx")
    with pytest.raises(ValueError, match="uint8 BGR"):
        Detector(config_for(weights, tmp_path)).detect(np.zeros((64, 64), np.uint8))


@pytest.mark.parametrize(
    ("names", "task", "message"),
    [
        ({0: "person", 1: "car"}, "detect", "detects 2 classes, expected COCO's 80"),
        (dict(enumerate(("car", "person", *COCO_CLASSES[2:]))), "detect", "class 0 is 'car', expected 'person'"),
        (dict(enumerate(COCO_CLASSES)), "segment", "'segment'"),
        ({}, "detect", "does not say which classes"),
    ],
)
def test_a_model_of_other_classes_is_refused(tmp_path, names, task, message):
    weights = write_detector(tmp_path / "other.onnx", names, task)
    with pytest.raises(WeightsError, match=message):
        Detector(config_for(weights, tmp_path))


@pytest.mark.parametrize("name", ["damaged.onnx", "damaged.pt"])
def test_a_damaged_file_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(WeightsError, match=name):
        Detector(config_for(tmp_path / name, tmp_path))


def test_a_missing_file_says_where_to_get_one(tmp_path):
    for act in (Detector, detector_key):
        with pytest.raises(WeightsError, match=r"gone\.onnx.*ultralytics/assets"):
            act(config_for(tmp_path / "gone.onnx", tmp_path))
    with pytest.raises(WeightsError, match=r"\.onnx or \.pt"):
        Detector(config_for(tmp_path / "weights.engine", tmp_path))


def test_none_is_no_detector(tmp_path):
    with pytest.raises(ConfigError, match="none"):
        Detector(config_for("none", tmp_path))
    assert detector_key(config_for("none", tmp_path)) is None


def test_a_published_name_is_fetched_into_the_cache_and_failure_names_the_place(tmp_path, monkeypatch):
    import ultralytics.utils.downloads as downloads

    asked = []

    def offline(file):
        asked.append(file)
        raise ConnectionError("no network")

    monkeypatch.setattr(downloads, "attempt_download_asset", offline)
    for act in (Detector, detector_key):
        with pytest.raises(WeightsError, match=r"put it at .*cache/weights/yolov8n\.pt"):
            act(config_for("yolov8n.pt", tmp_path))
    assert asked == [str(tmp_path / "cache" / "weights" / "yolov8n.pt")] * 2
    assert detector_file(config_for("yolov8n.pt", tmp_path)) == tmp_path / "cache" / "weights" / "yolov8n.pt"


def test_a_published_detector_is_known_by_its_content(tmp_path, monkeypatch):
    """Before it is fetched, after, and when somebody puts another file in its place."""
    import ultralytics.utils.downloads as downloads

    monkeypatch.setattr(downloads, "attempt_download_asset", lambda file: Path(file).write_bytes(b"published"))
    config = config_for("yolov8n.pt", tmp_path)
    first = detector_key(config)
    assert detector_key(config) == first and first["weights"] == file_digest(detector_file(config))
    detector_file(config).write_bytes(b"swapped")
    assert detector_key(config)["weights"] == file_digest(detector_file(config)) != first["weights"]


def test_the_key_follows_content_and_parameters(tmp_path):
    one, other = write_detector(tmp_path / "a.onnx"), write_detector(tmp_path / "b.onnx", side=64)
    key = detector_key(config_for(one, tmp_path))
    assert key != detector_key(config_for(other, tmp_path))
    assert key != detector_key(config_for(one, tmp_path, detector_confidence=0.4))
    assert key == detector_key(config_for(one, tmp_path, seeds=[5]))


SANDBOX = """
import json, socket, sys
attempts = []
def refuse(*args, **kwargs):
    attempts.append(repr(args)[:80])
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import subprocess
start = subprocess.Popen.__init__
def watch(self, args, *rest, **kwargs):
    if any(tool in str(args) for tool in ("pip", "uv ", "apt", "curl", "wget", "git ")):
        attempts.append(repr(args)[:80])
    start(self, args, *rest, **kwargs)
subprocess.Popen.__init__ = watch
import numpy as np
from vadkit.core.parameters import make_config
from vadkit.views.objects import Detector
config = make_config({"detector_weights": sys.argv[1], "cache_root": sys.argv[2], "detector_size": 64})
bags = Detector(config).bags([np.zeros((64, 64, 3), np.uint8)])
import onnxruntime, os
print(json.dumps({"bag": float(bags.sum()), "attempts": attempts, "telemetry": os.environ["ORT_DISABLE_TELEMETRY"]}))
"""


def test_nothing_is_installed_reported_or_written_outside_the_cache(tmp_path):
    weights = write_detector(tmp_path / "constant.onnx")
    home, work, temporary = (tmp_path / name for name in ("home", "work", "tmp"))
    for folder in (home, work, temporary):
        folder.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("YOLO", "XDG", "ORT", "MPL"))
    }
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(Path(objects.__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", SANDBOX, str(weights), str(tmp_path / "cache")],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    facts = json.loads(run.stdout.splitlines()[-1])
    assert facts["bag"] == 3 and facts["attempts"] == []
    assert run.stdout.count("\n") == 1, f"something was printed: {run.stdout}"
    left = [str(path.relative_to(tmp_path)) for folder in (home, work, temporary) for path in folder.rglob("*")]
    assert left == []
    settings = json.loads((tmp_path / "cache" / "ultralytics" / "Ultralytics" / "settings.json").read_text())
    assert settings["sync"] is False


def test_a_real_detector_finds_the_pedestrians(tmp_path, shared):
    from vadkit.core.video import read_frames

    frame = next(iter(read_frames(shared("data/street/vtest.avi"))))[1]
    detector = Detector(config_for(shared("weights/yolov8n_int8.onnx"), tmp_path))
    boxes = detector.detect(frame)
    assert detector.bags([frame])[0, PERSON] >= 3
    assert (boxes[:, 4] >= 0.5).all()
    assert boxes[:, 2].max() <= frame.shape[1] and boxes[:, 3].max() <= frame.shape[0]
    assert boxes[:, 2].max() > 320  # pixels of the frame, not of the network's input
