"""Pooled features of samples: each backbone sees each image once, and the cache remembers.

Phase one of training, and every frozen-backbone comparison, needs nothing else of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.code import code_version
from vadkit.core.compute import device_of, each, one_thread
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.views.streams import STREAMS

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.views.frames import Samples


BATCH = 32  # images; more is not faster on a CPU
WORTH_PROCESSES = 200  # images; fewer take less time than processes take to start


def pooled(samples: Samples, stream: str, config: Config, flip: bool = False) -> np.ndarray:
    """Backbone features of every row of a video's samples, average-pooled over space (paper 3.2).

    Shape: -> (n, D) float16, read-only, memory-mapped from the cache; computed first where it is missing. stream:
    one that the samples hold. flip: of the horizontally mirrored images; a mirrored flow image also has its horizontal
    direction reversed, so flip is refused for "flow" with ValueError. Batches never mix videos: a
    video's features do not depend on what else is extracted.
    """
    if stream not in STREAMS:
        raise ValueError(f"stream must be one of {', '.join(STREAMS)}, got '{stream}'")
    if flip and stream == "flow":
        raise ValueError(
            "a mirrored flow image is not the flow of a mirrored video: hue would name the wrong direction; use flip with stream 'frame'"
        )
    folder = Store(config.cache_dir).fetch(
        "features", _key(samples, stream, config, flip), lambda scratch: _build(samples, stream, config, flip, scratch)
    )
    return np.load(folder / "features.npy", mmap_mode="r")


def extract_features(
    samples: Sequence[Samples], streams: Sequence[str], config: Config, progress: Progress | None = None
) -> dict[str, list[np.ndarray]]:
    """Pooled features of many videos: stream -> one (n, D) float16 array per video, in order.

    What the cache lacks is computed in config.workers processes of one thread each, which waste less than threads
    that wait for each other; on a GPU, in this process. progress: progress(done, total, what), over videos and streams.
    """
    store = Store(config.cache_dir)
    tasks = [(one, stream) for stream in streams for one in samples]
    missing = [task for task in tasks if not store.has("features", _key(*task, config, False))]
    done = len(tasks) - len(missing)
    if progress is not None and done:
        progress(done, len(tasks), "features in the cache")
    worth = device_of(config) == "cpu" and sum(len(one) for one, _ in missing) >= WORTH_PROCESSES
    for what in each(_compute, [(*task, config) for task in missing], config.workers if worth else 1):
        done += 1
        if progress is not None:
            progress(done, len(tasks), what)
    return {stream: [pooled(one, stream, config) for one in samples] for stream in streams}


def _compute(samples: Samples, stream: str, config: Config) -> str:
    pooled(samples, stream, config)
    return f"{config.backbone} on {stream}s of {samples.video.name}"


def _key(samples: Samples, stream: str, config: Config, flip: bool) -> dict:
    from vadkit.models.pretrained import weights_digest

    return {
        "samples": samples.digest,
        "stream": stream,
        "flip": flip,
        "backbone": config.backbone,
        "weights": weights_digest(config.backbone, config.backbone_weights),
        "device": device_of(config),  # a GPU rounds differently
        "code": code_version(__name__),
    }


def _build(samples: Samples, stream: str, config: Config, flip: bool, folder: Path) -> None:
    import torch

    from vadkit.models.network import preprocess
    from vadkit.models.pretrained import weights_digest

    device = device_of(config)
    network = _network(
        config.backbone, config.backbone_weights, weights_digest(config.backbone, config.backbone_weights), device
    )
    features = np.empty((len(samples.index), network.feature_dim), np.float16)
    with torch.inference_mode(), one_thread():
        for start in range(0, len(features), BATCH):
            rows = np.arange(start, min(start + BATCH, len(features)))
            images = samples.images(stream, rows)
            batch = preprocess(images[:, :, ::-1] if flip else images, config.backbone)
            features[rows] = network(batch.to(device)).cpu().numpy()
    if not np.isfinite(features).all():
        raise FloatingPointError(
            f"{samples.video.name}: {config.backbone} gave features that are not finite in half precision; its weights do not fit this preprocessing"
        )
    np.save(folder / "features.npy", features)


@lru_cache(maxsize=2)
def _network(name: str, weights: str, content: str, device: str):
    """The network, built once; `content` tells a file that has changed since from the one that was loaded."""
    from vadkit.models.backbones import fused
    from vadkit.models.network import build_network

    return fused(build_network(name, weights, device=device))
