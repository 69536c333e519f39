"""The overlay: what a person sees of a reading, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from vadkit.live.analysers import STAGES, Reading
from vadkit.live.overlay import MIN_WIDTH, RED, TRACE_SECONDS, Painter, _clock
from vadkit.live.score import Shot, Verdict

BOXES = np.array([[4, 20, 30, 60, 0.9, 0], [-3, -2, 50, 30, 0.6, 2], [60, 1, 64, 40, 0.5, 77]], np.float32)


def shot(
    number: int = 30,
    confidence: float = 0.4,
    sas: float = 0.2,
    boxes=BOXES[:0],
    width: int = 64,
    height: int = 48,
    share: float = 0.25,
) -> Shot:
    image = np.full((height, width, 3), 90, np.uint8)
    return Shot(
        number, number / 30, image, Reading(number, number / 30, confidence, sas, sas > 0.5, boxes), share, 123.0
    )


def paint(one: Shot) -> np.ndarray:
    return Painter(one.image.shape[1], one.image.shape[0], "2S-bag-ha seed 0").paint(one)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (320, 240), (241, 427), (640, 360), (1280, 719)])
def test_it_is_at_least_640_wide_with_even_sides_and_the_pictures_shape(width, height):
    image = paint(shot(width=width, height=height, boxes=BOXES))
    assert (
        image.dtype == np.uint8 and image.shape[1] in (max(width, MIN_WIDTH), width - 1) and image.shape[1] >= MIN_WIDTH
    )
    assert image.shape[0] % 2 == image.shape[1] % 2 == 0
    panel = image.shape[0] - height * image.shape[1] / width
    assert panel == pytest.approx(108 * image.shape[1] / MIN_WIDTH, abs=3)


def test_the_border_is_red_in_alarm_and_only_then():
    quiet, alarm = paint(shot(sas=0.2)), paint(shot(sas=0.9))
    for place in ((2, 300), (200, 2), (200, -3), (477, 300)):
        assert tuple(alarm[place]) == RED and tuple(quiet[place]) != RED
    assert tuple(alarm[240, 320]) != RED


def test_bars_grow_with_their_values():
    def filled(confidence: float, sas: float) -> tuple[int, int]:
        panel = paint(shot(confidence=confidence, sas=sas))[480:]
        ground = paint(shot(confidence=0.0, sas=0.0))[480:]
        changed = np.any(panel != ground, axis=2)[:, 92:262]
        return int(changed[46].sum()), int(changed[72].sum())

    assert filled(0.5, 0.0) == (85, 0) and filled(1.0, 0.0) == (170, 0)
    assert filled(0.0, 0.25)[1] == pytest.approx(42, abs=1)


def test_boxes_are_drawn_where_they_are_and_outside_the_picture_nowhere():
    without, with_boxes = paint(shot()), paint(shot(boxes=BOXES))
    differs = np.any(without != with_boxes, axis=2)
    assert differs[480:].sum() == 0  # the panel is the same
    assert (
        differs[400, 40] and differs[400, 300] and not differs[400, 170]
    )  # the sides of the first box, ten times as large
    assert not differs[450, 500]


@pytest.mark.parametrize("changes", [{"number": 31}, {"confidence": 0.41}, {"share": 0.26}, {"sas": 0.9}])
def test_each_number_is_on_the_panel(changes):
    assert np.any(paint(shot())[480:] != paint(shot(**changes))[480:])


def test_its_memory_is_constant():
    painter = Painter(64, 48, "x")
    for number in range(0, 30 * 200, 10):
        painter.paint(shot(number))
    assert len(painter._trace) <= 3 * TRACE_SECONDS + 1


def test_the_closing_picture_carries_the_verdict():
    painter = Painter(64, 48, "x")
    last = painter.paint(shot())
    verdicts = [
        Verdict(31, 4, 30.0, share, dict.fromkeys(STAGES, 0.1), broken=broken)
        for share, broken in ((0.0, ""), (0.5, ""), (0.5, "cut"))
    ]
    normal, abnormal, cut = (painter.closing(last, v) for v in verdicts)
    assert normal.shape == last.shape and np.array_equal(normal[480:], last[480:])
    assert tuple(abnormal[2, 300]) == RED and tuple(normal[2, 300]) != RED
    assert np.any(cut != abnormal)


def test_times_are_written_as_clocks_do():
    assert [_clock(s) for s in (0, 59.94, 62.3, 3602)] == ["0.0 s", "59.9 s", "1:02.3", "1:00:02"]
