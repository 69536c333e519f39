"""Ablations: systems that differ in one part, run on the same videos, and what the part does.

    study = run(config, corpus, ["2S-bag", "2S-no-bag"])
    study.rows("table 1")
    study.changes({"The bag of objects": ("2S-bag", "2S-no-bag")}, ["fl_auc", "vl_f1"])

Beside the numbers, looks inside: which objects stand in hard frames (`object_counts`), which samples hard mining keeps
(`mined`), what each class is sampled at (`class_rates`), what a suspicious class makes of frames (`beliefs`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus, Problem
from vadkit.evaluation.bootstrap import Metric, estimate, ratio, resamples
from vadkit.evaluation.evaluate import compare, evaluate
from vadkit.evaluation.scores import VideoScores
from vadkit.models.two_stream import sample_losses
from vadkit.report import comparable, published, tables
from vadkit.report.rows import ResultRow, change_rows, result_rows
from vadkit.systems import runner
from vadkit.systems.base import Epoch, Material, derived_seed, find_system, plan_folds, sides_of
from vadkit.systems.material import ClassRate, plan_rates, suspicion
from vadkit.systems.runner import Run
from vadkit.systems.scorer import confidences, load_model
from vadkit.systems.trainer import draw_batches, hardest, make_head
from vadkit.views.frames import Samples
from vadkit.views.objects import COCO_CLASSES

PAPER = "petrocchi2021"
KINDS = ("hard anomaly", "soft frame of an anomalous video", "normal video")
SOFTER = ("hard anomaly", "soft, near a hard one", "anomalous video, further off", "normal video")


class Changes(NamedTuple):
    """What paired comparisons of an ablation found: the rows to save, and a plain sentence for each comparison."""

    rows: list[ResultRow]
    sentences: list[str]


@dataclass(frozen=True)
class Study:
    """Systems of the first paper, trained and scored on the same test videos."""

    config: Config
    runs: Mapping[str, Run]

    @cached_property
    def scores(self) -> dict[str, dict[int, list[VideoScores]]]:
        return {name: one.by_seed() for name, one in self.runs.items()}

    @cached_property
    def found(self) -> dict[str, list[Metric]]:
        """Every metric of every system, with its interval."""
        return {name: evaluate(scores, self.config) for name, scores in self.scores.items()}

    @property
    def paper(self) -> str:
        """Where a figure may look up printed values: the paper on its own data, nowhere on other data."""
        return "" if comparable.other_data(self.config, PAPER) else PAPER

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(dict.fromkeys(problem for one in self.runs.values() for problem in one.problems))

    def histories(self) -> dict[str, list[tuple[Epoch, ...]]]:
        """By system, the epochs of each seed and fold."""
        return {name: [h for seed in one.seeds for h in seed.histories] for name, one in self.runs.items()}

    def training_samples(self) -> dict[str, int]:
        """By system, the samples to train on: mean over seeds and folds, rounded."""
        folds = {name: [fold for seed in one.seeds for fold in seed.folds] for name, one in self.runs.items()}
        return {name: round(np.mean([fold.facts["training_samples"] for fold in of])) for name, of in folds.items()}

    def rows(self, item: str) -> list[ResultRow]:
        """Every metric of every system as a row of a table of the paper ("table 1")."""
        found = []
        for name, metrics in self.found.items():
            found += result_rows(self.config, metrics, PAPER, item, name, self.problems)
        return found

    def changes(self, pairs: Mapping[str, tuple[str, str]], metrics: Sequence[str]) -> Changes:
        """What each part does: paired differences, under the paper's claim where it makes one.

        pairs: subject of the sentence -> (the system with the part, the one without).
        """
        claims = {(c.system, c.metric): c.item for c in published.load() if c.paper == PAPER and c.kind == "claim"}
        rows, sentences = [], []
        for subject, (a, b) in pairs.items():
            for metric in metrics:
                change = compare(self.scores[a], self.scores[b], self.config, metric)
                named = (claims.get((f"{a} / {b}", f"{metric}_{kind}")) for kind in ("relative_change", "difference"))
                item = next(filter(None, named), "ablation")
                rows += change_rows(self.config, change, PAPER, item, f"{a} / {b}", self.problems)
                sentences.append(tables.sentence(subject, change))
        return Changes(rows, sentences)


def run(config: Config, corpus: Corpus, names: Sequence[str], progress: Progress | None = None) -> Study:
    """Train and score the named systems, or find them in the cache. Raises as `vadkit.systems.runner.run` does."""
    return Study(config, {name: runner.run(config, corpus, name, progress) for name in names})


def class_rates(config: Config, corpus: Corpus, progress: Progress | None = None) -> list[ClassRate]:
    """What 2S-bag-ha-class-rates samples each class at, in the first seed's first fold. Raises as `System.material`."""
    system = find_system("2S-bag-ha-class-rates", config)
    material = system.material(config, corpus, progress)
    fold = plan_folds(config, corpus, config.seeds[0], system.early_stopping)[0]
    return plan_rates(sides_of(fold, material.views).train, config, progress)


