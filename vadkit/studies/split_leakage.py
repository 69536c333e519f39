"""What it is worth to have cuts of one recording on both sides of a split.

The same linear probe on the same clips, once with folds that deal out clips, once with folds that keep a source whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus
from vadkit.systems.base import find_system
from vadkit.systems.baselines import spread_rows
from vadkit.views.features import backbone_of, extract_features, pooled

REPEATS = 5


@dataclass(frozen=True)
class Leak:
    """Video AUC of the probe, the mean over several deals of the folds; None where there are no such folds, and why."""

    by_clip: float | None
    by_source: float | None
    clips: int
    sources: int
    reason: str = ""


def compare_splits(features: np.ndarray, labels: np.ndarray, sources: np.ndarray, folds: int = 5) -> Leak:
    """Cross-validate logistic regression both ways.

    Shape: features (clips, d), labels (clips,) of 0 and 1, sources (clips,). Every clip is scored once a deal, by the
    fold that did not train on it, and the AUC is that of all clips.
    """
    clips, count = len(labels), len(np.unique(sources))
    fewest = min(len(np.unique(sources[labels == label])) for label in (0, 1))
    folds = min(folds, fewest)
    if folds < 2:
        reason = f"{fewest} sources have clips of the rarer class: no two folds with both classes"
        return Leak(None, None, clips, count, reason)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    areas = {"clip": [], "source": []}
    for repeat in range(REPEATS):
        for name, kind, groups in (("clip", StratifiedKFold, None), ("source", StratifiedGroupKFold, sources)):
            deal = kind(n_splits=folds, shuffle=True, random_state=repeat)
            sides = list(deal.split(features, labels, groups))
            if any(len(np.unique(labels[train])) < 2 for train, _ in sides):
                reason = f"folds by {name} leave one class alone in training: {count} sources are too few"
                return Leak(None, None, clips, count, reason)
            with one_thread():
                scores = cross_val_predict(probe, features, labels, cv=sides, method="predict_proba")[:, 1]
            areas[name].append(roc_auc_score(labels, scores))
    return Leak(float(np.mean(areas["clip"])), float(np.mean(areas["source"])), clips, count)


def own_clips(config: Config, corpus: Corpus, progress: Progress | None = None) -> tuple[np.ndarray, ...]:
    """(features, labels, sources) of the corpus's training videos, or of all with cross-validation.

    Features are the frame stream's frozen ones, the mean over six evenly spaced frames of a video. Raises DataError
    where no video can be used.
    """
    wanted = {v.name for v in corpus.of("all", "train")}
    views = find_system("2S-no-bag").material(config, corpus, progress).views
    samples = [one for name, one in views.items() if name in wanted]
    extract_features(samples, {"frame": backbone_of(config)}, config, progress)
    seen = [pooled(one, "frame", config)[spread_rows(one.index, one.frames)] for one in samples]
    features = np.stack([rows.astype(np.float32).mean(axis=0) for rows in seen])
    return features, np.array([one.video.label for one in samples]), np.array([one.video.source for one in samples])


def drawn_clips(sources: int = 40, clips: int = 6, leaning: float = 0.8, signal: float = 0.8) -> tuple[np.ndarray, ...]:
    """(features, labels, sources) of clips that are drawn: mostly their camera's, with a little of the event.

    leaning: share of a source's clips that have its usual label, as recordings of fights give mostly fights; 0.5 for
    none. signal: how far the event moves the features along one direction, in standard deviations.
    """
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(sources), clips)
    usual = np.arange(sources) % 2
    labels = np.where(rng.random(len(source)) < leaning, usual[source], 1 - usual[source])
    cameras, event = rng.normal(size=(sources, 64)), np.eye(64)[0]
    features = cameras[source] + signal * labels[:, None] * event + 0.5 * rng.normal(size=(len(source), 64))
    return features, labels, source
