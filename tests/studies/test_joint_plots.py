from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")
from drawn import assert_readable, words

from vadkit.corpora.video import Video
from vadkit.studies.joint_failure import WAYS, Failure, Trial
from vadkit.studies.joint_plots import confusion_matrix, failure_curves

pytestmark = pytest.mark.usefixtures("figures_close")

UCF_CRIME = (
    "Normal",
    "Abuse",
    "Arrest",
    "Arson",
    "Assault",
    "Burglary",
    "Explosion",
    "Fighting",
    "RoadAccidents",
    "Robbery",
    "Shooting",
    "Shoplifting",
    "Stealing",
    "Vandalism",
)


def failure(epochs: int) -> Failure:
    videos = tuple(Video(f"v{k}", None, ("Normal", "Arson")[k % 2], "train", f"s{k}") for k in range(5))
    lines = [(0.5 + 0.04 * e, 0.4 + 0.05 * e, 0.8) for e in range(epochs)]
    curve = pd.DataFrame(lines, columns=["detection", "classification", "one_hot"])
    return Failure(
        ("Normal", "Arson"),
        videos,
        tuple(Trial(way, seed, curve, curve, pd.DataFrame()) for way in WAYS for seed in (0, 1)),
        segments=9,
        same_video=0.9,
        mislabelled=None,
    )


@pytest.mark.parametrize("epochs", [1, 8])
def test_the_curves_name_the_ways_and_the_majority(epochs):
    figure = failure_curves(failure(epochs))
    assert_readable(figure)
    assert {*WAYS, "held out", "trained on", "most frequent"} <= set(words(figure))
    levels = [
        line.get_ydata()[0]
        for line in figure.axes[0].lines
        if len(set(line.get_ydata())) == 1 and len(line.get_ydata()) == 2
    ]
    assert 60.0 in levels or epochs == 1  # 3 of 5 videos are normal


@pytest.mark.parametrize("classes", [("Normal", "Fight"), UCF_CRIME])
def test_the_matrix_is_readable_and_counts(classes):
    counts = np.round(np.random.default_rng(0).random((len(classes), len(classes))) * 20) / 2
    counts[1] = 0
    figure = confusion_matrix(classes, counts)
    assert_readable(figure)
    shown = words(figure)
    assert f"{classes[1]} (0)" in shown and f"{classes[0]} ({counts[0].sum():.0f})" in shown
    assert np.isnan(
        np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)[1]
    ).all()  # an empty row is no row of zeros
    with pytest.raises(ValueError, match="expected counts of shape"):
        confusion_matrix(classes, counts[:1])
