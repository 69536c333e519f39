"""Train the small YOLO that ships with the project on renders of the world, from scratch, and export it.

    python -m demo_world.train_detector --out demo_world/assets/world_yolo.onnx

Its pictures come from seeds and cameras that no demo world uses. The classes keep COCO's 80 positions,
those that the world does not draw stay empty, so that a bag of objects means the same with any detector.
It prints precision on unseen renders, for each class, and milliseconds a frame.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from demo_world import HEIGHT, WIDTH
from demo_world.camera import SCENES, make_camera
from demo_world.crimes import CRIMES
from demo_world.everyday import dog, ride
from demo_world.plan import NORMAL, direct
from demo_world.poses import ACTS
from demo_world.props import CARRIED, STANDING
from demo_world.render import Renderer
from demo_world.stage import Stage
from demo_world.unseen import UNSEEN
from demo_world.vehicles import VEHICLES
from vadkit.models.detector import COCO_CLASSES

# A demo world's cameras are seeded by (world_seed, 1 to 3, ...): 4 is this module's alone.
DETECTOR_SPLIT = 4
IMAGE_SIZE = 320
FRAMES_PER_STAGE = 3
PADDED = 256  # a frame's 240 rows, up to the next multiple of the largest stride
PEAK_LR = 3e-3
# Modules and wiring of ultralytics' YOLO11, a third of the width of its smallest model. ReLU and a first layer of
# stride 4 because it is trained and run on CPUs; one regression bin a side because the boxes are exact.
ARCHITECTURE = {
    "nc": 80, "reg_max": 1, "end2end": False, "activation": "torch.nn.ReLU(inplace=True)",
    "scales": {"n": [1, 1, 1024]},
    "backbone": [
        [-1, 1, "Conv", [32, 6, 4, 1]],  # 0, stride 4
        [-1, 1, "Conv", [32, 3, 1]],
        [-1, 1, "Conv", [48, 3, 2]],
        [-1, 1, "C3k2", [64, False, 0.5]],  # 3, stride 8
        [-1, 1, "Conv", [96, 3, 2]],
        [-1, 1, "C3k2", [96, False, 0.5]],  # 5, stride 16
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "C3k2", [128, False, 0.5]],
        [-1, 1, "SPPF", [128, 5]],  # 8, stride 32
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 5], 1, "Concat", [1]],
        [-1, 1, "C3k2", [96, False, 0.5]],  # 11
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 3], 1, "Concat", [1]],
        [-1, 1, "C3k2", [64, False, 0.5]],  # 14
        [-1, 1, "Conv", [64, 3, 2]],
        [[-1, 11], 1, "Concat", [1]],
        [-1, 1, "C3k2", [96, False, 0.5]],  # 17
        [-1, 1, "Conv", [96, 3, 2]],
        [[-1, 8], 1, "Concat", [1]],
        [-1, 1, "C3k2", [128, False, 0.5]],  # 20
        [[14, 17, 20], 1, "Detect", ["nc"]],
    ],
}  # fmt: skip


def training_stage(seed: tuple[int, ...]) -> Stage:
    """A scripted stage with more people, things and vehicles about than life has, so that rare classes are learned."""
    rng = np.random.default_rng([*seed, 30])
    scene = str(rng.choice(SCENES))
    fitting = [c for c, (_, scenes) in {**CRIMES, **UNSEEN}.items() if scene in scenes]
    category = NORMAL if rng.random() < 0.4 else str(rng.choice(fitting))
    stage = direct(make_camera(seed, scene, "detector"), category, 16.0, seed)
    camera = stage.camera
    for _ in range(rng.integers(2, 5)):
        z = stage.u(camera.stage_z * 0.95, max(camera.stage_z * 1.3, camera.back_z - 0.8))
        x = camera.clamp_x(stage.u(-6, 6), z)
        actor = stage.person(x, z, -1.0, str(rng.choice(["adult", "adult", "child", "officer", "worker"])))
        actor.hold(
            str(rng.choice(list(CARRIED) + ["knife", "knife", "bat", "handbag", "bottle"]))
        )  # the hard ones more often
        act = str(rng.choice([a for a in ACTS if a != "lie"]))
        while actor.t < stage.seconds:
            actor.act(act, actor.t + 2.0, (x + stage.u(-1, 1), z + stage.u(-0.6, 0.6)), stage.u(0.3, 1.5))
        if rng.random() < 0.15:
            dog(stage, actor)
    for _ in range(rng.integers(0, 3)):
        z = stage.u(camera.stage_z, camera.back_z)
        colour = (60, 130, 70) if rng.random() < 0.3 else None
        stage.thing(str(rng.choice(list(STANDING))), camera.clamp_x(stage.u(-7, 7), z), z, colour=colour)
    if rng.random() < 0.5:
        z = stage.u(camera.stage_z * 1.2, camera.back_z)
        kind = str(rng.choice([*VEHICLES, "bicycle", "motorcycle"]))
        if rng.random() < 0.5:
            ride(stage, "car" if kind == "car_front" else kind, stage.side(), z, stage.u(-4, 8), stage.u(1.5, 5))
        else:
            stage.vehicle(kind, [(0.0, camera.clamp_x(stage.u(-7, 7), z), z)]).direction = stage.side()
    return stage


def _write_stage(job: tuple[Path, str, int]) -> None:
    root, part, number = job
    seed = (0 if part == "train" else 1, DETECTOR_SPLIT, number)
    rng = np.random.default_rng([*seed, 31])
    renderer = Renderer(training_stage(seed), seed)
    for frame in rng.choice(renderer.frames, FRAMES_PER_STAGE, replace=False):
        image, boxes, _ = renderer.draw(int(frame), with_boxes=True)
        stem = f"{number:05d}_{int(frame):03d}"
        # a video's compression is seen by the detector too
        cv2.imwrite(
            str(root / "images" / part / f"{stem}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 95))]
        )
        lines = [
            f"{k} {(a + c) / 2 / WIDTH:.5f} {(b + d) / 2 / HEIGHT:.5f} {(c - a) / WIDTH:.5f} {(d - b) / HEIGHT:.5f}"
            for k, a, b, c, d in boxes
        ]
        (root / "labels" / part / f"{stem}.txt").write_text("\n".join(lines))


def write_dataset(root: Path, train: int, val: int, workers: int) -> Path:
    """Render pictures and labels in YOLO's format; returns the data file."""
    jobs = [(root, part, k) for part, n in (("train", train), ("val", val)) for k in range(n // FRAMES_PER_STAGE)]
    for part in ("train", "val"):
        (root / "images" / part).mkdir(parents=True, exist_ok=True)
        (root / "labels" / part).mkdir(parents=True, exist_ok=True)
    Parallel(n_jobs=workers)(delayed(_write_stage)(job) for job in jobs)
    data = root / "data.yaml"
    facts = {"path": str(root), "train": "images/train", "val": "images/val", "names": dict(enumerate(COCO_CLASSES))}
    data.write_text(json.dumps(facts))
    return data


def quiet_ultralytics(folder: Path) -> None:
    """No installing, no reporting, no settings in the user's home; before the first import."""
    os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(folder)}
    from ultralytics import settings

    settings.update({"sync": False})


def train(data: Path, folder: Path, epochs: int, batch: int, threads: int):
    """Train from scratch with ultralytics' trainer; returns the YOLO with the averaged weights of the last epoch.

    rect keeps the pictures' 320x256 (a square has a quarter more), and no mosaic, scaling or shifting is drawn: the
    renders vary enough, and 7500 of them are seen too few times to be learned by heart.
    """
    from ultralytics import YOLO

    from demo_world.cpu_trainer import CpuTrainer, anneal, begin

    description = folder / "world_yolo.yaml"
    description.write_text(json.dumps(ARCHITECTURE))
    yolo = YOLO(str(description), task="detect")
    yolo.add_callback("on_train_start", lambda trainer: begin(trainer, threads))
    yolo.add_callback("on_train_batch_start", lambda trainer: anneal(trainer, PEAK_LR))
    yolo.train(
        trainer=CpuTrainer, data=str(data), epochs=epochs, batch=batch, nbs=batch, imgsz=IMAGE_SIZE, rect=True,
        device="cpu", pretrained=False, deterministic=False,
        optimizer="AdamW", lr0=PEAK_LR, momentum=0.9, weight_decay=5e-3, warmup_epochs=0.0,
        translate=0.0, scale=0.0, hsv_h=0.0, hsv_s=0.1, hsv_v=0.25,
        val=False, plots=False, verbose=False, project=str(folder), name="train", exist_ok=True,
    )  # fmt: skip
    return yolo


def export(yolo, out: Path) -> None:
    """Write the ONNX file: any batch, any size that 32 divides."""
    exported = yolo.export(format="onnx", imgsz=(PADDED, WIDTH), dynamic=True, simplify=False, opset=17, device="cpu")
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(exported, out)


def report(weights: Path, data: Path, folder: Path) -> None:
    """Print precision on the unseen renders and the time a frame takes."""
    from ultralytics import YOLO

    result = YOLO(str(weights), task="detect").val(
        data=str(data), imgsz=IMAGE_SIZE, device="cpu", workers=0, plots=False, verbose=False,
        project=str(folder), name="val", exist_ok=True, batch=1,
    )  # fmt: skip
    print(f"mAP50 {result.box.map50:.3f}   mAP50-95 {result.box.map:.3f}   pictures of unseen seeds and cameras")
    print("| class | AP50 | AP50-95 | precision | recall |\n| --- | --- | --- | --- | --- |")
    for row, k in enumerate(result.box.ap_class_index):
        p, r, ap50, ap = result.box.class_result(row)
        print(f"| {result.names[int(k)]} | {ap50:.3f} | {ap:.3f} | {p:.3f} | {r:.3f} |")
    _time(weights)


def _time(weights: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for batch in (1, 8):
        picture = np.zeros((batch, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32)
        best = np.inf
        for _ in range(12):
            start = time.perf_counter()
            session.run(None, {name: picture})
            best = min(best, time.perf_counter() - start)
        print(f"{1000 * best / batch:.1f} ms a frame in batches of {batch}, one thread, the network alone")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--images", type=int, default=7500, help="training pictures")
    parser.add_argument("--val-images", type=int, default=600, help="pictures to report on")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="of the training; more only help on an idle machine")
    parser.add_argument(
        "--work", type=Path, help="folder to keep pictures and checkpoints in; a temporary one otherwise"
    )
    options = parser.parse_args(arguments)
    folder = options.work or Path(tempfile.mkdtemp(prefix="world-yolo-"))
    folder = folder.resolve()
    quiet_ultralytics(folder / "settings")
    start = time.time()
    data = folder / "data" / "data.yaml"
    if not data.is_file():
        data = write_dataset(folder / "data", options.images, options.val_images, max(2, options.threads))
    print(f"rendered after {time.time() - start:.0f} s", flush=True)
    yolo = train(data, folder, options.epochs, options.batch, options.threads)
    print(f"trained after {time.time() - start:.0f} s", flush=True)
    export(yolo, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")
    report(options.out, data, folder)
    if options.work is None:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
