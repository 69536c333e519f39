"""What a system is, and the list of them: what it needs, what it sees of a corpus, how it is trained and scores.

    system = find_system("2S-bag-ha", config)
    run = runner.run(config, corpus, system)

A family is a subclass of `System` in a module of its own; a system is an object of it. One from outside the package is
handed to `register`, and treated like all others. What a system *is* needs neither torch nor OpenCV: methods import
what they work with.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from vadkit.core.errors import ConfigError, DataError
from vadkit.corpora.splits import grouped_folds
from vadkit.corpora.video import Corpus, Problem, Seen, Video

if TYPE_CHECKING:
    from torch import Tensor

    from vadkit.core.config import Config
    from vadkit.core.progress import Progress
    from vadkit.evaluation.recognition import Recognised
    from vadkit.evaluation.scores import VideoScores
    from vadkit.models.network import Network

FAMILIES = ("two_stream", "tubes", "mil", "joint", "baselines")
REGISTERED: dict[str, System] = {}


class Sides(NamedTuple):
    """Who trains, validates and tests: names of videos, or what is seen of them."""

    train: tuple
    val: tuple
    test: tuple


@dataclass(frozen=True)
class Material:
    """views: what is seen of each usable video, by name, in the corpus's order; problems: of the others."""

    views: Mapping[str, Any]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Epoch:
    """One line of a learning history; None where there was no validation set, or one class in it."""

    phase: int
    epoch: int  # from 1 in each phase
    train_loss: float  # weighted, mean over the samples trained on
    validation_loss: float | None  # unweighted
    validation_auc: float | None
    samples: int  # trained on in this epoch
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """A trained model: its weights, the facts that it is built from again (JSON), and how training went."""

    state: dict[str, Tensor]
    facts: dict[str, Any]
    history: tuple[Epoch, ...] = ()


@dataclass(frozen=True)
class Task:
    """One model to train, and what is seen of its videos. checkpoint: a folder that survives a kill."""

    config: Config
    system: System
    seed: int
    train: tuple
    val: tuple
    test: tuple = ()
    fold: int = 0
    checkpoint: Path | None = None

    def settings(self) -> SimpleNamespace:
        """The parameters that training may read: those of its key."""
        return _Settings(**{name: getattr(self.config, name) for name in self.system.parameters})


class _Settings(SimpleNamespace):
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"training reads {name}, which is not in its cache key; add it to `System.parameters`")


@dataclass(frozen=True)
class System(ABC):
    """One system. notebooks: the numbers of those that run it; the first records it."""

    name: str
    notebooks: tuple[str, ...] = ()

    parameters: ClassVar[tuple[str, ...]] = ()  # what training reads, beside what the views are made by
    early_stopping: ClassVar[bool] = True  # whether it is trained with a validation set
    scores_validation: ClassVar[bool] = False  # whether what it sees of validation videos can be scored, for thresholds
    published: ClassVar[Mapping[str, Any]] = {}  # the parameters of the published network
    fetched: ClassVar[tuple[str, ...]] = ()  # weights that somebody has to fetch: a path

    def configured(self, config: Config, corpus: Corpus | None = None) -> System:
        """The system as a run with these parameters, and on this corpus, trains it."""
        return self

    def in_processes(self, config: Config) -> bool:
        """Whether several models may be trained side by side: small ones leave cores idle."""
        return True

    def adapted(self, config: Config) -> Config:
        """The parameters as this system takes them."""
        return config

    def lacking(self, config: Config, corpus: Corpus) -> str:
        """Why a corpus cannot train it, in a sentence; empty where it can."""
        return corpus.no_pixels

    def needs(self, config: Config) -> Mapping[str, str]:
        """The pretrained networks that see for it, rows of `vadkit.models.pretrained`, by stream."""
        return {}

    def networks(self, config: Config) -> dict[str, Network]:
        """The same with their weights. Raises as `vadkit.models.network.network_of` does."""
        from vadkit.models.network import network_of

        return {stream: network_of(config, name) for stream, name in self.needs(config).items()}

    def other_network(self, config: Config) -> list[str]:
        """How its network differs from the published one; empty where it does not, or none is published."""
        given = {key: getattr(config, key) for key in (*self.published, *self.fetched)}
        differs = [f"{key} is {given[key]}, the paper's {v}" for key, v in self.published.items() if given[key] != v]
        for key in self.fetched:
            if given[key] in ("world", "random"):
                differs.append(f"{key} is '{given[key]}', not a file of published weights")
        return differs

    @abstractmethod
    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        """What it sees of all videos that training and testing use. Raises DataError where no video can be used."""

    def scoring(self, config: Config) -> tuple[str, ...]:
        """The parameters that scoring by a trained model may change: the anomaly score, the machine, and (by family)
        what training did not read or another method approximates. int8's features are no other engine's."""
        engine = ("inference",) if config.inference != "openvino-int8" else ()
        return ("sas_tau", "sas_reactivity", "sas_bound", "sas_variant", "device", "cache_root", "picture_fps", *engine)

    def folds(self, config: Config, corpus: Corpus, seed: int) -> list[Sides]:
        """Names of the videos on each side: one fold by the official lists, else config.folds by source."""
        return plan_folds(config, corpus, seed, self.early_stopping)

    def resampled(self, task: Task, corpus: Corpus, progress: Progress | None = None) -> Task:
        """The task as training takes it: the same, unless the system samples or groups its videos anew."""
        return task

    def check(self, sides: Sides, problems: Sequence[Problem]) -> None:
        """Raise DataError where the sides cannot train or test it."""
        for side, views in (("training", sides.train), ("test", sides.test)):
            if not views:
                lost = [p for p in problems if p.left_out]
                why = f"; {len(lost)} were left out, the first: {lost[0].where}: {lost[0].what}" if lost else ""
                raise DataError(f"the {side} side has no usable video{why}")

    @abstractmethod
    def identity(self, config: Config, view: Any, side: str) -> Any:
        """What a video gives to training, JSON-able: it is in the model's cache key. side: "train" or "val"."""

    def ready(self, config: Config, views: Sequence[Any], progress: Progress | None) -> None:  # noqa: B027
        """Make what all models share, such as features, before several are trained in processes."""

    @abstractmethod
    def fit(self, task: Task, progress: Progress | None = None) -> Fitted:
        """Train one model. The same seed gives the same weights."""

    @abstractmethod
    def score(self, config: Config, path: Path, views: Sequence[Any]) -> list[VideoScores]:
        """Scores of videos by the model in a folder."""

    def recognise(self, config: Config, path: Path, views: Sequence[Any]) -> list[Recognised]:
        """The classes that it gives to videos; none where it tells no classes apart."""
        return []

    def see(self, config: Config, videos: Sequence[Video], purpose: str, progress: Progress | None = None) -> Seen:
        """What it sees of videos beyond the corpus's lists. Raises ConfigError where it cannot see any."""
        raise ConfigError(f"{self.name} scores the corpus's own videos only; score others with 2S-bag-ha or full-I3D")

    def facts(self) -> dict[str, Any]:
        """What makes it this system: its fields, but for its name and who runs it."""
        return {k: v for k, v in asdict(self).items() if k not in ("name", "notebooks")}


