"""Frozen networks by each inference engine: milliseconds an image or clip in one thread, and how far from torch.

python benchmarks/engines.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np
import torch

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import VadkitError
from vadkit.models.engine import frozen
from vadkit.models.network import network_of

ENGINES = ("torch", "onnxruntime", "openvino")
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


def measured(name: str, side: int, count: int, parameters: dict, folder: str, repeats: int) -> dict:
    """Milliseconds an item by engine, the best of all repeats taken in turns; the largest difference from torch."""
    configs = {engine: Config(cache_root=folder, inference=engine, **parameters) for engine in ENGINES}
    network = network_of(configs["torch"], name)
    shape = (count, 16, side, side, 3) if network.width else (count, side, side, 3)
    batch = network.preprocess(np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    compute, problems = {}, {}
    for engine, config in configs.items():
        try:
            compute[engine] = frozen(network, config, batch)
        except VadkitError as error:
            problems[engine] = str(error)
    reference = compute["torch"](batch)
    best = dict.fromkeys(compute, float("inf"))
    for _ in range(repeats):
        for engine, of in compute.items():
            started = time.process_time()
            of(batch)
            best[engine] = min(best[engine], time.process_time() - started)
    off = {engine: float((of(batch) - reference).abs().max() / reference.abs().max()) for engine, of in compute.items()}
    ms = {engine: 1000 * seconds / count for engine, seconds in best.items()}
    return {"network": name, "side": side, "ms": ms, "largest_relative": off, "problems": problems}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread; ms an image or clip")
    print(f"{'network':<24}" + "".join(f"{engine:>14}{'ratio':>8}" for engine in ENGINES) + f"{'off by':>10}")
    lines = []
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for case in CASES:
            line = measured(*case, folder, arguments.repeats)
            lines.append(line)
            ms, title = line["ms"], f"{line['network']} {line['side']} px"
            cells = [f"{ms[one]:>14.1f}{ms['torch'] / ms[one]:>8.2f}" if one in ms else f"{'-':>22}" for one in ENGINES]
            print(f"{title:<24}" + "".join(cells) + f"{max(line['largest_relative'].values()):>10.1e}")
            for problem in line["problems"].values():
                print(f"  {problem}")
    print(json.dumps({"benchmark": "engines", "threads": 1, "results": lines}))


if __name__ == "__main__":
    main()
