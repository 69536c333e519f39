from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from vadkit.core.errors import ConfigError, DataError
from vadkit.core.parameters import make_config
from vadkit.corpora import load_corpus
from vadkit.corpora.ucf_crime import read_tree
from vadkit.corpora.ucf_forms import category_of, temporal_spans, video_name
from vadkit.corpora.vatic import clip_intervals
from vadkit.corpora.video import Video

VATIC = '0 10 20 30 40 {frame} {lost} 0 0 "Assault"\n'
TRAIN = [
    "Assault001",
    "Assault002",
    "Robbery001",
    "Robbery002",
    "Normal_Videos001",
    "Normal_Videos002",
    "Normal_Videos004",
]
TEST = ["Assault003", "Normal_Videos_003", "Robbery003", "Normal_Videos_006"]


def settings(root: Path, **values):
    return make_config({"corpus": "ucf_crime", "data_root": str(root), "validation": "test_parity", **values})


def place(root: Path, *names: str, folder: str | None = None) -> None:
    """Empty files stand for videos: the reader decodes nothing."""
    for name in names:
        kind = folder or (
            "Training_Normal_Videos_Anomaly" if name.startswith("Normal") else f"Anomaly-Videos/{category_of(name)}"
        )
        path = root / kind / f"{name}_x264.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def annotate(root: Path, name: str, frames=range(5, 9)) -> Path:
    path = root / f"UCFCrime2Local/annotations/{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(VATIC.format(frame=frame, lost=int(frame not in frames)) for frame in range(12)))
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A whole tree with UCFCrime2Local's lists and annotations."""
    root = tmp_path / "tree"
    place(root, *TRAIN, *TEST)
    for name in (*TRAIN, *TEST):
        if not name.startswith("Normal"):
            annotate(root, name)
    write(root / "UCFCrime2Local/Train_split_AD.txt", *TRAIN)
    write(root / "UCFCrime2Local/Test_split_AD.txt", *TEST)
    return root


def by_name(corpus):
    return {video.name: video for video in corpus.videos}


def left_out(corpus):
    return [problem for problem in corpus.problems if problem.left_out]


@pytest.mark.parametrize(
    ("text", "name", "category"),
    [
        ("Abuse/Abuse028_x264.mp4", "Abuse028", "Abuse"),
        ("Assault018", "Assault018", "Assault"),
        (r"RoadAccidents\RoadAccidents001_x264.MP4", "RoadAccidents001", "RoadAccidents"),
        ("Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4", "Normal_Videos001", "Normal"),
        ("Normal_Videos_003_x264.mp4", "Normal_Videos_003", "Normal"),
        ("README", "README", None),
        ("Assault018 1", "Assault018 1", None),
    ],
)
def test_names_and_classes_are_read_from_any_way_of_listing(text, name, category):
    assert video_name(text) == name
    assert category_of(name) == category


def test_local_lists_give_splits_spans_and_classes(tree):
    corpus = read_tree(tree, settings(tree))
    videos = by_name(corpus)
    assert [v.name for v in corpus.of("train")] == TRAIN
    assert videos["Assault001"].intervals == ((5, 9),)
    assert videos["Assault001"].boxes_path == tree / "UCFCrime2Local/annotations/Assault001.txt"
    assert videos["Assault001"].path == tree / "Anomaly-Videos/Assault/Assault001_x264.mp4"
    assert videos["Normal_Videos001"].intervals == () and videos["Normal_Videos001"].label == 0
    assert (videos["Robbery003"].category, videos["Robbery003"].label) == ("Robbery", 1)
    assert not left_out(corpus)


def test_parity_gives_even_lines_to_the_test_and_odd_ones_to_validation(tree):
    corpus = read_tree(tree, settings(tree))
    assert [v.name for v in corpus.of("test")] == ["Assault003", "Robbery003"]
    assert [v.name for v in corpus.of("val")] == ["Normal_Videos_003", "Normal_Videos_006"]


