"""One house style for all figures: readable at page width, colours that a colour-blind reader can tell apart."""

from __future__ import annotations

import functools

import matplotlib as mpl

# Okabe and Ito 2008: told apart with any common colour vision; lines differ in dash as well
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#333333",
)
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


def styled(function):
    """Draw under STYLE and put back what was set before."""

    @functools.wraps(function)
    def wrapped(*args, **options):
        with mpl.rc_context(STYLE):
            figure = function(*args, **options)
            figure.draw_without_rendering()  # ticks are made when first drawn, with the settings of that moment
            return figure

    return wrapped
