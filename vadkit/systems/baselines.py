"""What a system must beat: the container's facts alone, and linear probes on the same frozen features.

Same folds, lists and seeds as the systems; results are `{seed: [VideoScores]}`, so that the one evaluator serves
them too. No early stopping here: validation videos that were cut from training join it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.progress import Progress
from vadkit.core.video import probe
from vadkit.corpora.video import Corpus
from vadkit.evaluation.scores import VideoScores
from vadkit.systems.runner import plan_folds, prepare, sides_of
from vadkit.views.features import backbone_of, extract_features, pooled
from vadkit.views.frames import Samples

Predict = Callable[[Sequence[Samples], Sequence[Samples], int], list[VideoScores]]

PROBED_FRAMES = 6
PROBES = {  # name: (streams, with the deviation over time beside the mean)
    "frame": (("frame",), False),
    "flow": (("flow",), False),
    "both": (("frame", "flow"), False),
    "both+std": (("frame", "flow"), True),
}
METADATA = ("width", "height", "fps", "frames", "seconds")


def metadata_baseline(
    config: Config, corpus: Corpus, model: str = "forest", progress: Progress | None = None
) -> dict[int, list[VideoScores]]:
    """Tell videos apart by their container's width, height, frame rate and length: no pixel is looked at.

    model: "forest" (200 trees) or "logistic". Where this beats chance, the corpus has a shortcut that a network can
    take as well. Every frame of a video has the same confidence. Our own check, in neither paper.
    """
    if model not in ("forest", "logistic"):
        raise ConfigError(f"the metadata baseline is 'forest' or 'logistic', got '{model}'")

    def predict(train: Sequence[Samples], test: Sequence[Samples], seed: int) -> list[VideoScores]:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(200, min_samples_leaf=2, class_weight="balanced", random_state=seed)
        fitted = (forest if model == "forest" else _logistic()).fit(_metadata(train), _video_labels(train))
        return _constant(test, fitted.predict_proba(_metadata(test))[:, 1])

    return _by_seed(config, corpus, predict, progress, "container facts")


def linear_probe(
    config: Config, corpus: Corpus, what: str = "both", progress: Progress | None = None
) -> dict[int, list[VideoScores]]:
    """Logistic regression on frozen features of six evenly spaced analysed frames of a video, averaged.

    what: "frame", "flow", "both", or "both+std", which adds the deviation over the six. Standardised; trained on
    videos' labels, so every frame of a video has the same confidence. Our own check, in neither paper.
    """
    _check_probe(what)

    def predict(train: Sequence[Samples], test: Sequence[Samples], seed: int) -> list[VideoScores]:
        fitted = _logistic().fit(_clip_features(train, what, config), _video_labels(train))
        return _constant(test, fitted.predict_proba(_clip_features(test, what, config))[:, 1])

    return _by_seed(config, corpus, predict, progress, f"linear probe, {what}", PROBES[what][0])


def frame_probe(
    config: Config, corpus: Corpus, what: str = "both", progress: Progress | None = None
) -> dict[int, list[VideoScores]]:
    """Logistic regression on the frozen features of single frames: the systems without head, mining and bag.

    what: "frame", "flow" or "both". Standardised; trained on the systems' training rows with their class weights.
    Our own check, in neither paper.
    """
    _check_probe(what)
    if PROBES[what][1]:
        raise ConfigError(
            f"a single frame has no deviation over time; the frame probe is 'frame', 'flow' or 'both', got '{what}'"
        )

    def predict(train: Sequence[Samples], test: Sequence[Samples], seed: int) -> list[VideoScores]:
        rows = [one.rows("train", config) for one in train]
        labels = np.concatenate([one.labels[r] for one, r in zip(train, rows, strict=True)])
        features = np.concatenate([_features(one, r, what, config) for one, r in zip(train, rows, strict=True)])
        if len(set(labels.tolist())) < 2:
            raise DataError(
                f"the frame probe needs normal and anomalous training frames, got {len(labels)} of one kind; give it videos of both kinds"
            )
        fitted = _logistic().fit(
            features, labels, logisticregression__sample_weight=np.where(labels == 1, config.anomaly_weight, 1.0)
        )
        scores = []
        for one in test:
            r = one.rows("score", config)
            scores.append(_scores(one, one.index[r], fitted.predict_proba(_features(one, r, what, config))[:, 1]))
        return scores

    return _by_seed(config, corpus, predict, progress, f"frame probe, {what}", PROBES[what][0])


def _by_seed(
    config: Config, corpus: Corpus, predict: Predict, progress: Progress | None, what: str, streams: Sequence[str] = ()
) -> dict[int, list[VideoScores]]:
    """Out-of-fold or test scores of every seed, in the corpus's order."""
    material = prepare(config, corpus, progress)
    networks = dict.fromkeys(streams, backbone_of(config))
    extract_features(list(material.samples.values()), networks, config, progress)  # in parallel; found below
    results = {}
    for done, seed in enumerate(config.seeds, 1):
        scored: dict[str, VideoScores] = {}
        for fold in plan_folds(config, corpus, seed):
            train, val, test = sides_of(fold, material)
            if config.validation == "train_cut":
                train = (*train, *val)
            if len({one.video.label for one in train}) < 2:
                raise DataError(
                    f"{what}: training needs normal and anomalous videos, got {len(train)} of one kind; give videos of both kinds"
                )
            with one_thread():
                scored |= {one.name: one for one in predict(train, test, seed)}
        results[seed] = [scored[name] for name in material.samples if name in scored]
        if progress is not None:
            progress(done, len(config.seeds), f"{what}, seed {seed}")
    return results


