"""How fast a video decodes: all frames converted, one in ten, none. Prints a table and a JSON line.

    python benchmarks/decode.py [VIDEO] [--repeats 5]

Without a video it writes one (320x240, 1000 frames, MPEG-4). `opencv` rows are bare loops to compare with.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.video import inspect, read_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or made_video(Path(folder) / "made.mp4")
        facts = inspect(path)
        ways: dict[str, Callable[[], int]] = {
            "every frame, vadkit": lambda: sum(1 for _ in read_frames(path)),
            "every frame, opencv": lambda: bare_loop(path, 1),
            "1 in 10, vadkit": lambda: sum(1 for _ in read_frames(path, lambda number: number % 10 == 0)),
            "1 in 10, opencv": lambda: bare_loop(path, 10),
            "grabbed only, vadkit": lambda: inspect(path).frames,
            "grabbed only, opencv": lambda: bare_loop(path, 0),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.repeats):  # in turn, so that a busy moment does not hit one way alone
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append(time.perf_counter() - start)
        fps = {name: facts.frames / min(seconds) for name, seconds in times.items()}
    print(f"{path.name}: {facts.frames} frames, {facts.width}x{facts.height}; best of {options.repeats}")
    for name, value in fps.items():
        print(f"{name:22} {value:9.0f} frames/s")
    record = {"benchmark": "decode", "video": path.name, "size": [facts.width, facts.height], "frames": facts.frames}
    print(
        json.dumps(
            record
            | {
                "fps": {name: round(value) for name, value in fps.items()},
                "opencv": cv2.__version__,
                "machine": platform.machine(),
            }
        )
    )


def bare_loop(path: Path, stride: int) -> int:
    capture, number, images = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0, 0
    while capture.grab():
        if stride and number % stride == 0:
            capture.retrieve()
            images += 1
        number += 1
    capture.release()
    return images


def made_video(path: Path, frames: int = 1000) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    scene = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
    for number in range(frames):
        writer.write(np.roll(scene, number, axis=1))
    writer.release()
    return path


if __name__ == "__main__":
    main()
