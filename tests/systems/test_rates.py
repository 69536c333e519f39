"""Sampling rates by class: the total stays, the bounds hold, and what is sampled is what was planned."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import live_config, live_corpus, tiny_corpus

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.corpora.video import Video
from vadkit.systems import material as rates
from vadkit.systems import runner
from vadkit.systems.material import ClassRate, at_class_rates, at_rate, class_rates, plan_rates
from vadkit.views.frames import Samples, extract
from vadkit.views.sampling import plan

CLASSES = st.dictionaries(st.sampled_from("ABCDEFG"), st.tuples(st.floats(0.01, 100), st.floats(1, 5000)), min_size=1)


@given(CLASSES, st.floats(0.5, 10))
@settings(max_examples=100, deadline=None)
def test_the_total_stays_and_the_bounds_hold(classes, rate):
    needs, seconds = ({name: pair[side] for name, pair in classes.items()} for side in (0, 1))
    found = class_rates(needs, rate, lambda trial: sum(trial[c] * seconds[c] for c in trial))
    assert sum(found[c] * seconds[c] for c in found) == pytest.approx(rate * sum(seconds.values()), rel=1e-6)
    for name, value in found.items():
        assert rate / rates.WITHIN <= value <= rate * rates.WITHIN
        for other in found:  # within the bounds, in proportion
            if needs[name] <= needs[other]:
                assert value <= found[other]
            if all(rate / 2.99 < found[c] < rate * 2.99 for c in (name, other)):
                assert value / found[other] == pytest.approx(needs[name] / needs[other], rel=1e-6)


@given(
    st.dictionaries(
        st.sampled_from("ABCDE"),
        st.tuples(st.floats(0.1, 10), st.lists(st.integers(1, 300), min_size=1, max_size=4)),
        min_size=1,
    )
)
@settings(max_examples=60, deadline=None)
def test_in_whole_strides_no_other_factor_comes_nearer_to_the_total(classes):
    needs = {name: need for name, (need, _) in classes.items()}

    def count(trial):
        return sum(
            math.ceil(span / max(1, int(30 / trial[c] + 0.5))) for c, (_, spans) in classes.items() for span in spans
        )

    off = abs(count(class_rates(needs, 3.0, count)) - count(dict.fromkeys(needs, 3.0)))
    for factor in np.geomspace(0.01, 100, 200):
        other = {c: min(max(factor * need, 1.0), 9.0) for c, need in needs.items()}
        assert off <= abs(count(other) - count(dict.fromkeys(needs, 3.0)))


def test_no_class_and_no_need():
    assert class_rates({}, 3.0, len) == {}
    with pytest.raises(ValueError, match="needs above 0"):
        class_rates({"A": 0.0, "B": 1.0}, 3.0, lambda trial: 1.0)


def made(name: str, category: str, spans, frames: int = 300, fps: float = 30.0) -> Samples:
    """Samples of a video that is not there: what the plan of the released rates takes of it."""
    video = Video(name, Path(f"{name}.mp4"), category, "train", name, spans)
    index, flow_from = plan(video, frames, fps, Config(), "train")
    return Samples(
        video,
        frames,
        fps,
        index,
        video.frame_labels(frames)[index],
        name,
        flow_from,
        np.zeros((len(index), 80), np.float32),
        (Path(),),
        (0,),
    )


@pytest.fixture
def turning(monkeypatch):
    """Features that turn by a class's own angle from one row to the next."""

    def features_of(one: Samples, stream: str, *_) -> np.ndarray:
        assert stream == "frame"
        angle = {"Arson": 0.1, "Fighting": 0.2, "Normal": 0.0}.get(one.video.category, 1.0) * np.arange(len(one.index))
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    monkeypatch.setattr(rates, "features_of", features_of)
    monkeypatch.setattr(rates, "extract_features", lambda *args: None)


VIDEOS = [
    made("a1", "Arson", ((30, 180),)),
    made("f1", "Fighting", ((0, 60), (90, 150))),
    made("n1", "Normal", ()),
    made("f2", "Fighting", ((60, 90),)),
]


def test_by_change_the_livelier_class_gets_more_and_by_seconds_the_shorter_one(turning):
    arson, fighting = plan_rates(VIDEOS, Config())
    assert (arson.category, arson.videos, arson.seconds, fighting.videos, fighting.seconds) == ("Arson", 1, 5.0, 2, 5.0)
    assert (arson.common_samples, fighting.common_samples) == (15, 6 + 6 + 3)
    turned = (1 - np.cos(0.2)) / (1 - np.cos(0.1))
    assert fighting.need / arson.need == pytest.approx(turned, rel=1e-6) and (
        arson.need + fighting.need
    ) / 2 == pytest.approx(1)
    assert fighting.rate / arson.rate == pytest.approx(turned, rel=1e-6) and fighting.samples > arson.samples
    assert abs(arson.samples + fighting.samples - 30) <= 1
    longer = [made("a1", "Arson", ((30, 330),), 400), *VIDEOS[1:]]
    arson, fighting = plan_rates(longer, Config(class_rates_by="seconds"))
    assert fighting.need == pytest.approx(2 * arson.need) and abs(arson.samples - fighting.samples) <= 2