def test_a_missing_test_video_moves_no_other_to_the_other_side(tree):
    (tree / "Anomaly-Videos/Assault/Assault003_x264.mp4").unlink()
    corpus = read_tree(tree, settings(tree))
    assert [v.name for v in corpus.of("test")] == ["Robbery003"]
    assert [v.name for v in corpus.of("val")] == ["Normal_Videos_003", "Normal_Videos_006"]
    (problem,) = left_out(corpus)
    assert "Assault003" in problem.what and problem.where.endswith("Test_split_AD.txt, line 1")


def test_train_cut_takes_validation_from_training_by_class(tree):
    corpus = read_tree(tree, settings(tree, validation="train_cut", validation_fraction=0.4))
    assert [v.name for v in corpus.of("test")] == TEST
    assert Counter(v.category for v in corpus.of("val")) == {"Assault": 1, "Robbery": 1, "Normal": 1}
    assert {v.name for v in corpus.of("train", "val")} == set(TRAIN)


def test_train_cut_keeps_a_known_source_on_one_side(tree):
    write(
        tree / "UCFCrime2Local/sources.csv",
        "name,source",
        "Assault001,camera1",
        "Robbery001_x264.mp4,camera1",
        "Normal_Videos001,camera1",
        "Assault002,camera2",
        end="\r\n",
    )
    corpus = read_tree(tree, settings(tree, validation="train_cut", validation_fraction=0.4))
    videos = by_name(corpus)
    assert videos["Robbery001"].source == "camera1" and videos["Robbery002"].source == "Robbery002"
    assert len({videos[name].split for name in ("Assault001", "Robbery001", "Normal_Videos001")}) == 1
    assert not any("sources.csv" in problem.what for problem in corpus.problems)


def test_without_sources_each_video_is_its_own_and_the_corpus_says_so(tree):
    corpus = read_tree(tree, settings(tree))
    assert all(video.source == video.name for video in corpus.videos)
    assert any("each video is its own source" in problem.what and not problem.left_out for problem in corpus.problems)


def test_a_source_on_both_sides_of_the_lists_is_noted(tree):
    write(tree / "sources.csv", "name,source", "Assault001,camera1", "Assault003,camera1")
    assert any(
        "training and in evaluation" in p.what and "camera1" in p.what for p in read_tree(tree, settings(tree)).problems
    )


def test_lists_with_windows_ends_blank_lines_spaces_and_folders_read_the_same(tree):
    plain = read_tree(tree, settings(tree)).videos
    write(
        tree / "UCFCrime2Local/Train_split_AD.txt",
        "",
        *[f"Folder/{name}_x264.mp4  " for name in TRAIN],
        "  ",
        end="\r\n",
    )
    (tree / "UCFCrime2Local/Test_split_AD.txt").write_text("\ufeff" + "\n\n".join(TEST), encoding="utf-8")
    assert read_tree(tree, settings(tree)).videos == plain


def test_videos_are_found_in_the_folders_of_the_official_archives(tree):
    shutil.move(tree / "Anomaly-Videos", tree / "deep/Anomaly-Videos-Part-1")
    shutil.move(tree / "Training_Normal_Videos_Anomaly", tree / "Training-Normal-Videos-Part-2")
    assert len(read_tree(tree, settings(tree)).videos) == len(TRAIN) + len(TEST)


