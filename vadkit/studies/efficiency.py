"""What a system costs: parameters, operations, time and memory of its network on one analysed frame, and the frames it
was trained on.

Measured on one thread of the CPU, each network in a process of its own, so that it does not depend on what the caller
holds. Decoding, optical flow and the detector are no part of the network: `vadkit.live.score` measures those.
"""

import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import product

import numpy as np
import pandas as pd
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from vadkit.core.compute import one_thread
from vadkit.core.config import SAMPLING_PRESETS, Config
from vadkit.core.errors import VadkitError
from vadkit.core.parameters import make_config
from vadkit.core.processes import follow
from vadkit.core.progress import Progress
from vadkit.models.engine import frozen
from vadkit.models.network import as_tensors
from vadkit.models.two_stream import TwoStream
from vadkit.report.rows import ResultRow, number_row
from vadkit.systems.base import all_systems, find_system
from vadkit.systems.record import FACTS, FOLDER, read_facts, read_record
from vadkit.systems.trainer import make_head
from vadkit.systems.two_stream import TwoStreamSystem
from vadkit.views.clips import Clips, plan_clips, positions_of
from vadkit.views.frames import Samples
from vadkit.views.sampling import plan, stride_frames

PAPER = "petrocchi2021"
REPEATS, LEAST_REPEATS, SECONDS = 25, 5, 4.0  # forward passes that are timed: so many, fewer where they take long
MIB = 2**20
MINED = "2S-bag-ha"  # stands for what hard mining takes in an epoch
CLIPS = "clips"  # the name of 3D networks' sampling, beside the presets' names
QUANTITIES = {  # by metric: its unit in a row, its heading on a page, decimals there
    "parameters": ("parameters", "parameters (M)", 2),
    "gflop_per_frame": ("GFLOP", "GFLOP a frame", 3),
    "ms_per_frame": ("ms", "ms a frame", 1),
    "peak_memory": ("MiB", "memory (MiB)", 0),
    "training_samples": ("samples", "trained on", 0),
    "training_anomalous": ("samples", "of these anomalous", 0),
    "epoch_samples": ("samples", "in an epoch", 0),
}


# --- what it costs -----------------------------------------------------------------------------------------------


def measure(config: Config, names: Sequence[str], progress: Progress | None = None) -> pd.DataFrame:
    """The cost of each system's network on one analysed frame, and `training_use`; a line for each system.

    gflop_per_frame: of convolutions and matrix products, an addition and a multiplication counted as two. ms_per_frame:
    processor time, median of `repeats` passes, preprocessing included. A clip counts for all frames that share it.
    peak_memory: growth of resident memory in MiB from before the network is built to after its first pass. reason: why
    nothing was measured; the numbers are NaN then. Raises ConfigError for an unknown system.
    """
    alike: dict[str, list[TwoStreamSystem]] = {}
    for name in names:
        system = find_system(name, config)
        network = json.dumps([system.needs(config), system.bag, system.suspicious])
        alike.setdefault(network, []).append(system)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    found = {}
    for done, group in enumerate(alike.values(), 1):
        with ProcessPoolExecutor(1, context, initializer=follow) as pool:
            try:
                cost = pool.submit(cost_or_reason, config, group[0]).result()
            except BrokenProcessPool:
                cost = {"reason": "the process that measured it was ended: too little memory, perhaps"}
        found |= {system.name: {"reason": ""} | cost | training_use(config, system.name) for system in group}
        if progress is not None:
            progress(done, len(alike), f"measuring {group[0].name}")
    return pd.DataFrame([found[name] for name in names], index=names, columns=[*QUANTITIES, "repeats", "reason"])


