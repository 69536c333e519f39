"""Where trained models are: `outputs/<profile>/models/<system>.json`, written by notebooks, read by `vadkit score`.

Models stay in the cache. A record holds the parameters that they were trained with and paths relative to itself, so
that project and cache can move together.
"""

import difflib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadkit.core.config import Config, project_root
from vadkit.core.digests import digest
from vadkit.core.disk import write_atomic
from vadkit.core.errors import ConfigError, DataError, WeightsError, reading
from vadkit.core.parameters import make_config
from vadkit.core.store import damage
from vadkit.models.pretrained import WEIGHTS
from vadkit.systems.base import System, all_systems, recalled
from vadkit.views.objects import detector_key

FOLDER = "models"
FACTS, STATE = "system.json", "model.pt"  # of a model's folder
PATHS = ("cache_root", *WEIGHTS)  # parameters that can be paths from the project's root


def read_facts(path: str | Path, kind: str = "system") -> dict[str, Any]:
    """What a model's folder says of it. Raises DataError where it is damaged, or holds no model that has `kind` among
    its facts."""
    with reading(Path(path) / FACTS, "what a model's folder says of it", "run it again"):
        facts = json.loads((_whole(path) / FACTS).read_text(encoding="utf-8"))
    if kind not in facts:
        raise DataError(f"{path} holds a model of another kind, {facts.get('name')}; take a path from a run's folds")
    return facts


def read_state(path: str | Path) -> dict[str, Any]:
    """The tensors in a model's folder, by name. Raises DataError where it is damaged or holds no model."""
    import torch

    remedy = "run its notebook again with --force, it is made anew"
    with reading(Path(path) / STATE, "a file of plain tensors", remedy):
        return torch.load(_whole(path) / STATE, map_location="cpu", weights_only=True)


def _whole(path: str | Path) -> Path:
    if not (Path(path) / FACTS).is_file():
        raise DataError(f"{path} holds no model ({FACTS} is missing); take a path from a run's folds, or run it again")
    if what := damage(Path(path)):
        raise DataError(f"the model {path} is damaged: {what}; run its notebook again with --force, it is made anew")
    return Path(path)


def read_record(file: Path, remedy: str) -> dict[str, Any]:
    """What `save_models` wrote. Raises DataError, with what to do, for a file that is not as it was written."""
    with suppress(ValueError, TypeError, RecursionError):
        text = file.read_text(encoding="utf-8")
        record = json.loads(text)
        made = {name: record[name] for name in record if name != "digest"}
        if text == _record_text(made) and made.get("system") == file.stem:
            return record
    raise DataError(f"{file} is not a record of trained models, as it was written; delete it and {remedy}")


def _record_text(record: dict[str, Any]) -> str:
    return json.dumps({**record, "digest": digest(record)}, indent=1) + "\n"


@dataclass(frozen=True)
class TrainedModel:
    """config: of its training, paths made absolute; held_out: its fold is known to test the
    requested video."""

    config: Config
    path: Path
    system: System
    seed: int
    fold: int
    folds: int
    held_out: bool

    def changed(self, values: Mapping[str, Any]) -> Config:
        """The parameters of its training with others in their place. Raises ConfigError that names those which scoring
        cannot change (`System.scoring`), and as `make_config`."""
        now, may = self.config.model_dump(), self.system.scoring(self.config)
        fixed = [name for name, value in values.items() if name not in may and value != now.get(name, value)]
        if fixed:
            what = f"{', '.join(fixed)}: {self.system.name} scores as it was trained; scoring may change"
            remedy = f"else train anew, `vadkit run params/{self.config.profile}.yaml -p {fixed[0]} ...`"
            raise ConfigError(f"{what} {', '.join(sorted(may))}; {remedy}")
        return make_config({**now, **values}, where="-p")


def save_models(*runs: Any) -> list[Path]:
    """Record the models of trained systems, one file a system, each replaced whole. Of a cross-validation each fold's
    test videos are recorded as well, so that a video is scored by a model that did not train on it."""
    paths = []
    for run in runs:
        folder, models = run.config.output_dir / FOLDER, []
        for seed in run.seeds:
            for number, fold in enumerate(seed.folds):
                test = [one.video.name for one in fold.sides.test] if len(seed.folds) > 1 else []
                place = os.path.relpath(fold.path, folder)
                models.append({"seed": seed.seed, "fold": number, "path": place, "test": test})
        record = {
            "system": run.system.name,
            "root": os.path.relpath(project_root(), folder),
            "detector": detector_key(run.config) if getattr(run.system, "bag", False) else None,
            "models": models,
            "parameters": run.config.model_dump(),
        }
        paths.append(folder / f"{run.system.name}.json")
        write_atomic(paths[-1], _record_text(record))
    return paths


def find_model(run: str | Path, system: str = "2S-bag-ha", seed: int = 0, video: str | None = None) -> TrainedModel:
    """The recorded model of a system and seed under a run's folder, outputs/<profile>.

    video: the video to be scored, for its name; of a cross-validation's folds the one that tests it is
    taken, else the first. Raises DataError or ConfigError with what to run where there is no such folder, system, seed
    or model, and WeightsError where the detector is another than at the training.
    """
    run, folder = Path(run), Path(run) / FOLDER
    notebook, *_ = (system in all_systems() and all_systems()[system].notebooks) or ("04",)
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
        how = "Another is recorded by vadkit.systems.record.save_models in the notebook that trains it"
        raise ConfigError(f"{run} has no trained system '{system}'; {hint}? {how}")
    file = folder / f"{system}.json"
    again = f"{remedy[:-1]} --force`"  # for its notebook has run
    record = read_record(file, again)
    recorded, then, root, parameters = (record[key] for key in ("models", "detector", "root", "parameters"))
    models = [one for one in recorded if one["seed"] == seed]
    if not models:
        seeds = sorted({one["seed"] for one in recorded})
        raise ConfigError(f"{run} has {system} for seed {' and '.join(map(str, seeds))}, not for seed {seed}")
    tested = [one for one in models if video is not None and _tests(one["test"], video)]
    chosen = (tested or models)[0]
    path = (folder / chosen["path"]).resolve()
    if not (path / FACTS).is_file():
        raise DataError(f"the model of {system}, seed {seed}, is gone from the cache ({path}); {again}")
    for name in {*PATHS} & {*parameters}:
        if name == "cache_root" or (folder / root / parameters[name]).is_file():
            parameters[name] = str((folder / root).resolve() / Path(parameters[name]).expanduser())
    config = make_config(parameters, where=str(file))
    if then is not None and then["weights"] != detector_key(config)["weights"]:
        changed = f"{config.detector_weights} is not the one of the training: its content has changed"
        raise WeightsError(f"the detector {changed}; put the former file back, or {again}")
    facts = read_facts(path)
    found = recalled(facts["name"], facts["system"])
    return TrainedModel(config, path, found, seed, chosen["fold"], len(models), bool(tested))


def _tests(names: list[str], video: str) -> bool:
    """Whether a video is among the names: a file's, perhaps after some of its folders'."""
    whole = "/" + Path(video).expanduser().resolve().with_suffix("").as_posix().lstrip("/")
    return any(whole.endswith("/" + name.lstrip("/")) for name in names)
