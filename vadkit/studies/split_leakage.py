"""What it is worth to have cuts of one recording on both sides of a split.

The same linear probe on the same clips, once with folds that deal out clips, once with folds that keep a source whole.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus
from vadkit.evaluation import bootstrap
from vadkit.evaluation.bootstrap import Comparison, Metric
from vadkit.evaluation.pooled import PairCounts

REPEATS = 5


@dataclass(frozen=True)
class Leak:
    """Video AUC of the probe, the mean over several deals of the folds; None where there are no such folds, and why.

    change: by clip minus by source, paired. Intervals draw clips: too narrow where those of a source are alike.
    """

    by_clip: Metric | None
    by_source: Metric | None
    change: Comparison | None
    clips: int
    sources: int
    reason: str = ""


def compare_splits(features, labels: np.ndarray, sources: np.ndarray, config: Config, folds: int = 5) -> Leak:
    """Cross-validate logistic regression both ways.

    Shape: features (clips, d), labels (clips,) of 0 and 1, sources (clips,). Every clip is scored once a deal, by the
    fold that did not train on it, and the AUC is that of all clips.
    """
    clips, count = len(labels), len(np.unique(sources))
    fewest = min(len(np.unique(sources[labels == label])) for label in (0, 1))
    folds = min(folds, fewest)
    if folds < 2:
        reason = f"{fewest} sources have clips of the rarer class: no two folds with both classes"
        return Leak(None, None, None, clips, count, reason)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    areas = {"clip": [], "source": []}
    for repeat in range(REPEATS):
        for name, kind, groups in (("clip", StratifiedKFold, None), ("source", StratifiedGroupKFold, sources)):
            deal = kind(n_splits=folds, shuffle=True, random_state=repeat)
            sides = list(deal.split(features, labels, groups))
            if any(len(np.unique(labels[train])) < 2 for train, _ in sides):
                reason = f"folds by {name} leave one class alone in training: {count} sources are too few"
                return Leak(None, None, None, clips, count, reason)
            with one_thread():
                scores = cross_val_predict(probe, features, labels, cv=sides, method="predict_proba")[:, 1]
            areas[name].append(PairCounts(labels[:, None], scores[:, None]).auc(what="clip"))
    counts = bootstrap.draw(clips, config.bootstrap_resamples, bootstrap.RESAMPLING_SEED)
    means, level = {name: {0: bootstrap.mean_of(each)} for name, each in areas.items()}, config.interval_level
    found = [bootstrap.estimate(f"video_auc_by_{name}", one, counts, level) for name, one in means.items()]
    change = bootstrap.difference("video_auc_by_clip", *means.values(), (counts, counts), level, clips)
    return Leak(*found, change, clips, count)


def video_features(config: Config, corpus: Corpus, progress: Progress | None = None) -> tuple[np.ndarray, ...]:
    """The backbone's features of six frames of each training video, their mean; labels; sources.

    Shape: (videos, d) float32, (videos,) of 0 and 1, (videos,). Of a recorded corpus what was recorded.
    """
    if corpus.recorded:
        from vadkit.systems.recorded import features

        return features(corpus)
    from vadkit.models.network import network_of
    from vadkit.systems.base import find_system
    from vadkit.systems.baselines import spread_rows
    from vadkit.views.features import extract_features, features_of

    wanted = {video.name for video in corpus.of("all", "train")}
    views = find_system("2S-no-bag").material(config, corpus, progress).views
    views = [view for name, view in views.items() if name in wanted]
    network = network_of(config, config.backbone)
    extract_features(views, {"frame": network}, config, progress)
    six = [features_of(one, "frame", network, config)[spread_rows(one.index, one.frames)] for one in views]
    means = np.stack([rows.astype(np.float32).mean(axis=0) for rows in six])
    return means, np.array([one.video.label for one in views]), np.array([one.video.source for one in views])
