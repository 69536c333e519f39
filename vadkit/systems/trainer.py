"""Training in two phases, with hard mining, early stopping and checkpoints that resume to the same weights.

Phase one trains the head on frozen features, which are computed once; phase two trains everything but
batch normalisation from images (section 4.2). Every epoch draws its random numbers from (seed, phase,
epoch), so that a run that was interrupted ends where an uninterrupted one does, bit for bit.
"""

import math
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from vadkit.core.compute import one_thread, reproducible, to_device
from vadkit.core.config import Config
from vadkit.core.disk import whole_file
from vadkit.core.errors import DataError, VadkitError
from vadkit.core.progress import Progress
from vadkit.models.two_stream import BAG_DIM, Head, TwoStream, confidence, sample_losses
from vadkit.systems.base import Epoch, Fitted, derived_seed
from vadkit.systems.examples import Examples
from vadkit.systems.two_stream import TwoStreamSystem

CHECKPOINT = "checkpoint.pt"
PLACE = ("phase", "epoch", "stale", "best_loss", "best")  # where a run is, as its checkpoint has it
PARTS = {1: "head", 2: "finetune"}  # what a phase's parameters begin with
FEATURE_ROWS = 4096  # seen at once in phase one
ONE_THREAD_BELOW = 8_000_000  # weights; steps of a smaller head are too short to share between threads


def make_head(config: Config, system: TwoStreamSystem, feature_dim: int, bag_dim: int = BAG_DIM) -> Head:
    """The head that the parameters describe, for features of `feature_dim`."""
    return Head(feature_dim, bag_dim=bag_dim, **head_options(config, system))


def head_options(config: Config, system: TwoStreamSystem) -> dict[str, Any]:
    """The head's parameters among the run's; a suspicious class takes three neurons, whatever config.output is."""
    options = {name: getattr(config, name) for name in ("dropout", "bag_scale", "feature_scale")}
    options |= {"width": config.head_width, "output": "suspicious" if system.suspicious else config.output}
    clips = {"bag_frames": config.clip_frames} if system.bag and system.on_clips else {}
    return {"use_bag": system.bag, **options, **clips}


def train(config: Config, system: TwoStreamSystem, training: Examples, validation, seed: int, **options) -> Fitted:
    """Train one system with one seed; resumes from `checkpoint_dir` where that holds an unfinished run.

    validation: Examples, or None. options: device, progress; backbones, which builds the pretrained streams, for phase
    two alone; checkpoint_dir, where a checkpoint is written after an epoch that ends checkpoint_seconds (10) or more
    after the last one; the caller deletes it once the result is kept (`runner.forget`). Class weights: the mean over
    the batch of weight * loss; mining ranks by that weighted loss; early stopping watches the unweighted validation
    loss, and phase two starts from phase one's best (our readings, the paper names none of them). With a suspicious
    class all three take the cross-entropy of the fuzzy targets, where the hard anomaly alone has the anomaly's weight.
    -> the state of the head after phase one, of the whole TwoStream after phase two. Raises DataError where a class is
    missing from the training set, or the validation set that early stopping needs; VadkitError where the loss is no
    longer finite.
    """
    anomalous = int((training.labels == 1).sum())
    if anomalous in (0, len(training)):
        kind = f"samples, all {'anomalous' if anomalous else 'normal'}"
        got = f"{len(training)} {kind}" if len(training) else "no sample"
        remedy = "give it videos of both kinds, with annotations"
        raise DataError(f"{system.name}: training needs normal and anomalous samples, got {got}; {remedy}")
    if system.early_stopping and not validation:
        remedy = "raise validation_fraction, give more videos, or take a system without early stopping"
        raise DataError(f"{system.name}: early stopping needs validation samples, got none; {remedy}")
    return _Training(config, system, training, validation, seed, **options).run()


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


