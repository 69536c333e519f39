"""Pretrain the narrow 3D networks that ship with the project on renders of everyday life.

    python -m vadkit.corpora.world.train_clips

They stand to the demo as C3D's Sports-1M and I3D's Kinetics weights stand to the papers: action recognition, learned on
other footage. Every clip comes from seeds and cameras that no demo world uses and from normal life only; no crime is
staged, so nothing of the anomalies' labels is in these weights. A clip is seen as a whole frame or as a crop around
people, and the network says which everyday scripts and acts go on, and in which part of the view; how many people
are there, how fast they move and act. A quarter of the clips is played at double speed, which doubles the speeds.
It prints average precision on clips of unseen seeds and cameras, from the files as they ship.
"""

from __future__ import annotations

import argparse
import bisect
import copy
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from joblib import Parallel, delayed
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vadkit.clips import flow_picture
from vadkit.corpora.synthetic import CRF, PRESET
from vadkit.corpora.world import FPS, HEIGHT, WIDTH
from vadkit.corpora.world.camera import OUTDOOR, SCENES, make_camera
from vadkit.corpora.world.everyday import EPISODES, passers_by, traffic
from vadkit.corpora.world.render import Renderer
from vadkit.corpora.world.scenes import make_scene
from vadkit.corpora.world.stage import Actor, Stage
from vadkit.encode import write_h264
from vadkit.flow import flow, gray, resized
from vadkit.models import c3d, scaled
from vadkit.models.video import ASSETS, WORLD_WIDTH, build_video_network, preprocess_clips
from vadkit.video import read_frames
from vadkit.weights import packed

# A demo world's cameras are seeded by (world_seed, 1 to 3, ...), the detector's by (..., 4, ...): 5 is this module's alone.
CLIP_SPLIT = 5
PARTS = {"train": 0, "test": 1}
NETWORKS = ("c3d", "i3d_flow", "i3d_rgb")
SIZE, FRAMES = 64, 16
SECONDS = 8.0
VIEWS = 12  # clips of a stage: half of them whole frames, half crops
DOUBLE = 0.25  # share of clips played at double speed
GRID = 4  # rows and columns of a view in which people are told apart

SCRIPTS = tuple(EPISODES)
ACTS = ("walk", "run", "idle", "look", "talk", "reach", "exchange", "guard", "hug", "hands_up", "point", "crouch", "swing", "grab", "lie", "sit", "play")
LABELS = SCRIPTS + ACTS
MEASURES = ("people", "speed", "tempo")  # of a cell: how many, metres a second, acts a second times their size; the largest
RUN = 2.2  # metres a second

PEAK_LR = {"c3d": 2e-3, "i3d_flow": 4e-3, "i3d_rgb": 4e-3}
EPOCHS = {"c3d": 3, "i3d_flow": 5, "i3d_rgb": 5}
BATCH = 32


# --- clips ---


@dataclass
class Scripted:
    """An everyday script of a stage: its name, when it goes on, and who takes part."""

    name: str
    start: float
    end: float
    actors: list[Actor]


def everyday_stage(seed: tuple[int, ...]) -> tuple[Stage, list[Scripted]]:
    """Eight seconds of normal life: one or two encounters, each as likely as another, passers-by and traffic."""
    rng = np.random.default_rng([*seed, 40])
    scene = str(rng.choice(SCENES))
    stage = Stage(make_scene(make_camera(seed, scene, "clips")), SECONDS, rng)
    fitting = [name for name, (_, _, outdoor) in EPISODES.items() if not outdoor or scene in OUTDOOR]
    scripts = []
    for name in rng.choice(fitting, 1 + int(rng.random() < 0.4), replace=False):
        start = stage.u(0.2, 1.5)
        end, (x, z), known = start + stage.u(4.5, 6.3), stage.place(1.3), len(stage.actors)
        EPISODES[str(name)][0](stage, start, end, x, z)
        scripts.append(Scripted(str(name), start, end, stage.actors[known:]))
    passers_by(stage, int(rng.integers(0, 3)))
    traffic(stage, int(rng.integers(0, 2)))
    stage.involved = [actor for actor in stage.actors if not actor.dog]  # the renderer gives the boxes of these
    return stage, scripts


def doing(actor: Actor, t: float) -> tuple[str, float, float]:
    """What somebody does at a time: (act, metres a second, tempo)."""
    k = max(bisect.bisect_right(actor.starts, t) - 1, 0)
    s = actor.segments[k]
    speed = math.hypot(s.x1 - s.x0, s.z1 - s.z0) / (s.end - s.start) if t < s.end else 0.0
    return s.act, speed, 0.0 if s.act in ("walk", "idle", "sit") else s.rate * s.size


