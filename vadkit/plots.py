"""Figures in one house style: readable at page width, axes with units, colours that a colour-blind reader can tell apart.

Every function returns a matplotlib Figure and changes no global setting; `vadkit.report.save_figure` writes it. In a
notebook the inline backend shows it at the end of its cell.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from vadkit import metrics, published
from vadkit.report import label as metric_label
from vadkit.scoring import VideoScores, hold

if TYPE_CHECKING:
    from vadkit.ablation import Mined, ObjectCount
    from vadkit.evaluation import Metric
    from vadkit.training import Epoch

# Okabe and Ito 2008: told apart with any common colour vision; lines differ in dash as well
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#333333"
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
STYLE = {
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
}
PAGE_WIDTH = 7.2  # inches


def _styled(function):
    """Draw under STYLE and put back what was set before."""

    @functools.wraps(function)
    def wrapped(*args, **options):
        with mpl.rc_context(STYLE):
            figure = function(*args, **options)
            figure.draw_without_rendering()  # ticks are made when first drawn, with the settings of that moment
            return figure

    return wrapped


@_styled
def roc_curves(systems: Mapping[str, Mapping[int, Sequence[VideoScores]]], printed: Mapping[str, float] | None = None, printed_on: str = "") -> Figure:
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
            text += f"\n(printed, on {printed_on}: {printed[name]:.1f}%)" if printed_on else f" (printed: {printed[name]:g}%)"
        axes.plot(grid, np.mean(curves, axis=0), color=colour, linestyle=DASHES[number % len(DASHES)], label=text)
        if len(curves) > 1:
            axes.fill_between(grid, np.min(curves, axis=0), np.max(curves, axis=0), color=colour, alpha=0.15, linewidth=0)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), label="chance: 50%")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="false-positive rate, frames", ylabel="true-positive rate, frames", aspect="equal")
    axes.legend(loc="lower right")
    return figure


def _interpolated(grid: np.ndarray, fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """The curve at `grid`; at a vertical piece its top, as `np.interp` alone would not."""
    last = np.append(np.flatnonzero(np.diff(fpr) > 0), len(fpr) - 1)
    return np.interp(grid, fpr[last], tpr[last])


@_styled
def timeline(video: VideoScores, sas, images: Mapping[int, np.ndarray] | None = None, title: str | None = None) -> Figure:
    """One video over time: label, confidence, SAS and the alarm's threshold, as in figure 3.

    sas: (analysed frames,). images: a few frames by number, (H, W, 3) uint8 RGB, shown below with a line to their place, and with
    an orange frame where they are labelled anomalous. Raises ValueError for a malformed video, a SAS of another length, or an image
    of a frame that is not there.
    """
    return _timelines([(video, sas, images, title)], columns=1, letters=False)


@_styled
def timelines(panels: Sequence[tuple], columns: int = 2) -> Figure:
    """A grid of timelines, lettered (a), (b), ...; figure 3 has eight.

    panels: (video, sas), (video, sas, images) or (video, sas, images, title) each, as for `timeline`; a panel of no video is
    (None, why, None, title). Raises ValueError as `timeline` does, and for no panel.
    """
    if not panels:
        raise ValueError("expected at least one panel, got none")
    return _timelines([(*p, None, None)[:4] for p in panels], columns, letters=True)


def _timelines(panels: Sequence[tuple], columns: int, letters: bool) -> Figure:
    # placed by hand, in inches from the top left: a layout engine lets pictures push the plots out of line
    left, gap, title_room, picture, plot, below = 0.55, 0.65, 0.28, 0.85, 1.15, 0.44
    lines = -(-len(panels) // columns)
    pictures = [any(p[2] for p in panels[k * columns : (k + 1) * columns]) for k in range(lines)]
    heights = [title_room + plot + below + (picture + 0.22 if has else 0.1) for has in pictures]
    width = PAGE_WIDTH if columns == 1 else 5.0 * columns
    each = (width - left - 0.15 - gap * (columns - 1)) / columns
    total = sum(heights) + 0.4
    figure = plt.figure(figsize=(width, total), layout="none")

    def place(x: float, top: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, 1 - (top + h) / total, w / width, h / total))

    for number, (video, sas, images, title) in enumerate(panels):
        line, column = divmod(number, columns)
        x, top = left + column * (each + gap), sum(heights[:line])
        name = (f"({chr(ord('a') + number)}) " if letters and number < 26 else "") + (title or _title(video))
        figure.text(x / width, 1 - (top + 0.2) / total, name, fontsize=STYLE["axes.titlesize"])
        axes = place(x, top + title_room, each, plot)
        if video is None:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.text(0.5, 0.5, sas, transform=axes.transAxes, ha="center", va="center", color="#777777")
            continue
        _score_lines(axes, video, sas)
        shown = sorted((images or {}).items())
        for k, (frame, image) in enumerate(shown):
            if not 0 <= frame < video.frames:
                raise ValueError(f"{video.name}: there is no frame {frame} to show, it has {video.frames}")
            room = each / len(shown)
            w = min(picture * image.shape[1] / image.shape[0], 0.95 * room)
            h = w * image.shape[0] / image.shape[1]
            thumbnail = place(x + (k + 0.5) * room - w / 2, top + title_room + plot + below, w, h)
            thumbnail.imshow(image, aspect="auto")
            thumbnail.set(xticks=[], yticks=[])
            thumbnail.spines[:].set(visible=True, color=ORANGE if video.labels[frame] else "#999999", linewidth=2.4 if video.labels[frame] else 0.8)
            link = ConnectionPatch((0.5, 1), (frame / video.fps, 0), "axes fraction", "data", axesA=thumbnail, axesB=axes, color="#aaaaaa", linewidth=0.7, zorder=0)
            figure.add_artist(link)
            axes.plot(frame / video.fps, 0, "^", color=BLACK, markersize=4.5, clip_on=False, zorder=4)
    handles = [
        Patch(color=ORANGE, alpha=0.35, linewidth=0, label="labelled anomalous"),
        Patch(facecolor=SKY, alpha=0.6, edgecolor=BLUE, linewidth=0.8, label="SAS"),
        Line2D([], [], color=GREEN, linewidth=1.2, label="confidence"),
        Line2D([], [], color=RED, linewidth=1.2, linestyle="--", label=f"alarm: SAS over {metrics.THRESHOLD}"),
    ]
    if any(pictures):
        handles.append(Line2D([], [], color=BLACK, marker="^", markersize=4.5, linestyle="", label="frame shown"))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), bbox_to_anchor=(0.5, 0.0), columnspacing=1.4)
    return figure


def _score_lines(axes: Axes, video: VideoScores, sas) -> None:
    metrics.check_video(video)
    ends = np.append(video.index, video.frames) / video.fps
    for start, end in metrics.spans(video.labels):
        axes.axvspan(start / video.fps, end / video.fps, color=ORANGE, alpha=0.35, linewidth=0)
    held = hold(video.index, np.asarray(sas), video.frames)[video.index]
    axes.fill_between(ends, 0, np.append(held, held[-1]), step="post", color=SKY, alpha=0.6, linewidth=0)
    axes.plot(ends, np.append(held, held[-1]), drawstyle="steps-post", color=BLUE, linewidth=0.8)
    axes.plot(ends, np.append(video.confidence, video.confidence[-1]), drawstyle="steps-post", color=GREEN, linewidth=1.2)
    axes.axhline(metrics.THRESHOLD, color=RED, linewidth=1.2, linestyle="--")
    axes.set(xlim=(0, video.frames / video.fps), ylim=(0, 1.02), ylabel="score", yticks=(0, 0.5, 1))
    axes.set_xlabel("time (s)", loc="right", labelpad=1)


def _title(video: VideoScores) -> str:
    return f"{video.name}, {video.category}" if video.category not in video.name else video.name


@_styled
def ablation_bars(found: Mapping[str, Sequence[Metric]], names: Sequence[str] = ("fl_auc", "vl_f1"), paper: str = "", item: str = "") -> Figure:
    """Systems down the page, a panel for each metric: mean with its interval, each seed, and the printed value.

    found: `evaluate`'s list by system. paper, item: where printed values are looked up ("petrocchi2021", "table 1").
    A metric without a value is written as "none". Points and intervals rather than bars, whose length from 0 says nothing of
    an area that starts at one half.
    """
    systems = list(found)
    figure, panels = plt.subplots(1, len(names), figsize=(PAGE_WIDTH, 1.5 + 0.38 * len(systems)), sharey=True, squeeze=False)
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
                    axes.plot([scale * metric.ci_low, scale * metric.ci_high], [row, row], color=BLUE, linewidth=2.6, alpha=0.45, solid_capstyle="butt")
                    marks["interval"] = Line2D([], [], color=BLUE, linewidth=2.6, alpha=0.45)
                seeds = [scale * v for v in metric.per_seed if v is not None]
                if len(seeds) > 1:
                    axes.plot(seeds, np.full(len(seeds), row - 0.22), "|", color=BLACK, markersize=6, markeredgewidth=1)
                    marks["each seed"] = Line2D([], [], color=BLACK, marker="|", linestyle="", markersize=6)
                axes.plot(scale * metric.value, row, "o", color=BLUE, markersize=6)
                marks["mean of seeds"] = Line2D([], [], color=BLUE, marker="o", linestyle="", markersize=6)
            if printed is not None:
                axes.plot(printed.value, row + 0.22, "D", markerfacecolor="none", color=RED, markersize=5)
                marks["printed"] = Line2D([], [], color=RED, marker="D", markerfacecolor="none", linestyle="", markersize=5)
        unit = next((m.unit for ms in found.values() for m in ms if m.name == name), "") or "%"
        axes.set(xlabel=f"{metric_label(name)} ({unit})", ylim=(len(systems) - 0.5, -0.5))
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
    panels[0][0].set_yticks(range(len(systems)), systems)
    order = [k for k in ("mean of seeds", "interval", "each seed", "printed") if k in marks]
    figure.legend([marks[k] for k in order], order, loc="outside lower center", ncols=4)
    return figure


@_styled
def class_rates(groups: Mapping[str, Mapping[str, Sequence[Metric]]], metric: str = "vl_tpr", level: tuple[str, float] | None = None) -> Figure:
    """A metric of each class with its interval, the groups ("seen", "unseen") one below the other.

    groups: group -> class -> `evaluate`'s list. A class without a value is written as "none". level: a named value in [0, 1] that is
    the same for every class, drawn as a line. Raises ValueError where there is no class.
    """
    lines = [(group, name, next(m for m in found if m.name == metric)) for group, classes in groups.items() for name, found in classes.items()]
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
                axes.plot([100 * found.ci_low, 100 * found.ci_high], [row, row], color=colour, linewidth=2.6, alpha=0.45, solid_capstyle="butt", clip_on=False)
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


@_styled
def learning_curves(histories: Mapping[str, Sequence[Sequence[Epoch]]], against: str = "epochs") -> Figure:
    """Loss and validation AUC over the epochs of each system, a line for each seed (and fold).

    histories: by system, then one list of epochs a run. against: "epochs", or "samples" trained on so far, for systems whose
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
        for run in runs:
            x = np.arange(1, len(run) + 1) if against == "epochs" else np.cumsum([e.samples for e in run])
            start = [k for k, e in enumerate(run) if e.phase > 1][:1] if run and run[0].phase == 1 else []
            second |= bool(start)
            marked = {"color": colour, "marker": "o", "markersize": 4, "markevery": start}
            loss.plot(x, [e.train_loss for e in run], linestyle=":", linewidth=1.1, **marked)
            loss.plot(x, [_or_nan(e.validation_loss) for e in run], linewidth=1.3, **marked)
            auc.plot(x, [100 * _or_nan(e.validation_auc) for e in run], linewidth=1.3, **marked)
            validated |= any(e.validation_auc is not None for e in run)
    for axes in (loss, auc):
        axes.set(xlabel="epoch" if against == "epochs" else "samples trained on")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto" if against == "epochs" else 5))
    loss.set(ylabel="loss", ylim=(0, None))
    auc.set(ylabel="validation AUC, frames (%)")
    if not validated:
        auc.set(xticks=[], yticks=[])
        auc.text(0.5, 0.5, "nothing was validated", transform=auc.transAxes, ha="center", color="#777777")
    kinds = [Line2D([], [], color="#555555", linestyle=":", label="training loss"), Line2D([], [], color="#555555", label="validation")]
    if second:
        kinds.append(Line2D([], [], color="#555555", marker="o", markersize=4, linestyle="", label="second phase starts"))
    entries = len(handles + kinds)
    figure.legend(handles=handles + kinds, loc="outside lower center", ncols=entries if entries <= 5 else -(-entries // 2))
    return figure


@_styled
def sample_grid(images: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 4) -> Figure:
    """Pictures in a grid, each under its title. images: (H, W, 3) uint8 RGB or (H, W) grey.

    Raises ValueError for no image, or for a number of titles that differs.
    """
    if len(images) == 0 or (titles is not None and len(titles) != len(images)):
        raise ValueError(f"expected at least one image and a title for each, got {len(images)} images and {len(titles or [])} titles")
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    cell = PAGE_WIDTH / columns
    tallest = max(i.shape[0] / i.shape[1] for i in images)
    wrap = max(8, int(cell * 11))
    texts = [textwrap.fill(t, wrap) for t in titles] if titles is not None else [""] * len(images)
    figure, grid = plt.subplots(lines, columns, figsize=(PAGE_WIDTH, lines * (cell * tallest + 0.17 * max(t.count("\n") + 1 for t in texts) + 0.12)), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, texts, strict=False):
        axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
        axes.set_title(text, fontsize=8.5)
    return figure


@_styled
def sas_sensitivity(values, taus: Sequence[float], reactivities: Sequence[float], metric: str = "vl_f1", mark: tuple[float, float] | None = (0.5, 2.0)) -> Figure:
    """A metric over the two parameters of SAS, as a map with its numbers written in.

    values: (taus, reactivities) in [0, 1], NaN where the metric has no value. mark: the (tau, v) to frame, the paper's
    by default, where it is on the map. Raises ValueError for another shape.
    """
    values = 100 * np.asarray(values, dtype=float)
    if values.shape != (len(taus), len(reactivities)):
        raise ValueError(f"expected values of shape {(len(taus), len(reactivities))} for {len(taus)} taus and {len(reactivities)} reactivities, got {values.shape}")
    figure, axes = plt.subplots(figsize=(1.9 + 0.62 * len(reactivities), 1.4 + 0.36 * len(taus)))
    picture = axes.imshow(values, cmap="cividis", aspect="auto", origin="lower")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2 if np.isfinite(values).any() else 0
    for (row, column), value in np.ndenumerate(values):
        text = "none" if np.isnan(value) else f"{value:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color="black" if np.isnan(value) or value > middle else "white")
    axes.set_xticks(range(len(reactivities)), [f"{v:g}" for v in reactivities])
    axes.set_yticks(range(len(taus)), [f"{t:g}" for t in taus])
    axes.set(xlabel="reactivity v (per analysed frame)", ylabel="sensibility threshold τ")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if mark and mark[0] in taus and mark[1] in reactivities:
        corner = (list(reactivities).index(mark[1]) - 0.5, list(taus).index(mark[0]) - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=RED, linewidth=2.4, clip_on=False))
        axes.set_title("framed: the paper's parameters" if mark == (0.5, 2.0) else f"framed: τ = {mark[0]:g}, v = {mark[1]:g}", loc="left", fontsize=9)
    figure.colorbar(picture, ax=axes, label=f"{metric_label(metric)} (%)")
    return figure


@_styled
def metric_lines(panels: Mapping[str, Mapping[float, Sequence[Metric]]], names: Sequence[str] = ("vl_f1", "vl_tpr", "vl_fpr"), marks: Mapping[str, float] | None = None) -> Figure:
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
            middle, low, high = ([np.nan if x is None else 100 * x for x in side] for side in ([m.value for m in chosen], [m.ci_low for m in chosen], [m.ci_high for m in chosen]))
            panel.fill_between(values, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.12, linewidth=0)
            panel.plot(values, middle, color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)], marker="os^D"[number % 4], markersize=4, label=metric_label(name))
        if marks and text in marks:
            panel.axvline(marks[text], color="#777777", linewidth=1, linestyle=(0, (1, 2)), label="this run")
        panel.set(xlabel=text, ylim=(0, 101))
    axes[0][0].set_ylabel("videos (%)")
    named = {label: handle for panel in axes[0] for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named))
    return figure


