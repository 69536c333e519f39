from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from vadkit.core.errors import DataError
from vadkit.core.parameters import make_config
from vadkit.evaluation import external, metrics, video_lists
from vadkit.report import external_report
from vadkit.workbook import cli

CONFIG = make_config({"bootstrap_resamples": 50})
ANNOTATION = """Abuse001_x264.mp4  Abuse  17  40  -1  -1
Arson002_x264.mp4  Arson  1  20  61  70
Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1
Normal_Videos_004_x264.mp4  Normal  -1  -1  -1  -1
"""
ROWS = [
    "Abuse001_x264,Abuse,80,0.1,0.9,0.4,0.2",
    "Arson002_x264,Arson,81,0.7,0.1,0.2,0.6",
    "Normal_Videos_003_x264,Normal,160,0.0,0.1,0.2,0.3",
    "Normal_Videos_004_x264,Normal,43,0.5,0.1,0.1,0.1",
]
HEADER = "video,class,frames,s0,s1,s2,s3"


@pytest.fixture
def files(tmp_path):
    """`files(rows, annotation)` writes both and returns their paths."""

    def write(rows=ROWS, annotation=ANNOTATION, header=HEADER):
        scores, labels = tmp_path / "scores.csv", tmp_path / "annotation.txt"
        scores.write_text("\n".join([header, *rows] if header else rows), encoding="utf-8")
        labels.write_text(annotation, encoding="utf-8")
        return scores, labels

    return write


@pytest.fixture
def folder(tmp_path):
    """`folder({name: vector})` writes <name>.npy files and the annotation, and returns their paths."""

    def write(vectors, annotation=ANNOTATION):
        scores, labels = tmp_path / "frames", tmp_path / "annotation.txt"
        scores.mkdir()
        for name, values in vectors.items():
            np.save(scores / f"{name}.npy", values)
        labels.write_text(annotation, encoding="utf-8")
        return scores, labels

    return write


def frame_vectors(**changed):
    rng = np.random.default_rng(0)
    lengths = {"Abuse001_x264": 80, "Arson002_x264": 81, "Normal_Videos_003_x264": 160, "Normal_Videos_004_x264": 43}
    return {name: rng.random(length) for name, length in lengths.items()} | changed


def test_segments_cover_every_frame_and_annotations_count_from_one(files):
    given = external.read(*files())
    abuse, arson, *_ = given.videos
    assert [v.name for v in given.videos] == ["Abuse001", "Arson002", "Normal_Videos_003", "Normal_Videos_004"]
    np.testing.assert_array_equal(abuse.frame_scores(), np.repeat([0.1, 0.9, 0.4, 0.2], 20))
    assert metrics.spans(abuse.labels) == [(16, 40)] and metrics.spans(arson.labels) == [(0, 20), (60, 70)]
    assert np.bincount(np.searchsorted([0.15, 0.4, 0.65], arson.frame_scores())).tolist() == [20, 20, 20, 21]
    assert given.findings == () and given.layout == "4 equal segments a video"


def test_a_table_without_column_names_or_classes_is_read_alike(files):
    with_names = external.read(*files()).videos
    bare = external.read(
        *files(
            [row.replace(",Abuse,", ",").replace(",Arson,", ",").replace(",Normal,", ",") for row in ROWS], header=""
        )
    ).videos
    for a, b in zip(with_names, bare, strict=True):
        assert (a.name, a.category) == (b.name, b.category)
        np.testing.assert_array_equal(a.frame_scores(), b.frame_scores())


def test_frame_scores_come_back_as_they_were_and_agree_with_scikit_learn(folder):
    vectors = frame_vectors()
    given = external.read(*folder(vectors))
    for video, values in zip(given.videos, vectors.values(), strict=True):
        np.testing.assert_array_equal(video.frame_scores(), values)
    labels, scores = np.concatenate([v.labels for v in given.videos]), np.concatenate(list(vectors.values()))
    found = {m.name: m for m in external_report.evaluate(given, CONFIG)}
    assert found["fl_auc"].value == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert found["ap"].value == pytest.approx(average_precision_score(labels, scores), abs=1e-9)


