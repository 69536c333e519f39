"""Figures of scores, metrics and trainings, and pictures in a grid; those of a subject of their own are in the `*_plots` beside.

Every function of these modules returns a matplotlib Figure and changes no global setting; `vadkit.report.rows.save_figure` writes it. In a
notebook the inline backend shows it at the end of its cell.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from vadkit.evaluation import metrics
from vadkit.evaluation.bootstrap import divide
from vadkit.evaluation.scores import VideoScores
from vadkit.report.style import BLACK, COLOURS, DASHES, PAGE_WIDTH, RED, styled
from vadkit.report.tables import label as metric_label

if TYPE_CHECKING:
    from vadkit.evaluation.evaluate import Metric
    from vadkit.systems.trainer import Epoch

MOST_LINES = 5  # of learning curves of one system; more are a tangle


@styled
def roc_curves(
    systems: Mapping[str, Mapping[int, Sequence[VideoScores]]],
    printed: Mapping[str, float] | None = None,
    printed_on: str = "",
) -> Figure:
    """ROC over pooled frames, one line a system: the mean over seeds, with a band from the lowest to the highest seed.

    printed: AUC in percent by system, named in the legend; printed_on: the data that these are of, where they may not be ours. Raises UndefinedMetricError as `frame_auc` does.
    Source: figure 2.
    """
    figure, axes = plt.subplots(figsize=(5.4, 5.2))
    grid = np.linspace(0, 1, 401)
    for number, (name, seeds) in enumerate(systems.items()):
        curves, areas = [], []
        for videos in seeds.values():
            labels, scores = metrics.pool(videos)
            curves.append(_interpolated(grid, *metrics.roc_points(labels, scores)))
            areas.append(100 * metrics.frame_auc(labels, scores))
        colour = COLOURS[number % len(COLOURS)]
        text = f"{name}: AUC {np.mean(areas):.1f}%"
        if printed and name in printed:
            text += (
                f"\n(printed, on {printed_on}: {printed[name]:.1f}%)"
                if printed_on
                else f" (printed: {printed[name]:g}%)"
            )
        axes.plot(grid, np.mean(curves, axis=0), color=colour, linestyle=DASHES[number % len(DASHES)], label=text)
        if len(curves) > 1:
            axes.fill_between(
                grid, np.min(curves, axis=0), np.max(curves, axis=0), color=colour, alpha=0.15, linewidth=0
            )
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), label="chance: 50%")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.005),
        xlabel="false-positive rate, frames",
        ylabel="true-positive rate, frames",
        aspect="equal",
    )
    axes.legend(loc="lower right")
    return figure


def _interpolated(grid: np.ndarray, fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """The curve at `grid`; at a vertical piece its top, as `np.interp` alone would not."""
    last = np.append(np.flatnonzero(np.diff(fpr) > 0), len(fpr) - 1)
    return np.interp(grid, fpr[last], tpr[last])


@styled
def class_rates(
    groups: Mapping[str, Mapping[str, Sequence[Metric]]], metric: str = "vl_tpr", level: tuple[str, float] | None = None
) -> Figure:
    """A metric of each class with its interval, the groups ("seen", "unseen") one below the other.

    groups: group -> class -> `evaluate`'s list. A class without a value is written as "none". level: a named value in [0, 1] that is
    the same for every class, drawn as a line. Raises ValueError where there is no class.
    """
    lines = [
        (group, name, next(m for m in found if m.name == metric))
        for group, classes in groups.items()
        for name, found in classes.items()
    ]
    if not lines:
        raise ValueError("expected at least one class, got none")
    figure, axes = plt.subplots(figsize=(PAGE_WIDTH, 1.3 + 0.3 * len(lines)))
    handles = []
    for number, group in enumerate(groups):
        colour, marker = COLOURS[number % len(COLOURS)], "os^D"[number % 4]
        for row, (its, _, found) in enumerate(lines):
            if its != group:
                continue
            if found.value is None:
                axes.text(0.01, row, "none", transform=axes.get_yaxis_transform(), va="center", color="#777777")
                continue
            if found.ci_low is not None:
                axes.plot(
                    [100 * found.ci_low, 100 * found.ci_high],
                    [row, row],
                    color=colour,
                    linewidth=2.6,
                    alpha=0.45,
                    solid_capstyle="butt",
                    clip_on=False,
                )
            axes.plot(100 * found.value, row, marker, color=colour, markersize=6, clip_on=False)
        handles.append(Line2D([], [], color=colour, marker=marker, linewidth=2.6, alpha=0.8, label=group))
    if level is not None:
        axes.axvline(100 * level[1], color=BLACK, linewidth=1.1, linestyle="--")
        handles.append(Line2D([], [], color=BLACK, linewidth=1.1, linestyle="--", label=level[0]))
    axes.set(xlabel=f"{metric_label(metric)} (%)", xlim=(0, 100), ylim=(len(lines) - 0.5, -0.5))
    axes.set_yticks(range(len(lines)), [name for _, name, _ in lines])
    axes.grid(axis="y", visible=False)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@styled
def learning_curves(histories: Mapping[str, Sequence[Sequence[Epoch]]], against: str = "epochs") -> Figure:
    """Loss and validation AUC over the epochs of each system, a line for each seed (and fold).

    More than MOST_LINES runs of a system are drawn as their mean, over those that have not ended, in a band from the lowest
    validation value to the highest. histories: by system, then one list of epochs a run. against: "epochs", or "samples" trained on so far, for systems whose
    epochs differ in length. A dot marks where the second phase starts. Where nothing was validated the panel says so.
    Raises ValueError for another `against`.
    """
    if against not in ("epochs", "samples"):
        raise ValueError(f"against must be 'epochs' or 'samples', got '{against}'")
    figure, (loss, auc) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.2))
    handles, second, validated = [], False, False
    for number, (name, runs) in enumerate(histories.items()):
        colour = COLOURS[number % len(COLOURS)]
        handles.append(Line2D([], [], color=colour, label=name))
        x = _over_epochs(
            runs, lambda run: np.arange(1, len(run) + 1) if against == "epochs" else np.cumsum([e.samples for e in run])
        )
        starts = [
            [k for k, e in enumerate(run) if e.phase > 1][:1] if run and run[0].phase == 1 else [] for run in runs
        ]
        second |= any(starts)
        for axes, linestyle, values in (
            (loss, ":", _over_epochs(runs, lambda run: [e.train_loss for e in run])),
            (loss, "-", _over_epochs(runs, lambda run: [_or_nan(e.validation_loss) for e in run])),
            (auc, "-", _over_epochs(runs, lambda run: [100 * _or_nan(e.validation_auc) for e in run])),
        ):
            look = {
                "color": colour,
                "linestyle": linestyle,
                "linewidth": 1.1 if linestyle == ":" else 1.3,
                "marker": "o",
                "markersize": 4,
            }
            if len(runs) > MOST_LINES:
                middle = _mean(x)
                axes.plot(
                    middle,
                    _mean(values),
                    markevery=starts[0] if all(start == starts[0] for start in starts) else [],
                    **look,
                )
                if linestyle == "-":
                    axes.fill_between(
                        middle, np.fmin.reduce(values), np.fmax.reduce(values), color=colour, alpha=0.12, linewidth=0
                    )
                continue
            for line, height, start in zip(x, values, starts, strict=True):
                axes.plot(line, height, markevery=start, **look)
        validated |= any(e.validation_auc is not None for run in runs for e in run)
    for axes in (loss, auc):
        axes.set(xlabel="epoch" if against == "epochs" else "samples trained on")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto" if against == "epochs" else 5))
    loss.set(ylabel="loss", ylim=(0, None))
    auc.set(ylabel="validation AUC, frames (%)")
    if not validated:
        auc.set(xticks=[], yticks=[])
        auc.text(0.5, 0.5, "nothing was validated", transform=auc.transAxes, ha="center", color="#777777")
    kinds = [
        Line2D([], [], color="#555555", linestyle=":", label="training loss"),
        Line2D([], [], color="#555555", label="validation"),
    ]
    if validated and any(len(runs) > MOST_LINES for runs in histories.values()):
        kinds.append(
            Patch(color="#555555", alpha=0.2, linewidth=0, label=f"all {max(map(len, histories.values()))} runs")
        )
    if second:
        kinds.append(
            Line2D([], [], color="#555555", marker="o", markersize=4, linestyle="", label="second phase starts")
        )
    entries = len(handles + kinds)
    figure.legend(
        handles=handles + kinds, loc="outside lower center", ncols=entries if entries <= 5 else -(-entries // 2)
    )
    return figure


@styled
def sample_grid(images: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 4) -> Figure:
    """Pictures in a grid, each under its title. images: (H, W, 3) uint8 RGB or (H, W) grey.

    Raises ValueError for no image, or for a number of titles that differs.
    """
    if len(images) == 0 or (titles is not None and len(titles) != len(images)):
        raise ValueError(
            f"expected at least one image and a title for each, got {len(images)} images and {len(titles or [])} titles"
        )
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    cell = PAGE_WIDTH / columns
    tallest = max(i.shape[0] / i.shape[1] for i in images)
    wrap = max(8, int(cell * 11))
    texts = [textwrap.fill(t, wrap) for t in titles] if titles is not None else [""] * len(images)
    figure, grid = plt.subplots(
        lines,
        columns,
        figsize=(PAGE_WIDTH, lines * (cell * tallest + 0.17 * max(t.count("\n") + 1 for t in texts) + 0.12)),
        squeeze=False,
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, texts, strict=False):
        axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
        axes.set_title(text, fontsize=8.5)
    return figure


@styled
def sas_sensitivity(
    values,
    taus: Sequence[float],
    reactivities: Sequence[float],
    metric: str = "vl_f1",
    mark: tuple[float, float] | None = (0.5, 2.0),
) -> Figure:
    """A metric over the two parameters of SAS, as a map with its numbers written in.

    values: (taus, reactivities) in [0, 1], NaN where the metric has no value. mark: the (tau, v) to frame, the paper's
    by default, where it is on the map. Raises ValueError for another shape.
    """
    values = 100 * np.asarray(values, dtype=float)
    if values.shape != (len(taus), len(reactivities)):
        raise ValueError(
            f"expected values of shape {(len(taus), len(reactivities))} for {len(taus)} taus and {len(reactivities)} reactivities, got {values.shape}"
        )
    figure, axes = plt.subplots(figsize=(1.9 + 0.62 * len(reactivities), 1.4 + 0.36 * len(taus)))
    picture = axes.imshow(values, cmap="cividis", aspect="auto", origin="lower")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2 if np.isfinite(values).any() else 0
    for (row, column), value in np.ndenumerate(values):
        text = "none" if np.isnan(value) else f"{value:.0f}"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8.5,
            color="black" if np.isnan(value) or value > middle else "white",
        )
    axes.set_xticks(range(len(reactivities)), [f"{v:g}" for v in reactivities])
    axes.set_yticks(range(len(taus)), [f"{t:g}" for t in taus])
    axes.set(xlabel="reactivity v (per analysed frame)", ylabel="sensibility threshold τ")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if mark and mark[0] in taus and mark[1] in reactivities:
        corner = (list(reactivities).index(mark[1]) - 0.5, list(taus).index(mark[0]) - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=RED, linewidth=2.4, clip_on=False))
        axes.set_title(
            "framed: the paper's parameters" if mark == (0.5, 2.0) else f"framed: τ = {mark[0]:g}, v = {mark[1]:g}",
            loc="left",
            fontsize=9,
        )
    figure.colorbar(picture, ax=axes, label=f"{metric_label(metric)} (%)")
    return figure


@styled
def metric_lines(
    panels: Mapping[str, Mapping[float, Sequence[Metric]]],
    names: Sequence[str] = ("vl_f1", "vl_tpr", "vl_fpr"),
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Metrics against a parameter, a panel for each parameter, with their intervals as bands.

    panels: label of the x axis -> value -> `evaluate`'s list. marks: the run's own value by label, drawn as a line. A metric without a
    value leaves a gap. Raises ValueError for no panel.
    """
    if not panels:
        raise ValueError("expected at least one panel, got none")
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE_WIDTH, 3.1), sharey=True, squeeze=False)
    for panel, (text, found) in zip(axes[0], panels.items(), strict=True):
        values = sorted(found)
        for number, name in enumerate(names):
            chosen = [next(m for m in found[value] if m.name == name) for value in values]
            middle, low, high = (
                [np.nan if x is None else 100 * x for x in side]
                for side in ([m.value for m in chosen], [m.ci_low for m in chosen], [m.ci_high for m in chosen])
            )
            panel.fill_between(values, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.12, linewidth=0)
            panel.plot(
                values,
                middle,
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number % len(DASHES)],
                marker="os^D"[number % 4],
                markersize=4,
                label=metric_label(name),
            )
        if marks and text in marks:
            panel.axvline(marks[text], color="#777777", linewidth=1, linestyle=(0, (1, 2)), label="this run")
        panel.set(xlabel=text, ylim=(0, 101))
    axes[0][0].set_ylabel("videos (%)")
    named = {
        label: handle for panel in axes[0] for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named))
    return figure


def _over_epochs(runs: Sequence[Sequence[Epoch]], values: Callable[[Sequence[Epoch]], Sequence[float]]) -> np.ndarray:
    """Values of runs side by side, NaN after a run's end. Shape: (runs, epochs of the longest)."""
    table = np.full((len(runs), max(map(len, runs), default=0)), np.nan)
    for row, run in zip(table, runs, strict=True):
        row[: len(run)] = values(run)
    return table


def _mean(table: np.ndarray) -> np.ndarray:
    """Mean of each column without its NaN; NaN where there is nothing else."""
    there = ~np.isnan(table)
    return divide(np.where(there, table, 0).sum(axis=0), there.sum(axis=0).astype(float))


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
