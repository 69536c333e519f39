"""Where a profile's trained models are: `outputs/<profile>/models/<system>.json`, written by notebooks, read by `vadkit score`.

Models stay in the cache. A record holds the parameters that they were trained with and paths relative to itself, so that
project and cache can move together.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vadkit.core.config import Config, make_config, project_root
from vadkit.core.errors import ConfigError, DataError, WeightsError
from vadkit.core.store import write_atomic
from vadkit.models.pretrained import WEIGHTS
from vadkit.views.objects import detector_key

if TYPE_CHECKING:
    from vadkit.corpora.video import Corpus
    from vadkit.systems.joint import JointRun, JointSeed
    from vadkit.systems.mil import MilRun, MilSeed
    from vadkit.systems.runner import SeedRun, SystemRun

FOLDER = "models"
LEARNER = "MIL learner"  # the system's name in results and records
FACTS = (
    "model.json",
    "mil.json",
    "joint.json",
)  # of a model's folder: a network of the first paper, a Learner, or an LSTM, attention or joint model
NOTEBOOKS = {
    "MIL": "10",
    "LSTM": "11",
    "attention": "11",
    "joint": "11",
    "C3D": "05",
    "I3D": "06",
}  # that train a system, by a part of its name; all others: 04
PATHS = ("cache_root", *WEIGHTS)  # parameters that can be paths from the project's root


@dataclass(frozen=True)
class TrainedModel:
    """A recorded model. config: that of its training, paths made absolute; held_out: its fold is known to test the video asked for."""

    config: Config
    path: Path
    system: str
    seed: int
    fold: int
    folds: int
    held_out: bool

    @property
    def is_learner(self) -> bool:
        """Whether it is a Learner, of multiple-instance learning, and no system of the first paper."""
        return (self.path / FACTS[1]).is_file()

    @property
    def on_segments(self) -> bool:
        """Whether it is of the second paper, and scores segments of a video."""
        return not (self.path / FACTS[0]).is_file()


def save_models(config: Config, corpus: Corpus, *runs: SystemRun) -> list[Path]:
    """Record the models of trained systems, one file a system, each replaced whole.

    Of a cross-validation each fold's test videos are recorded as well, so that a video is scored by a model that did
    not train on it.
    """
    folder = config.output_dir / FOLDER
    return [
        _write(
            config,
            folder,
            run.system.name,
            _models(config, corpus, run.seeds, run.system.early_stopping, folder),
            detector_key(config) if run.system.bag else None,
        )
        for run in runs
    ]


def save_on_segments(config: Config, corpus: Corpus, run: MilRun | JointRun, name: str = LEARNER) -> Path:
    """Record the models of a run of the second paper, as `save_models` does. name: of the system."""
    folder = config.output_dir / FOLDER
    return _write(config, folder, name, _models(config, corpus, run.seeds, True, folder), None)


def _models(
    config: Config, corpus: Corpus, seeds: Sequence[SeedRun | MilSeed | JointSeed], early_stopping: bool, folder: Path
) -> list[dict]:
    from vadkit.systems.runner import plan_folds

    models = []
    for one in seeds:
        folds = plan_folds(config, corpus, one.seed, early_stopping)
        for number, (fold, path) in enumerate(zip(folds, one.model_paths, strict=True)):
            test = list(fold.test) if len(folds) > 1 else []
            models.append({"seed": one.seed, "fold": number, "path": os.path.relpath(path, folder), "test": test})
    return models


def _write(config: Config, folder: Path, system: str, models: list[dict], detector: dict | None) -> Path:
    root = os.path.relpath(project_root(), folder)
    record = {"system": system, "root": root, "detector": detector, "models": models, "parameters": config.model_dump()}
    path = folder / f"{system}.json"
    write_atomic(path, json.dumps(record, indent=1) + "\n")
    return path


def find_model(run: str | Path, system: str = "2S-bag-ha", seed: int = 0, video: str | None = None) -> TrainedModel:
    """The recorded model of a system and seed under a run's folder, outputs/<profile>.

    video: the video to be scored, for its name; of a cross-validation's folds the one that tests it is
    taken, else the first. Raises DataError or ConfigError with what to run where there is no such folder, system, seed
    or model, and WeightsError where the detector is another than at the training.
    """
    run = Path(run)
    folder = run / FOLDER
    notebook = next((number for part, number in NOTEBOOKS.items() if part in system), "04")
    remedy = f"train with `vadkit run params/{run.name}.yaml --only {notebook}`"
    if not run.is_dir():
        others = sorted(str(p.parent) for p in run.parent.glob(f"*/{FOLDER}")) if run.parent.is_dir() else []
        raise DataError(f"no folder {run}; " + (f"there are {', '.join(others)}; or " if others else "") + remedy)
    known = sorted(path.stem for path in folder.glob("*.json"))
    if not known:
        raise DataError(f"{run} has no trained system yet; {remedy}")
    if system not in known:
        near = difflib.get_close_matches(system, known, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'" if near else f"it has {', '.join(known)}"
        raise ConfigError(
            f"{run} has no trained system '{system}'; {hint}? Another is recorded by vadkit.systems.record.save_models in the notebook that trains it"
        )
    record = _read(folder / f"{system}.json", remedy)
    models = [one for one in record["models"] if one["seed"] == seed]
    if not models:
        seeds = sorted({one["seed"] for one in record["models"]})
        raise ConfigError(f"{run} has {system} for seed {' and '.join(map(str, seeds))}, not for seed {seed}")
    tested = [one for one in models if video is not None and _tests(one["test"], video)]
    chosen = (tested or models)[0]
    path = (folder / chosen["path"]).resolve()
    if not any((path / name).is_file() for name in FACTS):
        raise DataError(f"the model of {system}, seed {seed}, is gone from the cache ({path}); {remedy} --force")
    config = _config(record, folder, f"{folder / system}.json")
    _check_detector(record["detector"], config, remedy)
    return TrainedModel(config, path, system, seed, chosen["fold"], len(models), bool(tested))


def _tests(names: list[str], video: str) -> bool:
    """Whether a video is among the names: a file's, perhaps after some of its folders'."""
    whole = "/" + Path(video).expanduser().resolve().with_suffix("").as_posix().lstrip("/")
    return any(whole.endswith("/" + name.lstrip("/")) for name in names)


def _read(path: Path, remedy: str) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not {"root", "detector", "models", "parameters"} <= set(record):
            raise ValueError("keys are missing")
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a record of trained models ({error}); delete it and {remedy} --force") from None
    return record


def _config(record: dict, folder: Path, where: str) -> Config:
    """The training's parameters, with what is a path from its project's root made absolute."""
    root = (folder / record["root"]).resolve()
    values = dict(record["parameters"])
    for name in PATHS:
        if name in values and (name == "cache_root" or (root / values[name]).is_file()):
            values[name] = str(root / Path(values[name]).expanduser())
    return make_config(values, where=where)


def _check_detector(then: dict | None, config: Config, remedy: str) -> None:
    if then is None:
        return
    now = detector_key(config)
    if now["weights"] != then["weights"]:
        raise WeightsError(
            f"the detector {config.detector_weights} is not the one of the training: its content has changed; put the former file back, or {remedy} --force"
        )
