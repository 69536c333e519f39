"""Scoring as a video comes, for systems that see more than frames: the experiment's numbers, and what streams get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import LIVE_FPS, broken_off, live_config, live_corpus, publish, rows, served

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.video import read_frames
from vadkit.corpora.video import Corpus
from vadkit.evaluation.scores import hold
from vadkit.live.analysers import make_analyser, networks
from vadkit.live.analysers.rows import Grid
from vadkit.live.score import describe, score
from vadkit.models.joint import NAMES
from vadkit.models.network import build_network
from vadkit.systems import runner
from vadkit.systems.base import find_system
from vadkit.systems.joint import SequenceSystem
from vadkit.systems.mil import LearnerSystem
from vadkit.systems.record import find_model, save_models
from vadkit.views.sampling import stride_frames
from vadkit.views.segments import even_rows
from vadkit.workbook import cli

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(one_thread, tmp_path_factory) -> Corpus:
    return live_corpus(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def weights(one_thread, tmp_path_factory) -> dict[str, str]:
    """Random networks whose batch normalisation has seen something: else all clips look alike to them."""
    folder, parameters = (
        tmp_path_factory.mktemp("weights"),
        {"i3d_rgb": "i3d_rgb_weights", "i3d_flow": "i3d_flow_weights", "resnext3d": "mil_resnext3d_weights"},
    )
    for name in parameters:
        network = build_network(name, "random", width=CLIPS["clip_width"], size=32).train()
        for layer in network.modules():
            layer.momentum = None  # the mean of all batches, where it is one of normalisation
        with torch.no_grad():
            for seed in range(2):
                network(
                    torch.randn(
                        4, 2 if name == "i3d_flow" else 3, 16, 32, 32, generator=torch.Generator().manual_seed(seed)
                    )
                )
        torch.save(network.state_dict(), folder / f"{name}.pt")
    return {parameter: str(folder / f"{name}.pt") for name, parameter in parameters.items()}


CLIPS = {"clip_frames": 8, "clip_fps": 6.0, "clip_width": 0.125}
LEARNERS = {
    "segments": {"mil_segments": 7},
    "sparse": {"mil_segments": 5, "mil_fps": 2.7, "speed_stream": True},
    "instances": {"mil_segments": 0},
    "rare-instances": {"mil_segments": 0, "mil_fps": 2.7},
    "resnext3d": {"mil_segments": 3, "mil_fps": 1.5, "mil_features": "resnext3d", "mil_resnext3d_size": 32, **CLIPS},
    "i3d": {"mil_segments": 3, "mil_fps": 1.5, "mil_features": "i3d", "i3d_size": 32, **CLIPS},
    "folds": {
        "mil_segments": 4,
        "mil_fps": 1.0,
        "corpus": "folder",
        "data_root": ".",
        "split": "grouped_cv",
        "folds": 2,
    },
}


@pytest.fixture(scope="module")
def learners(corpus, weights) -> dict:
    """A recorded Learner of each kind, and its scores by video."""
    root, found = corpus.videos[0].path.parent, {}
    for profile, changes in LEARNERS.items():
        config = live_config(root, profile, **changes, **weights if "clip_width" in changes else {})
        videos = (
            corpus
            if config.split == "official"
            else Corpus("tiny", tuple(replace(v, split="all") for v in corpus.videos))
        )
        run = runner.run(config, videos, "MIL learner")
        save_models(run)
        found[profile] = {one.name: one for one in run.seeds[0].scores}
    return found


def learner_of(corpus: Corpus, profile: str, video: str = "v6"):
    return find_model(corpus.videos[0].path.parent / "outputs" / profile, "MIL learner", video=f"{video}.mp4")


# --- clips ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "changes"),
    [
        ("C3D-ha", {}),
        ("C3D-ha", {"c3d_bag": True, "detector_weights": "world", "detector_size": 64}),
        ("full-I3D", {"i3d_score_every": 3}),
    ],
)
def test_a_3d_networks_scores_are_the_experiments(corpus, weights, tmp_path, system, changes):
    """At every analysed frame the clip that ends there, also where it starts before the video or between two of it."""
    root = corpus.videos[0].path.parent
    config = live_config(
        root,
        "clips",
        c3d_size=32,
        i3d_size=32,
        c3d_weights="random",
        **weights,
        **CLIPS | {"clip_frames": 16, "clip_fps": 5.0},
        **changes,
    )
    run = runner.run(config, corpus, system)
    save_models(run)
    model = find_model(root / "outputs" / "clips", system)
    for one in run.seeds[0].scores:
        score(root / f"{one.name}.mp4", model, table=tmp_path / "a.csv")
        found = rows(tmp_path / "a.csv")
        assert np.array_equal(found[:, 0], one.index) and np.allclose(found[:, 2], one.confidence, atol=1e-4)
        assert len(set(one.confidence.tolist())) > 3  # clips differ


def test_a_system_on_tubes_is_refused_by_name(monkeypatch):
    loaded = SimpleNamespace(system=find_system("oracle-I3D"))
    monkeypatch.setattr(networks.scorer, "load_model", lambda path, device: loaded)
    with pytest.raises(ConfigError, match="oracle-I3D sees windows .* full-I3D"):
        networks.analysers_of(SimpleNamespace(path=Path("."), system=loaded.system), Config())


# --- a Learner's segments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", list(LEARNERS))
def test_a_learners_scores_are_the_experiments(corpus, learners, tmp_path, profile):
    assert len(learners[profile]) == (8 if profile == "folds" else 2)
    for name, one in list(learners[profile].items())[-2:]:
        model = learner_of(corpus, profile, name)
        assert isinstance(model.system, LearnerSystem) and model.held_out == (profile == "folds")
        verdict = score(corpus.videos[0].path.parent / f"{name}.mp4", model, table=tmp_path / "a.csv")
        found, one = rows(tmp_path / "a.csv"), one.stepped
        assert np.array_equal(found[:, 0], one.index) and verdict.frames == one.frames
        assert np.allclose(found[:, 2], one.confidence, atol=1e-4) and len(set(found[:, 2])) > 2
        assert verdict.share == pytest.approx(hold(one.index, found[:, 4], one.frames).mean())


def test_the_film_of_a_learner(corpus, learners, tmp_path):
    model = learner_of(corpus, "segments", "v7")
    verdict = score(corpus.videos[0].path.parent / "v7.mp4", model, overlay=tmp_path / "o.mp4")
    assert sum(1 for _ in read_frames(tmp_path / "o.mp4")) == verdict.frames + 24
    assert any("7 segments of 0.5 s" in note and "looks ahead" in note for note in verdict.notes)
    assert verdict.analysed == 14 and verdict.seconds["backbone"] > 0 < verdict.seconds["decode"]
    assert describe(verdict, model)[0] == "MIL learner seed 0"


def test_a_stream_has_windows_instead_of_segments(corpus, learners):
    """Each the mean of what a training segment lasts, up to now: whatever comes later changes nothing."""
    model, path = learner_of(corpus, "segments"), corpus.videos[6].path

    def readings(change_from: int) -> tuple[list, tuple[str, ...]]:
        analyser = make_analyser(model, model.config, LIVE_FPS, endless=True)
        seen = [
            analyser.see(number, 255 - image if number >= change_from else image) for number, image in read_frames(path)
        ]
        return [one for one in seen if one], analyser.notes

    (found, notes), (other, _) = readings(99), readings(24)
    assert [one.frame for one in found] == list(range(0, 40, 3))
    assert [one.confidence for one in found if one.frame < 24] == [one.confidence for one in other if one.frame < 24]
    assert found[-1].confidence != other[-1].confidence
    assert "the 0.5 s up to its frame" in notes[0]  # 40 frames at 12 a second, in 7 segments


def test_a_stream_of_instances_is_scored_as_the_file_is(corpus, learners, tmp_path):
    model, folder = learner_of(corpus, "instances"), corpus.videos[0].path.parent
    with served(folder) as address:
        score(f"{address}/v6.mp4", model, table=tmp_path / "s.csv")
    score(folder / "v6.mp4", model, table=tmp_path / "f.csv")
    assert np.array_equal(rows(tmp_path / "s.csv"), rows(tmp_path / "f.csv"))


def test_a_file_too_short_to_cut_or_stopped_before_it_is_known_is_refused(corpus, learners, tmp_path, tiny_video):
    model = learner_of(corpus, "segments")
    with pytest.raises(DataError, match="6 frames, too few for 7 segments"):
        score(tiny_video(frames=6, fps=LIVE_FPS), model, table=tmp_path / "a.csv")
    with pytest.raises(DataError, match="no score was known yet"):
        score(corpus.videos[6].path, model, table=tmp_path / "a.csv", stopped=lambda: True)
    assert not (tmp_path / "a.csv").exists()


def test_of_a_file_that_breaks_off_what_came_is_cut_into_segments(corpus, learners, tmp_path):
    _, cut = broken_off(tmp_path)
    verdict = score(cut, learner_of(corpus, "segments"), table=tmp_path / "a.csv")
    found = rows(tmp_path / "a.csv")
    assert (
        "truncated or damaged" in verdict.broken
        and 1 < len(set(found[:, 2])) <= 7
        and found[-1, 0] < verdict.frames < 40
    )


def test_published_features_cannot_be_made_of_a_video(corpus, tmp_path):
    root = corpus.videos[0].path.parent
    features = publish(
        tmp_path / "features", {v.name: np.random.default_rng(n).random((4, 5)) for n, v in enumerate(corpus.videos)}
    )
    config = live_config(root, "published", mil_segments=4, clip_frames=10, mil_published=str(features))
    save_models(runner.run(config, corpus, "MIL learner"))
    with pytest.raises(DataError, match="features that others publish"):
        score(corpus.videos[6].path, learner_of(corpus, "published"))


def test_the_command_scores_with_a_learner(corpus, learners, tmp_path, capsys):
    root = corpus.videos[0].path.parent
    cli.main(
        [
            "score",
            str(root / "v6.mp4"),
            "--run",
            str(root / "outputs" / "segments"),
            "--system",
            "MIL learner",
            "--csv",
            str(tmp_path / "c.csv"),
        ]
    )
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith(("normal: ", "abnormal: "))
        and len(rows(tmp_path / "c.csv")) == 14
    )  # a line every third of 40 frames
    with pytest.raises(SystemExit):
        cli.main(["score", str(root / "v6.mp4"), "--run", str(root / "outputs" / "segments"), "--system", "MIL lerner"])
    assert "did you mean 'MIL learner'" in capsys.readouterr().err


# --- LSTM, attention, joint -------------------------------------------------------------------------------------------


SEQUENCES = {
    "sequences": {"joint_segment_seconds": 0.5, "joint_epochs": 4, "joint_width": 8, "joint_lr": 0.01},
    "sequence-folds": {
        "joint_segment_seconds": 0.8,
        "joint_epochs": 2,
        "joint_width": 8,
        "corpus": "folder",
        "data_root": ".",
        "split": "grouped_cv",
        "folds": 2,
    },
}


@pytest.fixture(scope="module")
def sequences(corpus) -> dict:
    """A recorded LSTM, attention and joint model of each kind of split, by profile and name."""
    root, found = corpus.videos[0].path.parent, {}
    for profile, changes in SEQUENCES.items():
        config = live_config(root, profile, **changes)
        videos = (
            corpus
            if config.split == "official"
            else Corpus("tiny", tuple(replace(v, split="all") for v in corpus.videos))
        )
        for name in NAMES:
            found[profile, name] = run = runner.run(config, videos, f"{name} model")
            save_models(run)
    return found


def sequence_of(corpus: Corpus, name: str, profile: str = "sequences", video: str = "v6"):
    return find_model(corpus.videos[0].path.parent / "outputs" / profile, f"{name} model", video=f"{video}.mp4")


@pytest.mark.parametrize("profile", list(SEQUENCES))
@pytest.mark.parametrize("name", NAMES)
def test_scores_on_segments_in_order_are_the_experiments(corpus, sequences, tmp_path, profile, name):
    one = sequences[profile, name]
    assert len(one.seeds[0].scores) == (2 if profile == "sequences" else 8)
    for video in (video.stepped for video in one.seeds[0].scores[-2:]):
        model = sequence_of(corpus, name, profile, video.name)
        assert isinstance(model.system, SequenceSystem) and model.held_out == (profile != "sequences")
        verdict = score(corpus.videos[0].path.parent / f"{video.name}.mp4", model, table=tmp_path / "a.csv")
        found = rows(tmp_path / "a.csv")
        assert np.array_equal(found[:, 0], video.index) and verdict.frames == video.frames
        assert np.allclose(found[:, 2], video.confidence, atol=1e-4) and len(set(found[:, 2])) > 2
        assert sum("its class" in note for note in verdict.notes) == (name == "joint")


def test_the_class_that_is_named_is_the_experiments(corpus, sequences):
    for one in sequences["sequences", "joint"].recognised()[0]:
        verdict = score(corpus.videos[0].path.parent / f"{one.name}.mp4", sequence_of(corpus, "joint"))
        best = int(np.argmax(one.probabilities))
        assert f"as the model sees it: {one.classes[best]} ({100 * one.probabilities[best]:.0f} %)" in verdict.notes[-1]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_stream_the_segment_that_goes_on_is_scored(corpus, sequences, name):
    """Looking back only; at a segment's last row it is the whole segment, so the score is the file's."""
    model, path = (
        sequence_of(corpus, name),
        corpus.videos[6].path,
    )  # 40 frames at 12 a second: segments of six, a row at every third

    def readings(change_from: int, **changes) -> list:
        analyser = make_analyser(model, model.config.model_copy(update=changes), LIVE_FPS, endless=True)
        return [
            one
            for number, image in read_frames(path)
            if (one := analyser.see(number, 255 - image if number >= change_from else image))
        ]

    found, other = readings(99), readings(24)
    assert [one.frame for one in found] == list(range(0, 40, 3))
    assert [one.confidence for one in found if one.frame < 24] == [one.confidence for one in other if one.frame < 24]
    assert found[-1].confidence != other[-1].confidence
    forgetful = readings(99, joint_max_segments=1)
    assert (forgetful[-1].confidence == pytest.approx(found[-1].confidence, abs=1e-7)) == (
        name == "attention"
    )  # which has no memory
    of_file = dict(
        zip(
            (one := sequences["sequences", name].seeds[0].scores[0].stepped).index.tolist(),
            one.confidence.tolist(),
            strict=True,
        )
    )
    assert found[1].confidence == pytest.approx(of_file[0], abs=1e-3)


def test_segments_without_a_row_repeat_the_one_before(corpus, sequences):
    """As in a file, where rows are rarer than segments: the stream's sequence keeps its time."""
    model, seen = sequence_of(corpus, "LSTM"), []
    analyser = make_analyser(
        model, model.config.model_copy(update={"joint_segment_seconds": 0.125}), LIVE_FPS, endless=True
    )
    analyser.model.scores = lambda features: seen.append(features) or np.full(len(features), 0.5)
    for number, image in read_frames(corpus.videos[6].path):
        analyser.see(number, image)
    assert [len(features) for features in seen] == [1 + int(row / 1.5) for row in range(0, 40, 3)]
    assert np.array_equal(seen[-1][-2], seen[-1][-3]) and not np.array_equal(seen[-1][-1], seen[-1][-2])


