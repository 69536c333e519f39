"""3D ResNeXt-101 (Hara et al. 2018, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?").

Layers are named as in the widespread PyTorch file of Kinetics weights: cardinality 32, shortcuts of type B (a
1x1x1 convolution where shapes change), 16 frames of 112x112 px.
"""

import torch
from torch import nn
from torch.nn import functional

from vadkit.models.c3d import scaled

BLOCKS = (3, 4, 23, 3)
CARDINALITY = 32
PLANES = (128, 256, 512, 1024)  # channels inside the blocks of each layer; their output has twice as many
EXPANSION = 2


class ResNeXt3D(nn.Module):
    """ResNeXt-101 over clips, without its classifier.

    `features`: (n, 3, T, S, S) -> (n, 2048 * width, T/16, S/32, S/32), rounded up, the maps of layer4; `forward`: ->
    (n, D), their mean over time and space. `target_layer` sees the maps unchanged: hook it for Grad-CAM. A narrower
    network keeps the 32 groups, so its channels are multiples of 32.
    """

    # What the Kinetics file holds beside the features: the 400 classes.
    CLASSIFIER = {"fc.weight": (400, 2048), "fc.bias": (400,)}

    def __init__(self, width: float = 1.0):
        super().__init__()
        before = scaled(64, width)
        self.conv1 = nn.Conv3d(3, before, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(before)
        for number, (blocks, planes) in enumerate(zip(BLOCKS, PLANES, strict=True), 1):
            inner = CARDINALITY * scaled(planes // CARDINALITY, width)
            made = [_Block(before, inner, stride=1 if number == 1 else 2)]
            before = inner * EXPANSION
            made += [_Block(before, inner) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*made))
        self.feature_dim = before
        self.target_layer = nn.Identity()

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        maps = functional.relu(self.bn1(self.conv1(clips)))
        maps = functional.max_pool3d(maps, 3, stride=2, padding=1)
        return self.target_layer(self.layer4(self.layer3(self.layer2(self.layer1(maps)))))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.features(clips).mean(dim=(2, 3, 4))


class _Block(nn.Module):
    """1x1x1, grouped 3x3x3, 1x1x1, and the shortcut."""

    def __init__(self, before: int, inner: int, stride: int = 1):
        super().__init__()
        after = inner * EXPANSION
        self.conv1, self.bn1 = nn.Conv3d(before, inner, 1, bias=False), nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, 3, stride, padding=1, groups=CARDINALITY, bias=False)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3, self.bn3 = nn.Conv3d(inner, after, 1, bias=False), nn.BatchNorm3d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=False), nn.BatchNorm3d(after))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out = functional.relu(self.bn1(self.conv1(maps)))
        out = functional.relu(self.bn2(self.conv2(out)))
        return functional.relu(self.bn3(self.conv3(out)) + shortcut)
