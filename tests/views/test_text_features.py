"""Sentences as features: which rows a sentence fills, that test videos teach nothing, and what a bad source is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from vadkit.core.errors import ConfigError, DataError
from vadkit.core.parameters import load_params
from vadkit.corpora import load_corpus
from vadkit.corpora.public_lists import listed
from vadkit.systems.base import find_system
from vadkit.views.text_features import UCA, read, timed_rows, write
from vadkit.workbook import cli

TRAIN, ALSO_TRAIN, TEST = "Abuse001", "Normal_Videos001", "Abuse028"
SAID = {
    f"{TRAIN}_x264": (["a man walks in", "a man hits a dog", "a dog runs away"], [[0, 4], [4, 9.5], [9, 12]]),
    f"{ALSO_TRAIN}_x264": (["a man walks on", "a dog walks away", "a man walks away"], [[1, 2], [2, 3], [3, 4]]),
    f"{TEST}_x264": (["a dog hits a man", "a man walks in"], [[0, 3], [5, 20]]),
}


def uca(folder: Path, said: dict = SAID) -> Path:
    """A clone in small: all of it in one of its files, the others without a video."""
    below = folder / "UCF Annotation" / "json"
    below.mkdir(parents=True)
    content = {name: {"duration": 60.0, "timestamps": times, "sentences": s} for name, (s, times) in said.items()}
    for n, name in enumerate(UCA):
        (below / name).write_text(json.dumps(content if n == 0 else {}))
    return folder


def captions(folder: Path, name: str = f"{TEST}_x264", said: object = None) -> Path:
    folder.mkdir()
    said = {"0": "a man walks", "16": "a dog runs", "64": "a man hits"} if said is None else said
    (folder / f"{name}.json").write_text(said if isinstance(said, str) else json.dumps(said))
    return folder


def test_a_row_is_the_mean_of_what_covers_it_and_the_past_holds():
    timed = [(17.0, 40.0, "a"), (32.0, 48.0, "b"), (96.0, 100.0, "c")]
    rows = timed_rows(timed, np.eye(3, dtype=np.float32), 8)
    a, b, c = np.eye(3)
    wanted = [0 * a, a, (a + b) / 2, (a + b) / 2, (a + b) / 2, (a + b) / 2, c, c]  # both ended with row 2
    np.testing.assert_allclose(rows, wanted)


def test_each_listed_video_has_a_row_for_sixteen_frames_and_test_videos_teach_nothing(tmp_path):
    made = write(uca(tmp_path / "one"), tmp_path / "a", 3)
    other = {**SAID, f"{TEST}_x264": (["entirely different words"], [[0, 3]])}
    again = write(uca(tmp_path / "two", other), tmp_path / "b", 3)
    assert (made.videos, made.sentences, again.words) == ({"train": 2, "test": 1}, 6, made.words)
    for name in (TRAIN, ALSO_TRAIN, TEST):
        first, second = (np.load(tmp_path / folder / f"{name}.npy") for folder in "ab")
        assert first.shape == (-(-listed("ucf-crime")[name].frames // 16), 3) and first.dtype == np.float16
        assert np.array_equal(first, second) == (name != TEST)
    assert made.rows == sum(len(np.load(path)) for path in (tmp_path / "a").glob("*.npy"))
    assert any("1608 train videos have no sentence" in note and ALSO_TRAIN not in note for note in made.notes)


def test_captions_are_described_by_the_fit_on_peoples_sentences(tmp_path):
    source = uca(tmp_path / "uca")
    made = write(source, tmp_path / "people", 3)
    also = write(source, tmp_path / "machine", 3, captions(tmp_path / "captions"))
    assert (made.words, made.sentences) == (also.words, also.sentences)
    people, machine = (np.load(tmp_path / kind / f"{TRAIN}.npy") for kind in ("people", "machine"))
    assert np.array_equal(people, machine)
    rows = np.load(tmp_path / "machine" / f"{TEST}.npy")
    assert not np.array_equal(rows, np.load(tmp_path / "people" / f"{TEST}.npy"))
    assert np.array_equal(rows[1], rows[3]) and not np.array_equal(rows[0], rows[1])  # a caption holds until the next
    assert np.array_equal(rows[4], rows[-1])


def test_the_profile_reads_what_was_written(tmp_path):
    from vadkit.systems.bags import load_bags

    write(uca(tmp_path / "uca"), tmp_path / "out", 3)
    changes = {"mil_published": str(tmp_path / "out"), "mil_segments": 8, "data_root": str(tmp_path / "nowhere")}
    config = load_params(REPOSITORY / "params/ucf_text.yaml", changes)
    corpus = load_corpus(config)
    material = load_bags(config, corpus)
    bag = material.views[TRAIN].bag
    assert list(material.views) == [v.name for v in corpus.videos if v.name in (TRAIN, ALSO_TRAIN, TEST)]
    assert bag.features.shape == (8, 3) and material.views[TRAIN].frames == listed("ucf-crime")[TRAIN].frames
    rows = np.load(tmp_path / "out" / f"{TRAIN}.npy").astype(np.float32)
    of_segment = np.arange(len(rows)) * 16 < bag.starts[1]
    np.testing.assert_allclose(bag.features[0], rows[of_segment].mean(axis=0), rtol=1e-5)
    assert sum(p.left_out for p in material.problems) == 1897
    assert find_system("MIL learner", config).other_network(config)  # so that no number is a verdict on the paper's


def test_times_that_are_no_part_of_a_video_are_named(tmp_path):
    odd = {**SAID, f"{TEST}_x264": (["x", "y", " ", "z", "w"], [[9, 3], [9e3, 9e4], [1, 2], [1, 9e4], [-1, 2]])}
    odd["Madness001_x264"] = (["who is this"], [[0, 1]])
    found = read(uca(tmp_path / "uca", odd), listed("ucf-crime"))
    assert found.videos[TEST] == [(30.0, listed("ucf-crime")[TEST].frames, "z")]
    said = "\n".join(found.notes)
    assert "Abuse028: 4 of 5 sentences are empty or of no frame of it" in said
    assert "Abuse028: 2 of 5 sentences pass its end" in said and "1 videos are not UCF-Crime's" in said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "not JSON"),
        ({}, "no sentence about Abuse028"),
        ({"0": " "}, "no sentence about Abuse028"),
        ({"0": 0.5}, "not JSON of timed sentences"),
        ({"zero": "a"}, "not JSON of timed sentences"),
        ([1], "not JSON of timed sentences"),
    ],
)
def test_a_bad_caption_file_is_named(tmp_path, said, words):
    with pytest.raises(DataError, match=words) as error:
        read(captions(tmp_path / "captions", said=said), listed("ucf-crime"))
    assert "Abuse028_x264.json" in str(error.value) and "get" in str(error.value)


def test_a_source_that_cannot_be_used_is_told_what_to_give(tmp_path, capsys):
    of_tests = captions(tmp_path / "captions")
    with pytest.raises(ConfigError, match=r"describes no training video.*--also"):
        write(of_tests, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no .json file"):
        write(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="describes no video of UCF-Crime"):
        write(captions(tmp_path / "strangers", "street_7"), tmp_path / "out")
    source = uca(tmp_path / "uca")
    with pytest.raises(ConfigError, match="400 dimensions are too many"):
        write(source, tmp_path / "out", 400)
    assert not (tmp_path / "out").exists()
    cli.main(["features", "text", str(source), "--out", str(tmp_path / "out"), "--dimensions", "3"])
    assert "2 training and 1 test videos" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="is not empty; remove it"):
        write(source, tmp_path / "out", 3)
    next(source.rglob(UCA[1])).unlink()
    with pytest.raises(DataError, match="2 of UCA's UCFCrime_Train.json"):
        write(source, tmp_path / "new")


def test_the_whole_of_uca(shared):
    source = shared("data/ucf_crime/published/uca")
    found = read(source, listed("ucf-crime"))
    splits = [listed("ucf-crime")[name].split for name in found.videos]
    assert (splits.count("train"), splits.count("test"), sum(map(len, found.videos.values()))) == (1568, 286, 23542)
    assert found.notes == ["Shooting030: 2 of 10 sentences pass its end by more than a second, cut there"]
