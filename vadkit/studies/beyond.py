"""Looks inside the two systems beyond the paper (its section 6): what each class of anomaly is sampled at, and what a
suspicious class calls suspicious."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus
from vadkit.models.pretrained import as_tensors
from vadkit.systems import runner as experiment
from vadkit.systems.base import system_for
from vadkit.systems.inputs import Inputs, inputs_of
from vadkit.systems.rates import ClassRate, plan_rates
from vadkit.systems.runner import SystemRun
from vadkit.systems.scorer import Scorer, load_model
from vadkit.systems.suspicion import suspicion_of
from vadkit.views.frames import Samples

KINDS = ("hard anomaly", "soft, near a hard one", "anomalous video, further off", "normal video")


@dataclass(frozen=True)
class Belief:
    """What a three-class system makes of one kind of test frame: mean probabilities over frames and models."""

    kind: str
    frames: int
    normal: float
    suspicious: float
    hard: float


def class_rates(config: Config, corpus: Corpus, progress: Progress | None = None) -> list[ClassRate]:
    """What 2S-bag-ha-class-rates samples each class at, in the first seed's first fold. Raises as `experiment.prepare` does."""
    system = system_for(config, "2S-bag-ha-class-rates")
    material = experiment.prepare(config, corpus, progress, system)
    fold = experiment.plan_folds(config, corpus, config.seeds[0], system.early_stopping)[0]
    return plan_rates(experiment.sides_of(fold, material)[0], config, progress)


def beliefs(config: Config, corpus: Corpus, run: SystemRun, progress: Progress | None = None) -> list[Belief]:
    """The three classes' probabilities on each kind of analysed test frame; kinds without a frame are left out.

    "Near": less than config.suspicious_seconds from a hard frame. Raises ValueError for a system without a suspicious class.
    """
    if not run.system.suspicious:
        raise ValueError(f"{run.system.name} has no suspicious class; give the run of 2S-bag-suspicious")
    inputs = inputs_of(config, run.system)
    material = experiment.prepare(config, corpus, progress, run.system)
    kinds, found = [], []
    for seed in run.seeds:
        folds = experiment.plan_folds(config, corpus, seed.seed, run.system.early_stopping)
        for fold, path in zip(folds, seed.model_paths, strict=True):
            scorer = load_model(path, device_of(config))
            for one in experiment.sides_of(fold, material)[2]:
                rows = one.rows("score", config)
                kinds.append(_kinds(one, rows, config))
                found.append(_probabilities(scorer, inputs, one, rows))
    kind, probabilities = np.concatenate(kinds), np.concatenate(found)
    models = sum(len(seed.model_paths) for seed in run.seeds) if config.split == "official" else len(run.seeds)
    return [
        Belief(name, int((kind == number).sum()) // models, *map(float, probabilities[kind == number].mean(axis=0)))
        for number, name in enumerate(KINDS)
        if (kind == number).any()
    ]  # fmt: skip


def _kinds(one: Samples, rows: np.ndarray, config: Config) -> np.ndarray:
    """A number in KINDS for each row."""
    near = suspicion_of(one, rows, config.suspicious_seconds) > 0
    return np.where(one.labels[rows] == 1, 0, np.where(near, 1, 2 if one.video.label else 3))


def _probabilities(scorer: Scorer, inputs: Inputs, one: Samples, rows: np.ndarray) -> np.ndarray:
    """Of (normal, suspicious, hard anomaly). Shape: (k, 3)."""
    device = next(scorer.model.parameters()).device
    bags = torch.from_numpy(one.bags[rows]).to(device)
    with torch.no_grad():
        if not inputs.config.finetune_epochs:
            logits = scorer.model.head(torch.from_numpy(inputs.features(one, rows)).to(device), bags)
        else:  # the streams have changed: from images
            parts = np.split(np.arange(len(rows)), range(inputs.image_rows, len(rows), inputs.image_rows))
            logits = torch.cat(
                [
                    scorer.model(
                        as_tensors(scorer.networks, {s: one.images(s, rows[p]) for s in scorer.streams}, device),
                        bags[p],
                    )
                    for p in parts
                ]
            )
        return torch.softmax(logits.float(), dim=1).cpu().numpy()
