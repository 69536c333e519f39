"""The first paper's network (section 3.2, figure 1): pretrained streams, a bag of objects, a head; and its loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BAG_DIM = 80  # the classes of COCO
OUTPUTS = {"sigmoid": 1, "softmax": 2, "suspicious": 3}  # logits


class BagBranch(nn.Module):
    """The bags of a clip's frames through time: convolutions over three frames, each followed by a maximum over two.

    Shape: (n, frames, 80) -> (n, features), 160 numbers for 16 frames. Source: the released code's optional branch of
    C3D, without an activation. Raises ValueError where a clip is too short for both.
    """

    def __init__(self, bag_dim: int, frames: int):
        super().__init__()
        left = ((frames - 2) // 2 - 2) // 2
        if left < 1:
            raise ValueError(f"the bag branch needs clips of at least 10 frames, got {frames}")
        self.features = bag_dim * left
        first, second = (nn.Conv1d(bag_dim, bag_dim, 3) for _ in range(2))
        self.layers = nn.Sequential(first, nn.MaxPool1d(2), second, nn.MaxPool1d(2), nn.Flatten())

    def forward(self, bags: Tensor) -> Tensor:
        return self.layers(bags.transpose(1, 2))


class Head(nn.Module):
    """Linear-ReLU-Dropout, twice, then the output; takes pooled features with the bag beside them.

    output: 1 logit ("sigmoid", the paper's text), 2 ("softmax", as released: normal, anomaly) or 3 ("suspicious":
    normal, suspicious, anomaly; future work in section 6). bag_scale: "raw" counts (the paper's) or "log", log(1 +
    count). feature_scale: "raw" (the paper's) or "standard": log(1 + 20 x) of the features, then inputs standardised
    and cut at 5 deviations; `fit` sets the scale. bag_frames: of so many bags a sample, (n, bag_frames, 80), the
    `BagBranch` stands beside the features; 0: the one bag itself.
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        use_bag: bool = True,
        width: int = 4096,
        dropout: float = 0.5,
        output: str = "sigmoid",
        bag_scale: str = "raw",
        feature_scale: str = "raw",
        bag_dim: int = BAG_DIM,
        bag_frames: int = 0,
    ):
        super().__init__()
        known = {"output": OUTPUTS, "bag_scale": ("raw", "log"), "feature_scale": ("raw", "standard")}
        for option, given in zip(known, (output, bag_scale, feature_scale), strict=True):
            if given not in known[option]:
                raise ValueError(f"{option} must be {' or '.join(map(repr, known[option]))}, got '{given}'")
        self.feature_dim, self.feature_scale = feature_dim, feature_scale
        self.use_bag, self.bag_scale, self.bag_dim = use_bag, bag_scale, bag_dim
        self.bag_shape = (bag_frames, bag_dim) if bag_frames else (bag_dim,)
        self.branch = BagBranch(bag_dim, bag_frames) if use_bag and bag_frames else None
        inputs = feature_dim + (bag_dim if use_bag and self.branch is None else 0)
        if feature_scale == "standard":
            self.register_buffer("center", torch.zeros(inputs))
            self.register_buffer("spread", torch.ones(inputs))
        inputs += self.branch.features if self.branch is not None else 0
        hidden = []
        for before in (inputs, width):
            hidden += [nn.Linear(before, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, OUTPUTS[output]))

    def forward(self, features: Tensor, bags: Tensor | None = None) -> Tensor:
        """Logits of pooled features. Shape: (n, feature_dim), (n, 80) or (n, bag_frames, 80) -> (n, 1, 2 or 3),
        float32. Raises ValueError for features of another width, and where a bag is wanted and missing."""
        inputs = self._inputs(features, bags)
        if self.feature_scale == "standard":
            inputs = ((inputs - self.center) / self.spread).clamp(-5.0, 5.0)
        if self.branch is not None:
            inputs = torch.cat([inputs, self.branch(self._counts(bags))], dim=1)
        return self.layers(inputs)

    def fit(self, features: Tensor, bags: Tensor | None = None) -> None:
        """Set the scale of "standard" from the training samples, shapes as for `forward`; nothing to do for "raw". An
        input that never varies there says nothing: it is left at 0."""
        if self.feature_scale == "standard":
            inputs = self._inputs(features, bags).double()
            spread = inputs.std(dim=0, correction=0)
            self.center.copy_(inputs.mean(dim=0))
            self.spread.copy_(torch.where(spread > 1e-6, spread, torch.inf))

    def _inputs(self, features: Tensor, bags: Tensor | None) -> Tensor:
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise ValueError(f"expected features of shape (n, {self.feature_dim}), got {tuple(features.shape)}")
        inputs = features.float()
        if self.feature_scale == "standard":
            inputs = torch.log1p(20.0 * inputs.clamp(min=0.0))  # pooled after a ReLU: skewed, near zero for most
        if self.use_bag:
            wanted, given = (len(features), *self.bag_shape), None if bags is None else tuple(bags.shape)
            if given != wanted:
                raise ValueError(f"this head takes bags of shape {wanted}, got {given}")
            if self.branch is None:
                inputs = torch.cat([inputs, self._counts(bags)], dim=1)
        return inputs

    def _counts(self, bags: Tensor) -> Tensor:
        return torch.log1p(bags.float()) if self.bag_scale == "log" else bags.float()


