"""Corpora of real files that take a second: train, validation and test; and what live scoring is tested with."""

from __future__ import annotations

import csv
import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from conftest import moving_square, write_video

from vadkit.core.config import Config
from vadkit.corpora.video import Corpus, Video
from vadkit.live.score import COLUMNS

LIVE_FPS = 12.0

# Parameters with which the real profiles run through every notebook in minutes.
_GIVEN = """
    seeds=[0] workers=2 bootstrap_resamples=20 image_size=64 flow_method=dis detector_weights=world detector_size=160
    backbone=resnet18 backbone_weights=random head_width=16 head_epochs=2 finetune_epochs=0 batch_size=8
    clip_width=0.125 clip_flow_method=dis c3d_size=32 i3d_size=32
    c3d_weights=random i3d_rgb_weights=random i3d_flow_weights=random
    mil_segments=8 mil_epochs=2 mil_features=streams
"""
TINY = dict(one.split("=") for one in _GIVEN.split())


def tiny_corpus(folder: Path) -> Corpus:
    """Six videos of 60 frames at 30 fps; the anomalous ones are so from frame 15 to 45, in a box around the middle."""
    videos = []
    for number, split in enumerate(["train", "train", "val", "val", "test", "test"]):
        category = "Assault" if number % 2 == 0 else "Normal"
        path = write_video(folder / f"{category}{number:03d}.mp4", moving_square(60))
        boxes = None
        if category == "Assault":
            boxes = folder / f"{category}{number:03d}.txt"
            boxes.write_text(
                "".join(f'0 16 12 48 36 {frame} {int(frame >= 45)} 0 0 "Assault"\n' for frame in range(15, 60))
            )
        videos.append(
            Video(f"{category}{number:03d}", path, category, split, f"s{number}", ((15, 45),) if boxes else (), boxes)
        )
    return Corpus("tiny", tuple(videos))


def live_corpus(folder: Path) -> Corpus:
    """Eight videos of 40 frames; the anomalous ones are noisy."""
    rng = np.random.default_rng(0)
    videos = []
    for number in range(8):
        images = moving_square(40)
        if number % 2:
            images = [np.clip(i.astype(int) + rng.integers(0, 120), 0, 255).astype(np.uint8) for i in images]
        path = write_video(folder / f"v{number}.mp4", images, LIVE_FPS)
        split = ("train", "train", "train", "train", "val", "val", "test", "test")[number]
        videos.append(
            Video(
                path.stem,
                path,
                "Fighting" if number % 2 else "Normal",
                split,
                path.stem,
                ((12, 36),) if number % 2 else (),
            )
        )
    return Corpus("tiny", tuple(videos))


def live_config(root: Path, profile: str, **changes) -> Config:
    """Parameters under which a system trains on `live_corpus` in about a second."""
    values = dict(profile=profile, output_root=str(root / "outputs"), cache_root=str(root / "cache"), workers=1)
    values |= dict(seeds=[0], head_width=8, head_epochs=4, head_lr=3e-3, mil_epochs=3, mil_fps=4.0)
    values |= dict(backbone="resnet18", backbone_weights="random", image_size=32, flow_method="dis")
    values |= dict(detector_weights="none", sampling="custom", anomaly_fps=4.0, normal_fps=4.0, analysis_fps=4.0)
    return Config(**{**values, **changes})


def rows(path: Path) -> np.ndarray:
    """The table that live scoring wrote. Shape: (analysed frames, 5), as COLUMNS."""
    with open(path) as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == list(COLUMNS)
    return np.array([[float(line[name]) for name in COLUMNS] for line in lines])


def broken_off(folder: Path) -> tuple[Path, Path]:
    """A video of 40 frames, and the same file cut short."""
    whole, cut = folder / "whole.avi", folder / "cut.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), LIVE_FPS, (64, 48))
    for image in moving_square(40):
        writer.write(image)
    writer.release()
    cut.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    return whole, cut


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder's files are streams."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def publish(folder: Path, features: dict[str, np.ndarray]) -> Path:
    """Features as others publish them, a `.npy` a video."""
    folder.mkdir(exist_ok=True)
    for name, rows in features.items():
        np.save(folder / f"{name}.npy", np.asarray(rows, np.float32))
    return folder