# --- objects -----------------------------------------------------------------------------------------------------


def trained_on(config: Config, corpus: Corpus, material: Material) -> list[Samples]:
    """The samples of the first fold's training videos, no validation or test video among them."""
    fold = plan_folds(config, corpus, config.seeds[0])[0]
    return [material.views[name] for name in fold.train if name in material.views]


def object_counts(config: Config, samples: Sequence[Samples]) -> pd.DataFrame:
    """How often the detector sees each class of object in hard frames and in all others, largest effect first.

    Columns: hard and rest, means per sampled frame; difference, with its interval in ci_low and ci_high; effect, the
    difference in standard deviations of the count. Classes that are never seen are left out. Raises ValueError where
    there is no hard frame, or nothing else.
    """
    frames, sums, bags = [], [], []  # (videos, 2), (videos, 2, 80) for (hard, other) frames; bags of all
    for one in samples:
        rows = one.rows("train", config)
        hard, bag = one.labels[rows] == 1, one.bags[rows].astype(np.float64)
        frames.append([hard.sum(), (~hard).sum()])
        sums.append([bag[hard].sum(axis=0), bag[~hard].sum(axis=0)])
        bags.append(bag)
    frames, sums = np.array(frames, float), np.array(sums)
    total, others = frames.sum(axis=0).astype(int).tolist()
    if not (total and others):
        raise ValueError(f"expected hard frames and others to compare, got {total} and {others}")
    spread = np.concatenate(bags).std(axis=0)
    counts, lines = resamples([one.video for one in samples], config), {}
    for number in np.flatnonzero(spread):
        hard, rest = (ratio(sums[:, side, number], frames[:, side]) for side in (0, 1))
        change = estimate(COCO_CLASSES[number], {0: hard - rest}, counts, config.interval_level)
        numbers = (hard.value, rest.value, change.value, change.ci_low, change.ci_high, change.value / spread[number])
        lines[change.name] = numbers
    columns = ["hard", "rest", "difference", "ci_low", "ci_high", "effect"]
    found = pd.DataFrame.from_dict(lines, "index", float, columns).rename_axis("object")
    return found.sort_values("effect", key=lambda effect: -effect.abs(), kind="stable")


# --- hard mining -------------------------------------------------------------------------------------------------


