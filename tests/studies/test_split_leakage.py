from __future__ import annotations

import numpy as np

from vadkit.core.parameters import make_config
from vadkit.studies.split_leakage import compare_splits

CONFIG = make_config({"bootstrap_resamples": 100})


def drawn_clips(sources=40, clips=6, leaning=0.8, signal=0.8):
    """(features, labels, sources) of clips that are mostly their camera's, with a little of the event."""
    rng, source = np.random.default_rng(0), np.repeat(np.arange(sources), clips)
    usual = np.arange(sources) % 2
    labels = np.where(rng.random(len(source)) < leaning, usual[source], 1 - usual[source])
    cameras, event = rng.normal(size=(sources, 64)), np.eye(64)[0]
    noise = 0.5 * rng.normal(size=(len(source), 64))
    return cameras[source] + signal * labels[:, None] * event + noise, labels, source


def test_folds_by_clip_flatter_where_recordings_lean_to_one_class():
    leak = compare_splits(*drawn_clips(), CONFIG)
    assert leak.by_clip.value > leak.by_source.value + 0.05 and (leak.clips, leak.sources) == (240, 40)
    for one in (leak.by_clip, leak.by_source):
        assert one.ci_low < one.value < one.ci_high and one.ci_high - one.ci_low < 0.25
    assert leak.change.difference == leak.by_clip.value - leak.by_source.value
    assert 0 < leak.change.ci_low < leak.change.difference < leak.change.ci_high


def test_clips_that_are_their_own_source_have_no_leak():
    features, labels, _ = drawn_clips(sources=120, clips=1, signal=2.0)
    leak = compare_splits(features, labels, np.arange(len(labels)), CONFIG)
    assert abs(leak.by_clip.value - leak.by_source.value) < 0.04


def test_too_few_sources_are_said():
    features, labels, sources = drawn_clips(sources=2, clips=4, leaning=1.0)
    leak = compare_splits(features, labels, sources, CONFIG)
    assert leak.by_clip is None and leak.by_source is None and "1 sources" in leak.reason


def test_without_anything_to_learn_both_are_at_chance():
    rng = np.random.default_rng(1)
    leak = compare_splits(rng.normal(size=(400, 5)), np.arange(400) % 2, np.arange(400) // 4, CONFIG)
    assert abs(leak.by_clip.value - 0.5) < 0.1 and abs(leak.by_source.value - 0.5) < 0.1
