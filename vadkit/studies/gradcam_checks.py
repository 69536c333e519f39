"""Two checks of Grad-CAM's maps: the pointing game against the middle of the frame, and randomised weights.

A map that points at the anomaly no more often than the middle of the frame does locates nothing (Zhang et al. 2016),
and one that stays the same when the network forgets what it learnt shows the picture, not the network (Adebayo et
al. 2018).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from vadkit.core.config import Config
from vadkit.evaluation.bootstrap import Metric, Statistic, estimate, ratio, resamples
from vadkit.studies.gradcam import Explained
from vadkit.systems.scorer import Scorer

PARTS = ("head", "streams")  # what `randomised` can make forget
EVEN = 1e-6  # places of a map that differ by less count as equal


def pointing_game(config: Config, explained: Mapping[int, Sequence[Explained]]) -> dict[str, Metric]:
    """How often a map's peak falls into an annotated box, by what points: a share of the frames, mean over seeds.

    Each stream, the middle of the frame and a random place; then each stream minus the middle, paired. explained: by
    seed, of the same frames. A map that is 0 throughout misses. Raises ValueError where no frame has a box.
    """
    seeds = [[one for one in found if len(one.boxes)] for found in explained.values()]
    if not seeds or not seeds[0]:
        raise ValueError("no frame has an annotated box: there is nothing to point at")
    videos = {one.video.name: one.video for one in seeds[0]}
    counts = resamples(list(videos.values()), config)

    def statistics(hit: Callable[[Explained], float]) -> list[Statistic]:
        per_seed = []
        for found in seeds:
            by_video = [[hit(one) for one in found if one.video.name == name] for name in videos]
            per_seed.append(ratio([sum(of) for of in by_video], [len(of) for of in by_video]))
        return per_seed

    hits, differences = {}, {}
    middle = statistics(lambda one: _inside((0.5, 0.5), one.boxes))
    for stream in seeds[0][0].heat:
        own = statistics(lambda one, s=stream: _inside(points_at(one, s), one.boxes))
        hits[f"Grad-CAM, {stream} stream"] = own
        differences[f"{stream} stream minus middle"] = [a - b for a, b in zip(own, middle, strict=True)]
    hits |= {"middle of the frame": middle, "random place": statistics(lambda one: _covered(one.boxes))}
    found = {}
    for metric, measured in (("pointing_hits", hits), ("pointing_hits_difference", differences)):
        for what, per_seed in measured.items():
            found[what] = estimate(metric, dict(enumerate(per_seed)), counts, config.interval_level)
    return found


def points_at(explained: Explained, stream: str) -> tuple[float, float] | None:
    """The peak of a stream's map in the frame, (x, y); None where nothing speaks for an anomaly."""
    at = peak(explained.heat[stream])
    left, top, right, bottom = explained.seen[stream]
    return None if at is None else (left + at[0] * (right - left), top + at[1] * (bottom - top))


def peak(heat: np.ndarray) -> tuple[float, float] | None:
    """Where a map (H, W) is largest, (x, y) as shares of width and height: the common middle of its largest cells.

    None for a map that is 0 throughout.
    """
    if heat.max() <= 0:
        return None
    y, x = np.nonzero(heat >= heat.max() - EVEN)
    return float((x.mean() + 0.5) / heat.shape[1]), float((y.mean() + 0.5) / heat.shape[0])


def _inside(point: tuple[float, float] | None, boxes: np.ndarray) -> float:
    if point is None:
        return 0.0
    x, y = point
    return float(np.any((boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])))


def _covered(boxes: np.ndarray, grid: int = 100) -> float:
    """The share of the frame inside a box, on a grid of places."""
    at = (np.arange(grid) + 0.5) / grid
    across = (boxes[:, :1] <= at) & (at <= boxes[:, 2:3])
    down = (boxes[:, 1:2] <= at) & (at <= boxes[:, 3:])
    return float(np.any(across[:, None, :] & down[:, :, None], axis=0).mean())


def randomised(scorer: Scorer, part: str, seed: int = 0) -> Scorer:
    """A copy whose head, or whose streams, have forgotten what they learnt. Raises ValueError for another part.

    Each layer's weights are shuffled among themselves, so that activations keep their size; batch normalisation stays.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got '{part}'")
    model = copy.deepcopy(scorer.model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in (model.head if part == "head" else model.backbones).modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
                flat = module.weight.flatten()
                order = torch.randperm(len(flat), generator=generator).to(flat.device)
                module.weight.copy_(flat[order].view_as(module.weight))
    return replace(scorer, model=model)


def agreement(config: Config, a: Sequence[Explained], b: Sequence[Explained], stream: str) -> Metric:
    """Rank correlation of two models' maps of the same frames, mean over frames without a constant map; in [-1, 1].

    Undefined, with the reason, where every frame has one. Raises ValueError where the frames differ.
    """
    if [(one.video.name, one.frame) for one in a] != [(one.video.name, one.frame) for one in b] or not a:
        raise ValueError("expected maps of the same frames, at least one, in the same order")
    videos = {one.video.name: one.video for one in a}
    found = {name: [] for name in videos}
    for one, other in zip(a, b, strict=True):
        maps = one.heat[stream], other.heat[stream]
        if min(map(np.ptp, maps)) > EVEN:
            found[one.video.name].append(float(np.corrcoef(*map(rankdata, maps))[0, 1]))
    why = "every map of one of the two is constant: no correlation"
    mean = ratio([sum(v) for v in found.values()], [len(v) for v in found.values()], why)
    measured = estimate("map_correlation", {0: mean}, resamples(list(videos.values()), config), config.interval_level)
    left_out = len(a) - sum(len(v) for v in found.values())
    if 0 < left_out < len(a):
        parts = (measured.reason, f"{left_out} of {len(a)} frames left out: a map is constant")
        measured = replace(measured, reason="; ".join(filter(None, parts)))
    return measured
