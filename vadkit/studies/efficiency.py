"""What a system costs: parameters, operations, time and memory of its network on one analysed frame, and the frames it was trained on.

    found = measure(config, trained_systems(config))
    shares = sampling_shares(config, training_videos)

Costs are measured in a process of their own, on one thread of the CPU, so that they depend neither on what the caller has loaded
nor on how many threads it uses; each network in a fresh copy of that process. Decoding, optical flow and the detector are no part of
the network: `vadkit.live.score` measures those.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vadkit.core.compute import one_thread
from vadkit.core.config import SAMPLING_PRESETS, Config, make_config
from vadkit.core.errors import VadkitError
from vadkit.core.progress import Progress
from vadkit.report import rows as report
from vadkit.report.rows import ResultRow
from vadkit.systems.base import SYSTEMS, system_for
from vadkit.systems.record import FOLDER
from vadkit.views import sampling
from vadkit.views.clips import plan_clips, positions_of

if TYPE_CHECKING:
    import pandas as pd

    from vadkit.views.clips import Clips
    from vadkit.views.frames import Samples

PAPER = "petrocchi2021"
REPEATS, LEAST_REPEATS, SECONDS = 25, 5, 4.0  # forward passes that are timed: so many, fewer where they take long
MIB = 2**20
MINED = "2S-bag-ha"  # stands for what hard mining takes in an epoch
CLIPS = "clips"  # the name of 3D networks' sampling, beside the presets' names


@dataclass(frozen=True)
class Cost:
    """One system's network on one analysed frame, or on the clip that ends there.

    flops: of convolutions and matrix products, an addition and a multiplication counted as two; None with the others where
    `reason` says why nothing was measured. ms: processor time, median of `repeats` passes, preprocessing included, divided by the
    analysed frames that share one pass. memory: growth of resident memory in MiB, from before the network is built to after its first pass.
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
    """What one trained system of a run was trained on: its samples, the anomalous ones, and those of its first epoch; means over seeds
    and folds."""

    samples: float
    anomalous: float
    in_an_epoch: float


@dataclass(frozen=True)
class Share:
    """Frames of the training videos that one way of sampling uses, of those there are; shares in [0, 1], None where there are none.

    name: of the sampling; hard_only: without the frames of anomalous videos that are no hard anomaly. samples: frames, or clips.
    """

    name: str
    hard_only: bool
    samples: int
    anomalous: float | None
    normal: float | None


# --- what it costs -----------------------------------------------------------------------------------------------


def measure(config: Config, names: Sequence[str], progress: Progress | None = None) -> dict[str, Cost]:
    """The cost of each system's network, by name; systems with the same network are measured once.

    A system whose network cannot be built (no weights, say) has a cost without numbers that gives the reason. Raises ConfigError for an
    unknown system, RuntimeError where the measuring process itself fails.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        system = system_for(config, name)
        alike.setdefault(
            json.dumps([system.network, system.stream_names(config), system.bag, system.suspicious]), []
        ).append(name)
    if not alike:
        return {}
    order = {"config": config.model_dump(), "systems": [group[0] for group in alike.values()]}
    single = {variable: "1" for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "vadkit.studies.efficiency"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **single},
    )
    with process:
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        found: dict[str, Cost] = {}
        for done, (line, group) in enumerate(zip(process.stdout, alike.values(), strict=False), 1):
            found |= {name: Cost(**{**json.loads(line), "system": name}) for name in group}
            if progress is not None:
                progress(done, len(alike), f"measuring {group[0]}")
        errors = process.stderr.read()
    if process.returncode or len(found) < len(names):
        raise RuntimeError(
            f"measuring costs ended with code {process.returncode} after {len(found)} of {len(names)} systems: {errors.strip()[-2000:]}"
        )
    return {name: found[name] for name in names}


def cost_of(config: Config, name: str) -> Cost:
    """`measure` in this process, on one thread, for one system: memory then counts from what is loaded already.

    Raises ConfigError or WeightsError where the network cannot be built.
    """
    with one_thread():
        return _cost_of(config, name)


def _cost_of(config: Config, name: str) -> Cost:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from vadkit.models.backbones import fused
    from vadkit.models.pretrained import as_tensors
    from vadkit.models.two_stream import TwoStream
    from vadkit.systems.inputs import inputs_of
    from vadkit.systems.trainer import make_head

    before = _resident()
    system = system_for(config, name)
    inputs = inputs_of(config, system)
    modules = [network.build("cpu") for network in inputs.networks.values()]
    model = TwoStream(modules, make_head(config, system, sum(module.feature_dim for module in modules))).eval()
    parameters = sum(p.numel() for p in model.parameters())
    random = np.random.default_rng(0)
    images = {
        stream: random.integers(0, 256, _shape(config, network.size), np.uint8)
        for stream, network in inputs.networks.items()
    }
    bags = torch.zeros(1, *model.head.bag_shape) if system.bag else None
    with torch.no_grad():
        model(as_tensors(inputs.networks, images, "cpu"), bags)
        memory = max(_peak() - before, 0)
        with FlopCounterMode(display=False) as counter:
            model(as_tensors(inputs.networks, images, "cpu"), bags)
        if system.network == "two_stream" and not config.finetune_epochs:  # as frozen streams are run
            model = TwoStream([fused(module) for module in modules], model.head).eval()
        seconds, until = [], time.monotonic() + SECONDS
        while len(seconds) < LEAST_REPEATS or (len(seconds) < REPEATS and time.monotonic() < until):
            started = time.process_time()  # of this one thread, so that other work on the machine does not count
            model(as_tensors(inputs.networks, images, "cpu"), bags)
            seconds.append(time.process_time() - started)
    shared = getattr(inputs, "every", 1)  # analysed frames that one pass serves
    return Cost(
        name,
        parameters,
        counter.get_total_flops() / shared,
        1000 * statistics.median(seconds) / shared,
        memory / MIB,
        len(seconds),
    )


def _shape(config: Config, size: int | None) -> tuple[int, ...]:
    return (1, config.image_size, config.image_size, 3) if size is None else (1, config.clip_frames, size, size, 3)


def _resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss


def _peak() -> int:
    """The largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _send(config: Config, name: str, pipe) -> None:
    try:
        pipe.send(asdict(cost_of(config, name)))
    except VadkitError as error:
        pipe.send(asdict(Cost(name, reason=str(error))))


