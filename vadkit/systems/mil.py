"""The second paper's Learner: multiple-instance ranking from video-level labels alone, test videos scored by segments.

    run = runner.run(config, load_corpus(config), "MIL learner")

Weak labels: neither which frames are taken nor which epoch is kept (`vadkit.systems.bag_trainer`) can depend on
annotated spans. Training always sets validation videos aside, for it has an epoch to choose, also where
config.early_stopping is off and the first paper's systems train on them as well; the test videos are the same.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vadkit.core.clock import Clock
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.evaluation.scores import VideoScores
from vadkit.models.pretrained import clip_networks
from vadkit.systems import two_stream
from vadkit.systems.base import Fitted, Material, Sides, System, Task
from vadkit.systems.record import read_facts, read_state
from vadkit.views.segments import Bag

# Models on bags see what the system sees that they are compared with, but no objects.
SAME_STREAMS = replace(next(system for system in two_stream.SYSTEMS if system.name == "2S-bag-ha"), bag=False)


# (frames or ticks, fps) -> into how many segments a video is cut; 0: every row of features is one
Segments = Callable[[int, float], int]


@dataclass(frozen=True, eq=False)
class Item:
    """A video with its bag. identity: what the bag was made of, for the cache's key; times: as of a view."""

    video: Video
    frames: int
    fps: float
    bag: Bag
    identity: str
    times: np.ndarray | None = None

    @property
    def ticks(self) -> int:
        return len(Clock(self.fps, self.times).shown(self.frames))


class BagSystem(System):
    """What learns from bags: videos cut into segments, with a label for the whole (`vadkit.systems.bags`)."""

    scores_validation = True
    kind: ClassVar[str] = ""  # what a model's folder calls its model
    published: ClassVar = {"mil_features": "resnext3d", "clip_width": 1.0, "mil_resnext3d_size": 112}
    fetched: ClassVar = ("mil_resnext3d_weights",)

    def segments(self, config: Config) -> Segments | None:
        """Into how many segments a video is cut, where that is not config.mil_segments."""
        return None

    def scoring(self, config: Config) -> tuple[str, ...]:
        """Also the algorithm of the flow that its features see."""
        flow = {"streams": ("flow_method",), "i3d": ("clip_flow_method",)}.get(config.mil_features, ())
        return (*super().scoring(config), *flow)

    def label(self, video: Video) -> int:
        """What training is told of a video, 0 for normal."""
        return video.label

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        from vadkit.systems.bags import load_bags

        return load_bags(config, corpus, progress, self.segments(config))

    def lacking(self, config: Config, corpus: Corpus) -> str:
        return "" if config.mil_published else super().lacking(config, corpus)

    def needs(self, config: Config) -> dict[str, str]:
        """Of our features; none where config.mil_published gives others'."""
        if config.mil_published:
            return {}
        return SAME_STREAMS.needs(config) if config.mil_features == "streams" else clip_networks(config.mil_features)

    def other_network(self, config: Config) -> list[str]:
        unknown = ["mil_published names features of a network that is not known"] * bool(config.mil_published)
        return super().other_network(config) + unknown

    def check(self, sides: Sides, problems: Sequence[Problem]) -> None:
        for side, what in zip(sides, ("training", "validation", "test"), strict=True):
            labels = [item.video.label for item in side]
            if not labels or (what != "test" and len(set(labels)) < 2):
                got = f"{what} videos, got {len(labels) - sum(labels)} and {sum(labels)}"
                remedy = "give more videos, or raise validation_fraction"
                raise DataError(f"multiple-instance learning needs normal and anomalous {got}; {remedy}")

    def identity(self, config: Config, view: Item, side: str) -> list:
        return [view.identity, self.label(view.video)]

    def taught(self, task: Task) -> list[tuple]:
        """Bags and labels of the training and the validation videos."""
        sides = task.train, task.val
        return [([item.bag for item in side], [self.label(item.video) for item in side]) for side in sides]

    def streams(self, config: Config) -> int:
        """Parts of the features that are brought to one length."""
        return max(1, len(self.needs(config)))

    def load(self, path: str | Path) -> Any:
        """A trained model from its folder, in evaluation mode. Raises DataError where there is none."""
        from vadkit.models.joint import SequenceModel
        from vadkit.models.mil import Learner

        build = {"learner": Learner, "model": SequenceModel}[self.kind]
        model = build(**read_facts(path, self.kind)[self.kind])
        model.load_state_dict(read_state(path))
        return model.requires_grad_(False).eval()


@dataclass(frozen=True)
class LearnerSystem(BagSystem):
    """variant, top_k: of `vadkit.models.mil.ranking_loss`.

    group: clips in a bag, where a clip is one moment; 0: a video is a bag of segments. A corpus of short clips labels
    each as a whole; in groups the label is weak: a group is anomalous where one of its clips is, and which one is not
    said. Tested is the single clip. The groups are ours: nearly all recordings hold both kinds, and cannot be the bags.
    """

    variant: str = "sultani"
    top_k: int = 1
    group: int = 0

    kind = "learner"
    parameters: ClassVar[tuple[str, ...]] = (
        *("mil_segments", "mil_pairs", "mil_epochs", "mil_optimiser", "mil_lr", "mil_weight_decay", "mil_dropout"),
    )

    def adapted(self, config: Config) -> Config:
        """A clip in a group is one instance, described by its mean over time."""
        return config.model_copy(update={"mil_segments": 1}) if self.group else config

    def resampled(self, task: Task, corpus: Corpus, progress: Progress | None = None) -> Task:
        if not self.group:
            return task
        rng = np.random.default_rng([task.seed, task.fold])
        return replace(task, **{side: groups(getattr(task, side), self.group, rng) for side in ("train", "val")})

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        from vadkit.systems.bag_trainer import train_learner

        settings, streams = task.settings(), self.streams(task.config)
        rule = {"variant": self.variant, "top_k": self.top_k}
        learner, history = train_learner(settings, *self.taught(task), task.seed, streams, progress, **rule)
        facts = {
            "learner": {"feature_dim": learner.feature_dim, "streams": streams, "dropout": settings.mil_dropout},
            "segment_seconds": segment_seconds(task.train, settings.mil_segments),
        }
        return Fitted(learner.state_dict(), facts, history)

    def score(self, config: Config, path: Path, views: Sequence[Item]) -> list[VideoScores]:
        import torch

        from vadkit.systems.bags import video_scores

        learner = self.load(path)
        scores = [learner(torch.from_numpy(item.bag.features)).numpy() for item in views]
        return [video_scores(item, one, config) for item, one in zip(views, scores, strict=True)]


def segment_seconds(items: Sequence[Item], segments: int) -> float:
    """How long an instance is in the middle one of the videos; 0 where each row is one."""
    return float(np.median([item.ticks / item.fps / segments for item in items])) if segments else 0.0


def groups(items: Sequence[Item], size: int, rng: np.random.Generator) -> tuple[Item, ...]:
    """Bags of `size` clips: around each anomalous clip a group of normal ones, and around each normal clip as well.

    items: each with one instance; a group stands in the place of its clip, with the clip's label. The companions are
    drawn without replacement among the other normal clips, the order within a bag at random; where there are fewer, as
    among the validation clips of a fold, the groups are smaller.
    """
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
    return LearnerSystem(f"MIL, clips in groups of {size}", ("10",), group=size)


SYSTEMS = (
    LearnerSystem("MIL learner", ("10", "11", "13")),  # the ranking loss of Sultani et al.
    LearnerSystem("MIL, top-3", ("10",), top_k=3),
    LearnerSystem("MIL, loss as printed", ("10",), variant="as_printed"),
)
