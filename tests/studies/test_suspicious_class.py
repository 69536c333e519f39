"""What a suspicious class makes of each kind of test frame."""

from __future__ import annotations

import pytest
from doubles import fake_corpus, fake_world

from vadkit.core.config import Config
from vadkit.studies.ablation import SOFTER, beliefs
from vadkit.systems import runner


def config_in(folder, **changes) -> Config:
    values = {
        "cache_root": str(folder),
        "workers": 1,
        "seeds": [0, 1],
        "head_width": 16,
        "head_epochs": 15,
        "patience": 15,
        "head_lr": 3e-3,
        "backbone_weights": "random",
    }
    return Config(**{**values, "suspicious_seconds": 1.0, **changes})


def test_beliefs_are_shares_of_every_test_frame_and_know_the_hard_ones(tmp_path, monkeypatch):
    fake_world(monkeypatch, signal=8.0)
    config, corpus = config_in(tmp_path), fake_corpus()
    run = runner.run(config, corpus, "2S-bag-suspicious")
    found = beliefs(run)
    anomalous = sum(v.label for v in corpus.of("test"))
    normal = len(corpus.of("test")) - anomalous
    # 20 rows a video, every third frame at 10 a second: 7 hard ones; 3 before and 3 after are less than a second away
    assert list(found.index) == list(SOFTER)
    assert found.frames.tolist() == [7 * anomalous, 6 * anomalous, 7 * anomalous, 20 * normal]
    assert found[["normal", "suspicious", "hard"]].sum(axis=1).tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert found.hard.iloc[0] > 0.5 > found.hard.iloc[1:].max()
    plain = runner.run(config.model_copy(update={"head_epochs": 1}), corpus, "2S-bag")
    with pytest.raises(ValueError, match="2S-bag has no suspicious class; give the run of 2S-bag-suspicious"):
        beliefs(plain)


def test_streams_that_were_trained_too_are_asked_from_images(tmp_path, monkeypatch):
    from dataclasses import replace

    from tiny import live_config, live_corpus

    from vadkit.systems import base as systems

    monkeypatch.setitem(
        systems.REGISTERED,
        "bagless",
        replace(systems.find_system("2S-bag-suspicious"), name="bagless", streams=1, bag=False),
    )
    corpus, config = (
        live_corpus(tmp_path),
        live_config(tmp_path, "tuned", head_epochs=1, finetune_epochs=1, finetune_lr=1e-2),
    )
    run = runner.run(config, corpus, "bagless")
    hard = beliefs(run).loc["hard anomaly"]
    scores = {one.name: one for one in run.seeds[0].scores}
    expected = scores["v7"].confidence[(scores["v7"].index >= 12) & (scores["v7"].index < 36)]
    assert hard.frames == len(expected) and hard.hard == pytest.approx(expected.mean(), abs=1e-5)
