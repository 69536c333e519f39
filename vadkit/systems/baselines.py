"""What a system must beat: the container's facts alone, and linear probes on the same frozen features.

Same folds, lists and seeds as the systems. No early stopping here: validation videos that were cut from training join
it again. Our own checks, in neither paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus
from vadkit.evaluation.scores import VideoScores
from vadkit.systems.base import Fitted, Task
from vadkit.systems.record import read_facts, read_state
from vadkit.systems.two_stream import FrameSystem

if TYPE_CHECKING:
    from vadkit.views.frames import Samples

PROBED_FRAMES = 6
METADATA = ("width", "height", "fps", "frames", "seconds")


class Baseline(FrameSystem):
    """Fitted by scikit-learn on one thread, and kept by the numbers that it is made of."""

    def resampled(self, task: Task, corpus: Corpus, progress: Progress | None = None) -> Task:
        train = (*task.train, *task.val) if task.config.validation == "train_cut" else task.train
        self._both({one.video.label for one in train}, f"videos, got {len(train)}")
        return replace(task, train=train, val=())

    def _both(self, labels: set[int], what: str) -> None:
        if len(labels) < 2:
            remedy = "give videos of both kinds"
            raise DataError(f"{self.name}: training needs normal and anomalous {what} of one kind; {remedy}")

    def identity(self, config: Config, view: Samples, side: str) -> list:
        rows = view.rows("train", config)
        return [view.digest, view.video.label, rows.tolist(), view.labels[rows].tolist()]


@dataclass(frozen=True)
class ContainerFacts(Baseline):
    """Tell videos apart by their container's width, height, frame rate and length: no pixel is looked at.

    Where this beats chance, the corpus has a shortcut that a network can take as well. Every frame of a video has the
    same confidence. model: "forest" (200 trees) or "logistic".
    """

    model: str = "forest"

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        import torch

        table = torch.from_numpy(_metadata(task.train))  # fitted anew where it scores: a forest of five columns
        labels = torch.tensor([one.video.label for one in task.train])
        return Fitted({"table": table, "labels": labels}, {"baseline": self.model, "seed": task.seed})

    def score(self, config: Config, path: Path, views: Sequence[Samples]) -> list[VideoScores]:
        from sklearn.ensemble import RandomForestClassifier

        facts, state = read_facts(path, "baseline"), read_state(path)
        options = {"min_samples_leaf": 2, "class_weight": "balanced", "random_state": facts["seed"]}
        model = RandomForestClassifier(200, **options) if self.model == "forest" else _logistic()
        with one_thread():
            fitted = model.fit(state["table"].numpy(), state["labels"].numpy())
            return _constant(views, fitted.predict_proba(_metadata(views))[:, 1])


@dataclass(frozen=True)
class Probe(Baseline):
    """Logistic regression on standardised frozen features.

    streams: which; deviation: adds that over time to the mean. Of videos: six evenly spaced analysed frames, averaged;
    trained on videos' labels, so every frame of a video has the same confidence. of_frames: single frames, trained on
    the systems' training rows with their class weights: the systems without head, mining and bag.
    """

    streams: tuple[str, ...] = ("frame",)
    deviation: bool = False
    of_frames: bool = False

    parameters: ClassVar[tuple[str, ...]] = ("anomaly_weight",)

    def needs(self, config: Config) -> dict[str, str]:
        return dict.fromkeys(self.streams, config.backbone)

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        import torch

        config, weights = task.config, None
        if self.of_frames:
            pairs = [(one, one.rows("train", config)) for one in task.train]
            labels = np.concatenate([one.labels[rows] for one, rows in pairs])
            self._both(set(labels.tolist()), f"frames, got {len(labels)}")
            features = np.concatenate([self._features(one, rows, config) for one, rows in pairs])
            weights = np.where(labels == 1, task.settings().anomaly_weight, 1.0)
        else:
            labels = np.array([one.video.label for one in task.train])
            features = self._of_videos(task.train, config)
        with one_thread():
            scaler, regression = _logistic().fit(features, labels, logisticregression__sample_weight=weights)
        parts = {"mean": scaler.mean_, "scale": scaler.scale_, "coef": regression.coef_, "bias": regression.intercept_}
        return Fitted({name: torch.from_numpy(part) for name, part in parts.items()}, {"baseline": "probe"})

    def score(self, config: Config, path: Path, views: Sequence[Samples]) -> list[VideoScores]:
        parts = {name: part.numpy() for name, part in read_state(path).items()}
        scaler, regression = fitted = _logistic()
        scaler.mean_, scaler.scale_, scaler.n_features_in_ = parts["mean"], parts["scale"], len(parts["mean"])
        regression.coef_, regression.intercept_, regression.classes_ = parts["coef"], parts["bias"], np.array([0, 1])
        with one_thread():
            if not self.of_frames:
                return _constant(views, fitted.predict_proba(self._of_videos(views, config))[:, 1])
            scores = []
            for one in views:
                rows = one.rows("score", config)
                confidence = fitted.predict_proba(self._features(one, rows, config))[:, 1]
                scores.append(VideoScores.of(one, one.index[rows], confidence.astype(np.float32)))
            return scores

    def _features(self, view: Samples, rows: np.ndarray, config: Config) -> np.ndarray:
        return self.inputs(config).features(view, rows).astype(np.float32)

    def _of_videos(self, views: Sequence[Samples], config: Config) -> np.ndarray:
        found = []
        for one in views:
            features = self._features(one, spread_rows(one.index, one.frames), config)
            mean = features.mean(0)
            found.append(np.concatenate([mean, features.std(0)]) if self.deviation else mean)
        return np.stack(found)


def spread_rows(index: np.ndarray, frames: int, count: int = PROBED_FRAMES) -> np.ndarray:
    """Rows nearest to the middles of `count` equal parts of a video. Shape: index (n,) -> (count,), may repeat. By
    time, not by row: training rows are denser in anomalies, scoring rows are not."""
    middles = (np.arange(count) + 0.5) * frames / count
    return np.abs(np.asarray(index)[None, :] - middles[:, None]).argmin(axis=1)


def _metadata(views: Sequence[Samples]) -> np.ndarray:
    from vadkit.core import video

    found = [video.probe(one.video.path) for one in views]
    return np.array([[getattr(facts, name) for name in METADATA] for facts in found], np.float64)


def _constant(views: Sequence[Samples], probabilities: np.ndarray) -> list[VideoScores]:
    first = np.zeros(1, np.int64)
    return [VideoScores.of(one, first, np.array([p], np.float32)) for one, p in zip(views, probabilities, strict=True)]


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


SYSTEMS = (
    ContainerFacts("container facts", ("01", "12")),
    Probe("video probe, frame", ("01", "04"), ("frame",)),
    Probe("video probe, flow", ("01", "04"), ("flow",)),
    Probe("video probe, both", ("01",), ("frame", "flow")),
    Probe("video probe, both+std", ("01", "04"), ("frame", "flow"), deviation=True),
    Probe("frame probe, frame", ("01", "04"), ("frame",), of_frames=True),
    Probe("frame probe, flow", ("01", "04"), ("flow",), of_frames=True),
    Probe("frame probe, both", ("01", "04"), ("frame", "flow"), of_frames=True),
)
