"""The loss of the first paper's systems, sample by sample: training weighs it, hard mining ranks by it, early stopping watches it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vadkit.models.two_stream import OUTPUTS


def sample_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each sample, from logits in float32. Shape: (n, 1 or 2), (n,) of 0 and 1, or (n, 3), (n, 3) -> (n,).

    Three classes take a distribution over them for each sample (`fuzzy_targets`); raises ValueError for labels alone.
    """
    logits = logits.float()
    if logits.shape[1] == OUTPUTS["suspicious"]:
        if targets.shape != logits.shape:
            raise ValueError(
                f"three classes take targets of shape {tuple(logits.shape)}, got {tuple(targets.shape)}; make them with fuzzy_targets, or compare two_way(logits) with labels"
            )
        return functional.cross_entropy(logits, targets.float(), reduction="none")
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.float(), reduction="none")
    return functional.cross_entropy(logits, targets.long(), reduction="none")


def fuzzy_targets(labels: Tensor, suspicion: Tensor) -> Tensor:
    """Memberships of (normal, suspicious, anomaly), which sum to 1. Shape: (n,), (n,) -> (n, 3), float32.

    A hard anomaly is one wholly; of any other sample `suspicion` is suspicious and the rest normal (our reading of "a fuzzy
    assignment", Petrocchi et al., section 6).
    """
    hard = (labels == 1).float()
    suspicious = (1 - hard) * suspicion.float()
    return torch.stack([1 - hard - suspicious, suspicious, hard], dim=1)
