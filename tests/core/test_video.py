from __future__ import annotations

import csv
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from conftest import moving_square

from vadkit.core.errors import DataError
from vadkit.core.video import frames_at, inspect, probe, read_frames


def write_av(
    path: Path,
    images: list[np.ndarray],
    milliseconds: list[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict | None = None,
) -> Path:
    """Any codec and any clock, which OpenCV's writer does not offer."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        base = Fraction(1, 1000) if milliseconds else Fraction(1, 30)
        stream.time_base = stream.codec_context.time_base = base
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = (milliseconds[number] if milliseconds else number), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def noise(frames: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Pictures that do not compress, so that half of a file's bytes are about half of its frames."""
    generator = np.random.default_rng(1)
    return [generator.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(frames)]


def test_every_frame_comes_once_in_order_and_as_written(tiny_video):
    path = tiny_video(frames=25)
    numbers, images = zip(*read_frames(path), strict=True)
    assert list(numbers) == list(range(25))
    assert all(image.shape == (48, 64, 3) and image.dtype == np.uint8 for image in images)
    written = np.stack(moving_square(25)).astype(int)
    for number, image in enumerate(images):  # lossy, but nearest to this very picture
        assert np.argmin(np.abs(written - image).mean((1, 2, 3))) == number


def test_wanted_frames_are_the_same_pictures_as_in_a_full_pass(tiny_video):
    path = tiny_video(frames=30)
    every = dict(read_frames(path))
    some = dict(read_frames(path, lambda number: number % 7 == 3))
    assert list(some) == [3, 10, 17, 24]
    assert all(np.array_equal(some[number], every[number]) for number in some)


def test_some_frames_by_their_number_and_one_past_the_end_is_named(tiny_video):
    path = tiny_video(frames=12)
    every, some = dict(read_frames(path)), frames_at(path, [9, 2])
    assert list(some) == [2, 9] and all(np.array_equal(some[number], every[number]) for number in some)
    assert frames_at(path, []) == {}
    with pytest.raises(DataError, match=rf"{path.name}: expected a frame 12, the video ends after 12") as caught:
        frames_at(path, [3, 12])
    assert caught and str(path) not in {file.path for file in psutil.Process().open_files()}  # though the error lives


def test_facts_of_container_and_of_decoding_agree(tiny_video):
    path = tiny_video(frames=33, width=80, height=56, fps=25)
    says, found = probe(path), inspect(path)
    assert (says.width, says.height, says.fps, says.frames, says.seconds) == (80, 56, 25.0, 33, 33 / 25)
    assert (found.width, found.height, found.fps, found.frames, found.notes) == (80, 56, 25.0, 33, ())
    assert inspect(path).frames == 33


def test_facts_are_known_only_at_the_end(tiny_video):
    frames = read_frames(tiny_video(frames=5))
    next(frames)
    with pytest.raises(ValueError, match="read to its end"):
        _ = frames.decoded
    list(frames)
    assert frames.decoded.frames == 5


def test_reading_may_stop_early(tiny_video):
    frames = read_frames(tiny_video(frames=5))
    next(frames)
    frames.close()
    assert list(frames) == []


def test_a_name_with_a_number_is_a_video_and_not_a_series_of_pictures(tiny_video):
    assert inspect(tiny_video("clip %03d.mp4", frames=4)).frames == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>Sign in to download</html>", "text, perhaps a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "text, perhaps a web page or a pointer"),
        (bytes(range(256)) * 40, "does not open"),
    ],
)
def test_what_is_not_a_video_is_named_with_a_remedy(tmp_path, content, said):
    path = tmp_path / "Assault999_x264.mp4"
    path.write_bytes(content)
    for read in (read_frames, probe, inspect):
        with pytest.raises(DataError, match=said) as error:
            read(path)
        assert str(path) in str(error.value) and "fetch it again" in str(error.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.mp4: expected a video, got no such file"):
        read_frames(tmp_path / "gone.mp4")
    with pytest.raises(DataError, match="got a folder"):
        read_frames(tmp_path)


def test_an_mp4_whose_index_was_cut_off_is_called_broken_off(tmp_path):
    whole = write_av(tmp_path / "whole.mp4", noise(40))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.mp4.*broke off.*moov"):
        read_frames(cut)
    # a length that nobody filled in: no place in a file is that far
    cut.write_bytes(b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\1mdat" + b"\xff" * 200)
    with pytest.raises(DataError, match=r"cut\.mp4.*broke off.*moov"):
        read_frames(cut)


@pytest.mark.parametrize(("name", "options"), [("fast.mp4", {"movflags": "faststart"}), ("cut.mkv", None)])
def test_a_truncated_video_that_opens_fails_once_its_frames_run_out(tmp_path, name, options):
    whole = write_av(tmp_path / f"whole-{name}", noise(60), options=options)
    assert inspect(whole).frames == 60
    cut = tmp_path / name
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames = read_frames(cut)
    with pytest.raises(DataError, match=r"truncated or damaged: its container promises 60 frames, \d+ decode") as error:
        list(frames)
    assert str(cut) in str(error.value)


def test_an_mp4_with_damage_in_the_middle_is_refused(tmp_path):
    path = write_av(tmp_path / "hole.mp4", noise(60), options={"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 4] = bytes(len(content) // 4)
    path.write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        inspect(path)


def test_a_container_without_one_frame_is_refused(tmp_path):
    whole = write_av(tmp_path / "whole.mp4", noise(30), options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "header.mp4"
    path.write_bytes(whole[: whole.index(b"mdat") + 4])  # the index is whole, no frame follows
    with pytest.raises(DataError, match=r"header\.mp4: expected at least one frame, none decodes"):
        inspect(path)


def test_a_video_with_a_last_frame_or_two_missing_is_noted_and_used(tmp_path):
    whole = write_av(tmp_path / "whole.mp4", noise(60), options={"movflags": "faststart"}, codec="mpeg4")
    cut = tmp_path / "short.mp4"
    with av.open(str(whole)) as container:
        starts = sorted(packet.pos for packet in container.demux(video=0) if packet.pos)
    cut.write_bytes(whole.read_bytes()[: starts[-2]])
    assert inspect(cut).notes == ("the container says 60 frames, 58 decode",)
    cut.write_bytes(whole.read_bytes()[: starts[-5]])
    with pytest.raises(DataError, match="promises 60 frames, 55 decode"):
        inspect(cut)


@pytest.mark.parametrize("name", ["steps.mp4", "steps.mkv"])
def test_a_variable_frame_rate_is_noted_not_refused(tmp_path, name):
    clock = np.cumsum(np.random.default_rng(0).integers(20, 120, 50)).tolist()
    found = inspect(write_av(tmp_path / name, moving_square(50), clock))
    assert found.frames == 50
    assert any(note.startswith("variable frame rate: ") for note in found.notes)


def test_a_constant_frame_rate_in_whole_milliseconds_is_not_called_variable(tmp_path):
    found = inspect(write_av(tmp_path / "even.mkv", moving_square(50), [number * 1000 // 30 for number in range(50)]))
    assert found.notes == ()


def test_an_implausible_frame_rate_is_refused(tmp_path):
    clock = [number * 1000 // 30 for number in range(40)]
    path = write_av(
        tmp_path / "clock.avi", moving_square(40), clock, codec="mpeg4"
    )  # AVI takes the clock's unit for the rate
    with pytest.raises(DataError, match=r"container says 1000; re-encode it"):
        read_frames(path)


@pytest.mark.parametrize(("level", "shade"), [(128, "grey"), (4, "black"), (250, "white")])
def test_a_start_without_a_picture_is_noted(tiny_video, level, shade):
    blank = [np.full((48, 64, 3), level, np.uint8)] * 6
    path = tiny_video(images=[*blank, *moving_square(14)])
    assert inspect(path).notes == (f"the first 6 frames are {shade}: nearly constant, without a picture",)


def test_a_blank_frame_later_on_and_a_picture_at_the_start_give_no_note(tiny_video):
    images = moving_square(20)
    images[9] = np.full((48, 64, 3), 128, np.uint8)
    assert inspect(tiny_video(images=images)).notes == ()


def test_a_video_that_is_all_blank_is_noted(tiny_video):
    assert inspect(tiny_video(images=[np.full((48, 64, 3), 128, np.uint8)] * 8)).notes == (
        "all 8 frames are grey: nearly constant, without a picture",
    )


def test_odd_sizes_decode_whole_and_are_noted(tmp_path):
    path = write_av(tmp_path / "odd.avi", moving_square(8, 61, 47), codec="mjpeg", pix_fmt="yuvj444p")
    frames = read_frames(path)
    assert {image.shape for _, image in frames} == {(47, 61, 3)}
    assert "odd size 61x47" in frames.decoded.notes


def test_failures_write_nothing_to_the_terminal(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(200))
    script = (
        "import sys\nfrom vadkit.core.errors import DataError\nfrom vadkit.core.video import inspect\n"
        "try: inspect(sys.argv[1])\nexcept DataError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bad.mp4")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_the_real_crime_videos_decode_to_the_counts_that_are_known(shared):
    folder = shared("data/ucf_crime")
    with open(folder / "videos.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    for row in rows:
        found = inspect(folder / "videos" / row["path"])
        assert (found.frames, found.width, found.height, found.fps) == (int(row["frames"]), 320, 240, 30.0), row["path"]


def test_the_real_street_video_has_795_frames(shared):
    found = inspect(shared("data/street/vtest.avi"))
    assert (found.frames, found.width, found.height, found.fps) == (795, 768, 576, 10.0)


def test_the_real_fights_decode_without_a_loss(shared):
    folder = shared("data/fights")
    with open(folder / "clips.csv", newline="") as file:
        paths = [folder / row["path"] for row in csv.DictReader(file)]
    assert all(inspect(path).frames == probe(path).frames for path in paths[::10])
