"""Networks of images without their classifiers: images to pooled features, by way of maps that Grad-CAM looks at."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Backbone(nn.Module):
    """EfficientNet-Lite or one of torchvision's ResNets, up to its last convolution block.

    `features`: (n, 3, S, S) -> (n, D, h, w), its maps; `forward`: -> (n, D), their mean over space (paper 3.2).
    `target_layer` sees the maps unchanged: hook it for Grad-CAM.
    """

    def __init__(self, whole: nn.Module):
        super().__init__()
        self.lite = hasattr(whole, "extract_features")
        self.feature_dim = (whole._fc if self.lite else whole.fc).in_features
        if self.lite:
            whole._fc = nn.Identity()
        self.body = whole if self.lite else nn.Sequential(*list(whole.children())[:-2])  # no pooling, no classes
        self.target_layer = nn.Identity()

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.target_layer(self.body.extract_features(images) if self.lite else self.body(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images).mean(dim=(2, 3))


def fused(network: nn.Module) -> nn.Module:
    """A copy of a frozen network with batch normalisation folded into the convolutions before it: the same features
    (to 1e-4 of their size) for a third less time (EfficientNet-Lite0; ResNet-18 a seventh). For evaluation only."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        children = list(module.named_children())
        for (first, conv), (second, norm) in zip(children[:-1], children[1:], strict=True):
            # in all our networks, one that follows a convolution is fed by it
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())
    return network
