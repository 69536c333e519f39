"""Clips for 3D networks: which are cut, what they hold, and that nothing is lost on the way to the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_square, write_video
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.corpora.video import Video
from vadkit.views.clips import FULL_SCALE, ZERO, extract_clips, flow_picture, plan_clips, positions_of
from vadkit.views.sampling import stride_frames


def made(intervals=(), label=True) -> Video:
    return Video("v", Path("v.mp4"), "Fighting" if label else "Normal", "train", "v", intervals)


spans = st.lists(st.integers(0, 600), min_size=2, max_size=6, unique=True).map(
    lambda cuts: tuple(zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
)


@given(frames=st.integers(1, 600), intervals=spans, fps=st.sampled_from([7.0, 15.0, 25.0, 30.0]))
def test_training_clips_keep_to_one_label_and_leave_no_span_out(frames, intervals, fps):
    config = Config()
    video = made(tuple((a, min(b, frames)) for a, b in intervals if a < frames))
    stride = stride_frames(fps, config.clip_fps)
    kept = np.arange(0, frames, stride)
    ends, index = plan_clips(video, frames, fps, config, "train")
    assert np.array_equal(ends, index // stride) and np.all(np.diff(index) > 0) and index[-1] < frames
    cuts = [0, *(cut for span in video.intervals for cut in span), frames]
    for number, (start, stop) in enumerate(zip(cuts[:-1], cuts[1:], strict=True)):
        hard, mine = number % 2, (index >= start) & (index < stop)
        own = np.flatnonzero((kept >= start) & (kept < stop))
        if not len(own):
            assert index[mine].tolist() == [stop - 1] * (
                hard and stop > start
            )  # between two kept frames: one for an anomaly
            continue
        assert len(ends[mine]) and np.array_equal(index[mine], ends[mine] * stride)
        if len(own) >= config.clip_frames:
            assert ends[mine][0] == own[0] + config.clip_frames - 1
            assert set(np.diff(ends[mine])) <= {config.clip_shift_anomalous if hard else config.clip_shift_normal}
            assert np.isin(positions_of(ends[mine], config.clip_frames), own).all()
        else:
            assert ends[mine].tolist() == [own[-1]]


@pytest.mark.parametrize("span", [(121, 124), (122, 123), (1, 4), (197, 200)])
def test_an_anomaly_between_two_kept_frames_is_seen(span):
    """At 30 frames a second every fourth is kept: 120 and 124 are, what lies between is nobody's label."""
    video = made((span,))
    for purpose in ("train", "both"):
        ends, index = plan_clips(video, 200, 30.0, Config(), purpose)
        hard = video.frame_labels(200)[index] == 1
        assert index[hard].tolist()[-1] == span[1] - 1 and ends[hard].tolist()[-1] == span[0] // 4


@given(frames=st.integers(1, 600), fps=st.sampled_from([7.0, 15.0, 25.0, 30.0]))
def test_scoring_looks_back_only_and_at_every_analysed_frame(frames, fps):
    config = Config()
    ends, index = plan_clips(made(), frames, fps, config, "score")
    stride = stride_frames(fps, config.clip_fps)
    assert np.array_equal(index, np.arange(0, frames, stride_frames(fps, config.analysis_fps)))
    assert np.all(ends * stride <= index) and np.all(index - ends * stride < stride)


def test_the_papers_strides_at_thirty_frames_a_second():
    """7.5 a second is every fourth frame; a shift of 4 is 16 video frames, of 8 is 32 (section 4.5)."""
    _, index = plan_clips(made(((400, 600),)), 1000, 30.0, Config(), "train")
    hard = index[(index >= 400) & (index < 600)]
    assert hard[0] == 400 + 15 * 4 and set(np.diff(hard)) == {16}
    assert set(np.diff(index[index < 400])) == {32}
    with pytest.raises(ValueError, match="purpose must be one of"):
        plan_clips(made(), 10, 30.0, Config(), "test")


def test_a_clip_before_the_start_repeats_the_first_frame():
    assert positions_of(np.array([0, 2, 4]), 4).tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [1, 2, 3, 4]]


@pytest.fixture
def clips(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving_square(40), fps=15)
    config = Config(cache_root=str(tmp_path / "cache"), workers=1)
    video = replace(made(((20, 40),)), path=path)
    (one,), problems = extract_clips([video], config, 32, ("rgb", "flow"), purpose="both")
    assert not problems
    return one, config


