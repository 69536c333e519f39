"""Videos over time: label, confidence, SAS and the alarm's threshold, with the frames that are shown below them (figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Patch

from vadkit.evaluation import metrics
from vadkit.evaluation.scores import VideoScores, hold
from vadkit.report.style import BLACK, BLUE, GREEN, ORANGE, PAGE_WIDTH, RED, SKY, STYLE, styled


@styled
def timeline(
    video: VideoScores, sas, images: Mapping[int, np.ndarray] | None = None, title: str | None = None
) -> Figure:
    """One video over time: label, confidence, SAS and the alarm's threshold, as in figure 3.

    sas: (analysed frames,). images: a few frames by number, (H, W, 3) uint8 RGB, shown below with a line to their place, and with
    an orange frame where they are labelled anomalous. Raises ValueError for a malformed video, a SAS of another length, or an image
    of a frame that is not there.
    """
    return _timelines([(video, sas, images, title)], columns=1, letters=False)


@styled
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
            thumbnail.spines[:].set(
                visible=True,
                color=ORANGE if video.labels[frame] else "#999999",
                linewidth=2.4 if video.labels[frame] else 0.8,
            )
            link = ConnectionPatch(
                (0.5, 1),
                (frame / video.fps, 0),
                "axes fraction",
                "data",
                axesA=thumbnail,
                axesB=axes,
                color="#aaaaaa",
                linewidth=0.7,
                zorder=0,
            )
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
    axes.plot(
        ends, np.append(video.confidence, video.confidence[-1]), drawstyle="steps-post", color=GREEN, linewidth=1.2
    )
    axes.axhline(metrics.THRESHOLD, color=RED, linewidth=1.2, linestyle="--")
    axes.set(xlim=(0, video.frames / video.fps), ylim=(0, 1.02), ylabel="score", yticks=(0, 0.5, 1))
    axes.set_xlabel("time (s)", loc="right", labelpad=1)


def _title(video: VideoScores) -> str:
    return f"{video.name}, {video.category}" if video.category not in video.name else video.name
