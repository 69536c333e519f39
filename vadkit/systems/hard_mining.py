"""Hard mining (section 3.3): a batch is kept from a larger draw, those samples with the largest loss."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor


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
