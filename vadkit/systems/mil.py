"""The second paper's Learner: multiple-instance ranking from video-level labels alone, test videos scored by segments.

    run = runner.run(config, load_corpus(config), "MIL learner")

Weak labels: training and validation videos are stripped of their annotated spans before anything is sampled, so that
neither which frames are taken nor which epoch is kept can depend on them. The epoch kept is the one with the highest
AUC over validation *videos* (by largest segment score), among equals the one with the lowest ranking loss there.

Training always sets validation videos aside, for it has an epoch to choose, also where config.early_stopping is off and
the first paper's systems train on them as well; the test videos are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vadkit.core.errors import DataError
from vadkit.models.pretrained import clip_networks
from vadkit.systems import two_stream
from vadkit.systems.base import Fitted, Material, Sides, System, Task

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.core.progress import Progress
    from vadkit.corpora.video import Corpus, Problem
    from vadkit.evaluation.scores import VideoScores
    from vadkit.models.mil import Learner
    from vadkit.systems.bags import Item, Segments

# Models on bags see what the system sees that they are compared with, but no objects.
SAME_STREAMS = replace(next(system for system in two_stream.SYSTEMS if system.name == "2S-bag-ha"), bag=False)


class BagSystem(System):
    """What learns from bags: videos cut into segments, with a label for the whole (`vadkit.systems.bags`)."""

    scores_validation = True

    def segments(self, config: Config) -> Segments | None:
        """Into how many segments a video is cut, where that is not config.mil_segments."""
        return None

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        from vadkit.systems.bags import load_bags

        return load_bags(config, corpus, progress, self.segments(config))

    def needs(self, config: Config) -> dict[str, str]:
        """Of our features; none where config.mil_published gives others'."""
        if config.mil_published:
            return {}
        return SAME_STREAMS.needs(config) if config.mil_features == "streams" else clip_networks(config.mil_features)

    def other_network(self, config: Config) -> list[str]:
        published = {"mil_features": "resnext3d", "clip_width": 1.0, "mil_resnext3d_size": 112}
        differs = [
            f"{key} is {getattr(config, key)}, the paper's {value}"
            for key, value in published.items()
            if getattr(config, key) != value
        ]
        if config.mil_resnext3d_weights in ("world", "random"):
            differs.append(
                f"mil_resnext3d_weights is '{config.mil_resnext3d_weights}', not a file of published weights"
            )
        if config.mil_published:
            differs.append("mil_published names features of a network that is not known")
        return differs

    def check(self, sides: Sides, problems: Sequence[Problem]) -> None:
        for side, what in zip(sides, ("training", "validation", "test"), strict=True):
            labels = [item.video.label for item in side]
            if not labels or (what != "test" and len(set(labels)) < 2):
                raise DataError(
                    f"multiple-instance learning needs normal and anomalous {what} videos, got "
                    f"{len(labels) - sum(labels)} and {sum(labels)}; give more videos, or raise validation_fraction"
                )


