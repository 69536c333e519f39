"""Train and score a system of the paper on a corpus, once per seed and fold; the cache remembers each.

    run = run_system(config, load_corpus(config), "2S-bag-ha")
    run.by_seed()  # {seed: [VideoScores, ...]}, what vadkit.evaluation.evaluate takes

Validation samples are drawn as training samples are, soft frames counted as normal, the same for every
system, so that validation losses can be compared (our reading; section 4.2 only says half of the test set).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vadkit.core.code import code_version
from vadkit.core.compute import device_of, each
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.corpora.splits import grouped_folds
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.evaluation.scores import VideoScores
from vadkit.models.network import remembered
from vadkit.systems import scorer
from vadkit.systems.base import System, find_system, system_for
from vadkit.systems.inputs import Inputs, inputs_of
from vadkit.systems.rates import at_class_rates
from vadkit.systems.suspicion import suspicion_of
from vadkit.systems.trainer import Epoch, Examples, Trained, forget_checkpoint, head_options, make_head, train
from vadkit.views.frames import Samples

# Parameters that a trained model does not depend on, or that already count through its samples, their rows and
# labels, or the backbone's weights. Every other parameter, also one added later, trains anew when it changes.
OF_OTHER_MODELS = ("mil_", "joint_", "clip_", "c3d_", "i3d_", "tube_")
NOT_OF_TRAINING = frozenset(
    """profile output_root cache_root seeds workers device strict
    corpus data_root split folds validation validation_fraction annotation_slack_frames
    world_seed world_train_videos world_test_videos world_seconds
    sampling anomaly_fps normal_fps class_rates_by suspicious_seconds analysis_fps image_size
    flow_method flow_pair flow_gap_seconds flow_scale flow_full_scale frame_window detector_weights detector_confidence detector_size
    backbone backbone_weights
    sas_tau sas_reactivity sas_bound sas_variant bootstrap_resamples interval_over interval_level
    evaluate_scores evaluate_annotations""".split()
)


@dataclass(frozen=True)
class SeedRun:
    """One seed: the test videos' scores (with cross-validation, each from the fold that did not train on it).

    histories, model_paths, training_samples: one a fold.
    """

    seed: int
    scores: tuple[VideoScores, ...]
    histories: tuple[tuple[Epoch, ...], ...]
    model_paths: tuple[Path, ...]
    training_samples: tuple[int, ...]


@dataclass(frozen=True)
class SystemRun:
    system: System
    seeds: tuple[SeedRun, ...]
    problems: tuple[Problem, ...]

    def by_seed(self) -> dict[int, list[VideoScores]]:
        return {run.seed: list(run.scores) for run in self.seeds}


@dataclass(frozen=True)
class Fold:
    """Names of the videos on each side; validation is empty for a system without early stopping."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """The samples of a corpus's usable videos, by name in the corpus's order, and what was wrong with the others."""

    samples: dict[str, Samples]
    problems: tuple[Problem, ...]


def run_system(config: Config, corpus: Corpus, name: str, progress: Progress | None = None) -> SystemRun:
    """Train a system with every seed (and fold) and score its test videos; what the cache has is not done again.

    Raises ConfigError for an unknown system or one whose bag of objects has no detector, DataError where a
    side of a split has no usable video, or a system on tubes has no boxes to learn from.
    """
    system = system_for(config, name)
    if system.bag and config.detector_weights == "none":
        raise ConfigError(
            f"{name} needs a bag of objects but detector_weights is 'none'; give a detector's weights, or run a system without a bag (2S-no-bag, 1S-no-bag)"
        )
    material = prepare(config, corpus, progress, system)
    folds = [(seed, fold) for seed in config.seeds for fold in plan_folds(config, corpus, seed, system.early_stopping)]
    tasks = [
        _Task(config, system, seed, *_sampled(config, corpus, system, seed, sides_of(fold, material), progress))
        for seed, fold in folds
    ]
    _train_missing(tasks, progress)
    seeds = []
    for seed in config.seeds:
        mine = [task for task in tasks if task.seed == seed]
        scored = {one.name: one for task in mine for one in scorer.score(task.inputs, task.path, task.test)}
        seeds.append(
            SeedRun(
                seed,
                tuple(scored[name] for name in material.samples if name in scored),
                tuple(
                    tuple(Epoch(**line) for line in json.loads((task.path / "history.json").read_text()))
                    for task in mine
                ),
                tuple(task.path for task in mine),
                tuple(json.loads((task.path / "model.json").read_text())["training_samples"] for task in mine),
            )
        )
    return SystemRun(system, tuple(seeds), material.problems)


def score_videos(
    config: Config, run: SystemRun, videos: Sequence[Video], progress: Progress | None = None
) -> tuple[dict[int, list[VideoScores]], list[Problem]]:
    """Scores of videos beyond a run's test set, such as the classes it never saw (section 4.7), by seed; and what was wrong with any of them.

    Raises ConfigError for a cross-validated run, which has no one model per seed, and DataError without videos.
    """
    if any(len(seed.model_paths) != 1 for seed in run.seeds):
        raise ConfigError(
            "other videos are scored by one model a seed, a cross-validated run has one a fold; use split: official"
        )
    inputs = inputs_of(config, run.system)
    samples, problems = inputs.extract(videos, "score", progress)
    if not samples:
        first = f"; the first problem: {problems[0].where}: {problems[0].what}" if problems else ""
        raise DataError(f"{run.system.name}: none of the {len(videos)} videos to score can be used{first}")
    if not config.finetune_epochs:
        inputs.extract_features(samples, progress)
    return {seed.seed: scorer.score(inputs, seed.model_paths[0], samples) for seed in run.seeds}, problems


def prepare(config: Config, corpus: Corpus, progress: Progress | None = None, system: System | None = None) -> Material:
    """Samples of all videos that training and testing use, as the system sees them; without one, as the paper's two-stream systems.

    Validation videos serve training rows; under test_parity scoring rows as well, for the system without a
    validation set is tested on the whole test list. Raises DataError where no video can be used.
    """
    if system is not None and system.view != "full":
        from vadkit.systems import tubes as tube_systems

        return tube_systems.prepare(config, corpus, system, progress)
    if config.split == "grouped_cv":
        wanted = [(corpus.of("all"), "both")]
    else:
        wanted = [
            (corpus.of("train"), "train"),
            (corpus.of("val"), "both" if config.validation == "test_parity" else "train"),
            (corpus.of("test"), "score"),
        ]
    inputs = inputs_of(config, system or find_system("2S-bag"))
    found: dict[str, Samples] = {}
    problems: list[Problem] = []
    for videos, purpose in wanted:
        samples, wrong = inputs.extract(videos, purpose, progress)
        found |= {one.video.name: one for one in samples}
        problems += wrong
    if not found:
        first = f"; the first problem: {problems[0].where}: {problems[0].what}" if problems else ""
        raise DataError(f"corpus {corpus.name} has no usable video for split '{config.split}'{first}")
    return Material({v.name: found[v.name] for v in corpus.videos if v.name in found}, tuple(problems))


def plan_folds(config: Config, corpus: Corpus, seed: int, early_stopping: bool = True) -> list[Fold]:
    """Who trains, validates and tests: one fold by the official lists, or config.folds by source.

    Without early stopping the validation videos return to the list they were cut from, so that training and
    test lists are whole (section 4.6). The official lists do not depend on the seed.
    """
    if config.split == "grouped_cv":
        sides = grouped_folds(corpus.of("all"), config.folds, seed, config.validation_fraction)
    else:
        sides = [(corpus.of("train"), corpus.of("val"), corpus.of("test"))]
    folds = []
    for train_videos, val, test in sides:
        if not early_stopping and config.validation == "test_parity":
            val, test = (), (*val, *test)
        elif not early_stopping:
            train_videos, val = (*train_videos, *val), ()
        folds.append(Fold(*(tuple(v.name for v in side) for side in (train_videos, val, test))))
    return folds


def sides_of(fold: Fold, material: Material) -> list[tuple[Samples, ...]]:
    """Usable samples of the (training, validation, test) side. Raises DataError where training or test has none."""
    sides = [
        tuple(material.samples[name] for name in side if name in material.samples)
        for side in (fold.train, fold.val, fold.test)
    ]
    for side, what in ((0, "training"), (2, "test")):
        if not sides[side]:
            lost = [p for p in material.problems if p.left_out]
            why = f"; {len(lost)} were left out, the first: {lost[0].where}: {lost[0].what}" if lost else ""
            raise DataError(f"the {what} side has no usable video{why}")
    return sides


def _sampled(
    config: Config,
    corpus: Corpus,
    system: System,
    seed: int,
    sides: Sequence[tuple[Samples, ...]],
    progress: Progress | None,
) -> list[tuple[Samples, ...]]:
    """The sides with what is trained on sampled as the system wants it; the others as for every system."""
    if system.view == "found":
        from vadkit.systems import tubes as tube_systems

        return tube_systems.with_found(config, corpus, seed, sides, progress)
    training, *others = sides
    return [tuple(at_class_rates(training, config, progress)) if system.class_rates else training, *others]


def fit(
    config: Config,
    system: System,
    seed: int,
    sides: Sequence[Sequence[tuple[Samples, ...]]],
    progress: Progress | None = None,
) -> list[Callable[[Samples, np.ndarray], np.ndarray]]:
    """Train a model for each (training, validation, test) side, or find it; returns what gives each's confidences: (samples, rows) -> (k,)."""
    tasks = [_Task(config, system, seed, *map(tuple, one)) for one in sides]
    _train_missing(tasks, progress)
    return [scorer.confidences(task.inputs, task.path) for task in tasks]