class TwoStream(nn.Module):
    """A backbone for each stream (the frame; the flow image; perhaps the speeds); their pooled features feed the head.
    Batch normalisation stays as pretrained, in eval mode and without gradient, as released (section 4.2 tunes all)."""

    def __init__(self, backbones: Sequence[nn.Module], head: Head):
        super().__init__()
        if not backbones:
            raise ValueError("expected a backbone for each stream, got none")
        self.backbones = nn.ModuleList(backbones)
        self.head = head
        self.train(self.training)

    def train(self, mode: bool = True) -> TwoStream:
        super().train(mode)
        for module in self.backbones.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval().requires_grad_(False)
        return self

    def pooled(self, images: Sequence[Tensor]) -> Tensor:
        """Features of preprocessed images, streams side by side. Shape: (n, 3, S, S) a stream -> (n, sum of D). Raises
        ValueError where a stream's images are missing or differ in number."""
        given, streams = [len(i) for i in images], len(self.backbones)
        if given != given[:1] * streams:
            raise ValueError(f"{streams} streams need as many images each, got {' and '.join(map(str, given))}")
        return torch.cat([backbone(i) for backbone, i in zip(self.backbones, images, strict=True)], dim=1)

    def forward(self, images: Sequence[Tensor], bags: Tensor | None = None) -> Tensor:
        """Logits of preprocessed images. Shape: (n, 3, S, S) a stream, (n, 80) -> (n, 1, 2 or 3)."""
        return self.head(self.pooled(images), bags)


def confidence(logits: Tensor) -> Tensor:
    """Confidence of the anomaly class (of three, the hard anomaly). Shape: (n, 1, 2 or 3) -> (n,) in [0, 1] float32."""
    logits = two_way(logits).float()
    return torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)[:, 1]


def two_way(logits: Tensor) -> Tensor:
    """Logits of (no anomaly, anomaly) of three classes: (n, 3) -> (n, 2), the anomaly as probable; others unchanged."""
    if logits.shape[1] != OUTPUTS["suspicious"]:
        return logits
    return torch.stack([torch.logsumexp(logits[:, :2].float(), dim=1), logits[:, 2].float()], dim=1)


def sample_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each sample, from logits in float32; training weighs it, hard mining ranks by it. Shape: (n, 1
    or 2), (n,) of 0 and 1 -> (n,). Three classes take (n, 3) `fuzzy_targets`, or raise ValueError."""
    logits = logits.float()
    if logits.shape[1] == OUTPUTS["suspicious"]:
        if targets.shape != logits.shape:
            got = f"of shape {tuple(logits.shape)}, got {tuple(targets.shape)}"
            remedy = "make them with fuzzy_targets, or compare two_way(logits) with labels"
            raise ValueError(f"three classes take targets {got}; {remedy}")
        return functional.cross_entropy(logits, targets.float(), reduction="none")
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.float(), reduction="none")
    return functional.cross_entropy(logits, targets.long(), reduction="none")


def fuzzy_targets(labels: Tensor, suspicion: Tensor) -> Tensor:
    """Memberships of (normal, suspicious, anomaly), which sum to 1. Shape: (n,), (n,) -> (n, 3), float32. A hard
    anomaly is one wholly; of others `suspicion` is suspicious, the rest normal (our reading of section 6)."""
    hard = (labels == 1).float()
    suspicious = (1 - hard) * suspicion.float()
    return torch.stack([1 - hard - suspicious, suspicious, hard], dim=1)
