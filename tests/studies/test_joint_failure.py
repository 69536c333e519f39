"""Segments of one video on both sides: the leak shows where it is, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.corpora.video import Corpus, Video
from vadkit.models.network import Network
from vadkit.studies import joint_failure
from vadkit.studies.joint_failure import BY_SOURCE, RANDOM, WAYS, WHOLE, HeldOut, held_out, metrics_of, run
from vadkit.systems.bags import Item
from vadkit.systems.base import Material
from vadkit.views.segments import Bag

DIM, FRAMES = 24, 64


def world(videos: int = 48, signal: float = 0.0) -> tuple[Corpus, dict[str, Item]]:
    """Segments are their video's own direction and a little noise; or, with a `signal`, noise, moved by it in
    anomalous videos."""
    made, items = [], {}
    for k in range(videos):
        category, split = ("Normal", "Fighting", "Normal", "Robbery")[k % 4], "test" if k % 6 == 5 else "train"
        video = Video(f"v{k:02d}", Path(f"v{k}.mp4"), category, split, f"s{k // 2}", ((16, 32),) if k % 2 else ())
        rng = np.random.default_rng(k)
        features = (0 if signal else 3) * rng.normal(size=DIM) + 0.3 * rng.normal(size=(16, DIM))
        features[:, 0] += signal * video.label
        made.append(video)
        items[video.name] = Item(
            video, FRAMES, 10.0, Bag(np.arange(16) * 4, features.astype(np.float32)), f"{k}/{signal}"
        )
    return Corpus("fake", tuple(made)), items


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))  # of all tests: each world is trained on once


@pytest.fixture
def config(cache):
    return Config(cache_root=cache, workers=1, seeds=[0, 1], joint_width=32, bootstrap_resamples=50)


def put(monkeypatch, items):
    """These bags, of two streams, whatever is asked for."""
    monkeypatch.setattr(HeldOut, "material", lambda *args: Material(items, ()))
    monkeypatch.setattr(
        HeldOut, "networks", lambda *args: {s: Network("resnet18", "random", "") for s in ("frame", "flow")}
    )


def fail(monkeypatch, config, signal=0.0):
    corpus, items = world(signal=signal)
    put(monkeypatch, items)
    return corpus, run(config, corpus)


def accuracy(found, config, way) -> dict[str, float]:
    return {m.name: m.value for m in metrics_of(found, config, way)}


def test_a_random_split_is_right_about_videos_that_say_nothing(config, monkeypatch):
    corpus, found = fail(monkeypatch, config)
    random, by_source = (accuracy(found, config, way) for way in (RANDOM, BY_SOURCE))
    assert random["detection_accuracy"] > 0.9 > 0.7 > by_source["detection_accuracy"]
    assert random["classification_accuracy"] > 0.8 > 0.6 > by_source["classification_accuracy"]
    assert found.same_video > 0.99 and found.segments == 40 * 16
    assert found.mislabelled == 0.75  # 16 of 64 frames are annotated
    assert found.of(RANDOM)[0].train.iloc[-1].detection > 0.95 < found.of(BY_SOURCE)[0].train.iloc[-1].detection
    assert found.majority().detection == 0.6 == found.majority().classification


def test_what_is_really_there_is_found_in_every_way(config, monkeypatch):
    _, found = fail(monkeypatch, config.model_copy(update={"seeds": [0]}), signal=3.0)
    reached = {way: accuracy(found, config, way)["detection_accuracy"] for way in WAYS}
    assert min(reached.values()) > 0.85, reached


def test_counts_intervals_and_test_videos(config, monkeypatch):
    corpus, found = fail(monkeypatch, config)
    for trial in found.trials:
        samples = trial.held.to_numpy()
        assert (samples[:, 1:] <= samples[:, :1]).all()
        assert samples[:, 1].sum() / samples[:, 0].sum() == pytest.approx(trial.held_out.iloc[-1].detection)
        assert [v.name for v in trial.tested] == [v.name for v in corpus.of("test")] and all(
            v.frames == FRAMES and 10 < len(set(v.confidence.tolist())) <= 16 for v in trial.tested
        )
    for metric in metrics_of(found, config, WHOLE):
        assert metric.ci_low <= metric.value <= metric.ci_high and len(metric.per_seed) == 2
    assert set(found.of(WHOLE)[0].held.index) == set(found.of(BY_SOURCE)[0].held.index)
    first, second = found.of(RANDOM)
    assert not first.held.equals(second.held) and not first.train.equals(second.train)  # other seeds, other numbers


def test_a_resumed_cache_gives_the_same(config, monkeypatch):
    _, first = fail(monkeypatch, config)
    monkeypatch.setattr(HeldOut, "fit", None)  # nothing is trained again
    _, again = fail(monkeypatch, config)
    for one, other in zip(again.trials, first.trials, strict=True):
        assert one.held.equals(other.held) and one.train.equals(other.train)
    assert np.array_equal(again.trials[0].tested[0].confidence, first.trials[0].tested[0].confidence)


@settings(max_examples=15)
@given(st.integers(4, 12), st.integers(1, 3), st.integers(1, 5), st.integers(0, 100))
def test_no_source_is_on_both_sides(sources, each, segments, seed):
    videos = np.arange(sources * each)
    names = np.repeat([f"v{k}" for k in videos], segments)
    source, anomalous = np.repeat(videos // each, segments), np.repeat(videos % 2 == 0, segments)
    samples = pd.DataFrame({"name": names, "source": source, "number": anomalous.astype(int)})
    held = held_out(BY_SOURCE, samples, seed)
    assert 0 < held.sum() < len(held) and not set(source[held]) & set(source[~held])
    whole = samples.drop_duplicates("name")
    assert set(whole["name"][held_out(WHOLE, whole, seed)]) == set(names[held])
    at_random = held_out(RANDOM, samples, seed)
    assert at_random.sum() == -(-len(names) // joint_failure.FOLDS)


def test_what_cannot_be_split_is_refused(config, monkeypatch):
    two = pd.DataFrame({"name": ["a", "b"], "source": ["s", "t"], "number": [1, 0]})
    with pytest.raises(ValueError, match="way must be one of segments at random"):
        held_out("by luck", two[:1], 0)
    with pytest.raises(DataError, match="2 videos cannot be held apart"):
        held_out(BY_SOURCE, two, 0)
    corpus, items = world()
    put(monkeypatch, {})
    with pytest.raises(DataError, match="0 videos are not enough"):
        run(config, corpus)
