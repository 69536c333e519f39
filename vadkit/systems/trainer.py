"""Training in two phases, with hard mining, early stopping and checkpoints that resume to the same weights.

Phase one trains the head on frozen features, which are computed once; phase two trains everything but
batch normalisation from images (section 4.2). Every epoch draws its random numbers from (seed, phase,
epoch), so that a run that was interrupted ends where an uninterrupted one does, bit for bit.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from vadkit.core.compute import one_thread, reproducible
from vadkit.core.config import Config
from vadkit.core.errors import DataError, VadkitError
from vadkit.core.progress import Progress
from vadkit.models.two_stream import BAG_DIM, Head, TwoStream, confidence, fuzzy_targets, sample_losses
from vadkit.systems.base import Epoch, derived_seed
from vadkit.systems.two_stream import TwoStreamSystem

CHECKPOINT = "checkpoint.pt"
PLACE = ("phase", "epoch", "stale", "best_loss", "best")  # where a run is, as its checkpoint has it
EVALUATION_ROWS = {1: 4096, 2: 64}  # rows seen at once: of features, of images
ONE_THREAD_BELOW = 8_000_000  # weights; steps of a smaller head are too short to share between threads

Images = Callable[[np.ndarray], Sequence[Tensor]]


@dataclass(frozen=True)
class Examples:
    """Samples ready to train on.

    features: (n, D) float16, pooled, streams side by side; bags: (n, 80) float32; labels: (n,) 0 or 1;
    images: row numbers -> one preprocessed (k, 3, S, S) tensor a stream, wanted by phase two only; image_rows: how
    many of them fit in memory at once, with gradients. suspicion: (n,) in [0, 1], how far each belongs to the
    suspicious class, for a system that has one (`vadkit.systems.material`).
    """

    features: Tensor
    bags: Tensor
    labels: Tensor
    images: Images | None = None
    suspicion: Tensor | None = None
    image_rows: int = EVALUATION_ROWS[2]

    def __post_init__(self) -> None:
        if not len(self.features) == len(self.bags) == len(self.labels):
            raise ValueError(
                f"expected as many features, bags and labels, got {len(self.features)}, {len(self.bags)} and "
                f"{len(self.labels)}"
            )
        if self.suspicion is not None and self.suspicion.shape != self.labels.shape:
            raise ValueError(
                f"expected a membership of the suspicious class for each of {len(self.labels)} samples, got "
                f"{tuple(self.suspicion.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self, system: TwoStreamSystem) -> Tensor:
        """What the loss compares with: labels (n,), or the three classes' fuzzy memberships (n, 3)."""
        if not system.suspicious:
            return self.labels
        if self.suspicion is None:
            raise ValueError(f"{system.name} is trained on a suspicious class: give its examples `suspicion`")
        return fuzzy_targets(self.labels, self.suspicion)


@dataclass(frozen=True)
class Trained:
    """state: of the head after phase one alone, of the whole TwoStream where phase two ran (`finetuned`)."""

    state: dict[str, Tensor]
    finetuned: bool
    history: tuple[Epoch, ...]


def make_head(config: Config, system: TwoStreamSystem, feature_dim: int, bag_dim: int = BAG_DIM) -> Head:
    """The head that the parameters describe, for features of `feature_dim`."""
    return Head(feature_dim, use_bag=system.bag, bag_dim=bag_dim, **head_options(config, system))


def head_options(config: Config, system: TwoStreamSystem | None = None) -> dict[str, Any]:
    """The head's parameters among the run's; a suspicious class takes three neurons, whatever config.output says of
    two classes."""
    output = "suspicious" if system is not None and system.suspicious else config.output
    options = {name: getattr(config, name) for name in ("dropout", "bag_scale", "feature_scale")}
    options |= {"width": config.head_width, "output": output}
    if system is not None and system.bag and system.on_clips:
        options["bag_frames"] = config.clip_frames
    return options


