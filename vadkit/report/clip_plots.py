"""Figures of clips: which ones are cut from a video to train on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vadkit.core.config import Config
from vadkit.evaluation import metrics
from vadkit.report.style import BLUE, ORANGE, PAGE_WIDTH, RED, styled
from vadkit.views.clips import Clips
from vadkit.views.sampling import stride_frames


@styled
def training_clips(videos: Sequence[Clips], config: Config, seconds: float = 30.0) -> Figure:
    """Every training clip of some videos as a line from its first frame to its last, one above the other (section 4.5).

    seconds: at most, from shortly before a video's first hard anomaly. Clips that a system trained on hard anomalies alone leaves
    out are dashed. Raises ValueError for no video, or clips that were not cut for training.
    """
    if not videos:
        raise ValueError("expected the clips of at least one video, got none")
    spans = [_in_sight(one, config, seconds) for one in videos]
    heights = [1.1 + 0.06 * len(rows) for rows, _ in spans]
    figure, grid = plt.subplots(
        len(videos), 1, figsize=(PAGE_WIDTH, sum(heights) + 0.4), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes, one, (rows, (start, end)) in zip(grid[:, 0], videos, spans, strict=True):
        _lines(axes, one, config, rows)
        axes.set(
            xlim=(start, end),
            xlabel="time (s)",
            ylabel="clips",
            yticks=[],
            title=f"{one.video.name}: {len(rows)} clips",
        )
    handles = [
        Patch(color=ORANGE, alpha=0.35, linewidth=0, label="labelled anomalous"),
        Line2D([], [], color=RED, label="hard anomaly"),
        Line2D([], [], color=BLUE, label="normal"),
        Line2D([], [], color=BLUE, linestyle=(0, (2, 1)), label="left out with hard anomalies only"),
        Line2D([], [], color="#333333", marker="o", markersize=3.5, linestyle="", label="last frame, decided on"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _in_sight(clips: Clips, config: Config, seconds: float) -> tuple[np.ndarray, tuple[float, float]]:
    """(rows of the training clips that end there, (start, end) in seconds)."""
    labels = clips.video.frame_labels(clips.frames)
    first = int(np.argmax(labels)) / clips.fps if labels.any() else 0.0
    start = max(0.0, min(first - seconds / 3, clips.frames / clips.fps - seconds))
    end = min(start + seconds, clips.frames / clips.fps)
    rows = clips.rows("train", config)
    at = clips.index[rows] / clips.fps
    return rows[(at >= start) & (at <= end)], (start, end)


def _lines(axes: Axes, clips: Clips, config: Config, rows: np.ndarray) -> None:
    step = stride_frames(clips.fps, config.clip_fps) / clips.fps  # seconds between a clip's frames
    for a, b in metrics.spans(clips.video.frame_labels(clips.frames)):
        axes.axvspan(a / clips.fps, b / clips.fps, color=ORANGE, alpha=0.35, linewidth=0)
    kept = set(clips.rows("train", config, hard_only=True).tolist())
    for height, row in enumerate(rows.tolist()):
        end = clips.ends[row] * step
        begin = max(0, clips.ends[row] - clips.clip_frames + 1) * step
        dashes = "-" if row in kept else (0, (2, 1))
        axes.plot(
            [begin, end],
            [height, height],
            color=RED if clips.labels[row] else BLUE,
            linestyle=dashes,
            linewidth=1.8,
            solid_capstyle="butt",
        )
        axes.plot(end, height, "o", color="#333333", markersize=2.6)
    axes.set_ylim(-1, max(len(rows), 1))
    axes.grid(axis="y", visible=False)
