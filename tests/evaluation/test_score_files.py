"""Each layout in which people store scores comes to the scores that it holds, or is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

from vadkit.core.errors import ConfigError, DataError
from vadkit.corpora.public_lists import listed
from vadkit.evaluation import external, truths
from vadkit.evaluation.metrics import spans
from vadkit.workbook import cli

FRAMES = {"Abuse901": 96, "Arson902": 160, "Normal_Videos_903": 64}
ANNOTATION = """Abuse901_x264.mp4  Abuse  17  40  -1  -1
Arson902_x264.mp4  Arson  1  20  61  70
Normal_Videos_903_x264.mp4  Normal  -1  -1  -1  -1
"""
CLIPS = {name: np.round(np.random.default_rng(n).random(n // 16), 3) for name, n in FRAMES.items()}
HELD = {name: np.repeat(clips, 16) for name, clips in CLIPS.items()}


@pytest.fixture
def read(tmp_path):
    """`read(made, **options)` reads the scores at that path with the annotation and the true lengths."""
    (tmp_path / "annotation.txt").write_text(ANNOTATION)
    (tmp_path / "lengths.csv").write_text("name,frames\n" + "".join(f"{n},{f}\n" for n, f in FRAMES.items()))
    options = {"annotations": tmp_path / "annotation.txt", "lengths": tmp_path / "lengths.csv"}
    return lambda path, **more: external.read(path, **(options | more))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


def table(parts, rows):
    return "\n".join(parts.join(map(str, row)) for row in rows)


def at_frames(name):
    return [(16 * k, float(x)) for k, x in enumerate(CLIPS[name])]


def events(name):
    """(start, end, score), half-open."""
    return [(16 * k, 16 * k + 16, float(x)) for k, x in enumerate(CLIPS[name])]


def rows(of, *head):
    return [*([head] if head else []), *((f"{n}_x264.mp4", *one) for n in FRAMES for one in of(n))]


def one_long(folder):
    np.save(folder / "s.npy", np.concatenate(list(HELD.values())))
    write(folder / "list.txt", "\n".join(f"test/{n}_x264.npy" for n in FRAMES))


def crops(folder):
    np.save(folder / "s.npy", np.concatenate(list(CLIPS.values())))
    write(folder / "list.txt", "\n".join(f"test/{n}_x264__{k}.npy" for n in FRAMES for k in range(10)))


def each(folder, save, values=HELD):
    for name, mine in values.items():
        (folder / "s" / name[:4]).mkdir(parents=True, exist_ok=True)
        save(folder / "s" / name[:4] / f"{name}_x264", mine)


LAYOUTS = {
    "long csv": ("s.csv", lambda f: write(f / "s.csv", table(",", rows(at_frames, "video", "frame", "score"))), {}),
    "long csv, no head": ("s.csv", lambda f: write(f / "s.csv", table(",", rows(at_frames))), {}),
    "long tsv": (
        "s.tsv",
        lambda f: write(f / "s.tsv", table("\t", rows(at_frames, "name", "frame", "confidence"))),
        {},
    ),
    "decimal commas": (
        "s.csv",
        lambda f: write(f / "s.csv", table(";", rows(at_frames, "video", "frame", "score")).replace("0.", "0,")),
        {},
    ),
    "events csv": (
        "s.csv",
        lambda f: write(f / "s.csv", table(",", rows(events, "video", "start", "end", "score"))),
        {},
    ),
    "events csv, no head": ("s.csv", lambda f: write(f / "s.csv", table(",", rows(events))), {}),
    "events json": ("s.json", lambda f: write(f / "s.json", {n: [list(e) for e in events(n)] for n in FRAMES}), {}),
    "events by key": (
        "s.json",
        lambda f: write(f / "s.json", {n: {f"[{a}, {b}]": [x, "why"] for a, b, x in events(n)} for n in FRAMES}),
        {},
    ),
    "records of events": (
        "s.json",
        lambda f: write(
            f / "s.json", [dict(video=n, start=a, end=b, score=x) for n in FRAMES for a, b, x in events(n)]
        ),
        {},
    ),
    "json by frame": ("s.json", lambda f: write(f / "s.json", {n: dict(at_frames(n)) for n in FRAMES}), {}),
    "json of clips": (
        "s.json",
        lambda f: write(f / "s.json", {n: x.tolist() for n, x in CLIPS.items()}),
        {"every": 16},
    ),
    "json records": (
        "s.json",
        lambda f: write(f / "s.json", [{"video_id": n, "scores": x.tolist()} for n, x in CLIPS.items()]),
        {"every": 16},
    ),
    "json a video": ("s", lambda f: [write(f / "s" / f"{n}.json", dict(at_frames(n))) for n in FRAMES], {}),
    "csv a video": (
        "s",
        lambda f: [
            write(
                f / "s" / f"{n}.csv",
                table(
                    ",",
                    [("frame", "time_s", "confidence", "sas", "alarm"), *((a, 0, x, 0.1, 0) for a, x in at_frames(n))],
                ),
            )
            for n in FRAMES
        ],
        {},
    ),
    "csv a video, scores alone": (
        "s",
        lambda f: [write(f / "s" / f"{n}.csv", table(",", [(x,) for x in HELD[n]])) for n in FRAMES],
        {},
    ),
    "npy, nested": ("s", lambda f: each(f, np.save), {}),
    "npy (1, T)": ("s", lambda f: each(f, lambda p, x: np.save(p, x[None])), {}),
    "npy of clips": ("s", lambda f: each(f, np.save, CLIPS), {"every": 16}),
    "mat of clips": (
        "s",
        lambda f: each(f, lambda p, x: savemat(f"{p}.mat", {"predictions": x}), CLIPS),
        {"every": 16},
    ),
    "one long npy": ("s.npy", one_long, {"order": "list.txt"}),
    "one long npy of clips, ten crops a video listed": ("s.npy", crops, {"order": "list.txt", "every": 16}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_comes_to_the_same_scores(layout, tmp_path, read):
    name, make, options = LAYOUTS[layout]
    make(tmp_path)
    options = {key: tmp_path / value if key == "order" else value for key, value in options.items()}
    given = read(tmp_path / name, **options)
    assert not given.findings
    assert {v.name: v.frames for v in given.videos} == FRAMES
    for video in given.videos:
        np.testing.assert_array_equal(video.frame_scores(), HELD[video.name])
        assert (
            video.name.startswith("Normal") or spans(video.labels)[0] == {"Ab": (16, 40), "Ar": (0, 20)}[video.name[:2]]
        )


def test_32_scores_of_a_video_of_known_length_are_equal_segments(tmp_path, read):
    values = {n: np.linspace(0, 1, 32) for n in FRAMES}
    for save in (lambda p, x: savemat(f"{p}.mat", {"anything": x}), np.save):
        folder = tmp_path / getattr(save, "__name__", "x")
        each(folder, save, values)
        given = read(folder / "s")
        assert given.layout == "32 equal segments a video" and not given.findings
        assert np.array_equal(given.videos[0].frame_scores(), np.repeat(np.linspace(0, 1, 32), 3))
    with pytest.raises(DataError, match="no length of the video; give --dataset or --frames"):
        read(tmp_path / "<lambda>" / "s", lengths=None)


def test_frames_of_no_event_have_score_0(tmp_path, read):
    made = {n: [[32, 48, 0.9]] for n in FRAMES}
    write(tmp_path / "s.json", made)
    for video in read(tmp_path / "s.json").videos:
        assert spans(video.frame_scores() > 0) == [(32, 48)] and video.frame_scores().max() == 0.9
    write(tmp_path / "s.json", made | {"Abuse901": [[0, 50, 0.1], [40, 60, 0.2]]})
    with pytest.raises(DataError, match="Abuse901: events overlap at frame 50"):
        read(tmp_path / "s.json")


@pytest.mark.parametrize("size", [8, 16, 32])
def test_scores_of_clips_taken_for_frames_are_refused_and_their_size_is_proposed(size, tmp_path, read):
    each(tmp_path, np.save, {n: np.full(f // size, 0.1) for n, f in FRAMES.items()})
    with pytest.raises(DataError, match=f"scores of Abuse901, which has 96 frames.*give --every {size}$"):
        read(tmp_path / "s")
    one_long(tmp_path)
    np.save(tmp_path / "s.npy", np.concatenate([np.full(f // size, 0.1) for f in FRAMES.values()]))
    with pytest.raises(DataError, match=f"expected 320 or .* give --every {size}$"):
        read(tmp_path / "s.npy", order=tmp_path / "list.txt")


def test_too_few_scores_of_listed_names_are_refused_where_clips_fit_and_noted_elsewhere(tmp_path):
    of = {n: one for n, one in listed("ucf-crime").items() if n in ("Abuse028", "Arrest001", "Normal_Videos_003")}
    write(tmp_path / "a.txt", "Abuse028 Abuse 3 5\nArrest001 Arrest 3 5\nNormal_Videos_003 Normal -1 -1\n")
    each(tmp_path, np.save, {n: np.full(one.frames // 16, 0.1) for n, one in of.items()})
    with pytest.raises(DataError, match="give --every 16"):
        external.read(tmp_path / "s", tmp_path / "a.txt")
    assert {v.frames for v in external.read(tmp_path / "s", tmp_path / "a.txt", every=16).videos} == {1408, 2368, 2816}
    each(tmp_path, np.save, {n: np.full(50, 0.1) for n in of})
    given = external.read(tmp_path / "s", tmp_path / "a.txt")
    assert given.counts == {"few scores": 3} and "give --every N" in given.findings[0].what


FAULTS = {
    "no list": (lambda f: np.save(f / "s.npy", np.zeros(320)), "s.npy", "one array of many videos needs --list FILE"),
    "two kinds": (
        lambda f: [write(f / "s" / "Abuse901.json", {"0": 0.1}), write(f / "s" / "Arson902.csv", "0.1")],
        "s",
        "1 .json, 1 .csv",
    ),
    "an empty file": (lambda f: write(f / "s.csv", ""), "s.csv", "expected one row a video.*got none"),
    "an empty JSON": (lambda f: write(f / "s.json", {}), "s.json", "expected {video: scores}.*got none"),
    "no JSON": (lambda f: write(f / "s.json", "{"), "s.json", "is not JSON in UTF-8"),
    "a number": (lambda f: write(f / "s.json", "3"), "s.json", "expected {video: scores}.*got int"),
    "no scores": (lambda f: write(f / "s.json", {n: "no" for n in FRAMES}), "s.json", "3 x malformed file.*got shape"),
    "a key twice": (lambda f: write(f / "s.json", '{"a": [1], "a": [2]}'), "s.json", "'a' is given twice"),
    "a frame twice": (
        lambda f: write(f / "s.csv", "video,frame,score\nAbuse901,0,0.1\nAbuse901,0,0.2\n"),
        "s.csv",
        "two scores hold from frame 0",
    ),
    "a frame of none": (
        lambda f: write(f / "s.json", {"Abuse901": {"x": 0.1}}),
        "s.json",
        "expected .frame, score. or",
    ),
    "late": (
        lambda f: write(f / "s.json", {"Abuse901": {"40": 0.1, "56": 0.2, "72": 0.1}}),
        "s.json",
        "the first is of frame 40",
    ),
    "records without scores": (lambda f: write(f / "s.json", [{"video": "Abuse901"}]), "s.json", "record 1 is ..video"),
    "two arrays": (
        lambda f: [(f / "s").mkdir(), savemat(f / "s" / "Abuse901.mat", {"a": [1], "b": [1]})],
        "s",
        "expected one array.*got a, b",
    ),
    "no MATLAB file": (lambda f: write(f / "s" / "Abuse901.mat", "x"), "s", "is not a MATLAB file"),
    "all unknown": (lambda f: write(f / "s.json", {"Robbery1": [0.1]}), "s.json", "Robbery1: no line in"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_named(fault, tmp_path, read):
    make, name, said = FAULTS[fault]
    make(tmp_path)
    with pytest.raises(DataError, match=f"(?s){said}"):
        read(tmp_path / name)


def test_lists_and_lengths_that_do_not_fit_are_named(tmp_path, read):
    one_long(tmp_path)
    order = tmp_path / "list.txt"
    with pytest.raises(DataError, match="no length of Abuse901, Arson902, Normal_Videos_903; give --dataset"):
        read(tmp_path / "s.npy", order=order, lengths=None)
    np.save(tmp_path / "s.npy", np.zeros(99))
    with pytest.raises(DataError, match="expected 320 or 320 numbers for 3 videos, got shape .99,."):
        read(tmp_path / "s.npy", order=order)
    write(order, "Abuse901,96\nArson902,160\nAbuse901,96\n")
    with pytest.raises(DataError, match="line 3: Abuse901 stands further up"):
        read(tmp_path / "s.npy", order=order)
    with pytest.raises(DataError, match="give --dataset .ucf-crime or xd-violence., or --annotations FILE"):
        external.read(tmp_path / "s.npy")
    with pytest.raises(DataError, match="--every is a number of frames, 1 or more"):
        read(tmp_path / "s.npy", every=0)


def test_whole_clips_alone_in_a_long_array_are_known_by_its_length(tmp_path, read):
    write(tmp_path / "list.txt", "Abuse901,100\nArson902,161\nNormal_Videos_903,64\n")
    np.save(tmp_path / "s.npy", np.concatenate(list(HELD.values())))
    given = read(tmp_path / "s.npy", order=tmp_path / "list.txt", lengths=None)
    assert [v.frames for v in given.videos] == [100, 161, 64]
    assert [(f.video, f.rule) for f in given.findings] == [("Abuse901", "hold"), ("Arson902", "hold")]


LINES = {
    "Abuse901_x264.mp4  Abuse  165  240  -1  -1": ("Abuse901", "Abuse", [(164, 240)]),
    "Abuse901.mp4,Abuse,165,240,300,310,400,410": ("Abuse901", "Abuse", [(164, 240), (299, 310), (399, 410)]),
    "Abuse901_x264 165 240": ("Abuse901", "Abuse", [(164, 240)]),
    "my clip 1.mp4 165 240": ("my clip 1", "Anomaly", [(164, 240)]),
    "my clip 1.mp4  Abuse  165  240": ("my clip 1", "Abuse", [(164, 240)]),
    "my clip.mp4 normal -1 -1": ("my clip", "Normal", []),
    "Normal_Videos_903_x264.mp4 -1 -1 -1 -1": ("Normal_Videos_903", "Normal", []),
    "A.Film__#01-11-55_01-12-40_label_G-B2-B6 118 155": ("A.Film__#01-11-55_01-12-40_label_G-B2-B6", "G", [(118, 155)]),
    "v=8cTqh9tMz_I__#1_label_A Normal -1 -1": ("v=8cTqh9tMz_I__#1_label_A", "Normal", []),
}


@pytest.mark.parametrize("line", LINES)
def test_lines_of_annotations(line, tmp_path):
    (tmp_path / "a.txt").write_text(line)
    ((name, truth),) = truths.of_file(tmp_path / "a.txt", None, {}, {}).items()
    assert (name, truth.category, list(truth.spans)) == LINES[line] and not truth.fault


def test_labels_of_every_frame_one_file_a_video_or_one_long_array(tmp_path, read):
    wanted = {v.name: v.labels for v in (each(tmp_path, np.save), read(tmp_path / "s"))[1].videos}
    order = tmp_path / "list.txt"
    write(order, "\n".join(FRAMES))
    np.save(tmp_path / "gt.npy", np.concatenate([wanted[n] for n in FRAMES]).astype(float))
    (tmp_path / "gt").mkdir()
    for name, labels in wanted.items():
        np.save(tmp_path / "gt" / f"{name}_x264__9_gt.npy", labels)
    for given in (
        read(tmp_path / "s", annotations=tmp_path / "gt.npy", order=order),
        read(tmp_path / "s", annotations=tmp_path / "gt"),
    ):
        assert [v.category for v in given.videos] == ["Abuse", "Arson", "Normal"]
        for video in given.videos:
            np.testing.assert_array_equal(video.labels, wanted[video.name])
    np.save(tmp_path / "gt" / "Abuse901_x264__9_gt.npy", np.full(96, 2))
    with pytest.raises(DataError, match="Abuse901: expected a label of 0 or 1 for each frame"):
        read(tmp_path / "s", annotations=tmp_path / "gt")
    with pytest.raises(DataError, match="expected <name>.npy files, one a video, with a label"):
        read(tmp_path / "s", annotations=(tmp_path / "none").mkdir() or tmp_path / "none")


def test_a_data_set_by_its_name(tmp_path):
    test = {n: one for n, one in listed("xd-violence").items()}
    write(tmp_path / "s.json", {n: [0.1] * one.frames for n, one in test.items()})
    given = external.read(tmp_path / "s.json", dataset="xd-violence")
    assert len(given.videos) == 800 and {v.fps for v in given.videos} == {24.0}
    assert given.reading == "annotated frames count from 0, ends left out"
    one = next(one for one in test.values() if one.intervals)
    (mine,) = (v for v in given.videos if v.name == one.name)
    assert tuple(spans(mine.labels)) == tuple((a, min(b, one.frames)) for a, b in one.intervals)
    write(tmp_path / "s.json", {"Abuse001": [0.1], "Nobody1": [0.2], "Abuse028": [0.1] * 1412})
    with pytest.raises(
        DataError, match="(?s)Abuse001: a training video of ucf-crime.*Nobody1: not a test video of ucf-crime"
    ):
        external.read(tmp_path / "s.json", dataset="ucf-crime")
    only = external.read(tmp_path / "s.json", dataset="ucf-crime", leave_out=True, first_frame=0)
    assert (
        spans(only.videos[0].labels) == [(165, 241)] and only.reading == "annotated frames count from 0, ends included"
    )
    with pytest.raises(ConfigError, match="there are ucf-crime, xd-violence"):
        external.read(tmp_path / "s.json", dataset="ucf")


def test_a_pickle_in_a_scores_folder_is_never_run(tmp_path, read):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    (tmp_path / "s").mkdir()
    np.save(tmp_path / "s" / "Abuse901.npy", np.array([Harmful()], object), allow_pickle=True)
    with pytest.raises(DataError, match="it holds Python objects, which are never loaded"):
        read(tmp_path / "s")
    assert not (tmp_path / "ran").exists()


def test_the_commands(tmp_path, read, capsys):
    each(tmp_path, np.save)
    (tmp_path / "b").mkdir()
    for name in list(FRAMES)[:2]:
        np.save(tmp_path / "b" / f"{name}.npy", HELD[name][::-1])
    options = ["--annotations", str(tmp_path / "annotation.txt"), "--resamples", "20"]
    cli.main(["evaluate", str(tmp_path / "s"), *options, "--smooth", "gaussian", "--seconds", "0.5"])
    page = capsys.readouterr().out
    for words in ("smoothed: gaussian, which sees the future", "latency-aware AP", "by trapezoids", "video AP"):
        assert words in page
    cli.main(["compare", str(tmp_path / "s"), str(tmp_path / "b"), *options])
    page = capsys.readouterr().out
    assert (
        "2 common videos (2 anomalous)" in page
        and "1 videos in A alone" in page
        and "LEFT OUT: 1 x unscored video" in page
    )
    assert "AUC, Abuse" in page and "FL-AUC" in page
    np.save(tmp_path / "b" / "Abuse901.npy", HELD["Abuse901"][:90])
    with pytest.raises(SystemExit):
        cli.main(["compare", str(tmp_path / "s"), str(tmp_path / "b"), *options])
    assert "disagree on the labels of Abuse901: 96 and 90 frames" in capsys.readouterr().err
