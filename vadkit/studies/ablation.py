"""Ablations: systems that differ in one part, run on the same videos, and what the part does.

    study = run(config, corpus, ["2S-bag", "2S-no-bag"])
    study.rows("table 1")
    study.changes({"The bag of objects": ("2S-bag", "2S-no-bag")}, ["fl_auc", "vl_f1"])

Beside the numbers, two looks inside: which objects stand in hard frames (`object_counts`), and which samples hard
mining keeps (`mined`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus
from vadkit.evaluation import bootstrap as intervals
from vadkit.evaluation import evaluate as evaluation
from vadkit.evaluation.evaluate import Comparison, Metric
from vadkit.evaluation.scores import VideoScores
from vadkit.models.two_stream import sample_losses
from vadkit.report import comparable, published, tables
from vadkit.report import rows as report
from vadkit.report.rows import ResultRow
from vadkit.systems import runner as experiment
from vadkit.systems.base import system_for
from vadkit.systems.hard_mining import draw_batches, hardest
from vadkit.systems.rates import ClassRate, plan_rates
from vadkit.systems.runner import Material, SystemRun
from vadkit.systems.scorer import load_model
from vadkit.systems.trainer import EVALUATION_ROWS, Epoch, derived_seed, make_head
from vadkit.views.features import pooled
from vadkit.views.frames import Samples
from vadkit.views.objects import COCO_CLASSES

PAPER = "petrocchi2021"
KINDS = ("hard anomaly", "soft frame of an anomalous video", "normal video")


@dataclass(frozen=True)
class Changes:
    """Paired comparisons of one ablation: the rows to save, and a plain sentence for each."""

    comparisons: tuple[Comparison, ...]
    rows: tuple[ResultRow, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """Systems of the first paper, trained and scored on the same test videos."""

    config: Config
    runs: Mapping[str, SystemRun]

    @cached_property
    def scores(self) -> dict[str, dict[int, list[VideoScores]]]:
        return {name: one.by_seed() for name, one in self.runs.items()}

    @cached_property
    def found(self) -> dict[str, list[Metric]]:
        """Every metric of every system, with its interval."""
        return {name: evaluation.evaluate(scores, self.config) for name, scores in self.scores.items()}

    @property
    def paper(self) -> str:
        """Where a figure may look up printed values: the paper on its own data, nowhere on other data."""
        return "" if comparable.other_data(self.config, PAPER) else PAPER

    @property
    def problems(self) -> tuple:
        return tuple(dict.fromkeys(problem for one in self.runs.values() for problem in one.problems))

    def histories(self) -> dict[str, list[tuple[Epoch, ...]]]:
        """By system, the epochs of each seed and fold."""
        return {name: [history for seed in one.seeds for history in seed.histories] for name, one in self.runs.items()}

    def training_samples(self) -> dict[str, int]:
        """By system, the samples to train on: mean over seeds and folds, rounded."""
        return {
            name: round(np.mean([n for seed in one.seeds for n in seed.training_samples]))
            for name, one in self.runs.items()
        }

    def rows(self, item: str) -> list[ResultRow]:
        """Every metric of every system as a row of a table of the paper ("table 1")."""
        return [
            row
            for name, metrics in self.found.items()
            for row in report.result_rows(self.config, metrics, PAPER, item, name, self.problems)
        ]

    def changes(self, pairs: Mapping[str, tuple[str, str]], metrics: Sequence[str]) -> Changes:
        """What each part does: paired differences, under the paper's claim where it makes one.

        pairs: subject of the sentence -> (the system with the part, the one without).
        """
        claims = {(c.system, c.metric): c.item for c in published.load() if c.paper == PAPER and c.kind == "claim"}
        comparisons, rows, sentences = [], [], []
        for subject, (a, b) in pairs.items():
            for metric in metrics:
                change = evaluation.compare(self.scores[a], self.scores[b], self.config, metric)
                item = next(
                    (
                        claims[key]
                        for kind in ("relative_change", "difference")
                        if (key := (f"{a} / {b}", f"{metric}_{kind}")) in claims
                    ),
                    "ablation",
                )
                comparisons.append(change)
                rows += report.change_rows(self.config, change, PAPER, item, f"{a} / {b}", self.problems)
                sentences.append(tables.sentence(subject, change))
        return Changes(tuple(comparisons), tuple(rows), tuple(sentences))


def run(config: Config, corpus: Corpus, names: Sequence[str], progress: Progress | None = None) -> Study:
    """Train and score the named systems; what an earlier notebook trained is found in the cache.

    Raises as `vadkit.systems.runner.run_system` does.
    """
    return Study(config, {name: experiment.run_system(config, corpus, name, progress) for name in names})


def class_rates(config: Config, corpus: Corpus, progress: Progress | None = None) -> list[ClassRate]:
    """What 2S-bag-ha-class-rates samples each class at, in the first seed's first fold. Raises as `prepare` does."""
    system = system_for(config, "2S-bag-ha-class-rates")
    material = experiment.prepare(config, corpus, progress, system)
    fold = experiment.plan_folds(config, corpus, config.seeds[0], system.early_stopping)[0]
    return plan_rates(experiment.sides_of(fold, material)[0], config, progress)


# --- objects -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ObjectCount:
    """How often the detector sees one class of object, mean per sampled frame; `effect`: the difference in standard
    deviations of that count."""

    name: str
    hard: float
    rest: float
    difference: intervals.Interval
    effect: float


def trained_on(config: Config, corpus: Corpus, material: Material) -> list[Samples]:
    """The samples of training videos, no validation or test video among them: of the first fold, where there are several."""
    fold = experiment.plan_folds(config, corpus, config.seeds[0])[0]
    return [material.samples[name] for name in fold.train if name in material.samples]


