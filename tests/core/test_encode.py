"""Video files that we write: H.264 that any browser plays, whole or not at all."""

from __future__ import annotations

import resource

import av
import cv2
import numpy as np
import pytest

from vadkit.core.encode import write_h264
from vadkit.core.errors import DataError, DiskError


def pictures(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    rows, columns = np.mgrid[0:height, 0:width]
    return [
        np.dstack([(rows * 4) % 256, (columns * 3 + 9 * k) % 256, np.full_like(rows, 40 + 10 * k)]).astype(np.uint8)
        for k in range(count)
    ]


def decoded(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_every_frame_comes_back_in_order_and_nearly_the_same(tmp_path):
    frames = pictures(12)
    assert write_h264(tmp_path / "a.mp4", frames, 10.0, crf=10) == 12
    back = decoded(tmp_path / "a.mp4")
    assert len(back) == 12
    for ours, theirs in zip(frames, back, strict=True):
        assert np.abs(ours[..., 2].astype(int).mean() - theirs[..., 2].mean()) < 6  # red rises by 10 a frame


def test_a_browser_plays_it(tmp_path):
    path = tmp_path / "sub" / "a.mp4"  # folders are made
    write_h264(path, pictures(5), 29.97)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, abs=0.01)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # starts before it is whole


def test_opencv_counts_the_same_frames_and_rate(tmp_path):
    write_h264(tmp_path / "a.mp4", pictures(23), 10)
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 23


@pytest.mark.parametrize(("height", "width"), [(47, 64), (48, 63), (47, 63)])
def test_odd_sizes_are_padded_to_even_ones(tmp_path, height, width):
    write_h264(tmp_path / "a.mp4", pictures(3, height, width), 10)
    assert decoded(tmp_path / "a.mp4")[0].shape == (48, 64, 3)


def test_the_same_frames_give_the_same_file(tmp_path):
    """Also when the memory that the encoder gets has been used before."""
    rng, files = np.random.default_rng(0), set()
    for name in "abcdef":
        used = [rng.integers(0, 255, int(rng.integers(1000, 400_000)), dtype=np.uint8) for _ in range(60)]
        del used
        write_h264(tmp_path / f"{name}.mp4", pictures(20, 240, 320), 10)
        files.add((tmp_path / f"{name}.mp4").read_bytes())
    assert len(files) == 1


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.mp4"
    write_h264(path, pictures(4), 10)
    before = path.read_bytes()

    def broken():
        yield from pictures(2)
        raise RuntimeError("the camera went away")

    with pytest.raises(RuntimeError, match="went away"):
        write_h264(path, broken(), 10)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("size", [1_000, 30_000, 60_000])
def test_a_disk_that_fills_up_is_said_and_leaves_no_film(tmp_path, size):
    """Whether it shows in a packet, in the last ones or in the index, which are written at the end."""
    limits, rng = resource.getrlimit(resource.RLIMIT_FSIZE), np.random.default_rng(0)
    noise = [rng.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(8)]
    write_h264(tmp_path / "whole.mp4", noise, 10)
    assert (tmp_path / "whole.mp4").stat().st_size > 60_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"b\.mp4: the disk is full"):
            write_h264(tmp_path / "b.mp4", noise, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["whole.mp4"]


@pytest.mark.parametrize(
    ("frames", "fps", "crf", "message"),
    [
        ([], 10, 23, "no frames"),
        (pictures(1) + pictures(1, 32, 32), 10, 23, "frame 1 is 32x32, the first was 64x48"),
        ([np.zeros((48, 64), np.uint8)], 10, 23, r"\(H, W, 3\), got uint8 \(48, 64\)"),
        ([np.zeros((48, 64, 3), np.float32)], 10, 23, "got float32"),
        (pictures(1), 0, 23, "fps must be above 0"),
        (pictures(1), float("nan"), 23, "fps must be above 0"),
        (pictures(1), 10, 60, "crf must be in 0..51"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_no_file(tmp_path, frames, fps, crf, message):
    with pytest.raises(DataError, match=message):
        write_h264(tmp_path / "a.mp4", frames, fps, crf)
    assert list(tmp_path.iterdir()) == []
