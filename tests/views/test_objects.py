from __future__ import annotations

import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vadkit.core.digests import file_digest
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.core.parameters import make_config
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


# --- what a .pt or .onnx may do ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """An untrained network as ultralytics saves it: a pickle of the whole model."""
    root = tmp_path_factory.mktemp("genuine")
    objects._quiet_ultralytics(root / "cache")
    from ultralytics import YOLO

    model = YOLO("yolov8n.yaml", verbose=False)
    model.model.names = dict(enumerate(COCO_CLASSES))
    model.save(root / "genuine.pt")
    return root / "genuine.pt"


class Reduced:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def planted(kind: str, path: Path, genuine: Path, touch: str) -> None:
    """A file named .pt that runs `touch` in a shell, or asks for a network, where all in it is restored."""
    import torch
    from ultralytics.nn import tasks

    whole = torch.load(genuine, map_location="cpu", weights_only=False)
    system = Reduced(os.system, touch)
    layers = {"nc": 80, "backbone": [[-1, 1, "Conv", [64, 3, 2]]], "head": [[[0], 1, "Detect", ["nc"]]]}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(system))
    elif kind == "torch archive":
        torch.save({"model": system}, path)
    elif kind == "torch's older format":
        torch.save({"model": system}, path, _use_new_zipfile_serialization=False)
    elif kind == "tar":
        with tarfile.open(path, "w") as tar:
            for name in ("sys_info", "pickle", "storages", "tensors"):
                content = pickle.dumps(system if name == "pickle" else {}, protocol=2)
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    elif kind == "TorchScript":
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    elif kind == "among the facts":
        torch.save({**whole, "train_args": {"lr": system}}, path)
    elif kind == "text to evaluate":
        torch.save({**whole, "date": Reduced(eval, f"__import__('os').system({touch!r})")}, path)
    elif kind == "in the place of a method":
        whole["model"].__dict__["forward"] = os.system
        torch.save(whole, path)
    elif kind == "an attribute of another class":
        torch.save({**whole, "date": Reduced(getattr, dict, "fromkeys")}, path)
    elif kind == "an activation to evaluate":
        layers["activation"] = f"__import__('os').system({touch!r}) or nn.SiLU()"
        torch.save({**whole, "model": Reduced(tasks.DetectionModel, layers, 3, 80, False)}, path)
    elif kind == "weights to download":
        layers["backbone"].append([-1, 1, "TorchVision", [768, "alexnet", "DEFAULT"]])
        torch.save({**whole, "model": Reduced(tasks.DetectionModel, layers, 3, 80, False)}, path)


PLANTED = ["pickle", "torch archive", "torch's older format", "tar", "TorchScript", "among the facts"]
PLANTED += ["text to evaluate", "in the place of a method", "an attribute of another class"]
PLANTED += ["an activation to evaluate", "weights to download"]


def test_a_genuine_pt_is_loaded(genuine, tmp_path):
    detector = Detector(config_for(genuine, tmp_path))
    assert detector.batched and detector.bags([np.zeros((64, 64, 3), np.uint8)] * 2).shape == (2, 80)


def test_so_is_one_as_ultralytics_saved_it_in_2023(genuine, tmp_path):
    """When all its modules were in one file, and its arguments an object."""
    import torch
    from ultralytics.utils import IterableSimpleNamespace

    whole = torch.load(genuine, map_location="cpu", weights_only=False)
    whole["model"].args = IterableSimpleNamespace(imgsz=640)
    torch.save(whole, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith("data.pkl"):
                content = re.sub(rb"(cultralytics\.nn\.modules)\.\w+\n", rb"\1\n", content)
                content = content.replace(b"cultralytics.utils\n", b"cultralytics.yolo.utils\n")
            old.writestr(name, content)
    assert Detector(config_for(tmp_path / "old.pt", tmp_path)).detect(np.zeros((64, 64, 3), np.uint8)).shape[1] == 6


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_pt_is_refused_and_nothing_in_it_is_run(genuine, tmp_path, monkeypatch, kind):
    import torch

    marker, path, asked = tmp_path / "marker", tmp_path / "planted.pt", []
    planted(kind, path, genuine, f"touch {marker}")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: socket.create_connection(("127.0.0.1", 9)))
    monkeypatch.setattr(socket.socket, "connect", lambda *a: asked.append(a))
    with pytest.raises(
        WeightsError, match=r"planted\.pt is damaged, or holds other .*none of its code was run"
    ) as found:
        Detector(config_for(path, tmp_path))
    assert not marker.exists() and not asked
    assert "weights_only" not in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("kind", ["a trained network", "an empty file"])
def test_what_is_refused_leaves_the_process_as_it_was(genuine, tmp_path, kind):
    """Connections and processes are out of reach while a file is read, and only then."""
    path = tmp_path / "x.pt"
    path.write_bytes(b"" if kind == "an empty file" else genuine.read_bytes())
    try:
        Detector(config_for(path, tmp_path))
    except WeightsError:
        assert kind == "an empty file"
    assert subprocess.run(["true"], check=False).returncode == 0 and socket.gethostbyname("127.0.0.1")


LATE = """
import sys, warnings
import ultralytics
from vadkit.core.errors import WeightsError
from vadkit.core.parameters import make_config
from vadkit.views.objects import Detector
for path in sys.argv[2:]:
    try:
        Detector(make_config({"detector_weights": path, "cache_root": sys.argv[1], "detector_size": 64}))
        print("loaded")
    except WeightsError:
        print("refused")
"""


def test_neither_where_a_notebook_imported_ultralytics_before(genuine, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "planted.pt"
    planted("among the facts", path, genuine, f"touch {marker}")
    command = [sys.executable, "-c", LATE, str(tmp_path / "cache"), str(path), str(genuine)]
    environment = {name: value for name, value in os.environ.items() if name != "ULTRALYTICS_SAFE_LOAD"}
    environment |= {"YOLO_CONFIG_DIR": str(tmp_path), "PYTHONPATH": str(Path(objects.__file__).parents[2])}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-2:] == ["refused", "loaded"] and not marker.exists()


@pytest.mark.parametrize("where", ["../secret.bin", "link.bin", "{folder}/secret.bin"])
def test_an_onnx_reads_no_file_outside_its_folder(tmp_path, where):
    from onnx import TensorProto, helper

    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "secret.bin")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=where.format(folder=tmp_path))
    shown = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [shown], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "in" / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="is not a model that onnxruntime loads"):
        Detector(config_for(tmp_path / "in" / "m.onnx", tmp_path))


def test_an_onnx_brings_no_operators_of_its_own(tmp_path):
    from onnx import TensorProto, helper

    one = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Run", ["x"], ["y"], domain="mine")], "g", one[:1], one[1:])
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("mine", 1)]
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString())
    with pytest.raises(WeightsError, match="is not a model that onnxruntime loads"):
        Detector(config_for(tmp_path / "m.onnx", tmp_path))


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
