"""Sliders where a reader can move them, one figure everywhere else."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from matplotlib import pyplot as plt

from vadkit.workbook import widgets


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn, as it is drawn."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda figure: None)

    def draw(tau, v):
        found.append((tau, v))
        return plt.figure()

    return SimpleNamespace(values=found, draw=draw)


def test_without_a_reader_there_is_one_figure_and_none_stays_open(drawn):
    before = plt.get_fignums()
    widgets.sliders(drawn.draw, tau=(0.5, 0.1, 0.9, 0.1), v=(2.0, 1.0, 8.0, 1.0))
    assert drawn.values == [(0.5, 2.0)] and plt.get_fignums() == before


def test_without_ipywidgets_a_reader_is_told(drawn, monkeypatch, capsys):
    monkeypatch.setattr(widgets, "_watched", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    widgets.sliders(drawn.draw, tau=(0.5, 0.1, 0.9, 0.1), v=(2.0, 1.0, 8.0, 1.0))
    assert drawn.values == [(0.5, 2.0)] and "ipywidgets" in capsys.readouterr().out


def test_a_slider_draws_again(drawn, monkeypatch):
    made = {}

    def interact(function, **given):
        made.update(given)
        function(**{name: one["value"] for name, one in given.items()})
        function(**{name: one["max"] for name, one in given.items()})

    def slider(value, **options):
        return {"value": value} | options

    monkeypatch.setattr(widgets, "_watched", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", SimpleNamespace(interact=interact, FloatSlider=slider))
    widgets.sliders(drawn.draw, tau=(0.5, 0.1, 0.9, 0.1), v=(2.0, 1.0, 8.0, 1.0))
    assert drawn.values == [(0.5, 2.0), (0.9, 8.0)] and made["tau"]["step"] == 0.1
