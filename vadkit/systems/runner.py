"""Train and score a system on a corpus, once per seed and fold, the same way for every family; the cache remembers.

    run = run(config, load_corpus(config), "2S-bag-ha")
    run.by_seed()  # {seed: [VideoScores, ...]}, what vadkit.evaluation takes

Validation samples are drawn as training samples are, soft frames counted as normal, the same for every
system, so that validation losses can be compared (our reading; section 4.2 only says half of the test set).
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vadkit.core.code import code_version
from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.disk import is_left
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.processes import cluster_of, each, several
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.evaluation.recognition import Recognised
from vadkit.evaluation.scores import VideoScores
from vadkit.systems import recorded
from vadkit.systems.base import Epoch, Sides, System, Task, find_system, sides_of
from vadkit.systems.record import FACTS, STATE, read_facts

KIND = "models"


@dataclass(frozen=True)
class FoldRun:
    """One model. tested, validation: scores of the videos on these sides; validation is empty where views are for
    training only. A threshold chosen on it is for the fold's own test videos: another fold tests its videos."""

    sides: Sides
    path: Path
    history: tuple[Epoch, ...]
    facts: dict
    tested: tuple[VideoScores, ...]
    validation: tuple[VideoScores, ...]
    recognised: tuple[Recognised, ...]


@dataclass(frozen=True)
class SeedRun:
    """scores: of the test videos, in the corpus's order, each by the fold that tests it."""

    seed: int
    scores: tuple[VideoScores, ...]
    folds: tuple[FoldRun, ...]

    @property
    def model_paths(self) -> tuple[Path, ...]:
        return tuple(fold.path for fold in self.folds)

    @property
    def histories(self) -> tuple[tuple[Epoch, ...], ...]:
        return tuple(fold.history for fold in self.folds)


@dataclass(frozen=True)
class Run:
    config: Config
    system: System
    seeds: tuple[SeedRun, ...]
    problems: tuple[Problem, ...]
    corpus: Corpus

    def by_seed(self) -> dict[int, list[VideoScores]]:
        return {run.seed: list(run.scores) for run in self.seeds}

    def recognised(self) -> dict[int, list[Recognised]]:
        """The classes given to test videos, by seed, in the order of the scores."""
        found = {}
        for run in self.seeds:
            named = {one.name: one for fold in run.folds for one in fold.recognised}
            found[run.seed] = [named[one.name] for one in run.scores if one.name in named]
        return found


def run(config: Config, corpus: Corpus, system: System | str, progress: Progress | None = None) -> Run:
    """Train a system with every seed (and fold) and score its test videos; what the cache has is not done again.

    Raises ConfigError for an unknown system or one that cannot work with these parameters, DataError where a
    side of a split has no usable video or the corpus lacks what it learns from.
    """
    system = (find_system(system) if isinstance(system, str) else system).configured(config, corpus)
    if corpus.recorded:
        found = recorded.scores(config, corpus, system.name, corpus.of("test", "all"))
        return Run(config, system, tuple(SeedRun(seed, tuple(one), ()) for seed, one in found.items()), (), corpus)
    if corpus.no_pixels and (reason := system.lacking(config, corpus)):
        raise DataError(f"{system.name} cannot be trained here: {reason}")
    config = system.adapted(config)
    material = system.material(config, corpus, progress)
    tasks = []
    for seed in config.seeds:
        for number, fold in enumerate(system.folds(config, corpus, seed)):
            sides = sides_of(fold, material.views)
            system.check(sides, material.problems)
            tasks.append(system.resampled(Task(config, system, seed, *sides, number), corpus, progress))
    paths = train(tasks, progress)
    seeds = []
    for seed in config.seeds:
        folds = tuple(_fold_run(task, path) for task, path in zip(tasks, paths, strict=True) if task.seed == seed)
        scored = {one.name: one for fold in folds for one in fold.tested}
        seeds.append(SeedRun(seed, tuple(scored[v.name] for v in corpus.videos if v.name in scored), folds))
    return Run(config, system, tuple(seeds), material.problems, corpus)


