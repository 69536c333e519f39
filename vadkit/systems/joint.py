"""Train the LSTM, the attention model and the joint model of the second paper's first experiment (section V.A).

    run = joint_training.run(config, load_corpus(config), "joint")
    run.by_seed()     # {seed: [VideoScores, ...]}, what vadkit.evaluation.evaluate takes
    run.recognised()  # {seed: [Recognised, ...]}, what vadkit.evaluation.recognition takes

Video-level labels alone, as for the Learner (`vadkit.systems.bags`): training and validation videos have no annotated spans. A
video has as many segments as it is long (config.joint_segment_seconds), and batches are padded and masked. The loss is
binary cross-entropy, as the paper says, of a video's score: the mean of its config.joint_top_k largest segment scores (LSTM)
or of all, weighted by attention; for the joint model plus config.joint_class_weight times the cross-entropy of the
class. The epoch kept has the highest AUC over validation *videos*, among equals the lowest loss there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vadkit.core.code import code_version
from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import DataError, VadkitError
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.corpora.video import NORMAL, Corpus, Problem
from vadkit.evaluation.recognition import Recognised
from vadkit.evaluation.scores import VideoScores
from vadkit.models.joint import NAMES, Output, build_model
from vadkit.models.network import Network, recalled, remembered
from vadkit.systems import mil as mil_training
from vadkit.systems.bags import Bags, Item, load_bags, padded, sides_of, video_scores
from vadkit.systems.runner import plan_folds
from vadkit.systems.trainer import Epoch, derived_seed, rank_auc
from vadkit.views.segments import Bag

PHASE = 11  # of `derived_seed`: other random numbers than the Learner's
EVALUATION_BAGS = 32  # of a batch without gradient


@dataclass(frozen=True)
class JointSeed:
    """One seed: test videos' scores and, from the joint model, their classes; with cross-validation from the fold that did not train on them.

    histories, model_paths: one a fold.
    """

    seed: int
    scores: tuple[VideoScores, ...]
    recognised: tuple[Recognised, ...]
    histories: tuple[tuple[Epoch, ...], ...]
    model_paths: tuple[Path, ...]


@dataclass(frozen=True)
class JointRun:
    """classes: what the joint model tells apart, the normal one first."""

    model: str
    classes: tuple[str, ...]
    seeds: tuple[JointSeed, ...]
    problems: tuple[Problem, ...]

    def by_seed(self) -> dict[int, list[VideoScores]]:
        return {run.seed: list(run.scores) for run in self.seeds}

    def recognised(self) -> dict[int, list[Recognised]]:
        return {run.seed: list(run.recognised) for run in self.seeds}


def run(config: Config, corpus: Corpus, model: str = "joint", progress: Progress | None = None) -> JointRun:
    """Train a model of `NAMES` with every seed (and fold) and score the test videos; what the cache has is not done again.

    Raises ValueError for another model, DataError where a side has no video of both classes.
    """
    if model not in NAMES:
        raise ValueError(f"model must be one of {', '.join(NAMES)}, got '{model}'")
    bags, classes = load_sequences(config, corpus, progress), classes_of(corpus)
    tasks = [
        _Task(config, model, classes, seed, bags.networks, *sides_of(fold, bags.items))
        for seed in config.seeds
        for fold in plan_folds(config, corpus, seed)
    ]
    mil_training.train_missing(tasks, _train_task, progress)
    seeds = []
    for seed in config.seeds:
        mine = [task for task in tasks if task.seed == seed]
        outputs = {
            item.video.name: (item, outs) for task in mine for item, outs in _outputs(load_model(task.path), task.test)
        }
        tested = [outputs[v.name] for v in corpus.videos if v.name in outputs]
        histories = tuple(
            tuple(Epoch(**line) for line in json.loads((task.path / "history.json").read_text())) for task in mine
        )
        scores = tuple(video_scores(item, out.scores[0].numpy(), config) for item, out in tested)
        recognised = tuple(_recognised(item, classes, out) for item, out in tested if out.classes is not None)
        seeds.append(JointSeed(seed, scores, recognised, histories, tuple(task.path for task in mine)))
    return JointRun(model, classes, tuple(seeds), bags.problems)


def load_sequences(config: Config, corpus: Corpus, progress: Progress | None = None) -> Bags:
    """The videos as bags of any length; see `segment_count`."""
    return load_bags(config, corpus, progress, lambda frames, fps: segment_count(frames, fps, config))


def segment_count(frames: int, fps: float, config: Config) -> int:
    """Into how many segments a video is cut: of joint_segment_seconds each, at least 1 and at most joint_max_segments."""
    wanted = round(frames / fps / config.joint_segment_seconds)
    return max(1, min(wanted, config.joint_max_segments, frames))


def classes_of(corpus: Corpus) -> tuple[str, ...]:
    """The normal class, and the classes of anomaly of training and validation videos, in alphabetical order."""
    return NORMAL, *sorted({v.category for v in corpus.of("train", "val", "all") if v.label})


@dataclass(frozen=True)
class JointFacts:
    """What a trained model is of. model: as `build_model` takes it; classes: the names of its classes; networks: by stream, empty for published features."""

    model: Mapping[str, Any]
    classes: tuple[str, ...]
    networks: Mapping[str, Network]


def joint_facts(path: str | Path) -> JointFacts:
    """Of a run's model folder. Raises DataError where it holds no such model."""
    path = Path(path)
    if not (path / "joint.json").is_file():
        raise DataError(
            f"{path} holds no LSTM, attention or joint model (joint.json is missing); take a path from JointSeed.model_paths, or run it again"
        )
    facts = json.loads((path / "joint.json").read_text())
    return JointFacts(facts["model"], tuple(facts["classes"]), recalled(facts["networks"]))


