"""Segments: what each holds, and files of features that others publish, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.errors import DataError
from vadkit.corpora.video import Video
from vadkit.views.segments import even_rows, published_bag, read_published, segment_bag


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


def test_arrays_and_text_are_read_by_name(tmp_path):
    (tmp_path / "Abuse").mkdir()
    np.save(tmp_path / "Abuse" / "Abuse028_x264_i3d.npy", np.ones((5, 10, 4)))
    lines = [" ".join(str(v) for v in (row, 1, 2, 3)) for row in range(32)]
    (tmp_path / "Normal_Videos003_x264_C.txt").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "other.npy", np.ones((5, 4)))
    found, problems = read_published(tmp_path, videos("Abuse028", "Normal_Videos003", "Abuse030"))
    assert {name: f.shape for name, f in found.items()} == {"Abuse028": (5, 4), "Normal_Videos003": (32, 4)}
    assert found["Normal_Videos003"][7].tolist() == [7, 1, 2, 3]
    assert [(Path(p.where).name, p.left_out) for p in problems] == [("other.npy", True), ("Abuse030", True)]


def test_bad_features_are_named(tmp_path):
    def refused(said: str, **files) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, content in files.items():
            path = folder / name.replace("__", ".")
            np.save(path, content) if path.suffix == ".npy" else path.write_text(content)
        with pytest.raises(DataError, match=said):
            read_published(folder, videos("Abuse028", "Abuse030"))

    refused("no features in")
    refused("expected 32 lines, one a segment, got 31", Abuse028__txt="1 2\n" * 31)
    refused("line 2 has 1 numbers, line 1 has 2", Abuse028__txt="1 2\n" + "1\n" * 31)
    refused("is not a file of numbers alone", Abuse028__txt="a b\n" * 32)
    refused(r"expected numbers of shape \(clips, D\)", Abuse028__npy=np.ones(4))
    refused("1 of 8 numbers are not finite", Abuse028__npy=np.array([[np.nan, 1, 1, 1], [1, 1, 1, 1]]))
    refused("width 3, .* of 4", Abuse028__npy=np.ones((2, 4)), Abuse030__npy=np.ones((2, 3)))
    refused("both features of Abuse028", Abuse028__npy=np.ones((2, 4)), Abuse028_x264__npy=np.ones((2, 4)))
    refused("not a .npy file", Abuse028__npy=np.array([{}], dtype=object))


def test_published_clips_become_segments():
    clips = np.arange(64.0)[:, None]
    assert published_bag(clips, 64 * 16, 32).features[:, 0].tolist() == [2 * s + 0.5 for s in range(32)]
    assert np.array_equal(published_bag(clips[:32], 1000, 32).features, clips[:32])
    with pytest.raises(DataError, match="of another video"):
        published_bag(clips, 63, 32, "Abuse028")


def test_one_file_is_not_the_features_of_two_videos(tmp_path):
    np.save(tmp_path / "Abuse028.npy", np.ones((2, 4)))
    (tmp_path / "Abuse030.npy").symlink_to("Abuse028.npy")
    with pytest.raises(DataError, match="one file under two names"):
        read_published(tmp_path, videos("Abuse028", "Abuse030"))
