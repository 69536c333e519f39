"""Training from labels of whole videos: the Learner by its ranking loss, the sequence models by the class of a video.

Both keep the epoch with the highest AUC over validation videos, among equals the one with the lowest loss there. The
same seed gives the same weights, on one thread: the steps are too short to share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vadkit.core.compute import one_thread
from vadkit.core.errors import VadkitError
from vadkit.core.progress import Progress
from vadkit.models.joint import SequenceModel
from vadkit.models.mil import Learner, ranking_loss
from vadkit.systems.bags import padded
from vadkit.systems.base import Epoch, derived_seed
from vadkit.systems.trainer import rank_auc
from vadkit.views.segments import Bag

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.models.joint import Output

LEARNER_PHASE, SEQUENCE_PHASE = 10, 11  # of `derived_seed`: other random numbers than the first paper's phases
INSTANCES_AT_ONCE = 4096
EVALUATION_BAGS = 32  # of a batch without gradient


def _best_epoch(
    make: Callable[[], nn.Module],
    one_epoch: Callable[[int], tuple[float, int]],
    validate: Callable[[], tuple[float, float]],
    seed: int,
    phase: int,
    epochs: int,
    what: str,
    progress: Progress | None,
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    """The model of the best epoch, and the history. one_epoch: number -> (mean loss, samples); validate: -> (loss,
    AUC)."""
    history, best, kept = [], (-1.0, 0.0), {}
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, phase, 0))
        model = make()
        for epoch in range(1, epochs + 1):
            started = time.monotonic()
            torch.manual_seed(derived_seed(seed, phase, epoch))  # the draw and dropout
            mean, samples = one_epoch(epoch)
            loss, auc = validate()
            history.append(Epoch(1, epoch, mean, loss, auc, samples, round(time.monotonic() - started, 3)))
            if (auc, -loss) > best or epoch == 1:
                best, kept = (auc, -loss), {name: value.clone() for name, value in model.state_dict().items()}
            if progress is not None:
                progress(epoch, epochs, f"{what} seed {seed}")
    model.load_state_dict(kept)
    return model.eval(), tuple(history)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, what: str, rate: str) -> float:
    """One step of the optimiser; the loss. Raises VadkitError where it is no longer finite. rate: "mil_lr (now
    0.01)"."""
    if not torch.isfinite(loss):
        raise VadkitError(f"{what}: the loss is {loss.item()}, expected a finite number; lower {rate}")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item()


# --- the Learner -------------------------------------------------------------------------------------------------


def train_learner(
    config: Config,
    anomalous: Sequence[Bag],
    normal: Sequence[Bag],
    validation: Sequence[Bag],
    labels: Sequence[int],
    seed: int,
    variant: str = "sultani",
    top_k: int = 1,
    streams: int = 1,
    progress: Progress | None = None,
) -> tuple[Learner, tuple[Epoch, ...]]:
    """Train on pairs of an anomalous and a normal bag; the Learner of the best epoch, and the history.

    labels: of the validation bags, 0 or 1, both present. An epoch pairs each bag of the larger class once, those of
    the smaller as often as needed. Raises VadkitError where the loss is no longer finite.
    """
    made: dict[str, Any] = {}

    def make() -> Learner:
        made["learner"] = Learner(anomalous[0].features.shape[1], streams=streams, dropout=config.mil_dropout)
        method = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}[config.mil_optimiser]
        options = {"lr": config.mil_lr, "weight_decay": config.mil_weight_decay}
        made["optimiser"] = method(made["learner"].parameters(), **options)
        return made["learner"]

    def one_epoch(epoch: int) -> tuple[float, int]:
        learner, count, total = made["learner"].train(), max(len(anomalous), len(normal)), 0.0
        draws = (_draw(len(side), count).split(config.mil_pairs) for side in (anomalous, normal))
        for a, n in zip(*draws, strict=True):
            inputs, mask = padded([anomalous[i] for i in a] + [normal[i] for i in n])
            scores, here = learner(inputs), len(a)
            masks = {"anomaly_mask": mask[:here], "normal_mask": mask[here:]}
            loss = ranking_loss(scores[:here], scores[here:], variant=variant, top_k=top_k, **masks)
            what = f"multiple-instance learning, seed {seed}, epoch {epoch}"
            total += _step(made["optimiser"], loss, what, f"mil_lr (now {config.mil_lr:g})") * here
        return total / count, 2 * count

    def validate() -> tuple[float, float]:
        return _ranked(made["learner"], validation, np.asarray(labels), variant, top_k)

    return _best_epoch(make, one_epoch, validate, seed, LEARNER_PHASE, config.mil_epochs, "MIL learner", progress)


def _ranked(learner: Learner, bags: Sequence[Bag], labels: np.ndarray, variant: str, top_k: int) -> tuple[float, float]:
    """Ranking loss over all pairs of validation videos, and the AUC of their largest scores. Video labels only."""
    learner.eval()
    with torch.no_grad():
        scores = _scores_of(learner, bags)
    best = np.array([one.max().item() for one in scores])
    longest = max(map(len, scores))
    held = torch.stack([functional.pad(one, (0, longest - len(one))) for one in scores])
    real = torch.arange(longest) < torch.tensor([len(one) for one in scores])[:, None]
    anomalous, normal = (torch.from_numpy(np.flatnonzero(labels == label)) for label in (1, 0))
    losses = []
    for number in anomalous:  # beside every normal one
        one, mask = (rows[number].expand(len(normal), -1) for rows in (held, real))
        masks = {"anomaly_mask": mask, "normal_mask": real[normal]}
        losses.append(ranking_loss(one, held[normal], variant=variant, top_k=top_k, **masks))
    return torch.stack(losses).mean().item(), rank_auc(labels, best)


