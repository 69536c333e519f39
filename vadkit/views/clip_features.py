"""Features of clips from 3D networks: each network sees each clip once, and the cache remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.code import code_version
from vadkit.core.compute import device_of, each, one_thread
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.views.clips import Clips

if TYPE_CHECKING:
    from vadkit.models.network import Network


BATCH = {"c3d": 8}  # clips; of all other networks 16, which halves their time


def clip_features(clips: Clips, stream: str, network: Network, config: Config) -> np.ndarray:
    """A frozen network's features of every clip of a video. Shape: -> (n, D) float16, read-only, memory-mapped from the cache.

    Computed first where they are missing. A clip's features do not depend on what else is extracted.
    """
    folder = Store(config.cache_dir).fetch(
        "clip_features",
        _key(clips, stream, network, config),
        lambda scratch: _build(clips, stream, network, config, scratch),
    )
    return np.load(folder / "features.npy", mmap_mode="r")


def extract_clip_features(
    clips: Sequence[Clips], networks: Mapping[str, Network], config: Config, progress: Progress | None = None
) -> None:
    """Fill the cache with the features of many videos, in config.workers processes of one thread each; on a GPU, in this process."""
    store = Store(config.cache_dir)
    tasks = [(one, stream, network) for stream, network in networks.items() for one in clips]
    missing = [task for task in tasks if not store.has("clip_features", _key(*task, config))]
    done = len(tasks) - len(missing)
    workers = config.workers if device_of(config) == "cpu" else 1
    for what in each(_compute, [(*task, config) for task in missing], workers):
        done += 1
        if progress is not None:
            progress(done, len(tasks), what)


def _compute(clips: Clips, stream: str, network: Network, config: Config) -> str:
    clip_features(clips, stream, network, config)
    return f"{network.name} on clips of {clips.video.name}"


def _key(clips: Clips, stream: str, network: Network, config: Config) -> dict:
    return {
        "clips": clips.digest,
        "stream": stream,
        "network": [network.name, network.digest, network.width, network.size],
        "device": device_of(config),  # a GPU rounds differently
        "code": code_version(__name__),
    }


def _build(clips: Clips, stream: str, network: Network, config: Config, folder: Path) -> None:
    import torch

    device, size = device_of(config), BATCH.get(network.name, 16)
    module = _module(network, device)
    _, first, which = np.unique(
        clips.shown, return_index=True, return_inverse=True
    )  # each clip once, however many rows show it
    features = np.empty((len(first), module.feature_dim), np.float16)
    with torch.inference_mode(), one_thread():
        for start in range(0, len(first), size):
            part = slice(start, start + size)
            features[part] = module(network.preprocess(clips.images(stream, first[part])).to(device)).cpu().numpy()
    if not np.isfinite(features).all():
        raise FloatingPointError(
            f"{clips.video.name}: {network.name} gave features that are not finite in half precision; its weights do not fit this preprocessing"
        )
    np.save(folder / "features.npy", features[which])


@lru_cache(maxsize=2)
def _module(network: Network, device: str):
    return network.build(device)
