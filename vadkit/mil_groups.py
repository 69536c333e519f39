"""Clips as instances: multiple-instance learning where a clip is one moment and a bag is a group of clips.

A corpus of short clips labels each as a whole, so a bag that is one clip knows all that a supervised system knows. Here the
label is made weak instead: a group is anomalous where one of its clips is, and which one is not said. What is tested is the
single clip, as for every other system. The groups are ours: recordings cannot be the bags where nearly all of them hold both kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from vadkit.bags import Item, bag_inputs, own_items, sides_of, video_scores
from vadkit.config import Config
from vadkit.corpora import Corpus
from vadkit.experiment import plan_folds
from vadkit.mil_training import train_learner
from vadkit.scoring import VideoScores
from vadkit.segments import Bag

Progress = Callable[[int, int, str], None]


def groups(items: Sequence[Item], size: int, rng: np.random.Generator) -> tuple[list[Bag], list[int]]:
    """Bags of `size` clips with their labels: for each anomalous clip one with normal clips around it, for each normal clip one of normal clips.

    items: each with one instance. The companions of a clip are drawn without replacement among the other normal ones, the order within
    a bag at random; where there are fewer, as among the validation clips of a fold, the groups are smaller.
    """
    normal = [n for n, item in enumerate(items) if not item.video.label]
    bags = []
    for number in range(len(items)):
        others = [n for n in normal if n != number]
        members = rng.permutation([number, *rng.choice(others, min(size - 1, len(others)), replace=False)]).astype(int)
        bags.append(Bag(np.arange(len(members)), np.concatenate([items[n].bag.features for n in members])))
    return bags, [item.video.label for item in items]


def run(config: Config, corpus: Corpus, size: int, progress: Progress | None = None) -> dict[int, list[VideoScores]]:
    """Scores of every test clip by a Learner that saw labels of groups of `size` clips alone, by seed.

    Folds as for every system; the epoch is chosen by the AUC over groups of validation clips. Nothing is cached but features.
    Raises DataError where a side of a fold lacks a class.
    """
    items, _ = own_items(config, corpus, progress, segments=lambda frames, fps: 1)
    streams, scored = len(bag_inputs(config).networks), {}
    for seed in config.seeds:
        found = {}
        for fold, plan in enumerate(plan_folds(config, corpus, seed)):
            train, val, test = sides_of(plan, items)
            rng = np.random.default_rng([seed, fold, size])
            bags, labels = groups(train, size, rng)
            sides = [[bag for bag, label in zip(bags, labels, strict=True) if label == wanted] for wanted in (1, 0)]
            learner, _ = train_learner(config, *sides, *groups(val, size, rng), seed, streams=streams)
            with torch.no_grad():
                found |= {item.video.name: video_scores(item, learner(torch.from_numpy(item.bag.features)).numpy()) for item in test}
        scored[seed] = [found[v.name] for v in corpus.videos if v.name in found]
    return scored
