"""Fixtures shared by the tests: real data where it stands, and tiny videos made on the spot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from papers_tree import write_tree

from vadkit.core import compute
from vadkit.core.config import Config
from vadkit.core.parameters import load_params

# A busy machine is no reason to fail: what is slow is left to pytest's own report of durations.
settings.register_profile("vadkit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vadkit")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests first on both processes (each starts with half of the list), so that they end at about the same
    time."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    rest = [item for item in items if not item.get_closest_marker("slow")]
    here = len(items) // 2 - len(slow[::2])
    items[:] = [*slow[::2], *rest[:here], *slow[1::2], *rest[here:]]


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("data/fights")` is that path under $VADKIT_SHARED or `../shared`; skips where it is absent."""
    root = Path(os.environ.get("VADKIT_SHARED") or REPOSITORY.parent / "shared")

    def find(relative: str) -> Path:
        path = root / relative
        if not path.exists():
            pytest.skip(f"needs real data that is not here: {relative} (under $VADKIT_SHARED or ../shared)")
        return path

    return find


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make minutes of seconds where other processes run."""
    with compute.one_thread():
        yield


@pytest.fixture
def figures_close() -> Iterator[None]:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def moving_square(frames: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames with a bright square that moves over a textured background. Each: (H, W, 3) uint8 BGR."""
    background = np.random.default_rng(0).integers(40, 120, (height, width, 3), dtype=np.uint8)
    images = []
    for number in range(frames):
        image = background.copy()
        left = 2 * number % max(1, width - 12)
        image[8:20, left : left + 12] = (240, 220, 60)
        images.append(image)
    return images


def write_video(path: Path, images: Iterable[np.ndarray], fps: float = 30.0) -> Path:
    """An MPEG-4 part 2 file of BGR images with even sides."""
    import cv2

    images = list(images)
    height, width = images[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    assert writer.isOpened(), f"OpenCV cannot write {path}"
    for image in images:
        writer.write(image)
    writer.release()
    return path


def write_lossless(path: Path, stamps: list[int], images: list[np.ndarray], rate: float = 30) -> Path:
    """A video whose frames are shown at these multiples of 1 / rate, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(60000))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for stamp, image in zip(stamps, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = stamp, 1 / stream.codec_context.framerate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def tiny_video(tmp_path: Path) -> Callable[..., Path]:
    """`tiny_video("a.mp4", frames=20, width=64, height=48, fps=30, images=None)` writes a video under tmp_path."""

    def make(
        name: str = "tiny.mp4",
        frames: int = 20,
        width: int = 64,
        height: int = 48,
        fps: float = 30.0,
        images: Iterable[np.ndarray] | None = None,
    ) -> Path:
        return write_video(tmp_path / name, moving_square(frames, width, height) if images is None else images, fps)

    return make


@pytest.fixture(scope="session")
def the_papers(tmp_path_factory) -> Callable[..., Config]:
    """`the_papers(**changes)`: the papers' own parameters, on data as many as theirs; changes may name another
    data_root."""
    root = write_tree(tmp_path_factory.mktemp("papers") / "UCF-Crime")
    return lambda **changes: load_params(
        REPOSITORY / "params" / "ucf_crime.yaml",
        {"data_root": str(root), "output_root": str(root.parent / "outputs"), **changes},
    )
