"""Windows: the parts of the frame that tubes show, around an annotated box or where most moves.

A window is (left, top, right, bottom) in pixels of a 320x240 frame, right and bottom outside.
"""

from collections.abc import Sequence
from math import ceil, floor

import cv2
import numpy as np

from vadkit.core.errors import DataError
from vadkit.corpora.vatic import Box
from vadkit.views.clips import flow_picture
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, most_motion, resized

Crop = tuple[int, int, int, int]

GRID = 4  # pixels between the places that a window of motion may take
SPEED_LIMIT = 6.0  # pixels a clip frame, about a walk in the foreground: a car counts by its size, not its speed
SMALLEST = 16  # side of a window, at least


def window_around(box: tuple[float, ...], scale: float) -> Crop:
    """The square around a box in 320x240, scale times its longer side, moved and cut to lie in the frame. Holds the
    whole box. Where the side passes the frame's height the window is that high, and not square (our reading)."""
    left, top, right, bottom = floor(box[0]), floor(box[1]), ceil(box[2]), ceil(box[3])
    side = max(ceil(scale * max(right - left, bottom - top)), SMALLEST)
    width, height = min(side, FLOW_WIDTH), min(side, FLOW_HEIGHT)
    x = min(max((left + right - width) // 2, 0), FLOW_WIDTH - width)
    y = min(max((top + bottom - height) // 2, 0), FLOW_HEIGHT - height)
    return x, y, x + width, y + height


def windows_of_motion(motion: np.ndarray, side: int, count: int = 1) -> list[Crop]:
    """The square windows in which most moves: the best, then the best of what it leaves, and so on.

    Shape: motion (60, 80), `speeds` summed over a clip's frames -> at most count windows, fewer where the first hold
    all motion. Where nothing moves the middle is taken.
    """
    motion = np.array(motion, np.float32)
    rows, columns = motion.shape
    width, height = min(side, FLOW_WIDTH), min(side, FLOW_HEIGHT)
    across, down = min(max(round(width / GRID), 1), columns), min(max(round(height / GRID), 1), rows)
    corners: list[tuple[int, int]] = []
    while len(corners) < count:
        x, y, found = most_motion(motion, across, down)
        if found <= 0:
            corners = corners or [((FLOW_WIDTH - width) // 2, (FLOW_HEIGHT - height) // 2)]
            break
        motion[y : y + down, x : x + across] = 0
        corners.append((min(x * GRID, FLOW_WIDTH - width), min(y * GRID, FLOW_HEIGHT - height)))
    return [(left, top, left + width, top + height) for left, top in corners]


def speeds(displacement: np.ndarray) -> np.ndarray:
    """Speeds of a flow at the grid of window places, cut at SPEED_LIMIT. Shape: (240, 320, 2) -> (60, 80) float32."""
    x, y = displacement[GRID // 2 :: GRID, GRID // 2 :: GRID].transpose(2, 0, 1)
    return np.minimum(np.hypot(x, y), SPEED_LIMIT)


def side_of(window: Sequence[int]) -> int:
    return int(max(window[2] - window[0], window[3] - window[1]))


def box_of(boxes: dict[int, list[Box]], first: int, last: int, size: tuple[int, int], where: str) -> tuple[float, ...]:
    """The union of the boxes seen in frames first to last, in pixels of 320x240. size: (width, height) of the annotated
    video. Raises DataError where no box is seen inside the picture."""
    seen = [box for number in range(first, last + 1) for box in boxes.get(number, ())]
    width, height = size
    if seen:
        left, top = max(min(b.xmin for b in seen), 0), max(min(b.ymin for b in seen), 0)
        right, bottom = min(max(b.xmax for b in seen), width), min(max(b.ymax for b in seen), height)
        if left < right and top < bottom:
            x, y = FLOW_WIDTH / width, FLOW_HEIGHT / height
            return left * x, top * y, right * x, bottom * y
    expected = f"a box inside the picture of {width}x{height} between frames {first} and {last}"
    remedy = "mend the file, or take the video off the lists"
    raise DataError(f"{where}: expected {expected}, which count as anomalous; {remedy}")


def crop_frame(frame: np.ndarray, window: Crop, size: int) -> np.ndarray:
    """A window of a frame of any size. Shape: (H, W, 3) uint8 BGR -> (size, size, 3) RGB."""
    height, width = frame.shape[:2]
    left, right = (round(x * width / FLOW_WIDTH) for x in window[0::2])
    top, bottom = (round(y * height / FLOW_HEIGHT) for y in window[1::2])
    part = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    return cv2.cvtColor(resized(part, size, size), cv2.COLOR_BGR2RGB)


def crop_flow(displacement: np.ndarray, window: Crop, size: int) -> np.ndarray:
    """A window of a flow (240, 320, 2), in pixels of the whole frame (our reading) -> (size, size, 3) uint8."""
    left, top, right, bottom = window
    return flow_picture(resized(displacement[top:bottom, left:right], size, size), size)
