"""Streams as they come: lost, stalled, changed and lying about the time; files played as a camera would."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from conftest import moving_square, write_video
from streams import camera
from tiny import served

from vadkit.core.errors import DataError
from vadkit.live import source
from vadkit.live.source import Camera, LiveClock, LiveSource, is_live, named, names_of

PATIENCE = 60.0  # seconds, far more than anything here takes


class Seen:
    """What came of a source until `enough(seen)`."""

    def __init__(self, address: str, enough, **options):
        self.said, self.frames, began = [], [], time.monotonic()
        with LiveSource(address, say=self.said.append) as live:
            self.live = live
            for name, value in options.items():
                setattr(live, name, value)
            while not enough(self) and time.monotonic() - began < PATIENCE:
                if frame := live.newest(0.2):
                    self.frames.append(frame)
            self.state = live.state

    @property
    def times(self) -> np.ndarray:
        return np.array([frame.time_s for frame in self.frames])


def lost(seen: Seen) -> bool:
    return any("lost" in text for text in seen.said)


@pytest.fixture
def soon_stalled(monkeypatch):
    monkeypatch.setattr(source, "STALL_SECONDS", 1.5)
    monkeypatch.setattr(source, "RETRY_SECONDS", (0.2,))


def test_a_stream_that_is_cut_comes_back_in_another_size(soon_stalled):
    plan = [{"seconds": 2}, "cut", {"seconds": 2, "width": 96, "height": 64}, {"seconds": 1}]
    with camera(plan) as address:
        seen = Seen(address, lambda seen: sum("lost" in text for text in seen.said) == 2)
    assert [text.split(": ")[-1].split()[0] for text in seen.said] == ["it", "back", "its", "it"]
    assert seen.state.reconnects == 1 and not seen.state.connected and not seen.state.ended
    sizes = [frame.image.shape[:2] for frame in seen.frames]
    assert [*dict.fromkeys(sizes)] == [(48, 64), (64, 96)] and sizes[-1] == (48, 64)
    assert (np.diff(seen.times) >= 0).all() and seen.times[-1] > 4


def test_a_stall_is_said_once_and_the_time_goes_on(soon_stalled):
    with camera([{"seconds": 2}, "stall"]) as address:
        seen = Seen(address, lost)
    assert [text for text in seen.said if "lost" in text] == [
        f"{address}: the stream was lost after 2.0 s: no frame came for 2 s; trying again"
    ]


def test_a_wrong_address_is_tried_again_and_said_once(soon_stalled):
    seen = Seen("http://user:secret@127.0.0.1:9/x", lambda seen: len(seen.said) and time.monotonic() % 1 > 0.9)
    assert len(seen.said) == 1 and "does not open" in seen.said[0] and not seen.state.failed
    assert names_of(["http://user:secret@127.0.0.1:9/x"])[0] == "http://user:***@127.0.0.1:9/x" == seen.live.name


def test_the_newest_frame_wins_and_the_others_are_counted():
    with camera([{"seconds": 6}]) as address, LiveSource(address) as live:
        while not live.newest(1.0):
            pass
        time.sleep(1.0)
        before = live.state.dropped
        frame = live.newest(1.0)
        assert frame is not None and time.monotonic() - frame.arrived < 0.5
        assert before >= 5 and live.state.lag_s < 1.0


def test_frames_that_nobody_wants_are_not_converted_and_not_dropped():
    with camera([{"seconds": 3}]) as address:
        seen = Seen(address, lost, wanted=lambda time_s: False)
    assert not seen.frames and seen.state.dropped == 0


# --- the clock --------------------------------------------------------------------------------------------------------


class Wall:
    """A clock that is set by hand, with the processor's time."""

    def __init__(self, monkeypatch):
        self.now, self.spent = 100.0, 0.0
        monkeypatch.setattr(source.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(source.time, "thread_time", lambda: self.spent)


def test_a_true_clock_is_followed_through_jitter(monkeypatch):
    wall, notes = Wall(monkeypatch), []
    clock = LiveClock(notes.append)
    for number in range(500):
        wall.now = 100 + number / 25 + 0.1 * (number % 3)
        assert clock.add(7 + number / 25) == pytest.approx(number / 25)
        assert clock.late < 0.25
    assert notes == [] and not clock.untrue


@pytest.mark.parametrize(("says", "sends"), [(25, 10), (10, 25)])
def test_a_clock_that_lies_about_the_rate_gives_way_to_the_walls(monkeypatch, says, sends):
    wall, notes = Wall(monkeypatch), []
    clock = LiveClock(notes.append)
    for number in range(30 * sends):
        wall.now = 100 + number / sends
        found = clock.add(number / says)
    assert found == pytest.approx(max(30, 10 / says * sends), abs=20) and clock.untrue
    assert len(notes) == 1 and f"goes at {sends / says:.2f} of the wall's" in notes[0]
    before = clock.seconds
    wall.now += 5
    assert clock.add(0.0) == pytest.approx(before + 5)


def test_a_clock_that_jumps_goes_on(monkeypatch):
    wall, notes = Wall(monkeypatch), []
    clock, stamps = LiveClock(notes.append), [0.0, 0.04, 500.0, 500.04, 3.0, 3.04]
    found = []
    for number, stamp in enumerate(stamps):
        wall.now = 100 + number / 25
        found.append(clock.add(stamp))
    assert np.allclose(found, np.arange(6) / 25) and len(notes) == 2 and "jumps by +500.0 s" in notes[0]


def test_a_decoder_that_is_behind_is_told_so_and_a_paused_camera_is_not(monkeypatch):
    wall, notes = Wall(monkeypatch), []
    clock = LiveClock(notes.append)
    for number in range(200):
        wall.now, wall.spent = 100 + 1.5 * number / 25, 1.4 * number / 25  # the decoder needs half as long again
        clock.add(number / 25)
    assert clock.behind and clock.late == pytest.approx(0.5 * 199 / 25, abs=0.1) and notes == []
    wall.now, clock = 100.0, LiveClock(notes.append)
    for number in range(500):
        wall.now = 100 + number / 25 + 4 * (number > 100)  # paused for four seconds, without a word
        clock.add(number / 25)
    assert not clock.behind and clock.late < 0.1 and len(notes) == 1 and "fell 4.0 s behind" in notes[0]
    assert clock.seconds == pytest.approx(wall.now - 100, abs=0.1)


def test_a_camera_that_sends_less_than_it_says_is_timed_truly(monkeypatch, soon_stalled):
    monkeypatch.setattr(source, "WINDOW_SECONDS", 0.6)
    with camera([{"seconds": 6, "fps": 10, "says": 25}]) as address:
        seen = Seen(address, lost)
    assert any("of the wall's" in text for text in seen.said)
    assert seen.times[-1] == pytest.approx(seen.frames[-1].arrived - seen.frames[0].arrived, abs=1.0)


# --- files and recordings ---------------------------------------------------------------------------------------------


def test_a_file_is_played_in_real_time_and_ends(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving_square(45), 30.0)
    seen = Seen(str(path), lambda seen: seen.live.state.ended)
    assert seen.state.ended == "it is over" and not seen.state.failed and seen.live.name == "v.mp4"
    wall = [frame.arrived - seen.frames[0].arrived - frame.time_s for frame in seen.frames]
    assert len(seen.frames) + seen.state.dropped == 45 and min(wall) > -0.05


def test_a_recording_is_played_as_a_file(tmp_path):
    write_video(tmp_path / "v.mp4", moving_square(30), 30.0)
    with served(tmp_path) as address:
        seen = Seen(f"{address}/v.mp4", lambda seen: seen.live.state.ended)
    assert seen.state.ended == "it is over" and seen.frames[-1].arrived - seen.frames[0].arrived > 0.8


def test_a_file_that_is_none_is_refused_at_once_and_a_broken_one_fails(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        LiveSource(str(tmp_path / "none.mp4"))
    with pytest.raises(DataError, match="a camera is given by its number, 0"):
        is_live("/dev/video0")


def test_names_are_unique(tmp_path):
    assert names_of(["0", "a/v.mp4", "b/v.mp4"]) == ["camera 0", "v.mp4 (1)", "v.mp4 (2)"]


def test_a_camera_may_be_given_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = "rtsp://me:secret@10.0.0.7/live?channel=1"
    assert named(f"front door={address}") == (address, "front door")
    assert named(address) == (address, "")
    (tmp_path / "a=1.mp4").write_bytes(b"")
    assert named("a=1.mp4") == ("a=1.mp4", ""), "a file that is there"
    assert names_of(["door=0", "door=1", "2"]) == ["door (1)", "door (2)", "camera 2"]


def test_a_source_ends_its_thread(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving_square(300), 30.0)
    with LiveSource(str(path)) as live:
        assert live.newest(10.0)
    deadline = time.monotonic() + PATIENCE
    while any(thread.name == "decode v.mp4" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stream_read_in_order_says_that_it_was_lost():
    with camera([{"seconds": 2}]) as address:
        frames = iter(Camera(address))
        with pytest.raises(DataError, match="the stream was lost after 2.0 s: it ended"):
            for _ in frames:
                pass