@dataclass(frozen=True)
class LearnerSystem(BagSystem):
    """variant, top_k: of `vadkit.models.mil.ranking_loss`.

    group: clips in a bag, where a clip is one moment. A corpus of short clips labels each as a whole, so a bag that is
    one clip knows all that a supervised system knows. In groups the label is weak: a group is anomalous where one of
    its clips is, and which one is not said. What is tested is the single clip, as for every other system. The groups
    are ours: recordings cannot be the bags where nearly all of them hold both kinds. 0: a video is a bag of segments.
    """

    variant: str = "sultani"
    top_k: int = 1
    group: int = 0

    parameters: ClassVar[tuple[str, ...]] = (
        *("mil_segments", "mil_pairs", "mil_epochs", "mil_optimiser", "mil_lr", "mil_weight_decay", "mil_dropout"),
    )

    def adapted(self, config: Config) -> Config:
        """A clip in a group is one instance, described by its mean over time."""
        return config.model_copy(update={"mil_segments": 1}) if self.group else config

    def sides(
        self, sides: Sides, config: Config, corpus: Corpus, seed: int, fold: int, progress: Progress | None
    ) -> Sides:
        if not self.group:
            return sides
        rng = np.random.default_rng([seed, fold])
        return sides._replace(
            train=groups(sides.train, self.group, rng),
            val=groups(sides.val, self.group, rng),
        )

    def identity(self, config: Config, view: Item, side: str) -> list:
        return [view.identity, view.video.label]

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        from vadkit.systems.bag_trainer import train_learner

        settings, streams = task.settings(), max(1, len(self.networks(task.config)))
        bags = [[item.bag for item in task.train if item.video.label == label] for label in (1, 0)]
        learner, history = train_learner(
            settings,
            *bags,
            [item.bag for item in task.val],
            [item.video.label for item in task.val],
            task.seed,
            self.variant,
            self.top_k,
            streams,
            progress,
        )
        facts = {
            "learner": {"feature_dim": learner.feature_dim, "streams": streams, "dropout": settings.mil_dropout},
            "segment_seconds": segment_seconds(task.train, settings.mil_segments),
        }
        return Fitted(learner.state_dict(), facts, history)

    def load(self, path: str | Path) -> Learner:
        """A trained Learner from a model's folder, in evaluation mode. Raises DataError where there is none."""
        from vadkit.models.mil import Learner
        from vadkit.systems.record import read_facts, read_state

        learner = Learner(**read_facts(path, "learner")["learner"])
        learner.load_state_dict(read_state(path))
        return learner.eval()

    def score(self, config: Config, path: Path, views: Sequence[Item]) -> list[VideoScores]:
        import torch

        from vadkit.systems.bags import video_scores

        learner = self.load(path)
        with torch.no_grad():
            scores = [learner(torch.from_numpy(item.bag.features)).numpy() for item in views]
        return [video_scores(item, one, config) for item, one in zip(views, scores, strict=True)]


def segment_seconds(items: Sequence[Item], segments: int) -> float:
    """How long an instance is in the middle one of the videos; 0 where each row is one."""
    return float(np.median([item.frames / item.fps / segments for item in items])) if segments else 0.0


def groups(items: Sequence[Item], size: int, rng: np.random.Generator) -> tuple[Item, ...]:
    """Bags of `size` clips: around each anomalous clip a group of normal ones, and around each normal clip as well.

    items: each with one instance; a group stands in the place of its clip, with the clip's label. The companions are
    drawn without replacement among the other normal clips, the order within a bag at random; where there are fewer, as
    among the validation clips of a fold, the groups are smaller.
    """
    from vadkit.views.segments import Bag

    normal = [n for n, item in enumerate(items) if not item.video.label]
    made = []
    for number, item in enumerate(items):
        others = [n for n in normal if n != number]
        drawn = rng.permutation([number, *rng.choice(others, min(size - 1, len(others)), replace=False)]).astype(int)
        members = [items[n] for n in drawn]
        identity = hashlib.sha256(" ".join(one.identity for one in members).encode()).hexdigest()[:20]
        bag = Bag(np.arange(len(members)), np.concatenate([one.bag.features for one in members]))
        made.append(replace(item, bag=bag, identity=identity))
    return tuple(made)


def clips_in_groups(size: int) -> LearnerSystem:
    """The Learner that saw labels of groups of `size` clips alone; see `LearnerSystem`."""
    return LearnerSystem(f"MIL, clips in groups of {size}", "the Learner on groups of clips", ("10",), group=size)


SYSTEMS = (
    LearnerSystem("MIL learner", "the Learner, trained by the ranking loss of Sultani et al.", ("10", "11")),
    LearnerSystem("MIL, top-3", "the Learner, a bag's score the mean of its three largest", ("10",), top_k=3),
    LearnerSystem("MIL, loss as printed", "the Learner, trained by the loss as printed", ("10",), variant="as_printed"),
)
