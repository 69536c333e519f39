from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from vadkit.core.errors import DataError
from vadkit.core.parameters import make_config
from vadkit.corpora import load_corpus
from vadkit.corpora.folder import is_normal
from vadkit.corpora.splits import grouped_folds


def settings(root: Path, **values):
    return make_config({"corpus": "folder", "split": "grouped_cv", "data_root": str(root), **values})


def load(root: Path, **values):
    return load_corpus(settings(root, **values))


def place(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def listing(root: Path, *lines: str, end: str = "\n") -> Path:
    path = root / "clips.csv"
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def summary(corpus):
    return {v.name: (v.category, v.source, v.intervals) for v in corpus.videos}


@pytest.fixture
def fights(tmp_path: Path) -> Path:
    place(tmp_path, "fight/a.mp4", "fight/b.avi", "noFight/a.mp4", "noFight/c.mp4")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["Normal", "normal_videos", "Normal-Videos", "noFight", "no_fight", "NonViolence", "non-violent", "negative"],
)
def test_names_of_normal_folders(name):
    assert is_normal(name)


@pytest.mark.parametrize("name", ["fight", "Abnormal", "Violence", "nozzle", "Notes", "theft"])
def test_names_of_other_folders(name):
    assert not is_normal(name, {"fight", "Violence", "theft"})


def test_no_before_the_name_of_another_folder_means_normal():
    assert (
        is_normal("no_theft", {"theft"}) and is_normal("NonTheft", {"Theft"}) and not is_normal("no_theft", {"fight"})
    )


def test_folders_give_classes_and_whole_clip_labels(fights):
    corpus = load(fights)
    assert summary(corpus) == {
        "fight/a": ("fight", "fight/a", None),
        "fight/b": ("fight", "fight/b", None),
        "noFight/a": ("Normal", "noFight/a", ()),
        "noFight/c": ("Normal", "noFight/c", ()),
    }
    assert {v.split for v in corpus.videos} == {"all"}
    (problem,) = corpus.problems
    assert "folds are by clip" in problem.what and not problem.left_out


def test_folders_within_class_folders_are_read_and_hidden_ones_are_not(fights, tmp_path):
    place(tmp_path, "fight/camera 1/d.mp4", "fight/.hidden/e.mp4", "fight/notes.txt")
    assert {"fight/camera 1/d"} == set(summary(load(fights))) - {"fight/a", "fight/b", "noFight/a", "noFight/c"}


def test_two_files_of_one_name_and_clips_beside_the_folders_are_left_out(fights):
    place(fights, "fight/a.mkv", "stray.mp4")
    lost = {Path(p.where).name: p.what for p in load(fights).problems if p.left_out}
    assert "has the name fight/a" in lost["a.mp4"] and "fight/a.mkv" in lost["a.mp4"]
    assert "beside the folders" in lost["stray.mp4"]


def test_folders_without_a_normal_one_are_refused_with_their_names(tmp_path):
    place(tmp_path, "fight/a.mp4", "theft/b.mp4")
    with pytest.raises(DataError, match=r"none of the class folders \(fight, theft\) is told to be normal"):
        load(tmp_path)


def test_one_class_alone_is_refused(tmp_path):
    place(tmp_path, "noFight/a.mp4", "normal/b.mp4")
    with pytest.raises(DataError, match="no anomalous clip"):
        load(tmp_path)


