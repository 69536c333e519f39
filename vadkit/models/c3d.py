"""C3D: eight convolutions (Tran et al. 2015, "Learning Spatiotemporal Features with 3D Convolutional Networks").

Layers are named as in the widespread PyTorch form of the Sports-1M weights. fc6, fc7 and fc8 are not part of the
network: the paper (section 4.5) puts its own head on the maps after pool5, flattened, as the released code does.
"""

import re

import torch
from torch import nn
from torch.nn import functional

CHANNELS = {
    "conv1": 64, "conv2": 128, "conv3a": 256, "conv3b": 256,
    "conv4a": 512, "conv4b": 512, "conv5a": 512, "conv5b": 512,
}  # fmt: skip
_POOLED_AFTER = {"conv1": (1, 2, 2), "conv2": 2, "conv3b": 2, "conv4b": 2}  # pool1 keeps time


class C3D(nn.Module):
    """C3D up to its last pooling.

    `features`: (n, 3, T, S, S) -> (n, 512 * width, T/8, S/16, S/16), the maps of conv5b; `forward`: -> (n, D), those
    maps after pool5, flattened: 8192 numbers for 16 frames of 112 px at full width. `target_layer` sees the maps
    unchanged: hook it for Grad-CAM. Raises ValueError where clips are shorter or smaller than five poolings.
    """

    # What the Sports-1M file holds beside the convolutions, for 16 frames of 112x112 px.
    CLASSIFIER = {
        "fc6.weight": (4096, 8192), "fc6.bias": (4096,),
        "fc7.weight": (4096, 4096), "fc7.bias": (4096,),
        "fc8.weight": (487, 4096), "fc8.bias": (487,),
    }  # fmt: skip

    def __init__(self, width: float = 1.0, size: int = 112, frames: int = 16):
        super().__init__()
        time, side = frames // 16, (size // 16) // 2 + 1  # pool5 pads height and width by one
        if time < 1 or size < 16:
            raise ValueError(f"C3D needs clips of at least 16 frames of 16 px, got {frames} frames of {size} px")
        self.channels = 3  # in the end those of the last maps
        for name, channels in CHANNELS.items():
            before, self.channels = self.channels, scaled(channels, width)
            self.add_module(name, nn.Conv3d(before, self.channels, 3, padding=1))
        self.feature_dim = self.channels * time * side * side
        self.target_layer = nn.Identity()

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        maps = clips
        for name in CHANNELS:
            maps = getattr(self, name)(maps)
            if name in _POOLED_AFTER:
                maps = functional.max_pool3d(maps, _POOLED_AFTER[name])
            maps = functional.relu(maps)  # after a pooling: the same numbers, on an eighth of them
        return self.target_layer(maps)

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """pool5 of those maps, flattened. Shape: -> (n, D)."""
        return functional.max_pool3d(maps, 2, padding=(0, 1, 1)).flatten(1)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.pooled(self.features(clips))


def scaled(channels: int, width: float) -> int:
    """A share of a published layer's channels, at least one; of all 3D networks."""
    return max(1, round(channels * width))


def from_openmmlab(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names above for the tensors of OpenMMLab's file, which calls them conv1a.conv.weight and has no fc8."""
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix("backbone.").replace(".conv.", ".")
        renamed[re.sub(r"^(conv[12])a\.", r"\1.", name)] = value
    return renamed
