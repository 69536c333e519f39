"""Figures of scores, metrics and trainings, and pictures in a grid.

Every function returns a matplotlib Figure and changes no global setting; `vadkit.report.rows.save_figure` writes it.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from vadkit.evaluation import metrics
from vadkit.evaluation.bootstrap import Metric
from vadkit.evaluation.evaluate import SeedScores
from vadkit.report import style, tables
from vadkit.report.style import COLOURS, DASHES, GREY, MARKERS, PAGE_WIDTH, RED, STYLE, styled
from vadkit.systems.base import Epoch

MOST_LINES = 5  # of learning curves of one system; more are a tangle
PAPERS_SAS = (0.5, 2.0)  # tau, v
VIDEO_METRICS = ("vl_f1", "vl_tpr", "vl_fpr")


@styled
def roc_curves(systems: Mapping[str, SeedScores], printed: Mapping | None = None, printed_on: str = "") -> Figure:
    """ROC over pooled frames, one line a system: the mean over seeds, with a band from the lowest to the highest seed.

    printed: AUC in percent by system, named in the legend; printed_on: the data that these are of, where they may not
    be ours. Raises UndefinedMetricError as `frame_auc` does. Source: figure 2.
    """
    from sklearn.metrics import roc_curve

    figure, axes = plt.subplots(figsize=(5.4, 5.2))
    grid = np.linspace(0, 1, 401)
    for (name, seeds), colour, dashes in zip(systems.items(), cycle(COLOURS), cycle(DASHES), strict=False):
        pooled = [metrics.pool(videos) for videos in seeds.values()]
        text = f"{name}: AUC {np.mean([100 * metrics.frame_auc(*one) for one in pooled]):.1f}%"
        curves = [_interpolated(grid, *roc_curve(*one, drop_intermediate=False)[:2]) for one in pooled]
        if printed and name in printed:
            theirs = printed[name]
            text += f"\n(printed, on {printed_on}: {theirs:.1f}%)" if printed_on else f" (printed: {theirs:g}%)"
        axes.plot(grid, np.mean(curves, axis=0), color=colour, linestyle=dashes, label=text)
        if len(curves) > 1:
            low, high = np.min(curves, axis=0), np.max(curves, axis=0)
            axes.fill_between(grid, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), label="chance: 50%")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set(xlabel="false-positive rate, frames", ylabel="true-positive rate, frames")
    axes.legend(loc="lower right")
    return figure


def _interpolated(grid: np.ndarray, fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """The curve at `grid`; at a vertical piece its top, as `np.interp` alone would not."""
    last = np.append(np.flatnonzero(np.diff(fpr) > 0), len(fpr) - 1)
    return np.interp(grid, fpr[last], tpr[last])


@styled
def learning_curves(histories: Mapping[str, Sequence[Sequence[Epoch]]], against: str = "epochs") -> Figure:
    """Loss and validation AUC over the epochs of each system, a line for each seed (and fold).

    More than MOST_LINES runs of a system are drawn as their mean, over those that have not ended, in a band from the
    lowest validation value to the highest. histories: by system, then one list of epochs a run. against: "epochs", or
    "samples" trained on so far; else ValueError. A dot marks where the second phase starts.
    """
    if against not in ("epochs", "samples"):
        raise ValueError(f"against must be 'epochs' or 'samples', got '{against}'")
    figure, (loss, auc) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.2))
    for runs, colour in zip(histories.values(), cycle(COLOURS), strict=False):
        steps = _by_epoch(runs, lambda e: 1 if against == "epochs" else e.samples).cumsum()
        starts = [_second_phase(run) for run in runs]
        for axes, values, linestyle in (
            (loss, _by_epoch(runs, lambda e: e.train_loss), ":"),
            (loss, _by_epoch(runs, lambda e: e.validation_loss), "-"),
            (auc, 100 * _by_epoch(runs, lambda e: e.validation_auc), "-"),
        ):
            look = {"color": colour, "linestyle": linestyle, "linewidth": 1.1 if linestyle == ":" else 1.3}
            look |= {"marker": "o", "markersize": 4}
            if len(runs) <= MOST_LINES:
                for run, start in enumerate(starts):
                    axes.plot(steps[run], values[run], markevery=start, **look)
                continue
            same_start = starts[0] if all(start == starts[0] for start in starts) else []
            axes.plot(steps.mean(axis=1), values.mean(axis=1), markevery=same_start, **look)
            if linestyle == "-":
                low, high = values.min(axis=1), values.max(axis=1)
                axes.fill_between(steps.mean(axis=1), low, high, color=colour, alpha=0.12, linewidth=0)
    for axes in (loss, auc):
        axes.set(xlabel="epoch" if against == "epochs" else "samples trained on")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto" if against == "epochs" else 5))
    loss.set(ylabel="loss", ylim=(0, None))
    auc.set(ylabel="validation AUC, frames (%)")
    every = [run for runs in histories.values() for run in runs]
    validated = any(e.validation_auc is not None for run in every for e in run)
    handles = [Line2D([], [], color=c, label=name) for name, c in zip(histories, cycle(COLOURS), strict=False)]
    grey, most = {"color": "#555555"}, max(map(len, histories.values()), default=0)
    handles.append(Line2D([], [], **grey, linestyle=":", label="training loss"))
    handles.append(Line2D([], [], **grey, label="validation"))
    if validated and most > MOST_LINES:
        handles.append(Patch(**grey, alpha=0.2, linewidth=0, label=f"all {most} runs"))
    if any(map(_second_phase, every)):
        handles.append(Line2D([], [], **grey, marker="o", markersize=4, linestyle="", label="second phase starts"))
    if not validated:
        auc.set(xticks=[], yticks=[])
        auc.text(0.5, 0.5, "nothing was validated", transform=auc.transAxes, ha="center", color=GREY)
    columns = len(handles) if len(handles) <= 5 else -(-len(handles) // 2)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _by_epoch(runs: Sequence[Sequence[Epoch]], value: Callable[[Epoch], float | None]) -> pd.DataFrame:
    """A column a run, a line an epoch; NaN after a run's end and where there is no value."""
    return pd.DataFrame({k: pd.Series(map(value, run), dtype=float) for k, run in enumerate(runs)})


