"""The second paper's Learner and its ranking loss over bags of video segments (section V.B).

A bag is a video, an instance one of its segments; only the bag has a label. Scores are in [0, 1], anomalous near 1.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

VARIANTS = ("sultani", "as_printed")
# Hidden layers: the paper names none, these are Sultani et al. 2018's and the widespread PyTorch code's.
WIDTHS = (512, 32)


class Learner(nn.Module):
    """Linear-ReLU-Dropout, twice, then linear-sigmoid; one score for each instance on its own.

    Each stream's features are first brought to length 1, as Sultani et al. 2018 do. Xavier normal weights, as the paper
    says; biases start at zero (our reading: it does not say). The widespread PyTorch code leaves out the second ReLU,
    this follows the paper's text.
    """

    def __init__(self, feature_dim: int, *, streams: int = 1, dropout: float = 0.6):
        super().__init__()
        if feature_dim % streams:
            raise ValueError(f"{feature_dim} features cannot be {streams} streams of equal width")
        self.feature_dim, self.streams = feature_dim, streams
        hidden = []
        for before, after in pairwise((feature_dim, *WIDTHS)):
            hidden += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*hidden, nn.Linear(WIDTHS[-1], 1), nn.Sigmoid())
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Scores of instances. Shape: (..., feature_dim) -> (...,) in [0, 1]. Raises ValueError where the features have
        another width."""
        if features.shape[-1] != self.feature_dim:
            raise ValueError(f"expected features of width {self.feature_dim}, got shape {tuple(features.shape)}")
        even = nn.functional.normalize(features.float().unflatten(-1, (self.streams, -1)), dim=-1).flatten(-2)
        return self.layers(even).squeeze(-1)


def ranking_loss(
    anomalous: Tensor, normal: Tensor, sparsity=8e-5, smoothness=8e-5, variant="sultani", top_k=1, masks=(None, None)
) -> Tensor:
    """Mean ranking loss over pairs of an anomalous and a normal bag, plus two penalties on the anomalous one.

    Shape: (pairs, instances) and (pairs, instances') in [0, 1], rows in time order -> a scalar >= 0. With M_a and M_n
    the largest scores of a pair:

    sultani      max(0, 1 - M_a + M_n): the anomalous bag's best instance should lead by a margin of 1.
    as_printed   max(0, M_a - M_n), section V.B of the second paper: zero as soon as the anomalous bag is *not* ahead,
                 so that it teaches the reverse order or nothing; kept to show that it cannot train.

    sparsity weighs the sum of the anomalous scores (P_s), smoothness that of the squares of their steps in time (P_m);
    forms and weights are Sultani et al. 2018's. top_k: M is the mean of the k largest scores (all of a shorter bag).
    masks: of the two, bool, true where an instance is real. Raises ValueError for shapes that do not fit, an empty bag,
    another variant, a k of 0.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got '{variant}'")
    shapes = tuple(anomalous.shape), tuple(normal.shape)
    if not len(shapes[0]) == len(shapes[1]) == 2 or shapes[0][0] != shapes[1][0] or not shapes[0][0]:
        raise ValueError(f"expected (pairs, instances) twice, with as many pairs, got {shapes[0]} and {shapes[1]}")
    real, normal_real = map(_mask, (anomalous, normal), masks)
    lead = bag_scores(anomalous, top_k, real) - bag_scores(normal, top_k, normal_real)
    ranking = torch.relu(1 - lead) if variant == "sultani" else torch.relu(lead)
    steps = (anomalous[:, 1:] - anomalous[:, :-1]) * (real[:, 1:] & real[:, :-1])
    penalties = sparsity * (anomalous * real).sum(dim=1) + smoothness * steps.square().sum(dim=1)
    return (ranking + penalties).mean()


def bag_scores(scores: Tensor, top_k: int = 1, mask: Tensor | None = None) -> Tensor:
    """Means of the k largest scores. (bags, instances) -> (bags,). Raises ValueError for k below 1 or an empty bag."""
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    mask = _mask(scores, mask)
    values = torch.where(mask, scores, -torch.inf).topk(min(top_k, scores.shape[1]), dim=1).values
    real = values > -torch.inf
    return torch.where(real, values, 0.0).sum(dim=1) / real.sum(dim=1)


def check_mask(mask: Tensor, scores: Tensor) -> None:
    """Raise ValueError for a mask that is not bool, or of another shape than the scores."""
    if mask.shape != scores.shape or mask.dtype != torch.bool:
        shape = tuple(scores.shape)
        raise ValueError(f"expected a bool mask of shape {shape}, got {mask.dtype} of {tuple(mask.shape)}")


def _mask(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    check_mask(mask, scores)
    if not mask.any(dim=1).all():
        raise ValueError("a bag holds no instance")
    return mask