def main() -> None:
    """The measuring process: an order as JSON on its standard input, a line of JSON for each system on its standard output."""
    order = json.load(sys.stdin)
    config = make_config(order["config"])
    import torch.utils.flop_counter  # noqa: F401 - loaded once; each copy of this process then starts from here

    import vadkit.systems.inputs
    import vadkit.systems.trainer  # noqa: F401

    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")  # this process has one thread, so that a copy of it is sound
    for name in order["systems"]:
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=_send, args=(config, name, send))
        child.start()
        send.close()
        try:
            found = receive.recv()
        except EOFError:
            child.join()
            found = asdict(
                Cost(
                    name,
                    reason=f"the process that measured it ended with code {child.exitcode}: too little memory, perhaps",
                )
            )
        child.join()
        print(json.dumps(found), flush=True)


# --- what it was trained on --------------------------------------------------------------------------------------


def trained_systems(config: Config) -> list[str]:
    """The systems of the first paper that this profile has trained, by the records of `vadkit.systems.record`, in the order of `SYSTEMS`."""
    folder = config.output_dir / FOLDER
    return [name for name in SYSTEMS if (folder / f"{name}.json").is_file()]


def training_use(config: Config, name: str) -> Use | None:
    """The samples of a recorded system, from its models' own records; None where the cache no longer has them."""
    folder = config.output_dir / FOLDER
    facts = []
    for model in json.loads((folder / f"{name}.json").read_text())["models"]:
        path = folder / model["path"]
        if (path / "model.json").is_file():
            one, history = (json.loads((path / f"{name}.json").read_text()) for name in ("model", "history"))
            facts.append((one["training_samples"], one["training_anomalous"], history[0]["samples"]))
    return Use(*np.mean(facts, axis=0).tolist()) if facts else None


def sampling_shares(config: Config, videos: Sequence[Samples | Clips]) -> list[Share]:
    """How many of the frames there are each reading of the sampling rates uses, for training on all frames and on hard anomalies only.

    videos: the training ones. The three presets of `SAMPLING_PRESETS`, the run's own rates where they are none of these, and the clips
    of 3D networks, whose frames count once however many clips hold them. Normal frames: all that are no hard anomaly.
    Source: section 5.3, "1/3 of the anomalous frames and less than 1/10 of the normal frames".
    """
    readings = {name: config.model_copy(update={"sampling": name}) for name in SAMPLING_PRESETS}
    if config.sampling == "custom":
        readings["custom"] = config
    found = []
    for hard_only in (False, True):
        for name, varied in readings.items():
            frames = [_sampled(one, varied, hard_only) for one in videos]
            found.append(_share(name, hard_only, videos, frames, sum(map(len, frames))))
        clips = [_in_clips(one, config, hard_only) for one in videos]
        found.append(
            _share(CLIPS, hard_only, videos, [frames for frames, _ in clips], sum(count for _, count in clips))
        )
    return found