def test_the_published_scores_of_ucf_crime(shared):
    given = external.read(
        shared("data/ucf_crime/scores_mil_c3d.csv"), shared("data/ucf_crime/lists/Temporal_Anomaly_Annotation.txt")
    )
    assert len(given.videos) == 290 and sum(v.frames for v in given.videos) == 1_109_680
    assert given.counts == {"annotation past the end": 7} and all(f.rule == "clip" for f in given.findings)
    found = external_report.evaluate(given, CONFIG)
    values = {m.name: m.value for m in found}
    labels, scores = (
        np.concatenate([v.labels for v in given.videos]),
        np.concatenate([v.frame_scores() for v in given.videos]),
    )
    assert (
        values["fl_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
        and round(values["fl_auc"], 2) == 0.69
    )
    assert values["ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-9)
    anomalous = np.concatenate([np.full(v.frames, v.label, bool) for v in given.videos])
    assert values["anomalous_only_auc"] == pytest.approx(roc_auc_score(labels[anomalous], scores[anomalous]), abs=1e-9)
    assert len([n for n in values if n.startswith("auc_")]) == 13
    assert all(m.ci_low <= m.value <= m.ci_high for m in found if m.ci_low is not None)
    assert {"pair_averaged_auc", "macro_class_auc", "false_alarm_rate", "video_auc", "vl_f1"} <= {
        m.name for m in found if m.ci_low is not None
    }


def test_the_score_of_a_video_does_not_depend_on_how_its_scores_are_given(files, folder):
    table = external.read(*files())
    vectors = {v.name + "_x264": v.frame_scores() for v in table.videos}
    frames = external.read(*folder(vectors))
    assert external_report.evaluate(table, CONFIG) == external_report.evaluate(frames, CONFIG)


FAULTS = [
    ("not a number", 0, "Abuse001_x264,Abuse,80,0.1,nan,0.4,0.2", "1 of 4 scores are not finite"),
    ("not a number", 0, "Abuse001_x264,Abuse,80,0.1,,0.4,inf", "2 of 4 scores are not finite"),
    ("out of range", 2, "Normal_Videos_003_x264,Normal,160,0.0,1.5,-0.2,0.3", "2 of 4 scores lie outside"),
    ("class differs", 1, "Arson002_x264,Robbery,81,0.7,0.1,0.2,0.6", "the scores say Robbery, the annotation Arson"),
    ("malformed row", 1, "Arson002_x264,Arson,81,0.7,0.1,0.2", "expected 7 columns"),
    ("malformed row", 1, "Arson002_x264,Arson,3,0.7,0.1,0.2,0.6", "at least its 4 segments, got '3'"),
    ("malformed row", 1, "Arson002_x264,Arson,80.5,0.7,0.1,0.2,0.6", "got '80.5'"),
    ("malformed row", 1, "Arson002_x264,Arson,nan,0.7,0.1,0.2,0.6", "got 'nan'"),
    ("malformed row", 1, "Arson002_x264,Arson,1e400,0.7,0.1,0.2,0.6", "got '1e400'"),
]


@pytest.mark.parametrize(("kind", "place", "row", "said"), FAULTS)
def test_a_fault_is_named_and_counted_and_never_silent(files, kind, place, row, said):
    rows = [*ROWS[:place], row, *ROWS[place + 1 :]]
    name = video_lists.plain(row.split(",")[0])
    with pytest.raises(DataError, match="1 faults") as stopped:
        external.read(*files(rows))
    for words in (f"1 x {kind}", name, said, "--leave-out"):
        assert words in str(stopped.value)
    given = external.read(*files(rows), leave_out=True)
    assert given.counts == {kind: 1} and name not in [v.name for v in given.videos] and len(given.videos) == 3
    assert given.findings[0].problem.left_out
    page = external_report.as_text(given, external_report.evaluate(given, CONFIG), CONFIG)
    assert f"LEFT OUT: 1 x {kind}" in page and said in page


def test_duplicate_unknown_and_unscored_videos(files):
    rows = [ROWS[0], ROWS[0].replace("0.9", "0.3"), *ROWS[1:3], "Robbery009_x264,Robbery,80,0.1,0.2,0.3,0.4"]
    with pytest.raises(DataError, match="3 faults") as stopped:
        external.read(*files(rows))
    for words in (
        "1 x duplicate video",
        "Abuse001: given 2 times",
        "1 x unknown video",
        "Robbery009",
        "1 x unscored video",
        "Normal_Videos_004",
    ):
        assert words in str(stopped.value)
    given = external.read(*files(rows), leave_out=True)
    assert [v.name for v in given.videos] == ["Arson002", "Normal_Videos_003"] and len(given.findings) == 3


@pytest.mark.parametrize(
    "line",
    [
        "Arson002_x264.mp4  Arson  1  20  61",
        "Arson002_x264.mp4 Arson 30 20 -1 -1",
        "Arson002_x264.mp4 Arson -1 -1 -1 -1",
        "Arson002_x264.mp4 Normal 1 20 -1 -1",
    ],
)
def test_a_malformed_annotation_is_the_fault_of_its_video(files, line):
    annotation = "\n".join(line if old.startswith("Arson") else old for old in ANNOTATION.splitlines())
    with pytest.raises(DataError, match=r"1 x malformed annotation(.|\n)*Arson002(.|\n)*annotation.txt, line 2"):
        external.read(*files(annotation=annotation))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,frames\nAbuse001\n", r"line 2: expected a video and its number of frames, got 'Abuse001' and ''"),
        (b"name,frames\nAbuse001,0\n", r"line 2: .* got 'Abuse001' and '0'"),
        ("name,frames\nAbuse001,4²\n".encode(), r"line 2: .* got 'Abuse001' and '4²'"),
        (b"name,frames\nAbuse001,80\nAbuse001_x264.mp4,81\n", r"line 3: Abuse001 has 81 frames here and 80 further up"),
        (b"name,frames\nAbuse\xff001,80\n", "is not a CSV in UTF-8"),
        (b"name,length\nAbuse001,80\n", "expected the columns name .* got name,length"),
    ],
)
def test_lengths_that_cannot_be_read_are_named(files, tmp_path, content, said):
    lengths = tmp_path / "lengths.csv"
    lengths.write_bytes(content)
    with pytest.raises(DataError, match=said):
        external.read(*files(), lengths=lengths)


