"""Pretrain the narrow 3D networks that ship with the project on renders of everyday life.

    python -m demo_world.train_clips

They stand to the demo as C3D's Sports-1M and I3D's Kinetics weights stand to the papers: action recognition, learned on
other footage. Every clip comes from seeds and cameras that no demo world uses and from normal life only; no crime is
staged, so nothing of the anomalies' labels is in these weights. The network says which everyday scripts and acts go
on, and in which part of the view; how many people are there, how fast they move and act (see `everyday_clips`).
It prints average precision on clips of unseen seeds and cameras, from the files as they ship.
"""

from __future__ import annotations

import argparse
import copy
import math
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from demo_world import ASSETS
from demo_world.everyday_clips import ACTS, GRID, LABELS, MEASURES, SCRIPTS, SIZE, read_clips, write_clips
from vadkit.models.c3d import C3D
from vadkit.models.network import build_network, preprocess
from vadkit.models.pretrained import WORLD_WIDTH

NETWORKS = ("c3d", "i3d_flow", "i3d_rgb")
PEAK_LR = {"c3d": 2e-3, "i3d_flow": 4e-3, "i3d_rgb": 4e-3}
EPOCHS = {"c3d": 3, "i3d_flow": 5, "i3d_rgb": 5}
BATCH = 32


# --- training ---


class Pretext(nn.Module):
    """A 3D network and what is asked of it: a linear layer on its features, and one on each place of its last maps."""

    def __init__(self, network: nn.Module, grid: int):
        super().__init__()
        self.network, self.grid = network, grid
        channels = network.channels if isinstance(network, C3D) else network.feature_dim
        self.whole = nn.Linear(network.feature_dim, len(LABELS))
        self.cells = nn.Conv2d(channels, len(LABELS) + len(MEASURES), 1)
        self._maps: list[torch.Tensor] = []
        network.target_layer.register_forward_hook(lambda module, inputs, output: self._maps.append(output))

    def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, C, T, S, S) -> (n, labels), (n, labels + measures, grid, grid)."""
        features = self.network(clips)
        maps = self._maps.pop()
        return self.whole(functional.dropout(features, 0.2, self.training)), self.cells(maps.mean(dim=2))

    def loss(self, clips: torch.Tensor, labels: torch.Tensor, measures: torch.Tensor) -> torch.Tensor:
        whole, cells = self(clips)
        labels, measures = (
            functional.adaptive_max_pool2d(t.permute(0, 3, 1, 2).float(), self.grid) for t in (labels, measures)
        )
        told, measured = cells.float().split([len(LABELS), len(MEASURES)], dim=1)
        loss = functional.binary_cross_entropy_with_logits(whole.float(), labels.amax(dim=(2, 3)))
        loss = loss + functional.binary_cross_entropy_with_logits(told, labels)
        return loss + 0.3 * functional.smooth_l1_loss(measured, measures)


def untrained(name: str) -> nn.Module:
    """The narrow network; C3D, which has no batch normalisation, gets one behind each convolution for the training."""
    network = build_network(name, "random", width=WORLD_WIDTH, size=SIZE)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if name == "c3d":
        for key, conv in list(network.named_children()):
            if isinstance(conv, nn.Conv3d):
                setattr(network, key, nn.Sequential(conv, nn.BatchNorm3d(conv.out_channels)))
    return network


def finished(network: nn.Module) -> nn.Module:
    """The trained network as it ships: C3D's batch normalisation folded into its convolutions, which is exact."""
    network = copy.deepcopy(network).eval()
    for key, module in list(network.named_children()):
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv3d):
            setattr(network, key, fuse_conv_bn_eval(module[0], module[1]))
    return network


def write_weights(network: nn.Module, path: Path) -> None:
    """The network's weights as numpy's arrays.

    Of convolutions and matrices 255 values a channel are left, even steps up to the largest (off by half a step at
    most, 1/254 of it), so that the file compresses to less than half.
    """
    arrays = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if value.ndim > 1:
            step = value.abs().amax(dim=tuple(range(1, value.ndim)), keepdim=True).clamp_min(1e-12) / 127
            value = (value / step).round().to(torch.int8).float() * step
        arrays[name] = value.numpy()
    np.savez_compressed(path, **arrays)


