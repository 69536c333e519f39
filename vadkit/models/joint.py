"""The second paper's first experiment (section V.A): an LSTM with residual connections, attention, and both with a
class.

The paper gives three names and no sizes. The names are those of code released with Majhi et al. 2021, "Weakly-
supervised joint anomaly detection and classification", so its plan is followed: an LSTM whose output meets its input
again, an attention over the segments of a video, a score a segment, and a class read from the segments that both point
at. There attention is a dense layer over 32 places and multiplies the features; here a segment's weight comes from its
own content and weighs its score where the video's score is formed, which is what a label of the video can teach (our
reading, after Ilse et al. 2018). There the LSTM's output is put beside its input, here it is added.

All take features (batch, n, D) and a bool mask (batch, n), true where a segment is real; real ones come first. What is
behind them, whatever it holds, changes nothing. All raise ValueError for shapes or masks that do not fit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vadkit.models.mil import bag_scores, check_mask

NAMES = ("LSTM", "attention", "joint")


class Output(NamedTuple):
    """scores (batch, n) of segments in [0, 1], 0 where padded; videos (batch,) in [0, 1], what a label of the video
    teaches.

    attention: (batch, n), summing to 1 over a video; None without one. classes: (batch, classes) logits; None for
    models of detection alone.
    """

    scores: Tensor
    videos: Tensor
    attention: Tensor | None = None
    classes: Tensor | None = None


def build_model(name: str, feature_dim: int, classes: int = 2, *, top_k: int = 3, **parts: Any) -> nn.Module:
    """One of `NAMES`, with PyTorch's initial weights.

    classes: of videos, the normal one among them; for the joint model. top_k: for the LSTM. parts: streams, width and
    dropout, as all of them take. Raises ValueError for another name.
    """
    if name == "LSTM":
        return SegmentLSTM(feature_dim, top_k=top_k, **parts)
    if name == "attention":
        return SegmentAttention(feature_dim, **parts)
    if name == "joint":
        return JointModel(feature_dim, classes, **parts)
    raise ValueError(f"model must be one of {', '.join(NAMES)}, got '{name}'")


class SegmentLSTM(nn.Module):
    """A score a segment from an LSTM over the segments so far, added to the segment's own features.

    Shape: (batch, n, D), (batch, n) -> Output. A video's score is the mean of its top_k largest. Looks at no later
    segment, so that it can run on a camera.
    """

    def __init__(self, feature_dim: int, *, streams: int = 1, width: int = 64, dropout: float = 0.5, top_k: int = 3):
        super().__init__()
        self.top_k = top_k
        self.encoder = _Encoder(feature_dim, streams, width, dropout)
        self.memory = _ResidualLSTM(width)
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, features: Tensor, mask: Tensor) -> Output:
        scores = _scores(self.score(self.memory(self.encoder(features, mask))), mask)
        return Output(scores, bag_scores(scores, self.top_k, mask))


class SegmentAttention(nn.Module):
    """A score a segment by itself; a video's score is their mean, weighted by attention.

    Shape: (batch, n, D), (batch, n) -> Output. Without an order: segments may come in any.
    """

    def __init__(self, feature_dim: int, *, streams: int = 1, width: int = 64, dropout: float = 0.5):
        super().__init__()
        self.encoder = _Encoder(feature_dim, streams, width, dropout)
        self.attention = _Attention(width)
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, features: Tensor, mask: Tensor) -> Output:
        encoded = self.encoder(features, mask)
        scores, attention = _scores(self.score(encoded), mask), self.attention(encoded, mask)
        return Output(scores, (attention * scores).sum(dim=1), attention)


class JointModel(nn.Module):
    """A score a segment and the class of the video: LSTM and attention as above, then detection, then the class.

    Shape: (batch, n, D), (batch, n) -> Output with (batch, classes) logits. The class sees the mean of the segments,
    weighted by attention *times* detection score: it is read where the anomaly is. Raises ValueError for fewer than two
    classes.
    """

    def __init__(self, feature_dim: int, classes: int, *, streams: int = 1, width: int = 64, dropout: float = 0.5):
        super().__init__()
        if classes < 2:
            raise ValueError(f"a class needs another one to be told from, got {classes} classes")
        self.encoder = _Encoder(feature_dim, streams, width, dropout)
        self.memory = _ResidualLSTM(width)
        self.attention = _Attention(width)
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))

    def forward(self, features: Tensor, mask: Tensor) -> Output:
        remembered = self.memory(self.encoder(features, mask))
        scores, attention = _scores(self.score(remembered), mask), self.attention(remembered, mask)
        share = attention * scores
        videos = share.sum(dim=1)
        focus = share / videos.clamp_min(1e-12)[:, None]
        return Output(scores, videos, focus, self.classify((focus[..., None] * remembered).sum(dim=1)))


class _Encoder(nn.Module):
    """Each stream's features brought to one length, and into `width` numbers; zeros where padded.

    That length is the root of their number, so that one is near 1 whatever the network gives; at length 1, as the
    Learner has them, Adam spends most epochs on finding the scale.
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


class _ResidualLSTM(nn.Module):
    """x + LSTM(x), forwards in time: padding comes after all that is real, and is never seen before it."""

    def __init__(self, width: int):
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lstm(x)[0]


class _Attention(nn.Module):
    """Weights over the real segments of each video. Shape: (batch, n, width), (batch, n) -> (batch, n), summing to 1.

    A small network rates each segment by itself (additive attention, as Ilse et al. 2018 pool bags of any size).
    """

    def __init__(self, width: int):
        super().__init__()
        self.rate = nn.Sequential(nn.Linear(width, width // 2 or 1), nn.Tanh(), nn.Linear(width // 2 or 1, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.rate(x).squeeze(-1).masked_fill(~mask, -torch.inf).softmax(dim=1)


def _scores(logits: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, logits.squeeze(-1).sigmoid(), 0.0)
