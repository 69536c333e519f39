"""Samples ready to train on: what the head and the streams are given, and what the loss compares with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vadkit.models.two_stream import fuzzy_targets
from vadkit.systems.two_stream import TwoStreamSystem


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
    images: Callable[[np.ndarray], Sequence[Tensor]] | None = None
    suspicion: Tensor | None = None
    image_rows: int = 64

    def __post_init__(self) -> None:
        features, bags, labels = len(self.features), len(self.bags), len(self.labels)
        if not features == bags == labels:
            raise ValueError(f"expected as many features, bags and labels, got {features}, {bags} and {labels}")
        if self.suspicion is not None and self.suspicion.shape != self.labels.shape:
            wanted = f"a membership of the suspicious class for each of {labels} samples"
            raise ValueError(f"expected {wanted}, got {tuple(self.suspicion.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self, system: TwoStreamSystem) -> Tensor:
        """What the loss compares with: labels (n,), or the three classes' fuzzy memberships (n, 3)."""
        if not system.suspicious:
            return self.labels
        if self.suspicion is None:
            raise ValueError(f"{system.name} is trained on a suspicious class: give its examples `suspicion`")
        return fuzzy_targets(self.labels, self.suspicion)

    def to(self, device: torch.device) -> Examples:
        """The same on a device; images stay where they come from."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})
