"""Figures of the second paper's first experiment: the failure beside what is right, and classes taken for others."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vadkit.report import style
from vadkit.report.style import BLUE, GREEN, PAGE_WIDTH, RED, styled
from vadkit.studies.joint_failure import WAYS, Failure

LOOKS = dict(zip(WAYS, (RED, BLUE, GREEN), strict=True))
SIDES = {"train": ":", "held_out": "-"}


@styled
def failure_curves(failure: Failure) -> Figure:
    """Accuracy over epochs in the three ways of `joint_failure`: mean over seeds, in a band from lowest to highest.

    Solid: samples held out; dotted: those trained on; grey: calling every video the most frequent.
    """
    figure, panels = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.5), sharey=True)
    majority = {"color": "#999999", "linestyle": (0, (4, 3))}
    for axes, what, title in zip(panels, ("detection", "classification"), ("anomalous or not", "class"), strict=True):
        for way, side in product(WAYS, SIDES):
            curves = 100 * np.array([getattr(trial, side)[what] for trial in failure.of(way)])
            epochs = np.arange(1, curves.shape[1] + 1)
            look = {"color": LOOKS[way], "linestyle": SIDES[side], "marker": "." if len(epochs) == 1 else None}
            axes.plot(epochs, curves.mean(axis=0), **look)
            if side == "held_out" and len(curves) > 1:
                low, high = curves.min(axis=0), curves.max(axis=0)
                axes.fill_between(epochs, low, high, color=LOOKS[way], alpha=0.15, linewidth=0)
        axes.axhline(100 * failure.majority()[what], **majority, linewidth=0.9)
        axes.set(xlabel="epoch", title=title, ylim=(0, 102))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("accuracy (%)")
    handles = [Line2D([], [], color=colour, label=way) for way, colour in LOOKS.items()]
    looks = {"held out": {}, "trained on": {"linestyle": ":"}, "most frequent": majority}
    handles += [Line2D([], [], **{"color": "#555555"} | look, label=text) for text, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@styled
def confusion_matrix(classes: Sequence[str], counts: np.ndarray) -> Figure:
    """Videos of each class (rows) by the class given to them (columns): colour is the row's share, the text its number.

    counts: (classes, classes), as of `recognition.confusion`; means over seeds may be fractions. Rows without a video
    stay empty. Raises ValueError for another shape.
    """
    counts = np.asarray(counts, float)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"expected counts of shape {(len(classes), len(classes))}, got {counts.shape}")
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    side = min(PAGE_WIDTH, 2.4 + 0.5 * len(classes))
    figure, axes = plt.subplots(figsize=(side + 0.6, side))
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    texts = [[f"{n:.{0 if n.is_integer() else 1}f}" if n else "" for n in line] for line in counts]
    style.cell_numbers(axes, texts, shares > 55, ink="#222222")
    axes.set_xticks(range(len(classes)), classes, rotation=90 if len(classes) > 4 else 0)
    axes.set_yticks(range(len(classes)), [f"{name} ({n:.0f})" for name, n in zip(classes, total[:, 0], strict=True)])
    axes.set(xlabel="class given", ylabel="class (videos)")
    axes.grid(visible=False)
    figure.colorbar(picture, ax=axes, label="share of the class's videos (%)", shrink=0.8)
    return figure
