"""Small files that failed, or must go on working: odd videos, folders, score files. Each comes to what it holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_square, write_video

from vadkit.core.errors import DataError
from vadkit.core.parameters import make_config
from vadkit.core.video import Decoded, inspect, read_frames
from vadkit.corpora import load_corpus
from vadkit.corpora.video import Video
from vadkit.evaluation import external
from vadkit.systems.bags import load_bags
from vadkit.views.published_features import find_published, read_published


def watched(path: Path) -> tuple[Decoded, list[float], set[tuple[int, ...]]]:
    """A video's facts, the time of every frame in seconds, and the shapes of its images."""
    frames, times, shapes = read_frames(path), [], set()
    for _, image in frames:
        times.append(frames.time_s)
        shapes.add(image.shape)
    return frames.decoded, times, shapes


def noted(found: Decoded, *words: str) -> bool:
    """Whether one note has all these words."""
    return any(all(word in note for word in words) for note in found.notes)


# file: frames, (width, height), fps, words of a note each, seconds of the last frame
VIDEOS = {
    "av1.mp4": (60, (320, 240), 30.0, [], 59 / 30),
    "corrupt.mp4": (171, (320, 240), 30.0, ["9 of 180 packets"], 179 / 30),  # the others are shown when they were
    "editlist.mp4": (149, (320, 240), 30.0, ["150 frames, 149 decode"], 148 / 30),
    "midgop.ts": (60, (320, 240), 30.0, ["89 frames, 60 decode"], 59 / 30),
    "nodur.webm": (180, (320, 240), 30.0, [], 179 / 30),
    "ptsreset.ts": (180, (320, 240), 30.0, ["clock jumps back", "frame 90"], 179 / 30),
    "raw.h264": (180, (320, 240), 25.0, ["25 frames a second is a guess"], 179 / 25),
    "reschange.ts": (180, (320, 240), 30.0, ["frame 90", "640x480"], 179 / 30),
    "rot90.mp4": (180, (240, 320), 30.0, [], 179 / 30),
    "twostreams.mp4": (180, (320, 240), 30.0, [], 179 / 30),  # the one that is marked as to be shown
}


@pytest.mark.parametrize("name", VIDEOS)
def test_odd_videos_decode_to_what_they_show(shared, name):
    frames, size, fps, words, last = VIDEOS[name]
    found, times, shapes = watched(shared(f"cases/video/{name}"))
    assert (found.frames, found.fps, shapes) == (frames, fps, {(*size[::-1], 3)})
    assert len(times) == frames and (np.diff(times) > 0).all() and times[-1] == pytest.approx(last, abs=0.01)
    assert all(noted(found, word) for word in words), found.notes
    assert not noted(found, "variable") and bool(found.notes) >= bool(words)
    assert words or not found.notes or name == "twostreams.mp4", found.notes
    assert not noted(found, "black")


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_a_frame_of_a_varying_rate_is_shown_when_it_is_shown(shared, name):
    found, times, _ = watched(shared(f"cases/video/{name}"))
    assert found.frames == 99 and noted(found, "variable frame rate")
    assert times[89:91] == pytest.approx([89 / 30, 3.0], abs=0.01) and times[-1] == pytest.approx(17 / 3, abs=0.01)


def test_an_mp4_without_its_index_is_refused(shared):
    with pytest.raises(DataError, match=r"trunc_nomoov\.mp4: .*broke off: its index \(the moov box\) is missing"):
        inspect(shared("cases/video/trunc_nomoov.mp4"))


def test_transport_streams_of_a_folder_are_clips_as_others(shared):
    root = shared("cases/corpus/f_ts")
    corpus = load_corpus(make_config({"corpus": "folder", "split": "grouped_cv", "data_root": str(root)}))
    assert {v.name: v.label for v in corpus.videos} == {
        **dict.fromkeys(("Fight/f1", "Fight/f2", "Fight/f3", "Fight/f9"), 1),
        **dict.fromkeys(("noFight/n1", "noFight/n2", "noFight/n3"), 0),
    }
    assert not [problem for problem in corpus.problems if problem.left_out]
    assert all(inspect(video.path).frames for video in corpus.videos)