def test_clips_hold_the_frames_of_the_video(clips):
    one, config = clips
    assert one.frames == 40 and one.fps == 15
    rgb = one.images("rgb", [len(one) - 1])
    assert rgb.shape == (1, 16, 32, 32, 3) and rgb.dtype == np.uint8
    last = one.images("rgb", [0])[0]
    assert all(np.array_equal(last[0], frame) for frame in last[1:])  # the first row looks back before the video
    moved = [np.abs(a.astype(int) - b).mean() for a, b in zip(rgb[0][:-1], rgb[0][1:], strict=True)]
    assert min(moved) > 0.5


def test_flow_of_clips_is_the_displacement_between_kept_frames(clips):
    one, config = clips
    flow = one.images("flow", [len(one) - 1])[0].astype(int) - ZERO
    assert flow[..., 0].max() > 5 and abs(flow[..., 1]).max() < flow[..., 0].max()  # the square moves to the right
    assert not (one.images("flow", [0])[0].astype(int) - ZERO).any()  # nothing before the first frame
    assert not flow[..., 2].any()


def test_displacements_are_cut_at_full_scale_and_zero_is_exact():
    field = np.zeros((4, 4, 2), np.float32)
    field[0, 0] = (FULL_SCALE / 2, -3 * FULL_SCALE)
    image = flow_picture(field, 4).astype(int) - ZERO
    assert image[0, 0].tolist() == [64, -127, 0] and not image[1:].any()


def test_a_hard_span_between_kept_frames_gives_a_row_to_train_on(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving_square(40), fps=15)
    config = Config(cache_root=str(tmp_path / "cache"), workers=1)
    (one,), _ = extract_clips([replace(made(((21, 22),)), path=path)], config, 32, ("rgb",), purpose="train")
    rows = one.rows("train", config, hard_only=True)
    assert (one.index[rows].tolist(), one.ends[rows].tolist(), one.labels[rows].tolist()) == ([21], [10], [1])


def test_hard_only_rows_end_in_a_hard_anomaly(clips):
    one, config = clips
    every, hard = one.rows("train", config), one.rows("train", config, hard_only=True)
    assert set(hard) < set(every) and one.labels[hard].all()
    with pytest.raises(ValueError, match="'train'.*not extracted"):
        one.rows(
            "train", config.model_copy(update={"clip_shift_normal": 3, "clip_shift_anomalous": 1, "clip_frames": 3})
        )
    with pytest.raises(ValueError, match="stream must be one of rgb, flow, got 'frame'"):
        one.images("frame", [0])
    with pytest.raises(IndexError, match="which has"):
        one.images("rgb", [999])


def test_processes_give_what_one_process_gives_and_the_cache_remembers(tmp_path):
    videos = [
        replace(
            made(label=False), name=f"v{n}", path=write_video(tmp_path / f"v{n}.mp4", moving_square(20 + n), fps=15)
        )
        for n in range(3)
    ]
    found = []
    for workers in (1, 2):
        config = Config(cache_root=str(tmp_path / str(workers)), workers=workers)
        found.append(extract_clips(videos, config, 32, ("rgb",))[0])
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a.images("rgb", range(len(a))), b.images("rgb", range(len(b)))) and a.digest == b.digest
    said = []
    extract_clips(videos, config, 32, ("rgb",), progress=lambda *line: said.append(line))
    assert [(done, total) for done, total, _ in said] == [(3, 3)]  # nothing was missing


def test_a_video_that_cannot_be_used_is_named(tmp_path):
    good, bad = write_video(tmp_path / "good.mp4", moving_square(20)), tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    videos = [replace(made(label=False), name=p.stem, path=p) for p in (good, bad, tmp_path / "gone.mp4")]
    config = Config(cache_root=str(tmp_path / "cache"), workers=1)
    clips, problems = extract_clips(videos, config, 32, ("rgb", "flow"))
    assert [one.video.name for one in clips] == ["good"]
    assert sorted(Path(p.where).name for p in problems if p.left_out) == ["bad.mp4", "gone.mp4"]
    with pytest.raises(DataError, match=r"bad\.mp4"):
        extract_clips(videos[:2], config.model_copy(update={"strict": True}), 32, ("rgb",))


def test_a_damaged_entry_says_what_to_delete(clips):
    one, _ = clips
    pictures = one.folders["rgb"] / "pictures.bin"
    pictures.write_bytes(pictures.read_bytes()[:-10])
    with pytest.raises(DataError, match="delete the folder"):
        one.images("rgb", [len(one) - 1])
