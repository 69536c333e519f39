"""The first paper's systems on frames: pretrained streams, a bag of objects, and a head of two layers (section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vadkit.core.errors import ConfigError, DataError
from vadkit.systems.base import Fitted, Material, Sides, System, Task

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.core.progress import Progress
    from vadkit.corpora.video import Corpus, Problem, Video
    from vadkit.evaluation.scores import VideoScores
    from vadkit.systems.inputs import FrameInputs
    from vadkit.systems.trainer import Examples
    from vadkit.views.frames import Samples

# The published network. Training rates, learning rates and the like have rows of their own beside the printed settings.
TWO_LAYERS = {"head_width": 4096}
PUBLISHED = TWO_LAYERS | {
    "backbone": "resnet50",
    "backbone_weights": "imagenet",
    "image_size": 224,
    "flow_method": "farneback",
    "flow_scale": "minmax",
    "frame_stream": True,
    "frame_window": False,
    "speed_stream": False,
    "feature_scale": "raw",
}


@dataclass(frozen=True)
class TwoStreamSystem(System):
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
    published: ClassVar[dict[str, Any]] = PUBLISHED
    fetched: ClassVar[tuple[str, ...]] = ()  # weights that somebody has to fetch: a path
    parameters: ClassVar[tuple[str, ...]] = (
        *("head_width", "dropout", "output", "bag_scale", "feature_scale", "clip_frames"),
        *("batch_size", "hard_mining_alpha", "anomaly_weight", "weight_decay", "patience"),
        *("head_epochs", "head_lr", "finetune_epochs", "finetune_lr"),
    )

    @property
    def early_stopping(self) -> bool:
        return self.fixed_epochs is None

    @property
    def counts_objects(self) -> bool:
        return self.bag

    def configured(self, config: Config) -> System:
        if config.early_stopping or self.fixed_epochs is not None:
            return self
        return replace(self, fixed_epochs=(config.head_epochs, config.finetune_epochs))

    def in_processes(self, config: Config) -> bool:
        from vadkit.core.compute import device_of

        return not config.finetune_epochs and device_of(config) == "cpu"

    def stream_names(self, config: Config) -> tuple[str, ...]:
        """What its streams see: the frame; with two, the frame and its flow, as in the paper.

        config.speed_stream shows motion a second time; config.frame_stream off takes the frame away.
        """
        if self.streams == 1:
            return ("frame",)
        from vadkit.views.flow import stream_names

        return tuple(name for name in stream_names(config) if config.frame_stream or name != "frame")

    def needs(self, config: Config) -> dict[str, str]:
        return dict.fromkeys(self.stream_names(config), config.backbone)

    def other_network(self, config: Config) -> list[str]:
        differs = [
            f"{key} is {getattr(config, key)}, the paper's {value}"
            for key, value in self.published.items()
            if getattr(config, key) != value
        ]
        differs += [
            f"{key} is '{getattr(config, key)}', not a file of published weights"
            for key in self.fetched
            if getattr(config, key) in ("world", "random")
        ]
        if not config.finetune_epochs:
            differs.append("phase two is left out (finetune_epochs: 0)")
        if self.bag and not self.on_clips:
            if config.detector_weights in ("world", "none"):
                differs.append(f"detector_weights is '{config.detector_weights}', not a detector trained on COCO")
            if config.bag_scale != "raw":
                differs.append(f"bag_scale is {config.bag_scale}, the paper's raw")
        return differs

    # --- what it sees

    def inputs(self, config: Config) -> FrameInputs:
        from vadkit.systems.inputs import FrameInputs

        return FrameInputs(config, self.networks(config))

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        """Validation videos serve training rows; under test_parity scoring rows as well, for the system without a
        validation set is tested on the whole test list."""
        if self.bag and config.detector_weights == "none":
            raise ConfigError(
                f"{self.name} needs a bag of objects but detector_weights is 'none'; give a detector's weights, or run "
                "a system without a bag (2S-no-bag, 1S-no-bag)"
            )
        if config.split == "grouped_cv":
            wanted = [(corpus.of("all"), "both")]
        else:
            held = "both" if config.validation == "test_parity" else "train"
            wanted = [(corpus.of("train"), "train"), (corpus.of("val"), held), (corpus.of("test"), "score")]
        views, problems = {}, []
        for videos, purpose in wanted:
            found, wrong = self.see(config, videos, purpose, progress)
            views |= {one.video.name: one for one in found}
            problems += wrong
        if not views:
            first = f"; the first problem: {problems[0].where}: {problems[0].what}" if problems else ""
            raise DataError(f"corpus {corpus.name} has no usable video for split '{config.split}'{first}")
        return Material({v.name: views[v.name] for v in corpus.videos if v.name in views}, tuple(problems))

    def see(
        self, config: Config, videos: Sequence[Video], purpose: str, progress: Progress | None = None
    ) -> tuple[list[Samples], list[Problem]]:
        return self.inputs(config).extract(videos, purpose, progress)

    def sides(
        self, sides: Sides, config: Config, corpus: Corpus, seed: int, fold: int, progress: Progress | None
    ) -> Sides:
        if not self.class_rates:
            return sides
        from vadkit.systems.material import at_class_rates

        return sides._replace(train=tuple(at_class_rates(sides.train, config, progress)))

    def ready(self, config: Config, views: Sequence[Samples], progress: Progress | None) -> None:
        self.inputs(config).extract_features(list({one.digest: one for one in views}.values()), progress)

    # --- training

    def identity(self, config: Config, view: Samples, side: str) -> list[str]:
        """Its samples, the rows taken, their labels and, where there is such a class, their suspicion."""
        rows = view.rows("train", config, self.hard_only and side == "train")
        suspicion = self._suspicion(config, view, rows).tobytes() if self.suspicious else b""
        taken = np.asarray(rows, np.int64).tobytes() + view.labels[rows].tobytes() + suspicion
        return [view.digest, hashlib.sha256(taken).hexdigest()[:20]]

    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        from vadkit.core.compute import device_of
        from vadkit.systems import trainer

        config, settings, device = task.config, task.settings(), device_of(task.config)
        training = self.examples(config, task.train, self.hard_only)
        trained = trainer.train(
            settings,
            self,
            training,
            self.examples(config, task.val) if task.val else None,
            task.seed,
            backbones=lambda: [network.build(device) for network in self.networks(config).values()],
            checkpoint_dir=task.checkpoint,
            device=device,
            progress=progress,
        )
        dim = training.features.shape[1]
        facts = {
            "head": {"feature_dim": dim, "use_bag": self.bag, **trainer.head_options(settings, self)},
            "finetuned": trained.finetuned,
            "training_samples": len(training),
            "training_anomalous": int(training.labels.sum()),
        }
        return Fitted(trained.state, facts, trained.history)

    def examples(self, config: Config, views: Sequence[Samples], hard_only: bool = False) -> Examples:
        """The training rows of the given videos, one after the other."""
        import torch

        from vadkit.systems.trainer import Examples

        inputs = self.inputs(config)
        rows = [one.rows("train", config, hard_only) for one in views]
        pairs = list(zip(views, rows, strict=True))
        owner = np.repeat(np.arange(len(views)), [len(r) for r in rows])
        local = np.concatenate(rows)

        def images(wanted: np.ndarray):
            for stream, network in inputs.networks.items():
                yield network.preprocess(np.concatenate([views[owner[i]].images(stream, [local[i]]) for i in wanted]))

        def together(of) -> torch.Tensor:
            return torch.from_numpy(np.concatenate([of(one, r) for one, r in pairs]))

        return Examples(
            together(inputs.features),
            together(lambda one, r: one.bags[r]),
            together(lambda one, r: one.labels[r]),
            images,
            together(lambda one, r: self._suspicion(config, one, r)) if self.suspicious else None,
            image_rows=inputs.image_rows,
        )

    def _suspicion(self, config: Config, view: Samples, rows: np.ndarray) -> np.ndarray:
        from vadkit.systems.material import suspicion_of

        return suspicion_of(view, rows, config.suspicious_seconds)

    # --- scoring

    def score(self, config: Config, path: Path, views: Sequence[Samples]) -> list[VideoScores]:
        from vadkit.systems.scorer import score

        return score(self.inputs(config), path, views)


SYSTEMS = (
    TwoStreamSystem("2S-bag", "frame and flow streams with the bag of objects", ("02", "03", "04")),
    TwoStreamSystem("2S-no-bag", "frame and flow streams alone", ("02",), bag=False),
    TwoStreamSystem("2S-bag-no-hm", "2S-bag trained on every sample, without hard mining", ("03",), hard_mining=False),
    TwoStreamSystem(
        "2S-bag-ha",
        "2S-bag trained without the soft frames of anomalous videos",
        ("04", "05", "07", "08", "09", "10", "12", "13"),
        hard_only=True,
    ),
    TwoStreamSystem("1S-bag", "frame stream with the bag of objects", ("02", "04"), streams=1),
    TwoStreamSystem("1S-no-bag", "frame stream alone", ("02",), streams=1, bag=False),
    TwoStreamSystem(
        "1S-bag-ha",
        "1S-bag trained without the soft frames of anomalous videos",
        ("04",),
        streams=1,
        hard_only=True,
    ),
    TwoStreamSystem(
        "2S-bag-ha-no-es",
        "2S-bag-ha for 5 and 2 epochs, no early stopping, no validation set",
        ("06",),
        hard_only=True,
        fixed_epochs=(5, 2),
    ),
    TwoStreamSystem(
        "2S-bag-suspicious",
        "2S-bag with soft anomalies as a third, suspicious class (beyond the paper)",
        ("04",),
        suspicious=True,
    ),
    TwoStreamSystem(
        "2S-bag-ha-class-rates",
        "2S-bag-ha with a sampling rate for each class of anomaly (beyond the paper)",
        ("04",),
        hard_only=True,
        class_rates=True,
    ),
)
