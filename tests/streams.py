"""A camera for tests: a process of its own that sends drawn pictures over HTTP as MPEG-TS, in real time, by a plan.

    with camera([{"seconds": 2, "bright": True}, "cut", {"seconds": 2}]) as address: ...

A step: seconds, fps (sent), says (the rate that its clock promises), width, height, bright, jump (of its clock, in
seconds), still (the same picture). "stall" sends nothing any more and keeps the connection; "cut" closes it, and the
next client gets what follows. After the plan the connection is closed and nobody listens.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = {
    "seconds": 1.0,
    "fps": 25,
    "says": None,
    "width": 64,
    "height": 48,
    "bright": False,
    "jump": 0.0,
    "still": False,
}


def picture(number: int, width: int, height: int, bright: bool, still: bool = False) -> np.ndarray:
    """A moving square on noise, BGR; a bright one has a mean above 150, else below 100."""
    number = 0 if still else number
    image = np.random.default_rng(number % 50).integers(30, 90, (height, width, 3), dtype=np.uint8)
    left = 2 * number % (width - 12)
    image[8:20, left : left + 12] = 200
    return image + np.uint8(110) * bright


@contextmanager
def camera(plan: list, log: Path | None = None) -> Iterator[str]:
    """The address of a camera that follows the plan, one client after the other; log: a file of what it does when."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with open(log or os.devnull, "w") as file, socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, __file__, str(server.fileno()), json.dumps(plan)]
        given = {"stdout": file, "stderr": subprocess.DEVNULL, "env": environment, "pass_fds": [server.fileno()]}
        child = subprocess.Popen(command, **given)
        port = server.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/camera.ts"
    finally:
        child.kill()
        child.wait()


def send(steps: list[dict], stall: bool, file) -> None:
    """One connection."""
    first = {**STEP, **steps[0]}
    with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        print("connected", time.monotonic(), flush=True)
        stream, at, due, number, rates = None, 0.0, time.monotonic(), 0, first["says"] or first["fps"]
        for step in ({**STEP, **one} for one in steps):
            if stream is None or (stream.width, stream.height) != (step["width"], step["height"]):
                encoder = av.CodecContext.create("libx264", "w") if stream is not None else None
                if encoder is None:
                    stream = encoder = container.add_stream("libx264", rate=Fraction(rates))
                    encoder = stream.codec_context
                encoder.width, encoder.height, encoder.pix_fmt = step["width"], step["height"], "yuv420p"
                encoder.time_base, encoder.framerate = Fraction(1, 90000), Fraction(rates)
                encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "12", "crf": "18"}
                encoder.options |= {"x264-params": "repeat-headers=1:annexb=1"}
            at += step["jump"]
            for _ in range(round(step["seconds"] * step["fps"])):
                image = picture(number, step["width"], step["height"], step["bright"], step["still"])
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = round(at * 90000), Fraction(1, 90000)
                time.sleep(max(0.0, due - time.monotonic()))
                for packet in encoder.encode(frame):
                    packet.stream, packet.time_base = stream, Fraction(1, 90000)
                    container.mux(packet)
                number, at, due = number + 1, at + 1 / (step["says"] or step["fps"]), due + 1 / step["fps"]
        print("stalled" if stall else "cut", time.monotonic(), flush=True)
        if stall:
            time.sleep(600)


def main() -> None:
    server, plan = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    steps: list[dict] = []
    for one in [*plan, "cut"]:
        if isinstance(one, dict):
            steps.append(one)
        elif steps:
            client, _ = server.accept()
            client.recv(10000)
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
            try:
                with client.makefile("wb", buffering=0) as file:
                    send(steps, one == "stall", file)
            except OSError as error:  # the client has gone
                print("left", time.monotonic(), error, flush=True)
            client.close()
            steps = []


if __name__ == "__main__":
    main()
