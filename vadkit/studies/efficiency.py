"""What a system costs: parameters, operations, time and memory of its network on one analysed frame, and the frames it
was trained on.

    found = measure(config, trained_systems(config))
    shares = sampling_shares(config, training_videos)

Costs are measured in a process of their own, on one thread of the CPU, so that they depend neither on what the caller
has loaded nor on how many threads it uses; each network in a fresh copy of that process. Decoding, optical flow and the
detector are no part of the network: `vadkit.live.score` measures those.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from vadkit.core.compute import one_thread
from vadkit.core.config import SAMPLING_PRESETS, Config
from vadkit.core.errors import VadkitError
from vadkit.core.parameters import make_config
from vadkit.core.progress import Progress
from vadkit.models.backbones import fused
from vadkit.models.network import as_tensors
from vadkit.models.two_stream import TwoStream
from vadkit.report.rows import ResultRow, number_row
from vadkit.systems.base import all_systems, find_system
from vadkit.systems.record import FOLDER
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


@dataclass(frozen=True)
class Cost:
    """One system's network on one analysed frame, or on the clip that ends there.

    flops: of convolutions and matrix products, an addition and a multiplication counted as two; None with the others
    where `reason` says why nothing was measured. ms: processor time, median of `repeats` passes, preprocessing
    included, divided by the analysed frames that share one pass. memory: growth of resident memory in MiB, from before
    the network is built to after its first pass.
    """

    system: str
    parameters: int | None = None
    flops: float | None = None
    ms: float | None = None
    memory: float | None = None
    repeats: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Use:
    """What a system was trained on: its samples, the anomalous ones, and those of its first epoch.

    Means over seeds and folds.
    """

    samples: float
    anomalous: float
    in_an_epoch: float


@dataclass(frozen=True)
class Share:
    """Frames of the training videos that one way of sampling uses, of those there are; in [0, 1], None without any.

    name: of the sampling; hard_only: without the frames of anomalous videos that are no hard anomaly. samples: frames,
    or clips.
    """

    name: str
    hard_only: bool
    samples: int
    anomalous: float | None
    normal: float | None


# --- what it costs -----------------------------------------------------------------------------------------------


def measure(config: Config, names: Sequence[str], progress: Progress | None = None) -> dict[str, Cost]:
    """The cost of each system's network, by name; systems with the same network are measured once.

    A system whose network cannot be built (no weights, say) has a cost without numbers that gives the reason. Raises
    ConfigError for an unknown system, RuntimeError where the measuring process itself fails.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        system = find_system(name, config)
        network = json.dumps([system.needs(config), system.bag, system.suspicious])
        alike.setdefault(network, []).append(name)
    if not alike:
        return {}
    order = {"config": config.model_dump(), "systems": [group[0] for group in alike.values()]}
    command = [sys.executable, "-m", "vadkit.studies.efficiency", json.dumps(order)]
    single = {variable: "1" for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    found: dict[str, Cost] = {}
    with (
        tempfile.TemporaryFile("w+") as errors,  # a pipe that nobody reads meanwhile would block what writes to it
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | single) as process,
    ):
        for done, (line, group) in enumerate(zip(process.stdout, alike.values(), strict=False), 1):
            found |= {name: replace(Cost(**json.loads(line)), system=name) for name in group}
            if progress is not None:
                progress(done, len(alike), f"measuring {group[0]}")
        if process.wait() or len(found) < len(names):
            errors.seek(0)
            raise RuntimeError(
                f"measuring costs ended with code {process.returncode} after {len(found)} of {len(names)} systems: "
                f"{errors.read().strip()[-2000:]}"
            )
    return {name: found[name] for name in names}


