from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from conftest import moving_square, write_video

from vadkit.core.config import Config
from vadkit.corpora.video import Video
from vadkit.report.timelines import training_clips
from vadkit.views.clips import extract_clips

mpl.use("Agg")


@pytest.fixture
def cut(tmp_path):
    config = Config(cache_root=str(tmp_path / "cache"), workers=1)
    videos = []
    for name, spans in (("anomalous", ((60, 140),)), ("normal", ())):
        path = write_video(tmp_path / f"{name}.mp4", moving_square(200), fps=7.5)
        videos.append(Video(name, path, "Fighting" if spans else "Normal", "train", name, spans))
    return extract_clips(videos, config, 32, ("rgb",), purpose="train")[0], config


def test_every_training_clip_is_a_line_from_its_first_frame_to_its_last(cut):
    clips, config = cut
    figure = training_clips(clips, config, seconds=100.0)
    for axes, one in zip(figure.axes, clips, strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
        rows = one.rows("train", config)
        assert [round(line.get_xdata()[1] * 7.5) for line in lines] == one.ends[rows].tolist()
        assert {round((line.get_xdata()[1] - line.get_xdata()[0]) * 7.5) for line in lines} == {15}
        drawn = np.array([line.get_linestyle() == "-" for line in lines])
        assert np.array_equal(drawn, np.isin(rows, one.rows("train", config, hard_only=True)))
    anomalous, normal = figure.axes
    assert any(line.get_linestyle() != "-" for line in anomalous.lines) and "anomalous: " in anomalous.get_title()


def test_a_long_video_is_shown_around_its_anomaly(cut):
    clips, config = cut
    figure = training_clips(clips[:1], config, seconds=12.0)
    start, end = figure.axes[0].get_xlim()
    assert (start, end) == pytest.approx((4.0, 16.0))  # the anomaly starts at 8 s
    shown = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert 0 < len(shown) < len(clips[0].rows("train", config)) and all(
        start <= line.get_xdata()[1] <= end for line in shown
    )


def test_no_video_is_refused(cut):
    with pytest.raises(ValueError, match="at least one video"):
        training_clips([], cut[1])
