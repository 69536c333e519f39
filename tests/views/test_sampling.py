from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Video
from vadkit.views.sampling import Walk, plan, stride_frames

RATES = st.sampled_from([7.0, 10.0, 15.0, 23.976, 24.0, 25.0, 29.97, 30.0, 60.0])


def video_at(category: str = "Normal", intervals=()) -> Video:
    return Video("video", Path("nowhere.mp4"), category, "train", "source", intervals)


@st.composite
def annotated(draw):
    frames = draw(st.integers(1, 400))
    edges = sorted(draw(st.lists(st.integers(0, 420), max_size=8, unique=True)))
    spans = tuple(zip(edges[::2], edges[1::2], strict=False))
    return frames, video_at(category="Assault" if spans else "Normal", intervals=spans)


@given(RATES, st.floats(0.1, 100))
def test_a_stride_is_the_nearest_whole_number_of_frames(fps, rate):
    stride = stride_frames(fps, rate)
    assert stride >= 1
    assert stride == 1 or abs(fps / rate - stride) <= 0.5
    assert (
        stride_frames(30, 3),
        stride_frames(30, 1),
        stride_frames(29.97, 3),
        stride_frames(7, 10),
        stride_frames(15, 10),
    ) == (10, 30, 10, 1, 2)


@given(annotated(), RATES, st.sampled_from([0.5, 1.0, 3.0, 10.0, 120.0]))
def test_scoring_rows_are_an_even_grid_over_the_whole_video(case, fps, rate):
    frames, video = case
    config = make_config({"analysis_fps": rate})
    index, flow_from = plan(video, frames, fps, config, "score")
    stride = stride_frames(fps, rate)
    assert index.tolist() == list(range(0, frames, stride))
    assert frames - 1 - index[-1] < stride
    assert (flow_from == np.maximum(index - stride, 0)).all()


@given(annotated(), RATES, st.sampled_from(["released", "section_4_2", "section_5_3"]))
def test_training_rows_keep_their_rate_inside_every_span(case, fps, sampling):
    frames, video = case
    config = make_config({"sampling": sampling})
    index, _ = plan(video, frames, fps, config, "train")
    labels = video.frame_labels(frames)
    assert (np.diff(index) > 0).all() and index[0] == 0
    starts = [0, *(np.flatnonzero(np.diff(labels)) + 1), frames]
    for start, end in zip(
        starts[:-1], starts[1:], strict=True
    ):  # every span, hard or not, has its first frame and its own stride
        stride = stride_frames(fps, config.training_fps[0 if labels[start] else 1])
        assert index[(index >= start) & (index < end)].tolist() == list(range(start, end, stride))


@given(
    annotated(),
    RATES,
    st.sampled_from(["grid", "adjacent", "sampled"]),
    st.sampled_from(["train", "score", "both"]),
    st.integers(1, 400),
)
def test_a_plan_is_causal_and_the_head_of_a_longer_videos_plan(case, fps, pair, purpose, longer):
    frames, video = case
    config = make_config({"flow_pair": pair, "sampling": "section_5_3"})
    index, flow_from = plan(video, frames, fps, config, purpose)
    assert (np.diff(index) >= 0).all() and (flow_from >= 0).all() and (flow_from <= index).all()
    assert set(index[flow_from == index]) == {0}  # only the first frame has no flow
    if pair != "sampled":
        assert (np.diff(index) > 0).all()
    long_index, long_from = plan(video, frames + longer, fps, config, purpose)
    head = long_index < frames
    assert long_index[head].tolist() == index.tolist() and long_from[head].tolist() == flow_from.tolist()


@given(annotated(), RATES, st.sampled_from(["grid", "adjacent", "sampled"]))
def test_both_is_the_union_of_the_two_plans(case, fps, pair):
    frames, video = case
    config = make_config({"flow_pair": pair})
    pairs = {
        purpose: set(zip(*(a.tolist() for a in plan(video, frames, fps, config, purpose)), strict=True))
        for purpose in ("train", "score", "both")
    }
    assert pairs["both"] == pairs["train"] | pairs["score"]


def test_adjacent_flow_comes_from_the_frame_before_and_sampled_from_the_row_before():
    video = video_at(category="Arson", intervals=((60, 90),))
    config = make_config({"flow_pair": "adjacent"})
    index, flow_from = plan(video, 120, 30.0, config, "train")
    assert index.tolist() == [0, 30, 60, 70, 80, 90]
    assert flow_from.tolist() == [0, 29, 59, 69, 79, 89]
    assert plan(video, 120, 30.0, make_config({"flow_pair": "sampled"}), "train")[1].tolist() == [0, 0, 30, 60, 70, 80]


def test_a_video_level_label_makes_every_frame_hard():
    video = video_at(category="Fighting", intervals=None)
    assert plan(video, 30, 30.0, make_config({}), "train")[0].tolist() == [0, 10, 20]


def test_a_container_that_promises_too_few_frames_is_still_read_to_its_end():
    """The plan grows ahead of the decoder: the container's count is no bound."""
    walk = Walk(video_at(), 30.0, make_config({}), "score", 0)
    wanted = [number for number in range(150) if walk.wants(number)]
    assert wanted == list(range(0, 150, 10))
    assert walk.flows_to(140) == [130] and walk.last_use(130) == 140