@one_thread()
def cost_of(config: Config, name: str) -> Cost:
    """`measure` in this process, on one thread, for one system: memory then counts from what is loaded already.

    Raises ConfigError or WeightsError where the network cannot be built.
    """
    before = psutil.Process().memory_info().rss
    system = find_system(name, config)
    inputs = system.inputs(config)
    modules = [network.build("cpu") for network in inputs.networks.values()]
    model = TwoStream(modules, make_head(config, system, sum(module.feature_dim for module in modules))).eval()
    parameters = sum(p.numel() for p in model.parameters())
    random, images = np.random.default_rng(0), {}
    for stream, network in inputs.networks.items():
        frames, side = ((), config.image_size) if network.size is None else ((config.clip_frames,), network.size)
        images[stream] = random.integers(0, 256, (1, *frames, side, side, 3), np.uint8)
    bags = torch.zeros(1, *model.head.bag_shape) if system.bag else None
    with torch.no_grad():
        model(as_tensors(inputs.networks, images, "cpu"), bags)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        with FlopCounterMode(display=False) as counter:
            model(as_tensors(inputs.networks, images, "cpu"), bags)
        if not system.on_clips and not config.finetune_epochs:  # as frozen streams are run
            model = TwoStream([fused(module) for module in modules], model.head).eval()
        seconds, until = [], time.monotonic() + SECONDS
        while len(seconds) < LEAST_REPEATS or (len(seconds) < REPEATS and time.monotonic() < until):
            started = time.process_time()  # of this one thread, so that other work on the machine does not count
            model(as_tensors(inputs.networks, images, "cpu"), bags)
            seconds.append(time.process_time() - started)
    shared = inputs.every  # analysed frames that one pass serves
    flops, ms = counter.get_total_flops() / shared, 1000 * statistics.median(seconds) / shared
    return Cost(name, parameters, flops, ms, max(peak - before, 0) / MIB, len(seconds))


def cost_or_reason(config: Config, name: str) -> Cost:
    """`cost_of`, without numbers where the network cannot be built or does not fit into memory."""
    try:
        return cost_of(config, name)
    except (VadkitError, RuntimeError, MemoryError) as error:
        return Cost(name, reason=str(error))


def main() -> None:
    """The measuring process: an order as JSON in its argument, a line of JSON a system on its standard output."""
    order = json.loads(sys.argv[1])
    config = make_config(order["config"])
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")  # between two systems this process has one thread: a copy of it is sound
    for name in order["systems"]:
        try:
            with ProcessPoolExecutor(1, fork) as pool:
                found = pool.submit(cost_or_reason, config, name).result()
        except BrokenProcessPool:
            found = Cost(name, reason="the process that measured it was ended: too little memory, perhaps")
        print(json.dumps(asdict(found)), flush=True)


# --- what it was trained on --------------------------------------------------------------------------------------


def trained_systems(config: Config) -> list[str]:
    """The first paper's systems that this profile has trained, by their records (`vadkit.systems.record`)."""
    folder = config.output_dir / FOLDER
    return [
        name
        for name, system in all_systems().items()
        if isinstance(system, TwoStreamSystem) and (folder / f"{name}.json").is_file()
    ]


def training_use(config: Config, name: str) -> Use | None:
    """The samples of a recorded system, from its models' own records; None where the cache no longer has them."""
    folder = config.output_dir / FOLDER
    facts = []
    for model in json.loads((folder / f"{name}.json").read_text())["models"]:
        path = folder / model["path"]
        if (path / "system.json").is_file():
            one, history = (json.loads((path / f"{part}.json").read_text()) for part in ("system", "history"))
            facts.append((one["training_samples"], one["training_anomalous"], history[0]["samples"]))
    return Use(*np.mean(facts, axis=0).tolist()) if facts else None


def sampling_shares(config: Config, videos: Sequence[Samples | Clips]) -> list[Share]:
    """How many of the frames there are each reading of the sampling rates uses, all of them and hard anomalies only.

    videos: the training ones. The three presets of `SAMPLING_PRESETS`, the run's own rates where they are none of
    these, and the clips of 3D networks, whose frames count once however many clips hold them. Normal frames: all that
    are no hard anomaly. Source: section 5.3, "1/3 of the anomalous frames and less than 1/10 of the normal frames".
    """
    readings = {name: config.model_copy(update={"sampling": name}) for name in SAMPLING_PRESETS}
    if config.sampling == "custom":
        readings["custom"] = config
    labels = [one.video.frame_labels(one.frames) for one in videos]
    there = sum((np.bincount(label, minlength=2) for label in labels), np.zeros(2, int))
    found = []
    for hard_only in (False, True):
        for name, varied in (readings | {CLIPS: config}).items():
            samples, used = 0, np.zeros(2, int)
            for one, label in zip(videos, labels, strict=True):
                count, frames = (_in_clips if name == CLIPS else _sampled)(one, varied, label, hard_only)
                samples += count
                used += np.bincount(label[frames], minlength=2)
            normal, anomalous = (float(u / t) if t else None for u, t in zip(used, there, strict=True))
            found.append(Share(name, hard_only, samples, anomalous, normal))
    return found


