"""Sliders under a figure, for a reader who sits before the notebook; every other run sees the figure alone."""

from collections.abc import Callable

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

Range = tuple[float, float, float, float]  # start, lowest, highest, step


def sliders(draw: Callable[..., Figure], **ranges: Range) -> Figure:
    """Show `draw` at the ranges' starts, with a slider for each argument where a reader can move one; the first figure.

    Sliders need `ipywidgets` (optional) and somebody who looks on: papermill and a book get the figure.
    """
    first: list[Figure] = []

    def show(**values: float) -> None:
        from IPython.display import display

        figure = draw(**values)
        display(figure)
        plt.close(figure)
        if not first:
            first.append(figure)

    if _watched():
        try:
            import ipywidgets
        except ImportError:
            print("Sliders appear here once ipywidgets is installed (pip install ipywidgets).")
        else:
            made = {}
            for name, (value, low, high, step) in ranges.items():
                made[name] = ipywidgets.FloatSlider(value, min=low, max=high, step=step, continuous_update=False)
            ipywidgets.interact(show, **made)
    if not first:
        show(**{name: one[0] for name, one in ranges.items()})
    return first[0]


def _watched() -> bool:
    """Whether this cell was run by hand: a front end that a reader sits before lets cells ask questions."""
    from IPython import get_ipython

    parent = getattr(get_ipython(), "get_parent", dict)()  # only a kernel's shell has one
    return bool(parent.get("content", {}).get("allow_stdin"))