def _sampled(one: Samples | Clips, config: Config, hard_only: bool) -> np.ndarray:
    index, _ = sampling.plan(one.video, one.frames, one.fps, config, "train")
    index = np.unique(index)
    return index[one.video.frame_labels(one.frames)[index] == 1] if hard_only and one.video.label else index


def _in_clips(one: Samples | Clips, config: Config, hard_only: bool) -> tuple[np.ndarray, int]:
    """(frames of the video that training clips hold, number of clips)."""
    ends, index = plan_clips(one.video, one.frames, one.fps, config, "train")
    if hard_only and one.video.label:
        ends = ends[one.video.frame_labels(one.frames)[index] == 1]
    return np.unique(positions_of(ends, config.clip_frames) * sampling.stride_frames(one.fps, config.clip_fps)), len(
        ends
    )


def _share(
    name: str, hard_only: bool, videos: Sequence[Samples | Clips], frames: Sequence[np.ndarray], samples: int
) -> Share:
    labels = [one.video.frame_labels(one.frames) for one in videos]
    used = (
        np.array(
            [[np.sum(label[index] == kind) for kind in (1, 0)] for label, index in zip(labels, frames, strict=True)]
        )
        .reshape(-1, 2)
        .sum(axis=0)
    )
    there = np.array([[np.sum(label == kind) for kind in (1, 0)] for label in labels]).reshape(-1, 2).sum(axis=0)
    return Share(name, hard_only, samples, *(float(u / t) if t else None for u, t in zip(used, there, strict=True)))


# --- rows --------------------------------------------------------------------------------------------------------


def table(costs: Mapping[str, Cost], uses: Mapping[str, Use | None]) -> pd.DataFrame:
    """A line a system for a notebook's page; empty cells where nothing was measured or the models are gone."""
    import pandas as pd

    lines = {}
    for name, cost in costs.items():
        use = uses.get(name)
        lines[name] = {
            "parameters (M)": _text(cost.parameters, 1e6, 2),
            "GFLOP a frame": _text(cost.flops, 1e9, 3),
            "ms a frame": _text(cost.ms, 1, 1),
            "memory (MiB)": _text(cost.memory, 1, 0),
            "trained on": _text(use and use.samples, 1, 0),
            "of these anomalous": _text(use and use.anomalous, 1, 0),
            "in an epoch": _text(use and use.in_an_epoch, 1, 0),
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _text(value: float | None, unit: float, decimals: int) -> str:
    return "" if value is None else f"{value / unit:.{decimals}f}"


def rows(
    config: Config, costs: Mapping[str, Cost], uses: Mapping[str, Use | None], shares: Sequence[Share]
) -> list[ResultRow]:
    """One row a number: costs and samples by system, shares by reading, and what section 5.3 says of them beside the run's own rates."""
    saved = []
    for name, cost in costs.items():
        use = uses.get(name)
        numbers: dict[str, tuple[Any, str]] = {
            "parameters": (cost.parameters, "parameters"),
            "gflop_per_frame": (None if cost.flops is None else cost.flops / 1e9, "GFLOP"),
            "ms_per_frame": (cost.ms, "ms"),
            "peak_memory": (cost.memory, "MiB"),
            "training_samples": (None if use is None else use.samples, "samples"),
            "training_anomalous": (None if use is None else use.anomalous, "samples"),
        }
        for metric, (value, unit) in numbers.items():
            reason = (
                ""
                if value is not None
                else cost.reason
                if not metric.startswith("training")
                else "its models are no longer in the cache"
            )
            saved.append(report.number_row(config, value, unit, PAPER, "efficiency", name, metric, reason))
        if name == MINED and use is not None:
            saved.append(
                report.number_row(
                    config,
                    use.in_an_epoch / use.samples,
                    "share",
                    PAPER,
                    "claim 3.3b",
                    "training",
                    "share_of_samples_per_epoch",
                )
            )
    for share in shares:
        system = f"{share.name}, {'hard anomalies only' if share.hard_only else 'all frames'}"
        for metric, value in (("share_of_anomalous_frames", share.anomalous), ("share_of_normal_frames", share.normal)):
            reason = "" if value is not None else "the training videos have no such frame"
            saved.append(report.number_row(config, value, "share", PAPER, "training frames", system, metric, reason))
        if share.name == config.sampling and share.hard_only:  # the paper's best system is trained so
            for item, metric, value in (
                ("claim 5.3c", "share_of_anomalous_frames", share.anomalous),
                ("claim 5.3d", "share_of_normal_frames", share.normal),
            ):
                saved.append(
                    report.number_row(
                        config,
                        value,
                        "share",
                        PAPER,
                        item,
                        "training",
                        metric,
                        "" if value is not None else "the training videos have no such frame",
                    )
                )
    return saved


if __name__ == "__main__":
    main()