def score_videos(run: Run, videos: Sequence[Video], progress: Progress | None = None) -> tuple[dict, list[Problem]]:
    """VideoScores by seed of videos beyond a run's test set, such as classes it never saw (section 4.7); problems.
    Raises ConfigError for a cross-validated run, which has no one model per seed, and DataError without videos."""
    if run.corpus.recorded:
        return recorded.scores(run.config, run.corpus, run.system.name, videos), []
    if any(len(seed.folds) != 1 for seed in run.seeds):
        remedy = "a cross-validated run has one a fold; use split: official"
        raise ConfigError(f"other videos are scored by one model a seed, {remedy}")
    views, problems = run.system.see(run.config, videos, "score", progress)
    if not views:
        first = f"; the first problem: {problems[0].where}: {problems[0].what}" if problems else ""
        raise DataError(f"{run.system.name}: none of the {len(videos)} videos to score can be used{first}")
    if not run.config.finetune_epochs:  # else it looks at images
        run.system.ready(run.config, views, progress)
    return {seed.seed: run.system.score(run.config, seed.folds[0].path, views) for seed in run.seeds}, problems


def train(tasks: Sequence[Task], progress: Progress | None = None) -> list[Path]:
    """The folder of each task's model; what the cache lacks is trained, in config.workers processes where that pays."""
    keyed = [(task, key_of(task)) for task in tasks]
    missing = [(task, key) for task, key in keyed if not Store(task.config.cache_dir).has(KIND, key)]
    if missing:
        config, system = missing[0][0].config, missing[0][0].system
        views = [view for task, _ in missing for side in (task.train, task.val, task.test) for view in side]
        system.ready(config, views, progress)  # first, so that every process finds it
        alone = len(missing) == 1 or not several(config) or not system.in_processes(config)
        jobs = [(task, key, progress) if alone else (replace(task, test=()), key, None) for task, key in missing]
        place = (1,) if alone else (config.workers, cluster_of(config))
        for done, what in enumerate(each(_train, jobs, *place), 1):
            if progress is not None and not alone:  # else each has told its epochs
                progress(done, len(missing), what)
    return [Store(task.config.cache_dir).path(KIND, key) for task, key in keyed]


def key_of(task: Task) -> dict:
    """All that a model depends on."""
    import torch

    from vadkit.models.network import remembered

    config, system = task.config, task.system
    return {
        "system": system.facts(),
        "parameters": {name: getattr(config, name) for name in system.parameters},
        "seed": task.seed,
        "train": [system.identity(config, view, "train") for view in task.train],
        "val": [system.identity(config, view, "val") for view in task.val],
        "networks": remembered(system.networks(config)),
        "device": device_of(config),
        "torch": torch.__version__,
        "code": code_version(type(system).__module__),
    }


def _train(task: Task, key: dict, progress: Progress | None) -> str:
    import torch

    store, system = Store(task.config.cache_dir), task.system
    checkpoint = store.scratch(KIND, key)

    def build(folder: Path) -> None:
        fitted = system.fit(replace(task, checkpoint=checkpoint), progress)
        facts = {"name": system.name, "system": system.facts(), "networks": key["networks"], **fitted.facts}
        facts["history"] = [asdict(line) for line in fitted.history]
        torch.save(fitted.state, folder / STATE)
        (folder / FACTS).write_text(json.dumps(facts, indent=1, allow_nan=False))

    store.fetch(KIND, key, build)
    forget(checkpoint)  # not before the entry is whole: a full disk while it is written would cost the training
    return f"{system.name} seed {task.seed}"


def forget(checkpoint: Path) -> None:
    """Delete the checkpoint of a training whose result is kept, and its folder where nothing else is in it."""
    for left in (*checkpoint.glob("*.pt"), *filter(is_left, checkpoint.glob(".*-????????"))):
        left.unlink(missing_ok=True)
    with suppress(OSError):  # another process may be training the same model
        checkpoint.rmdir()


def _fold_run(task: Task, path: Path) -> FoldRun:
    import torch

    config, system = task.config, task.system
    sides, facts = Sides(task.train, task.val, task.test), read_facts(path)
    history = tuple(Epoch(**line) for line in facts.pop("history"))
    with torch.no_grad():
        tested, recognised = system.score(config, path, sides.test), system.recognise(config, path, sides.test)
        validation = system.score(config, path, sides.val) if system.scores_validation else ()
    return FoldRun(sides, path, history, facts, tuple(tested), tuple(validation), tuple(recognised))
