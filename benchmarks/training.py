"""How long training takes on cached features: `python benchmarks/training.py [--rows 3000] [--width 512]`.

Prints a table and one JSON line. Random features, so that no run stops early: the time is the longest
that these epochs can take.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from vadkit.config import Config
from vadkit.systems import find_system
from vadkit.training import Examples, train


def examples(rows: int, feature_dim: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(rows, feature_dim, generator=generator).half()
    return Examples(features, torch.poisson(torch.full((rows, 80), 0.1), generator=generator), torch.randint(0, 2, (rows,), generator=generator))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--validation-rows", type=int, default=700)
    parser.add_argument("--feature-dim", type=int, default=1280, help="of one stream")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--systems", nargs="+", default=["2S-bag", "2S-bag-no-hm", "1S-bag"])
    arguments = parser.parse_args()
    config = Config(head_width=arguments.width, head_epochs=arguments.epochs, patience=arguments.epochs + 1)
    lines = []
    for name in arguments.systems:
        system = find_system(name)
        dim = arguments.feature_dim * system.streams
        training, validation = examples(arguments.rows, dim, 0), examples(arguments.validation_rows, dim, 1)
        started = time.perf_counter()
        history = train(config, system, training, validation, seed=0).history
        seconds = time.perf_counter() - started
        steps = sum(epoch.samples for epoch in history) / config.batch_size
        lines.append({"system": name, "epochs": len(history), "s_per_epoch": round(seconds / len(history), 3), "ms_per_step": round(1000 * seconds / steps, 2)})
    print(f"{'system':<16}{'epochs':>8}{'s/epoch':>10}{'ms/step':>10}")
    for line in lines:
        print(f"{line['system']:<16}{line['epochs']:>8}{line['s_per_epoch']:>10.3f}{line['ms_per_step']:>10.2f}")
    print(json.dumps({"benchmark": "training", "rows": arguments.rows, "feature_dim": arguments.feature_dim, "width": arguments.width, "threads": torch.get_num_threads(), "results": lines}))


if __name__ == "__main__":
    main()