@_styled
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
    means.plot([c.rest for c in shown], places, "s", markerfacecolor="none", color=BLUE, clip_on=False, label="all other frames")
    for place, c in zip(places, shown, strict=True):
        if c.difference.low is not None:
            change.plot([c.difference.low, c.difference.high], [place, place], color=BLACK, linewidth=2.6, alpha=0.45, solid_capstyle="butt")
        change.plot(c.difference.value, place, "o", color=BLACK)
    change.axvline(0, color="#777777", linewidth=1)
    means.set(xlabel="objects per frame, mean", xlim=(0, None), ylim=(len(shown) - 0.5, -0.5))
    means.set_yticks(places, [c.name for c in shown])
    change.set(xlabel="difference, with its interval")
    for axes in (means, change):
        axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@_styled
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
    sides += [(f"kept, {moment}", colour, lambda m: m.kept, moment) for moment, colour in zip(moments, (SKY, BLUE), strict=False)]
    for number, (label, colour, values, moment) in enumerate(sides):
        places = np.arange(len(kinds)) + (number - len(moments) / 2) * height
        shares = [[100 * v for m in found if m.moment == moment and m.kind == kind for v in values(m)] for kind in kinds]
        axes.barh(places, [np.mean(s) for s in shares], 0.9 * height, color=colour, label=label)
        for place, share in zip(places, shares, strict=True):
            if len(share) > 1:
                axes.plot(share, np.full(len(share), place), "|", color=BLACK, markersize=6, clip_on=False, label="each model")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set(xlabel="share of the samples (%)", xlim=(0, None), ylim=(len(kinds) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    named = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # each label once
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4)
    return figure


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
