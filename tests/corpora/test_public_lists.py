"""The lists of public data sets: their totals, and that a reader who asks for another is told which there are."""

import pytest

from vadkit.core.errors import ConfigError
from vadkit.corpora.public_lists import listed


@pytest.mark.parametrize(
    ("dataset", "counts", "frames"),
    [
        ("ucf-crime", {("train", 1): 810, ("train", 0): 800, ("test", 1): 140, ("test", 0): 150}, 1_111_808),
        ("xd-violence", {("test", 1): 500, ("test", 0): 300}, 2_335_801),
    ],
)
def test_a_data_set_has_its_published_numbers_of_videos_and_test_frames(dataset, counts, frames):
    videos = listed(dataset).values()
    assert {key: sum((v.split, v.label) == key for v in videos) for key in counts} == counts
    assert len(videos) == sum(counts.values())
    assert sum(v.frames for v in videos if v.split == "test") == frames
    assert all(bool(v.intervals) == bool(v.label) for v in videos if v.split == "test")
    assert all(v.intervals is None for v in videos if v.split == "train" and v.label)


def test_spans_count_from_0_and_end_before_their_last_frame_plus_1():
    assert listed("ucf-crime")["Abuse028"].intervals == ((164, 240),)  # 165 240 in the annotation


def test_an_unknown_data_set_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="ucf-crime, xd-violence"):
        listed("ucf_crime")
