"""Training from labels of whole videos: the Learner by its ranking loss, the sequence models by the class of a video.

Both keep the epoch with the highest AUC over validation videos, among equals the one with the lowest loss there. The
same seed gives the same weights, on one thread: the steps are too short to share.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.optim import Adagrad, Adam, Optimizer

from vadkit.core.compute import one_thread
from vadkit.core.config import Config
from vadkit.core.errors import VadkitError
from vadkit.models.joint import Output, SequenceModel
from vadkit.models.mil import Learner, ranking_loss
from vadkit.systems.bags import padded
from vadkit.systems.base import Epoch, derived_seed
from vadkit.systems.trainer import rank_auc
from vadkit.views.segments import Bag

LEARNER_PHASE, SEQUENCE_PHASE = 10, 11  # of `derived_seed`: other random numbers than the first paper's phases
INSTANCES_AT_ONCE = 4096
EVALUATION_BAGS = 32  # of a batch without gradient

Labelled = tuple[Sequence[Bag], Sequence[int]]  # bags, and a label for each, 0 for normal
Losses = Iterator[tuple[Tensor, int]]  # of an epoch's steps, each with the number of bags that it is the mean of
Trained = tuple[nn.Module, tuple[Epoch, ...]]  # the model of the best epoch, and the history


@contextmanager
def seeded(seed: int, phase: int) -> Iterator[None]:
    """Within it, one thread, and random numbers of this seed and phase; the caller's stay as they were."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, phase, 0))
        yield


def train_epoch(model: nn.Module, optimiser: Optimizer, losses: Losses, who: str, rate: str) -> tuple[float, int]:
    """A step of the optimiser for each loss as it comes; their mean, and the number of bags.

    who, rate: who trains and the parameter that is its learning rate, for an error's message. Raises VadkitError
    where a loss is no longer finite.
    """
    model.train()
    total, seen = 0.0, 0
    for loss, bags in losses:
        if not torch.isfinite(loss):
            now = f"lower {rate} (now {optimiser.param_groups[0]['lr']:g})"
            raise VadkitError(f"{who}: the loss is {loss.item()}, expected a finite number; {now}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total, seen = total + loss.item() * bags, seen + bags
    return total / seen, seen


def _best_epoch(model, optimiser, losses, validate, seeds: Sequence[int], who: str, rate: str, progress) -> Trained:
    """losses: -> `Losses` of one epoch; validate: -> (loss, AUC); seeds: of each epoch."""
    history, best, kept = [], None, {}
    for epoch, seed in enumerate(seeds, 1):
        started = time.monotonic()
        torch.manual_seed(seed)  # the draw and dropout
        mean, samples = train_epoch(model, optimiser, losses(), f"{who}, epoch {epoch}", rate)
        model.eval()
        with torch.no_grad():
            loss, auc = validate()
        history.append(Epoch(1, epoch, mean, loss, auc, samples, round(time.monotonic() - started, 3)))
        if best is None or (auc, -loss) > best:
            best, kept = (auc, -loss), {name: value.clone() for name, value in model.state_dict().items()}
        if progress is not None:
            progress(epoch, len(seeds), who)
    model.load_state_dict(kept)
    return model.eval(), tuple(history)


# --- the Learner -------------------------------------------------------------------------------------------------


def train_learner(
    config: Config, train: Labelled, validation: Labelled, seed: int, streams: int = 1, progress=None, **rule: Any
) -> Trained:
    """Train a Learner on pairs of an anomalous and a normal bag. rule: variant and top_k of `ranking_loss`.

    Both sides have both labels. An epoch pairs each bag of the larger class once, those of the smaller as often as
    needed. Raises VadkitError where the loss is no longer finite.
    """
    anomalous, normal = ([bag for bag, label in zip(*train, strict=True) if label == wanted] for wanted in (1, 0))

    def losses() -> Losses:
        count = max(len(anomalous), len(normal))
        draws = [_draw(len(side), count).split(config.mil_pairs) for side in (anomalous, normal)]
        for a, n in zip(*draws, strict=True):
            inputs, mask = padded([anomalous[i] for i in a] + [normal[i] for i in n])
            (scored, beside), (real, also) = learner(inputs).split(len(a)), mask.split(len(a))
            yield ranking_loss(scored, beside, masks=(real, also), **rule), 2 * len(a)

    seeds = [derived_seed(seed, LEARNER_PHASE, n + 1) for n in range(config.mil_epochs)]
    with seeded(seed, LEARNER_PHASE):
        learner = Learner(train[0][0].features.shape[1], streams=streams, dropout=config.mil_dropout)
        method = {"adagrad": Adagrad, "adam": Adam}[config.mil_optimiser]
        optimiser = method(learner.parameters(), lr=config.mil_lr, weight_decay=config.mil_weight_decay)
        validate = partial(_ranked, learner, *validation, **rule)
        return _best_epoch(learner, optimiser, losses, validate, seeds, f"MIL learner, seed {seed}", "mil_lr", progress)


def _ranked(learner: Learner, bags: Sequence[Bag], labels: Sequence[int], **rule: Any) -> tuple[float, float]:
    """Ranking loss over all pairs of validation videos, and the AUC of their largest scores. Video labels only."""
    scores = _scores_of(learner, bags)
    held = pad_sequence(scores, batch_first=True)
    real = torch.arange(held.shape[1]) < torch.tensor([len(one) for one in scores])[:, None]
    anomalous, normal = (torch.from_numpy(np.flatnonzero(np.asarray(labels) == label)) for label in (1, 0))
    losses = []
    for number in anomalous:  # beside every normal one
        one, mask = (rows[number].expand(len(normal), -1) for rows in (held, real))
        losses.append(ranking_loss(one, held[normal], masks=(mask, real[normal]), **rule))
    return torch.stack(losses).mean().item(), rank_auc(labels, np.array([one.max().item() for one in scores]))


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
    config: Config, name: str, train: Labelled, validation: Labelled, classes: int, seed: int, streams=1, progress=None
) -> Trained:
    """Train a model of `vadkit.models.joint.NAMES` on the classes of videos. Validation has normal and anomalous ones.
    Raises VadkitError where the loss is no longer finite."""
    train, validation = ((bags, torch.as_tensor(labels)) for bags, labels in (train, validation))
    terms = config, class_weights(train[1], classes)  # of the loss
    seeds = [derived_seed(seed, SEQUENCE_PHASE, n + 1) for n in range(config.joint_epochs)]
    with seeded(seed, SEQUENCE_PHASE):
        model, optimiser = new_model(config, name, train[0][0].features.shape[1], classes, streams)
        losses = partial(sequence_losses, model, *train, *terms)
        validate = partial(_classified, model, *validation, *terms)
        who = f"{name} model, seed {seed}"
        return _best_epoch(model, optimiser, losses, validate, seeds, who, "joint_lr", progress)