def _sampled(one: Samples | Clips, config: Config, labels: np.ndarray, hard_only: bool) -> tuple[int, np.ndarray]:
    """(number of samples, their frames)."""
    index = np.unique(plan(one.video, one.frames, one.fps, config, "train")[0])
    index = index[labels[index] == 1] if hard_only and one.video.label else index
    return len(index), index


def _in_clips(one: Samples | Clips, config: Config, labels: np.ndarray, hard_only: bool) -> tuple[int, np.ndarray]:
    """(number of clips, the frames that they hold)."""
    ends, index = plan_clips(one.video, one.frames, one.fps, config, "train")
    ends = ends[labels[index] == 1] if hard_only and one.video.label else ends
    return len(ends), np.unique(positions_of(ends, config.clip_frames) * stride_frames(one.fps, config.clip_fps))


# --- rows --------------------------------------------------------------------------------------------------------


def table(costs: Mapping[str, Cost], uses: Mapping[str, Use | None]) -> pd.DataFrame:
    """A line a system for a notebook's page; empty cells where nothing was measured or the models are gone."""
    lines = {}
    for name, cost in costs.items():
        use = uses.get(name)
        lines[name] = {
            "parameters (M)": (cost.parameters, 1e6, 2),
            "GFLOP a frame": (cost.flops, 1e9, 3),
            "ms a frame": (cost.ms, 1, 1),
            "memory (MiB)": (cost.memory, 1, 0),
            "trained on": (use and use.samples, 1, 0),
            "of these anomalous": (use and use.anomalous, 1, 0),
            "in an epoch": (use and use.in_an_epoch, 1, 0),
        }
    numbers = pd.DataFrame.from_dict(lines, orient="index")
    return numbers.map(lambda cell: "" if cell[0] is None else f"{cell[0] / cell[1]:.{cell[2]}f}")


def rows(
    config: Config, costs: Mapping[str, Cost], uses: Mapping[str, Use | None], shares: Sequence[Share]
) -> list[ResultRow]:
    """Costs and samples by system, shares by reading, and the run's own rates beside what section 5.3 says of them."""
    saved: list[ResultRow] = []

    def add(item: str, system: str, metric: str, value: float | None, unit: str, reason: str) -> None:
        """reason: why there is no value, where there is none."""
        reason = reason if value is None else ""
        saved.append(number_row(config, value, unit, PAPER, item, system, metric, reason))

    for name, cost in costs.items():
        use, gone = uses.get(name), "its models are no longer in the cache"
        add("efficiency", name, "parameters", cost.parameters, "parameters", cost.reason)
        add("efficiency", name, "gflop_per_frame", cost.flops and cost.flops / 1e9, "GFLOP", cost.reason)
        add("efficiency", name, "ms_per_frame", cost.ms, "ms", cost.reason)
        add("efficiency", name, "peak_memory", cost.memory, "MiB", cost.reason)
        add("efficiency", name, "training_samples", use and use.samples, "samples", gone)
        add("efficiency", name, "training_anomalous", use and use.anomalous, "samples", gone)
        if name == MINED and use is not None:
            share = use.in_an_epoch / use.samples
            add("claim 3.3b", "training", "share_of_samples_per_epoch", share, "share", "")
    for share in shares:
        system = f"{share.name}, {'hard anomalies only' if share.hard_only else 'all frames'}"
        parts = (("anomalous", share.anomalous, "claim 5.3c"), ("normal", share.normal, "claim 5.3d"))
        for kind, value, claim in parts:
            metric, reason = f"share_of_{kind}_frames", "the training videos have no such frame"
            add("training frames", system, metric, value, "share", reason)
            if share.name == config.sampling and share.hard_only:  # the paper's best system is trained so
                add(claim, "training", metric, value, "share", reason)
    return saved


if __name__ == "__main__":
    main()
