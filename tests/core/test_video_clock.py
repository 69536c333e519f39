"""The clock of a video: presentation times, ticks, damage, what carries no times, and pictures in a folder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import moving_square
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.clock import Clock, Timeline, UnevenError
from vadkit.core.errors import DataError
from vadkit.core.video import frames_at, inspect, probe, read_frames

VARIED = [*range(0, 20), *range(20, 140, 12)]  # thirtieths of a second: 20 frames in 0.67 s, then 10 in 4 s


def write_clocked(path: Path, stamps: list[int], rate: float = 30, codec: str = "libx264", images=None, **stream_facts):
    """A video whose frames are shown at these multiples of 1 / rate."""
    images = images or moving_square(len(stamps))
    with av.open(str(path), "w", format=stream_facts.pop("format", None)) as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(60000))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = stream_facts.pop("pix_fmt", "yuv420p")
        stream.options = stream_facts.pop("options", {})
        base = 1 / stream.codec_context.framerate
        stream.codec_context.time_base = base
        for stamp, image in zip(stamps, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = stamp, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# --- constant rates: nothing changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [10, 12.5, 23.976, 25, 29.97, 30, 59.94])
@pytest.mark.parametrize(("name", "first"), [("a.mp4", 0), ("a.mkv", 0), ("a.ts", 0), ("late.mp4", 45), ("a.avi", 0)])
def test_a_constant_rate_counts_frames_and_nothing_else(tmp_path, rate, name, first):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = write_clocked(tmp_path / name, [first + n for n in range(60)], rate, codec)
    frames = read_frames(path, even=True)
    seconds = [frames.time_s for _ in frames]
    fps, clock = frames.probe.fps, frames.decoded.clock
    assert clock.times is None and clock.fps == fps == pytest.approx(rate, rel=2e-3)
    assert seconds == [number / fps for number in range(60)]
    assert not any("rate" in note or "clock" in note for note in frames.decoded.notes)


def test_pixels_are_opencvs(tmp_path):
    for n, (codec, pixels) in enumerate(
        [
            ("libx264", "yuv420p"),
            ("libx264", "yuv444p"),
            ("mjpeg", "yuvj420p"),
            ("libx264", "gray"),
            ("ffv1", "yuv420p10le"),
        ]
    ):
        path = write_clocked(tmp_path / f"{n}.mkv", list(range(6)), codec=codec, pix_fmt=pixels)
        capture, found = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), list(read_frames(path))
        assert len(found) == 6
        for _, image in found:
            assert np.array_equal(image, capture.read()[1]), pixels
        capture.release()


def test_a_picture_on_its_side_is_shown_upright(tmp_path):
    plain = write_clocked(tmp_path / "plain.mp4", list(range(5)))
    with av.open(str(plain)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    path = tmp_path / "turned.mp4"
    facts, images = probe(path), [image for _, image in read_frames(path)]
    assert (facts.width, facts.height) == (48, 64) and images[0].shape == (64, 48, 3)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert np.array_equal(images[0], capture.read()[1])


# --- variable rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_a_variable_rate_has_the_times_of_its_frames(tmp_path, name):
    path = write_clocked(tmp_path / name, VARIED)
    frames = read_frames(path)
    seconds = [frames.time_s for _ in frames]
    assert np.allclose(seconds[3:], np.array(VARIED[3:]) / 30, atol=2e-3)
    assert np.allclose(frames.decoded.clock.times, np.array(VARIED) / 30, atol=2e-3)
    assert any(note.startswith("variable frame rate: 33 to 400 ms") for note in frames.decoded.notes)
    with pytest.raises(UnevenError):
        list(read_frames(path, even=True))


@given(steps=st.lists(st.floats(0, 0.5), min_size=1, max_size=60), fps=st.sampled_from([5.0, 19.41, 29.97, 30.0]))
def test_every_tick_is_shown_by_the_first_frame_at_or_after_it(steps, fps):
    clock = Clock(fps, np.concatenate([[0.0], np.cumsum(steps)]))
    ticks, shown = clock.ticks(len(steps) + 1), clock.shown(len(steps) + 1)
    assert len(shown) == ticks[-1] + 1 and np.all(ticks[shown] >= np.arange(len(shown)))
    assert all(shown[t] == 0 or ticks[shown[t] - 1] < t for t in range(len(shown)))
    assert [t for n in range(len(ticks)) for t in clock.stands_for(n)] == list(range(len(shown)))
    assert all(shown[t] == n for n in range(len(ticks)) for t in clock.stands_for(n))
    assert not clock.stands_for(len(ticks))


def test_a_rate_that_the_container_misstates_is_the_clocks():
    whole = Clock(25.0, np.arange(100) / 10)
    assert len(whole.shown(100)) == round(9.9 * 25) + 1


# --- clocks that are set anew or missing ------------------------------------------------------------------------------


def test_a_clock_that_jumps_goes_on_and_missing_times_follow_in_step():
    timeline = Timeline(10.0)
    assert [timeline.add(stamp) for stamp in (5.0, 5.1, 5.2, 0.0, 0.1)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [number for number, _ in timeline.jumps] == [3] and timeline.jumps[0][1] == pytest.approx(-5.2)
    assert [timeline.add(stamp) for stamp in (None, 0.3, 5000.0, 5000.1)] == pytest.approx(
        [0.5, 0.6, 0.9, 1.0], abs=0.2
    )
    assert timeline.missing == 1 and len(timeline.jumps) == 2


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=50))
def test_no_clock_goes_back(stamps):
    timeline = Timeline(25.0)
    found = [timeline.add(stamp) for stamp in stamps]
    assert found == sorted(found) and (not found or found[0] == 0)


def test_a_clock_that_was_set_back_is_called_that(tmp_path):
    whole = write_clocked(tmp_path / "a.ts", list(range(40)), options={"bf": "0"}).read_bytes()
    path = tmp_path / "twice.ts"
    path.write_bytes(whole + whole)
    found = inspect(path)
    assert found.frames == 80 and found.clock.times is None
    assert any("its clock jumps back by 1.3 s at frame 40" in note for note in found.notes), found.notes
    assert not any("variable" in note for note in found.notes)


def test_raw_h264_says_that_its_rate_is_a_guess(tmp_path):
    path = write_clocked(tmp_path / "raw.h264", list(range(30)), format="h264")
    found = inspect(path)
    assert found.frames == 30 and found.clock.times is None
    assert any("25 frames a second is a guess" in note for note in found.notes), found.notes


# --- damage -----------------------------------------------------------------------------------------------------------


def damaged(tmp_path: Path, share: float) -> Path:
    """A video with pictures that do not compress, in which that share of the packets is overwritten."""
    generator = np.random.default_rng(2)
    images = [generator.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(60)]
    path = write_clocked(tmp_path / "d.mp4", list(range(60)), images=images, options={"g": "1"})
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for place, size in places[20 : 20 + round(60 * share)]:
        content[place : place + size] = bytes([255]) * size
    path.write_bytes(content)
    return path


def test_a_few_damaged_packets_are_counted_and_survived(tmp_path):
    path = damaged(tmp_path, 0.05)
    frames = read_frames(path)
    seconds = [frames.time_s for _ in frames]
    found = frames.decoded
    assert found.frames == 57 and seconds[-1] == pytest.approx(59 / 30)  # what is lost takes its time
    assert found.clock.times[20] == pytest.approx(23 / 30)
    assert any("3 of 60 packets do not decode" in note for note in found.notes), found.notes
    assert not any("variable" in note for note in found.notes)


def test_many_damaged_packets_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"9 of 60 packets do not decode \(at most 10 % may\); fetch it again"):
        inspect(damaged(tmp_path, 0.15))


def test_av1_decodes(tmp_path):
    if not {"libsvtav1", "libaom-av1"} & av.codecs_available:
        pytest.skip("no AV1 encoder here")
    codec = "libsvtav1" if "libsvtav1" in av.codecs_available else "libaom-av1"
    path = write_clocked(tmp_path / "a.mp4", list(range(12)), codec=codec, images=moving_square(12, 128, 96))
    assert [number for number, _ in read_frames(path)] == list(range(12))


# --- names and folders ------------------------------------------------------------------------------------------------


def test_a_name_that_is_no_text_is_refused_and_escaped(tmp_path):
    path = Path(str(tmp_path) + "/caf\udce9.mp4")
    write_clocked(tmp_path / "a.mp4", list(range(4))).rename(path)
    with pytest.raises(DataError, match="not text in UTF-8; rename it") as found:
        inspect(path)
    assert "caf\\xe9.mp4" in str(found.value)


def test_a_folder_of_pictures_is_a_video(tmp_path):
    for number, image in enumerate(moving_square(12)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)  # 10 comes after 9
    (tmp_path / "notes.txt").write_text("not a picture")
    found = inspect(tmp_path, picture_fps=10.0)
    assert (found.frames, found.fps, found.width, found.height, found.notes) == (12, 10.0, 64, 48, ())
    for number, image in read_frames(tmp_path):
        assert np.array_equal(image, moving_square(12)[number])
    assert np.array_equal(frames_at(tmp_path, [10])[10], moving_square(12)[10])
    (tmp_path / "5.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"5\.png: expected a picture"):
        list(read_frames(tmp_path))


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(DataError, match="a folder without pictures"):
        read_frames(tmp_path)


# --- files that failed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frames", "said"),
    [
        ("av1.mp4", 60, ()),
        ("corrupt.mp4", 171, ("9 of 180 packets",)),
        ("ptsreset.ts", 180, ("jumps back by 3.0 s at frame 90",)),
        ("raw.h264", 180, ("25 frames a second is a guess",)),
        ("vfr.mp4", 99, ("variable frame rate",)),
        ("vfr.mkv", 99, ("variable frame rate",)),
        ("reschange.ts", 180, ("from frame 90 on it has 640x480", "jumps back")),
        ("rot90.mp4", 180, ()),
        ("editlist.mp4", 149, ()),
        ("midgop.ts", 60, ()),
        ("nodur.webm", 180, ()),
    ],
)
def test_the_cases_that_failed(shared, name, frames, said):
    found = inspect(shared(f"cases/video/{name}"))
    assert found.frames == frames
    for one in said:
        assert any(one in note for note in found.notes), found.notes
    if name.startswith("vfr"):
        assert found.clock.times[90] == pytest.approx(3.0, abs=1e-3)
    elif name != "corrupt.mp4":
        assert not any("variable" in note for note in found.notes)
