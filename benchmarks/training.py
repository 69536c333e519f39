"""How long training takes on cached features: `python benchmarks/training.py [--rows 3000] [--width 512]`.

Prints a table and one JSON line. Random features, so that no run stops early: the time is the longest that these
epochs can take. Then one epoch on features that are computed anew whenever they are asked for, as training without a
cache does, beside the same epoch on cached ones: the ratio of their steps' rates, and how far their losses differ.
Last, the second paper's Learner on features of which half are always zero, as they are behind a ReLU, with and without
denormal numbers: those that the weight decay makes of the weights beside them.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch

from vadkit.core.config import Config
from vadkit.models.network import Network, network_of
from vadkit.systems.bag_trainer import train_learner
from vadkit.systems.base import System, find_system
from vadkit.systems.examples import Examples
from vadkit.systems.trainer import train
from vadkit.views.segments import Bag


def examples(rows: int, feature_dim: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(rows, feature_dim, generator=generator).half()
    return Examples(
        features,
        torch.poisson(torch.full((rows, 80), 0.1), generator=generator),
        torch.randint(0, 2, (rows,), generator=generator),
    )


class Recomputed(torch.Tensor):
    """Features that are computed from these images whenever some are asked for."""

    images: np.ndarray
    network: Network
    module: torch.nn.Module

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        images = [self.images[rows.numpy()], self.images[rows.numpy()][:, :, ::-1]]  # of two streams
        with torch.no_grad():
            pooled = [self.module(self.network.preprocess(one)) for one in images]
        return torch.cat(pooled, dim=1).half()


def against_recomputing(config: Config, system: System, rows: int) -> dict[str, float]:
    """One epoch of phase one by the same code on cached features, and on features computed anew for every step."""
    Recomputed.network = network_of(config, config.backbone)
    Recomputed.module = Recomputed.network.build("cpu")
    side = config.image_size
    Recomputed.images = np.random.default_rng(0).integers(0, 256, (rows, side, side, 3), np.uint8)
    empty = torch.empty(rows, 0).as_subclass(Recomputed)
    cached = torch.cat([empty[part] for part in torch.arange(rows).split(16)])
    of = examples(rows, 0, 0)
    one = config.model_copy(update={"head_epochs": 1})
    epochs = {}
    for name, features in (("cached", cached), ("recomputed", cached.as_subclass(Recomputed))):
        fitted = train(one, system, replace(of, features=features), replace(of, features=cached), seed=0)
        epochs[name] = fitted.history[0]
    ratio = epochs["recomputed"].seconds / epochs["cached"].seconds
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in epochs.values()]
    return {"ratio": ratio, "difference": float(np.abs(np.diff(losses, axis=0)).max())}


def learner_seconds(config: Config, feature_dim: int, flush: bool) -> list[float]:
    """Seconds of each epoch of a Learner. flush: as the workbook trains; otherwise denormal numbers are computed
    with."""
    rng = np.random.default_rng(0)
    features = np.abs(rng.normal(size=(80, 32, feature_dim))).astype(np.float32)
    features[..., rng.random(feature_dim) < 0.5] = 0
    bags = [Bag(np.arange(32), one) for one in features]
    with nullcontext() if flush else patch("torch.set_flush_denormal"):
        _, history = train_learner(config, (bags[:60], [1] * 30 + [0] * 30), (bags[60:], [0, 1] * 10), 0, streams=2)
    return [epoch.seconds for epoch in history]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--validation-rows", type=int, default=700)
    parser.add_argument("--feature-dim", type=int, default=1280, help="of one stream")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--systems", nargs="+", default=["2S-bag", "2S-bag-no-hm", "1S-bag"])
    parser.add_argument("--recomputed-rows", type=int, default=64, help="of the epoch without a cache")
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
        lines.append(
            {
                "system": name,
                "epochs": len(history),
                "s_per_epoch": round(seconds / len(history), 3),
                "ms_per_step": round(1000 * seconds / steps, 2),
            }
        )
    print(f"{'system':<16}{'epochs':>8}{'s/epoch':>10}{'ms/step':>10}")
    for line in lines:
        print(f"{line['system']:<16}{line['epochs']:>8}{line['s_per_epoch']:>10.3f}{line['ms_per_step']:>10.2f}")
    anew = against_recomputing(config, find_system(arguments.systems[0]), arguments.recomputed_rows)
    print(f"cached features take {anew['ratio']:.0f} steps in the time of one on features that are computed anew,")
    print(f"{config.backbone} at {config.image_size} pixels; losses differ by {anew['difference']:.2g}")
    learner = {
        name: learner_seconds(Config(mil_epochs=2 * arguments.epochs), 2 * arguments.feature_dim, flush)
        for name, flush in (("flushed", True), ("denormal", False))
    }
    for name, seconds in learner.items():
        print(f"Learner, {name:<10} first epoch {seconds[0]:.3f} s, last {seconds[-1]:.3f} s")
    print(
        json.dumps(
            {
                "benchmark": "training",
                "rows": arguments.rows,
                "feature_dim": arguments.feature_dim,
                "width": arguments.width,
                "threads": torch.get_num_threads(),
                "results": lines,
                "recomputed": anew,
                "learner": learner,
            }
        )
    )


if __name__ == "__main__":
    main()