def _scores_of(learner: Learner, bags: Sequence[Bag]) -> list[Tensor]:
    """Instance scores of each bag: as many bags at once as hold some thousand instances."""
    found, waiting = [], []
    for number, bag in enumerate(bags, 1):
        waiting.append(torch.from_numpy(bag.features))
        if number == len(bags) or sum(map(len, waiting)) >= INSTANCES_AT_ONCE:
            found += learner(torch.cat(waiting)).split([len(one) for one in waiting])
            waiting = []
    return found


def _draw(bags: int, count: int) -> Tensor:
    """`count` bag numbers in random order, each as often as any other, give or take one."""
    return torch.cat([torch.randperm(bags) for _ in range(-(-count // bags))])[:count]


# --- LSTM, attention and joint model -----------------------------------------------------------------------------


def train_sequences(
    config: Config,
    name: str,
    train: Sequence[Bag],
    labels: Sequence[int],
    validation: Sequence[Bag],
    validation_labels: Sequence[int],
    classes: int,
    seed: int,
    streams: int = 1,
    progress: Progress | None = None,
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    """Train a model of `vadkit.models.joint.NAMES`; that of the best epoch, and the history.

    labels: classes of the videos, 0 for normal; validation has normal and anomalous ones. Raises VadkitError where
    the loss is no longer finite.
    """
    labels, validation_labels = torch.as_tensor(labels), torch.as_tensor(validation_labels)
    weights, made = class_weights(labels, classes), []

    def make() -> nn.Module:
        made.extend(new_model(config, name, train[0].features.shape[1], classes, streams))
        return made[0]

    def one_epoch(epoch: int) -> tuple[float, int]:
        what = f"{name} model, seed {seed}, epoch {epoch}"
        return train_epoch(*made, train, labels, config, weights, what), len(train)

    def validate() -> tuple[float, float]:
        return _classified(made[0], validation, validation_labels, config, weights)

    return _best_epoch(make, one_epoch, validate, seed, SEQUENCE_PHASE, config.joint_epochs, f"{name} model", progress)


def video_loss(out: Output, labels: Tensor, config: Config, class_weights: Tensor) -> Tensor:
    """Binary cross-entropy of videos, plus the weighted cross-entropy of their classes where the model gives them.

    A scalar. labels: (batch,) classes, 0 for normal. class_weights: (classes,).
    """
    if not torch.isfinite(out.videos).all():
        return out.videos.sum()  # not finite either; the caller says so
    # A sum of shares may pass 1 by rounding.
    loss = functional.binary_cross_entropy(out.videos.clamp(0, 1), (labels > 0).float())
    if out.classes is not None and config.joint_class_weight:
        each = functional.cross_entropy(out.classes, labels, reduction="none")
        # Not over the weights' sum: a rare class alone in a batch would lose its weight.
        loss = loss + config.joint_class_weight * (each * class_weights[labels]).mean()
    return loss


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """One minus a class's share of the videos, as Majhi et al. weigh classes: rare ones count a little more. Shape:
    (classes,)."""
    return 1 - torch.bincount(labels, minlength=classes) / len(labels)


def sequence_options(config: Config) -> dict[str, Any]:
    """What the parameters say of a model's size."""
    return {"width": config.joint_width, "dropout": config.joint_dropout, "top_k": config.joint_top_k}


def new_model(
    config: Config, name: str, feature_dim: int, classes: int, streams: int = 1
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """An untrained model of config's size, and what trains it."""
    model = SequenceModel(name, feature_dim, classes, streams=streams, **sequence_options(config))
    return model, torch.optim.Adam(model.parameters(), lr=config.joint_lr, weight_decay=config.joint_weight_decay)


def train_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    bags: Sequence[Bag],
    labels: Tensor,
    config: Config,
    weights: Tensor,
    what: str,
) -> float:
    """One pass over the bags in random order, in padded batches; the mean loss. what: who trains, for an error's
    message.

    labels: (bags,) classes, 0 for normal. Raises VadkitError where the loss is no longer finite.
    """
    model.train()
    total = 0.0
    for rows in torch.randperm(len(bags)).split(config.joint_batch):
        loss = video_loss(model(*padded([bags[i] for i in rows])), labels[rows], config, weights)
        total += _step(optimiser, loss, what, f"joint_lr (now {config.joint_lr:g})") * len(rows)
    return total / len(bags)


def _classified(
    model: nn.Module, bags: Sequence[Bag], labels: Tensor, config: Config, weights: Tensor
) -> tuple[float, float]:
    """The loss over validation videos, and the AUC of their scores. Video labels only."""
    model.eval()
    losses, videos = [], []
    with torch.no_grad():
        for rows in torch.arange(len(bags)).split(EVALUATION_BAGS):
            out = model(*padded([bags[i] for i in rows]))
            losses.append(video_loss(out, labels[rows], config, weights).item() * len(rows))
            videos.append(out.videos.numpy())
    return sum(losses) / len(bags), rank_auc((labels > 0).int().numpy(), np.concatenate(videos))
