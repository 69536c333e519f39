"""What a figure shows, for the tests of figures: its words, and whether they can be read."""

from __future__ import annotations

from matplotlib.text import Text


def words(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


def drawn_texts(figure):
    """All texts that are drawn: without those of hidden axes and of ticks past an axis's ends, which exist too."""
    ticks, shown = set(), []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                ticks |= {tick.label1, tick.label2}
                if low - 1e-9 <= tick.get_loc() <= high + 1e-9 and axes.axison:
                    shown += [tick.label1, tick.label2]
    shown += [t for t in figure.findobj(Text) if t not in ticks and (t.axes is None or t.axes.axison)]
    return [t for t in shown if t.get_visible() and t.get_text().strip()]


def assert_readable(figure):
    """Every text lies within the figure, and no two overlap."""
    figure.canvas.draw()
    boxes = []
    for text in dict.fromkeys(drawn_texts(figure)):
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, (
            f"'{text.get_text()}' leaves the figure"
        )
        boxes.append((text.get_text(), box))
    assert len(boxes) > 4
    for k, (one, box) in enumerate(boxes):
        for other, its in boxes[:k]:
            width, height = min(box.x1, its.x1) - max(box.x0, its.x0), min(box.y1, its.y1) - max(box.y0, its.y0)
            assert width <= 2 or height <= 2, f"'{one}' lies over '{other}'"