def test_a_video_annotated_twice_is_a_fault(files):
    with pytest.raises(DataError, match="annotated twice"):
        external.read(*files(annotation=ANNOTATION + ANNOTATION.splitlines()[0]))


def test_an_annotation_past_the_end_is_clipped_by_up_to_a_segment_and_stated(files):
    given = external.read(*files(annotation=ANNOTATION.replace("17  40", "17  100")))
    assert metrics.spans(given.videos[0].labels) == [(16, 80)]
    assert [(f.kind, f.video, f.rule) for f in given.findings] == [("annotation past the end", "Abuse001", "clip")]
    assert "ends 20 frames past the last of 80" in external_report.as_text(
        given, external_report.evaluate(given, CONFIG), CONFIG
    )
    with pytest.raises(DataError, match=r"Abuse001: ends 21 frames past the last of 80, beyond the slack of 20"):
        external.read(*files(annotation=ANNOTATION.replace("17  40", "17  101")))


def test_lengths_that_differ_are_aligned_by_a_named_rule(folder, tmp_path):
    scores, labels = folder(frame_vectors())
    lengths = tmp_path / "lengths.csv"
    lengths.write_text(
        "path,frames\nAbuse/Abuse001_x264.mp4,90\nNormal_Videos_003_x264.mp4,150\nNormal_Videos_004,43\n",
        encoding="utf-8",
    )
    given = external.read(scores, labels, lengths=lengths)
    abuse, arson, first, second = given.videos
    assert [v.frames for v in given.videos] == [90, 81, 150, 43]
    assert (abuse.frame_scores()[79:] == abuse.frame_scores()[79]).all()
    np.testing.assert_array_equal(first.frame_scores(), frame_vectors()["Normal_Videos_003_x264"][:150])
    assert [(f.video, f.rule) for f in given.findings] == [
        ("Abuse001", "hold"),
        ("Arson002", "as scored"),
        ("Normal_Videos_003", "cut"),
    ]
    with pytest.raises(
        DataError, match="Abuse001: scores for 80 frames, the video has 90: a difference beyond the slack of 9"
    ):
        external.read(scores, labels, lengths=lengths, slack=9)
    with pytest.raises(DataError, match="beyond the slack of 16"):
        lengths.write_text("name,frames\nAbuse001,97\n", encoding="utf-8")
        external.read(scores, labels, lengths=lengths)