def stage_clips(seed: tuple[int, ...], folder: Path) -> dict[str, np.ndarray]:
    """The clips of one stage, encoded and decoded as the demo's videos are.

    "rgb" (n, T, S, S, 3) uint8, "flow" (n, T, S, S, 2) uint8 as vadkit.clips stores it, "labels" (n, GRID, GRID, labels)
    uint8, "measures" (n, GRID, GRID, measures) float32, "crop" (n,) bool.
    """
    cv2.setNumThreads(1)
    stage, scripts = everyday_stage(seed)
    renderer = Renderer(stage, seed)
    boxes: list[dict[int, tuple[float, ...]]] = []

    def drawn() -> Iterator[np.ndarray]:
        for frame in range(renderer.frames):
            image, _, people = renderer.draw(frame)
            boxes.append(people)
            yield image

    path = folder / f"{'-'.join(map(str, seed))}.mp4"
    write_h264(path, drawn(), FPS, CRF, PRESET)
    with closing(read_frames(path)) as read:
        frames = [image for _, image in read]
    path.unlink()
    grays, flows = [gray(frame) for frame in frames], {}
    rng = np.random.default_rng([*seed, 41])
    made: dict[str, list] = {"rgb": [], "flow": [], "labels": [], "measures": [], "crop": []}
    for k in range(VIEWS):
        step = 2 if rng.random() < DOUBLE else 1
        first = int(rng.integers(step, len(frames) - step * (FRAMES - 1)))
        numbers = list(range(first, first + step * FRAMES, step))
        view = crop_around(boxes, numbers, scripts, stage, rng) if k % 2 else (0, 0, WIDTH, HEIGHT)
        x1, y1, x2, y2 = view
        for n in numbers:
            if (n, step) not in flows:
                flows[n, step] = flow(grays[n - step], grays[n], "dis")
        made["rgb"].append([resized(cv2.cvtColor(frames[n][y1:y2, x1:x2], cv2.COLOR_BGR2RGB), SIZE, SIZE) for n in numbers])
        made["flow"].append([flow_picture(flows[n, step][y1:y2, x1:x2], SIZE)[..., :2] for n in numbers])
        labels, measures = targets(boxes, numbers, step, view, scripts, stage)
        made["labels"].append(labels)
        made["measures"].append(measures)
        made["crop"].append(bool(k % 2))
    return {name: np.array(values) for name, values in made.items()}