def test_an_empty_or_missing_folder_is_refused_with_what_is_expected(tmp_path):
    for root, said in ((tmp_path, "no clips found"), (tmp_path / "gone", "is not a folder")):
        with pytest.raises(DataError, match=said) as error:
            load(root)
        assert "clips.csv" in str(error.value) and "<class>/<clip>.mp4" in str(error.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_gives_labels_sources_and_classes(fights, end):
    listing(fights, "path,label,source", "fight/a.mp4,1,s1", "", "fight/b.avi,1,s1", "noFight/a.mp4,0,s2", end=end)
    corpus = load(fights)
    assert summary(corpus) == {
        "fight/a": ("fight", "s1", None),
        "fight/b": ("fight", "s1", None),
        "noFight/a": ("Normal", "s2", ()),
    }
    (problem,) = corpus.problems
    assert "1 clips in the folders are not listed" in problem.what and "noFight/c.mp4" in problem.what


def test_a_list_gives_spans_over_several_lines_and_names_of_classes(tmp_path):
    place(tmp_path, "one.mp4", "two.mp4", "three.mp4")
    listing(
        tmp_path,
        "path,label,start,end,category",
        "one.mp4,1,10,20,Theft",
        "two.mp4,0,,,",
        "three.mp4,1,,,",
        "one.mp4,1,30,35,Theft",
    )
    corpus = load(tmp_path)
    assert summary(corpus) == {
        "one": ("Theft", "one", ((10, 20), (30, 35))),
        "two": ("Normal", "two", ()),
        "three": ("Anomaly", "three", None),
    }
    assert any("no column source" in problem.what for problem in corpus.problems)


def test_a_label_decides_and_not_the_folder_of_a_normal_clip(tmp_path):
    place(tmp_path, "fight/a.mp4", "fight/b.mp4")
    listing(tmp_path, "path,label", "fight/a.mp4,1", "fight/b.mp4,0")
    assert [v.category for v in load(tmp_path).videos] == ["fight", "Normal"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("noFight/c.mp4,2,s,,,", "expected the label 0"),
        ("noFight/c.mp4,,s,,,", "expected the label 0"),
        (",0,s,,,", "expected a path"),
        ("noFight/c.mp4,0,s,,,,7", "expected a path and one value a column"),
        ("noFight/gone.mp4,0,s,,,", "does not exist"),
        ("noFight/c.mp4,1,s,,,", "label 1 contradicts the folder noFight"),
        ("noFight/c.mp4,1,s,,,Normal", "category that fits label 1"),
        ("noFight/c.mp4,0,s,,,Theft", "category that fits label 0"),
        ("noFight/c.mp4,0,s,3,9,", "label 0 contradicts the anomalous span"),
        ("fight/b.avi,1,s,9,3,", "0 <= start < end"),
        ("fight/b.avi,1,s,3,,", "0 <= start < end"),
        ("fight/b.avi,1,s,a,b,", "0 <= start < end"),
        ("fight/a.mp4,1,s1,,,", "is listed on .*line 2 already"),
        ("fight/a.mp4,0,s1,,,", "as on .*line 2 for the same clip"),
    ],
)
def test_a_bad_line_is_named_and_its_clip_left_out(fights, line, said):
    place(fights, "fight/z.mp4")
    path = listing(
        fights,
        "path,label,source,start,end,category",
        "fight/a.mp4,1,s1,,,",
        "noFight/a.mp4,0,s2,,,",
        "fight/z.mp4,1,s3,,,",
        line,
    )
    corpus = load(fights)
    (problem,) = [p for p in corpus.problems if p.left_out]
    assert problem.where == f"{path}, line 5"
    with pytest.raises(DataError, match=said):
        load(fights, strict=True)
    assert line.split(",")[0] not in {str(v.path.relative_to(fights)) for v in corpus.videos}


