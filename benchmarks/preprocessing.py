"""From a video to samples: how many a second, how large, in how much memory, beside the released way of doing it.

    python benchmarks/preprocessing.py [--minutes 2] [--long 0]

On a video that it writes, 320x240 at 30 frames a second, one sample in ten frames, no detector. Each way runs in a
process of its own, one thread, in processor time; ratios are to `baseline.py`. --long M adds a video of M minutes:
memory must be flat in its length. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from baseline import our_config, our_samples, released_samples
from samples import made_video

WAYS = {"released": "baseline, as released", "farneback": "vadkit, the same flow", "dis": "vadkit, DIS flow"}


def measured(way: str, path: Path, folder: Path) -> dict[str, float]:
    """Samples a second of processor time, bytes a sample on the disk, memory that the work added at its peak."""
    cv2.setNumThreads(1)
    before, start = peak_memory(), time.process_time()
    if way == "released":
        count, stored = released_samples(path, folder / "released.npz"), folder / "released.npz"
        size = stored.stat().st_size
    else:
        view = our_samples(path, our_config(folder / way, way))
        count, size = len(view), sum(file.stat().st_size for file in view.folders[0].iterdir())
    seconds = time.process_time() - start
    return {
        "samples": count,
        "a_second": count / seconds,
        "kB": size / count / 1e3,
        "MB": (peak_memory() - before) / 1e6,
    }


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_a_process(way: str, path: Path, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", way, str(path), str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def jpeg_size(path: Path, folder: Path) -> float:
    """kB that a sample's two pictures take as JPEG of quality 95."""
    view = our_samples(path, our_config(folder / "farneback"))
    images = [image for stream in ("frame", "flow") for image in view.images(stream, range(0, len(view), 10))]
    blobs = [cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for image in images]
    return 2 * sum(map(len, blobs)) / len(blobs) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--long", type=float, default=0.0, help="minutes of a second, longer video")
    parser.add_argument("--only", nargs=3, metavar=("WAY", "VIDEO", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        way, path, folder = options.only
        print(json.dumps(measured(way, Path(path), Path(folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = made_video(folder / "made.mp4", seed=0, frames=round(1800 * options.minutes))
        found = {way: in_a_process(way, path, folder) for way in WAYS}
        jpeg = jpeg_size(path, folder)
        if options.long:
            path = made_video(folder / "long.mp4", seed=1, frames=round(1800 * options.long))
            long = {way: in_a_process(way, path, folder) for way in ("farneback", "dis")}
    print(f"{options.minutes:g} minutes, 320x240, 30 frames a second, one sample in ten")
    print(f"{'':26}{'samples/s':>10}{'ratio':>7}{'kB a sample':>13}{'MB':>7}")
    for way, title in WAYS.items():
        one = found[way]
        one["ratio"] = one["a_second"] / found["released"]["a_second"]
        print(f"{title:26}{one['a_second']:10.1f}{one['ratio']:7.1f}{one['kB']:13.1f}{one['MB']:7.0f}")
    print(f"as JPEG of quality 95 a sample would take {jpeg:.1f} kB; we keep PNG, which is exact")
    if options.long:
        for way, one in long.items():
            print(f"{options.long:g} minutes, {WAYS[way]}: {one['MB']:.0f} MB, {one['a_second']:.1f} samples/s")
            found[f"{way}, {options.long:g} minutes"] = one
    print(json.dumps({"benchmark": "preprocessing", "minutes": options.minutes, "jpeg_kB": jpeg, "ways": found}))


if __name__ == "__main__":
    main()
