"""The first paper's systems: pretrained streams, a bag of objects, and a head of two layers (section 3).

Streams of frames; or, in their place, of clips: C3D (section 4.5) and the two-stream I3D (section 4.6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vadkit.core.compute import decoded, device_of, has_bfloat16
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus, Seen, Video
from vadkit.evaluation.scores import VideoScores
from vadkit.models.pretrained import clip_networks
from vadkit.systems.base import Fitted, Material, System, Task

if TYPE_CHECKING:
    from vadkit.systems.examples import Examples
    from vadkit.systems.inputs import ClipInputs, FrameInputs
    from vadkit.views.frames import Samples

# The published network. Training rates, learning rates and the like have rows of their own beside the printed settings.
TWO_LAYERS = {"head_width": 4096}
PUBLISHED = TWO_LAYERS | dict(backbone="resnet50", backbone_weights="imagenet", image_size=224)
PUBLISHED |= dict(flow_method="farneback", flow_scale="minmax", frame_stream=True, frame_window=False)
PUBLISHED |= dict(speed_stream=False, feature_scale="raw")


class FrameSystem(System):
    """What looks at the sampled frames of a video, or at what stands in their place."""

    def inputs(self, config: Config) -> FrameInputs:
        from vadkit.systems.inputs import FrameInputs

        return FrameInputs(config, self.networks(config))

    def see(self, config: Config, videos: Sequence[Video], purpose: str, progress: Progress | None = None) -> Seen:
        return self.inputs(config).extract(videos, purpose, progress)

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        """Validation videos serve training rows; under test_parity scoring rows as well, for the system without a
        validation set is tested on the whole test list."""
        held = "both" if config.validation == "test_parity" else "train"
        wanted = [("train", "train"), ("val", held), ("test", "score")]
        if config.split == "grouped_cv":
            wanted = [("all", "both")]
        views, problems = {}, []
        for split, purpose in wanted:
            found, wrong = self.see(config, corpus.of(split), purpose, progress)
            views |= {one.video.name: one for one in found}
            problems += wrong
        if not views:
            first = f"; the first problem: {problems[0].where}: {problems[0].what}" if problems else ""
            raise DataError(f"corpus {corpus.name} has no usable video for split '{config.split}'{first}")
        return Material({v.name: views[v.name] for v in corpus.videos if v.name in views}, tuple(problems))

    def ready(self, config: Config, views: Sequence[Samples], progress: Progress | None) -> None:
        self.inputs(config).extract_features(list({one.digest: one for one in views}.values()), progress)


@dataclass(frozen=True)
class TwoStreamSystem(FrameSystem):
    """A row of table 1 or 2: what it does not say is a parameter of the run.

    fixed_epochs: epochs of (phase one, phase two) where early stopping is off. suspicious: soft anomalies are a third
    class with fuzzy targets; class_rates: each class of anomaly has its own sampling rate in training (both are the
    paper's future work, `vadkit.systems.material`).
    """

    streams: int = 2
    bag: bool = True
    hard_mining: bool = True
    hard_only: bool = False
    fixed_epochs: tuple[int, int] | None = None
    suspicious: bool = False
    class_rates: bool = False

    on_clips: ClassVar[bool] = False
    whole_frames: ClassVar[bool] = True  # and so any video can be scored
    published: ClassVar = PUBLISHED
    parameters: ClassVar[tuple[str, ...]] = (
        *("head_width", "dropout", "output", "bag_scale", "feature_scale", "clip_frames"),
        *("batch_size", "hard_mining_alpha", "anomaly_weight", "weight_decay", "patience"),
        *("head_epochs", "head_lr", "finetune_epochs", "finetune_lr", "finetune_precision"),
    )

    @property
    def early_stopping(self) -> bool:
        return self.fixed_epochs is None

    def configured(self, config: Config, corpus: Corpus | None = None) -> System:
        if config.early_stopping or self.fixed_epochs is not None:
            return self
        return replace(self, fixed_epochs=(config.head_epochs, config.finetune_epochs))

    def scoring(self, config: Config) -> tuple[str, ...]:
        """Also the algorithm of its flow, and how often it looks where no flow spans that time."""
        moving = "flow" in self.needs(config) or (config.frame_window and not self.on_clips)
        flow = ("clip_flow_method" if self.on_clips else "flow_method",) if moving else ()
        rate = ("analysis_fps",) if self.on_clips or not moving or config.flow_pair != "grid" else ()
        both = (*super().scoring(config), *flow, *rate)
        return tuple(one for one in both if one != "inference" or not config.finetune_epochs)  # then it takes images

    def adapted(self, config: Config) -> Config:
        if not config.finetune_epochs or config.finetune_precision != "auto":
            return config
        precision = "bfloat16" if has_bfloat16(device_of(config)) else "float32"
        return config.model_copy(update={"finetune_precision": precision})

    def in_processes(self, config: Config) -> bool:
        return not config.finetune_epochs and device_of(config) == "cpu"

    def needs(self, config: Config) -> dict[str, str]:
        """A backbone for the frame; with two streams, for the frame and its flow, as in the paper. config.speed_stream
        shows motion a second time; config.frame_stream off takes the frame away."""
        from vadkit.views.flow import stream_names

        names = [name for name in stream_names(config) if config.frame_stream or name != "frame"]
        return dict.fromkeys(names if self.streams > 1 else ["frame"], config.backbone)

    def other_network(self, config: Config) -> list[str]:
        differs = super().other_network(config)
        if not config.finetune_epochs:
            differs.append("phase two is left out (finetune_epochs: 0)")
        if self.bag and not self.on_clips:
            if config.detector_weights in ("world", "none"):
                differs.append(f"detector_weights is '{config.detector_weights}', not a detector trained on COCO")
            if config.bag_scale != "raw":
                differs.append(f"bag_scale is {config.bag_scale}, the paper's raw")
        return differs

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        if self.bag and config.detector_weights == "none":
            remedy = "give a detector's weights, or run a system without a bag (2S-no-bag, 1S-no-bag)"
            raise ConfigError(f"{self.name} needs a bag of objects but detector_weights is 'none'; {remedy}")
        return super().material(config, corpus, progress)

    def resampled(self, task: Task, corpus: Corpus, progress: Progress | None = None) -> Task:
        if not self.class_rates:
            return task
        from vadkit.systems.material import at_class_rates

        return replace(task, train=tuple(at_class_rates(task.train, task.config, progress)))

    def identity(self, config: Config, view: Samples, side: str) -> list[str]:
        """Its samples, the rows taken, their labels and, where there is such a class, their suspicion."""
        rows = view.rows("train", config, self.hard_only and side == "train")
        suspicion = self._suspicion(config, view, rows).tobytes() if self.suspicious else b""
        taken = np.asarray(rows, np.int64).tobytes() + view.labels[rows].tobytes() + suspicion
        return [view.digest, hashlib.sha256(taken).hexdigest()[:20]]

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        from vadkit.systems import trainer

        config, device = task.config, device_of(task.config)
        training = self.examples(config, task.train, self.hard_only)
        validation = self.examples(config, task.val) if task.val else None
        options = {"checkpoint_dir": task.checkpoint, "device": device, "progress": progress}
        options["backbones"] = lambda: [network.build(device) for network in self.networks(config).values()]
        return trainer.train(task.settings(), self, training, validation, task.seed, **options)

    def examples(self, config: Config, views: Sequence[Samples], hard_only: bool = False) -> Examples:
        """The training rows of the given videos, one after the other."""
        import torch

        from vadkit.systems.examples import Examples

        inputs, rows = self.inputs(config), [one.rows("train", config, hard_only) for one in views]
        owner, local = np.repeat(np.arange(len(views)), [len(r) for r in rows]), np.concatenate(rows)
        device = device_of(config)

        def images(wanted: np.ndarray):
            for stream, network in inputs.networks.items():
                alone = decoded(lambda i, stream=stream: views[owner[i]].images(stream, [local[i]]), wanted, device)
                yield network.preprocess(np.concatenate(alone))

        def together(of) -> torch.Tensor:
            return torch.from_numpy(np.concatenate([of(one, r) for one, r in zip(views, rows, strict=True)]))

        parts = [inputs.features, lambda one, r: one.bags[r], lambda one, r: one.labels[r]]
        suspicion = together(partial(self._suspicion, config)) if self.suspicious else None
        return Examples(*map(together, parts), images, suspicion, inputs.image_rows)

    def _suspicion(self, config: Config, view: Samples, rows: np.ndarray) -> np.ndarray:
        from vadkit.systems.material import suspicion

        return suspicion(view, rows, config.suspicious_seconds)

    def score(self, config: Config, path: Path, views: Sequence[Samples]) -> list[VideoScores]:
        from vadkit.systems.scorer import score

        return score(self.inputs(config), path, views)


class ClipSystem(TwoStreamSystem):
    """A 3D network in the place of the streams; it sees the clip that ends at an analysed frame."""

    on_clips = True
    network: ClassVar[str] = ""  # a kind of `vadkit.models.pretrained`

    def scoring(self, config: Config) -> tuple[str, ...]:
        return (*super().scoring(config), *("i3d_score_every",) * (self.network == "i3d"))

    def needs(self, config: Config) -> dict[str, str]:
        return clip_networks(self.network)

    def inputs(self, config: Config) -> ClipInputs:
        from vadkit.systems.inputs import ClipInputs

        every = config.i3d_score_every if self.network == "i3d" else 1
        return ClipInputs(config, self.networks(config), every, self.bag)


@dataclass(frozen=True)
class C3DSystem(ClipSystem):
    streams: int = 1
    bag: bool = False  # config.c3d_bag adds the released optional branch

    network: ClassVar = "c3d"
    published: ClassVar = TWO_LAYERS | {"clip_width": 1.0, "c3d_size": 112, "c3d_bag": False}
    fetched: ClassVar = ("c3d_weights",)

    def configured(self, config: Config, corpus: Corpus | None = None) -> System:
        return replace(super().configured(config), bag=config.c3d_bag)


@dataclass(frozen=True)
class I3DSystem(ClipSystem):
    """The published comparison has neither hard mining nor a bag of objects; epochs and training frames are those of
    2S-bag-ha-no-es, so that the rows of table 2 differ by network and by what it looks at (our reading)."""

    bag: bool = False
    hard_mining: bool = False
    hard_only: bool = True
    fixed_epochs: tuple[int, int] | None = (5, 2)

    network: ClassVar = "i3d"
    published: ClassVar = TWO_LAYERS | {"clip_width": 1.0, "i3d_size": 224}
    fetched: ClassVar = ("i3d_rgb_weights", "i3d_flow_weights")


SYSTEMS = (
    TwoStreamSystem("2S-bag", ("02", "03", "04")),  # frame and flow streams with the bag of objects
    TwoStreamSystem("2S-no-bag", ("02",), bag=False),
    TwoStreamSystem("2S-bag-no-hm", ("03",), hard_mining=False),  # trained on every sample
    # trained without the soft frames of anomalous videos
    TwoStreamSystem("2S-bag-ha", ("04", "05", "07", "08", "09", "10", "12", "13", "14"), hard_only=True),
    TwoStreamSystem("1S-bag", ("02", "04"), streams=1),  # the frame stream alone
    TwoStreamSystem("1S-no-bag", ("02",), streams=1, bag=False),
    TwoStreamSystem("1S-bag-ha", ("04",), streams=1, hard_only=True),
    # no early stopping, no validation set
    TwoStreamSystem("2S-bag-ha-no-es", ("06",), hard_only=True, fixed_epochs=(5, 2)),
    # beyond the paper: a third class for soft anomalies, a sampling rate for each class of anomaly
    TwoStreamSystem("2S-bag-suspicious", ("04",), suspicious=True),
    TwoStreamSystem("2S-bag-ha-class-rates", ("04",), hard_only=True, class_rates=True),
    C3DSystem("C3D-ha", ("05", "09", "13"), hard_only=True),
    I3DSystem("full-I3D", ("06",)),
)
