"""Features of views: each pretrained network sees each image or clip once, and the cache remembers."""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vadkit.core.code import code_version
from vadkit.core.compute import device_of, one_thread
from vadkit.core.config import Config
from vadkit.core.processes import cluster_of, each
from vadkit.core.store import Store
from vadkit.models.engine import CALIBRATED, PROBED, frozen
from vadkit.models.network import Network
from vadkit.views.view import View

IMAGES_AT_ONCE = 32  # more is not faster on a CPU
CLIPS_AT_ONCE = {"c3d": 8}  # of all other networks 16, which halves their time
WORTH_PROCESSES = 200  # images; fewer take less time than processes take to start
ROWS_AT_ONCE = 5_000  # of a longer view, parts are seen side by side; half an hour at three a second
WORTH_EXPORT = 1500  # images or clips; fewer are seen by torch before a network is exported


def features_of(view: View, stream: str, network: Network, config: Config) -> np.ndarray:
    """A frozen network's features of every row of a view, computed where the cache lacks them.

    Shape: -> (n, D) float16, read-only. Batches never mix videos: features do not depend on what else is extracted.
    """
    entries = [_entry(view, stream, network, config, part) for part in _parts(view)]
    found = [np.load(entry / "features.npy", mmap_mode="r") for entry in entries]
    if len(found) == 1:
        return found[0]
    whole = np.concatenate(found)
    whole.flags.writeable = False
    return whole


def extract_features(views: Sequence[View], networks: Mapping[str, Network], config: Config, progress=None) -> None:
    """Fill the cache with the features of many videos, by the network of each stream; progress over both.

    In config.workers processes of one thread each, which waste less than threads that wait; on a GPU, in threads of
    this process: one decodes images while it looks at another's.
    """
    store, progress = Store(config.cache_dir), progress or (lambda *_: None)
    tasks = [
        (one, stream, network, config, part)
        for stream, network in networks.items()
        for one in views
        for part in _parts(one)
    ]
    missing = [task for task in tasks if not store.has("features", _key(*task))]
    done = len(tasks) - len(missing)
    if done:
        progress(done, len(tasks), "features in the cache")
    of_images = all(network.width is None for network in networks.values())
    on_gpu = device_of(config) == "cuda"
    to_see = sum(stop - start for *_, (start, stop) in missing)
    worth = on_gpu or not of_images or to_see >= WORTH_PROCESSES
    for network in dict.fromkeys(networks.values()) if missing else ():
        streams = [stream for stream, one in networks.items() if one == network]
        if on_gpu or network.engine or to_see >= WORTH_EXPORT:  # before processes or threads ask for it
            frozen(network, config, network.preprocess(_some_of(views, streams, network)), True)
    missing.sort(key=lambda task: task[-1][0] - task[-1][1])
    place = (config.workers, cluster_of(config)) if worth else (1,)
    for what in each(_compute, missing, *place, threads=on_gpu):
        done += 1
        progress(done, len(tasks), what)


def _some_of(views: Sequence[View], streams: Sequence[str], network: Network) -> np.ndarray:
    """Images or clips of a network's streams, spread over all videos: enough to hold an engine against torch, or to
    take int8's ranges from."""
    rows = [(view, row) for view in views for row in range(len(view))]
    count = min((CALIBRATED if network.engine else PROBED) // len(streams), len(rows))
    chosen = [rows[n] for n in np.linspace(0, len(rows) - 1, count).round().astype(int)]
    return np.concatenate([view.images(stream, [row]) for stream in streams for view, row in chosen])


def _parts(view: View) -> list[tuple[int, int]]:
    """Rows from and to which a view's features are one entry."""
    count = max(1, round(len(view) / ROWS_AT_ONCE))
    edges = np.linspace(0, len(view), count + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))


def _compute(view: View, stream: str, network: Network, config: Config, part: tuple[int, int]) -> str:
    _entry(view, stream, network, config, part)
    return f"{network.name} on {stream} of {view.video.name}"


def _entry(view: View, stream: str, network: Network, config: Config, part: tuple[int, int]) -> Path:
    """The entry of some rows' features, made where it is missing."""
    key = _key(view, stream, network, config, part)
    return Store(config.cache_dir).fetch("features", key, partial(_build, view, stream, network, config, part))


def _key(view: View, stream: str, network: Network, config: Config, part: tuple[int, int]) -> dict:
    of_long = {"rows": list(part)} if part != (0, len(view)) else {}
    return of_long | {
        "view": view.digest,
        "stream": stream,
        "network": [network.name, network.digest, network.width, network.size, network.engine],
        "device": device_of(config),  # a GPU rounds differently
        "code": code_version(__name__),
    }


def _build(view: View, stream: str, network: Network, config: Config, part: tuple[int, int], folder: Path) -> None:
    size = IMAGES_AT_ONCE if network.width is None else CLIPS_AT_ONCE.get(network.name, 16)
    # each image once, however many rows show it
    _, first, which = np.unique(view.shown[slice(*part)], return_index=True, return_inverse=True)
    features = []
    with torch.inference_mode(), one_thread() if device_of(config) == "cpu" else nullcontext():
        for start in range(0, len(first), size):
            batch = network.preprocess(view.images(stream, part[0] + first[start : start + size]))
            features.append(frozen(network, config, batch)(batch).cpu().numpy().astype(np.float16))
    features = np.concatenate(features)
    if not np.isfinite(features).all():
        what = f"{network.name} gave features that are not finite in half precision"
        raise FloatingPointError(f"{view.video.name}: {what}; its weights do not fit this preprocessing")
    np.save(folder / "features.npy", features[which])
