"""Train the second paper's Learner from video-level labels alone, and score test videos segment by segment.

    run = mil_training.run(config, load_corpus(config))
    run.by_seed()  # {seed: [VideoScores, ...]}, what vadkit.evaluation.evaluate takes

Weak labels: training and validation videos are stripped of their annotated spans before anything is sampled, so
that neither which frames are taken nor which epoch is kept can depend on them. The epoch kept is the one with the highest
AUC over validation *videos* (by largest segment score), among equals the one with the lowest ranking loss there.

Training always sets validation videos aside, for it has an epoch to choose, also where config.early_stopping is off and
the first paper's systems train on them as well; the test videos are the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vadkit.core.code import code_version
from vadkit.core.compute import each, one_thread
from vadkit.core.config import Config
from vadkit.core.errors import DataError, VadkitError
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.corpora.video import Corpus, Problem
from vadkit.evaluation.scores import VideoScores
from vadkit.models.mil import Learner, ranking_loss
from vadkit.models.network import Network, recalled, remembered
from vadkit.systems.bags import Item, load_bags, padded, sides_of, video_scores
from vadkit.systems.runner import plan_folds
from vadkit.systems.trainer import Epoch, derived_seed, rank_auc
from vadkit.views.segments import Bag

Regroup = Callable[[Sequence[Item], np.random.Generator], tuple[Item, ...]]
INSTANCES_AT_ONCE = 4096
PHASE = 10  # of `derived_seed`: other random numbers than the first paper's phases


@dataclass(frozen=True)
class MilSeed:
    """One seed: scores of the test videos, and of the validation videos by the models that were chosen on them.

    With cross-validation each test video's scores come from the fold that did not train on it. tested, validation,
    histories and model_paths: one a fold. A threshold chosen on a fold's validation videos is for that fold's test
    videos alone: to another fold those validation videos are test videos.
    """

    seed: int
    scores: tuple[VideoScores, ...]
    tested: tuple[tuple[VideoScores, ...], ...]
    validation: tuple[tuple[VideoScores, ...], ...]
    histories: tuple[tuple[Epoch, ...], ...]
    model_paths: tuple[Path, ...]


@dataclass(frozen=True)
class MilRun:
    seeds: tuple[MilSeed, ...]
    problems: tuple[Problem, ...]

    def by_seed(self) -> dict[int, list[VideoScores]]:
        return {run.seed: list(run.scores) for run in self.seeds}


def run(
    config: Config,
    corpus: Corpus,
    variant: str = "sultani",
    top_k: int = 1,
    regroup: Regroup | None = None,
    progress: Progress | None = None,
) -> MilRun:
    """Train with every seed (and fold) and score the test videos; what the cache has is not done again.

    variant, top_k: of `ranking_loss`. regroup: makes other bags to train and to validate on out of a side's own. Videos
    without features are left out, as are those with fewer frames than segments. Raises DataError where a side has no video of both classes.
    """
    bags, tasks = load_bags(config, corpus, progress), []
    for seed in config.seeds:
        for number, fold in enumerate(plan_folds(config, corpus, seed)):
            train, val, test = sides_of(fold, bags.items)
            if regroup is not None:
                rng = np.random.default_rng([seed, number])
                train, val = regroup(train, rng), regroup(val, rng)
            tasks.append(_Task(config, variant, top_k, seed, bags.networks, train, val, test))
    train_missing(tasks, _train_task, progress)
    seeds = []
    for seed in config.seeds:
        mine = [task for task in tasks if task.seed == seed]
        learners = [load_learner(task.path) for task in mine]
        tested, validation = (
            tuple(
                tuple(_score(learner, getattr(task, side), config))
                for task, learner in zip(mine, learners, strict=True)
            )
            for side in ("test", "val")
        )
        scored = {one.name: one for fold in tested for one in fold}
        histories = tuple(
            tuple(Epoch(**line) for line in json.loads((task.path / "history.json").read_text())) for task in mine
        )
        seeds.append(
            MilSeed(
                seed,
                tuple(scored[v.name] for v in corpus.videos if v.name in scored),
                tested,
                validation,
                histories,
                tuple(t.path for t in mine),
            )
        )
    return MilRun(tuple(seeds), bags.problems)


@dataclass(frozen=True)
class LearnerFacts:
    """What a trained Learner's features are. networks: by stream, empty for published features; segment_seconds: the median of training."""

    learner: Mapping[str, Any]
    networks: Mapping[str, Network]
    segment_seconds: float


