"""The reader of videos beside OpenCV, which it replaced: the same pixels, and how fast. Prints a table and a JSON line.

    python benchmarks/decoding.py VIDEO... [--repeats 5]

Both readers take turns, and the best of several passes counts. `equal`: frames with the same pixels, to the bit.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import av
import cv2
import numpy as np

from vadkit.core.video import read_frames

STRIDES = {"every frame": 1, "1 in 10": 10, "none converted": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    lines = []
    for path in options.videos:
        frames, equal = compare(path)
        line = {"video": path.name, "frames": frames, "equal": equal}
        for name, stride in STRIDES.items():
            best = {}
            for _ in range(options.repeats):
                for reader in (with_opencv, with_vadkit):
                    started = time.perf_counter()
                    reader(path, stride)
                    spent = time.perf_counter() - started
                    best[reader] = min(best.get(reader, spent), spent)
            line[name] = [round(frames / best[with_opencv]), round(frames / best[with_vadkit])]
        lines.append(line)
        speeds = "  ".join(f"{name}: {line[name][0]:6d} -> {line[name][1]:6d}" for name in STRIDES)
        print(f"{path.name:32} {equal} of {frames} frames equal   frames/s, OpenCV -> vadkit  {speeds}", flush=True)
    ratio = {name: float(np.exp(np.mean([np.log(one[name][1] / one[name][0]) for one in lines]))) for name in STRIDES}
    print("vadkit over OpenCV, geometric mean:", ", ".join(f"{name} {value:.2f}" for name, value in ratio.items()))
    versions = {"opencv": cv2.__version__, "av": av.__version__, "machine": platform.machine()}
    print(json.dumps({"benchmark": "decoding", "ratio": ratio, "videos": lines, **versions}))


def with_opencv(path: Path, stride: int) -> None:
    capture, number = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0
    while capture.grab():
        capture.get(cv2.CAP_PROP_POS_MSEC)
        if stride and number % stride == 0:
            capture.retrieve()
        number += 1
    capture.release()


def with_vadkit(path: Path, stride: int) -> None:
    for _ in read_frames(path, lambda number: stride > 0 and number % stride == 0):
        pass


def compare(path: Path) -> tuple[int, int]:
    """(frames, how many of them OpenCV decodes to the same pixels)."""
    capture, frames, equal = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0, 0
    for _, image in read_frames(path):
        frames += 1
        done, other = capture.read()
        equal += done and np.array_equal(image, other)
    capture.release()
    return frames, equal


if __name__ == "__main__":
    main()
