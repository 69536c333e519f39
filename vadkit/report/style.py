"""One house style for all figures: readable at page width, colours that a colour-blind reader can tell apart."""

import functools
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart with any common colour vision; lines differ in dash as well
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#333333", "#777777"
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MARKERS = "os^D"
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


def alternative_text(figure: Figure) -> str:
    """What a figure shows, in words, for those who do not see it: its titles; of each panel the title, the axes, the
    names along them and the lines, each name once; of a drawing without axes, the words in it; the legend."""
    parts, told, pictures = [text.get_text() for text in figure.texts], set(), 0
    for panel in figure.axes:
        title = panel.get_title() or panel.get_title(loc="left")
        beside = (one.get_ylabel() for one in panel.get_shared_y_axes().get_siblings(panel))
        sides = " over ".join(filter(None, (panel.get_ylabel() or max(beside, key=len), panel.get_xlabel())))
        ticks = (text.get_text() for text in (*panel.get_yticklabels(), *panel.get_xticklabels()))
        names = [text for text in ticks if any(map(str.isalpha, text)) and "$" not in text and text not in told]
        lines = [text for text in panel.get_legend_handles_labels()[1] if text not in told]
        words = [] if sides or names else [text.get_text() for text in panel.texts]
        said = [sides, names and f"of {', '.join(names)}", lines and f"({', '.join(dict.fromkeys(lines))})", *words]
        parts.append(": ".join(filter(None, (title, (" " if sides else ", ").join(filter(None, said))))))
        told, pictures = {*told, *names, *lines}, pictures + bool(panel.images and not sides)
    legend = [text.get_text() for one in figure.legends for text in one.get_texts() if text.get_text() not in told]
    parts.append(f"legend: {', '.join(legend)}" if legend else "")
    parts = [" ".join(part.split()) for part in dict.fromkeys(parts) if part]
    return f"Figure{f' with {pictures} pictures' if pictures > 1 else ''}{': ' if parts else ''}{'; '.join(parts)}"


def interval(axes: Axes, low: float, high: float, row: float, colour: str, **look) -> None:
    """A thick, pale line from `low` to `high`, under the point that it belongs to."""
    axes.plot([low, high], [row, row], color=colour, linewidth=2.6, alpha=0.45, solid_capstyle="butt", **look)


def cell_numbers(axes: Axes, texts, dark, ink: str = "black") -> None:
    """Write into the cells of a map, in white where they are dark. texts, dark: (rows, columns)."""
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            colour = "white" if dark[row][column] else ink
            axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour)


def legend_below(figure: Figure, columns: int | None = None, order: Sequence[str] = ()) -> None:
    """One legend for all panels, each label once. order: of labels, where it is not that of drawing."""
    named = {}
    for axes in figure.axes:
        named |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    named = {label: named[label] for label in order or named if label in named}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns or len(named))
