"""Train the second paper's Learner from video-level labels alone, and score test videos segment by segment.

    run = mil_training.run(config, load_corpus(config))
    run.by_seed()  # {seed: [VideoScores, ...]}, what vadkit.evaluation takes

Weak labels: training and validation videos are stripped of their annotated spans before anything is sampled, so
that neither which frames are taken nor which epoch is kept can depend on them. The epoch kept is the one with the highest
AUC over validation *videos* (by largest segment score), among equals the one with the lowest ranking loss there.

Training always sets validation videos aside, for it has an epoch to choose, also where config.early_stopping is off and
the first paper's systems train on them as well; the test videos are the same.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vadkit.config import Config
from vadkit.corpora import Corpus, Problem, Video
from vadkit.errors import DataError, VadkitError
from vadkit.experiment import plan_folds, prepare
from vadkit.features import device_of, extract_features
from vadkit.models.backbones import weights_digest
from vadkit.models.mil import Learner, bag_scores, ranking_loss
from vadkit.samples import Samples, extract
from vadkit.sampling import stride_frames
from vadkit.scoring import VideoScores
from vadkit.segments import Bag, TooShortError, bag_of, even_rows, published_bag
from vadkit.store import Store, code_version
from vadkit.systems import find_system
from vadkit.training import Epoch, derived_seed, rank_auc
from vadkit.video import count_frames, probe

Progress = Callable[[int, int, str], None]
CODE = (
    "vadkit.mil_training", "vadkit.models.mil", "vadkit.segments", "vadkit.scoring", "vadkit.training",
    "vadkit.systems", "vadkit.streams", "vadkit.features", "vadkit.models.backbones",
)  # fmt: skip
SAME_STREAMS = "2S-bag-ha"  # the system that the Learner is compared with sees what it sees
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


@dataclass(frozen=True, eq=False)
class Item:
    """A video with its bag. identity: what the bag was made of, for the cache's key."""

    video: Video
    frames: int
    fps: float
    bag: Bag
    identity: str


def run(config: Config, corpus: Corpus, variant: str = "sultani", top_k: int = 1, features: Mapping[str, np.ndarray] | None = None, progress: Progress | None = None) -> MilRun:
    """Train with every seed (and fold) and score the test videos; what the cache has is not done again.

    variant, top_k: of `ranking_loss`. features: published ones by video name (`segments.read_published`) in the
    place of ours; videos without any are left out, as are videos with fewer frames than segments. Raises DataError where a side has no video of both classes.
    """
    items, problems = _own_items(config, corpus, progress) if features is None else _published_items(config, corpus, features)
    streams = len(_stream_names(config)) if features is None else 1
    tasks = []
    for seed in config.seeds:
        for fold in plan_folds(config, corpus, seed):
            sides = [tuple(items[name] for name in side if name in items) for side in (fold.train, fold.val, fold.test)]
            _check(sides)
            tasks.append(_Task(config, variant, top_k, seed, streams, *sides))
    _train_missing(tasks, progress)
    seeds = []
    for seed in config.seeds:
        mine = [task for task in tasks if task.seed == seed]
        learners = [load_learner(task.path) for task in mine]
        tested, validation = (tuple(tuple(_score(learner, getattr(task, side))) for task, learner in zip(mine, learners, strict=True)) for side in ("test", "val"))
        scored = {one.name: one for fold in tested for one in fold}
        histories = tuple(tuple(Epoch(**line) for line in json.loads((task.path / "history.json").read_text())) for task in mine)
        seeds.append(MilSeed(seed, tuple(scored[v.name] for v in corpus.videos if v.name in scored), tested, validation, histories, tuple(t.path for t in mine)))
    return MilRun(tuple(seeds), tuple(problems))


def load_learner(path: str | Path) -> Learner:
    """A trained Learner from a run's model folder, in evaluation mode. Raises DataError where there is none."""
    path = Path(path)
    if not (path / "mil.json").is_file():
        raise DataError(f"{path} holds no Learner (mil.json is missing); take a path from MilSeed.model_paths, or run it again")
    facts = json.loads((path / "mil.json").read_text())
    learner = Learner(**facts["learner"])
    learner.load_state_dict(torch.load(path / "model.pt", map_location="cpu", weights_only=True))
    return learner.eval()


