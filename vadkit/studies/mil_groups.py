"""Clips as instances: multiple-instance learning where a clip is one moment and a bag is a group of clips.

A corpus of short clips labels each as a whole, so a bag that is one clip knows all that a supervised system knows. Here the
label is made weak instead: a group is anomalous where one of its clips is, and which one is not said. What is tested is the
single clip, as for every other system. The groups are ours: recordings cannot be the bags where nearly all of them hold both kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus
from vadkit.systems import mil as mil_training
from vadkit.systems.bags import Item
from vadkit.systems.mil import MilRun
from vadkit.views.segments import Bag


def groups(items: Sequence[Item], size: int, rng: np.random.Generator) -> tuple[Item, ...]:
    """Bags of `size` clips: around each anomalous clip a group of normal ones, and around each normal clip as well.

    items: each with one instance; a group stands in the place of its clip, with the clip's label. The companions are drawn without
    replacement among the other normal clips, the order within a bag at random; where there are fewer, as among the validation clips
    of a fold, the groups are smaller.
    """
    normal = [n for n, item in enumerate(items) if not item.video.label]
    made = []
    for number, item in enumerate(items):
        others = [n for n in normal if n != number]
        members = [
            items[n]
            for n in rng.permutation([number, *rng.choice(others, min(size - 1, len(others)), replace=False)]).astype(
                int
            )
        ]
        identity = hashlib.sha256(" ".join(one.identity for one in members).encode()).hexdigest()[:20]
        made.append(
            replace(
                item,
                bag=Bag(np.arange(len(members)), np.concatenate([one.bag.features for one in members])),
                identity=identity,
            )
        )
    return tuple(made)


def run(config: Config, corpus: Corpus, size: int, progress: Progress | None = None) -> MilRun:
    """Learners that saw labels of groups of `size` clips alone, and their scores of every single test clip.

    Folds as for every system; the epoch is chosen by the AUC over groups of validation clips. What the cache has is not done
    again. Raises DataError where a side of a fold lacks a class.
    """
    whole = config.model_copy(update={"mil_segments": 1})  # a clip is one instance, described by its mean over time
    return mil_training.run(whole, corpus, regroup=lambda side, rng: groups(side, size, rng), progress=progress)