def test_a_sequence_model_of_published_features_is_refused(corpus, tmp_path):
    features = publish(
        tmp_path / "features", {v.name: np.random.default_rng(n).random((4, 5)) for n, v in enumerate(corpus.videos)}
    )
    config = live_config(
        corpus.videos[0].path.parent, "published-sequences", joint_epochs=1, clip_frames=10, mil_published=str(features)
    )
    save_models(runner.run(config, corpus, "LSTM model"))
    with pytest.raises(DataError, match="features that others publish"):
        score(corpus.videos[6].path, sequence_of(corpus, "LSTM", "published-sequences"))


def test_the_command_scores_with_the_joint_model(corpus, sequences, tmp_path, capsys):
    root = corpus.videos[0].path.parent
    cli.main(
        [
            "score",
            str(root / "v6.mp4"),
            "--run",
            str(root / "outputs" / "sequences"),
            "--system",
            "joint model",
            "--csv",
            str(tmp_path / "c.csv"),
            "--overlay",
            str(tmp_path / "o.mp4"),
        ]
    )
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("note: its class") for line in said) and said[-1].startswith(("normal: ", "abnormal: "))
    assert len(rows(tmp_path / "c.csv")) == 14 and sum(1 for _ in read_frames(tmp_path / "o.mp4")) == 40 + 24
    with pytest.raises(DataError, match="--only 11"):
        find_model(root / "outputs" / "nowhere", "joint model")


@given(
    fps=st.sampled_from([10.0, 12.5, 23.976, 30.0]),
    rate=st.sampled_from([1.0, 3.0, 5.0]),
    share=st.sampled_from([0.2, 0.5, 0.66, 1.0]),
    frames=st.integers(1, 200),
)
def test_the_sparse_grid_is_that_of_the_bags(fps, rate, share, frames):
    """But for the last row of a video, which rows are taken does not depend on what follows."""
    config = Config(analysis_fps=rate)
    grid = Grid(config, fps, rate * share)
    index = np.arange(0, frames, stride_frames(fps, rate))
    kept = index[even_rows(index, stride_frames(fps, rate * share))].tolist()
    assert [n for n in index.tolist()[:-1] if grid.is_row(n)] == [n for n in kept if n < index[-1]]
    assert set(kept) <= {n for n in range(frames) if grid.is_row(n)}