def mined(run: Run, progress: Progress | None = None) -> pd.DataFrame:
    """Which samples hard mining keeps: with the weights that training starts from, and with those that it ends with.

    A line for each moment, kind of sample and model; offered and kept: its share of the candidates and of those that
    mining keeps, in [0, 1], of one epoch's draw (section 3.3), ranked by the weighted loss without dropout.
    """
    config, lines = run.config, []
    models = [(seed.seed, fold) for seed in run.seeds for fold in seed.folds]
    for number, (seed, fold) in enumerate(models):
        labels, kinds, moments = _losses(run, seed, fold.sides.train, fold.path)
        weights = torch.where(labels == 1, config.anomaly_weight, 1.0)
        for moment, losses in moments.items():
            generator = torch.Generator().manual_seed(derived_seed(seed, 1, 1))
            batches = draw_batches(len(labels), config.batch_size, config.hard_mining_alpha, generator)
            hard = torch.cat([rows[hardest((losses * weights)[rows], keep)] for rows, keep in batches]).numpy()
            for k, kind in enumerate(KINDS):
                lines.append((moment, kind, number, np.mean(kinds == k), np.mean(kinds[hard] == k)))
        if progress is not None:
            progress(number + 1, len(models), "what mining keeps")
    return pd.DataFrame(lines, columns=["moment", "kind", "model", "offered", "kept"])


def _losses(run: Run, seed: int, videos: Sequence[Samples], path: Path) -> tuple:
    """(labels, kind of each training sample, its loss by moment)."""
    config, inputs = run.config, run.system.inputs(run.config)
    parts = [(one, one.rows("train", config, run.system.hard_only)) for one in videos]
    labels = torch.from_numpy(np.concatenate([one.labels[rows] for one, rows in parts]))
    anomalous = np.repeat([one.video.label for one in videos], [len(rows) for _, rows in parts])
    kinds = np.where(labels == 1, 0, np.where(anomalous == 1, 1, 2))
    features = torch.from_numpy(np.concatenate([inputs.features(one, rows) for one, rows in parts]))
    bags = torch.from_numpy(np.concatenate([one.bags[rows] for one, rows in parts]))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(derived_seed(seed, 0, 0))  # the head as training makes it
        start = make_head(config, run.system, features.shape[1], bags.shape[1]).eval()
        start.fit(features, bags)
        moments = {"before training": sample_losses(start(features, bags), labels)}
        if config.finetune_epochs:  # the streams have changed: from images
            confident = confidences(inputs, path)
            ends = np.concatenate([confident(one, rows) for one, rows in parts if len(rows)])
            right = torch.from_numpy(np.where(labels == 1, ends, 1 - ends)).double()
            moments["after training"] = -torch.log(right.clamp(min=1e-12)).float()
        else:
            head = load_model(path, device_of(config)).model.head.cpu()
            moments["after training"] = sample_losses(head(features, bags), labels)
    return labels, kinds, moments


# --- a suspicious class ------------------------------------------------------------------------------------------


def beliefs(run: Run) -> pd.DataFrame:
    """The probabilities of the three classes (section 6) on each kind of analysed test frame, means over frames and
    models.

    Columns: frames (how many, of one model), normal, suspicious, hard; a line for each of SOFTER that has a frame.
    "Near": less than config.suspicious_seconds from a hard frame. Raises ValueError for a system without a suspicious
    class.
    """
    if not run.system.suspicious:
        raise ValueError(f"{run.system.name} has no suspicious class; give the run of 2S-bag-suspicious")
    config, inputs = run.config, run.system.inputs(run.config)
    kinds, found = [], []
    for seed in run.seeds:
        for fold in seed.folds:
            probabilities = confidences(inputs, fold.path, partial(torch.softmax, dim=1))
            for one in fold.sides.test:
                rows = one.rows("score", config)
                near = suspicion(one, rows, config.suspicious_seconds) > 0
                kinds.append(np.where(one.labels[rows] == 1, 0, np.where(near, 1, 2 if one.video.label else 3)))
                found.append(probabilities(one, rows))
    models = sum(len(seed.folds) for seed in run.seeds) if config.split == "official" else len(run.seeds)
    table = pd.DataFrame(np.concatenate(found).astype(float), columns=["normal", "suspicious", "hard"])
    by_kind = table.groupby(np.concatenate(kinds))
    means = by_kind.mean()
    means.insert(0, "frames", by_kind.size() // models)
    return means.rename(index=dict(enumerate(SOFTER))).rename_axis("kind")
