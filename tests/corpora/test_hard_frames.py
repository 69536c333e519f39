"""Boxes and intervals of others: what they say of UCF-Crime, and that a pickle runs nothing."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from vadkit.core.errors import DataError
from vadkit.core.parameters import make_config
from vadkit.corpora import load_corpus
from vadkit.corpora.hard_frames import boxes_of, read, read_boxes, read_intervals
from vadkit.corpora.public_lists import listed
from vadkit.corpora.video import Video


def row(number: int, *corners: int) -> list:
    return [f"/elsewhere/Abuse001_x264/image_{number:04d}.jpg", *corners]


def boxes(folder: Path, content, name: str = "Train_annotation.pkl") -> Path:
    (folder / name).write_bytes(pickle.dumps(content))
    return folder / name


def corpus(folder: Path, **values):
    return load_corpus(make_config({"corpus": "ucf_crime", "data_root": str(folder), "mil_published": "f", **values}))


def test_boxes_are_joined_where_one_may_be_missing(tmp_path):
    rows = [row(17, 1, 1, 11, 21), row(1, 1, 1, 11, 21), row(49, 33, 1, 43, 21), row(200, 5, 6, 7, 8)]
    path = boxes(tmp_path, {"Abuse001_x264": rows})
    said: list[str] = []
    assert read([path], lambda _, what: said.append(what)) == {"Abuse001": (((0, 49), (199, 200)), path)}
    assert said == ["hard frames of 1 videos are from here, where no official span says otherwise"]
    seen = boxes_of(Video("Abuse001", Path("x"), "Abuse", "train", "x", boxes_path=path))
    assert list(seen) == [*range(49), 199] and all(len(of) == 1 and not of[0].lost for of in seen.values())
    corners = {n: (b.xmin, b.ymin, b.xmax, b.ymax) for n, (b,) in seen.items()}
    assert corners[0] == corners[10] == (0, 0, 10, 20) and corners[32] == (16, 0, 26, 20)
    assert corners[48] == (32, 0, 42, 20) and corners[199] == (4, 5, 6, 7)
    assert [n for n, (box,) in seen.items() if not box.generated] == [0, 16, 48, 199]


class Planted:
    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "planted"),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_with_a_global_is_refused_and_runs_nothing(tmp_path, protocol):
    content = {"Abuse001_x264": [row(1, 1, 1, 11, 21)], "Abuse002_x264": [Planted(tmp_path)]}
    path = tmp_path / "Train_annotation.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(
        DataError, match="Train_annotation.pkl .*holds Python objects, which are never loaded.*data_root"
    ):
        corpus(tmp_path)
    assert not (tmp_path / "planted").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "planted").exists()  # it would have


@pytest.mark.parametrize(
    "content",
    [[], {"Abuse001": [["no number", 1, 2, 3, 4]]}, {"Abuse001": [row(1, 2, 3)]}, {"Abuse001": []}, {"Abuse001": 3}],
)
def test_other_pickles_are_refused(tmp_path, content):
    if content == []:
        (tmp_path / "Train_annotation.pkl").write_bytes(b"cut short")
    else:
        boxes(tmp_path, content)
    with pytest.raises(DataError, match="get the file again"):
        corpus(tmp_path)


def test_intervals_are_whole_seconds_at_the_lists_rate(tmp_path):
    path = tmp_path / "train.json"
    table = {
        "Abuse/Abuse001_x264.mp4": [{"start": 8, "end": 10}, {"start": 9, "end": 12}],
        "Abuse/Abuse002_x264.mp4": [{"start": 3, "end": 999}, {"start": 7, "end": 4}],
        "banner01.MP4": [],
    }
    path.write_text(json.dumps(table))
    said: list[str] = []
    found = read_intervals(path, said.append)
    assert found == {"Abuse001": ((240, 390),), "Abuse002": ((90, 864),)}
    assert said == [
        "Abuse002 has an interval from 3 to 999 s and is 29 s long; what fits of it is used",
        "Abuse002 has an interval from 7 to 4 s and is 29 s long; what fits of it is used",
    ]
    path.write_text("[]")
    with pytest.raises(DataError, match="is not VADOR's intervals"):
        read_intervals(path, said.append)


def test_they_give_hard_frames_where_no_official_span_does(tmp_path):
    boxes(tmp_path, {"Abuse001_x264": [row(1, 1, 1, 11, 21), row(17, 1, 1, 11, 21)]})
    test = boxes(tmp_path, {"Abuse028_x264": [row(181, 1, 1, 11, 21)]}, "Test_annotation.pkl")
    (tmp_path / "train.json").write_text(
        json.dumps({f"Abuse00{n}_x264.mp4": [{"start": 1, "end": 1}] for n in (1, 2)} | {"Abuse030": []})
    )
    found = corpus(tmp_path)
    by_name, said = {v.name: v for v in found.videos}, [p.what for p in found.problems]
    assert by_name["Abuse001"].intervals == ((0, 17),) and by_name["Abuse001"].boxes_path.name == "Train_annotation.pkl"
    assert by_name["Abuse002"].intervals == ((30, 60),) and by_name["Abuse002"].boxes_path is None
    assert by_name["Abuse028"].intervals == ((164, 240),) and by_name["Abuse028"].boxes_path == test
    assert by_name["Abuse003"].intervals is None
    assert sum("hard frames of 1 videos are from here" in what for what in said) == 3


# --- the files themselves ---------------------------------------------------------------------------------------------


def test_the_test_boxes_lie_inside_the_official_spans(shared):
    known, count = listed("ucf-crime"), 0
    path = shared("data/ucf_crime/published/bounding_boxes/Test_annotation.pkl")
    for name, drawn in read_boxes(path).items():
        assert known[name].split == "test" and all(any(a <= n < b for a, b in known[name].intervals) for n in drawn)
        count += len(drawn)
    assert count == 3102


def test_nine_in_ten_training_boxes_lie_inside_vadors_intervals(shared):
    path = shared("data/ucf_crime/published/bounding_boxes/Train_annotation.pkl")
    said: list[str] = []
    intervals = read_intervals(shared("data/ucf_crime/published/vador/train.json"), said.append)
    drawn = read_boxes(path)
    assert (len(drawn), sum(map(len, drawn.values())), len(said)) == (810, 25483, 7)
    known = listed("ucf-crime")
    assert {known[name].split for name in drawn} == {"train"} and set(drawn) - set(intervals) <= {
        "Burglary039",
        "Stealing093",
        *("Shoplifting042", "Stealing053", "Robbery055", "Robbery096"),
    }
    for slack, share in ((0, 0.89), (1, 0.91)):  # seconds are whole: a second early or late
        inside = [
            any(a - slack * known[name].fps <= n < b + slack * known[name].fps for a, b in intervals.get(name, ()))
            for name, of in drawn.items()
            for n in of
        ]
        assert round(sum(inside) / len(inside), 2) == share


def test_with_them_nearly_every_training_anomaly_has_hard_frames(shared):
    found = corpus(shared("data/ucf_crime/published"), validation_fraction=0.0)
    anomalous = [v for v in found.of("train") if v.label]
    assert len(anomalous) == 810 and all(v.intervals and v.boxes_path for v in anomalous)
    assert all(v.intervals == listed("ucf-crime")[v.name].intervals for v in found.of("test"))
    late = [v.name for v in found.videos if v.intervals and v.intervals[-1][1] > v.frames]
    assert {name for name in late if listed("ucf-crime")[name].split == "train"} == set()