def spread_rows(index: np.ndarray, frames: int, count: int = PROBED_FRAMES) -> np.ndarray:
    """Rows nearest to the middles of `count` equal parts of a video. Shape: index (n,) -> (count,), may repeat.

    By time, not by row: training rows are denser in anomalies, scoring rows are not.
    """
    middles = (np.arange(count) + 0.5) * frames / count
    return np.abs(np.asarray(index)[None, :] - middles[:, None]).argmin(axis=1)


def _clip_features(samples: Sequence[Samples], what: str, config: Config) -> np.ndarray:
    rows = []
    for one in samples:
        features = _features(one, spread_rows(one.index, one.frames), what, config)
        rows.append(np.concatenate([features.mean(0), features.std(0)]) if PROBES[what][1] else features.mean(0))
    return np.stack(rows)


def _features(samples: Samples, rows: np.ndarray, what: str, config: Config) -> np.ndarray:
    return np.concatenate([pooled(samples, stream, config)[rows] for stream in PROBES[what][0]], axis=1).astype(
        np.float32
    )


def _metadata(samples: Sequence[Samples]) -> np.ndarray:
    return np.array(
        [[getattr(facts, name) for name in METADATA] for facts in (probe(one.video.path) for one in samples)],
        np.float64,
    )


def _video_labels(samples: Sequence[Samples]) -> np.ndarray:
    return np.array([one.video.label for one in samples])


def _constant(samples: Sequence[Samples], probabilities: np.ndarray) -> list[VideoScores]:
    return [_scores(one, np.zeros(1, np.int64), np.array([p])) for one, p in zip(samples, probabilities, strict=True)]


def _scores(samples: Samples, index: np.ndarray, confidences: np.ndarray) -> VideoScores:
    video = samples.video
    return VideoScores(
        video.name,
        video.category,
        video.source,
        samples.fps,
        index,
        confidences.astype(np.float32),
        video.frame_labels(samples.frames),
    )


def _logistic():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def _check_probe(what: str) -> None:
    if what not in PROBES:
        raise ConfigError(f"a probe is one of {', '.join(PROBES)}, got '{what}'")
