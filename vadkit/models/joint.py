"""The second paper's first experiment (section V.A): an LSTM with residual connections, attention, both with a class.

The paper gives three names and no sizes. The plan is that of code released with Majhi et al. 2021, "Weakly-supervised
joint anomaly detection and classification", which has these names; `docs/reproduction.md` tells where this differs.

All take features (batch, n, D) and a bool mask (batch, n), true where a segment is real; real ones come first. What is
behind them, whatever it holds, changes nothing. All raise ValueError for shapes or masks that do not fit.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vadkit.models.mil import bag_scores, check_mask

NAMES = ("LSTM", "attention", "joint")


class Output(NamedTuple):
    """scores: (batch, n) of segments in [0, 1], 0 where padded; videos: (batch,) in [0, 1], that a label can teach.
    attention: (batch, n), 1 in sum; None without one. classes: (batch, classes) logits; None for detection alone."""

    scores: Tensor
    videos: Tensor
    attention: Tensor | None = None
    classes: Tensor | None = None


class SequenceModel(nn.Module):
    """A score a segment. Shape: (batch, n, D), (batch, n) -> Output.

    name: of `NAMES`. "LSTM" scores a segment by what an LSTM makes of the segments so far, added to the segment's own
    features; a video's score is the mean of its top_k largest. It looks at no later segment, so that it can run on a
    camera. "attention" scores a segment by itself, in any order; a video's score is their mean, weighted by attention.
    "joint" has both, and (batch, classes) logits of the video: the class sees the mean of the segments, weighted by
    attention *times* detection score, for it is read where the anomaly is. classes: the normal one among them. Raises
    ValueError for another name, and for a joint model of fewer than two classes.
    """

    def __init__(self, name: str, feature_dim: int, classes=2, *, streams=1, width=64, dropout=0.5, top_k=3):
        super().__init__()
        if name not in NAMES:
            raise ValueError(f"model must be one of {', '.join(NAMES)}, got '{name}'")
        if name == "joint" and classes < 2:
            raise ValueError(f"a class needs another one to be told from, got {classes} classes")
        self.top_k = top_k
        self.encoder = _Encoder(feature_dim, streams, width, dropout)
        self.memory = None if name == "attention" else nn.LSTM(width, width, batch_first=True)
        self.attention = None if name == "LSTM" else _Attention(width)
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes)) if name == "joint" else None

    def forward(self, features: Tensor, mask: Tensor) -> Output:
        seen = self.encoder(features, mask)
        if self.memory is not None:  # forwards in time: padding comes after all that is real, and is never seen before
            seen = seen + self.memory(seen)[0]
        scores = torch.where(mask, self.score(seen).squeeze(-1).sigmoid(), 0.0)
        if self.attention is None:
            return Output(scores, bag_scores(scores, self.top_k, mask))
        attention = self.attention(seen, mask)
        share = attention * scores
        videos = share.sum(dim=1)
        if self.classify is None:
            return Output(scores, videos, attention)
        focus = share / videos.clamp_min(1e-12)[:, None]
        return Output(scores, videos, focus, self.classify((focus[..., None] * seen).sum(dim=1)))


class _Encoder(nn.Module):
    """Each stream's features brought to one length, and into `width` numbers; zeros where padded.

    That length is the root of their number, so that one is near 1 whatever the network gives: at length 1 Adam spends
    most epochs on finding the scale.
    """

    def __init__(self, feature_dim: int, streams: int, width: int, dropout: float):
        super().__init__()
        if feature_dim % streams:
            raise ValueError(f"{feature_dim} features cannot be {streams} streams of equal width")
        self.feature_dim, self.streams, self.length = feature_dim, streams, (feature_dim / streams) ** 0.5
        self.layers = nn.Sequential(nn.Linear(feature_dim, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        if features.ndim != 3 or features.shape[-1] != self.feature_dim:
            shape = f"(batch, segments, {self.feature_dim})"
            raise ValueError(f"expected features of shape {shape}, got {tuple(features.shape)}")
        check_mask(mask, features[:, :, 0])
        if not mask[:, :1].all() or (mask[:, 1:] & ~mask[:, :-1]).any():
            wanted = "real segments first and at least one in every video"
            raise ValueError(f"expected {wanted}, got a mask with a gap or an empty video")
        real = torch.where(mask[..., None], features.float(), 0.0)  # whatever padding holds, NaN included
        even = self.length * nn.functional.normalize(real.unflatten(-1, (self.streams, -1)), dim=-1).flatten(-2)
        return torch.where(mask[..., None], self.layers(even), 0.0)


class _Attention(nn.Module):
    """Weights over a video's real segments, (batch, n), 1 in sum: additive attention, as Ilse et al. 2018 pool bags."""

    def __init__(self, width: int):
        super().__init__()
        self.rate = nn.Sequential(nn.Linear(width, width // 2 or 1), nn.Tanh(), nn.Linear(width // 2 or 1, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.rate(x).squeeze(-1).masked_fill(~mask, -torch.inf).softmax(dim=1)