def test_unseen_are_all_videos_of_classes_not_trained_on_and_new_normal_test_videos(tree):
    place(tree, "Arson001", "Arson002", "Assault050", "Normal_Videos_999", "Normal_Videos888")
    write(
        tree / "Anomaly_Test.txt",
        "Arson/Arson001_x264.mp4",
        "Assault/Assault050_x264.mp4",
        "Testing_Normal_Videos_Anomaly/Normal_Videos_999_x264.mp4",
        "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4",
    )
    write(
        tree / "Anomaly_Train.txt",
        "Arson/Arson002_x264.mp4",
        "Training_Normal_Videos_Anomaly/Normal_Videos888_x264.mp4",
    )
    write(
        tree / "Temporal_Anomaly_Annotation.txt",
        "Arson001_x264.mp4  Arson  11  20  31  40  ",
        "Normal_Videos_999_x264.mp4  Normal  -1  -1  -1  -1  ",
    )
    videos = {v.name: v for v in read_tree(tree, settings(tree)).of("unseen")}
    assert {name: v.intervals for name, v in videos.items()} == {
        "Arson001": ((10, 20), (30, 40)),
        "Arson002": None,
        "Normal_Videos_999": (),
    }


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A tree with the official lists alone."""
    root = tmp_path / "official"
    place(root, *TRAIN, *TEST)
    write(root / "lists/Anomaly_Train.txt", *TRAIN)
    write(root / "lists/Anomaly_Test.txt", *TEST)
    write(
        root / "lists/Temporal_Anomaly_Annotation.txt",
        "Assault003_x264.mp4  Assault  1  4  4  9  ",
        "Robbery003_x264.mp4  Robbery  3  7  -1  -1  ",
        "Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  ",
    )
    return root


def test_official_lists_alone_give_video_labels_to_train_on_and_spans_to_test(official):
    videos = by_name(read_tree(official, settings(official)))
    assert videos["Assault001"].intervals is None and videos["Assault001"].frame_labels(3).tolist() == [1, 1, 1]
    assert videos["Normal_Videos001"].intervals == ()
    assert videos["Assault003"].intervals == ((0, 9),)  # [0, 4) and [3, 9) meet
    assert videos["Robbery003"].intervals == ((2, 7),)


def test_an_official_test_video_without_its_spans_is_left_out(official):
    write(official / "lists/Temporal_Anomaly_Annotation.txt", "Robbery003_x264.mp4  Robbery  3  7  -1  -1")
    corpus = read_tree(official, settings(official))
    assert "Assault003" not in by_name(corpus)
    assert ["Assault003" in problem.what for problem in left_out(corpus)] == [True]


def test_missing_temporal_annotation_is_said_and_leaves_labels_of_videos(official):
    (official / "lists/Temporal_Anomaly_Annotation.txt").unlink()
    corpus = read_tree(official, settings(official))
    assert by_name(corpus)["Robbery003"].intervals is None
    assert any("temporal_anomaly_annotation.txt" in problem.what for problem in corpus.problems)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Robbery003_x264.mp4  Robbery  3  7  -1", "expected six fields"),
        ("Robbery003_x264.mp4  Robbery  3  seven  -1  -1", "expected six fields"),
        ("Robbery003_x264.mp4  Robbery  9  7  -1  -1", "start <= end"),
        ("Robbery003_x264.mp4  Robbery  3  -1  -1  -1", "start <= end"),
    ],
)
def test_a_malformed_temporal_line_leaves_its_video_out_and_is_named(official, line, said):
    path = official / "lists/Temporal_Anomaly_Annotation.txt"
    write(path, "Assault003_x264.mp4  Assault  1  4  -1  -1", "", line)
    corpus = read_tree(official, settings(official))
    (problem,) = left_out(corpus)
    assert problem.where == f"{path}, line 3" and said in problem.what
    assert "Robbery003" not in by_name(corpus) and "Assault003" in by_name(corpus)


def test_spans_are_read_as_one_based_and_inclusive():
    assert temporal_spans("", "Abuse028_x264.mp4  Abuse  165  240  -1  -1  ") == ((164, 240),)
    assert temporal_spans("", "A_x264.mp4  A  0  3  9  9") == ((0, 3), (8, 9))


def test_a_malformed_vatic_line_leaves_its_video_out_and_is_named(tree):
    path = annotate(tree, "Assault001")
    path.write_text(path.read_text().replace('20 30 40 3 1 0 0 "Assault"', '20 30 40 3 1 0 "Assault"'))
    corpus = read_tree(tree, settings(tree))
    (problem,) = left_out(corpus)
    assert problem.where == f"{path}, line 4" and "expected ten fields" in problem.what and "Assault001" in problem.what
    assert "Assault001" not in by_name(corpus)


def test_a_missing_vatic_file_leaves_its_video_out_and_names_the_place(tree):
    (tree / "UCFCrime2Local/annotations/Assault001.txt").unlink()
    (problem,) = left_out(read_tree(tree, settings(tree)))
    assert "UCFCrime2Local/annotations/Assault001.txt" in problem.what


def test_a_malformed_list_line_is_left_out_and_named(tree):
    path = write(tree / "UCFCrime2Local/Train_split_AD.txt", *TRAIN, "what is this")
    (problem,) = left_out(read_tree(tree, settings(tree)))
    assert problem.where == f"{path}, line {len(TRAIN) + 1}" and "'what is this'" in problem.what


@pytest.mark.parametrize("broken", ["video", "annotation", "list"])
def test_strict_stops_at_the_first_unusable_video(tree, broken):
    if broken == "video":
        (tree / "Anomaly-Videos/Assault/Assault003_x264.mp4").unlink()
    elif broken == "annotation":
        annotate(tree, "Assault003").write_text("nonsense\n")
    else:
        write(tree / "UCFCrime2Local/Test_split_AD.txt", *TEST, "nonsense")
    with pytest.raises(DataError, match="strict: true stops here"):
        read_tree(tree, settings(tree, strict=True))


def test_strict_reads_a_whole_tree(tree):
    assert len(read_tree(tree, settings(tree, strict=True)).videos) == len(TRAIN) + len(TEST)


def test_two_files_of_one_name_are_both_named_and_the_first_is_used(tree):
    place(tree, "Assault001", folder="Zcopy")
    corpus = read_tree(tree, settings(tree))
    assert by_name(corpus)["Assault001"].path == tree / "Anomaly-Videos/Assault/Assault001_x264.mp4"
    (problem,) = [p for p in corpus.problems if "Zcopy" in p.what]
    assert problem.where.endswith("Anomaly-Videos/Assault/Assault001_x264.mp4") and not problem.left_out


def test_a_video_in_both_lists_is_not_trained_on(tree):
    write(tree / "UCFCrime2Local/Train_split_AD.txt", *TRAIN, "Assault003", "Assault001")
    corpus = read_tree(tree, settings(tree))
    assert by_name(corpus)["Assault003"].split == "test"
    assert any("Assault003 is in the test list too" in p.what for p in corpus.problems)
    assert any("Assault001 is listed twice" in p.what for p in corpus.problems)
    assert len(corpus.videos) == len(TRAIN) + len(TEST)


def test_a_side_without_a_class_is_noted(tree):
    write(tree / "UCFCrime2Local/Train_split_AD.txt", "Assault001", "Robbery001")
    assert any(p.what == "the train side has no normal video" for p in read_tree(tree, settings(tree)).problems)


def test_a_missing_tree_says_what_is_expected_and_where_it_comes_from(tmp_path):
    with pytest.raises(DataError, match="is not a folder") as error:
        load_corpus(settings(tmp_path / "gone"))
    for text in (
        str(tmp_path / "gone"),
        "Anomaly-Videos/<Class>/<Name>_x264.mp4",
        "Train_split_AD.txt",
        "University of Central Florida",
        "ImageLab",
    ):
        assert text in str(error.value)


def test_missing_lists_and_missing_videos_are_errors(tree):
    (tree / "UCFCrime2Local/Test_split_AD.txt").unlink()
    with pytest.raises(DataError, match=r"no test_split_ad\.txt"):
        read_tree(tree, settings(tree))
    (tree / "UCFCrime2Local/Train_split_AD.txt").unlink()
    with pytest.raises(DataError, match=r"no anomaly_train\.txt and no anomaly_test\.txt"):
        read_tree(tree, settings(tree))
    write(tree / "Anomaly_Train.txt", *TRAIN)
    write(tree / "Anomaly_Test.txt", *TEST)
    for folder in ("Anomaly-Videos", "Training_Normal_Videos_Anomaly"):
        shutil.rmtree(tree / folder)
    with pytest.raises(DataError, match="none of the 11 usable listed videos"):
        read_tree(tree, settings(tree))
    write(tree / "Anomaly_Test.txt", "", " ")
    with pytest.raises(DataError, match="expected one video name a line, got none"):
        read_tree(tree, settings(tree))


def test_sources_with_other_columns_are_refused(tree):
    write(tree / "sources.csv", "video,camera", "Assault001,1")
    with pytest.raises(DataError, match="expected the columns name,source; got video,camera"):
        read_tree(tree, settings(tree))


def test_links_are_followed_and_do_not_loop(tree, tmp_path):
    shutil.move(tree / "Anomaly-Videos", tmp_path / "disk")
    (tree / "Anomaly-Videos").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk/up").symlink_to(tree, target_is_directory=True)
    corpus = read_tree(tree, settings(tree))
    assert len(corpus.videos) == len(TRAIN) + len(TEST)


def test_real_official_lists_name_1900_videos_and_290_tests(shared, tmp_path):
    root = tmp_path / "names"
    lists = shared("data/ucf_crime/lists")
    shutil.copytree(lists, root / "lists")
    names = [
        video_name(line)
        for file in ("Anomaly_Train.txt", "Anomaly_Test.txt")
        for line in (lists / file).read_text().split()
    ]
    place(root, *names)
    corpus = read_tree(root, settings(root))
    assert len(corpus.videos) == 1900 and not left_out(corpus)
    assert Counter(v.label for v in corpus.of("train")) == {0: 800, 1: 810}
    assert Counter(v.label for v in corpus.of("val", "test")) == {0: 150, 1: 140}
    assert len({v.category for v in corpus.videos}) == 14
    assert all(v.intervals for v in corpus.of("val", "test") if v.label)
    assert by_name(corpus)["Abuse028"].intervals == ((164, 240),)


def test_real_temporal_annotation_passes_no_video_by_more_than_the_default_slack(shared, tmp_path):
    """The frame counts are a public re-run's, cut down to a multiple of 16: seven videos are annotated past them."""
    with open(shared("data/ucf_crime/scores_mil_c3d.csv"), newline="") as file:
        frames = {video_name(row["video"]): int(row["frames"]) for row in csv.DictReader(file)}
    lines = shared("data/ucf_crime/lists/Temporal_Anomaly_Annotation.txt").read_text().splitlines()
    spans = {video_name(line.split()[0]): temporal_spans("", line) for line in lines}
    assert len(spans) == 290 and spans.keys() == frames.keys()
    slack = settings(tmp_path).annotation_slack_frames
    clipped = []
    for name, pairs in spans.items():
        _, problem = clip_intervals(
            Video(name, Path(name), category_of(name), "test", name, pairs), frames[name], slack
        )
        clipped += [name] if problem else []
    assert sorted(clipped) == [
        "Arson011",
        "Arson016",
        "Assault006",
        "Explosion033",
        "Fighting003",
        "Shooting015",
        "Shooting046",
    ]