def register(*systems: System) -> None:
    """Make systems from outside the package known by their names. Raises ConfigError for a name of the package's."""
    for system in systems:
        if system.name in all_systems() and system.name not in REGISTERED:
            raise ConfigError(f"there is a system '{system.name}' already; give yours another name")
        REGISTERED[system.name] = system


def all_systems() -> dict[str, System]:
    """Every system by name: those of the package, then those registered."""
    modules = [importlib.import_module(f"vadkit.systems.{family}") for family in FAMILIES]  # they import this one
    return {system.name: system for module in modules for system in module.SYSTEMS} | REGISTERED


def find_system(name: str, config: Config | None = None) -> System:
    """The system of that name, as a run with these parameters trains it. Raises ConfigError with the nearest name."""
    known = all_systems()
    if name not in known:
        lower = {one.lower(): one for one in known}
        near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.4)
        hint = f"did you mean '{lower[near[0]]}'?" if near else f"the systems are {', '.join(known)}"
        raise ConfigError(f"unknown system '{name}'; {hint}")
    return known[name] if config is None else known[name].configured(config)


def recalled(name: str, facts: Mapping[str, Any]) -> System:
    """A system as a trained model remembers it by `System.facts`. Raises ConfigError for one that is not known here."""
    system = find_system(name)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
    return replace(system, **{one.name: values[one.name] for one in fields(system) if one.name in values})


def plan_folds(config: Config, corpus: Corpus, seed: int, early_stopping: bool = True) -> list[Sides]:
    """Names on each side: one fold by the official lists, or config.folds by source.

    Without early stopping the validation videos return to the list they were cut from, so that training and
    test lists are whole (section 4.6). The official lists do not depend on the seed.
    """
    folds = [tuple(corpus.of(side) for side in ("train", "val", "test"))]
    if config.split == "grouped_cv":
        folds = grouped_folds(corpus.of("all"), config.folds, seed, config.validation_fraction)
    if not early_stopping and config.validation == "test_parity":
        folds = [(train, (), (*val, *test)) for train, val, test in folds]
    elif not early_stopping:
        folds = [((*train, *val), (), test) for train, val, test in folds]
    return [Sides(*(tuple(v.name for v in side) for side in fold)) for fold in folds]


def sides_of(fold: Sides, views: Mapping[str, Any]) -> Sides:
    """What is seen of the videos on each side, without those that cannot be used."""
    return Sides(*(tuple(views[name] for name in side if name in views) for side in fold))


def derived_seed(seed: int, phase: int, epoch: int) -> int:
    """The random seed of one epoch of a phase of training, in [0, 2**63)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{phase}/{epoch}".encode()).digest()[:8], "big") >> 1
