"""Watch cameras that are cut, stall, change their size and come back: lag, memory, events, false alarms.

    python benchmarks/watch.py street.avi --run outputs/demo [--minutes 10] [--cameras 3] [--size 320x240] [--calm]
    python benchmarks/watch.py street.avi --run outputs/demo --calm --calibrated NAME
    python benchmarks/watch.py --address rtsp://127.0.0.1:8554/street --run outputs/demo --minutes 2

Each video is sent in a loop, at its own rate, by a process of its own: MPEG-TS over HTTP on the loopback. Across the
top of a picture stands when it was sent, so that the lag is the true one, from there to the reading. --calm leaves the
cuts, the stall and the change of size out; --address watches a camera that somebody else serves: its lag is then the
watch's own word. Prints what was said, a table and a JSON line; exit code 1 where the lag or an event is not as it
should be: at most one analysis step and 200 ms in 99 of 100 readings, and every event with its end, clip and snapshot.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "tests"))

from streams import camera, marked  # noqa: E402

from vadkit.core.video import probe  # noqa: E402
from vadkit.live.calibration import calibrated  # noqa: E402
from vadkit.live.events import read_events  # noqa: E402
from vadkit.live.source import names_of  # noqa: E402
from vadkit.live.watch import watch  # noqa: E402
from vadkit.systems.record import find_model  # noqa: E402

SLACK_SECONDS = 0.2
WARM_SECONDS = 30.0  # before memory is first read


class Probe:
    """In the place of the live page: notes the lag of every reading, and the memory."""

    def __init__(self, marks: bool):
        self.said_lags = []
        self.marks, self.lags, self.memory, self.dropped, self.events = marks, [], [], {}, []
        self.began, self.process = time.monotonic(), psutil.Process()

    def show(self, camera: str, jpeg: bytes, reading: dict) -> None:
        now = time.monotonic()
        self.dropped[camera] = reading["dropped"]
        if not reading["connected"]:
            return
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        self.said_lags.append(reading["lag_s"])
        self.lags.append(now - marked(image) if self.marks else reading["lag_s"])
        if not self.memory or now - self.memory[-1][0] > 1:
            self.memory.append((now, self.process.memory_info().rss / 2**20))

    def event(self, event: dict) -> None:
        self.events.append(event)


def plan(video: Path, size: tuple[int, int] | None, minutes: float, calm: bool) -> list:
    """What a camera does in these minutes."""
    facts = probe(video)
    width, height = size or (facts.width, facts.height)
    step = {"video": str(video), "fps": facts.fps, "width": width, "height": height}
    if calm:
        return [step | {"seconds": 60 * minutes + 60}]
    other = step | {"width": 2 * round(width / 3), "height": 2 * round(height / 3)}
    part = {"seconds": 15 * minutes}
    return [step | part, "cut", 5, step | part, "stall", other | part, step | {"seconds": 60 * minutes}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--run", required=True, help="a run's results")
    parser.add_argument("--system", default="2S-bag-ha")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--size", help="of the pictures, such as 320x240; else the video's")
    parser.add_argument("--calibrated", metavar="NAME", help="with what `vadkit calibrate --camera NAME` stored")
    parser.add_argument("--engine", help="inference: torch, onnxruntime, openvino")
    parser.add_argument("--calm", action="store_true", help="without cuts, stall and change of size")
    parser.add_argument("--address", action="append", default=[], help="a camera that is served already")
    given = parser.parse_args()
    trained = find_model(given.run, given.system)
    config = trained.changed({"inference": given.engine}) if given.engine else None
    size = tuple(map(int, given.size.split("x"))) if given.size else None
    seen, said = Probe(not given.address), []

    def say(text: str) -> None:
        said.append(text)
        print(f"{time.monotonic() - seen.began:7.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for number in range(given.cameras if given.videos else 0):
            video = given.videos[number % len(given.videos)]
            given.address.append(stack.enter_context(camera(plan(video, size, given.minutes, given.calm))))
        until = time.monotonic() + 60 * given.minutes
        folder, stopped = Path(name), lambda: time.monotonic() > until
        tuned = calibrated(given.run, given.calibrated, trained) if given.calibrated else None
        own = {"calibrations": dict.fromkeys(names_of(given.address), tuned), "config": config, "page": seen}
        ended = watch(given.address, trained, folder, say=say, stopped=stopped, **own)
        closing = time.monotonic() - until
        events = read_events(folder)
        whole = [
            one["ended_at"] and all(one[k] and (folder / one[k]).is_file() for k in ("snapshot", "clip"))
            for one in events
        ]
    lags = np.array(seen.lags)
    step = 1 / trained.config.analysis_fps
    megabytes = np.array(
        [size for at, size in seen.memory if at - seen.memory[0][0] > min(WARM_SECONDS, 10 * given.minutes)]
    )
    thirds = [float(np.median(part)) for part in np.array_split(megabytes, 3)]
    hours = given.minutes * len(given.address) / 60
    found = {
        "readings": len(lags),
        "readings_a_second": len(lags) / (60 * given.minutes),
        "lag_median_s": float(np.median(lags)),
        "lag_99_s": float(np.quantile(lags, 0.99)),
        "lag_worst_s": float(lags.max()),
        "lag_said_s": [float(np.median(seen.said_lags)), float(np.max(seen.said_lags))],
        "allowed_s": step + SLACK_SECONDS,
        "dropped": sum(seen.dropped.values()),
        "memory_mib": thirds,
        "losses": sum("trying again" in text for text in said),
        "reconnects": sum(": back after" in text for text in said),
        "events": len(events),
        "whole": sum(map(bool, whole)),
        "false_alarms_an_hour": len(events) / hours,
        "closed_in_s": closing,
        "ended": ended,
    }
    for what, value in found.items():
        print(f"{what:>22}  {', '.join(f'{one:.2f}' for one in value) if isinstance(value, list) else value}")
    print(json.dumps({"benchmark": "watch", "cores": os.cpu_count(), "cameras": len(given.address), **found}))
    sys.exit(found["lag_99_s"] > found["allowed_s"] or not all(whole))


if __name__ == "__main__":
    main()
