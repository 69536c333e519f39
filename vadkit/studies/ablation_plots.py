"""Figures of the ablations: systems side by side, what stands in hard frames, and what hard mining keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vadkit.report import published
from vadkit.report.style import BLACK, BLUE, PAGE_WIDTH, RED, SKY, styled
from vadkit.report.tables import label as metric_label

if TYPE_CHECKING:
    from vadkit.evaluation.evaluate import Metric
    from vadkit.studies.ablation import Mined, ObjectCount


@styled
def ablation_bars(
    found: Mapping[str, Sequence[Metric]], names: Sequence[str] = ("fl_auc", "vl_f1"), paper: str = "", item: str = ""
) -> Figure:
    """Systems down the page, a panel for each metric: mean with its interval, each seed, and the printed value.

    found: `evaluate`'s list by system. paper, item: where printed values are looked up ("petrocchi2021", "table 1").
    A metric without a value is written as "none". Points and intervals rather than bars, whose length from 0 says nothing of
    an area that starts at one half.
    """
    systems = list(found)
    figure, panels = plt.subplots(
        1, len(names), figsize=(PAGE_WIDTH, 1.5 + 0.38 * len(systems)), sharey=True, squeeze=False
    )
    marks: dict[str, Line2D] = {}
    for axes, name in zip(panels[0], names, strict=True):
        for row, system in enumerate(systems):
            metric = next((m for m in found[system] if m.name == name), None)
            printed = published.lookup(paper, item, system, name) if paper else None
            if metric is None or metric.value is None:
                axes.text(0.02, row, "none", transform=axes.get_yaxis_transform(), va="center", color="#777777")
            else:
                scale = 1 if metric.unit else 100
                if metric.ci_low is not None:
                    axes.plot(
                        [scale * metric.ci_low, scale * metric.ci_high],
                        [row, row],
                        color=BLUE,
                        linewidth=2.6,
                        alpha=0.45,
                        solid_capstyle="butt",
                    )
                    marks["interval"] = Line2D([], [], color=BLUE, linewidth=2.6, alpha=0.45)
                seeds = [scale * v for v in metric.per_seed if v is not None]
                if len(seeds) > 1:
                    axes.plot(seeds, np.full(len(seeds), row - 0.22), "|", color=BLACK, markersize=6, markeredgewidth=1)
                    marks["each seed"] = Line2D([], [], color=BLACK, marker="|", linestyle="", markersize=6)
                axes.plot(scale * metric.value, row, "o", color=BLUE, markersize=6)
                marks["mean of seeds"] = Line2D([], [], color=BLUE, marker="o", linestyle="", markersize=6)
            if printed is not None:
                axes.plot(printed.value, row + 0.22, "D", markerfacecolor="none", color=RED, markersize=5)
                marks["printed"] = Line2D(
                    [], [], color=RED, marker="D", markerfacecolor="none", linestyle="", markersize=5
                )
        unit = next((m.unit for ms in found.values() for m in ms if m.name == name), "") or "%"
        axes.set(xlabel=f"{metric_label(name)} ({unit})", ylim=(len(systems) - 0.5, -0.5))
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
    panels[0][0].set_yticks(range(len(systems)), systems)
    order = [k for k in ("mean of seeds", "interval", "each seed", "printed") if k in marks]
    figure.legend([marks[k] for k in order], order, loc="outside lower center", ncols=4)
    return figure


@styled
def object_counts(found: Sequence[ObjectCount], classes: int = 8) -> Figure:
    """Objects per frame in hard frames and in the rest, and their difference with its interval; the first `classes` of `found`.

    Raises ValueError where there is none: the detector saw nothing.
    """
    if not found:
        raise ValueError("no object was seen in any frame: there are no counts to draw")
    shown = found[:classes]
    figure, (means, change) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 1.6 + 0.34 * len(shown)), sharey=True)
    places = np.arange(len(shown))
    means.hlines(places, [c.hard for c in shown], [c.rest for c in shown], color="#bbbbbb", linewidth=1.2)
    means.plot([c.hard for c in shown], places, "o", color=RED, clip_on=False, label="hard frames")
    means.plot(
        [c.rest for c in shown],
        places,
        "s",
        markerfacecolor="none",
        color=BLUE,
        clip_on=False,
        label="all other frames",
    )
    for place, c in zip(places, shown, strict=True):
        if c.difference.low is not None:
            change.plot(
                [c.difference.low, c.difference.high],
                [place, place],
                color=BLACK,
                linewidth=2.6,
                alpha=0.45,
                solid_capstyle="butt",
            )
        change.plot(c.difference.value, place, "o", color=BLACK)
    change.axvline(0, color="#777777", linewidth=1)
    means.set(xlabel="objects per frame, mean", xlim=(0, None), ylim=(len(shown) - 0.5, -0.5))
    means.set_yticks(places, [c.name for c in shown])
    change.set(xlabel="difference, with its interval")
    for axes in (means, change):
        axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def mined_shares(found: Sequence[Mined]) -> Figure:
    """Each kind's share of the samples offered to hard mining and of those that it keeps: mean over models, a tick for each.

    Raises ValueError where `found` is empty.
    """
    if not found:
        raise ValueError("expected the shares of at least one kind, got none")
    kinds, moments = list(dict.fromkeys(m.kind for m in found)), list(dict.fromkeys(m.moment for m in found))
    figure, axes = plt.subplots(figsize=(PAGE_WIDTH, 1.4 + 0.5 * len(kinds)))
    height = 0.8 / (len(moments) + 1)
    sides = [("offered", "#bbbbbb", lambda m: m.offered, moments[0])]
    sides += [
        (f"kept, {moment}", colour, lambda m: m.kept, moment)
        for moment, colour in zip(moments, (SKY, BLUE), strict=False)
    ]
    for number, (label, colour, values, moment) in enumerate(sides):
        places = np.arange(len(kinds)) + (number - len(moments) / 2) * height
        shares = [
            [100 * v for m in found if m.moment == moment and m.kind == kind for v in values(m)] for kind in kinds
        ]
        axes.barh(places, [np.mean(s) for s in shares], 0.9 * height, color=colour, label=label)
        for place, share in zip(places, shares, strict=True):
            if len(share) > 1:
                axes.plot(
                    share, np.full(len(share), place), "|", color=BLACK, markersize=6, clip_on=False, label="each model"
                )
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set(xlabel="share of the samples (%)", xlim=(0, None), ylim=(len(kinds) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    named = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # each label once
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4)
    return figure