def object_counts(config: Config, samples: Sequence[Samples]) -> list[ObjectCount]:
    """Counts in hard frames against those in all other training frames, largest effect first.

    samples: of training videos. Classes that are never seen are left out; intervals are over videos or sources,
    as config.interval_over says. Raises ValueError where there is no hard frame, or nothing else.
    """
    rows = [one.rows("train", config) for one in samples]
    labels = [one.labels[r] == 1 for one, r in zip(samples, rows, strict=True)]
    bags = [one.bags[r].astype(np.float64) for one, r in zip(samples, rows, strict=True)]
    frames = np.array([[hard.sum(), (~hard).sum()] for hard in labels], float)  # (videos, 2)
    if not frames.sum(axis=0).all():
        raise ValueError(
            f"expected hard frames and others to compare, got {int(frames[:, 0].sum())} and {int(frames[:, 1].sum())}"
        )
    sums = np.array(
        [[bag[hard].sum(axis=0), bag[~hard].sum(axis=0)] for bag, hard in zip(bags, labels, strict=True)]
    )  # (videos, 2, 80)
    spread = np.concatenate(bags).std(axis=0)
    counts = evaluation.resamples([one.video for one in samples], config)
    found = []
    for number in np.flatnonzero(spread):
        means = [intervals.ratio(sums[:, side, number], frames[:, side]) for side in (0, 1)]
        hard, rest = (float(mean(np.ones((1, len(samples))))[0]) for mean in means)
        interval = intervals.interval(hard - rest, means[0](counts) - means[1](counts), config.interval_level)
        found.append(ObjectCount(COCO_CLASSES[number], hard, rest, interval, (hard - rest) / spread[number]))
    return sorted(found, key=lambda one: -abs(one.effect))


# --- hard mining -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mined:
    """One kind of sample among the candidates and among those that mining keeps; shares in [0, 1], one a model."""

    moment: str
    kind: str
    offered: tuple[float, ...]
    kept: tuple[float, ...]


def mined(config: Config, corpus: Corpus, run: SystemRun, progress: Progress | None = None) -> list[Mined]:
    """Which samples hard mining keeps: with the weights that training starts from, and with those that it ends with.

    One epoch's draw of candidates, as training draws it (section 3.3), ranked by the weighted loss without dropout.
    Which weights training passes through in between is not stored. Raises ConfigError or DataError as `prepare` does.
    """
    material = experiment.prepare(config, corpus, progress)
    shares: dict[tuple[str, str], list[tuple[float, float]]] = {}
    total = sum(len(seed.model_paths) for seed in run.seeds)
    done = 0
    for seed in run.seeds:
        folds = experiment.plan_folds(config, corpus, seed.seed, run.system.early_stopping)
        for fold, path in zip(folds, seed.model_paths, strict=True):
            videos = experiment.sides_of(fold, material)[0]
            labels, kinds, moments = _losses(config, run, seed.seed, videos, path)
            weights = torch.where(labels == 1, config.anomaly_weight, 1.0)
            for moment, losses in moments.items():
                generator = torch.Generator().manual_seed(derived_seed(seed.seed, 1, 1))
                batches = draw_batches(len(labels), config.batch_size, config.hard_mining_alpha, generator)
                kept = torch.cat([rows[hardest((losses * weights)[rows], keep)] for rows, keep in batches]).numpy()
                for number, kind in enumerate(KINDS):
                    shares.setdefault((moment, kind), []).append(
                        (float(np.mean(kinds == number)), float(np.mean(kinds[kept] == number)))
                    )
            done += 1
            if progress is not None:
                progress(done, total, "what mining keeps")
    return [
        Mined(moment, kind, *(tuple(side) for side in zip(*found, strict=True)))
        for (moment, kind), found in shares.items()
    ]


def _losses(
    config: Config, run: SystemRun, seed: int, videos: Sequence[Samples], path
) -> tuple[torch.Tensor, np.ndarray, dict[str, torch.Tensor]]:
    """(labels, kind of each training sample, its loss by moment)."""
    rows = [one.rows("train", config, run.system.hard_only) for one in videos]
    labels = np.concatenate([one.labels[r] for one, r in zip(videos, rows, strict=True)])
    anomalous = np.repeat([one.video.label for one in videos], [len(r) for r in rows])
    kinds = np.where(labels == 1, 0, np.where(anomalous == 1, 1, 2))
    scorer = load_model(path, device_of(config))
    features = torch.from_numpy(
        np.concatenate(
            [
                np.concatenate([pooled(one, s, config)[r] for s in scorer.streams], axis=1)
                for one, r in zip(videos, rows, strict=True)
            ]
        )
    )
    bags = torch.from_numpy(np.concatenate([one.bags[r] for one, r in zip(videos, rows, strict=True)]))
    targets = torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(derived_seed(seed, 0, 0))  # the head as training makes it
        start = make_head(config, run.system, features.shape[1], bags.shape[1]).eval()
        start.fit(features, bags)
        moments = {"before training": sample_losses(start(features, bags), targets)}
        if config.finetune_epochs:  # the streams have changed: from images
            parts = [
                (one, part)
                for one, r in zip(videos, rows, strict=True)
                for part in np.split(r, range(EVALUATION_ROWS[2], len(r), EVALUATION_ROWS[2]))
            ]
            ends = np.concatenate(
                [
                    scorer.confidence({s: one.images(s, part) for s in scorer.streams}, one.bags[part])
                    for one, part in parts
                    if len(part)
                ]
            )
            right = torch.from_numpy(np.where(labels == 1, ends, 1 - ends)).double()
            moments["after training"] = -torch.log(right.clamp(min=1e-12)).float()
        else:
            head = scorer.model.head.cpu()
            moments["after training"] = sample_losses(head(features, bags), targets)
    return targets, kinds, moments
