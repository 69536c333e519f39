"""What a second worker of a Dask cluster is worth, and what UCF-Crime's 128 hours would take on a cluster.

    python benchmarks/scale.py [--videos 12] [--seconds 30]
    python benchmarks/scale.py --plan

A scheduler and workers of one thread are started on this machine, with a cache of their own: first one worker, then
two. They make samples (decoding, Farneback's flow) and features (EfficientNet-lite0 by torch) of videos that the script
writes; what starting takes is not counted. Ratios mean something where two cores are free. --plan works out a table
from the videos' lengths and from the seconds a sample that stand in COSTS. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from samples import made_video

from vadkit.core.parameters import make_config
from vadkit.corpora.public_lists import listed
from vadkit.corpora.video import Video
from vadkit.models.network import network_of
from vadkit.views.features import extract_features
from vadkit.views.frames import PART_FRAMES, extract

# Seconds of one core of an AMD EPYC without AVX-512 (docs/performance.md), by params/ucf_crime.yaml's networks: a frame
# decoded and not converted; of a sample flow, PNG and the like, YOLOv8n at 640 pixels, and ResNet-50 on two images.
COSTS = {"frame": 1 / 4375, "flow and PNG": 0.035, "detector": 0.15, "backbones": 2 * 0.11}
RATES = {"train": 1.0, "test": 3.0}  # samples a second: soft and normal frames of training videos, and the test grid
SAMPLE_MB = 0.139 + 0.0164  # PNG of frame and flow at 224 pixels; two features of 2048 numbers in half precision
VIDEO_MB_A_HOUR = 800  # of UCF-Crime as it is published, about 100 GB
CORE_HOUR = 0.04  # US dollars, of a rented virtual core


def dask(name: str, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{name}", *options, "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def seconds(address: str, workers: int, videos: list[Video], folder: Path) -> dict[str, float]:
    """Wall time of both steps by so many workers, which have done a little already."""
    from distributed import Client

    with ExitStack() as stack:
        for _ in range(workers):
            where = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder / "dask"))
            stack.callback(dask("worker", address, *where).kill)
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
        took = {}
        for name, some in (("warm", videos[: 2 * workers]), ("timed", videos)):
            config = make_config(
                {"cache_root": str(folder / f"{name}{workers}"), "scheduler": address, "detector_weights": "none"}
                | {"inference": "torch", "image_size": 160, "device": "cpu"}
            )
            started = time.perf_counter()
            found, problems = extract(some, config)
            sampled = time.perf_counter()
            network = network_of(config, config.backbone)
            extract_features(found, {"frame": network, "flow": network}, config)
            took = {"samples": sampled - started, "features": time.perf_counter() - sampled}
            assert not problems, problems
        return took | {"rows": sum(map(len, found))}


def measure(count: int, length: float) -> list[dict]:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack, socket.socket() as one:
        folder = Path(name)
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        one.close()
        stack.callback(dask("scheduler", "--host", "127.0.0.1", "--port", str(port)).kill)
        names, frames = [f"Normal_Videos_{n:03d}" for n in range(count)], round(30 * length)
        paths = [made_video(folder / f"{name}.mp4", seed=n, frames=frames) for n, name in enumerate(names)]
        videos = [Video(path.stem, path, "Normal", "test", path.stem) for path in paths]
        time.sleep(3)
        runs = {workers: seconds(f"tcp://127.0.0.1:{port}", workers, videos, folder) for workers in (1, 2)}
    lines = []
    for step in ("samples", "features"):
        rates = {workers: one["rows"] / one[step] for workers, one in runs.items()}
        lines.append({"step": step, "one": rates[1], "two": rates[2], "ratio": rates[2] / rates[1]})
        print(
            f"{step:<10}{rates[1]:>8.1f} rows a second by one worker{rates[2]:>8.1f} by two, {lines[-1]['ratio']:.2f}"
        )
    return lines


def plan() -> list[dict]:
    """Hours, disk and money by the number of workers of one core."""
    costs, parts = [], []
    for video in listed("ucf-crime").values():
        samples = video.frames / video.fps * RATES[video.split]
        a_sample = sum(cost for name, cost in COSTS.items() if name != "frame")
        count = max(1, round(video.frames / PART_FRAMES))
        parts.append(video.frames * COSTS["frame"] + samples * a_sample / count)
        costs.append((video.frames * COSTS["frame"] + samples * a_sample, samples, video.frames / video.fps / 3600))
    hours, longest, part = sum(one[0] for one in costs) / 3600, max(one[0] for one in costs) / 3600, max(parts) / 3600
    samples, filmed = math.fsum(one[1] for one in costs), math.fsum(one[2] for one in costs)
    print(f"{filmed:.1f} hours of video, {samples:.0f} samples, {hours:.1f} core hours")
    print(f"the longest video: {longest:.1f} core hours, its longest part {part:.1f}")
    lines = []
    for workers in (1, 8, 64):
        wall = max(hours / workers, part)
        read = VIDEO_MB_A_HOUR * filmed * 8 / (wall * 3600)
        line = {"workers": workers, "hours": wall, "with_whole_videos": max(hours / workers, longest)}
        line |= {"disk_GB": samples * SAMPLE_MB / 1000, "network_Mbit": read, "dollars": wall * workers * CORE_HOUR}
        lines.append(line)
        besides = f"{line['disk_GB']:.0f} GB, {read:.0f} Mbit/s, {line['dollars']:.1f} dollars"
        print(f"{workers:>3} workers: {wall:6.1f} h, {besides}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each")
    parser.add_argument("--plan", action="store_true", help="what UCF-Crime would take, without running anything")
    given = parser.parse_args()
    lines = plan() if given.plan else measure(given.videos, given.seconds)
    print(json.dumps({"benchmark": "scale", "cores": os.cpu_count(), "lines": lines}))


if __name__ == "__main__":
    main()
