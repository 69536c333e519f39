"""The LSTM, the attention model and the joint model of the second paper's first experiment (section V.A).

Video-level labels alone, as for the Learner (`vadkit.systems.mil`). A video has as many segments as it is long
(config.joint_segment_seconds), and batches are padded and masked. The loss is binary cross-entropy, as the paper
says, of a video's score: the mean of its config.joint_top_k largest segment scores (LSTM) or of all, weighted by
attention; for the joint model plus config.joint_class_weight times the cross-entropy of the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import NORMAL, Corpus, Video
from vadkit.evaluation.recognition import Recognised
from vadkit.evaluation.scores import VideoScores
from vadkit.systems.base import Fitted, Task
from vadkit.systems.mil import BagSystem, Item, Segments


@dataclass(frozen=True)
class SequenceSystem(BagSystem):
    """model: a name of `vadkit.models.joint.NAMES`; classes: of the corpus, the normal one first."""

    model: str = "joint"
    classes: tuple[str, ...] = ()

    kind = "model"
    parameters: ClassVar[tuple[str, ...]] = (
        *("joint_segment_seconds", "joint_max_segments"),
        *("joint_width", "joint_dropout", "joint_top_k", "joint_class_weight"),
        *("joint_batch", "joint_epochs", "joint_lr", "joint_weight_decay"),
    )

    def configured(self, config: Config, corpus: Corpus | None = None) -> SequenceSystem:
        return self if corpus is None else replace(self, classes=classes_of(corpus))

    def segments(self, config: Config) -> Segments:
        return lambda frames, fps: segment_count(frames, fps, config)

    def label(self, video: Video) -> int:
        return self.classes.index(video.category)

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        from vadkit.systems.bag_trainer import sequence_options, train_sequences

        settings, streams, classes = task.settings(), self.streams(task.config), len(self.classes)
        sides = self.taught(task)
        model, history = train_sequences(settings, self.model, *sides, classes, task.seed, streams, progress)
        built = {"name": self.model, "feature_dim": sides[0][0][0].features.shape[1], "classes": classes}
        facts = {"model": {**built, "streams": streams, **sequence_options(settings)}}
        return Fitted(model.state_dict(), facts, history)

    def score(self, config: Config, path: Path, views: Sequence[Item]) -> list[VideoScores]:
        from vadkit.systems.bags import video_scores

        outputs = self._outputs(path, views)
        return [video_scores(item, out.scores[0].numpy(), config) for item, out in zip(views, outputs, strict=True)]

    def recognise(self, config: Config, path: Path, views: Sequence[Item]) -> list[Recognised]:
        pairs = zip(views, self._outputs(path, views), strict=True)
        found = [(item.video, out.classes[0].softmax(dim=0).numpy()) for item, out in pairs if out.classes is not None]
        return [Recognised(v.name, v.category, v.source, self.classes, shares) for v, shares in found]

    def _outputs(self, path: Path, items: Sequence[Item]) -> list:
        from vadkit.systems.bags import padded

        model = self.load(path)
        return [model(*padded([item.bag])) for item in items]


def segment_count(frames: int, fps: float, config: Any) -> int:
    """Into how many segments a video is cut, each of joint_segment_seconds: from 1 to joint_max_segments."""
    wanted = round(frames / fps / config.joint_segment_seconds)
    return max(1, min(wanted, config.joint_max_segments, frames))


def classes_of(corpus: Corpus) -> tuple[str, ...]:
    """The normal class, and the classes of anomaly of training and validation videos, in alphabetical order."""
    return NORMAL, *sorted({v.category for v in corpus.of("train", "val", "all") if v.label})


SYSTEMS = tuple(SequenceSystem(f"{model} model", ("11",), model=model) for model in ("LSTM", "attention", "joint"))
