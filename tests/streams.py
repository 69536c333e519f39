"""A camera for tests: a process of its own that sends drawn pictures over HTTP as MPEG-TS, in real time, by a plan.

    with camera([{"seconds": 2, "bright": True}, "cut", {"seconds": 2}]) as address: ...

A step: seconds, fps (sent), says (the rate that its clock promises), width, height, bright, jump (of its clock, in
seconds), still (the same picture), video (a file in a loop, in the place of drawings, with the time of sending across
its top). "stall" sends nothing any more until the client goes; "cut" closes the connection, and the next client gets
what follows; a number is seconds to be away. After the plan the connection is closed and nobody listens.
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

STEP = {"seconds": 1.0, "fps": 25, "says": None, "width": 64, "height": 48, "bright": False, "jump": 0.0}
STEP |= {"still": False, "video": None}
BITS = 32  # of the time, in milliseconds


def picture(number: int, width: int, height: int, bright: bool, still: bool = False) -> np.ndarray:
    """A moving square on noise, BGR; a bright one has a mean above 150, else below 100."""
    number = 0 if still else number
    image = np.random.default_rng(number % 50).integers(30, 90, (height, width, 3), dtype=np.uint8)
    left = 2 * number % (width - 12)
    image[8:20, left : left + 12] = 200
    return image + np.uint8(110) * bright


def frames_of(step: dict) -> Iterator[np.ndarray]:
    """A step's pictures, without end."""
    number = 0
    while not step["video"]:
        yield picture(number, step["width"], step["height"], step["bright"], step["still"])
        number += 1
    while True:
        with av.open(step["video"]) as container:
            for frame in container.decode(video=0):
                yield mark(frame.to_ndarray(format="bgr24", width=step["width"], height=step["height"]))


def places(image: np.ndarray, shrink: float = 0.0) -> Iterator[np.ndarray]:
    """The parts of a picture of any size that stand for the bits of the time."""
    height, width = image.shape[:2]
    for bit in range(BITS):
        left, right = (width * (0.1 + 0.8 * (bit + edge) / BITS) for edge in (shrink, 1 - shrink))
        yield image[round(0.05 * height) : round(0.09 * height), round(left) : max(round(right), round(left) + 1)]


def mark(image: np.ndarray) -> np.ndarray:
    """Write the time across the top."""
    now = round(1000 * time.monotonic())
    for bit, place in enumerate(places(image)):
        place[:] = 255 * (now >> bit & 1)
    return image


def marked(image: np.ndarray) -> float:
    """The time across the top, in seconds."""
    return sum(int(place.mean() > 127) << bit for bit, place in enumerate(places(image, 0.25))) / 1000


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


def send(steps: list[dict], file) -> None:
    """One connection."""
    first = {**STEP, **steps[0]}
    with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        print("connected", time.monotonic(), flush=True)
        stream, at, due, rates = None, 0.0, time.monotonic(), first["says"] or first["fps"]
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
            at, pictures = at + step["jump"], frames_of(step)
            for _ in range(round(step["seconds"] * step["fps"])):
                time.sleep(max(0.0, due - time.monotonic()))
                frame = av.VideoFrame.from_ndarray(next(pictures), format="bgr24")
                frame.pts, frame.time_base = round(at * 90000), Fraction(1, 90000)
                for packet in encoder.encode(frame):
                    packet.stream, packet.time_base = stream, Fraction(1, 90000)
                    container.mux(packet)
                at, due = at + 1 / (step["says"] or step["fps"]), due + 1 / step["fps"]


def main() -> None:
    server, plan = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    steps: list[dict] = []
    for one in [*plan, "cut"]:
        if isinstance(one, dict):
            steps.append(one)
        elif not isinstance(one, str):
            time.sleep(one)
        elif steps:
            client, _ = server.accept()
            client.recv(10000)
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
            try:
                with client.makefile("wb", buffering=0) as file:
                    send(steps, file)
                print(one, time.monotonic(), flush=True)
                while one == "stall" and client.recv(1000):
                    pass
            except OSError as error:  # the client has gone
                print("left", time.monotonic(), error, flush=True)
            client.close()
            steps = []


if __name__ == "__main__":
    main()
