"""What each stream sees: the window follows motion, speeds come in order, and only the past is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import moving_square

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Video
from vadkit.views.flow import Streams, motion_window, speed_image, stream_names
from vadkit.views.frames import extract
from vadkit.views.sampling import Walk, flows_of

WINDOWED = {
    "frame_window": True,
    "speed_stream": True,
    "flow_pair": "gap",
    "flow_scale": "fixed",
    "flow_method": "dis",
    "image_size": 48,
    "detector_weights": "none",
    "workers": 1,
}


def moving(x: float, y: float, top: int, left: int) -> np.ndarray:
    flow = np.zeros((240, 320, 2), np.float32)
    flow[top : top + 40, left : left + 40] = (x, y)
    return flow


@pytest.mark.parametrize(("top", "left"), [(0, 0), (190, 270), (100, 20), (100, 140)])
def test_the_window_holds_what_moves(top, left):
    window = motion_window([moving(6, 2, top, left)], 0.05)
    assert 0 <= window.x <= 0.5 and 0 <= window.y <= 0.5
    marked = np.zeros((480, 640), np.uint8)  # twice the size of the flow
    marked[2 * top : 2 * top + 80, 2 * left : 2 * left + 80] = 1
    cut = window.crop(marked)
    assert cut.shape == (240, 320) and cut.sum() == marked.sum()


def test_two_slow_people_outweigh_a_fast_speck():
    flow = moving(3, 0, 20, 20)
    flow[20:60, 80:120] = (3, 0)
    flow[200:204, 300:304] = (300, 0)
    assert motion_window([flow], 0.05).y < 0.3


def test_without_motion_the_window_is_in_the_middle_and_speeds_are_black():
    assert (motion_window([], 0.05).x, motion_window([], 0.05).y) == (0.25, 0.25)
    assert not speed_image([], 0.05, 32).any()


def test_speeds_are_red_green_blue_in_time_and_the_earliest_stands_for_missing_ones():
    flows = [moving(x, 0, 0, 0) for x in (3, 6, 12)]
    assert speed_image(flows, 0.05, 240)[10, 10].tolist() == [63, 127, 255]
    assert speed_image(flows[1:], 0.05, 240)[10, 10].tolist() == [127, 127, 255]


def test_a_rows_flows_are_successive_and_never_start_before_the_video():
    assert flows_of(9, 12, 3) == [(3, 6), (6, 9), (9, 12)]
    assert flows_of(2, 5, 3) == [(2, 5)]
    assert flows_of(0, 0, 3) == []


@pytest.mark.parametrize("pair", ["grid", "adjacent", "gap", "sampled"])
@pytest.mark.parametrize("windowed", [True, False])
def test_the_walk_keeps_every_frame_that_a_row_still_needs(pair, windowed):
    config = make_config(
        WINDOWED
        | {
            "flow_pair": pair,
            "frame_window": windowed,
            "speed_stream": windowed,
            "analysis_fps": 5.0,
            "sampling": "custom",
            "anomaly_fps": 10.0,
            "normal_fps": 2.0,
        }
    )
    video, images = Video("v", None, "Assault", "all", "v", ((20, 31),)), moving_square(60, 320, 240)
    walk, streams, rows = Walk(video, 30.0, config, "both", 60), Streams(config, 30.0), 0
    for number, frame in enumerate(images):
        if not walk.wants(number):
            continue
        streams.see(number, frame)
        for start in walk.flows_to(number):
            made = streams.images(number, start, frame)
            assert list(made) == list(stream_names(config)) and all(i.shape == (48, 48, 3) for i in made.values())
            rows += 1
        streams.forget(lambda seen, now=number: walk.last_use(seen) > now)
    assert rows > 10


def test_later_frames_change_no_earlier_image(tmp_path, tiny_video):
    images = moving_square(40, 320, 240)
    config = make_config(WINDOWED | {"cache_root": str(tmp_path / "cache"), "analysis_fps": 5.0})
    whole, head = (
        Video(n, tiny_video(f"{n}.mp4", images=i), "Normal", "test", n, ())
        for n, i in (("whole", images), ("head", images[:25]))
    )
    (one, two), problems = extract([whole, head], config)
    assert not [p for p in problems if p.left_out]
    shared = range(len(two) - 1)  # the encoder may treat a video's last frames otherwise
    for stream in stream_names(config):
        assert np.array_equal(one.images(stream, shared), two.images(stream, shared))
    assert one.images("speed", [2, 3]).any()


def test_a_shorter_gap_draws_the_same_speed(tmp_path):
    config = make_config(WINDOWED | {"flow_gap_seconds": 0.1})
    slow, fast = Streams(config, 20.0), Streams(config, 40.0)  # gaps of 2 and 4 frames
    assert slow._full_scale(2) == pytest.approx(fast._full_scale(4)) == pytest.approx(config.flow_full_scale)
    assert slow._full_scale(1) == pytest.approx(config.flow_full_scale / 2)