@dataclass(frozen=True)
class _Task:
    """One model to train: a system, a seed, a fold."""

    config: Config
    system: System
    seed: int
    train: tuple[Samples, ...]
    val: tuple[Samples, ...]
    test: tuple[Samples, ...]

    @cached_property
    def inputs(self) -> Inputs:
        return inputs_of(self.config, self.system)

    @cached_property
    def key(self) -> dict:
        config, system = self.config, self.system
        relevant = {
            k: v
            for k, v in config.model_dump().items()
            if k not in NOT_OF_TRAINING and not k.startswith(OF_OTHER_MODELS)
        }
        return {
            "system": {k: v for k, v in asdict(system).items() if k not in ("name", "description")},
            "parameters": relevant,
            "seed": self.seed,
            "train": [_identity(s, s.rows("train", config, system.hard_only), system, config) for s in self.train],
            "val": [_identity(s, s.rows("train", config), system, config) for s in self.val],
            "networks": [
                [stream, network.name, network.digest, network.width, network.size]
                for stream, network in self.inputs.networks.items()
            ],
            "device": device_of(config),
            "torch": torch.__version__,
            "code": code_version(__name__),
        }

    @cached_property
    def path(self) -> Path:
        return Store(self.config.cache_dir).path("models", self.key)


def _identity(samples: Samples, rows: np.ndarray, system: System, config: Config) -> list[str]:
    """What a video gives to training: its samples, the rows taken, their labels and, where there is such a class, their suspicion."""
    suspicion = suspicion_of(samples, rows, config.suspicious_seconds).tobytes() if system.suspicious else b""
    taken = hashlib.sha256(
        np.asarray(rows, np.int64).tobytes() + samples.labels[rows].tobytes() + suspicion
    ).hexdigest()
    return [samples.digest, taken[:20]]