def test_a_class_whose_change_cannot_be_seen_takes_the_mean_of_the_others(turning):
    short = made("s1", "Stealing", ((30, 38),))
    assert len(short.rows("train", Config(), hard_only=True)) == 1
    found = {one.category: one.need for one in plan_rates([*VIDEOS, short], Config())}
    assert found["Stealing"] == 1.0
    assert [one.need for one in plan_rates([short], Config())] == [1.0]


def test_a_step_from_one_span_to_the_next_is_no_change(monkeypatch):
    """The two spans of a video show different things; within each nothing moves."""
    monkeypatch.setattr(rates, "extract_features", lambda *args: None)
    monkeypatch.setattr(
        rates,
        "features_of",
        lambda one, *_: np.eye(2)[((one.index > 80) ^ (one.video.name == "a1") * one.index).astype(int) % 2],
    )
    found = {one.category: one.need for one in plan_rates(VIDEOS[:3], Config())}
    assert found["Fighting"] == rates.LEAST_NEED < found["Arson"]


def test_a_video_without_spans_of_its_own_is_hard_throughout(turning):
    (one,) = plan_rates([made("a1", "Arson", None)], Config())
    assert one.seconds == 10.0 and one.common_samples == one.samples == 30


def test_the_plan_counts_what_sampling_then_takes():
    for one in VIDEOS:
        for rate in (1.0, 2.7, 3.0, 8.9):
            index, _ = plan(one.video, one.frames, one.fps, at_rate(Config(), rate), "train")
            hard = int(one.video.frame_labels(one.frames)[index].sum())
            stride = rates.stride_frames(one.fps, rate)
            assert hard == sum(-(-(end - start) // stride) for start, end in one.video.intervals)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    root = tmp_path_factory.mktemp("rates")
    config = Config(
        cache_root=str(root / "cache"), workers=1, image_size=32, flow_method="dis", detector_weights="none"
    )
    return config, extract(tiny_corpus(root).of("train", "val"), config, purpose="train")[0]


def given_rate(monkeypatch, rate: float) -> None:
    monkeypatch.setattr(rates, "plan_rates", lambda *args: [ClassRate("Assault", 2, 2.0, 1.0, rate, 6, 12)])


def test_hard_frames_are_taken_at_the_new_rate_and_nothing_else_changes(real, monkeypatch):
    config, samples = real
    given_rate(monkeypatch, 6.0)
    found = at_class_rates(samples, config)
    assert [one.video.name for one in found] == [one.video.name for one in samples]
    for before, after in zip(samples, found, strict=True):
        if not before.video.label:
            assert after is before
            continue
        rows = after.rows("train", config)
        hard = after.labels[rows] == 1
        assert after.index[rows][hard].tolist() == list(
            range(15, 45, 5)
        )  # every fifth frame of 30 a second, not every tenth
        assert after.index[rows][~hard].tolist() == before.index[before.labels == 0].tolist()
        assert after.rows("train", config, hard_only=True).tolist() == rows[hard].tolist()
        assert after.images("frame", rows[:2]).shape == (2, 32, 32, 3) and after.digest != before.digest
        same = np.flatnonzero(np.isin(after.index, before.index))
        assert np.array_equal(after.images("flow", same), before.images("flow", np.arange(len(before))))


def test_a_rate_that_takes_the_same_frames_extracts_nothing(real, monkeypatch):
    config, samples = real
    given_rate(monkeypatch, 2.95)  # a stride of 10 frames, as for 3 a second
    monkeypatch.setattr(rates, "extract", None)
    assert all(a is b for a, b in zip(at_class_rates(samples, config), samples, strict=True))


def test_a_video_that_is_gone_is_named(real, monkeypatch):
    config, samples = real
    given_rate(monkeypatch, 6.0)
    lost = [replace(one, video=replace(one.video, path=Path("gone.mp4"))) for one in samples]
    with pytest.raises(
        DataError, match=r"gone.mp4 was sampled before and cannot be now, at 6 frames a second: no file"
    ):
        at_class_rates(lost, config)


def test_a_system_with_class_rates_trains_on_more_of_the_class_and_scores_the_same_frames(tmp_path, monkeypatch):
    from vadkit.systems import base as systems

    for name, class_rates_too in (("common", False), ("own", True)):
        system = replace(
            systems.find_system("2S-bag-ha-class-rates"), name=name, bag=False, class_rates=class_rates_too
        )
        monkeypatch.setitem(systems.REGISTERED, name, system)
    monkeypatch.setattr(rates, "plan_rates", lambda *args: [ClassRate("Fighting", 2, 4.0, 1.0, 12.0, 16, 48)])
    corpus, config = live_corpus(tmp_path), live_config(tmp_path, "rates", head_epochs=1, finetune_epochs=0)
    common, own = (runner.run(config, corpus, name).seeds[0] for name in ("common", "own"))
    normal = sum(not v.label for v in corpus.of("train"))
    assert normal == 2 and own.folds[0].facts["training_samples"] - common.folds[0].facts["training_samples"] == 2 * (
        24 - 8
    )  # frames 12 to 36 of two videos, all of them instead of each third
    assert [one.index.tolist() for one in own.scores] == [one.index.tolist() for one in common.scores]
    assert any(not np.array_equal(a.confidence, b.confidence) for a, b in zip(own.scores, common.scores, strict=True))
    assert own.histories[0][0].validation_loss != common.histories[0][0].validation_loss
