"""Frozen networks by each inference engine: milliseconds an image or clip in one thread, and how far from torch.

python benchmarks/engines.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import VadkitError
from vadkit.core.video import read_frames
from vadkit.models.engine import CALIBRATED, frozen
from vadkit.models.network import INT8, network_of

ENGINES = ("torch", "onnxruntime", "openvino", INT8)
CLIPS = Path(__file__).resolve().parents[1] / "notebooks" / "recorded" / "demo" / "clips"
# The network, the side of its input, how many at once, and its parameters. No package has ResNet-50's weights, and its
# time does not depend on them.
CASES = (
    ("efficientnet_lite0", 160, 32, {}),
    ("efficientnet_lite0", 224, 32, {}),
    ("resnet50", 224, 8, {"backbone": "resnet50", "backbone_weights": "random"}),
    ("c3d", 56, 8, {}),
    ("i3d_rgb", 56, 16, {}),
    ("i3d_flow", 56, 16, {}),
)


def pictures(side: int, of_clips: bool) -> np.ndarray:
    """Frames of the recorded demo's clips, spread over all, or clips of 16 of them. Shape: (n, [16,] S, S, 3) uint8."""
    found = []
    for path in sorted(CLIPS.glob("*.mp4")):
        frames = [cv2.resize(image[:, :, ::-1], (side, side)) for _, image in read_frames(path)]
        starts = np.linspace(0, len(frames) - 16, 8).astype(int)
        found += [np.stack(frames[k : k + 16]) if of_clips else frames[k] for k in starts]
    return np.stack(found)[:: max(len(found) // CALIBRATED, 1)][:CALIBRATED]


def measured(name: str, side: int, count: int, parameters: dict, folder: str, repeats: int) -> dict:
    """Milliseconds an item by engine, the best of all repeats taken in turns; how far its features are from torch's:
    the largest difference beside the largest value, of int8 the norm of the difference beside the norm."""
    configs = {engine: Config(cache_root=folder, inference=engine, **parameters) for engine in ENGINES}
    networks = {engine: network_of(config, name) for engine, config in configs.items()}
    images = networks["torch"].preprocess(pictures(side, networks["torch"].width is not None))
    batch, compute, problems = images[:count], {}, {}
    for engine, config in configs.items():
        try:
            compute[engine] = frozen(networks[engine], config, images, export=True)
        except VadkitError as error:
            problems[engine] = str(error)
    reference = compute["torch"](batch)
    best = dict.fromkeys(compute, float("inf"))
    for _ in range(repeats):
        for engine, of in compute.items():
            started = time.process_time()
            of(batch)
            best[engine] = min(best[engine], time.process_time() - started)
    off = {}
    for engine, of in compute.items():
        size = torch.linalg.vector_norm if engine == INT8 else lambda one: one.abs().max()
        off[engine] = float(size(of(batch) - reference) / size(reference))
    ms = {engine: 1000 * seconds / count for engine, seconds in best.items()}
    return {"network": name, "side": side, "ms": ms, "relative": off, "problems": problems}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread; ms an image or clip")
    print(
        f"{'network':<24}"
        + "".join(f"{engine:>14}{'ratio':>8}" for engine in ENGINES)
        + f"{'off by':>10}{'int8 by':>10}"
    )
    lines = []
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for case in CASES:
            line = measured(*case, folder, arguments.repeats)
            lines.append(line)
            ms, title = line["ms"], f"{line['network']} {line['side']} px"
            cells = [f"{ms[one]:>14.1f}{ms['torch'] / ms[one]:>8.2f}" if one in ms else f"{'-':>22}" for one in ENGINES]
            off = line["relative"]
            exact = max(value for engine, value in off.items() if engine != INT8)
            print(f"{title:<24}" + "".join(cells) + f"{exact:>10.1e}{off.get(INT8, float('nan')):>10.3f}", flush=True)
            for problem in line["problems"].values():
                print(f"  {problem}")
    print(json.dumps({"benchmark": "engines", "threads": 1, "results": lines}))


if __name__ == "__main__":
    main()
