"""Figures of the ablations: systems side by side, what stands in hard frames, and what hard mining keeps."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vadkit.evaluation.bootstrap import Metric
from vadkit.report import published, style, tables
from vadkit.report.style import BLACK, BLUE, GREY, PAGE_WIDTH, RED, SKY, styled

TICK = {"color": BLACK, "marker": "|", "markersize": 6, "linestyle": ""}  # of one seed, of one model


@styled
def ablation_bars(
    found: Mapping[str, Sequence[Metric]], names: Sequence[str] = ("fl_auc", "vl_f1"), paper: str = "", item: str = ""
) -> Figure:
    """Systems down the page, a panel for each metric: mean with its interval, each seed, and the printed value.

    found: `evaluate`'s list by system. paper, item: where printed values are looked up ("petrocchi2021", "table 1").
    A metric without a value is written as "none". No bars: an area under a curve starts at one half, not at 0.
    """
    size = (PAGE_WIDTH, 1.5 + 0.38 * len(found))
    figure, panels = plt.subplots(1, len(names), figsize=size, sharey=True, squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        of_name = [next((m for m in metrics if m.name == name), None) for metrics in found.values()]
        for row, (system, metric) in enumerate(zip(found, of_name, strict=True)):
            _mean_interval_seeds(axes, row, metric)
            printed = published.lookup(paper, item, system, name) if paper else None
            if printed is not None:
                look = {"color": RED, "markerfacecolor": "none", "markersize": 5}
                axes.plot(printed.value, row + 0.22, "D", **look, label="printed")
        unit = next((m.unit for m in of_name if m is not None), "") or "%"
        axes.set(xlabel=tables.label(name, unit), ylim=(len(found) - 0.5, -0.5))
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
    panels[0][0].set_yticks(range(len(found)), found)
    style.legend_below(figure, 4, order=("mean of seeds", "interval", "each seed", "printed"))
    return figure


def _mean_interval_seeds(axes: Axes, row: int, metric: Metric | None) -> None:
    if metric is None or metric.value is None:
        axes.text(0.02, row, "none", transform=axes.get_yaxis_transform(), va="center", color=GREY)
        return
    scale = 1 if metric.unit else 100
    if metric.ci_low is not None:
        style.interval(axes, scale * metric.ci_low, scale * metric.ci_high, row, BLUE, label="interval")
    seeds = [scale * v for v in metric.per_seed if v is not None]
    if len(seeds) > 1:
        axes.plot(seeds, np.full(len(seeds), row - 0.22), **TICK, label="each seed")
    axes.plot(scale * metric.value, row, "o", color=BLUE, markersize=6, label="mean of seeds")


@styled
def object_counts(found: pd.DataFrame, classes: int = 8) -> Figure:
    """Objects per frame in hard frames and in the rest, and their difference with its interval.

    found: of `ablation.object_counts`; classes: how many of it are shown. Raises ValueError where there is none: the
    detector saw nothing.
    """
    if not len(found):
        raise ValueError("no object was seen in any frame: there are no counts to draw")
    shown = found[:classes]
    figure, (means, change) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 1.6 + 0.34 * len(shown)), sharey=True)
    places, hard, rest = np.arange(len(shown)), shown.hard.to_numpy(), shown.rest.to_numpy()
    means.hlines(places, hard, rest, color="#bbbbbb", linewidth=1.2)
    means.plot(hard, places, "o", color=RED, clip_on=False, label="hard frames")
    means.plot(rest, places, "s", markerfacecolor="none", color=BLUE, clip_on=False, label="all other frames")
    for place, one in enumerate(shown.itertuples()):
        if not np.isnan(one.ci_low):
            style.interval(change, one.ci_low, one.ci_high, place, BLACK)
        change.plot(one.difference, place, "o", color=BLACK)
    change.axvline(0, color=GREY, linewidth=1)
    means.set(xlabel="objects per frame, mean", xlim=(0, None), ylim=(len(shown) - 0.5, -0.5))
    means.set_yticks(places, shown.index)
    change.set(xlabel="difference, with its interval")
    for axes in (means, change):
        axes.grid(axis="y", visible=False)
    style.legend_below(figure)
    return figure


@styled
def mined_shares(found: pd.DataFrame) -> Figure:
    """Each kind's share of the samples offered to hard mining and of those that it keeps: mean of models, a tick each.

    found: of `ablation.mined`. Raises ValueError where it is empty.
    """
    if not len(found):
        raise ValueError("expected the shares of at least one kind, got none")
    kinds, moments = found["kind"].unique(), found["moment"].unique()
    figure, axes = plt.subplots(figsize=(PAGE_WIDTH, 1.4 + 0.5 * len(kinds)))
    height = 0.8 / (len(moments) + 1)
    sides = [("offered", "#bbbbbb", moments[0], "offered")]
    sides += [(f"kept, {moment}", colour, moment, "kept") for moment, colour in zip(moments, (SKY, BLUE), strict=False)]
    for number, (label, colour, moment, side) in enumerate(sides):
        places = np.arange(len(kinds)) + (number - len(moments) / 2) * height
        of_moment = found[found["moment"] == moment].set_index("kind")[side]
        shares = [100 * of_moment[[kind]].to_numpy() for kind in kinds]
        axes.barh(places, [np.mean(share) for share in shares], 0.9 * height, color=colour, label=label)
        for place, share in zip(places, shares, strict=True):
            if len(share) > 1:
                axes.plot(share, np.full(len(share), place), **TICK, clip_on=False, label="each model")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set(xlabel="share of the samples (%)", xlim=(0, None), ylim=(len(kinds) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    style.legend_below(figure, columns=4)
    return figure
