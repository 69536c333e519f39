"""Views of a video whose rate varies: as of the same pictures at a constant rate, each frame once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_square, write_lossless

from vadkit.core.clock import Clock
from vadkit.core.parameters import make_config
from vadkit.core.video import inspect
from vadkit.corpora.video import Video
from vadkit.evaluation.metrics import detection_delay
from vadkit.evaluation.scores import VideoScores, on_clock
from vadkit.systems.material import suspicion
from vadkit.views.clips import extract_clips
from vadkit.views.frames import extract
from vadkit.views.sampling import plan, spans_of, stride_frames

VARIED = [*range(0, 30), *range(30, 150, 12), *range(150, 180)]  # thirtieths of a second
IMAGES = moving_square(len(VARIED))


@pytest.fixture
def both(tmp_path) -> tuple[Video, Video, np.ndarray]:
    """A video of variable rate, the same at a constant one, and the frame of the first at each tick."""
    shown = Clock(30.0, np.array(VARIED) / 30).shown(len(VARIED))
    varied = write_lossless(tmp_path / "varied.mkv", VARIED, IMAGES)
    even = write_lossless(tmp_path / "even.mkv", list(range(len(shown))), [IMAGES[n] for n in shown])
    starts, ends = 33, 45  # frames of the first; ticks of the second
    spans = [(starts, ends), (int(np.argmax(shown >= starts)), int(np.argmax(shown >= ends)))]
    paths = zip((varied, even), spans, strict=True)
    return *(Video(p.stem, p, "Assault", "all", p.stem, (span,)) for p, span in paths), shown


def quick(tmp_path, **values):
    cache = {"detector_weights": "none", "workers": 1, "image_size": 32, "cache_root": str(tmp_path / "cache")}
    return make_config({**cache, **values})


@pytest.mark.parametrize(("pair", "window"), [("grid", False), ("adjacent", True), ("gap", True)])
def test_samples_are_those_of_the_constant_rate(tmp_path, both, pair, window):
    varied, even, shown = both
    config = quick(tmp_path, analysis_fps=5.0, flow_pair=pair, flow_scale="fixed", frame_window=window)
    for purpose in ("train", "score"):
        (one, other), _ = extract([varied, even], config, purpose=purpose)
        assert (one.frames, other.frames, one.fps) == (len(VARIED), len(shown), 30.0) and other.times is None
        mine, theirs = one.rows(purpose, config), other.rows(purpose, config)
        first = theirs[np.unique(shown[other.index[theirs]], return_index=True)[1]]  # a frame is sampled once
        assert np.array_equal(one.index[mine], shown[other.index[first]])
        assert np.array_equal(one.flow_from[mine], shown[other.flow_from[first]])
        assert np.array_equal(one.labels[mine], other.labels[first])
        for stream in ("frame", "flow"):
            assert np.array_equal(one.images(stream, mine), other.images(stream, first))
    near = [suspicion(view, view.rows("score", config), 1.0) for view in (one, other)]
    theirs = other.rows("score", config)
    assert np.allclose(near[0], near[1][np.unique(shown[other.index[theirs]], return_index=True)[1]], atol=0.4)


def test_clips_are_those_of_the_constant_rate(tmp_path, both):
    varied, even, shown = both
    config = quick(tmp_path, analysis_fps=5.0, clip_frames=4)
    (one, other), _ = extract_clips([varied, even], config, 32, ("rgb", "flow"), purpose="both")
    for purpose in ("train", "score"):
        mine, theirs = one.rows(purpose, config), other.rows(purpose, config)
        if purpose == "score":
            theirs = theirs[np.unique(shown[other.index[theirs]], return_index=True)[1]]
        assert np.array_equal(one.ends[mine], other.ends[theirs])
        assert np.array_equal(one.index[mine], shown[other.index[theirs]])
        for stream in ("rgb", "flow"):
            assert np.array_equal(one.images(stream, mine), other.images(stream, theirs))


def test_an_even_clock_gives_the_plan_that_counts_frames():
    config, video = make_config({"analysis_fps": 3.0}), Video("v", Path("v"), "Assault", "all", "v", ((31, 77),))
    for fps in (10.0, 23.976, 25.0, 29.97, 30.0):
        grid, (hard, other) = stride_frames(fps, 3.0), (stride_frames(fps, rate) for rate in config.training_fps)
        index, starts = plan(video, 200, fps, config, "score")
        assert np.array_equal(index, np.arange(0, 200, grid)) and np.array_equal(starts, np.maximum(index - grid, 0))
        spans = spans_of(video.frame_labels(200))
        counted = [np.arange(a, b, hard if label else other) for a, b, label in spans]
        assert np.array_equal(plan(video, 200, fps, config, "train")[0], np.concatenate(counted))


def test_delays_and_steps_are_in_true_seconds(both):
    varied, _, shown = both
    clock = inspect(varied.path).clock
    labels = varied.frame_labels(len(VARIED))
    scores = VideoScores("v", "Assault", "v", clock.fps, np.arange(70), np.zeros(70), labels, times=clock.times)
    alarm = np.where(np.arange(70) >= 40, 0.9, 0.1)
    assert detection_delay(scores, alarm) == pytest.approx((VARIED[40] - VARIED[33]) / 30, abs=1e-3)
    assert detection_delay(replace(scores, times=None), alarm) == pytest.approx(7 / 30)
    assert np.array_equal(on_clock(scores, 5.0).steps, np.unique(shown[::6]))
    assert scores.seconds(0, np.array([40, 70])) == pytest.approx([VARIED[40] / 30, VARIED[-1] / 30 + 1 / 30], abs=1e-3)
