"""Clips of everyday life with what goes on in them: what the 3D networks that ship with the project are pretrained on.

A clip is seen as a whole frame or as a crop around people. Its targets stand in the cells of a grid over the view:
which scripts and acts go on there, how many people are there, how fast they move and act. A quarter of the clips is
played at double speed, which doubles the speeds. Only normal life is staged, at seeds and cameras of no demo world.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from demo_world import CRF, FPS, HEIGHT, PRESET, WIDTH
from demo_world.camera import OUTDOOR, SCENES, make_camera
from demo_world.everyday import EPISODES, passers_by, traffic
from demo_world.render import Renderer
from demo_world.scenes import make_scene
from demo_world.stage import Actor, Stage
from vadkit.core.encode import write_h264
from vadkit.core.video import read_frames

# A demo world's cameras are seeded by (world_seed, 1 to 3, ...), the detector's by (..., 4, ...): 5 is this module's.
CLIP_SPLIT = 5
PARTS = {"train": 0, "test": 1}
SIZE, FRAMES = 64, 16
SECONDS = 8.0
VIEWS = 12  # clips of a stage: half of them whole frames, half crops
DOUBLE = 0.25  # share of clips played at double speed
GRID = 4  # rows and columns of a view in which people are told apart

SCRIPTS = tuple(EPISODES)
ACTS = (
    "walk", "run", "idle", "look", "talk", "reach", "exchange", "guard", "hug",
    "hands_up", "point", "crouch", "swing", "grab", "lie", "sit", "play",
)  # fmt: skip
LABELS = SCRIPTS + ACTS
# of a cell: how many people, metres a second, acts a second times their size; the largest
MEASURES = ("people", "speed", "tempo")
RUN = 2.2  # metres a second


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

    "rgb" (n, T, S, S, 3) uint8, "flow" (n, T, S, S, 2) uint8 as vadkit.views.clips stores it, "labels" (n, GRID, GRID,
    labels) uint8, "measures" (n, GRID, GRID, measures) float32, "crop" (n,) bool.
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
    grays, flows = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames], {}
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
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
                flows[n, step] = flow.calc(grays[n - step], grays[n], None)
        made["rgb"].append([resized(cv2.cvtColor(frames[n][y1:y2, x1:x2], cv2.COLOR_BGR2RGB)) for n in numbers])
        made["flow"].append([flow_picture(flows[n, step][y1:y2, x1:x2]) for n in numbers])
        labels, measures = targets(boxes, numbers, step, view, scripts, stage)
        made["labels"].append(labels)
        made["measures"].append(measures)
        made["crop"].append(bool(k % 2))
    return {name: np.array(values) for name, values in made.items()}


def resized(image: np.ndarray) -> np.ndarray:
    """A picture at SIZE, by area where it shrinks and linear where it grows, as vadkit's clips are."""
    shrinks = min(image.shape[:2]) >= SIZE
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def flow_picture(displacement: np.ndarray) -> np.ndarray:
    """Displacements as I3D's pictures hold them: 128 for rest, 127 steps for 20 pixels, cut there. Shape: (H, W, 2) ->
    (SIZE, SIZE, 2) uint8."""
    return resized(np.rint(np.clip(displacement / 20.0, -1, 1) * 127 + 128).astype(np.uint8))


def crop_around(
    boxes: list[dict], numbers: list[int], scripts: list[Scripted], stage: Stage, rng: np.random.Generator
) -> tuple[int, int, int, int]:
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


def targets(
    boxes: list[dict],
    numbers: list[int],
    step: int,
    view: tuple[int, int, int, int],
    scripts: list[Scripted],
    stage: Stage,
) -> tuple[np.ndarray, np.ndarray]:
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
    kinds = {
        "rgb": ((FRAMES, SIZE, SIZE, 3), np.uint8),
        "flow": ((FRAMES, SIZE, SIZE, 2), np.uint8),
        "labels": ((GRID, GRID, len(LABELS)), np.uint8),
        "measures": ((GRID, GRID, len(MEASURES)), np.float32),
        "crop": ((), bool),
    }
    files = {
        what: np.lib.format.open_memmap(root / f"{part}-{what}.npy", "w+", dtype, (stages * VIEWS, *shape))
        for what, (shape, dtype) in kinds.items()
    }
    jobs = (delayed(stage_clips)((PARTS[part], CLIP_SPLIT, k), root) for k in range(stages))
    for k, made in enumerate(Parallel(n_jobs=workers, return_as="generator")(jobs)):
        for what, values in made.items():
            files[what][k * VIEWS : (k + 1) * VIEWS] = values
        if k % 50 == 49:
            print(f"{part}: {k + 1}/{stages} stages", flush=True)
    (root / f"{part}-done").touch()


def read_clips(root: Path, part: str, stream: str) -> dict[str, np.ndarray]:
    """Clips and targets of a part; the clips stay on disk until they are asked for."""
    return {
        what: np.load(root / f"{part}-{file}.npy", mmap_mode="r")
        for what, file in (("clips", stream), ("labels", "labels"), ("measures", "measures"), ("crop", "crop"))
    }