def test_the_real_videos_are_read_where_they_stand_and_the_missing_are_listed(shared):
    root = shared("data/ucf_crime")
    corpus = load_corpus(settings(root))
    assert len(corpus.videos) == 24 and len(left_out(corpus)) == 1876
    assert {v.name: v.intervals for v in corpus.of("val", "test")} == {"Normal_Videos_006": (), "Normal_Videos_015": ()}
    assert all(v.intervals and v.boxes_path.name == "Train_annotation.pkl" for v in corpus.of("train") if v.label)
    assert all(video.path.is_file() for video in corpus.videos)


def test_one_file_under_two_listed_names_is_not_on_two_sides(official):
    test, train = (next(v for v in read_all(official) if v.split == s and v.label) for s in ("test", "train"))
    train.path.unlink()
    train.path.symlink_to(test.path)
    corpus = load_corpus(settings(official))
    names = by_name(corpus)
    assert train.name not in names and (test.name in names) == (test.category == train.category)
    assert any("one file under 2 names" in p.what for p in corpus.problems if p.left_out)


def read_all(root):
    return load_corpus(settings(root)).videos


def test_a_video_of_two_sources_is_an_error(tree):
    write(tree / "sources.csv", "name,source", "Assault001,a", "Assault001_x264.mp4,b")
    with pytest.raises(DataError, match=r"sources.csv: .* has two sources"):
        load_corpus(settings(tree))