def test_a_list_with_other_columns_is_refused(fights):
    listing(fights, "file,class", "fight/a.mp4,1")
    with pytest.raises(DataError, match=r"clips\.csv, line 1: expected the columns path,label.*got file,class"):
        load(fights)
    listing(fights, "path,label,start", "fight/a.mp4,1,3")
    with pytest.raises(DataError, match="expected the columns"):
        load(fights)
    (fights / "clips.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        load(fights)


def test_unknown_columns_and_missing_sources_are_noted(fights):
    listing(fights, "path,label,source,mood", "fight/a.mp4,1,s1,x", "noFight/a.mp4,0,,y")
    said = " ".join(p.what for p in load(fights).problems)
    assert "columns mood are not used" in said and "1 clips have no source" in said


def test_a_list_of_files_that_are_all_missing_names_the_first(fights):
    path = listing(fights, "path,label", "fight/x.mp4,1", "noFight/x.mp4,0")
    with pytest.raises(DataError, match="no usable clip") as error:
        load(fights)
    assert f"{path}, line 2" in str(error.value)


def test_what_is_no_video_is_counted_by_suffix_and_a_folder_of_pictures_is_one(tmp_path):
    for name in ("Fight/a.ts", "Fight/b.DAV", "noFight/c.h264", "noFight/d.3gp", "noFight/notes.txt", "Fight/x.doc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"video")
    for name in ("Fight/pictures/1.tif", "Fight/pictures/2.tif", "noFight/one.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"picture")
    (tmp_path / "LICENSE").write_text("MIT")
    corpus = load(tmp_path)
    assert [video.name for video in corpus.videos] == ["Fight/a", "Fight/b", "Fight/pictures", "noFight/c", "noFight/d"]
    said = next(problem.what for problem in corpus.problems if "passed over" in problem.what)
    assert {*said.partition(": ")[2].split(", ")} == {"1 .txt", "1 .doc", "1 .jpg"}


def test_the_real_fights_have_217_clips_of_31_sources_and_fold_by_source(shared):
    corpus = load(shared("data/fights"))
    assert len(corpus.videos) == 217 and not corpus.problems
    assert Counter(v.category for v in corpus.videos) == {"fight": 109, "Normal": 108}
    assert len({v.source for v in corpus.videos}) == 31
    for seed in range(3):
        folds = grouped_folds(corpus.videos, 5, seed)
        assert sorted(v.name for _, _, test in folds for v in test) == sorted(v.name for v in corpus.videos)
        for train, val, test in folds:
            assert {0.1 < len(val) / (len(train) + len(val)) < 0.3} == {True}
            assert 0.1 < len(test) / 217 < 0.35


def once_each(corpus):
    return {v.path.resolve() for v in corpus.videos}, [p.what for p in corpus.problems if p.left_out]


def test_one_clip_that_is_listed_under_two_paths_is_one_clip(fights):
    lines = ["fight/a.mp4,1,s", "noFight/a.mp4,0,t", "noFight/c.mp4,0,u", "fight/b.avi,1,v"]
    listing(fights, "path,label,source", *lines, "fight/../noFight/a.mp4,0,other", "./noFight/link.mp4,1,s")
    (fights / "noFight" / "link.mp4").symlink_to("../fight/b.avi")
    corpus = load(fights)
    assert summary(corpus).keys() == {"fight/a", "noFight/c"}
    assert [p.what.split(",")[0] for p in corpus.problems if p.left_out] == ["expected label"] * 2


def test_two_names_of_one_file_in_the_folders_are_one_clip(fights):
    (fights / "fight" / "again.mp4").symlink_to("a.mp4")
    (fights / "fight" / "other.mp4").symlink_to("../noFight/a.mp4")
    corpus = load(fights)
    assert summary(corpus).keys() == {"fight/a", "fight/b", "noFight/c"}
    assert [Path(p.where).name for p in corpus.problems if p.left_out] == ["again.mp4", "other.mp4", "a.mp4"]
    assert all("one file under 2 names" in p.what for p in corpus.problems if p.left_out)


def test_a_listed_path_that_leaves_the_root_is_refused(fights):
    lines = ["path,label", "fight/a.mp4,1", "noFight/a.mp4,0"]
    outside = fights.parent / "outside.mp4"
    outside.touch()
    listing(fights, *lines, "../outside.mp4,0", f"{outside},0", f"{fights / 'noFight' / 'c.mp4'},0", "fight,1")
    corpus = load(fights)
    assert summary(corpus).keys() == {"fight/a", "noFight/a", "noFight/c"}  # an absolute path below the root is fine
    left = [p.what for p in corpus.problems if p.left_out]
    assert len(left) == 3 and sum("which leaves it; put the clip" in what for what in left) == 2


def test_a_name_that_is_not_utf8_is_left_out_and_the_rest_is_read(fights):
    bad = os.fsdecode(os.fsencode(fights / "fight") + b"/c\xff.mp4")
    Path(bad).touch()
    (fights / "fight" / "d\x1b[31m.mp4").touch()
    corpus = load(fights)
    assert "fight/a" in summary(corpus) and len(corpus.videos) == 5
    (problem,) = [p for p in corpus.problems if p.left_out]
    assert problem.where.endswith(r"c\xff.mp4") and "rename it" in problem.what


@pytest.mark.parametrize("line", ["a" * 5000 + ",1,,", "x\0y.mp4,1,,", f"fight/a.mp4,1,0,{'9' * 5000}"])
def test_an_odd_line_is_left_out_and_the_rest_is_read(fights, line):
    listing(fights, "path,label,start,end", line, "fight/b.avi,1,0,5", "noFight/a.mp4,0,,")
    corpus = load(fights)
    assert summary(corpus).keys() == {"fight/b", "noFight/a"}
    assert len(corpus.problems) and all(len(p.what) <= 1000 for p in corpus.problems)


@pytest.mark.parametrize("content", [b"path,label\n" + b"a" * 140_000, b"path,label\n\xe9,1\n"])
def test_a_list_that_is_no_table_is_refused_by_name(fights, content):
    (fights / "clips.csv").write_bytes(content)
    with pytest.raises(DataError, match="clips.csv is not a CSV in UTF-8"):
        load(fights)
