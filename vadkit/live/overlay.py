"""What a camera's screen shows: the picture with boxes and a red border in alarm, and below it a panel with the scores.

Source: Raqeeb, section V.E asks for FPS, prediction details and the share of abnormal frames; the look is ours.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vadkit.evaluation.sas import ALARM
from vadkit.views.objects import COCO_CLASSES

if TYPE_CHECKING:
    from vadkit.live.score import Shot, Verdict

MIN_WIDTH = 640  # pixels; sizes below are for this width and grow with it
PANEL = 108
TRACE_SECONDS = 30.0  # of the score's curve
CLOSING_SECONDS = 2.0  # the verdict stands at the end

# BGR
GROUND, LINE, DIM, TEXT = (28, 24, 22), (78, 72, 68), (160, 154, 150), (240, 238, 236)
CONFIDENCE, SCORE, RED = (120, 190, 110), (235, 165, 70), (60, 60, 235)
PERSON, OBJECT = (90, 215, 250), (225, 200, 120)


class Painter:
    """Draws one video's overlay, frame after frame; keeps the last half minute of scores and nothing else."""

    def __init__(self, width: int, height: int, title: str):
        wide = max(width, MIN_WIDTH)
        self.size = self.width, self.height = _even(wide), _even(height * wide / width)
        self.unit = self.width / MIN_WIDTH
        self.title = title
        self._trace: deque[tuple[float, float, float]] = deque()
        self._font = cv2.FontFace("sans")

    def paint(self, shot: Shot) -> np.ndarray:
        """The overlay of a frame. Shape: (H, W, 3) BGR -> (height + panel, width >= 640, 3) uint8, even sides."""
        reading = shot.reading
        if not self._trace or self._trace[-1][0] != reading.time_s:
            self._trace.append((reading.time_s, reading.confidence, reading.sas))
        while self._trace[0][0] < shot.time_s - TRACE_SECONDS and len(self._trace) > 1:
            self._trace.popleft()
        height, width = shot.image.shape[:2]
        method = cv2.INTER_CUBIC if self.width > width else cv2.INTER_AREA
        picture = cv2.resize(shot.image, self.size, interpolation=method)
        zoom = (self.width / width, self.height / height)
        for draw in (self._box, self._label):  # labels last, over every box
            for box in reading.boxes:
                draw(picture, box, zoom)
        if reading.alarm:
            self._border(picture)
        return np.vstack([picture, self._panel(shot)])

    def closing(self, last: np.ndarray, verdict: Verdict) -> np.ndarray:
        """The last frame's overlay, its picture dimmed, with the verdict across it."""
        image = last.copy()
        picture = image[: self.height]
        picture[:] = picture // 4
        middle, share = self.height // 2 / self.unit, f"{100 * verdict.share:.1f} % of {verdict.frames} frames"
        lines = [(verdict.word, 0, 44, 700, RED if verdict.abnormal else CONFIDENCE)]
        lines.append((f"in alarm for {share}", 30, 18, 400, TEXT))
        if verdict.broken or verdict.stopped:
            lines.append(("it ended early: judged by what came", 54, 14, 400, DIM))
        for text, below, *look in lines:
            self._text(picture, text, MIN_WIDTH / 2, middle + below, *look, align=0.5)
        if verdict.abnormal:
            self._border(picture)
        return image

    def _panel(self, shot: Shot) -> np.ndarray:
        reading, height = shot.reading, _even(PANEL * self.unit)
        panel = np.full((height, self.width, 3), GROUND, np.uint8)
        self._text(panel, f"frame {shot.number}", 12, 21, 15, 600, TEXT)
        self._text(panel, _clock(shot.time_s), 130, 21, 15, 400, TEXT)
        self._bar(panel, "confidence", 46, reading.confidence, CONFIDENCE)
        self._bar(panel, "SAS", 72, reading.sas, RED if reading.alarm else SCORE, mark=ALARM)
        state, colour = ("ALARM", RED) if reading.alarm else ("quiet", DIM)
        self._text(panel, state, 330, 21, 16, 700, colour)
        self._text(panel, f"abnormal so far: {100 * shot.share:.1f} %", MIN_WIDTH - 12, 21, 13, 400, TEXT, align=1)
        self._curve(panel, shot.time_s)
        self._text(panel, self.title, 12, 100, 11, 400, DIM)
        self._text(panel, f"{shot.processing_fps:.0f} FPS processed", 300, 100, 11, 400, DIM, align=1)
        self._text(panel, f"the last {TRACE_SECONDS:.0f} s", MIN_WIDTH - 12, 100, 11, 400, DIM, align=1)
        return panel

    def _bar(self, panel: np.ndarray, name: str, y: int, value: float, colour, mark: float | None = None) -> None:
        left, width, half = 92, 170, 6
        self._text(panel, name, 12, y + 5, 13, 400, TEXT)
        self._fill(panel, left, y - half, left + width, y + half, LINE)
        self._fill(panel, left, y - half, left + width * value, y + half, colour)
        if mark is not None:
            at = left + width * mark
            self._fill(panel, at - 1, y - half - 3, at + 1, y + half + 3, TEXT)
        self._text(panel, f"{value:.2f}", left + width + 8, y + 5, 13, 600, TEXT)

    def _curve(self, panel: np.ndarray, now: float) -> None:
        """Confidence and score of the last half minute; the video's start is at the left until it is full."""
        left, right, top, bottom = 330, MIN_WIDTH - 12, 36, 82
        self._fill(panel, left, top, right, bottom, tuple(c + 12 for c in GROUND))
        half = top + (bottom - top) * (1 - ALARM)
        self._fill(panel, left, half, right, half + 1, LINE)
        start, thickness = max(0.0, now - TRACE_SECONDS), max(1, round(self.unit))
        times, *curves = np.array([*self._trace, (now, *self._trace[-1][1:])]).T  # the last one stands until now
        x = left + (right - left) * np.maximum(times - start, 0.0) / TRACE_SECONDS
        for values, colour in zip(curves, (CONFIDENCE, SCORE), strict=True):
            points = np.stack([x, bottom - (bottom - top) * values], axis=1) * self.unit
            cv2.polylines(panel, [np.int32(np.round(points))], False, colour, thickness, cv2.LINE_AA)

    def _box(self, picture: np.ndarray, box: np.ndarray, zoom: tuple[float, float]) -> None:
        x1, y1, x2, y2 = (int(round(v * zoom[n % 2])) for n, v in enumerate(box[:4]))
        cv2.rectangle(picture, (x1, y1), (x2, y2), _colour(box), max(1, round(1.5 * self.unit)))

    def _label(self, picture: np.ndarray, box: np.ndarray, zoom: tuple[float, float]) -> None:
        label, tall = f"{COCO_CLASSES[int(box[5])]} {box[4]:.2f}", self._px(14)
        width = self._width(label, 11, 500) + 4
        y = int(round(box[1] * zoom[1]))
        left = min(max(int(round(box[0] * zoom[0])), 0), max(0, self.width - width))
        top = max(0, y - tall if y >= tall else y)  # inside the box where there is no room above
        picture[top : top + tall, left : left + width] = _colour(box)
        cv2.putText(picture, label, (left + 2, top + self._px(11)), GROUND, self._font, self._px(11), 500)

    def _border(self, picture: np.ndarray) -> None:
        edge = self._px(5)
        for part in (picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:]):
            part[:] = RED

    def _text(self, image, text: str, x: float, y: float, size: int, weight: int, colour, align=0.0) -> None:
        """align: 0 where the text starts at x, 0.5 where x is its middle, 1 where it ends there."""
        place = math.floor(self._px(x) - align * self._width(text, size, weight))
        cv2.putText(image, text, (place, self._px(y)), colour, self._font, self._px(size), weight)

    def _width(self, text: str, size: int, weight: int) -> int:
        return cv2.getTextSize((0, 0), text, (0, 0), self._font, self._px(size), weight)[2]

    def _fill(self, image: np.ndarray, x1: float, y1: float, x2: float, y2: float, colour) -> None:
        image[self._px(y1) : max(self._px(y2), self._px(y1) + 1), self._px(x1) : self._px(x2)] = colour

    def _px(self, value: float) -> int:
        return int(round(value * self.unit))


def _colour(box: np.ndarray) -> tuple[int, int, int]:
    return PERSON if COCO_CLASSES[int(box[5])] == "person" else OBJECT


def _even(value: float) -> int:
    return 2 * max(1, round(value / 2))


def _clock(seconds: float) -> str:
    """12.3 s; from a minute on 1:02.3, from an hour on 1:00:02."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{int(rest):02d}" if hours else f"{minutes}:{rest:04.1f}"