def load_model(path: str | Path) -> nn.Module:
    """A trained model from a run's model folder, in evaluation mode. Raises DataError where there is none."""
    model = build_model(**joint_facts(path).model)
    model.load_state_dict(torch.load(Path(path) / "model.pt", map_location="cpu", weights_only=True))
    return model.eval()


def train_model(
    config: Config, name: str, train: Sequence[Bag], labels: Sequence[int], validation: Sequence[Bag], validation_labels: Sequence[int],
    classes: int, seed: int, streams: int = 1, progress: Progress | None = None,
) -> tuple[nn.Module, tuple[Epoch, ...]]:  # fmt: skip
    """The model of the best epoch, and the history.

    labels: classes of the videos, 0 for normal; validation has normal and anomalous ones. The same seed gives the
    same weights. Raises VadkitError where the loss is no longer finite.
    """
    labels, validation_labels = torch.as_tensor(labels), torch.as_tensor(validation_labels)
    weights, history, best = class_weights(labels, classes), [], (-1.0, 0.0)
    with one_thread(), torch.random.fork_rng(devices=[]):  # steps too short to share
        torch.manual_seed(derived_seed(seed, PHASE, 0))
        model, optimiser = new_model(config, name, train[0].features.shape[1], classes, streams)
        kept = model.state_dict()
        for epoch in range(1, config.joint_epochs + 1):
            started = time.monotonic()
            torch.manual_seed(derived_seed(seed, PHASE, epoch))  # the draw and dropout
            mean = train_epoch(
                model, optimiser, train, labels, config, weights, f"{name} model, seed {seed}, epoch {epoch}"
            )
            loss, auc = _validate(model, validation, validation_labels, config, weights)
            history.append(Epoch(1, epoch, mean, loss, auc, len(train), round(time.monotonic() - started, 3)))
            if (auc, -loss) > best or epoch == 1:
                best, kept = (auc, -loss), {key: value.clone() for key, value in model.state_dict().items()}
            if progress is not None:
                progress(epoch, config.joint_epochs, f"{name} model seed {seed}")
    model.load_state_dict(kept)
    return model.eval(), tuple(history)


def video_loss(out: Output, labels: Tensor, config: Config, class_weights: Tensor) -> Tensor:
    """Binary cross-entropy of videos, plus the weighted cross-entropy of their classes where the model gives them. A scalar.

    labels: (batch,) classes, 0 for normal. class_weights: (classes,).
    """
    if not torch.isfinite(out.videos).all():
        return out.videos.sum()  # not finite either; the caller says so
    loss = functional.binary_cross_entropy(
        out.videos.clamp(0, 1), (labels > 0).float()
    )  # a sum of shares may pass 1 by rounding
    if out.classes is not None and config.joint_class_weight:
        each = functional.cross_entropy(out.classes, labels, reduction="none")
        loss = (
            loss + config.joint_class_weight * (each * class_weights[labels]).mean()
        )  # not over the weights' sum: a rare class alone in a batch would lose its weight
    return loss


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """One minus a class's share of the videos, as Majhi et al. weigh classes: rare ones count a little more. Shape: (classes,)."""
    return 1 - torch.bincount(labels, minlength=classes) / len(labels)