BYTES = [b"\xff\xfe.mp4", b"caf\xe9.mp4", b"\x1b[31mred.mp4", b"a\nb.mp4", b"\xed\xa0\x80.mp4"]
READ = """
from vadkit.core.parameters import load_params
from vadkit.core.video import inspect
from vadkit.corpora import load_corpus
config = load_params("params/p.yaml")
videos = load_corpus(config).videos
for video in videos:
    inspect(video.path)
from vadkit.views import frames
from vadkit.workbook import cli
cli.main(["data", "params/p.yaml"])
views, problems = frames.extract(videos, config)
print(len(views), sum(problem.left_out for problem in problems))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a file system that takes any name")
def test_any_name_is_printed_escaped_and_read_or_left_out(tmp_path):
    for n in range(6):
        path = write_video(tmp_path / "data" / ("fight", "noFight")[n % 2] / f"v{n}.mp4", moving_square(8))
        if n < len(BYTES):
            os.rename(path, os.path.join(os.fsencode(path.parent), BYTES[n]))
    (tmp_path / "data" / "fight" / "\x1b[31mred.mpg").touch()  # a second of that name: it is spoken of
    for name in ("params", "notebooks"):
        (tmp_path / name).mkdir()
    lines = ["corpus: folder", "split: grouped_cv", "data_root: data", "detector_weights: none", "workers: 1"]
    (tmp_path / "params" / "p.yaml").write_text("\n".join([*lines, "image_size: 32", "flow_method: dis"]))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    said = done.stdout.decode()
    assert "red.mpg has the name" in said or "red.mp4 has the name" in said
    assert not {c for c in said if ord(c) < 32 or 0x7F <= ord(c) < 0xA0} - {"\n"}
    used, left_out = map(int, said.splitlines()[-1].split())
    assert used + left_out <= 6 and used >= 1


SCORES = "cases/scores"
SEGMENTS, FRAMES, CLIPS = "32 equal segments a video", "a score for each frame", "a score for each 16 frames"
AT_FRAMES = "a score at some frames, each held until the next"


@pytest.mark.parametrize(
    ("scores", "options", "layout"),
    [
        ("t.csv", {}, SEGMENTS),
        ("t_semi.csv", {}, SEGMENTS),
        ("t_tab.tsv", {}, SEGMENTS),
        ("npy_1T", {}, FRAMES),
        ("npy_nested", {"lengths": "lengths.csv"}, FRAMES),
        ("pred_all.npy", {"order": "lengths.csv"}, FRAMES),
        ("pred_all.npy", {"order": "lengths.csv", "annotations": "gt_all.npy"}, FRAMES),
        ("scores.json", {"every": 16}, CLIPS),
        ("scores.json", {"every": 16, "lengths": "lengths.csv"}, CLIPS),
        ("long.csv", {}, AT_FRAMES),
        ("csvfolder", {"lengths": "lengths.csv"}, AT_FRAMES),
    ],
)
def test_scores_as_they_are_published_are_read(shared, scores, options, layout):
    options = {k: shared(f"{SCORES}/{v}") if isinstance(v, str) else v for k, v in options.items()}
    options.setdefault("annotations", shared("cases/annotations/ann.txt"))
    given = external.read(shared(f"{SCORES}/{scores}"), **options)
    assert len(given.videos) == 6 and given.layout == layout and not given.findings
    anomalous = {v.name: int(v.labels.sum()) for v in given.videos if v.labels.any()}
    assert anomalous == {"Abuse028": 76, "Arrest001": 301, "Vandalism036": 332}
    if layout == FRAMES:
        whole = np.load(shared(f"{SCORES}/pred_all.npy"))
        first = next(v for v in given.videos if v.name == "Abuse028")
        np.testing.assert_array_equal(first.frame_scores(), whole[:1412])


@pytest.mark.parametrize(
    ("scores", "annotations", "options", "said"),
    [
        ("scores.json", "ann", {"lengths": True}, "89 scores of Abuse028, which has 1412 frames.* give --every 16"),
        ("pred_all.npy", "ann", {}, "needs --list FILE"),
        ("lengths.csv", "ann", {}, "6 x malformed row"),
        ("t.csv", "ann_early", {}, "5 x unknown video, 5 x unscored video"),
        ("t.csv", "ann_space", {}, "unscored video: my clip 1: "),
        ("t.csv", "ann_xd", {}, "6 x unknown video, 2 x unscored video"),
        ("snip_early", "ann", {}, "5 x unknown video"),
    ],
)
def test_scores_and_annotations_that_do_not_belong_together_are_refused(shared, scores, annotations, options, said):
    options = {k: shared(f"{SCORES}/lengths.csv") for k in options}
    with pytest.raises(DataError, match=said):
        external.read(shared(f"{SCORES}/{scores}"), shared(f"cases/annotations/{annotations}.txt"), **options)


def test_clip_scores_of_listed_names_are_not_taken_for_short_videos_without_a_word(shared):
    scores, annotations = shared(f"{SCORES}/snip_early"), shared("cases/annotations/ann_early.txt")
    given = external.read(scores, annotations)
    assert set(given.counts) == {"few scores"} and "a public list has 2728 frames" in given.findings[0].what
    assert {v.frames for v in external.read(scores, annotations, every=16).videos} == {800}


@pytest.mark.parametrize("name", ["ann", "ann_1span", "ann_3spans", "ann_lowernormal", "ann_noclass", "comma"])
def test_annotations_as_they_are_published_are_read(shared, name):
    given = external.read(shared(f"{SCORES}/t.csv"), shared(f"cases/annotations/{name}.txt"))
    assert not given.findings and {v.category for v in given.videos} == {"Abuse", "Arrest", "Vandalism", "Normal"}
    assert sum(int(v.labels.sum()) for v in given.videos) == 76 + 301 + 332 + 101 * (name == "ann_3spans")


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("rtfm_TCD", (88, 64)),
        ("crop_first_CTD", (88, 64)),
        ("one_32_D", (32, 64)),
        ("txt", (32, 64)),
        ("rgb_flow", (88, 128)),
        ("vadclip", (88, 64)),
    ],
)
def test_features_as_they_are_published_are_read(shared, layout, shape):
    names = ("Abuse028", "Normal_Videos_003")  # of one length here
    videos = [Video(name, Path(name), "Abuse", "test", name, frames=1412, fps=30.0) for name in names]
    files, astray = find_published(shared(f"cases/features/{layout}"), videos)
    found, problems = read_published(files, videos, lambda video, frames, bag: bag)
    assert not astray and not problems and {one.features.shape for one in found} == {shape}
    assert all(one.starts[0] == 0 and one.starts[-1] < 1412 for one in found)


def test_the_c3d_features_of_sultani_et_al_are_read(shared):
    folder = shared("data/ucf_crime/published/c3d_features")
    config = make_config({"corpus": "ucf_crime", "mil_published": str(folder)})
    corpus = load_corpus(config)
    made = load_bags(config, corpus)
    assert len(made.views) == 10 and sum("no features in" in p.what for p in made.problems) == 1890
    for item in made.views.values():
        assert item.bag.features.shape == (32, 4096) and item.bag.starts[-1] == 31 * (item.frames // 32)
        assert np.linalg.norm(item.bag.features, axis=1) == pytest.approx(np.ones(32), abs=1e-3)
    assert made.views["Explosion008"].frames == 1748
