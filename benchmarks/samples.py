"""What a sample costs: processor time of each stage, then the whole extraction in processes. A table and a JSON line.

    python benchmarks/samples.py [VIDEO ...] [--detector world] [--size 160] [--rows 7000]

Without videos it writes six of 20 s (320x240, 30 fps, moving textures). Stages are timed in one thread, in processor
time, which a busy machine does not distort; the extraction and the features in wall time, as a user waits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.parameters import make_config
from vadkit.core.video import read_frames
from vadkit.corpora.video import Video
from vadkit.models.detector import WORLD_WEIGHTS
from vadkit.models.network import network_of
from vadkit.views.features import extract_features
from vadkit.views.flow import flow, flow_image, frame_image, gray
from vadkit.views.frames import extract
from vadkit.views.objects import Detector
from vadkit.views.pictures import PNG
from vadkit.views.sampling import stride_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument(
        "--detector",
        default="world" if WORLD_WEIGHTS.is_file() else "none",
        help="'world', 'none', or a path to .onnx or .pt",
    )
    parser.add_argument("--size", type=int, default=160, help="side of the network's input")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--backbone-weights", default="imagenet")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=7000, help="the extraction's time is extrapolated to these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(
            {
                "image_size": options.size,
                "detector_weights": str(options.detector),
                "workers": options.workers,
                "cache_root": folder,
                "backbone": options.backbone,
                "backbone_weights": options.backbone_weights,
            }
        )
        paths = options.videos or [made_video(Path(folder) / f"made{n}.mp4", seed=n) for n in range(6)]
        stages, sizes = stage_times(paths[0], config)
        whole = whole_times(paths, config)
    per_row = sum(stages[name] for name in stages if not name.startswith("("))
    print(f"{'stage':34} ms of processor time a row")
    for name, milliseconds in stages.items():
        print(f"{name:34} {milliseconds:8.2f}")
    print(f"{'together':34} {per_row:8.2f}")
    print(
        f"\none row's images: {sizes['png']:.0f} bytes as PNG, {sizes['raw']:.0f} raw, {sizes['jpeg_95']:.0f} as JPEG"
    )
    minutes = options.rows * (whole["extract_s"] + whole["features_s"]) / whole["rows"] / 60
    print(
        f"{whole['rows']} rows of {len(paths)} videos: samples {whole['extract_s']:.1f} s in {options.workers} "
        f"processes, features of both streams {whole['features_s']:.1f} s"
    )
    print(
        f"{options.rows} rows would take {minutes:.1f} minutes here (load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores)"
    )
    facts = {
        "detector": Path(options.detector).name,
        "size": options.size,
        "backbone": options.backbone,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    print(
        json.dumps(
            {
                "stages_ms": stages,
                "together_ms": per_row,
                "bytes": sizes,
                **whole,
                "minutes": minutes,
                "load": os.getloadavg()[0],
                **facts,
            }
        )
    )


def stage_times(path: Path, config) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of processor time a row, one thread, and the bytes of a row's images."""
    import torch

    from vadkit.models.backbones import fused
    from vadkit.models.network import build_network, preprocess

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    stride, frames = 1, []
    reader = read_frames(path)
    stride = stride_frames(reader.probe.fps, config.analysis_fps)
    decode = clocked(lambda: sum(1 for _ in read_frames(path, lambda number: number % stride == 0)), 1, warm=False)
    frames = [frame for number, frame in reader if number % stride == 0][:32]
    if len(frames) < 3:
        raise SystemExit(f"{path} has {len(frames)} rows at {config.analysis_fps} a second; give a longer video")
    grays = [gray(frame) for frame in frames]
    pairs = list(zip(grays[:-1], grays[1:], strict=True))
    flows = {method: [flow(*pair, method) for pair in pairs] for method in ("farneback", "dis")}
    images = [flow_image(one, size=config.image_size) for one in flows["farneback"]]
    pictures = [frame_image(frame, config.image_size) for frame in frames]
    both = [*images, *pictures]
    blobs = [cv2.imencode(".png", image, PNG)[1] for image in both]
    rows = sum(1 for _ in read_frames(path, lambda number: number % stride == 0))
    stages = {
        "decode (all frames between rows)": decode / rows,
        "grey frame": clocked(lambda: [gray(frame) for frame in frames], len(frames)),
        "flow, farneback": clocked(lambda: [flow(*pair, "farneback") for pair in pairs], len(pairs)),
        "(instead: flow, dis)": clocked(lambda: [flow(*pair, "dis") for pair in pairs], len(pairs)),
        "flow image": clocked(
            lambda: [flow_image(one, size=config.image_size) for one in flows["farneback"]], len(pairs)
        ),
        "frame image": clocked(lambda: [frame_image(frame, config.image_size) for frame in frames], len(frames)),
        "PNG, writing two": 2 * clocked(lambda: [cv2.imencode(".png", image, PNG) for image in both], len(both)),
        "PNG, reading two": 2 * clocked(lambda: [cv2.imdecode(blob, cv2.IMREAD_COLOR) for blob in blobs], len(both)),
    }
    if config.detector_weights != "none":
        detector = Detector(config, threads=1)
        stages["detector"] = clocked(
            lambda: [detector.bags(frames[start : start + 8]) for start in range(0, len(frames), 8)], len(frames)
        )
    network = fused(build_network(config.backbone, config.backbone_weights))
    batch = np.stack(pictures)
    with torch.inference_mode():
        stages[f"{config.backbone}, two streams"] = 2 * clocked(
            lambda: network(preprocess(batch, config.backbone)), len(batch)
        )
    jpeg = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for image in both]
    sizes = {
        "png": 2 * np.mean([len(blob) for blob in blobs]),
        "raw": 6 * config.image_size**2,
        "jpeg_95": 2 * np.mean([len(blob) for blob in jpeg]),
    }
    return stages, {name: float(size) for name, size in sizes.items()}


def whole_times(paths: list[Path], config) -> dict[str, float]:
    """Wall time of all videos' samples in config.workers processes, and of both streams' features."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    videos = [Video(f"{n}-{path.stem}", path, "Normal", "test", "benchmark") for n, path in enumerate(paths)]
    start = time.perf_counter()
    samples, _ = extract(videos, config)
    middle = time.perf_counter()
    extract_features(samples, dict.fromkeys(("frame", "flow"), network_of(config, config.backbone)), config)
    return {
        "rows": sum(len(one) for one in samples),
        "extract_s": middle - start,
        "features_s": time.perf_counter() - middle,
    }


def clocked(work: Callable[[], object], items: int, warm: bool = True, repeats: int = 3) -> float:
    """Milliseconds of processor time an item, the best of a few repeats."""
    if warm:
        work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times) / items


def made_video(path: Path, *, seed: int, frames: int = 600) -> Path:
    """A video of blurred noise that drifts, with a brighter patch that moves faster."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (480, 1400, 3), dtype=np.uint8), (0, 0), 2)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (320, 240))
    if not writer.isOpened():
        raise SystemExit(f"OpenCV cannot write {path}")
    for number in range(frames):
        image = noise[40:280, number % 1000 : number % 1000 + 320].copy()
        left = 3 * number % 280
        image[80:180, left : left + 40] = noise[300:400, left : left + 40] // 2 + 120
        writer.write(image)
    writer.release()
    return path


if __name__ == "__main__":
    main()
