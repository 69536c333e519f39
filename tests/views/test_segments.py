"""Segments: what each holds, and files of features that others publish, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.errors import DataError
from vadkit.corpora.video import Video
from vadkit.views.segments import even_rows, segment_bag


def videos(*names: str) -> list[Video]:
    return [
        Video(name, Path(f"{name}.mp4"), "Normal" if name.startswith("Normal") else "Abuse", "train", name)
        for name in names
    ]


def test_a_segment_is_the_mean_of_its_rows_and_the_last_takes_the_remainder():
    bag = segment_bag(np.array([0, 2, 4, 6, 8, 10]), np.arange(6.0)[:, None], 11, 2)
    assert bag.starts.tolist() == [0, 5] and bag.features.dtype == np.float32
    assert bag.features[:, 0].tolist() == [1.0, 4.0]


def test_a_segment_without_a_row_takes_the_row_before():
    bag = segment_bag(np.array([1, 7]), np.array([[1.0], [2.0]]), 10, 5)
    assert bag.features[:, 0].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert segment_bag(np.array([3]), np.array([[5.0]]), 4, 2).features[:, 0].tolist() == [
        5.0,
        5.0,
    ]  # none before: the first


def test_zero_segments_take_every_row():
    bag = segment_bag(np.array([0, 3, 9]), np.eye(3), 10, 0)
    assert bag.starts.tolist() == [0, 3, 9] and np.array_equal(bag.features, np.eye(3))


def test_a_video_shorter_than_its_segments_is_named():
    with pytest.raises(DataError, match="clip7 has 20 frames, too few for 32 segments; set mil_segments to 20"):
        segment_bag(np.array([0]), np.zeros((1, 2)), 20, 32, "clip7")


@given(st.data())
def test_segments_of_a_constant_video_are_that_constant(data):
    frames, segments = data.draw(st.integers(40, 300)), data.draw(st.integers(1, 40))
    index = np.array(sorted(data.draw(st.sets(st.integers(0, frames - 1), min_size=1))))
    bag = segment_bag(index, np.full((len(index), 3), 7.0), frames, segments)
    assert bag.features.shape == (segments, 3) and (bag.features == 7.0).all()


@given(st.sets(st.integers(0, 500), min_size=1), st.integers(1, 60))
def test_even_rows_rise_and_are_nearest(index, stride):
    index = np.array(sorted(index))
    rows = even_rows(index, stride)
    assert (np.diff(rows) > 0).all()
    for frame in range(0, index[-1] + 1, stride):
        assert np.abs(index[rows] - frame).min() == np.abs(index - frame).min()


def test_the_grid_itself_is_kept():
    assert even_rows(np.arange(0, 100, 5), 10).tolist() == list(range(0, 20, 2))
