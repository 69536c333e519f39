"""Baselines: the same folds as the systems, what they may look at, and that they find what is there and nothing
else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles import fake_corpus, fake_world

from vadkit.core import video
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.corpora.video import Corpus
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.systems import runner
from vadkit.systems.baselines import ContainerFacts, Probe, spread_rows


def folder_config(tmp_path: Path, **changes) -> Config:
    return Config(
        **{
            "cache_root": str(tmp_path),
            "workers": 1,
            "seeds": [0, 1],
            "corpus": "folder",
            "data_root": ".",
            "split": "grouped_cv",
            "folds": 3,
            "head_width": 8,
            "head_epochs": 1,
            **changes,
        }
    )


def metadata_baseline(config, corpus, model="forest"):
    return runner.run(config, corpus, ContainerFacts("container facts", model=model)).by_seed()


def linear_probe(config, corpus, what="both"):
    return runner.run(config, corpus, f"video probe, {what}").by_seed()


def frame_probe(config, corpus, what):
    return runner.run(config, corpus, f"frame probe, {what}").by_seed()


def by_video(scores) -> float:
    return frame_auc([one.label for one in scores], [float(one.confidence[0]) for one in scores])


@pytest.fixture
def world(monkeypatch):
    return fake_world(monkeypatch)


def containers(monkeypatch, width_of) -> None:
    monkeypatch.setattr(video, "probe", lambda path: video.Probe(width_of(path.stem), 240, 30.0, 300))


@pytest.mark.parametrize("model", ["forest", "logistic"])
def test_a_shortcut_in_the_container_is_found(tmp_path, world, monkeypatch, model):
    containers(monkeypatch, lambda name: 320 if name.startswith("Normal") else 640)
    results = metadata_baseline(folder_config(tmp_path), fake_corpus(official=False), model)
    assert list(results) == [0, 1]
    assert [one.name for one in results[0]] == [v.name for v in fake_corpus(official=False).videos]
    assert by_video(results[0]) == 1.0
    assert all(len(one.confidence) == 1 and len(one.frame_scores()) == 60 for one in results[0])


def test_containers_that_say_nothing_give_a_half(tmp_path, world, monkeypatch):
    containers(monkeypatch, lambda name: 320)
    values = [
        by_video(scores)
        for scores in metadata_baseline(folder_config(tmp_path), fake_corpus(official=False, videos=96)).values()
    ]
    assert values == pytest.approx([0.5, 0.5], abs=0.12)  # folds differ a little in their share of classes


@pytest.mark.parametrize("what", ["frame", "flow", "both", "both+std"])
def test_the_probe_finds_a_signal_and_nothing_in_noise(tmp_path, world, what):
    corpus, config = fake_corpus(official=False, videos=72), folder_config(tmp_path)
    world["signal"] = 8.0
    assert by_video(linear_probe(config, corpus, what)[0]) > 0.95
    world["signal"] = 0.0
    # 36 against 36 videos: the deviation of an AUC is about 0.07
    assert by_video(linear_probe(config, corpus, what)[0]) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("what", ["frame", "flow", "both"])
def test_the_frame_probe_scores_every_analysed_frame(tmp_path, world, what):
    config = Config(cache_root=str(tmp_path), workers=1, seeds=[0])
    (scores,) = frame_probe(config, fake_corpus(), what).values()
    assert [one.name for one in scores] == [v.name for v in fake_corpus().of("test")]
    assert all(len(one.confidence) == 20 for one in scores)
    assert frame_auc(*pool(scores)) > 0.85
    world["signal"] = 60.0
    assert frame_auc(*pool(frame_probe(config, fake_corpus(), what)[0])) == 1.0


def test_frames_of_the_test_set_are_not_trained_on(tmp_path, world, monkeypatch):
    seen = spy_on_training(monkeypatch)
    linear_probe(folder_config(tmp_path), fake_corpus(official=False))
    assert len(seen) == 6
    for train, test in seen:
        assert not {one.video.source for one in train} & {one.video.source for one in test}
        assert len(train) + len(test) == 24  # validation videos are trained on: nothing is stopped early


def spy_on_training(monkeypatch) -> list:
    """What the probes are fitted on and then tested on, as they come."""
    seen, fit = [], Probe.fit
    monkeypatch.setattr(
        Probe, "fit", lambda self, task, progress=None: seen.append((task.train, task.test)) or fit(self, task)
    )
    return seen


def test_under_test_parity_the_test_lists_half_is_not_trained_on(tmp_path, world, monkeypatch):
    seen = spy_on_training(monkeypatch)
    linear_probe(Config(cache_root=str(tmp_path), workers=1, seeds=[0], validation="test_parity"), fake_corpus())
    assert {one.video.split for one in seen[0][0]} == {"train"}


def test_baselines_and_systems_are_tested_on_the_same_videos(tmp_path, world):
    corpus, config = fake_corpus(official=False), folder_config(tmp_path)
    ours = runner.run(config, corpus, "1S-no-bag").by_seed()
    theirs = linear_probe(config, corpus, "frame")
    for seed in (0, 1):
        assert [one.name for one in ours[seed]] == [one.name for one in theirs[seed]]
        assert all(np.array_equal(a.labels, b.labels) for a, b in zip(ours[seed], theirs[seed], strict=True))


def test_rows_are_spread_over_time_however_dense_they_are():
    dense = np.array([0, 30, *range(60, 90), 105, 135, 165])
    assert dense[spread_rows(dense, 180)].tolist() == [0, 30, 75, 105, 135, 165]
    assert spread_rows(np.array([0]), 5).tolist() == [0] * 6


def test_unknown_baselines_and_single_classes_are_refused(tmp_path, world):
    config = folder_config(tmp_path)
    with pytest.raises(ConfigError, match="unknown system 'video probe, sound'; did you mean"):
        linear_probe(config, fake_corpus(official=False), "sound")
    official = Config(cache_root=str(tmp_path), workers=1)
    normal = Corpus(
        "n",
        tuple(replace(v, category="Normal", intervals=()) if v.split != "test" else v for v in fake_corpus().videos),
    )
    with pytest.raises(DataError, match="needs normal and anomalous videos"):
        linear_probe(official, normal)
