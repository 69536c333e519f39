"""Tubes: where the windows lie, what the crops hold, and that nothing but the training boxes decides anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.corpora.video import Video
from vadkit.views.clips import ZERO, extract_clips
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH
from vadkit.views.tubes import Cut, extract_tubes
from vadkit.views.windows import GRID, SMALLEST, crop_frame, side_of, speeds, window_around, windows_of_motion


@st.composite
def boxes(draw):
    left, top = draw(st.floats(0, FLOW_WIDTH - 2)), draw(st.floats(0, FLOW_HEIGHT - 2))
    return left, top, draw(st.floats(left + 1, FLOW_WIDTH)), draw(st.floats(top + 1, FLOW_HEIGHT))


@given(box=boxes(), scale=st.floats(1.0, 4.0))
def test_a_tubes_window_lies_in_the_frame_holds_the_box_and_is_square_as_far_as_the_frame_allows(box, scale):
    left, top, right, bottom = window_around(box, scale)
    assert 0 <= left <= box[0] and box[2] <= right <= FLOW_WIDTH
    assert 0 <= top <= box[1] and box[3] <= bottom <= FLOW_HEIGHT
    width, height = right - left, bottom - top
    assert (
        width >= SMALLEST
        and height >= SMALLEST
        and max(width, height) >= min(scale * max(box[2] - box[0], box[3] - box[1]), FLOW_WIDTH) - 1e-6
    )
    assert width == height or height == FLOW_HEIGHT < width


def test_a_window_is_centred_where_the_frame_allows_it():
    assert window_around((100, 100, 140, 120), 1.5) == (90, 80, 150, 140)
    assert window_around((0, 0, 40, 20), 1.5) == (0, 0, 60, 60)
    assert window_around((300, 230, 301, 231), 1.0) == (292, 222, 308, 238)


@given(
    side=st.integers(SMALLEST, FLOW_WIDTH),
    count=st.integers(1, 4),
    spots=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 79), st.floats(0.5, 6)), max_size=5),
)
def test_windows_of_motion_lie_in_the_frame_and_the_first_holds_the_most(side, count, spots):
    motion = np.zeros((FLOW_HEIGHT // GRID, FLOW_WIDTH // GRID), np.float32)
    for y, x, speed in spots:
        motion[y, x] += speed
    found = windows_of_motion(motion, side, count)
    assert 1 <= len(found) <= count
    for left, top, right, bottom in found:
        assert 0 <= left < right <= FLOW_WIDTH and 0 <= top < bottom <= FLOW_HEIGHT
        assert (right - left, bottom - top) == (min(side, FLOW_WIDTH), min(side, FLOW_HEIGHT))
    if spots:
        across, down = round(min(side, FLOW_WIDTH) / GRID), round(min(side, FLOW_HEIGHT) / GRID)
        best = max(
            motion[y : y + down, x : x + across].sum()
            for y in range(motion.shape[0] - down + 1)
            for x in range(motion.shape[1] - across + 1)
        )
        left, top = found[0][0] // GRID, found[0][1] // GRID
        assert motion[top : top + down + 1, left : left + across + 1].sum() >= best - 1e-4
        assert motion.sum() == pytest.approx(
            sum(speed for _, _, speed in spots), rel=1e-4
        )  # the caller's is left as it was
    else:
        (left, top, right, bottom), *none = found
        assert not none and abs(left + right - FLOW_WIDTH) <= 1 and abs(top + bottom - FLOW_HEIGHT) <= 1


def test_a_speed_counts_up_to_a_limit_so_that_two_people_outweigh_one_car():
    field = np.zeros((FLOW_HEIGHT, FLOW_WIDTH, 2), np.float32)
    field[20:40, 20:40] = (40, 0)  # fast
    field[150:180, 200:230] = (0, 5)  # larger, slower
    left, top, right, bottom = windows_of_motion(speeds(field), 48)[0]
    assert left <= 200 + GRID and 230 - GRID <= right and top <= 150 + GRID and 180 - GRID <= bottom


def crossing(frames: int, boxes_at: list[tuple[int, int]], width=320, height=240) -> list[np.ndarray]:
    """A textured square moves 3 pixels a frame from each of the given places."""
    rng = np.random.default_rng(0)
    ground, things = (
        rng.integers(60, 90, (height, width, 3), dtype=np.uint8),
        rng.integers(0, 255, (len(boxes_at), 24, 24, 3), dtype=np.uint8),
    )
    images = []
    for number in range(frames):
        image = ground.copy()
        for (x, y), thing in zip(boxes_at, things, strict=True):
            image[y : y + 24, x + 3 * number : x + 3 * number + 24] = thing
        images.append(image)
    return images


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Video:
    """30 frames at 15 a second, the last 14 anomalous, in a box at the lower left; all motion is in the upper right."""
    folder = tmp_path_factory.mktemp("tubes")
    path = write_video(folder / "Assault001.mp4", crossing(30, [(180, 40)]), fps=15)
    vatic = folder / "Assault001.txt"
    vatic.write_text(
        "".join(f'0 {20 + frame} 150 {60 + frame} 190 {frame} {int(frame < 16)} 0 0 "Assault"\n' for frame in range(30))
    )
    return Video("Assault001", path, "Assault", "train", "s", ((16, 30),), vatic)


def config_of(tmp_path: Path, **changes) -> Config:
    return Config(
        **{
            "cache_root": str(tmp_path / "cache"),
            "workers": 1,
            "clip_frames": 6,
            "clip_shift_anomalous": 1,
            "clip_shift_normal": 2,
            "i3d_score_every": 2,
            **changes,
        }
    )


def only(cut: Cut, config: Config, size: int = 32):
    (one,), problems = extract_tubes([cut], config, size)
    assert not problems
    return one


def test_boxes_decide_the_training_windows_and_motion_all_others(tmp_path, video):
    config = config_of(tmp_path)
    boxed = only(Cut(video, "boxes"), config)
    assert boxed.labels.all() and np.array_equal(boxed.index, boxed.ends * 2) and set(boxed.index) <= set(range(16, 30))
    for end, window in zip(boxed.ends, boxed.windows, strict=True):
        last = end * 2  # the union of what is seen up to there: before frame 16 the boxes are lost
        first = max(16, (end - 5) * 2)
        assert tuple(window) == window_around((20 + first, 150, 60 + last, 190), config.tube_scale)
    for kind, sides in (("score", (60,)), ("search", (60,)), ("normal", (50, 60, 70))):
        of = replace(video, category="Normal", intervals=(), boxes_path=None) if kind == "normal" else video
        one = only(Cut(of, kind, sides), config)
        assert {side_of(w) for w in one.windows} <= set(sides)
        moved = one.windows[one.ends >= 3]
        assert len(moved) and (moved[:, 0] > 140).all() and (moved[:, 3] < 130).all()
    assert len({side_of(w) for w in one.windows}) > 1  # drawn


def test_an_anomaly_between_two_kept_frames_is_cut_along_its_own_box(tmp_path, video):
    """Every second frame is kept; the box is seen in frame 17 alone."""
    config, boxes = config_of(tmp_path), tmp_path / "one.txt"
    boxes.write_text('0 40 60 80 90 17 0 0 0 "Assault"\n')
    one = only(Cut(replace(video, boxes_path=boxes, intervals=((17, 18),)), "boxes"), config)
    assert (one.index.tolist(), one.ends.tolist(), one.labels.tolist()) == ([17], [8], [1])
    assert tuple(one.windows[0]) == window_around((40, 60, 80, 90), config.tube_scale)


def test_crops_show_what_is_in_the_window(tmp_path, video):
    config = config_of(tmp_path)
    one = only(Cut(video, "score", (60,)), config)
    row = len(one) - 1
    frames = crossing(30, [(180, 40)])
    shown = one.images("rgb", [row])[0]
    assert shown.shape == (6, 32, 32, 3)
    for k, picture in enumerate(shown):
        expected = crop_frame(frames[2 * (int(one.ends[row]) - 5 + k)], tuple(one.windows[row]), 32)
        assert np.abs(picture.astype(int) - expected).mean() < 8  # what the codec left of it
    flow = one.images("flow", [row])[0].astype(int) - ZERO
    assert (
        27 < np.median(flow[flow[..., 0] > 20][:, 0]) < 42
    )  # 6 pixels of the frame are 38 steps; of the crop, they would be 20
    assert not (one.images("flow", [0])[0].astype(int) - ZERO).any()  # nothing before the first frame
    first = one.images("rgb", [0])[0]
    assert all(np.array_equal(first[0], later) for later in first[1:])
    with pytest.raises(ValueError, match="stream must be one of rgb, flow"):
        one.images("frame", [0])


def test_rows_that_share_a_clip_share_its_pictures(tmp_path, video):
    config = config_of(tmp_path)
    one, alone = (only(Cut(video, "score", (60,)), config_of(tmp_path, i3d_score_every=every)) for every in (2, 1))
    assert (
        np.array_equal(one.index, alone.index)
        and len(set(one.shown)) == -(-len(one) // 2)
        and len(set(alone.shown)) == len(alone)
    )
    assert np.array_equal(one.ends, np.repeat(alone.ends[::2], 2)[: len(one)])
    (whole,), _ = extract_clips([video], config, 32, ("rgb",), purpose="score", every=2)
    assert (
        np.array_equal(whole.ends, one.ends)
        and np.array_equal(whole.index, one.index)
        and np.array_equal(whole.rows("score", config), np.arange(len(whole)))
    )


def test_the_whole_frames_come_by_the_way(tmp_path, video, monkeypatch):
    """The entries are those of an extraction of their own."""
    config, apart = config_of(tmp_path), config_of(tmp_path / "apart")
    only(Cut(video, "score", (60,)), config)
    (own,), _ = extract_clips([video], apart, 32, ("rgb", "flow"), purpose="both")
    monkeypatch.setattr("vadkit.views.clips._build", lambda *args: pytest.fail("they are there"))
    (found,), _ = extract_clips([video], config, 32, ("rgb", "flow"), purpose="both")
    assert (
        found.digest == own.digest
        and found.frames == own.frames
        and found.folders["flow"].name == own.folders["flow"].name
    )
    assert all(
        np.array_equal(found.images(s, range(len(found))), own.images(s, range(len(own)))) for s in ("rgb", "flow")
    )
    assert not list((tmp_path / "cache").rglob("whole-*"))
    only(Cut(video, "score", (50,)), config)  # with them there, nothing of them is made


def test_of_every_clip_several_windows_may_be_searched(tmp_path, video):
    path = write_video(tmp_path / "two.mp4", crossing(30, [(180, 40), (20, 170)]), fps=15)
    one = only(Cut(replace(video, path=path), "search", (60,)), config_of(tmp_path, tube_windows=2))
    pairs = one.windows[one.ends == one.ends[-1]]
    assert len(pairs) == 2 and {bool(w[1] > 120) for w in pairs} == {True, False}
    assert np.array_equal(np.unique(one.shown), np.arange(len(one)))


def test_what_is_annotated_does_not_change_what_is_searched_or_scored(tmp_path, video):
    config = config_of(tmp_path)
    other = tmp_path / "other.txt"
    other.write_text(video.boxes_path.read_text().replace(" 150 ", " 10 ").replace(" 190 ", " 60 "))
    moved = replace(video, boxes_path=other, intervals=((0, 9),))
    for kind in ("score", "search"):
        a, b = (only(Cut(v, kind, (60,)), config) for v in (video, moved))
        assert a.folder == b.folder and a.digest == b.digest
    a, b = (only(Cut(v, "boxes"), config) for v in (video, replace(video, boxes_path=other)))
    assert a.digest != b.digest and not np.array_equal(a.windows, b.windows)


def test_one_process_and_two_give_the_same_and_the_cache_remembers(tmp_path, video):
    cuts = [Cut(video, "boxes"), Cut(video, "search", (48,)), Cut(video, "score", (60,))]
    found = [extract_tubes(cuts, config_of(tmp_path / str(workers), workers=workers), 32)[0] for workers in (1, 2)]
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a.windows, b.windows) and all(
            np.array_equal(a.images(s, range(len(a))), b.images(s, range(len(b)))) for s in ("rgb", "flow")
        )
    said = []
    extract_tubes(cuts, config_of(tmp_path / "1"), 32, lambda *line: said.append(line))
    assert [(done, total) for done, total, _ in said] == [(3, 3)]  # nothing was missing


def test_a_video_that_cannot_be_cut_is_named(tmp_path, video):
    config = config_of(tmp_path)
    outside, gone = tmp_path / "outside.txt", tmp_path / "gone.mp4"
    outside.write_text('0 400 10 420 30 20 0 0 0 "Assault"\n')
    cuts = [
        Cut(replace(video, name="a", boxes_path=outside, intervals=((20, 21),)), "boxes"),
        Cut(replace(video, name="b", path=gone), "score", (60,)),
        Cut(video, "score", (60,)),
    ]
    tubes, problems = extract_tubes(cuts, config, 32)
    assert [one.video.name for one in tubes] == ["Assault001"]
    assert (
        "expected a box inside the picture of 320x240" in problems[0].what
        and str(outside) in problems[0].what
        and "no file" in problems[1].what
    )
    with pytest.raises(DataError, match="no file"):
        extract_tubes(cuts[1:], config.model_copy(update={"strict": True}), 32)
    with pytest.raises(ValueError, match="Assault001 has no boxes"):
        Cut(replace(video, boxes_path=None), "boxes")
    with pytest.raises(ValueError, match="'score' takes one side, got 2"):
        Cut(video, "score", (60, 70))
    with pytest.raises(ValueError, match="cut for 'score', not for 'train'"):
        tubes[0].rows("train", config)