def new_model(
    config: Config, name: str, feature_dim: int, classes: int, streams: int = 1
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """An untrained model of config's size, and what trains it."""
    model = build_model(name, feature_dim, classes, streams=streams, **_size(config))
    return model, torch.optim.Adam(model.parameters(), lr=config.joint_lr, weight_decay=config.joint_weight_decay)


def train_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    bags: Sequence[Bag],
    labels: Tensor,
    config: Config,
    weights: Tensor,
    what: str,
) -> float:
    """One pass over the bags in random order, in padded batches; the mean loss. what: who trains, for an error's message.

    labels: (bags,) classes, 0 for normal. Raises VadkitError where the loss is no longer finite.
    """
    model.train()
    total = 0.0
    for rows in torch.randperm(len(bags)).split(config.joint_batch):
        loss = video_loss(model(*padded([bags[i] for i in rows])), labels[rows], config, weights)
        if not torch.isfinite(loss):
            raise VadkitError(
                f"{what}: the loss is {loss.item()}, expected a finite number; lower joint_lr (now {config.joint_lr:g})"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.item() * len(rows)
    return total / len(bags)


def _size(config: Config) -> dict:
    return {"width": config.joint_width, "dropout": config.joint_dropout, "top_k": config.joint_top_k}


def _validate(
    model: nn.Module, bags: Sequence[Bag], labels: Tensor, config: Config, weights: Tensor
) -> tuple[float, float]:
    """The loss over validation videos, and the AUC of their scores. Video labels only."""
    model.eval()
    losses, videos = [], []
    with torch.no_grad():
        for rows in torch.arange(len(bags)).split(EVALUATION_BAGS):
            out = model(*padded([bags[i] for i in rows]))
            losses.append(video_loss(out, labels[rows], config, weights).item() * len(rows))
            videos.append(out.videos.numpy())
    return sum(losses) / len(bags), rank_auc((labels > 0).int().numpy(), np.concatenate(videos))


def _outputs(model: nn.Module, items: Sequence[Item]) -> list[tuple[Item, Output]]:
    with torch.no_grad():
        return [(item, model(*padded([item.bag]))) for item in items]


def _recognised(item: Item, classes: tuple[str, ...], out: Output) -> Recognised:
    return Recognised(
        item.video.name, item.video.category, item.video.source, classes, out.classes[0].softmax(dim=0).numpy()
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """One model to train: a seed, a fold."""

    config: Config
    model: str
    classes: tuple[str, ...]
    seed: int
    networks: Mapping[str, Network]  # by stream; none where features are published ones
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]

    @cached_property
    def key(self) -> dict:
        return {
            "parameters": {k: v for k, v in self.config.model_dump().items() if k.startswith("joint_")},
            "model": [self.model, self.classes],
            "seed": self.seed,
            "networks": remembered(self.networks),
            "train": [[item.identity, item.video.category] for item in self.train],
            "val": [[item.identity, item.video.category] for item in self.val],
            "torch": torch.__version__,
            "code": code_version(__name__),
        }

    @cached_property
    def path(self) -> Path:
        return Store(self.config.cache_dir).path("joint_models", self.key)

    def labels(self, items: Sequence[Item]) -> list[int]:
        return [self.classes.index(item.video.category) for item in items]


def _train_task(task: _Task, progress: Progress | None) -> str:
    Store(task.config.cache_dir).fetch("joint_models", task.key, lambda folder: _build(task, folder, progress))
    return f"{task.model} model"


def _build(task: _Task, folder: Path, progress: Progress | None) -> None:
    bags = [[item.bag for item in side] for side in (task.train, task.val)]
    labels, streams = [task.labels(side) for side in (task.train, task.val)], max(1, len(task.networks))
    model, history = train_model(
        task.config, task.model, bags[0], labels[0], bags[1], labels[1], len(task.classes), task.seed, streams, progress
    )
    torch.save(model.state_dict(), folder / "model.pt")
    built = {
        "name": task.model,
        "feature_dim": bags[0][0].features.shape[1],
        "classes": len(task.classes),
        "streams": streams,
        **_size(task.config),
    }
    facts = {"model": built, "classes": task.classes, "networks": remembered(task.networks)}
    (folder / "joint.json").write_text(json.dumps(facts, indent=1))
    (folder / "history.json").write_text(json.dumps([asdict(line) for line in history], indent=1, allow_nan=False))