@one_thread()
def cost_of(config: Config, system: TwoStreamSystem) -> dict[str, float]:
    """`measure` in this process, on one thread, for one system: memory then counts from what is loaded already.

    Raises ConfigError or WeightsError where the network cannot be built.
    """
    before = psutil.Process().memory_info().rss
    config = config.model_copy(update={"device": "cpu"})
    inputs = system.inputs(config)
    modules = [network.build("cpu") for network in inputs.networks.values()]
    model = TwoStream(modules, make_head(config, system, sum(module.feature_dim for module in modules))).eval()
    parameters = sum(p.numel() for p in model.parameters())
    random, images = np.random.default_rng(0), {}
    for stream, network in inputs.networks.items():
        frames, side = ((), config.image_size) if network.size is None else ((config.clip_frames,), network.size)
        images[stream] = random.integers(0, 256, (1, *frames, side, side, 3), np.uint8)
    bags = torch.zeros(1, *model.head.bag_shape) if system.bag else None

    def decide() -> None:
        """As it is run: frozen streams by the inference engine, tuned ones by torch."""
        tensors = as_tensors(inputs.networks, images, "cpu")
        if config.finetune_epochs:
            model(tensors, bags)
            return
        pairs = zip(inputs.networks.values(), tensors, strict=True)
        model.head(torch.cat([frozen(network, config, one)(one) for network, one in pairs], dim=1), bags)

    with torch.no_grad():
        model(as_tensors(inputs.networks, images, "cpu"), bags)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        with FlopCounterMode(display=False) as counter:
            model(as_tensors(inputs.networks, images, "cpu"), bags)
        decide()
        seconds, until = [], time.monotonic() + SECONDS
        while len(seconds) < LEAST_REPEATS or (len(seconds) < REPEATS and time.monotonic() < until):
            started = time.process_time()  # of this one thread, so that other work on the machine does not count
            decide()
            seconds.append(time.process_time() - started)
    return {
        "parameters": parameters,
        "gflop_per_frame": counter.get_total_flops() / inputs.every / 1e9,  # so many frames share one pass
        "ms_per_frame": 1000 * statistics.median(seconds) / inputs.every,
        "peak_memory": max(peak - before, 0) / MIB,
        "repeats": len(seconds),
    }


def cost_or_reason(config: Config, system: TwoStreamSystem) -> dict:
    """`cost_of`; the `reason` alone where the network cannot be built or does not fit into memory."""
    try:
        return cost_of(make_config(config.model_dump()), system)  # which imports the plugins into this process
    except (VadkitError, RuntimeError, MemoryError) as error:
        return {"reason": str(error)}


# --- what it was trained on --------------------------------------------------------------------------------------


def trained_systems(config: Config) -> list[str]:
    """The first paper's systems that this profile has trained, by their records (`vadkit.systems.record`)."""
    known = [name for name, system in all_systems().items() if isinstance(system, TwoStreamSystem)]
    return [name for name in known if (config.output_dir / FOLDER / f"{name}.json").is_file()]


def training_use(config: Config, name: str) -> dict[str, float]:
    """The samples of a recorded system, from its models' own records: all, anomalous ones, those of the first epoch.

    Means over seeds and folds; nothing where there is no record, or the cache no longer has the models.
    """
    folder, facts = config.output_dir / FOLDER, []
    record = folder / f"{name}.json"
    for model in read_record(record, "run its notebook with --force")["models"] if record.is_file() else ():
        path = folder / model["path"]
        if (path / FACTS).is_file():
            one = read_facts(path, "training_samples")
            facts.append((one["training_samples"], one["training_anomalous"], one["history"][0]["samples"]))
    means = np.mean(facts, axis=0).tolist() if facts else ()
    return dict(zip(("training_samples", "training_anomalous", "epoch_samples"), means, strict=False))