@pytest.mark.parametrize("bad", [np.zeros((3, 4)), np.zeros(0), np.array(["a"]), np.array([{}], dtype=object)])
def test_a_frame_file_that_is_no_vector_of_numbers_is_a_fault(folder, bad):
    with pytest.raises(DataError, match="1 x malformed file(.|\n)*Arson002"):
        external.read(*folder(frame_vectors(Arson002_x264=bad)))


def test_what_cannot_be_read_at_all(files, tmp_path):
    scores, labels = files()
    (tmp_path / "empty").mkdir()
    for one, other, said in (
        (tmp_path / "none.csv", labels, "no scores at"),
        (scores, tmp_path / "none.txt", "no annotation"),
        (tmp_path / "empty", labels, "expected <name>.npy files"),
    ):
        with pytest.raises(DataError, match=said):
            external.read(one, other)
    scores.write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(DataError, match="not a CSV in UTF-8"):
        external.read(scores, labels)
    scores.write_text(HEADER)
    with pytest.raises(DataError, match="got none"):
        external.read(scores, labels)


def test_the_command_prints_a_page_or_one_json_object(files, capsys):
    scores, labels = map(str, files(annotation=ANNOTATION.replace("17  40", "17  85")))
    cli.main(["evaluate", scores, "--annotations", labels, "--resamples", "20"])
    page = capsys.readouterr().out
    assert "FL-AUC" in page and "mean over pairs" in page and "rule 'clip'" in page
    cli.main(["evaluate", scores, "--annotations", labels, "--resamples", "20", "--json"])
    content = json.loads(capsys.readouterr().out)
    assert (
        content["videos"] == 4
        and content["counts"] == {"annotation past the end": 1}
        and content["findings"][0]["video"] == "Abuse001"
    )
    assert {m["name"] for m in content["metrics"]} >= {"fl_auc", "pair_averaged_auc", "ap", "vl_f1"}
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate", scores + "x", "--annotations", labels])
    assert stopped.value.code == 2 and "no scores at" in capsys.readouterr().err


def test_it_needs_no_network_library():
    slow = {"torch", "cv2", "sklearn", "ultralytics"}
    code = f"import sys, vadkit.report.external_report; sys.exit(bool({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_table_that_promises_too_many_frames_is_refused_without_the_memory(files, tmp_path):
    rows = ["Abuse001_x264,Abuse,1000000000000,0.1,0.9,0.4,0.2", *ROWS[1:]]
    with pytest.raises(DataError, match="expected up to 10000000 frames"):
        external.read(*files(rows))
    lengths = tmp_path / "lengths.csv"
    for count in ("1000000000000", "9" * 5000):
        lengths.write_text(f"name,frames\nAbuse001,{count}\n")
        with pytest.raises(DataError, match="lengths.csv, line 2: expected a video and its number of frames"):
            external.read(*files(), lengths=lengths)


def test_a_table_of_a_long_field_is_refused_by_name(files):
    scores, labels = files(["a" * 140_000])
    with pytest.raises(DataError, match="scores.csv is not a CSV in UTF-8"):
        external.read(scores, labels)


@pytest.mark.parametrize("kind", ["npz", "huge", "header", "empty", "cut", "objects"])
def test_what_is_no_array_is_a_fault_and_nothing_in_it_is_run(folder, tmp_path, kind):
    scores, labels = folder(frame_vectors())
    path, made = scores / "Abuse001_x264.npy", tmp_path / "made.npz"
    whole = path.read_bytes()
    np.savez(made, a=np.ones(3))
    np.save(tmp_path / "objects.npy", np.array([Harmful(tmp_path / "ran")], object), allow_pickle=True)
    content = {
        "npz": made.read_bytes(),
        "huge": whole[:8] + b"\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(120),
        "header": whole[:8] + b"\x76\x00{'descr': [[[[".ljust(120),
        "empty": b"",
        "cut": whole[:100],
        "objects": (tmp_path / "objects.npy").read_bytes(),
    }
    path.write_bytes(content[kind])
    with pytest.raises(DataError, match=r"1 x malformed file.*\n.*is not a .npy file of numbers"):
        external.read(scores, labels)
    assert not (tmp_path / "ran").exists()


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()
