"""What it is worth to have cuts of one recording on both sides of a split.

The same linear probe on the same clips, once with folds that deal out clips, once with folds that keep a source whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.compute import one_thread
from vadkit.evaluation import metrics

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.corpora.video import Corpus

REPEATS = 5


@dataclass(frozen=True)
class Leak:
    """Video AUC of the probe, the mean over several deals of the folds; None where there are no such folds, and why."""

    by_clip: float | None
    by_source: float | None
    clips: int
    sources: int
    reason: str = ""


def compare_splits(
    features: np.ndarray, labels: np.ndarray, sources: np.ndarray, folds: int = 5, seed: int = 0
) -> Leak:
    """Cross-validate logistic regression both ways. Shape: features (clips, d), labels (clips,) of 0 and 1, sources (clips,).

    Every clip is scored once a deal, by the fold that did not train on it, and the AUC is that of all clips.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels, sources = np.asarray(labels), np.asarray(sources)
    clips, count = len(labels), len(np.unique(sources))
    fewest = min((len(np.unique(sources[labels == label])) for label in (0, 1)), default=0)
    folds = min(folds, fewest)
    if folds < 2:
        return Leak(
            None, None, clips, count, f"{fewest} sources have clips of the rarer class: no two folds with both classes"
        )
    areas: dict[str, list[float]] = {"clip": [], "source": []}
    for repeat in range(REPEATS):
        options = {"n_splits": folds, "shuffle": True, "random_state": seed + repeat}
        for name, sides in (
            ("clip", list(StratifiedKFold(**options).split(features, labels))),
            ("source", list(StratifiedGroupKFold(**options).split(features, labels, sources))),
        ):
            if any(len(np.unique(labels[train])) < 2 for train, _ in sides):
                return Leak(
                    None,
                    None,
                    clips,
                    count,
                    f"folds by {name} leave one class alone in training: {count} sources are too few",
                )
            areas[name].append(metrics.video_auc(labels, _out_of_fold(features, labels, sides)))
    return Leak(float(np.mean(areas["clip"])), float(np.mean(areas["source"])), clips, count)


def own_clips(
    config: Config, corpus: Corpus, progress: Callable[[int, int, str], None] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features, labels, sources) of the corpus's training videos, or of all with cross-validation: the frame stream's frozen features.

    Each video is the mean over six evenly spaced frames. Raises DataError where no video can be used.
    """
    from vadkit.systems.baselines import spread_rows
    from vadkit.systems.runner import prepare
    from vadkit.views.features import extract_features, pooled

    wanted = {v.name for v in corpus.of("all", "train")}
    samples = [one for name, one in prepare(config, corpus, progress).samples.items() if name in wanted]
    extract_features(samples, ["frame"], config, progress)
    features = np.stack(
        [
            pooled(one, "frame", config)[spread_rows(one.index, one.frames)].astype(np.float32).mean(axis=0)
            for one in samples
        ]
    )
    return features, np.array([one.video.label for one in samples]), np.array([one.video.source for one in samples])


def drawn_clips(
    sources: int = 40, clips: int = 6, leaning: float = 0.8, signal: float = 0.8, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A controlled experiment: clips whose features are mostly their camera's, and hold a little of the event.

    leaning: share of a source's clips that have its usual label, as recordings of fights give mostly fights; 0.5 for none.
    signal: how far the event moves the features along one direction, in standard deviations.
    """
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(sources), clips)
    usual = np.arange(sources) % 2
    labels = np.where(rng.random(len(source)) < leaning, usual[source], 1 - usual[source])
    cameras, event = rng.normal(size=(sources, 64)), np.eye(64)[0]
    return cameras[source] + signal * labels[:, None] * event + 0.5 * rng.normal(size=(len(source), 64)), labels, source


def _out_of_fold(features: np.ndarray, labels: np.ndarray, sides: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = np.empty(len(labels))
    for train, test in sides:
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
        with one_thread():
            scores[test] = probe.fit(features[train], labels[train]).predict_proba(features[test])[:, 1]
    return scores