def sampling_shares(config: Config, videos: Sequence[Samples | Clips]) -> pd.DataFrame:
    """Which share of the frames each reading of the sampling rates uses, with soft frames and with hard ones only.

    Columns: name, of the sampling; hard_only, without the frames of anomalous videos that are no hard anomaly; samples,
    frames or clips; anomalous (hard) and normal (all other), shares of such frames in [0, 1], NaN where there are none.
    The presets of `SAMPLING_PRESETS`, the run's own rates where they are none of these, and the clips of 3D networks,
    whose frames count once however many clips hold them. Source: section 5.3, "1/3 of the anomalous frames and less
    than 1/10 of the normal frames".
    """
    readings = {name: config.model_copy(update={"sampling": name}) for name in SAMPLING_PRESETS}
    readings |= {"custom": config} if config.sampling == "custom" else {}
    labels = [one.video.frame_labels(one.frames) for one in videos]
    there = np.bincount(np.concatenate(labels), minlength=2)
    lines = []
    for hard_only, (name, varied) in product((False, True), (readings | {CLIPS: config}).items()):
        taken = [_taken(*both, varied, name == CLIPS, hard_only) for both in zip(videos, labels, strict=True)]
        frames = np.concatenate([label[frames] for label, (_, frames) in zip(labels, taken, strict=True)])
        shares = np.divide(np.bincount(frames, minlength=2), there, out=np.full(2, np.nan), where=there > 0)
        lines.append([name, hard_only, sum(count for count, _ in taken), *shares[::-1]])
    return pd.DataFrame(lines, columns=["name", "hard_only", "samples", "anomalous", "normal"])


def _taken(one, labels: np.ndarray, config: Config, clips: bool, hard_only: bool) -> tuple[int, np.ndarray]:
    """(number of samples or clips of a video, the frames that they hold)."""
    cut = plan_clips if clips else plan
    ends, at = cut(one.video, one.frames, one.fps, config, "train", times=one.times)
    if not clips:
        ends = at = np.unique(ends)
    if hard_only and one.video.label:
        ends = ends[labels[at] == 1]
    if not clips:
        return len(ends), ends
    ticks = positions_of(ends, config.clip_frames) * stride_frames(one.fps, config.clip_fps)
    return len(ends), np.unique(one.clock.shown(one.frames)[ticks])


# --- rows --------------------------------------------------------------------------------------------------------


def table(costs: pd.DataFrame) -> pd.DataFrame:
    """`measure`'s lines for a notebook's page; empty cells where nothing was measured or the models are gone."""
    page, cells = costs.assign(parameters=costs["parameters"] / 1e6), {}
    for metric, (_, heading, digits) in QUANTITIES.items():
        cells[heading] = page[metric].map(f"{{:.{digits}f}}".format, na_action="ignore")
    return pd.DataFrame(cells).astype(object).fillna("")


def rows(config: Config, costs: pd.DataFrame, shares: pd.DataFrame) -> list[ResultRow]:
    """Costs and samples by system, shares by reading, and the run's own rates beside what section 5.3 says of them."""
    saved: list[ResultRow] = []

    def add(item: str, system: str, metric: str, value: float, unit: str, reason: str = "") -> None:
        """reason: why there is no value, where there is none."""
        number = (None, unit) if np.isnan(value) else (value, unit)
        saved.append(number_row(config, *number, PAPER, item, system, metric, reason if np.isnan(value) else ""))

    for name, cost in costs.iterrows():
        for metric in list(QUANTITIES)[:-1]:
            gone = "its models are no longer in the cache" if metric.startswith("training") else cost["reason"]
            add("efficiency", name, metric, cost[metric], QUANTITIES[metric][0], gone)
        share = cost["epoch_samples"] / cost["training_samples"]
        if name == MINED and not np.isnan(share):
            add("claim 3.3b", "training", "share_of_samples_per_epoch", share, "share")
    for share in shares.itertuples():
        system = f"{share.name}, {'hard anomalies only' if share.hard_only else 'all frames'}"
        for kind, claim in (("anomalous", "claim 5.3c"), ("normal", "claim 5.3d")):
            number = (f"share_of_{kind}_frames", getattr(share, kind), "share")
            add("training frames", system, *number, "the training videos have no such frame")
            if share.name == config.sampling and share.hard_only:  # the paper's best system is trained so
                add(claim, "training", *number, "the training videos have no such frame")
    return saved