@dataclass
class _Training:
    """What a run is given (see `train`), and then where it is."""

    config: Config
    system: TwoStreamSystem
    training: Examples
    validation: Examples | None
    seed: int
    backbones: Callable[[], Sequence[nn.Module]] | None = None
    checkpoint_dir: Path | None = None
    checkpoint_seconds: float = 10.0
    device: torch.device | str = "cpu"
    progress: Progress | None = None

    phase: int = 1
    epoch: int = 0
    stale: int = 0  # epochs since the best
    best_loss: float = math.inf
    best: dict[str, Tensor] | None = None
    history: list[Epoch] = field(default_factory=list)
    resumed: dict[str, Any] | None = None  # a checkpoint that is not taken up yet

    def run(self) -> Fitted:
        config, self.device, self.written = self.config, torch.device(self.device), time.monotonic()
        self.progress = self.progress or (lambda *_: None)
        self.checkpoint = Path(self.checkpoint_dir) / CHECKPOINT if self.checkpoint_dir else None
        self.training, self.validation = (e and e.to(self.device) for e in (self.training, self.validation))
        training, self.targets = self.training, self.training.targets(self.system)
        with reproducible(self.device):
            torch.manual_seed(derived_seed(self.seed, 0, 0))
            head = make_head(config, self.system, training.features.shape[1], training.bags.shape[-1]).to(self.device)
            head.fit(training.features, training.bags)
            self._restore()
            if self.phase == 1:
                small = sum(p.numel() for p in head.parameters()) < ONE_THREAD_BELOW
                with one_thread() if small else nullcontext():
                    self._phase(1, head, lambda e, rows: head(e.features[rows], e.bags[rows]))
            trained = head
            if config.finetune_epochs:
                if self.backbones is None or training.images is None:
                    needed = "give `backbones` and examples with `images`"
                    raise ValueError(f"finetune_epochs > 0 trains from images: {needed}")
                trained = TwoStream(self.backbones(), head).to(self.device)
                self._phase(2, trained, partial(self._from_images, trained))
        facts = {"head": {"feature_dim": head.feature_dim, **head_options(config, self.system)}}
        facts |= {"finetuned": trained is not head, "training_samples": len(training)}
        facts["training_anomalous"] = int(training.labels.sum())
        return Fitted(_cpu(trained.state_dict()), facts, tuple(self.history))

    def _from_images(self, model: TwoStream, examples: Examples, rows: Tensor) -> Tensor:
        images = [to_device(one, self.device) for one in examples.images(rows.cpu().numpy())]
        # the head, and what epochs are compared by, in float32: an epoch's change is finer than bfloat16's steps
        low = self.config.finetune_precision == "bfloat16" and examples is not self.validation
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            pooled = model.pooled(images)
        return model.head(pooled, examples.bags[rows])

    def _restore(self) -> None:
        """Take up an unfinished run's checkpoint, if there is one that can be read."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return
        try:
            with zipfile.ZipFile(self.checkpoint) as file:  # torch passes over its checksums
                damaged = file.testzip()
            found = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            if damaged or found["folder"] != self.checkpoint.parent.name:
                raise ValueError("damaged, or another training's")
        except Exception as error:  # cut short by a full disk, say: the epochs before it can be run again
            why = f"the checkpoint cannot be read ({type(error).__name__}); starting over"
            return self.progress(0, 1, f"{self.system.name}: {why}")
        self.resumed = found
        for name in PLACE:
            setattr(self, name, found[name])
        self.history = [Epoch(**line) for line in found["history"]]

    def _phase(self, phase: int, model: nn.Module, forward: Callable[[Examples, Tensor], Tensor]) -> None:
        """Run (what is left of) a phase; leaves the model with its best weights."""
        limit, lr = (getattr(self.config, f"{PARTS[phase]}_{name}") for name in ("epochs", "lr"))
        if self.system.fixed_epochs is not None and limit:  # a phase that the parameters leave out stays out
            limit = self.system.fixed_epochs[phase - 1]
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
        stopping = self.system.early_stopping
        while self.epoch < limit and not (stopping and self.stale >= self.config.patience):
            self.epoch += 1
            self._epoch(model, optimiser, forward)
            self._save(model, optimiser)
            last = self.history[-1]
            watched = "" if last.validation_loss is None else f", validation loss {last.validation_loss:.4f}"
            who = f"{self.system.name} seed {self.seed} phase {phase}"
            self.progress(self.epoch, limit, f"{who}: loss {last.train_loss:.4f}{watched}")
        if stopping and self.best is not None:
            model.load_state_dict(self.best)
        model.eval()

    def _epoch(self, model, optimiser, forward) -> None:
        started = time.monotonic()
        seed = derived_seed(self.seed, self.phase, self.epoch)
        torch.manual_seed(seed)  # dropout
        generator = torch.Generator().manual_seed(seed)  # the draw
        training, targets = self.training, self.targets
        weights = torch.where(training.labels == 1, self.config.anomaly_weight, 1.0).to(torch.float32)
        alpha = self.config.hard_mining_alpha if self.system.hard_mining else 1
        total, used = torch.zeros((), device=self.device), 0
        for rows, keep in draw_batches(len(targets), self.config.batch_size, alpha, generator):
            rows = rows.to(self.device)
            if keep < len(rows):
                model.eval()
                with torch.no_grad():
                    losses = [sample_losses(forward(training, p), targets[p]) for p in self._parts(training, rows)]
                rows = rows[hardest(torch.cat(losses) * weights[rows], keep)]
            model.train()
            optimiser.zero_grad(set_to_none=True)
            for part in self._parts(training, rows):  # gradients add up: the batch's, in the memory of a part
                loss = (sample_losses(forward(training, part), targets[part]) * weights[part]).sum() / len(rows)
                loss.backward()
                total += loss.detach() * len(rows)
            optimiser.step()
            used += len(rows)
        mean = self._finite("training", total.item() / used)
        validation_loss, auc = self._validate(model, forward) if self.validation else (None, None)
        spent = round(time.monotonic() - started, 3)
        self.history.append(Epoch(self.phase, self.epoch, mean, validation_loss, auc, used, spent))
        if validation_loss is not None and self.system.early_stopping:
            if validation_loss < self.best_loss:
                self.best_loss, self.best, self.stale = validation_loss, _cpu(model.state_dict()), 0
            else:
                self.stale += 1

    def _parts(self, examples: Examples, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(FEATURE_ROWS if self.phase == 1 else examples.image_rows)

    def _validate(self, model, forward) -> tuple[float, float | None]:
        model.eval()
        held = self.validation
        with torch.no_grad():
            parts = self._parts(held, torch.arange(len(held), device=self.device))
            logits = torch.cat([forward(held, part) for part in parts])
        loss = self._finite("validation", sample_losses(logits, held.targets(self.system)).mean().item())
        return loss, rank_auc(held.labels.cpu().numpy(), confidence(logits).cpu().numpy())

    def _finite(self, which: str, loss: float) -> float:
        if not math.isfinite(loss):
            name, where = f"{PARTS[self.phase]}_lr", f"in epoch {self.epoch} of phase {self.phase}"
            remedy = f"lower {name} (now {getattr(self.config, name):g}), or look for features that are not finite"
            who = f"{self.system.name}, seed {self.seed}"
            raise VadkitError(f"{who}: the {which} loss is {loss} {where}, expected a finite number; {remedy}")
        return loss

    def _save(self, model, optimiser) -> None:
        if self.checkpoint is None or time.monotonic() - self.written < self.checkpoint_seconds:
            return
        state = {name: getattr(self, name) for name in PLACE} | {"folder": self.checkpoint.parent.name}
        state |= {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
        state["history"] = [asdict(line) for line in self.history]
        # which makes the folder: another process that ended first may have taken it away
        with whole_file(self.checkpoint) as scratch, open(scratch, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        self.written = time.monotonic()


def _cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
