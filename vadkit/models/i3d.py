"""I3D: Inception-v1 inflated to three dimensions (Carreira and Zisserman 2017, "Quo Vadis, Action Recognition?").

Layers are named as in the widespread PyTorch form of DeepMind's Kinetics weights, one file for RGB and one for
optical flow. Convolutions and poolings pad as TensorFlow's "same" does, by the input's size, with the odd row,
column or frame at the end: the weights were trained so.
"""

import torch
from torch import nn
from torch.nn import functional

from vadkit.models.c3d import scaled

# name: channels of (1x1x1; 1x1x1 -> 3x3x3; 1x1x1 -> 3x3x3; pool -> 1x1x1), the paper's figure 3 and GoogLeNet's table 1
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# (kernel, stride) of the pooling before a layer
_POOLS = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)), "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}  # fmt: skip


class I3D(nn.Module):
    """Inception I3D without its classifier. channels: 3 for RGB, 2 for flow (dx, dy).

    `features`: (n, channels, T, S, S) -> (n, 1024 * width, T/8, S/32, S/32), rounded up, the maps of Mixed_5c;
    `forward`: -> (n, D), their mean over time and space. `target_layer` sees the maps unchanged: hook it for Grad-CAM.
    """

    # What the Kinetics files hold beside the features: the 400 classes.
    CLASSIFIER = {"logits.conv3d.weight": (400, 1024, 1, 1, 1), "logits.conv3d.bias": (400,)}

    def __init__(self, width: float = 1.0, channels: int = 3):
        super().__init__()
        first, before = scaled(64, width), scaled(192, width)
        self.Conv3d_1a_7x7 = _Unit(channels, first, 7, 2)
        self.Conv3d_2b_1x1 = _Unit(first, first, 1)
        self.Conv3d_2c_3x3 = _Unit(first, before, 3)
        for name, sizes in MIXED.items():
            layer = _Mixed(before, [scaled(size, width) for size in sizes])
            self.add_module(name, layer)
            before = layer.channels
        self.feature_dim = before
        self.target_layer = nn.Identity()

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        maps = clips
        for name, layer in self.named_children():  # in their order above
            maps = layer(_pool(maps, *_POOLS[name]) if name in _POOLS else maps)
        return maps

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.features(clips).mean(dim=(2, 3, 4))


class _Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, before: int, channels: int, kernel: int, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        # at stride 1 an odd kernel's "same" padding is even on both sides, whatever the size
        self.conv3d = nn.Conv3d(before, channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0, bias=False)
        self.bn = nn.BatchNorm3d(channels, eps=1e-3)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self.stride != (1, 1, 1):
            maps = functional.pad(maps, same_padding(maps.shape[2:], self.kernel, self.stride))
        return functional.relu(self.bn(self.conv3d(maps)))


class _Mixed(nn.Module):
    """An inception module: four branches, side by side."""

    def __init__(self, before: int, sizes: list[int]):
        super().__init__()
        one, reduced_a, a, reduced_b, b, pooled = sizes
        self.b0 = _Unit(before, one, 1)
        self.b1a, self.b1b = _Unit(before, reduced_a, 1), _Unit(reduced_a, a, 3)
        self.b2a, self.b2b = _Unit(before, reduced_b, 1), _Unit(reduced_b, b, 3)
        self.b3b = _Unit(before, pooled, 1)
        self.channels = one + a + b + pooled

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        pooled = _pool(maps, (3, 3, 3), (1, 1, 1))
        branches = self.b0(maps), self.b1b(self.b1a(maps)), self.b2b(self.b2a(maps)), self.b3b(pooled)
        return torch.cat(branches, dim=1)


def _pool(maps: torch.Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> torch.Tensor:
    # zeros at the border: the maps come from a ReLU, so a zero never wins over what is there
    return functional.max_pool3d(functional.pad(maps, same_padding(maps.shape[2:], kernel, stride)), kernel, stride)


def same_padding(sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> list[int]:
    """TensorFlow's "same" padding, for outputs of ceil(size / stride), in the order of torch.nn.functional.pad."""
    padding: list[int] = []
    for size, k, s in zip(reversed(sizes), reversed(kernel), reversed(stride), strict=True):
        total = max(k - s if size % s == 0 else k - size % s, 0)
        padding += [total // 2, total - total // 2]
    return padding
