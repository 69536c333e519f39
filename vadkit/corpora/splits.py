"""Splits that keep a source whole: cuts of one recording never stand on two sides.

They share camera, place and people: divided, they let a model recognise the place, and its score is too good.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from vadkit.core.errors import DataError
from vadkit.corpora.video import Video

ATTEMPTS = 50  # shuffles tried for folds in which every side has both classes
LABELS = {0: "normal", 1: "anomalous"}

Sides = tuple[tuple[Video, ...], tuple[Video, ...], tuple[Video, ...]]  # training, validation, test


def train_cut(videos: Sequence[Video], fraction: float, seed: int = 0) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Cut a validation part off a training list: (kept, held out), whole sources, stratified by category.

    fraction: share in [0, 1] of each category's videos to hold out, met as nearly as whole sources allow.
    What is kept never loses its last normal or its last anomalous source; what is held out has both
    classes wherever each has two sources. Our reading: the paper cuts the test list instead.
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")
    held = _held_sources(videos, fraction, seed) if fraction > 0 and videos else set()
    return tuple(v for v in videos if v.source not in held), tuple(v for v in videos if v.source in held)


def grouped_folds(videos: Sequence[Video], folds: int, seed: int, validation_fraction: float = 0.2) -> list[Sides]:
    """Cross-validation by source: `folds` triples (train, validation, test), stratified by label.

    Every video is tested exactly once, no source stands on two sides of a fold, and every side has both
    classes. Raises DataError with the reason where the sources do not allow it. Our reading: the papers
    have official lists; StratifiedGroupKFold deals the sources out, `train_cut` takes validation off training.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, got {folds}")
    if not 0.0 < validation_fraction < 1.0:
        expected = "must lie between 0 and 1 to leave videos on both sides"
        raise DataError(f"validation_fraction {expected}, got {validation_fraction}")
    sources = {label: len({v.source for v in videos if v.label == label}) for label in LABELS}
    needed = max(folds, 3)  # one a fold; and test, validation and training each take one
    for label, count in sources.items():
        if count < needed:
            expected = f"need at least {needed} sources with {LABELS[label]} videos, got {count}"
            raise DataError(f"{folds} folds by source {expected}; use fewer folds, or give more sources")
    for attempt in range(ATTEMPTS):
        state = int(np.random.default_rng([seed, attempt]).integers(2**31))
        dealt = [(*train_cut(rest, validation_fraction, seed), test) for rest, test in _deal(videos, folds, state)]
        reason = _one_class_side(dealt)
        if not reason:
            return dealt
    counts = ", ".join(f"{n} sources with {LABELS[label]} videos" for label, n in sources.items())
    what = f"no {folds} folds by source with both classes on every side in {ATTEMPTS} shuffles"
    raise DataError(f"{what}: {reason}; there are {counts}; use fewer folds, or give more sources")


def _held_sources(videos: Sequence[Video], fraction: float, seed: int) -> set[str]:
    """Add the source that brings held-out counts nearest to their targets, until none brings them nearer."""
    names = sorted({v.source for v in videos})
    names = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    categories = sorted({v.category for v in videos})
    row, column = {n: i for i, n in enumerate(names)}, {c: i for i, c in enumerate(categories)}
    # per source: videos of each category, then of each label
    counts = np.zeros((len(names), len(categories) + 2))
    for video in videos:
        counts[row[video.source], [column[video.category], len(categories) + video.label]] += 1
    total = counts.sum(0)
    target, weight = fraction * total, 1.0 / np.maximum(total, 1)
    labels, present = counts[:, -2:], total[-2:] > 0
    held, taken = np.zeros_like(total), np.zeros(len(names), bool)

    def take(candidates: np.ndarray, must_gain: bool) -> bool:
        nonlocal held
        leaves_both = np.all((total[-2:] - held[-2:] - labels > 0) | ~present, axis=1)
        cost = (((held + counts - target) ** 2) * weight).sum(1)
        cost[taken | ~candidates | ~leaves_both] = np.inf
        best = int(np.argmin(cost))
        enough = (((held - target) ** 2) * weight).sum() - 1e-9 if must_gain else np.inf
        if cost[best] >= enough:
            return False
        held, taken[best] = held + counts[best], True
        return True

    while take(np.ones(len(names), bool), must_gain=True):
        pass
    for label in (1, 0):  # a class too small to earn a place by its share still gets one
        if present[label] and held[len(categories) + label] == 0:
            take(labels[:, label] > 0, must_gain=False)
    return {name for name, is_held in zip(names, taken, strict=True) if is_held}


def _deal(videos: Sequence[Video], folds: int, state: int) -> list[tuple[tuple[Video, ...], tuple[Video, ...]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few members in a class: `grouped_folds` says it better
        pairs = list(splitter.split(np.zeros(len(videos)), [v.label for v in videos], [v.source for v in videos]))
    return [(tuple(videos[i] for i in rest), tuple(videos[i] for i in test)) for rest, test in pairs]


def _one_class_side(folds: list[Sides]) -> str:
    for number, fold in enumerate(folds, 1):
        for side, videos in zip(("training", "validation", "test"), fold, strict=True):
            for label, name in LABELS.items():
                if not any(v.label == label for v in videos):
                    return f"the {side} side of fold {number} has no {name} video"
    return ""
