"""What a GPU is worth: a small case trained and scored on it and on this machine's CPU, and the networks by themselves.

The case is a rendered world, seen by two ResNet-50 of random weights (no weights are fetched), both phases of training
included; nothing about detection can be read off its scores, which are compared between the devices only. Prints a
table and a JSON line; needs a CUDA device and takes under five minutes.

    python benchmarks/gpu.py
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vadkit.core.compute import to_device
from vadkit.core.parameters import load_params
from vadkit.corpora import load_corpus
from vadkit.models.network import build_network, preprocess
from vadkit.models.pretrained import row_of
from vadkit.models.two_stream import Head, TwoStream, sample_losses
from vadkit.systems import runner
from vadkit.systems.base import find_system, sides_of
from vadkit.views.features import features_of

SYSTEM = "2S-no-bag"


def synchronised() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(step: Callable[[], object], repeats: int) -> float:
    """Seconds of one step: the median of three series, after a warm-up."""
    for _ in range(3):
        step()
    series = []
    for _ in range(3):
        started = synchronised()
        for _ in range(repeats):
            step()
        series.append((synchronised() - started) / repeats)
    return sorted(series)[1]


def case(config, device: str, precision: str) -> dict:
    """Train and score on one device; seconds and rates of each stage, and what came out.

    precision: "bfloat16", "tf32" (what torch takes for float32 in a GPU's convolutions) or "float32".
    """
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    what = {"device": device, "finetune_precision": precision.replace("tf32", "float32")}
    config = config.model_copy(update=what | {"cache_root": str(Path(config.cache_root, f"{device}_{precision}"))})
    corpus, system = load_corpus(config), find_system(SYSTEM)
    material = system.material(config, corpus)
    views = list(material.views.values())
    torch.cuda.reset_peak_memory_stats()
    started = synchronised()
    system.ready(config, views, None)
    features_s = synchronised() - started
    run = runner.run(config, corpus, system)
    run_s = synchronised() - started
    history = run.seeds[0].folds[0].history
    tested = run.by_seed()[0]
    sides = sides_of(run.system.folds(config, corpus, 0)[0], material.views)
    rows = sum(len(one.rows("train", config)) for one in sides.train)
    trained_s = {phase: sum(epoch.seconds for epoch in history if epoch.phase == phase) for phase in (1, 2)}
    first = views[0]
    return {
        "device": device,
        "precision": precision,
        "samples": sum(map(len, views)),
        "features_s": features_s,
        "phase_one_s": trained_s[1],
        "phase_two_s": trained_s[2],
        "phase_two_images_per_s": 2 * rows * config.finetune_epochs / trained_s[2],
        "run_s": run_s,
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else None,
        "losses": [epoch.train_loss for epoch in history],
        "confidence": np.concatenate([one.frame_scores() for one in tested]),
        "features": np.concatenate(
            [features_of(first, stream, network, config) for stream, network in system.networks(config).items()]
        ).astype(np.float32),
    }


def compared(ours: dict, reference: dict) -> dict:
    """How far a case's results are from another's."""
    scale = np.abs(reference["features"]).max()
    off = np.abs(ours["confidence"] - reference["confidence"])
    return {
        "features_largest_relative": float(np.abs(ours["features"] - reference["features"]).max() / scale),
        "confidence_largest": float(off.max()),
        "confidence_mean": float(off.mean()),
        "last_loss": ours["losses"][-1] - reference["losses"][-1],
    }


def forward_rates(device: str, size: int) -> list[dict]:
    """ResNet-50's images a second, in batches from this machine's memory: as torch does by default, and as we do."""
    images = np.random.default_rng(0).integers(0, 255, (size, 224, 224, 3), np.uint8)
    ours = build_network("resnet50", "random").to(device)
    plain = build_network("resnet50", "random").to(device).to(memory_format=torch.contiguous_format)
    batch = preprocess(images, "resnet50")
    kept = batch.contiguous()
    lines = []
    with torch.inference_mode():
        for name, step in {
            "tf32, channels first, pageable": lambda: plain(kept.to(device)),
            "tf32, channels last, pinned": lambda: ours(to_device(batch, device)),
            "bfloat16, channels last, pinned": lambda: _low(ours, to_device(batch, device), device),
        }.items():
            lines.append({"what": f"ResNet-50 forward, {name}", "images_per_s": size / timed(step, 10)})
    return lines


def _low(model, *inputs):
    *inputs, device = inputs
    with torch.autocast(device, torch.bfloat16):
        return model(*inputs)


def step_rates(device: str, names: tuple[str, ...], side: int, size: int) -> list[dict]:
    """Phase two's images or clips a second, of streams by these networks at full width, on batches on the device."""
    lines, draw = [], np.random.default_rng(0)
    for precision in ("tf32", "bfloat16"):
        streams = [build_network(name, "random", size=side).to(device) for name in names]
        model = TwoStream(streams, Head(sum(one.feature_dim for one in streams), use_bag=False)).to(device)
        model.train()
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=1e-6, fused=True)
        shape = (size, 16, side, side, 3) if row_of(names[0]).kind else (size, side, side, 3)
        images = [preprocess(draw.integers(0, 255, shape, np.uint8), name).to(device) for name in names]
        targets = torch.arange(size, device=device) % 2

        def step(model=model, optimiser=optimiser, images=images, low=precision == "bfloat16", targets=targets):
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=low):
                pooled = model.pooled(images)
            sample_losses(model.head(pooled), targets).mean().backward()
            optimiser.step()

        torch.cuda.reset_peak_memory_stats()
        rate = len(names) * size / timed(step, 5)
        peak = torch.cuda.max_memory_allocated() / 1e6
        what = f"phase two, {' + '.join(names)} at {side} px, steps of {size}, {precision}"
        lines.append({"what": what, "images_per_s": rate, "peak_mb": peak})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=16, help="to train on, and half as many to test on")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--without-cpu", action="store_true", help="leave the CPU's run out, and what is compared")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device; there is nothing to measure here")
    started = time.perf_counter()
    properties = torch.cuda.get_device_properties(0)
    print(f"{properties.name}, torch {torch.__version__}, {os.cpu_count()} CPU cores")
    with tempfile.TemporaryDirectory() as folder:
        smoke = Path(__file__).resolve().parent.parent / "params" / "smoke.yaml"
        config = load_params(smoke).model_copy(
            update={
                "cache_root": folder,
                "workers": min(os.cpu_count() or 1, 16),
                "world_train_videos": arguments.videos,
                "world_test_videos": arguments.videos // 2,
                "analysis_fps": 3.0,
                "image_size": 224,
                "detector_weights": "none",
                "backbone": "resnet50",
                "backbone_weights": "random",
                "head_width": 4096,
                "dropout": 0.0,  # a GPU draws other random numbers
                "head_lr": 1e-5,
                "head_epochs": 2,
                "hard_mining_alpha": 1,  # which sample is harder turns on the last digits
                "finetune_epochs": 1,
                "finetune_lr": 1e-6,
                "early_stopping": False,  # so that what is compared has been through both phases
            }
        )
        devices = [("cuda", precision) for precision in ("float32", "tf32", "bfloat16")]
        devices += [("cpu", "float32")] * (not arguments.without_cpu)
        lines = forward_rates("cuda", arguments.batch)  # the first use is slow
        lines += step_rates("cuda", ("resnet50", "resnet50"), 224, arguments.batch)
        for name, side in (("c3d", 112), ("i3d_rgb", 112), ("i3d_rgb", 224)):  # batches of the paper's size
            lines += step_rates("cuda", (name,), side, 16)
        cases = [case(config, *one) for one in devices]
    print(f"{'case':<18}{'features s':>12}{'phase one s':>13}{'phase two s':>13}{'images/s':>10}{'peak MB':>10}")
    for one in cases:
        print(
            f"{one['device'] + ' ' + one['precision']:<18}{one['features_s']:>12.2f}{one['phase_one_s']:>13.2f}"
            f"{one['phase_two_s']:>13.2f}{one['phase_two_images_per_s']:>10.0f}{one['peak_mb'] or 0:>10.0f}"
        )
    differences = {}
    if not arguments.without_cpu:
        for one in cases[:-1]:
            differences[one["precision"]] = compared(one, cases[-1])
            print(f"cuda {one['precision']} against cpu: {differences[one['precision']]}")
    for line in lines:
        print(f"{line['what']:<68}{line['images_per_s']:>8.0f} a second{line.get('peak_mb', 0):>10.0f} MB")
    kept = [{k: v for k, v in one.items() if not isinstance(v, np.ndarray)} for one in cases]
    found = {"cases": kept, "differences": differences, "networks": lines, "device": properties.name}
    print(json.dumps({"benchmark": "gpu", "seconds": time.perf_counter() - started, **found}))


if __name__ == "__main__":
    main()
