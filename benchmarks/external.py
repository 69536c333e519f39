"""Time of `vadkit evaluate` on as many frames as UCF-Crime's test videos have.

    python benchmarks/external.py [--videos 290] [--frames 1100000] [--resamples 1000]

Writes a folder of frame scores, each frame's different (the worst case), and a table of 32 segments a video, each
with an annotation, then times reading, the values (one resample) and the values with all intervals. Prints a table,
then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from metrics import synthetic_test_set

from vadkit.core.parameters import make_config
from vadkit.evaluation import external
from vadkit.evaluation.metrics import spans
from vadkit.report import external_report


def write_test_set(folder: Path, videos: int, frames: int) -> None:
    """scores/<name>.npy, scores.csv and annotation.txt."""
    labels, scores = synthetic_test_set(videos, frames, hold=1)
    (folder / "scores").mkdir()
    lines, rows = [], ["video,class,frames," + ",".join(f"s{k:02d}" for k in range(32))]
    for number, (y, s) in enumerate(zip(labels, scores, strict=True)):
        category = "Robbery" if y.any() else "Normal"
        name = f"{category}{number:03d}_x264"
        np.save(folder / "scores" / f"{name}.npy", s)
        rows.append(f"{name},{category},{len(s)}," + ",".join(f"{part.mean():.6g}" for part in np.array_split(s, 32)))
        start, end = spans(y)[0] if y.any() else (-2, -1)
        lines.append(f"{name}.mp4  {category}  {start + 1}  {end}  -1  -1")
    (folder / "scores.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "annotation.txt").write_text("\n".join(lines), encoding="utf-8")


def measured(function, *args) -> tuple[tuple[float, float], object]:
    """((wall, processor) seconds, result): on a busy machine they differ."""
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*args)
    return (time.perf_counter() - wall, time.process_time() - processor), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=290)
    parser.add_argument("--frames", type=int, default=1_100_000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    quick, full = (make_config({"bootstrap_resamples": n}) for n in (1, options.resamples))
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        write_test_set(Path(folder), options.videos, options.frames)
        for what, scores in (("frame scores, all different", "scores"), ("32 segments", "scores.csv")):
            rows[f"{what}: reading"], given = measured(
                external.read, Path(folder, scores), Path(folder, "annotation.txt")
            )
            rows[f"{what}: every metric"] = measured(external_report.evaluate, given, quick)[0]
            rows[f"{what}: with intervals"] = measured(external_report.evaluate, given, full)[0]
    frames = sum(v.frames for v in given.videos)
    print(f"{frames} frames of {options.videos} videos, {options.resamples} resamples")
    print(f"{'':45s} {'wall':>10s} {'processor':>12s}")
    for name, (wall, processor) in rows.items():
        print(f"{name:45s} {wall:8.2f} s {processor:10.2f} s")
    print(
        json.dumps(
            {
                "benchmark": "external",
                **vars(options),
                "frames": frames,
                "results": {k: [round(s, 3) for s in v] for k, v in rows.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