def test_sources_that_are_no_table_are_refused_by_name(tree):
    write(tree / "sources.csv", "name,source", "Assault001," + "a" * 140_000)
    with pytest.raises(DataError, match="sources.csv is not a CSV in UTF-8"):
        load_corpus(settings(tree))


# --- without video files ------------------------------------------------------------------------------------------


def alone(root: Path | str, **values):
    return load_corpus(settings(root, mil_published="features", validation="train_cut", **values))


@pytest.mark.parametrize("place", ["", "gone", "empty"])
def test_features_need_no_file_of_ucf_crime(tmp_path, place):
    (tmp_path / "empty").mkdir()
    found = alone(tmp_path / place if place else "", validation_fraction=0.1)
    counts = Counter((v.split, v.label) for v in found.videos)
    assert (len(found.videos), counts["test", 1], counts["test", 0], found.lists) == (1900, 140, 150, "official")
    assert counts["train", 1] + counts["val", 1] == 810 and 75 <= counts["val", 1] <= 90
    by_name = {v.name: v for v in found.videos}
    assert by_name["Abuse028"].intervals == ((164, 240),) and by_name["Abuse001"].intervals is None
    assert (by_name["Abuse028"].frames, by_name["Abuse028"].fps, by_name["Abuse028"].split) == (1412, 30, "test")
    assert "No video of UCF-Crime is below data_root" in found.no_pixels and "crcv.ucf.edu" in found.no_pixels
    assert not any(p.left_out for p in found.problems)
    assert any("is not a folder" in p.what for p in found.problems) == (place == "gone")