def video_loss(out: Output, labels: Tensor, config: Config, class_weights: Tensor) -> Tensor:
    """Binary cross-entropy of videos, plus the weighted cross-entropy of their classes where the model gives them. A
    scalar. labels: (batch,) classes, 0 for normal. class_weights: (classes,)."""
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
    """One minus a class's share of the videos, as Majhi et al. weigh them: rare ones count more. Shape: (classes,)."""
    return 1 - torch.bincount(labels, minlength=classes) / len(labels)


def sequence_options(config: Config) -> dict[str, Any]:
    """What the parameters say of a model's size."""
    return {"width": config.joint_width, "dropout": config.joint_dropout, "top_k": config.joint_top_k}


def new_model(config: Config, name: str, feature_dim: int, classes: int, streams: int) -> tuple[nn.Module, Optimizer]:
    """An untrained model of config's size, and what trains it."""
    model = SequenceModel(name, feature_dim, classes, streams=streams, **sequence_options(config))
    return model, Adam(model.parameters(), lr=config.joint_lr, weight_decay=config.joint_weight_decay)


def sequence_losses(model: nn.Module, bags: Sequence[Bag], labels: Tensor, config: Config, weights: Tensor) -> Losses:
    """The losses of one pass over the bags in random order, in padded batches. labels: (bags,) classes."""
    for rows in torch.randperm(len(bags)).split(config.joint_batch):
        yield video_loss(model(*padded([bags[i] for i in rows])), labels[rows], config, weights), len(rows)


def _classified(model, bags: Sequence[Bag], labels: Tensor, config: Config, weights: Tensor) -> tuple[float, float]:
    """The loss over validation videos, and the AUC of their scores. Video labels only."""
    losses, videos = [], []
    for rows in torch.arange(len(bags)).split(EVALUATION_BAGS):
        out = model(*padded([bags[i] for i in rows]))
        losses.append(video_loss(out, labels[rows], config, weights).item() * len(rows))
        videos.append(out.videos.numpy())
    return sum(losses) / len(bags), rank_auc((labels > 0).int().numpy(), np.concatenate(videos))
