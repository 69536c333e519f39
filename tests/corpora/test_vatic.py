from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.errors import DataError
from vadkit.corpora.vatic import Box, boxes, clip_intervals, intervals, merge, parse
from vadkit.corpora.video import Video


def line(frame: int, lost: int = 0, track: int = 0) -> str:
    return f'{track} 10 20 30 40 {frame} {lost} 0 1 "Assault"'


def write(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "Assault018.txt"
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


def video(*spans: tuple[int, int]) -> Video:
    return Video(
        "Assault018", Path("Assault018_x264.mp4"), "Assault", "test", "Assault018", spans, Path("Assault018.txt")
    )


def test_ten_fields_become_a_box(tmp_path):
    path = write(
        tmp_path,
        '3 1 2 30 40 5 0 1 0 "Assault"',
        "",
        '4 0 0 0 0 6 1 0 1 "two words"',
        '5 0 0 9 9 7 0 0 0 bare "attribute one" "two"',
    )
    assert parse(path) == (
        Box(3, 1, 2, 30, 40, 5, lost=False, occluded=True, generated=False, label="Assault"),
        Box(4, 0, 0, 0, 0, 6, lost=True, occluded=False, generated=True, label="two words"),
        Box(5, 0, 0, 9, 9, 7, lost=False, occluded=False, generated=False, label="bare"),
    )


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    path = write(tmp_path, line(4), line(5), end="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert intervals(path) == ((4, 6),)


def test_a_frame_is_anomalous_where_any_track_is_seen(tmp_path):
    path = write(
        tmp_path,
        line(3),
        line(4, lost=1),
        line(5, lost=1),
        line(4, lost=0, track=1),
        line(5, lost=1, track=1),
        line(8, track=1),
    )
    assert intervals(path) == ((3, 5), (8, 9))
    assert [sorted(box.track for box in boxes(path)[frame]) for frame in (3, 4, 8)] == [[0], [1], [1]]
    assert 5 not in boxes(path)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("0 10 20 30 40 5 0 0", "expected ten fields"),
        ('0 10 20 30 40 5 0 0 1 "Assault" tail', "expected ten fields"),
        ('0 10 20 30 40 5 0 0 1 "Assault', "expected ten fields"),
        ('0 10 20 30 40 five 0 0 1 "Assault"', "expected nine integers"),
        ('0 10 20 30 40 5.5 0 0 1 "Assault"', "expected nine integers"),
        ('0 31 20 30 40 5 0 0 1 "Assault"', "expected xmin <= xmax"),
        ('0 10 41 30 40 5 0 0 1 "Assault"', "ymin <= ymax"),
        ('0 10 20 30 40 -5 0 0 1 "Assault"', "frame number from 0"),
        ('0 10 20 30 40 5 2 0 1 "Assault"', "expected 0 or 1 for lost"),
    ],
)
def test_a_malformed_line_is_named_with_its_number(tmp_path, bad, said):
    path = write(tmp_path, line(1), "", bad, line(2))
    with pytest.raises(DataError, match=said) as error:
        parse(path)
    assert str(error.value).startswith(f"{path}, line 3: ")


def test_a_file_in_which_nothing_is_seen_is_refused(tmp_path):
    for lines in ((line(1, lost=1), line(2, lost=1)), ()):
        with pytest.raises(DataError, match="at least one frame with lost = 0"):
            intervals(write(tmp_path, *lines))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "Assault018.txt"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="UTF-8"):
        parse(path)
    with pytest.raises(DataError, match="cannot be read"):
        parse(tmp_path / "gone.txt")


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


@given(spans)
def test_merged_spans_cover_the_same_frames_sorted_and_apart(pairs):
    merged = merge(pairs)
    covered = {frame for start, end in pairs for frame in range(start, end)}
    assert {frame for start, end in merged for frame in range(start, end)} == covered
    assert all(start < end for start, end in merged)
    assert all(before[1] < after[0] for before, after in zip(merged, merged[1:], strict=False))


@given(spans, st.integers(1, 70), st.integers(0, 20))
def test_clipping_keeps_every_label_within_the_video(pairs, frames, slack):
    before = video(*merge(pairs))
    last = max((end for _, end in before.intervals), default=0)
    outside = last > frames and all(start >= frames for start, _ in before.intervals)
    if last > frames + slack or outside:
        with pytest.raises(DataError, match="annotated up to frame"):
            clip_intervals(before, frames, slack)
        return
    after, problem = clip_intervals(before, frames, slack)
    assert np.array_equal(after.frame_labels(frames), before.frame_labels(max(frames, last))[:frames])
    assert all(end <= frames for _, end in after.intervals)
    assert (problem is None) == (last <= frames)


def test_a_clipped_annotation_says_what_was_done():
    after, problem = clip_intervals(video((10, 20), (40, 52)), 50, slack=2)
    assert after.intervals == ((10, 20), (40, 50))
    assert not problem.left_out
    assert (
        problem.where == "Assault018.txt" and "annotated up to frame 52" in problem.what and "50 frames" in problem.what
    )


def test_an_annotation_far_past_the_end_names_file_counts_and_parameter():
    with pytest.raises(DataError, match=r"Assault018\.txt: .*frame 52.*has 50 frames.*annotation_slack_frames"):
        clip_intervals(video((10, 20), (40, 52)), 50, slack=1)


def test_videos_without_spans_are_left_as_they_are():
    whole = Video("a", Path("a.mp4"), "fight", "all", "a", None)
    assert clip_intervals(whole, 5, 0) == (whole, None)
    assert clip_intervals(video(), 5, 0) == (video(), None)