def _train_missing(tasks: Sequence[_Task], progress: Progress | None) -> None:
    """Train what the cache lacks, in config.workers processes where that pays: a small head leaves cores idle."""
    missing = [task for task in tasks if not task.path.is_dir()]
    if not missing:
        return
    config, inputs = missing[0].config, missing[0].inputs
    used = {one.digest: one for task in missing for side in (task.train, task.val, task.test) for one in side}
    inputs.extract_features(list(used.values()), progress)  # first, so that every process finds them
    if config.workers == 1 or len(missing) == 1 or config.finetune_epochs or device_of(config) != "cpu":
        for task in missing:
            _train_task(task, progress)
        return
    for done, what in enumerate(each(_train_task, [(task, None) for task in missing], config.workers), 1):
        if progress is not None:
            progress(done, len(missing), what)


def _train_task(task: _Task, progress: Progress | None) -> str:
    store, key = Store(task.config.cache_dir), task.key
    checkpoints = store.scratch("models", key)
    store.fetch("models", key, lambda folder: _build(task, folder, checkpoints, progress))
    forget_checkpoint(
        checkpoints
    )  # not before the entry is whole: a full disk or a kill while it is written would cost the training
    return f"{task.system.name} seed {task.seed}"


def _build(task: _Task, folder: Path, checkpoints: Path, progress: Progress | None) -> None:
    config, system, inputs = task.config, task.system, task.inputs
    training = _examples(task.train, inputs, system.hard_only)
    validation = _examples(task.val, inputs, False) if task.val else None
    device = device_of(config)

    def backbones() -> list[torch.nn.Module]:
        return [network.build(device) for network in inputs.networks.values()]

    trained: Trained = train(
        config,
        system,
        training,
        validation,
        task.seed,
        backbones=backbones,
        checkpoint_dir=checkpoints,
        device=device,
        progress=progress,
    )
    head = make_head(config, system, training.features.shape[1])
    facts = {
        "system": asdict(system),
        "networks": remembered(inputs.networks),
        "head": {"feature_dim": head.feature_dim, "use_bag": system.bag, **head_options(config, system)},
        "finetuned": trained.finetuned,
        "training_samples": len(training),
        "training_anomalous": int(training.labels.sum()),
    }
    torch.save(trained.state, folder / "model.pt")
    (folder / "model.json").write_text(json.dumps(facts, indent=1))
    (folder / "history.json").write_text(
        json.dumps([asdict(line) for line in trained.history], indent=1, allow_nan=False)
    )


def _examples(samples: Sequence[Samples], inputs: Inputs, hard_only: bool) -> Examples:
    """The training rows of the given videos, one after the other."""
    rows = [one.rows("train", inputs.config, hard_only) for one in samples]
    features = [torch.from_numpy(inputs.features(one, r)) for one, r in zip(samples, rows, strict=True)]
    owner = np.repeat(np.arange(len(samples)), [len(r) for r in rows])
    local = np.concatenate(rows)

    def images(wanted: np.ndarray) -> Iterator[torch.Tensor]:
        for stream, network in inputs.networks.items():
            yield network.preprocess(np.concatenate([samples[owner[i]].images(stream, [local[i]]) for i in wanted]))

    bags = np.concatenate([one.bags[r] for one, r in zip(samples, rows, strict=True)])
    labels = np.concatenate([one.labels[r] for one, r in zip(samples, rows, strict=True)])
    suspicion = None
    if inputs.system.suspicious:
        suspicion = torch.from_numpy(
            np.concatenate(
                [suspicion_of(one, r, inputs.config.suspicious_seconds) for one, r in zip(samples, rows, strict=True)]
            )
        )
    return Examples(
        torch.cat(features),
        torch.from_numpy(bags),
        torch.from_numpy(labels),
        images,
        suspicion,
        image_rows=inputs.image_rows,
    )