def batch_of(
    data: dict[str, np.ndarray], rows: np.ndarray, name: str, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A training batch: half of it mirrored, pictures with a gain of their own."""
    rows = np.sort(rows)
    clips, labels, measures = data["clips"][rows], data["labels"][rows], data["measures"][rows]
    for k in np.flatnonzero(rng.random(len(rows)) < 0.5):
        clips[k], labels[k] = clips[k][:, :, ::-1].copy(), labels[k][:, ::-1].copy()
        measures[k] = measures[k][:, ::-1].copy()
        if name == "i3d_flow":  # a mirrored displacement points the other way
            clips[k][..., 0] = np.minimum(256 - clips[k][..., 0].astype(np.int16), 255)
    if name != "i3d_flow":
        gains = rng.uniform(0.75, 1.25, (len(rows), 1, 1, 1, 1)) * rng.uniform(0.95, 1.05, (len(rows), 1, 1, 1, 3))
        clips = np.clip(clips * gains.astype(np.float32), 0, 255).astype(np.uint8)
    return as_input(clips, name), torch.from_numpy(labels), torch.from_numpy(measures)


def as_input(clips: np.ndarray, name: str) -> torch.Tensor:
    if name == "i3d_flow":
        clips = np.concatenate([clips, np.full((*clips.shape[:-1], 1), 128, np.uint8)], axis=-1)
    return preprocess(clips, name)


def train(name: str, root: Path, epochs: int, threads: int) -> Pretext:
    """Train from scratch on the CPU in bfloat16; returns the network with its averaged weights."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    data = read_clips(root, "train", "flow" if name == "i3d_flow" else "rgb")
    model = Pretext(untrained(name), GRID if name == "c3d" else 2).train()
    averaged = copy.deepcopy(model.state_dict())
    decayed, plain = ([p for p in model.parameters() if (p.ndim > 1) == flag] for flag in (True, False))
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 2e-2}, {"params": plain, "weight_decay": 0.0}], betas=(0.9, 0.99)
    )
    steps, done, start, losses = epochs * (len(data["clips"]) // BATCH), 0, time.time(), []
    for _ in range(epochs):
        order = rng.permutation(len(data["clips"]))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            falling = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done / steps))
            for group in optimiser.param_groups:
                group["lr"] = PEAK_LR[name] * min(1.0, (done + 1) / 40) * falling
            clips, labels, measures = batch_of(data, order[first : first + BATCH], name, rng)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model.loss(clips, labels, measures)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            done += 1
            losses.append(float(loss.detach()))
            decay = 0.98 * (1 - math.exp(-done / 50))
            with torch.no_grad():
                for key, value in model.state_dict().items():
                    averaged[key].lerp_(value, 1 - decay) if value.is_floating_point() else averaged[key].copy_(value)
            if done % 20 == 0:
                recent, passed = np.mean(losses[-20:]), time.time() - start
                print(f"{name}: step {done}/{steps} loss {recent:.4f} after {passed:.0f} s", flush=True)
    model.load_state_dict(averaged)
    return model.eval()


# --- what it learned ---


@torch.inference_mode()
def predict(model: Pretext, data: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Scores of every label for every clip. Shape: -> (n, labels)."""
    batches = (data["clips"][k : k + BATCH] for k in range(0, len(data["clips"]), BATCH))
    return np.concatenate([model(as_input(np.array(clips), name))[0].numpy() for clips in batches])


def precision(
    scores: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> tuple[float, float, dict[str, tuple[float, float]]]:
    """Mean average precision over the labels with at least five positive clips, its chance level (the mean share of
    positives), and each label's."""
    from sklearn.metrics import average_precision_score

    each = {}
    for k, name in enumerate(LABELS):
        if name in names and labels[:, k].sum() >= 5:
            each[name] = (float(average_precision_score(labels[:, k], scores[:, k])), float(labels[:, k].mean()))
    values = np.array(list(each.values()))
    return float(values[:, 0].mean()), float(values[:, 1].mean()), each


def report(model: Pretext, name: str, root: Path) -> None:
    """Print what the network recognises on unseen seeds and cameras, in the rows of docs/demo_world.md."""
    data = read_clips(root, "test", "flow" if name == "i3d_flow" else "rgb")
    scores, labels, crop = predict(model, data, name), data["labels"].max(axis=(1, 2)), np.array(data["crop"])
    cells = []
    for names in (SCRIPTS, ACTS):
        for chosen in (~crop, crop):
            got, chance, _ = precision(scores[chosen], labels[chosen], names)
            cells.append(f"{100 * got:.1f} ({100 * chance:.1f})")
    print("| network | scripts, whole frame | scripts, crop | acts, whole frame | acts, crop |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    _, _, each = precision(scores[crop], labels[crop], LABELS)
    shares = (f"{label} {100 * got:.0f} ({100 * chance:.0f})" for label, (got, chance) in each.items())
    print(f"crops, each label, chance in brackets: {', '.join(shares)}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder of the files to write, world_<network>.npz")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--stages", type=int, default=400, help="rendered training videos of eight seconds")
    parser.add_argument("--test-stages", type=int, default=60, help="rendered videos to report on")
    parser.add_argument("--epochs", type=int, help="passes over the clips; each network's own otherwise")
    parser.add_argument("--threads", type=int, default=1, help="more only help on an idle machine")
    parser.add_argument("--work", type=Path, help="folder to keep the clips in; a temporary one otherwise")
    options = parser.parse_args(arguments)
    root = (options.work or Path(tempfile.mkdtemp(prefix="world-clips-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    for part, stages in (("test", options.test_stages), ("train", options.stages)):
        write_clips(root, part, stages, options.threads)
    print(f"rendered after {time.process_time() - start:.0f} s of CPU time", flush=True)
    for name in options.networks:
        model = train(name, root, options.epochs or EPOCHS[name], options.threads)
        out = options.out / f"world_{name}.npz"
        write_weights(finished(model.network), out)
        size, passed = out.stat().st_size / 1e6, time.process_time() - start
        print(f"{out}: {size:.2f} MB, trained after {passed:.0f} s of CPU time", flush=True)
        shipped = build_network(name, str(out), width=WORLD_WIDTH, size=SIZE)
        told = Pretext(shipped, model.grid).eval()
        told.whole.load_state_dict(model.whole.state_dict())
        report(told, name, root)
    if options.work is None:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
