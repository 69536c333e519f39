"""From analysed frames to all frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.evaluation.scores import VideoScores, hold
from vadkit.views.sampling import segment_starts


@given(st.data())
def test_each_confidence_holds_until_the_next_analysed_frame(data):
    frames = data.draw(st.integers(1, 200))
    index = np.array(sorted(data.draw(st.sets(st.integers(0, frames - 1), min_size=1))))
    confidence = np.arange(len(index)) / max(1, len(index))
    spread = hold(index, confidence, frames)
    assert spread.shape == (frames,)
    for frame in range(frames):
        earlier = [i for i in range(len(index)) if index[i] <= frame]
        assert spread[frame] == confidence[earlier[-1] if earlier else 0]


def test_no_confidence_comes_from_the_future_after_the_first_analysed_frame():
    before = hold(np.array([2, 5]), np.array([0.1, 0.9]), 8)
    after = hold(np.array([2, 5]), np.array([0.1, 0.2]), 8)
    assert np.array_equal(before[:5], after[:5]) and not np.array_equal(before[5:], after[5:])


@pytest.mark.parametrize(
    ("index", "confidence", "frames", "message"),
    [
        ([], [], 5, "at least one, got 0 frames"),
        ([0, 1], [0.5], 5, "got 2 frames and 1 confidences"),
        ([3, 1], [0.5, 0.5], 5, "must rise"),
        ([1, 1], [0.5, 0.5], 5, "must rise"),
        ([-1, 1], [0.5, 0.5], 5, "within"),
        ([0, 5], [0.5, 0.5], 5, r"within \[0, 5\), got 0 to 5"),
    ],
)
def test_what_does_not_fit_is_refused(index, confidence, frames, message):
    with pytest.raises(ValueError, match=message):
        hold(np.array(index), np.array(confidence), frames)


def test_a_videos_scores_are_as_long_as_its_labels():
    video = VideoScores("a", "Normal", "s", 10.0, np.array([0, 10]), np.array([0.2, 0.7]), np.zeros(25, np.uint8))
    assert (video.frames, video.label) == (25, 0)
    assert video.frame_scores().tolist() == [0.2] * 10 + [0.7] * 15


@given(st.integers(1, 40), st.integers(0, 500), st.integers(0, 2**32 - 1))
def test_segments_cover_a_video_and_the_last_takes_the_remainder(segments, more, seed):
    frames, scores = segments + more, np.random.default_rng(seed).random(segments)
    spread, length = hold(segment_starts(frames, segments), scores, frames), frames // segments
    assert spread.shape == (frames,)
    for number, score in enumerate(scores):
        end = frames if number == segments - 1 else (number + 1) * length
        assert (spread[number * length : end] == score).all()


def test_segments_need_frames():
    with pytest.raises(ValueError, match="31 frames cannot be cut into 32 segments"):
        segment_starts(31, 32)
    assert segment_starts(100, 3).tolist() == [0, 33, 66]
