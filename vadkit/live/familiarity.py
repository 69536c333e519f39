"""What a system was trained on, and how far a camera's picture lies from that.

    remember(run)                               # in the notebook that records its models
    known = familiarity_of(find_model("outputs/demo"))
    known.see(analyser.features, time_s)        # the verdict, once, after the camera's first minute

The distance is from the nearest training frame, in the features that the trained network takes: their first principal
components, and the length of what these leave out. Training videos whose sources took no part in the fit say which
distances are usual. Neither paper asks; the rule is ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vadkit.core.compute import one_thread
from vadkit.core.store import KEY, Store
from vadkit.corpora.video import NORMAL
from vadkit.systems.mil import BagSystem
from vadkit.systems.record import TrainedModel, read_facts

KIND, VERSION = "familiarity", 1
FIRST_SECONDS = 60.0  # of a camera, that its distance is the median of
DIRECTIONS, ROWS = 32, 12  # of the space; frames of a training video
PARTS = 5  # of the training sources, each measured from the others
QUANTILE = 0.99  # of held-out training videos, beyond which a picture is unlike them
SHORT_SECONDS = 10.0  # videos of less are clips
NOT_RECORDED = "recorded before vadkit kept what a system was trained on: run its notebook again to have this checked"
DOMAINS = {"synthetic": "drawings of the demo world, no real footage", "folder": "folder {}"}

Space = dict[str, np.ndarray]


@dataclass
class Familiarity:
    """note: what a system was trained on. usual: distances of held-out training videos, rising; empty where nothing is
    measured, as of tuned networks and of a single source."""

    note: str
    usual: np.ndarray
    space: Space
    distances: list[float] = field(default_factory=list)
    judged: bool = False

    def see(self, features: np.ndarray | None, time_s: float) -> str | None:
        """Take in an analysed frame's features, (dims,); the verdict where the first minute ends with it, else None."""
        if self.judged or features is None or not len(self.usual):
            return None
        self.distances += distances(self.space, np.asarray(features)[None]).tolist()
        self.judged = time_s >= FIRST_SECONDS
        return self.verdict if self.judged else None

    @property
    def unlike(self) -> bool:
        """Whether what came so far lies beyond the usual distances."""
        return bool(self.distances) and bool(np.median(self.distances) > np.quantile(self.usual, QUANTILE))

    @property
    def verdict(self) -> str:
        """One sentence on what came so far, of at least one frame."""
        like, usual = "unlike anything" if self.unlike else "like what", np.quantile(self.usual, QUANTILE)
        of = f"{100 * QUANTILE:g} % of {len(self.usual)} held-out training videos lie below {usual:.3g}"
        return (
            f"this picture is {like} this system was trained on (median distance {np.median(self.distances):.3g}, {of})"
        )


def familiarity_of(trained: TrainedModel) -> Familiarity | None:
    """What was remembered of a model's training; None of one recorded before that was (`NOT_RECORDED`)."""
    store, key, config = Store(trained.path.parents[1]), _key(trained.path), trained.config
    if not store.has(KIND, key):
        return None
    with np.load(store.path(KIND, key) / "space.npz") as arrays:
        space = {name: arrays[name] for name in arrays.files}
    usual, seconds, videos, classes = (space.pop(name) for name in ("usual", "seconds", "videos", "classes"))
    what = "short clips" if seconds < SHORT_SECONDS else "videos"
    of = " and ".join(classes) if len(classes) < 3 else f"{len(classes)} classes of anomaly"
    where = DOMAINS.get(config.corpus, f"corpus {config.corpus}").format(Path(config.data_root).name)
    facts = f"{videos} {what} of {of} and normal ones, {seconds:.1f} s long in the median ({where})"
    return Familiarity(f"{trained.system.name} was trained on {facts}", usual, space)


def remember(*runs: Any) -> None:
    """Keep what trained models of runs have seen, in the cache beside them: of cached features, once for equal ones."""
    for run in runs:
        # others score no other video
        if isinstance(run.system, BagSystem) or getattr(run.system, "whole_frames", False):
            for fold in (fold for seed in run.seeds for fold in seed.folds):
                build = partial(_build, run, fold.sides.train)
                Store(fold.path.parents[1]).fetch(KIND, _key(fold.path), build)


def _key(path: Path) -> dict[str, Any]:
    """Of what a model's folder says of its training: alike for all that see the same of the same videos."""
    facts, key = read_facts(path), json.loads((path / KEY).read_text(encoding="utf-8"))["key"]
    of_bags, read = bool({"learner", "model"} & facts.keys()), key["parameters"]
    made = {"version": VERSION, "networks": facts["networks"], "videos": sorted({one[0] for one in key["train"]})}
    return {**made, "instances": read if of_bags else read.get("finetune_epochs")}


def _build(run: Any, views: Sequence[Any], folder: Path) -> None:
    of_bags, found = isinstance(run.system, BagSystem), {"usual": np.empty(0), "videos": len(views)}
    found["seconds"] = np.median([one.frames / one.fps for one in views])
    found["classes"] = np.array(sorted({one.video.category for one in views} - {NORMAL}), str)
    if run.system.needs(run.config) and (of_bags or not run.config.finetune_epochs):
        inputs = None if of_bags else run.system.inputs(run.config)
        rows = [one.bag.features if of_bags else inputs.features(one, one.rows("train", run.config)) for one in views]
        rows = [one.astype(np.float32) for one in rows]
        found |= fitted(rows) | {"usual": usual_distances(rows, [one.video.source for one in views])}
    np.savez(folder / "space.npz", **found)


def usual_distances(videos: Sequence[np.ndarray], sources: Sequence[str]) -> np.ndarray:
    """Each video's median distance from videos of other sources; none of a single source. Shape: (n, dims) each ->
    (videos,), rising."""
    from sklearn.model_selection import GroupKFold

    parts, found = min(PARTS, len(set(sources))), []
    for others, held in GroupKFold(parts).split(videos, groups=sources) if parts > 1 else ():
        space = fitted([videos[n] for n in others])
        found += [np.median(distances(space, videos[n])) for n in held]
    return np.sort(found)


@one_thread()
def fitted(videos: Sequence[np.ndarray]) -> Space:
    """The space of videos' features, and some frames of each in it."""
    from sklearn.decomposition import PCA

    rows = np.concatenate([one[np.linspace(0, len(one) - 1, min(len(one), ROWS)).astype(int)] for one in videos])
    pca = PCA(min(DIRECTIONS, *rows.shape), svd_solver="randomized", random_state=0).fit(rows)
    return {"mean": pca.mean_, "directions": pca.components_, "rows": pca.transform(rows)}


def distances(space: Space, features: np.ndarray) -> np.ndarray:
    """From the nearest training frame in the space, and from the space. Shape: (n, dims) -> (n,)."""
    apart = features - space["mean"]
    along = apart @ space["directions"].T
    near = np.array([((space["rows"] - one) ** 2).sum(axis=1).min() for one in along])
    return np.sqrt(near + np.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0))
