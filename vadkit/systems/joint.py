"""The LSTM, the attention model and the joint model of the second paper's first experiment (section V.A).

    run = runner.run(config, load_corpus(config), "joint model")
    run.recognised()  # {seed: [Recognised, ...]}, what vadkit.evaluation.recognition takes

Video-level labels alone, as for the Learner (`vadkit.systems.bags`). A video has as many segments as it is long
(config.joint_segment_seconds), and batches are padded and masked. The loss is binary cross-entropy, as the paper
says, of a video's score: the mean of its config.joint_top_k largest segment scores (LSTM) or of all, weighted by
attention; for the joint model plus config.joint_class_weight times the cross-entropy of the class. The epoch kept has
the highest AUC over validation *videos*, among equals the lowest loss there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vadkit.corpora.video import NORMAL
from vadkit.systems.base import Fitted, Task
from vadkit.systems.mil import BagSystem

if TYPE_CHECKING:
    from torch import nn

    from vadkit.core.config import Config
    from vadkit.core.progress import Progress
    from vadkit.corpora.video import Corpus
    from vadkit.evaluation.recognition import Recognised
    from vadkit.evaluation.scores import VideoScores
    from vadkit.models.joint import Output
    from vadkit.systems.bags import Item, Segments


@dataclass(frozen=True)
class SequenceSystem(BagSystem):
    """model: a name of `vadkit.models.joint.NAMES`; classes: what it tells apart, the normal one first, known by the
    corpus."""

    model: str = "joint"
    classes: tuple[str, ...] = ()

    parameters: ClassVar[tuple[str, ...]] = (
        *("joint_segment_seconds", "joint_max_segments"),
        *("joint_width", "joint_dropout", "joint_top_k", "joint_class_weight"),
        *("joint_batch", "joint_epochs", "joint_lr", "joint_weight_decay"),
    )

    def of_corpus(self, corpus: Corpus) -> SequenceSystem:
        return replace(self, classes=classes_of(corpus))

    def segments(self, config: Config) -> Segments:
        return lambda frames, fps: segment_count(frames, fps, config)

    def identity(self, config: Config, view: Item, side: str) -> list:
        return [view.identity, view.video.category]

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        from vadkit.systems.bag_trainer import sequence_options, train_sequences

        settings, streams = task.settings(), max(1, len(self.networks(task.config)))
        bags = [[item.bag for item in side] for side in (task.train, task.val)]
        labels = [[self.classes.index(item.video.category) for item in side] for side in (task.train, task.val)]
        model, history = train_sequences(
            settings,
            self.model,
            bags[0],
            labels[0],
            bags[1],
            labels[1],
            len(self.classes),
            task.seed,
            streams,
            progress,
        )
        built = {"name": self.model, "feature_dim": bags[0][0].features.shape[1], "classes": len(self.classes)}
        facts = {"model": {**built, "streams": streams, **sequence_options(settings)}}
        return Fitted(model.state_dict(), facts, history)

    def load(self, path: str | Path) -> nn.Module:
        """A trained model from a model's folder, in evaluation mode. Raises DataError where there is none."""
        from vadkit.models.joint import SequenceModel
        from vadkit.systems.record import read_facts, read_state

        model = SequenceModel(**read_facts(path, "model")["model"])
        model.load_state_dict(read_state(path))
        return model.eval()

    def score(self, config: Config, path: Path, views: Sequence[Item]) -> list[VideoScores]:
        from vadkit.systems.bags import video_scores

        outputs = self._outputs(path, views)
        return [video_scores(item, out.scores[0].numpy(), config) for item, out in zip(views, outputs, strict=True)]

    def recognise(self, config: Config, path: Path, views: Sequence[Item]) -> list[Recognised]:
        from vadkit.evaluation.recognition import Recognised

        return [
            Recognised(v.name, v.category, v.source, self.classes, out.classes[0].softmax(dim=0).numpy())
            for v, out in zip([item.video for item in views], self._outputs(path, views), strict=True)
            if out.classes is not None
        ]

    def _outputs(self, path: Path, items: Sequence[Item]) -> list[Output]:
        import torch

        from vadkit.systems.bags import padded

        model = self.load(path)
        with torch.no_grad():
            return [model(*padded([item.bag])) for item in items]


def segment_count(frames: int, fps: float, config: Any) -> int:
    """Into how many segments a video is cut: of joint_segment_seconds each, at least 1 and at most
    joint_max_segments."""
    wanted = round(frames / fps / config.joint_segment_seconds)
    return max(1, min(wanted, config.joint_max_segments, frames))


def classes_of(corpus: Corpus) -> tuple[str, ...]:
    """The normal class, and the classes of anomaly of training and validation videos, in alphabetical order."""
    return NORMAL, *sorted({v.category for v in corpus.of("train", "val", "all") if v.label})


SYSTEMS = (
    SequenceSystem(
        "LSTM model", "the LSTM: a video's score is the mean of its largest segments'", ("11",), model="LSTM"
    ),
    SequenceSystem("attention model", "segments weighted by attention", ("11",), model="attention"),
    SequenceSystem("joint model", "LSTM and attention, which names the class as well", ("11",), model="joint"),
)
