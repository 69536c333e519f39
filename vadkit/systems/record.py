"""Where a profile's trained models are: `outputs/<profile>/models/<system>.json`, written by notebooks, read by
`vadkit score`.

Models stay in the cache. A record holds the parameters that they were trained with and paths relative to itself, so
that project and cache can move together.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadkit.core.config import Config, project_root
from vadkit.core.errors import ConfigError, DataError, WeightsError
from vadkit.core.parameters import make_config
from vadkit.core.store import write_atomic
from vadkit.models.pretrained import WEIGHTS
from vadkit.systems.base import System, all_systems, recalled
from vadkit.views.objects import detector_key

if TYPE_CHECKING:
    from torch import Tensor

    from vadkit.systems.runner import Run

FOLDER = "models"
FACTS, STATE = "system.json", "model.pt"  # of a model's folder
PATHS = ("cache_root", *WEIGHTS)  # parameters that can be paths from the project's root


def read_facts(path: str | Path, kind: str = "system") -> dict[str, Any]:
    """What a model's folder says of it. kind: a key that this kind of model has. Raises DataError where it has no
    such model."""
    try:
        facts = json.loads((Path(path) / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"{FACTS} is missing" if isinstance(error, FileNotFoundError) else f"{FACTS}: {error}"
        raise DataError(f"{path} holds no model ({what}); take a path from a run's folds, or run it again") from None
    if kind not in facts:
        raise DataError(f"{path} holds a model of another kind, {facts.get('name')}; take a path from a run's folds")
    return facts


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The weights in a model's folder. Raises DataError where they cannot be read."""
    import torch

    try:
        return torch.load(Path(path) / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a file that is cut short
        raise DataError(
            f"{path}/{STATE} cannot be read ({type(error).__name__}: {error}); "
            "delete the folder and run the system again"
        ) from None


@dataclass(frozen=True)
class TrainedModel:
    """A recorded model. config: that of its training, paths made absolute; held_out: its fold is known to test the
    video asked for."""

    config: Config
    path: Path
    system: System
    seed: int
    fold: int
    folds: int
    held_out: bool

    @property
    def name(self) -> str:
        return self.system.name


def save_models(*runs: Run) -> list[Path]:
    """Record the models of trained systems, one file a system, each replaced whole.

    Of a cross-validation each fold's test videos are recorded as well, so that a video is scored by a model that did
    not train on it.
    """
    return [_save(run) for run in runs]


def _save(run: Run) -> Path:
    folder = run.config.output_dir / FOLDER
    models = []
    for seed in run.seeds:
        for number, fold in enumerate(seed.folds):
            test = [one.video.name for one in fold.sides.test] if len(seed.folds) > 1 else []
            models.append({"seed": seed.seed, "fold": number, "path": os.path.relpath(fold.path, folder), "test": test})
    record = {
        "system": run.system.name,
        "root": os.path.relpath(project_root(), folder),
        "detector": detector_key(run.config) if run.system.counts_objects else None,
        "models": models,
        "parameters": run.config.model_dump(),
    }
    path = folder / f"{run.system.name}.json"
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
    notebooks = all_systems()[system].notebooks if system in all_systems() else ()
    notebook = notebooks[0] if notebooks else "04"
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
            f"{run} has no trained system '{system}'; {hint}? Another is recorded by "
            "vadkit.systems.record.save_models in the notebook that trains it"
        )
    record = _read(folder / f"{system}.json", remedy)
    models = [one for one in record["models"] if one["seed"] == seed]
    if not models:
        seeds = sorted({one["seed"] for one in record["models"]})
        raise ConfigError(f"{run} has {system} for seed {' and '.join(map(str, seeds))}, not for seed {seed}")
    tested = [one for one in models if video is not None and _tests(one["test"], video)]
    chosen = (tested or models)[0]
    path = (folder / chosen["path"]).resolve()
    if not (path / FACTS).is_file():
        raise DataError(f"the model of {system}, seed {seed}, is gone from the cache ({path}); {remedy} --force")
    config = _config(record, folder, f"{folder / system}.json")
    _check_detector(record["detector"], config, remedy)
    facts = read_facts(path)
    found = recalled(facts["name"], facts["system"])
    return TrainedModel(config, path, found, seed, chosen["fold"], len(models), bool(tested))


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
            f"the detector {config.detector_weights} is not the one of the training: its content has changed; put "
            f"the former file back, or {remedy} --force"
        )