def train_learner(
    config: Config, anomalous: Sequence[Bag], normal: Sequence[Bag], validation: Sequence[Bag], labels: Sequence[int], seed: int,
    variant: str = "sultani", top_k: int = 1, streams: int = 1, progress: Progress | None = None,
) -> tuple[Learner, tuple[Epoch, ...]]:  # fmt: skip
    """Train on pairs of an anomalous and a normal bag; the Learner of the best epoch, and the history.

    labels: of the validation bags, 0 or 1, both present. An epoch pairs each bag of the larger class once, those of
    the smaller as often as needed. The same seed gives the same weights. Raises VadkitError where the loss is no longer finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps too short to share, and the same sums everywhere
    try:
        with torch.random.fork_rng(devices=[]):
            return _train(config, anomalous, normal, validation, np.asarray(labels), seed, variant, top_k, streams, progress)
    finally:
        torch.set_num_threads(threads)


def _train(config, anomalous, normal, validation, labels, seed, variant, top_k, streams, progress) -> tuple[Learner, tuple[Epoch, ...]]:
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
        for a, n in zip(_draw(len(anomalous), count).split(config.mil_pairs), _draw(len(normal), count).split(config.mil_pairs), strict=True):
            inputs, mask = _padded([anomalous[i] for i in a] + [normal[i] for i in n])
            scores = learner(inputs)
            loss = ranking_loss(scores[: len(a)], scores[len(a) :], variant=variant, top_k=top_k, anomaly_mask=mask[: len(a)], normal_mask=mask[len(a) :])
            if not torch.isfinite(loss):
                raise VadkitError(f"multiple-instance learning, seed {seed}: the loss is {loss.item()} in epoch {epoch}, expected a finite number; lower mil_lr (now {config.mil_lr:g})")
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


def _validate(learner: Learner, bags: Sequence[Bag], labels: np.ndarray, variant: str, top_k: int) -> tuple[float, float]:
    """Ranking loss over all pairs of validation videos, and the AUC of their largest scores. Video labels only."""
    learner.eval()
    with torch.no_grad():
        scores = [learner(torch.from_numpy(bag.features))[None] for bag in bags]
    losses = [ranking_loss(scores[a], scores[n], variant=variant, top_k=top_k) for a in np.flatnonzero(labels == 1) for n in np.flatnonzero(labels == 0)]
    return torch.stack(losses).mean().item(), rank_auc(labels, np.array([bag_scores(s).item() for s in scores]))


def _draw(bags: int, count: int) -> Tensor:
    """`count` bag numbers in random order, each as often as any other, give or take one."""
    return torch.cat([torch.randperm(bags) for _ in range(-(-count // bags))])[:count]


def _padded(bags: Sequence[Bag]) -> tuple[Tensor, Tensor]:
    """Bags of any length as one array. Shape: -> (bags, longest, D) and the mask of what is real."""
    longest = max(len(bag) for bag in bags)
    features = torch.zeros(len(bags), longest, bags[0].features.shape[1])
    mask = torch.zeros(len(bags), longest, dtype=torch.bool)
    for number, bag in enumerate(bags):
        features[number, : len(bag)] = torch.from_numpy(bag.features)
        mask[number, : len(bag)] = True
    return features, mask


def _score(learner: Learner, items: Sequence[Item]) -> list[VideoScores]:
    with torch.no_grad():
        scores = [learner(torch.from_numpy(item.bag.features)).numpy() for item in items]
    return [
        VideoScores(item.video.name, item.video.category, item.video.source, item.fps, item.bag.starts, s, item.video.frame_labels(item.frames))
        for item, s in zip(items, scores, strict=True)
    ]


# --- what is trained on ------------------------------------------------------------------------------------------


def _own_items(config: Config, corpus: Corpus, progress: Progress | None) -> tuple[dict[str, Item], list[Problem]]:
    """Bags of our features: of an even grid of frames, the same for every video whatever is annotated in it."""
    if config.split == "grouped_cv":
        material = prepare(config, corpus, progress)
        found, problems = list(material.samples.values()), list(material.problems)
        rows = [one.rows("score", config) for one in found]
    else:
        rate = min(config.mil_fps, config.analysis_fps)
        even = config.model_copy(update={"sampling": "custom", "anomaly_fps": rate, "normal_fps": rate, "detector_weights": "none"})
        weak = [replace(v, intervals=None) for v in corpus.of("train", "val")]
        trained, problems = extract(weak, even, progress, purpose="train")
        tested, wrong = extract(corpus.of("test"), config, progress, purpose="score")
        rows = [one.rows("train", even) for one in trained]
        for one in tested:
            scored = one.rows("score", config)
            rows.append(scored[even_rows(one.index[scored], stride_frames(one.fps, rate))])
        found, problems = trained + tested, problems + wrong
    streams = _stream_names(config)
    extract_features(found, streams, config, progress)
    items = {}
    for one, r in zip(found, rows, strict=True):
        try:
            items[one.video.name] = _own_item(one, r, streams, config)
        except TooShortError as error:
            if config.strict:
                raise
            problems.append(Problem(str(one.video.path), str(error), left_out=True))
    return items, problems


def _stream_names(config: Config) -> tuple[str, ...]:
    return find_system(SAME_STREAMS).stream_names(config)


def _own_item(samples: Samples, rows: np.ndarray, streams: Sequence[str], config: Config) -> Item:
    made_of = [samples.digest, rows.tolist(), list(streams), config.backbone, weights_digest(config.backbone, config.backbone_weights), device_of(config)]
    identity = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:20]
    return Item(samples.video, samples.frames, samples.fps, bag_of(samples, rows, streams, config), identity)


def _published_items(config: Config, corpus: Corpus, features: Mapping[str, np.ndarray]) -> tuple[dict[str, Item], list[Problem]]:
    items, problems = {}, []
    for video in corpus.videos:
        if video.name not in features or video.split == "unseen":
            continue
        try:
            frames, fps = count_frames(video.path), probe(video.path).fps
            bag = published_bag(features[video.name], frames, config.mil_segments, video.name)
        except DataError as error:
            if config.strict:
                raise
            problems.append(Problem(str(video.path), str(error), left_out=True))
            continue
        items[video.name] = Item(video, frames, fps, bag, hashlib.sha256(bag.features.tobytes()).hexdigest()[:20])
    return items, problems


def _check(sides: Sequence[Sequence[Item]]) -> None:
    for side, what in zip(sides, ("training", "validation", "test"), strict=True):
        labels = [item.video.label for item in side]
        if not labels or (what != "test" and len(set(labels)) < 2):
            raise DataError(f"multiple-instance learning needs normal and anomalous {what} videos, got {len(labels) - sum(labels)} and {sum(labels)}; give more videos, or raise validation_fraction")


@dataclass(frozen=True, eq=False)
class _Task:
    """One Learner to train: a seed, a fold."""

    config: Config
    variant: str
    top_k: int
    seed: int
    streams: int
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]

    @cached_property
    def key(self) -> dict:
        return {
            "parameters": {k: v for k, v in self.config.model_dump().items() if k.startswith("mil_")},
            "loss": [self.variant, self.top_k],
            "seed": self.seed,
            "streams": self.streams,
            "train": [[item.identity, item.video.label] for item in self.train],
            "val": [[item.identity, item.video.label] for item in self.val],
            "torch": torch.__version__,
            "code": code_version(*CODE),
        }

    @cached_property
    def path(self) -> Path:
        return Store(self.config.cache_dir).path("mil_models", self.key)


def _train_missing(tasks: Sequence[_Task], progress: Progress | None) -> None:
    """Train what the cache lacks, in config.workers processes."""
    missing = [task for task in tasks if not task.path.is_dir()]
    if len(missing) < 2 or missing[0].config.workers == 1:
        for task in missing:
            _train_task(task, progress)
        return
    from joblib import Parallel, delayed

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)  # processes of the extraction that idled too long
        parallel = Parallel(n_jobs=min(missing[0].config.workers, len(missing)), backend="loky", return_as="generator_unordered", batch_size=1)
        for done, what in enumerate(parallel(delayed(_train_task)(replace(task, test=()), None) for task in missing), 1):
            if progress is not None:
                progress(done, len(missing), what)


def _train_task(task: _Task, progress: Progress | None) -> str:
    Store(task.config.cache_dir).fetch("mil_models", task.key, lambda folder: _build(task, folder, progress))
    return "MIL learner"


def _build(task: _Task, folder: Path, progress: Progress | None) -> None:
    bags = [[item.bag for item in task.train if item.video.label == label] for label in (1, 0)]
    labels = [item.video.label for item in task.val]
    learner, history = train_learner(task.config, *bags, [item.bag for item in task.val], labels, task.seed, task.variant, task.top_k, task.streams, progress)
    torch.save(learner.state_dict(), folder / "model.pt")
    facts = {"learner": {"feature_dim": learner.feature_dim, "streams": learner.streams, "dropout": task.config.mil_dropout}, "segments": task.config.mil_segments}
    (folder / "mil.json").write_text(json.dumps(facts, indent=1))
    (folder / "history.json").write_text(json.dumps([asdict(line) for line in history], indent=1, allow_nan=False))