def test_without_features_the_videos_are_asked_for(tmp_path):
    with pytest.raises(DataError, match="expected below it"):
        load_corpus(settings(tmp_path, validation="train_cut"))
    with pytest.raises(ConfigError, match="needs data_root"):
        settings("")


def test_ones_own_lists_and_spans_win_and_the_differences_are_named(tmp_path):
    write(tmp_path / "Anomaly_Train.txt", "Abuse/Abuse001_x264.mp4", "Abuse/Abuse028_x264.mp4", "Mine001.mp4")
    write(tmp_path / "Anomaly_Test.txt", "Abuse/Abuse030_x264.mp4", "Testing/Normal_Videos_003_x264.mp4")
    write(tmp_path / "Temporal_Anomaly_Annotation.txt", "Abuse030_x264.mp4 Abuse 11 20 -1 -1")
    found = alone(tmp_path, validation_fraction=0.0)
    assert [v.name for v in found.of("test")] == ["Abuse030", "Normal_Videos_003"]
    by_name, said = {v.name: v for v in found.videos}, " ".join(p.what for p in found.problems)
    assert by_name["Abuse030"].intervals == ((10, 20),) and by_name["Mine001"].frames is None
    assert "videos have another list, class or span here than in UCF-Crime's own lists; those here are used" in said
    assert "1900 videos have" in said or "1899 videos have" in said


def test_a_table_of_lengths_comes_before_the_public_ones(tmp_path):
    write(tmp_path / "lengths.csv", "name,frames,fps", "Abuse001_x264.mp4,100,25", "Abuse002,200,12.5")
    by_name = {v.name: (v.frames, v.fps) for v in alone(tmp_path).videos}
    assert (by_name["Abuse001"], by_name["Abuse002"], by_name["Abuse003"]) == ((100, 25), (200, 12.5), (3698, 30))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("name,frames", "Abuse001,100"), "expected the columns name,frames,fps; got name,frames"),
        (("name,frames,fps", "Abuse001,0,30"), "in the row of Abuse001 .* are possible.*mend the row"),
        (("name,frames,fps", "Abuse001,x,30"), "in the row of Abuse001"),
        (("name,frames,fps", "Abuse001,,30"), "in the row of Abuse001"),
    ],
)
def test_a_table_of_lengths_that_says_none_is_refused(tmp_path, lines, said):
    write(tmp_path / "lengths.csv", *lines)
    with pytest.raises(DataError, match=said):
        alone(tmp_path)


def test_some_videos_are_enough_for_what_looks_at_pixels(tmp_path):
    place(tmp_path, "Abuse001")
    found = alone(tmp_path)
    assert not found.no_pixels and len(found.videos) == 1900
    assert any("1899 of 1900 listed videos have no file" in p.what for p in found.problems)
