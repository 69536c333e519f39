"""The paper's network: one or two pretrained streams, a bag of objects, a fully connected head (section 3.2, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

BAG_DIM = 80  # the classes of COCO


class Head(nn.Module):
    """Linear-ReLU-Dropout, twice, then the output; takes pooled features with the bag beside them.

    outputs: 1 logit ("sigmoid", the paper's text) or 2 ("softmax", as released: normal, anomaly).
    bag_scale: "raw" counts (the paper's) or "log", log(1 + count).
    """

    def __init__(self, feature_dim: int, *, use_bag: bool = True, width: int = 4096, dropout: float = 0.5, output: str = "sigmoid", bag_scale: str = "raw", bag_dim: int = BAG_DIM):
        super().__init__()
        if output not in ("sigmoid", "softmax"):
            raise ValueError(f"output must be 'sigmoid' or 'softmax', got '{output}'")
        if bag_scale not in ("raw", "log"):
            raise ValueError(f"bag_scale must be 'raw' or 'log', got '{bag_scale}'")
        self.feature_dim, self.use_bag, self.bag_scale, self.bag_dim = feature_dim, use_bag, bag_scale, bag_dim
        self.layers = nn.Sequential(
            nn.Linear(feature_dim + (bag_dim if use_bag else 0), width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(width, 1 if output == "sigmoid" else 2),
        )

    def forward(self, features: Tensor, bags: Tensor | None = None) -> Tensor:
        """Logits of pooled features. Shape: (n, feature_dim), (n, 80) -> (n, 1 or 2), float32.

        Raises ValueError where the features have another width or a bag is wanted and missing.
        """
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise ValueError(f"expected features of shape (n, {self.feature_dim}), got {tuple(features.shape)}")
        inputs = features.float()
        if self.use_bag:
            if bags is None or tuple(bags.shape) != (len(features), self.bag_dim):
                raise ValueError(f"this head takes bags of shape ({len(features)}, {self.bag_dim}), got {None if bags is None else tuple(bags.shape)}")
            bags = bags.float()
            inputs = torch.cat([inputs, torch.log1p(bags) if self.bag_scale == "log" else bags], dim=1)
        return self.layers(inputs)


class TwoStream(nn.Module):
    """Backbones of the frame and, with two, of the flow image; their pooled features feed the head.

    Batch normalisation stays as pretrained: its modules never leave eval mode and its parameters take
    no gradient (section 4.2 fine-tunes everything; the released code leaves batch normalisation out).
    """

    def __init__(self, backbones: Sequence[nn.Module], head: Head):
        super().__init__()
        if len(backbones) not in (1, 2):
            raise ValueError(f"expected one backbone (frame) or two (frame, flow), got {len(backbones)}")
        self.backbones = nn.ModuleList(backbones)
        self.head = head
        for module in self._normalisations():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> TwoStream:
        super().train(mode)
        for module in self._normalisations():
            module.eval()
        return self

    def pooled(self, frames: Tensor, flows: Tensor | None = None) -> Tensor:
        """Features of preprocessed images, streams side by side. Shape: (n, 3, S, S) each -> (n, sum of D).

        Raises ValueError where a stream's images are missing; a model with one stream ignores flows.
        """
        if len(self.backbones) == 1:
            return self.backbones[0](frames)
        if flows is None or len(flows) != len(frames):
            raise ValueError(f"two streams need as many flow images as frames ({len(frames)}), got {None if flows is None else len(flows)}")
        return torch.cat([self.backbones[0](frames), self.backbones[1](flows)], dim=1)

    def forward(self, frames: Tensor, flows: Tensor | None = None, bags: Tensor | None = None) -> Tensor:
        """Logits of preprocessed images. Shape: (n, 3, S, S), (n, 3, S, S), (n, 80) -> (n, 1 or 2)."""
        return self.head(self.pooled(frames, flows), bags)

    def _normalisations(self):
        return (m for m in self.backbones.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))


def confidence(logits: Tensor) -> Tensor:
    """Confidence of the anomaly class. Shape: (n, 1 or 2) -> (n,) in [0, 1], float32."""
    logits = logits.float()
    return torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)[:, 1]