def train(
    config: Config,
    system: TwoStreamSystem,
    training: Examples,
    validation: Examples | None,
    seed: int,
    *,
    backbones: Callable[[], Sequence[nn.Module]] | None = None,
    checkpoint_dir: Path | None = None,
    checkpoint_seconds: float = 10.0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Trained:
    """Train one system with one seed; resumes from `checkpoint_dir` where that holds an unfinished run.

    backbones: builds the pretrained streams, called for phase two only. A checkpoint is written after an epoch that
    ends `checkpoint_seconds` or more after the last one; the caller deletes it once the result is kept
    (`runner.forget`). Class weights: the mean over the batch of weight * loss; mining ranks by that weighted
    loss; early stopping watches the unweighted validation loss, and phase two starts from phase one's best (our
    readings, the paper names none of them). With a suspicious class training, mining and early stopping take the
    cross-entropy of the fuzzy targets, where the hard anomaly alone has the anomaly's weight, as soft frames have the
    normal one elsewhere. Raises DataError where a class is missing from the training set, or the validation set that
    early stopping needs; VadkitError where the loss is no longer finite.
    """
    _check(system, training, validation)
    device = torch.device(device)
    training, validation = (_on(device, e) if e else None for e in (training, validation))
    with reproducible(device):
        torch.manual_seed(derived_seed(seed, 0, 0))
        head = make_head(config, system, training.features.shape[1], training.bags.shape[-1]).to(device)
        head.fit(training.features, training.bags)
        run = _Run(config, system, training, validation, seed, checkpoint_dir, checkpoint_seconds, device, progress)
        run.restore()
        finetuning = config.finetune_epochs > 0
        if run.phase == 1:
            small = sum(p.numel() for p in head.parameters()) < ONE_THREAD_BELOW
            with one_thread() if small else nullcontext():
                run.phase_of(1, head, lambda e, rows: head(e.features[rows], e.bags[rows]))
        if not finetuning:
            return Trained(_cpu(head.state_dict()), False, tuple(run.history))
        if backbones is None or training.images is None:
            raise ValueError("finetune_epochs > 0 trains from images: give `backbones` and examples with `images`")
        model = TwoStream(backbones(), head).to(device)

        def from_images(examples: Examples, rows: Tensor) -> Tensor:
            return model([i.to(device) for i in examples.images(rows.cpu().numpy())], examples.bags[rows])

        run.phase_of(2, model, from_images)
        return Trained(_cpu(model.state_dict()), True, tuple(run.history))


def draw_batches(count: int, batch_size: int, alpha: int, generator: torch.Generator) -> Iterator[tuple[Tensor, int]]:
    """An epoch's (candidate rows, how many of them to keep), drawn without replacement.

    Each batch of K is kept from alpha * K candidates (section 3.3), so that an epoch trains on
    1 / alpha of the samples; the last batch keeps 1 / alpha of what is left (our reading).
    alpha 1 is training without hard mining: every candidate is kept.
    """
    order = torch.randperm(count, generator=generator)
    for candidates in order.split(batch_size * alpha):
        yield candidates, math.ceil(len(candidates) / alpha)


def hardest(losses: Tensor, keep: int) -> Tensor:
    """Positions of the `keep` largest losses. Shape: (n,) -> (keep,)."""
    return torch.topk(losses, keep).indices


def rank_auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve, for the learning history. None where one class is missing."""
    labels = np.asarray(labels).astype(bool)
    positives = int(labels.sum())
    if positives in (0, len(labels)):
        return None
    above = rankdata(scores)[labels].sum() - positives * (positives + 1) / 2  # exact: equal areas compare as equal
    return float(above / (positives * (len(labels) - positives)))


class _Run:
    """The state of one training run: where it is, its best weights, its checkpoint."""

    def __init__(
        self, config, system, training, validation, seed, checkpoint_dir, checkpoint_seconds, device, progress
    ):
        self.config, self.system, self.training, self.validation = config, system, training, validation
        self.targets = training.targets(system)
        self.seed, self.device, self.progress = seed, device, progress
        self.checkpoint = Path(checkpoint_dir) / CHECKPOINT if checkpoint_dir else None
        self.checkpoint_seconds, self.written = checkpoint_seconds, time.monotonic()
        self.history: list[Epoch] = []
        self.phase, self.epoch, self.stale, self.best_loss = 1, 0, 0, math.inf
        self.best: dict[str, Tensor] | None = None
        self.resumed: dict[str, Any] | None = None

    def restore(self) -> None:
        """Take up an unfinished run's checkpoint, if there is one that can be read."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return
        try:
            saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        except Exception as error:  # cut short by a full disk, say: the epochs before it can be run again
            why = f"the checkpoint cannot be read ({type(error).__name__}); starting over"
            self._say(0, 1, f"{self.system.name}: {why}")
            return
        for name in PLACE:
            setattr(self, name, saved[name])
        self.history = [Epoch(**line) for line in saved["history"]]
        self.resumed = saved

    def phase_of(self, phase: int, model: nn.Module, forward: Callable[[Examples, Tensor], Tensor]) -> None:
        """Run (what is left of) a phase; leaves the model with its best weights."""
        limit, lr = self._plan(phase)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=lr, weight_decay=self.config.weight_decay, fused=True)
        if self.resumed is not None:
            model.load_state_dict(self.resumed["model"])
            optimiser.load_state_dict(self.resumed["optimiser"])
            self.resumed = None
        else:
            self.phase, self.epoch, self.stale = phase, 0, 0
            if phase == 2 and self.best is not None:  # the head alone was best so far; the streams are as pretrained
                self.best = _cpu(model.state_dict())
        while self.epoch < limit and not self._patience_over():
            self.epoch += 1
            self._epoch(model, optimiser, forward)
            self._save(model, optimiser)
            last = self.history[-1]
            watched = "" if last.validation_loss is None else f", validation loss {last.validation_loss:.4f}"
            who = f"{self.system.name} seed {self.seed} phase {phase}"
            self._say(self.epoch, limit, f"{who}: loss {last.train_loss:.4f}{watched}")
        if self.system.early_stopping and self.best is not None:
            model.load_state_dict(self.best)
        model.eval()

    def _plan(self, phase: int) -> tuple[int, float]:
        limits = (self.config.head_epochs, self.config.finetune_epochs)
        if self.system.fixed_epochs is not None:  # a phase that the parameters leave out stays out
            limits = [fixed * bool(wanted) for fixed, wanted in zip(self.system.fixed_epochs, limits, strict=True)]
        return limits[phase - 1], (self.config.head_lr, self.config.finetune_lr)[phase - 1]

    def _patience_over(self) -> bool:
        return self.system.early_stopping and self.stale >= self.config.patience

    def _epoch(self, model, optimiser, forward) -> None:
        started = time.monotonic()
        seed = derived_seed(self.seed, self.phase, self.epoch)
        torch.manual_seed(seed)  # dropout
        generator = torch.Generator().manual_seed(seed)  # the draw
        targets = self.targets
        weights = torch.where(self.training.labels == 1, self.config.anomaly_weight, 1.0).to(torch.float32)
        alpha = self.config.hard_mining_alpha if self.system.hard_mining else 1
        total, used = torch.zeros((), device=self.device), 0
        for rows, keep in draw_batches(len(targets), self.config.batch_size, alpha, generator):
            rows = rows.to(self.device)
            if keep < len(rows):
                model.eval()
                with torch.no_grad():
                    parts = rows.split(self._at_once(self.training))
                    losses = torch.cat([sample_losses(forward(self.training, p), targets[p]) for p in parts])
                rows = rows[hardest(losses * weights[rows], keep)]
            model.train()
            optimiser.zero_grad(set_to_none=True)
            # Gradients add up: the batch's, in the memory of a part.
            for part in rows.split(self._at_once(self.training)):
                loss = (sample_losses(forward(self.training, part), targets[part]) * weights[part]).sum() / len(rows)
                loss.backward()
                total += loss.detach() * len(rows)
            optimiser.step()
            used += len(rows)
        mean = total.item() / used
        if not math.isfinite(mean):
            raise self._diverged("training", mean)
        validation_loss, auc = self._validate(model, forward)
        spent = round(time.monotonic() - started, 3)
        self.history.append(Epoch(self.phase, self.epoch, mean, validation_loss, auc, used, spent))
        if validation_loss is not None and self.system.early_stopping:
            if validation_loss < self.best_loss:
                self.best_loss, self.best, self.stale = validation_loss, _cpu(model.state_dict()), 0
            else:
                self.stale += 1

    def _at_once(self, examples: Examples) -> int:
        return EVALUATION_ROWS[1] if self.phase == 1 else examples.image_rows

    def _validate(self, model, forward) -> tuple[float | None, float | None]:
        if self.validation is None or len(self.validation) == 0:
            return None, None
        model.eval()
        rows = torch.arange(len(self.validation), device=self.device).split(self._at_once(self.validation))
        with torch.no_grad():
            logits = torch.cat([forward(self.validation, part) for part in rows])
        loss = sample_losses(logits, self.validation.targets(self.system)).mean().item()
        if not math.isfinite(loss):
            raise self._diverged("validation", loss)
        return loss, rank_auc(self.validation.labels.cpu().numpy(), confidence(logits).cpu().numpy())

    def _diverged(self, which: str, loss: float) -> VadkitError:
        name, value = ("head_lr", self.config.head_lr) if self.phase == 1 else ("finetune_lr", self.config.finetune_lr)
        return VadkitError(
            f"{self.system.name}, seed {self.seed}: the {which} loss is {loss} in epoch {self.epoch} of phase "
            f"{self.phase}, expected a finite number; lower {name} (now {value:g}), or look for features that are not "
            "finite"
        )

    def _save(self, model, optimiser) -> None:
        if self.checkpoint is None or time.monotonic() - self.written < self.checkpoint_seconds:
            return
        state = {
            **{name: getattr(self, name) for name in PLACE},
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "history": [asdict(line) for line in self.history],
        }
        # Another process that ended first may have taken the folder away.
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(f".{os.getpid()}")
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.checkpoint)
        self.written = time.monotonic()

    def _say(self, done: int, total: int, what: str) -> None:
        if self.progress is not None:
            self.progress(done, total, what)


def _check(system: TwoStreamSystem, training: Examples, validation: Examples | None) -> None:
    anomalous = int((training.labels == 1).sum())
    if anomalous in (0, len(training)):
        of_one_kind = f"{len(training)} samples, all {'anomalous' if anomalous else 'normal'}"
        what = of_one_kind if len(training) else "no sample"
        raise DataError(
            f"{system.name}: training needs normal and anomalous samples, got {what}; give it videos of both kinds, "
            "with annotations"
        )
    if system.early_stopping and (validation is None or len(validation) == 0):
        raise DataError(
            f"{system.name}: early stopping needs validation samples, got none; raise validation_fraction, give more "
            "videos, or take a system without early stopping"
        )


def _on(device: torch.device, examples: Examples) -> Examples:
    tensors = {name: getattr(examples, name) for name in ("features", "bags", "labels", "suspicion")}
    return replace(examples, **{name: one if one is None else one.to(device) for name, one in tensors.items()})


def _cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