def _second_phase(run: Sequence[Epoch]) -> list[int]:
    """The place of the second phase's first epoch, none where there is one phase."""
    return [k for k, e in enumerate(run) if e.phase > 1][:1] if run and run[0].phase == 1 else []


@styled
def sample_grid(images: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 4) -> Figure:
    """Pictures in a grid, each under its title. images: (H, W, 3) uint8 RGB or (H, W) grey.

    Raises ValueError for no image, or for a number of titles that differs.
    """
    titles = [""] * len(images) if titles is None else titles
    if len(images) == 0 or len(titles) != len(images):
        got = f"{len(images)} images and {len(titles)} titles"
        raise ValueError(f"expected at least one image and a title for each, got {got}")
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    cell = PAGE_WIDTH / columns
    tallest = max(i.shape[0] / i.shape[1] for i in images)
    texts = [textwrap.fill(t, max(8, int(cell * 11))) for t in titles]
    height = cell * tallest + 0.17 * max(t.count("\n") + 1 for t in texts) + 0.12
    figure, grid = plt.subplots(lines, columns, figsize=(PAGE_WIDTH, lines * height), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, texts, strict=False):
        axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
        axes.set_title(text, fontsize=8.5)
    return figure


@styled
def sas_sensitivity(
    maps: Mapping, taus: Sequence[float], reactivities: Sequence[float], mark: tuple[float, float] = PAPERS_SAS
) -> Figure:
    """Metrics over the two parameters of SAS, a map each, with its numbers written in.

    maps: by the metric's name, (taus, reactivities) in [0, 1] or NaN, else ValueError. mark: the (tau, v) to frame, the
    paper's by default.
    """
    size = (1.0 + (0.5 * len(reactivities) + 1.0) * len(maps), 1.6 + 0.36 * len(taus))
    figure, panels = plt.subplots(1, len(maps), figsize=size, sharey=True, squeeze=False)
    for axes, (metric, values) in zip(panels[0], maps.items(), strict=True):
        values, shape = 100 * np.asarray(values, dtype=float), (len(taus), len(reactivities))
        if values.shape != shape:
            raise ValueError(f"expected values of shape {shape} for these taus and reactivities, got {values.shape}")
        picture = axes.imshow(values, cmap="cividis", aspect="auto", origin="lower")
        middle = (np.nanmin(values) + np.nanmax(values)) / 2 if np.isfinite(values).any() else 0
        texts = [["none" if np.isnan(v) else f"{v:.0f}" for v in line] for line in values]
        style.cell_numbers(axes, texts, values <= middle)
        axes.set_xticks(range(len(reactivities)), [f"{v:g}" for v in reactivities])
        axes.set_yticks(range(len(taus)), [f"{t:g}" for t in taus])
        axes.set(title=tables.label(metric, "%"))
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        if mark[0] in taus and mark[1] in reactivities:
            corner = (list(reactivities).index(mark[1]) - 0.5, list(taus).index(mark[0]) - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=RED, linewidth=2.4, clip_on=False))
        figure.colorbar(picture, ax=axes)
    panels[0, 0].set_ylabel("sensibility threshold τ")
    figure.supxlabel("reactivity v (per analysed frame)", fontsize=STYLE["axes.labelsize"])
    if mark[0] in taus and mark[1] in reactivities:
        what = "the paper's parameters" if mark == PAPERS_SAS else f"τ = {mark[0]:g}, v = {mark[1]:g}"
        figure.suptitle(f"framed: {what}", fontsize=9)
    return figure


@styled
def metric_lines(panels: Mapping[str, Mapping[float, Sequence[Metric]]], names=VIDEO_METRICS, marks=None) -> Figure:
    """Metrics against a parameter, a panel for each parameter, with their intervals as bands.

    panels: label of the x axis -> value -> `evaluate`'s list. marks: the run's own value by label, drawn as a line. A
    metric without a value leaves a gap. Raises ValueError for no panel.
    """
    if not panels:
        raise ValueError("expected at least one panel, got none")
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE_WIDTH, 3.1), sharey=True, squeeze=False)
    for panel, (text, found) in zip(axes[0], panels.items(), strict=True):
        values = sorted(found)
        for name, colour, dashes, marker in zip(names, *map(cycle, (COLOURS, DASHES, MARKERS)), strict=False):
            chosen = [next(m for m in found[value] if m.name == name) for value in values]
            numbers = 100 * np.array([(m.value, m.ci_low, m.ci_high) for m in chosen], dtype=float)
            panel.fill_between(values, numbers[:, 1], numbers[:, 2], color=colour, alpha=0.12, linewidth=0)
            look = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 4}
            panel.plot(values, numbers[:, 0], **look, label=tables.label(name))
        if marks and text in marks:
            panel.axvline(marks[text], color=GREY, linewidth=1, linestyle=(0, (1, 2)), label="this run")
        panel.set(xlabel=text, ylim=(0, 101))
    axes[0][0].set_ylabel("videos (%)")
    style.legend_below(figure)
    return figure
