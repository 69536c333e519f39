"""Grad-CAM's maps of a trained network of frames or clips: which place speaks for "anomalous".

Source: section 5.5 of the first paper; Selvaraju et al. 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor, nn

from vadkit.models.network import as_tensors
from vadkit.models.two_stream import TwoStream, confidence, two_way
from vadkit.systems.scorer import Scorer

WHOLE = (0.0, 0.0, 1.0, 1.0)
GRID = (160, 120)  # width and height on which the maps of all streams are added
HALF = 0.5  # of the largest value: what is above it, around the peak, is the place


class OneStream(nn.Module):
    """A trained network as a function of the last maps of one stream; the other streams' and the bags are held fixed.

    Shape: (n, D, h, w), of 3D networks (n, D, t, h, w), -> (n, 1), the logit of "anomalous"; of two or three classes
    that of the anomaly against the rest, which is the same quantity. maps: those of every stream.
    """

    def __init__(self, model: TwoStream, stream: int, maps: Sequence[Tensor], bags: Tensor | None):
        super().__init__()
        self.model, self.stream, self.bags, self.target_layer = model, stream, bags, nn.Identity()
        self.pooled = [_pooled(backbone, one) for backbone, one in zip(model.backbones, maps, strict=True)]

    def forward(self, maps: Tensor) -> Tensor:
        features = list(self.pooled)
        features[self.stream] = _pooled(self.model.backbones[self.stream], self.target_layer(maps))
        logits = two_way(self.model.head(torch.cat(features, dim=1), self.bags))
        return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]


def _pooled(backbone: nn.Module, maps: Tensor) -> Tensor:
    """What the head sees of a backbone's last maps: their mean, but for C3D, which flattens them after a pooling."""
    return backbone.pooled(maps) if hasattr(backbone, "pooled") else maps.flatten(2).mean(dim=2)


class _Remembers:
    """Keeps a method's sum of maps, (n, h, w) or (n, t, h, w); the package takes each map's minimum off it."""

    def get_cam_image(self, *args, **kwargs) -> np.ndarray:
        self.weighted = super().get_cam_image(*args, **kwargs)
        return self.weighted


def heat_maps(
    scorer: Scorer, images: Mapping[str, np.ndarray], bags: np.ndarray | None = None, method: type[BaseCAM] = GradCAM
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Grad-CAM of the last convolution block of each stream, for the logit of "anomalous", and the confidences.

    Shape: (n, S, S, 3) uint8 RGB for each of the scorer's streams, of clips (n, T, S, S, 3); (n, 80) -> (n, h, w)
    float32 a stream, of clips the map of the last moment; (n,). A map is divided by its largest value, and keeps its
    floor. method: another one of `pytorch_grad_cam`, such as HiResCAM. Raises KeyError for a stream without images.
    Source: section 5.5; Selvaraju et al. 2017.
    """
    remembering = type("Remembering", (_Remembers, method), {})
    model, device = scorer.model, next(scorer.model.parameters()).device
    tensors = as_tensors(scorer.networks, images, device)
    with torch.no_grad():  # the gradient is wanted at the last maps and no further back
        maps = [backbone.features(one) for backbone, one in zip(model.backbones, tensors, strict=True)]
    held = None if bags is None else torch.as_tensor(bags, device=device)
    found = {}
    for number, name in enumerate(scorer.networks):
        network = OneStream(model, number, maps, held)
        cam = remembering(network, [network.target_layer])  # not in a `with`: its exit hides IndexError
        try:
            cam(maps[number].clone().requires_grad_(), targets=[lambda output: output[0]] * len(maps[number]))
            logits = cam.outputs.detach()
        finally:
            cam.activations_and_grads.release()
            model.zero_grad(set_to_none=True)
        heat = np.maximum(cam.weighted if cam.weighted.ndim == 3 else cam.weighted[:, -1], 0)
        found[name] = (heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12)).astype(np.float32)
    return found, confidence(logits).cpu().numpy()


def place_of(
    scorer: Scorer, images: Mapping[str, np.ndarray], bag: np.ndarray, seen: Mapping[str, Sequence[float]], size
) -> tuple[float, ...] | None:
    """The box, x1, y1, x2, y2 in pixels, where a row speaks most for an anomaly; None where nothing does.

    Around the peak of the streams' mean map, what is above half of it (our reading). images: as of one row; bag: (1,
    80); seen: by stream, the part of the frame that its image shows, all by default; size: width, height of the frame.
    """
    bags = bag if scorer.system.bag else None
    heat, _ = heat_maps(scorer, {name: image[None] for name, image in images.items()}, bags)
    total = np.zeros(GRID[::-1], np.float32)
    for stream, maps in heat.items():
        edges = zip(seen.get(stream, WHOLE), GRID * 2, strict=True)
        left, top, right, bottom = (round(share * side) for share, side in edges)
        total[top:bottom, left:right] += cv2.resize(maps[0], (right - left, bottom - top))
    if total.max() <= 0:
        return None
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(np.uint8(total >= HALF * total.max()))
    x, y, width, height, _ = boxes[parts.flat[total.argmax()]]
    across, down = size[0] / GRID[0], size[1] / GRID[1]
    return x * across, y * down, (x + width) * across, (y + height) * down
