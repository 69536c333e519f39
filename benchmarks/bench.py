"""The figures of performance on this machine, in one table: `make bench`, under fifteen minutes on two cores.

Runs the other benchmarks at a small size, one after the other, and ends with a line a figure: ours, what it is held
against, the ratio (above 1 ours is the better), and what limits it. Each script alone measures more. Prints a table and
a JSON line; what a script could not measure is said, and the rest goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CLIPS = sorted((HERE.parent / "notebooks" / "recorded" / "demo" / "clips").glob("*.mp4"))


class Figure(NamedTuple):
    """lower: the smaller number is the better one."""

    what: str
    ours: float
    baseline: float
    unit: str
    limit: str
    lower: bool = False

    @property
    def ratio(self) -> float:
        return self.baseline / self.ours if self.lower else self.ours / self.baseline


def preprocessing(found: dict) -> Iterator[Figure]:
    ways = found["ways"]
    for way, limit in (("farneback", "the flow itself"), ("dis", "PNG")):
        one, other = ways[way]["a_second"], ways["released"]["a_second"]
        yield Figure(f"samples by {way}, against the released way", one, other, "a second", limit)
    yield Figure("a sample on the disk", ways["farneback"]["kB"], ways["released"]["kB"], "kB", "PNG is exact", True)
    yield Figure("memory of sampling", ways["farneback"]["MB"], ways["released"]["MB"], "MB", "two frames", True)


def decoding(found: dict) -> Iterator[Figure]:
    for name, limit in (("every frame", "conversion to RGB"), ("1 in 10", "the decoder")):
        one, other = (sum(video[name][side] for video in found["videos"]) for side in (1, 0))
        yield Figure(f"decoding, {name} converted, against OpenCV", one, other, "frames a second", limit)


def engines(found: dict) -> Iterator[Figure]:
    for one in found["results"]:
        best = min((engine for engine in one["ms"] if engine != "openvino-int8"), key=one["ms"].get)
        title = f"{one['network']} at {one['side']} px by {best}, against torch"
        yield Figure(title, one["ms"][best], one["ms"]["torch"], "ms", "arithmetic", True)


def realtime(found: dict) -> Iterator[Figure]:
    for one in found["results"]:
        slowest = max(one["ms"], key=one["ms"].get)
        yield Figure(f"{one['system']}, by {one['engine']}", one["factor"], 1.0, "times real time", slowest)


def external(found: dict) -> Iterator[Figure]:
    for name, (wall, _) in found["results"].items():
        if "intervals" in name:
            yield Figure(f"{found['frames']} {name}", wall, 10.0, "s, asked: 10", "sorting", True)


def scale(found: dict) -> Iterator[Figure]:
    for one in found["lines"]:
        yield Figure(
            f"{one['step']} by two workers, against one", one["two"], one["one"], "rows a second", "free cores"
        )


BENCHMARKS = {
    "preprocessing": (preprocessing, ["--minutes", "1"]),
    "decoding": (decoding, [*map(str, CLIPS[:2]), "--repeats", "3"]),
    "engines": (engines, ["--repeats", "2"]),
    "realtime": (realtime, ["--seconds", "20"]),
    "external": (external, []),
    "scale": (scale, ["--videos", "8", "--seconds", "40"]),
}


def main() -> None:
    started, figures, failed = time.perf_counter(), [], {}
    for name, (read, options) in BENCHMARKS.items():
        print(f"{name} ...", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), *options]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failed[name] = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        else:
            figures += read(json.loads(done.stdout.strip().splitlines()[-1]))
    width = max(len(one.what) for one in figures)
    print(f"\n{'figure':<{width}}{'ours':>10}{'baseline':>10}{'ratio':>7}  unit, and what limits it")
    for one in figures:
        print(f"{one.what:<{width}}{one.ours:>10.1f}{one.baseline:>10.1f}{one.ratio:>7.2f}  {one.unit}; {one.limit}")
    for name, why in failed.items():
        print(f"NOT MEASURED: {name}: {why}")
    seconds = time.perf_counter() - started
    lines = [one._asdict() | {"ratio": one.ratio} for one in figures]
    print(json.dumps({"benchmark": "bench", "seconds": seconds, "figures": lines, "failed": failed}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
