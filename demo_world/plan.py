"""The list of videos of a world: classes, cameras, lengths and seeds, and the staging of each.

Nothing but what happens depends on the class: an anomalous and a normal video share every camera, and
length, hour, light and passers-by are drawn alike. Training and test cameras are disjoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_world.camera import SCENES, Camera, make_camera
from demo_world.crimes import CRIMES, Times
from demo_world.everyday import episode, everyday, passers_by, traffic
from demo_world.scenes import make_scene
from demo_world.stage import Stage
from demo_world.unseen import STEADY, UNSEEN

NORMAL = "Normal"  # the class of videos without an anomaly, as in UCF-Crime
VIDEOS_PER_CAMERA = 2
_SPLITS = {"train": 1, "test": 2, "unseen": 3, "detector": 4}


@dataclass(frozen=True)
class Plan:
    """One video to be made. source: its camera's name; seconds: its length."""

    name: str
    category: str
    split: str  # "train", "test" or "unseen"
    camera: Camera
    seconds: float
    seed: tuple[int, ...]

    @property
    def source(self) -> str:
        return self.camera.name


def plan_world(seed: int, train_videos: int, test_videos: int, seconds: float) -> list[Plan]:
    """All videos of a world; the unseen ones, a third as many as the test's, come on top.

    Half of each list is anomalous; of the unseen list three quarters. seconds: mean length.
    """
    numbers: dict[str, int] = {}
    plans = []
    third = test_videos // 3
    for split, anomalous, normal, classes in (
        ("train", train_videos // 2, train_videos - train_videos // 2, CRIMES),
        ("test", test_videos // 2, test_videos - test_videos // 2, CRIMES),
        ("unseen", third, third // 3, UNSEEN),
    ):
        plans += _plan_split(seed, split, anomalous, normal, classes, seconds, numbers)
    return plans


def _plan_split(seed, split, anomalous, normal, classes, seconds, numbers) -> list[Plan]:
    rng = np.random.default_rng([seed, _SPLITS[split]])
    count = max(1, min(anomalous + normal, max(round((anomalous + normal) / VIDEOS_PER_CAMERA), min(6, anomalous))))
    order = [SCENES[k % len(SCENES)] for k in range(count)]
    cameras = [
        make_camera((seed, _SPLITS[split], k), scene, f"{split}-{scene}-{k + 1:02d}") for k, scene in enumerate(order)
    ]
    load = [0] * count
    chosen: list[tuple[str, Camera]] = []
    # those that fit few places choose first, so that every camera gets its share
    names = sorted((list(classes)[k % len(classes)] for k in range(anomalous)), key=lambda c: (len(classes[c][1]), c))
    for category in names:
        fits = [k for k in range(count) if cameras[k].scene in classes[category][1]]
        if not fits:  # a tiny world may have no such place: build one
            scene = classes[category][1][0]
            cameras.append(make_camera((seed, _SPLITS[split], count), scene, f"{split}-{scene}-{count + 1:02d}"))
            load.append(0)
            fits, count = [count], count + 1
        k = min(fits, key=lambda k: (load[k], rng.random()))
        load[k] += 1
        chosen.append((category, cameras[k]))
    chosen.sort(key=lambda item: item[0])
    shared = [camera for _, camera in chosen] or cameras
    pairs = chosen + [(NORMAL, shared[int(k)]) for k in np.resize(rng.permutation(len(shared)), normal)]
    plans = []
    for k, (category, camera) in enumerate(pairs):
        stem = category if category != NORMAL else "Normal_Videos" if split == "train" else "Normal_Videos_"
        numbers[stem] = numbers.get(stem, 0) + 1
        plans.append(
            Plan(
                f"{stem}{numbers[stem]:03d}",
                category,
                split,
                camera,
                round(float(rng.uniform(0.7, 1.3)) * seconds, 1),
                (seed, _SPLITS[split], 1000 + k),
            )
        )
    return plans


def times(seconds: float, rng: np.random.Generator, pausing: bool = True) -> Times:
    """When an anomaly happens: 4 to 9 seconds hard, 2 to 3.5 soft on either side, less in short videos.

    pausing: the act may hold for about a second, which makes two hard spans of it.
    """
    k = min(1.0, seconds / 18)
    hard, before, after = rng.uniform(4, 9) * k, rng.uniform(2, 3.5) * k, rng.uniform(2, 3.5) * k
    slack = max(seconds - hard - before - after, 0.0)
    first = slack * rng.uniform(0.3, 0.75)
    start = first + before
    end = start + hard
    pause = None
    if pausing and hard > 5.0 and rng.random() < 0.5:  # over before the first half of the act is
        middle = start + hard * rng.uniform(0.15, 0.25)
        pause = (middle, middle + rng.uniform(0.8, 1.2))
    return Times(first, start, pause, end, end + after, seconds)


def direct(camera: Camera, category: str, seconds: float, seed: tuple[int, ...]) -> Stage:
    """Stage one video of a category in front of a camera."""
    rng = np.random.default_rng([*seed, 20])
    stage = Stage(make_scene(camera), seconds, rng)
    crowd, cars = int(rng.integers(0, 3)), int(rng.integers(0, 2))
    if category == NORMAL:
        everyday(stage, max(1, round(seconds / rng.uniform(7, 11))))
    else:
        t = times(seconds, rng, category not in STEADY)
        script = (CRIMES.get(category) or UNSEEN[category])[0]
        script(stage, t)
        stage.hard = [(t.start, t.pause[0]), (t.pause[1], t.end)] if t.pause else [(t.start, t.end)]
        stage.soft = (t.before, t.after)
        if t.before > 5.0 and rng.random() < 0.6:  # normal life goes on before, with other people
            x, z = stage.place(1.6)
            episode(stage, 0.2, t.before - 1.5, x, z * 1.15)
        elif seconds - t.after > 4.0 and rng.random() < 0.6:
            x, z = stage.place(1.6)
            episode(stage, t.after + 0.5, seconds - 0.5, x, z * 1.15)
    passers_by(stage, crowd)
    traffic(stage, cars)
    return stage


def stage_of(plan: Plan) -> Stage:
    """The staged video of a plan; the same plan gives the same stage."""
    return direct(plan.camera, plan.category, plan.seconds, plan.seed)
