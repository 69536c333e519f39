"""Videos over time: label, confidence, SAS and alarm (figure 3), and the clips that are cut from one to train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Patch

from vadkit.core.config import Config
from vadkit.evaluation import metrics
from vadkit.evaluation.scores import VideoScores, hold
from vadkit.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PAGE_WIDTH, RED, SKY, STYLE, styled
from vadkit.views.sampling import stride_frames

if TYPE_CHECKING:  # OpenCV comes with it, which the light environment has not
    from vadkit.views.clips import Clips


@styled
def timelines(panels: Sequence[tuple], columns: int = 2) -> Figure:
    """A grid of videos over time: label, confidence, SAS and the alarm's threshold; figure 3 has eight, (a) to (h).

    panels: (video, sas), (video, sas, images) or (video, sas, images, title) each; a panel of no video is (None, why,
    None, title). sas: (analysed frames,). images: a few frames by number, (H, W, 3) uint8 RGB, shown below, with an
    orange edge where labelled anomalous. Raises ValueError for no panel, and for a video, SAS or image that is wrong.
    """
    if not panels:
        raise ValueError("expected at least one panel, got none")
    panels = [(*p, None, None)[:4] for p in panels]
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
        letter = f"({ascii_lowercase[number]}) " if 1 < len(panels) <= 26 else ""
        if not title:
            title = f"{video.name}, {video.category}" if video.category not in video.name else video.name
        figure.text(x / width, 1 - (top + 0.2) / total, letter + title, fontsize=STYLE["axes.titlesize"])
        axes = place(x, top + title_room, each, plot)
        if video is None:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.text(0.5, 0.5, sas, transform=axes.transAxes, ha="center", va="center", color=GREY)
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
            edge = (ORANGE, 2.4) if video.labels[frame] else ("#999999", 0.8)
            thumbnail.spines[:].set(visible=True, color=edge[0], linewidth=edge[1])
            ends = {"xyA": (0.5, 1), "coordsA": "axes fraction", "axesA": thumbnail}
            ends |= {"xyB": (video.seconds(0, frame), 0), "coordsB": "data", "axesB": axes}
            figure.add_artist(ConnectionPatch(**ends, color="#aaaaaa", linewidth=0.7, zorder=0))
            axes.plot(video.seconds(0, frame), 0, "^", color=BLACK, markersize=4.5, clip_on=False, zorder=4)
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
    ends = video.seconds(0, np.append(video.index, video.frames))
    _label_spans(axes, video.labels, partial(video.seconds, 0))
    held = hold(video.index, np.asarray(sas), video.frames)[video.index]
    held, confidence = np.append(held, held[-1]), np.append(video.confidence, video.confidence[-1])
    axes.fill_between(ends, 0, held, step="post", color=SKY, alpha=0.6, linewidth=0)
    axes.plot(ends, held, drawstyle="steps-post", color=BLUE, linewidth=0.8)
    axes.plot(ends, confidence, drawstyle="steps-post", color=GREEN, linewidth=1.2)
    axes.axhline(metrics.THRESHOLD, color=RED, linewidth=1.2, linestyle="--")
    axes.set(xlim=(0, video.seconds(0, video.frames)), ylim=(0, 1.02), ylabel="score", yticks=(0, 0.5, 1))
    axes.set_xlabel("time (s)", loc="right", labelpad=1)


def _label_spans(axes: Axes, labels: np.ndarray, seconds: Callable[[int], float]) -> None:
    for start, end in metrics.spans(labels):
        axes.axvspan(seconds(start), seconds(end), color=ORANGE, alpha=0.35, linewidth=0)


# --- clips -------------------------------------------------------------------------------------------------------


@styled
def training_clips(videos: Sequence[Clips], config: Config, seconds: float = 30.0) -> Figure:
    """Every training clip of some videos as a line from its first frame to its last, one above the other (section 4.5).

    seconds: at most, from shortly before a video's first hard anomaly. Clips that a system trained on hard anomalies
    alone leaves out are dashed. Raises ValueError for no video, or clips that were not cut for training.
    """
    if not videos:
        raise ValueError("expected the clips of at least one video, got none")
    spans = [_in_sight(one, config, seconds) for one in videos]
    heights = [1.1 + 0.06 * len(rows) for rows, _, _ in spans]
    size, ratios = (PAGE_WIDTH, sum(heights) + 0.4), {"height_ratios": heights}
    figure, grid = plt.subplots(len(videos), 1, figsize=size, squeeze=False, gridspec_kw=ratios)
    for axes, one, (rows, start, end) in zip(grid[:, 0], videos, spans, strict=True):
        step = stride_frames(one.fps, config.clip_fps) / one.fps  # seconds between a clip's frames
        _label_spans(axes, one.video.frame_labels(one.frames), lambda frame, fps=one.fps: frame / fps)
        kept = set(one.rows("train", config, hard_only=True).tolist())
        for height, row in enumerate(rows.tolist()):
            last, first = one.ends[row] * step, max(0, one.ends[row] - one.clip_frames + 1) * step
            look = {"color": RED if one.labels[row] else BLUE, "linestyle": "-" if row in kept else (0, (2, 1))}
            axes.plot([first, last], [height, height], **look, linewidth=1.8, solid_capstyle="butt")
            axes.plot(last, height, "o", color=BLACK, markersize=2.6)
        axes.set(xlim=(start, end), ylim=(-1, max(len(rows), 1)), xlabel="time (s)", ylabel="clips", yticks=[])
        axes.set_title(f"{one.video.name}: {len(rows)} clips")
        axes.grid(axis="y", visible=False)
    handles = [
        Patch(color=ORANGE, alpha=0.35, linewidth=0, label="labelled anomalous"),
        Line2D([], [], color=RED, label="hard anomaly"),
        Line2D([], [], color=BLUE, label="normal"),
        Line2D([], [], color=BLUE, linestyle=(0, (2, 1)), label="left out with hard anomalies only"),
        Line2D([], [], color=BLACK, marker="o", markersize=3.5, linestyle="", label="last frame, decided on"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _in_sight(clips: Clips, config: Config, seconds: float) -> tuple[np.ndarray, float, float]:
    """(rows of the training clips that end there, start and end in seconds)"""
    length, labels = clips.frames / clips.fps, clips.video.frame_labels(clips.frames)
    first = int(np.argmax(labels)) / clips.fps if labels.any() else 0.0
    start = max(0.0, min(first - seconds / 3, length - seconds))
    end = min(start + seconds, length)
    rows = clips.rows("train", config)
    at = clips.index[rows] / clips.fps
    return rows[(at >= start) & (at <= end)], start, end