def learner_facts(path: str | Path) -> LearnerFacts:
    """Of a run's model folder. Raises DataError where it holds no Learner."""
    path = Path(path)
    if not (path / "mil.json").is_file():
        raise DataError(
            f"{path} holds no Learner (mil.json is missing); take a path from MilSeed.model_paths, or run it again"
        )
    facts = json.loads((path / "mil.json").read_text())
    return LearnerFacts(facts["learner"], recalled(facts["networks"]), facts["segment_seconds"])


def load_learner(path: str | Path) -> Learner:
    """A trained Learner from a run's model folder, in evaluation mode. Raises DataError where there is none."""
    learner = Learner(**learner_facts(path).learner)
    learner.load_state_dict(torch.load(Path(path) / "model.pt", map_location="cpu", weights_only=True))
    return learner.eval()


def train_learner(
    config: Config, anomalous: Sequence[Bag], normal: Sequence[Bag], validation: Sequence[Bag], labels: Sequence[int], seed: int,
    variant: str = "sultani", top_k: int = 1, streams: int = 1, progress: Progress | None = None,
) -> tuple[Learner, tuple[Epoch, ...]]:  # fmt: skip
    """Train on pairs of an anomalous and a normal bag; the Learner of the best epoch, and the history.

    labels: of the validation bags, 0 or 1, both present. An epoch pairs each bag of the larger class once, those of
    the smaller as often as needed. The same seed gives the same weights. Raises VadkitError where the loss is no longer finite.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):  # steps too short to share
        return _train(
            config, anomalous, normal, validation, np.asarray(labels), seed, variant, top_k, streams, progress
        )


def _train(
    config, anomalous, normal, validation, labels, seed, variant, top_k, streams, progress
) -> tuple[Learner, tuple[Epoch, ...]]:
    torch.manual_seed(derived_seed(seed, PHASE, 0))
    learner = Learner(anomalous[0].features.shape[1], streams=streams, dropout=config.mil_dropout)
    method = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}[config.mil_optimiser]
    optimiser = method(learner.parameters(), lr=config.mil_lr, weight_decay=config.mil_weight_decay)
    history, best, kept = [], (-1.0, 0.0), learner.state_dict()
    for epoch in range(1, config.mil_epochs + 1):
        started, total, pairs = time.monotonic(), 0.0, 0
        torch.manual_seed(derived_seed(seed, PHASE, epoch))  # the draw and dropout
        learner.train()
        count = max(len(anomalous), len(normal))
        for a, n in zip(
            _draw(len(anomalous), count).split(config.mil_pairs),
            _draw(len(normal), count).split(config.mil_pairs),
            strict=True,
        ):
            inputs, mask = padded([anomalous[i] for i in a] + [normal[i] for i in n])
            scores = learner(inputs)
            loss = ranking_loss(
                scores[: len(a)],
                scores[len(a) :],
                variant=variant,
                top_k=top_k,
                anomaly_mask=mask[: len(a)],
                normal_mask=mask[len(a) :],
            )
            if not torch.isfinite(loss):
                raise VadkitError(
                    f"multiple-instance learning, seed {seed}: the loss is {loss.item()} in epoch {epoch}, expected a finite number; lower mil_lr (now {config.mil_lr:g})"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total, pairs = total + loss.item() * len(a), pairs + len(a)
        loss, auc = _validate(learner, validation, labels, variant, top_k)
        history.append(Epoch(1, epoch, total / pairs, loss, auc, 2 * pairs, round(time.monotonic() - started, 3)))
        if (auc, -loss) > best or epoch == 1:
            best, kept = (auc, -loss), {name: value.clone() for name, value in learner.state_dict().items()}
        if progress is not None:
            progress(epoch, config.mil_epochs, f"MIL learner seed {seed}")
    learner.load_state_dict(kept)
    return learner.eval(), tuple(history)


def _validate(
    learner: Learner, bags: Sequence[Bag], labels: np.ndarray, variant: str, top_k: int
) -> tuple[float, float]:
    """Ranking loss over all pairs of validation videos, and the AUC of their largest scores. Video labels only."""
    learner.eval()
    with torch.no_grad():
        scores = _scores_of(learner, bags)
    best = np.array([one.max().item() for one in scores])
    longest = max(map(len, scores))
    held = torch.stack([nn.functional.pad(one, (0, longest - len(one))) for one in scores])
    real = torch.arange(longest) < torch.tensor([len(one) for one in scores])[:, None]
    anomalous, normal = (torch.from_numpy(np.flatnonzero(labels == label)) for label in (1, 0))
    losses = []
    for number in anomalous:  # beside every normal one
        one, mask = (rows[number].expand(len(normal), -1) for rows in (held, real))
        losses.append(
            ranking_loss(one, held[normal], variant=variant, top_k=top_k, anomaly_mask=mask, normal_mask=real[normal])
        )
    return torch.stack(losses).mean().item(), rank_auc(labels, best)


def _scores_of(learner: Learner, bags: Sequence[Bag]) -> list[Tensor]:
    """Instance scores of each bag: as many bags at once as hold some thousand instances."""
    found, waiting = [], []
    for number, bag in enumerate(bags, 1):
        waiting.append(torch.from_numpy(bag.features))
        if number == len(bags) or sum(map(len, waiting)) >= INSTANCES_AT_ONCE:
            found += learner(torch.cat(waiting)).split([len(one) for one in waiting])
            waiting = []
    return found


def _draw(bags: int, count: int) -> Tensor:
    """`count` bag numbers in random order, each as often as any other, give or take one."""
    return torch.cat([torch.randperm(bags) for _ in range(-(-count // bags))])[:count]


def _score(learner: Learner, items: Sequence[Item], config: Config) -> list[VideoScores]:
    with torch.no_grad():
        scores = [learner(torch.from_numpy(item.bag.features)).numpy() for item in items]
    return [video_scores(item, s, config) for item, s in zip(items, scores, strict=True)]


@dataclass(frozen=True, eq=False)
class _Task:
    """One Learner to train: a seed, a fold."""

    config: Config
    variant: str
    top_k: int
    seed: int
    networks: Mapping[str, Network]  # by stream; none where features are published ones
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]

    @property
    def segment_seconds(self) -> float:
        """How long an instance is in the middle one of the training videos; 0 where each row is one."""
        return (
            float(np.median([item.frames / item.fps / self.config.mil_segments for item in self.train]))
            if self.config.mil_segments
            else 0.0
        )

    @cached_property
    def key(self) -> dict:
        return {
            "parameters": {k: v for k, v in self.config.model_dump().items() if k.startswith("mil_")},
            "loss": [self.variant, self.top_k],
            "seed": self.seed,
            "networks": remembered(self.networks),
            "train": [[item.identity, item.video.label] for item in self.train],
            "val": [[item.identity, item.video.label] for item in self.val],
            "torch": torch.__version__,
            "code": code_version(__name__),
        }

    @cached_property
    def path(self) -> Path:
        return Store(self.config.cache_dir).path("mil_models", self.key)


def train_missing(tasks: Sequence, train: Callable[[Any, Progress | None], str], progress: Progress | None) -> None:
    """Train what the cache lacks, in config.workers processes. tasks: dataclasses with `config`, `path` and `test`, which `train` does not need."""
    missing = [task for task in tasks if not task.path.is_dir()]
    if len(missing) < 2 or missing[0].config.workers == 1:
        for task in missing:
            train(task, progress)
        return
    for done, what in enumerate(
        each(train, [(replace(task, test=()), None) for task in missing], missing[0].config.workers), 1
    ):
        if progress is not None:
            progress(done, len(missing), what)


def _train_task(task: _Task, progress: Progress | None) -> str:
    Store(task.config.cache_dir).fetch("mil_models", task.key, lambda folder: _build(task, folder, progress))
    return "MIL learner"


def _build(task: _Task, folder: Path, progress: Progress | None) -> None:
    bags = [[item.bag for item in task.train if item.video.label == label] for label in (1, 0)]
    labels = [item.video.label for item in task.val]
    streams = max(1, len(task.networks))
    learner, history = train_learner(
        task.config,
        *bags,
        [item.bag for item in task.val],
        labels,
        task.seed,
        task.variant,
        task.top_k,
        streams,
        progress,
    )
    torch.save(learner.state_dict(), folder / "model.pt")
    facts = {
        "learner": {"feature_dim": learner.feature_dim, "streams": learner.streams, "dropout": task.config.mil_dropout},
        "networks": remembered(task.networks),
        "segments": task.config.mil_segments,
        "segment_seconds": task.segment_seconds,
    }
    (folder / "mil.json").write_text(json.dumps(facts, indent=1))
    (folder / "history.json").write_text(json.dumps([asdict(line) for line in history], indent=1, allow_nan=False))