def crop_around(boxes: list[dict], numbers: list[int], scripts: list[Scripted], stage: Stage, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A square around somebody, or around all who take part in a script; the middle of the frame where nobody is."""
    seen = sorted({k for n in numbers for k in boxes[n]})
    if seen and rng.random() < 0.5:
        cast = scripts[int(rng.integers(len(scripts)))].actors
        group = [k for k in seen if stage.involved[k] in cast] or seen[:1]
    else:
        group = [seen[int(rng.integers(len(seen)))]] if seen else []
    around = np.array([boxes[n][k] for n in numbers for k in group if k in boxes[n]] or [(100, 60, 220, 180)])
    (x1, y1), (x2, y2) = around[:, :2].min(0), around[:, 2:].max(0)
    side = int(np.clip(max(x2 - x1, y2 - y1) * rng.uniform(1.0, 1.9), 48, HEIGHT))
    cx, cy = (x1 + x2) / 2 + rng.uniform(-0.1, 0.1) * side, (y1 + y2) / 2 + rng.uniform(-0.1, 0.1) * side
    left, top = int(np.clip(cx - side / 2, 0, WIDTH - side)), int(np.clip(cy - side / 2, 0, HEIGHT - side))
    return left, top, left + side, top + side


def targets(boxes: list[dict], numbers: list[int], step: int, view: tuple[int, int, int, int], scripts: list[Scripted], stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """What goes on in each cell of a view. A script counts where its people are, if it fills half of the clip."""
    labels = np.zeros((GRID, GRID, len(LABELS)), np.uint8)
    seen = np.zeros((GRID, GRID, len(ACTS)), np.int64)
    measures = np.zeros((GRID, GRID, len(MEASURES)), np.float32)
    sampled = numbers[1::3]
    for n in sampled:
        t, here = n / FPS, np.zeros((GRID, GRID))
        for k, box in boxes[n].items():
            cells = cells_of(box, view)
            if not cells.any():
                continue
            actor = stage.involved[k]
            act, speed, tempo = doing(actor, t)
            speed, tempo = speed * step, tempo * step
            act = "run" if act == "walk" and speed > RUN else act
            here += cells
            measures[cells, 1:] = np.maximum(measures[cells, 1:], (speed, tempo))
            if act in ACTS:
                seen[cells, ACTS.index(act)] += 1
            for script in scripts:
                if actor in script.actors:
                    labels[cells, SCRIPTS.index(script.name)] = 1
        measures[..., 0] = np.maximum(measures[..., 0], here)
    start, end = numbers[0] / FPS, (numbers[-1] + 1) / FPS
    for script in scripts:
        if min(end, script.end) - max(start, script.start) < 0.5 * (end - start):
            labels[..., SCRIPTS.index(script.name)] = 0
    labels[..., len(SCRIPTS) :] = seen >= 2
    return labels, np.log1p(measures)


def cells_of(box: tuple[float, ...], view: tuple[int, int, int, int]) -> np.ndarray:
    """The cells of a view that a box fills to 30%, or that hold 30% of it. Shape: -> (GRID, GRID) bool."""
    x1, y1, x2, y2 = view
    width, height = (x2 - x1) / GRID, (y2 - y1) / GRID
    across = [max(min(box[2], x1 + (k + 1) * width) - max(box[0], x1 + k * width), 0.0) for k in range(GRID)]
    down = [max(min(box[3], y1 + (k + 1) * height) - max(box[1], y1 + k * height), 0.0) for k in range(GRID)]
    area = max((box[2] - box[0]) * (box[3] - box[1]), 1.0)
    return np.outer(down, across) >= 0.3 * min(width * height, area)


def write_clips(root: Path, part: str, stages: int, workers: int) -> None:
    """Render all clips of a part into `<root>/<part>-<what>.npy`; a finished part is left as it is."""
    if (root / f"{part}-done").is_file():
        return
    kinds = {"rgb": ((FRAMES, SIZE, SIZE, 3), np.uint8), "flow": ((FRAMES, SIZE, SIZE, 2), np.uint8), "labels": ((GRID, GRID, len(LABELS)), np.uint8), "measures": ((GRID, GRID, len(MEASURES)), np.float32), "crop": ((), bool)}
    files = {what: np.lib.format.open_memmap(root / f"{part}-{what}.npy", "w+", dtype, (stages * VIEWS, *shape)) for what, (shape, dtype) in kinds.items()}
    jobs = (delayed(stage_clips)((PARTS[part], CLIP_SPLIT, k), root) for k in range(stages))
    for k, made in enumerate(Parallel(n_jobs=workers, return_as="generator")(jobs)):
        for what, values in made.items():
            files[what][k * VIEWS : (k + 1) * VIEWS] = values
        if k % 50 == 49:
            print(f"{part}: {k + 1}/{stages} stages", flush=True)
    (root / f"{part}-done").touch()


def read_clips(root: Path, part: str, stream: str) -> dict[str, np.ndarray]:
    """Clips and targets of a part; the clips stay on disk until they are asked for."""
    return {what: np.load(root / f"{part}-{file}.npy", mmap_mode="r") for what, file in (("clips", stream), ("labels", "labels"), ("measures", "measures"), ("crop", "crop"))}


# --- training ---


class Pretext(nn.Module):
    """A 3D network and what is asked of it: a linear layer on its features, and one on each place of its last maps."""

    def __init__(self, network: nn.Module, grid: int):
        super().__init__()
        self.network, self.grid = network, grid
        channels = scaled(c3d.CHANNELS["conv5b"], WORLD_WIDTH) if isinstance(network, c3d.C3D) else network.feature_dim
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
        labels, measures = (functional.adaptive_max_pool2d(t.permute(0, 3, 1, 2).float(), self.grid) for t in (labels, measures))
        told, measured = cells.float().split([len(LABELS), len(MEASURES)], dim=1)
        loss = functional.binary_cross_entropy_with_logits(whole.float(), labels.amax(dim=(2, 3)))
        return loss + functional.binary_cross_entropy_with_logits(told, labels) + 0.3 * functional.smooth_l1_loss(measured, measures)


def untrained(name: str) -> nn.Module:
    """The narrow network; C3D, which has no batch normalisation, gets one behind each convolution for the training."""
    network = build_video_network(name, "random", width=WORLD_WIDTH, size=SIZE)
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


def batch_of(data: dict[str, np.ndarray], rows: np.ndarray, name: str, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A training batch: half of it mirrored, pictures with a gain of their own."""
    rows = np.sort(rows)
    clips, labels, measures = data["clips"][rows], data["labels"][rows], data["measures"][rows]
    for k in np.flatnonzero(rng.random(len(rows)) < 0.5):
        clips[k], labels[k], measures[k] = clips[k][:, :, ::-1].copy(), labels[k][:, ::-1].copy(), measures[k][:, ::-1].copy()
        if name == "i3d_flow":
            clips[k][..., 0] = np.minimum(256 - clips[k][..., 0].astype(np.int16), 255)  # a mirrored displacement points the other way
    if name != "i3d_flow":
        gains = rng.uniform(0.75, 1.25, (len(rows), 1, 1, 1, 1)) * rng.uniform(0.95, 1.05, (len(rows), 1, 1, 1, 3))
        clips = np.clip(clips * gains.astype(np.float32), 0, 255).astype(np.uint8)
    return as_input(clips, name), torch.from_numpy(labels), torch.from_numpy(measures)


def as_input(clips: np.ndarray, name: str) -> torch.Tensor:
    if name == "i3d_flow":
        clips = np.concatenate([clips, np.full((*clips.shape[:-1], 1), 128, np.uint8)], axis=-1)
    return preprocess_clips(clips, name)


def train(name: str, root: Path, epochs: int, threads: int) -> Pretext:
    """Train from scratch on the CPU in bfloat16; returns the network with its averaged weights."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    data = read_clips(root, "train", "flow" if name == "i3d_flow" else "rgb")
    model = Pretext(untrained(name), GRID if name == "c3d" else 2).train()
    averaged = copy.deepcopy(model.state_dict())
    decayed, plain = ([p for p in model.parameters() if (p.ndim > 1) == flag] for flag in (True, False))
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 2e-2}, {"params": plain, "weight_decay": 0.0}], betas=(0.9, 0.99))
    steps, done, start, losses = epochs * (len(data["clips"]) // BATCH), 0, time.time(), []
    for _ in range(epochs):
        order = rng.permutation(len(data["clips"]))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            for group in optimiser.param_groups:
                group["lr"] = PEAK_LR[name] * min(1.0, (done + 1) / 40) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done / steps)))
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
                print(f"{name}: step {done}/{steps} loss {np.mean(losses[-20:]):.4f} after {time.time() - start:.0f} s", flush=True)
    model.load_state_dict(averaged)
    return model.eval()


# --- what it learned ---


@torch.inference_mode()
def predict(model: Pretext, data: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Scores of every label for every clip. Shape: -> (n, labels)."""
    batches = (data["clips"][k : k + BATCH] for k in range(0, len(data["clips"]), BATCH))
    return np.concatenate([model(as_input(np.array(clips), name))[0].numpy() for clips in batches])


def precision(scores: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> tuple[float, float, dict[str, tuple[float, float]]]:
    """Mean average precision over the labels with at least five positive clips, its chance level (the mean share of positives), and each label's."""
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
    print("| network | scripts, whole frame | scripts, crop | acts, whole frame | acts, crop |\n| --- | --- | --- | --- | --- |")
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    _, _, each = precision(scores[crop], labels[crop], LABELS)
    print("crops, each label, chance in brackets: " + ", ".join(f"{label} {100 * got:.0f} ({100 * chance:.0f})" for label, (got, chance) in each.items()), flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder of the files to write, world_<network>.pt")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--stages", type=int, default=400, help="rendered training videos of eight seconds")
    parser.add_argument("--test-stages", type=int, default=60, help="rendered videos to report on")
    parser.add_argument("--epochs", type=int, help="passes over the clips; each network's own otherwise")
    parser.add_argument("--threads", type=int, default=1, help="of rendering and training; more only help on an idle machine")
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
        out = options.out / f"world_{name}.pt"
        network = finished(model.network)
        state = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
        torch.save(packed(state), out)
        print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, trained after {time.process_time() - start:.0f} s of CPU time", flush=True)
        report(model, name, root)  # as trained ...
        shipped = build_video_network(name, str(out), width=WORLD_WIDTH, size=SIZE)
        whole = Pretext(shipped, model.grid).eval()
        whole.whole.load_state_dict(model.whole.state_dict())
        whole.cells.load_state_dict(model.cells.state_dict())
        report(whole, name, root)  # ... and as it ships
    if options.work is None:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
