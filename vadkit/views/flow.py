"""Optical flow between two frames, the images that stand for it, and all that two-stream systems see of a row.

Flow is computed at 320x240, as the released code decodes: its pixel is the unit of every displacement here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from vadkit.core.config import Config
from vadkit.views.sampling import FLOWS_OF_A_WINDOW, flows_of

STREAMS = ("frame", "flow", "speed")

FLOW_WIDTH, FLOW_HEIGHT = 320, 240
RELEASED_FARNEBACK = dict(pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.2, flags=0)
WINDOW_GRID = 4  # pixels between the places a motion window may take


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image at another size: by area where it shrinks (as released), linear where it grows; itself where it fits."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    shrinks = columns >= width and rows >= height
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def standard_size(frame: np.ndarray) -> np.ndarray:
    """A frame at 320x240, as released (UCF-Crime's own size). Shape: (H, W, ...) uint8 -> (240, 320, ...)."""
    return resized(frame, FLOW_WIDTH, FLOW_HEIGHT)


def gray(frame: np.ndarray) -> np.ndarray:
    """The grey frame that flow is computed on. Shape: (H, W, 3) uint8 BGR -> (240, 320) uint8."""
    return cv2.cvtColor(standard_size(frame), cv2.COLOR_BGR2GRAY)


def flow(previous_gray: np.ndarray, gray: np.ndarray, method: str = "farneback") -> np.ndarray:
    """Displacement of every pixel from the previous grey frame to this one.

    Shape: (H, W) uint8 twice -> (H, W, 2) float32, (x, y) in pixels. method: "farneback" as released, or "dis" (nine
    times as fast, another algorithm: close over a gap of frames, noisier on adjacent ones). Raises ValueError for
    another method, or frames that differ in size or are not grey.
    """
    if previous_gray.shape != gray.shape or gray.ndim != 2 or previous_gray.dtype != np.uint8 or gray.dtype != np.uint8:
        got = " and ".join(f"{one.shape} {one.dtype}" for one in (previous_gray, gray))
        raise ValueError(f"expected two grey uint8 frames of one size, got {got}")
    if method == "farneback":
        return cv2.calcOpticalFlowFarneback(previous_gray, gray, None, **RELEASED_FARNEBACK)
    if method == "dis":
        return _dis().calc(previous_gray, gray, None)
    raise ValueError(f"flow method must be 'farneback' or 'dis', got '{method}'")


def flow_image(flow: np.ndarray, scale="minmax", full_scale=0.05, size: int | None = None) -> np.ndarray:
    """A flow as a colour image: hue is direction, brightness is speed, saturation is full.

    Shape: (H, W, 2) float32 -> (H, W, 3) uint8 RGB, or (size, size, 3) resized. Hue is the angle in degrees / 2: motion
    to the right is red, downwards yellow-green (y points down). scale "minmax": the frame's magnitudes from smallest to
    largest over 0..255, as released, so that absolute speed is lost and noise fills the range in a still scene; a frame
    of one magnitude is black. "fixed": min(1, magnitude / (full_scale * H)) * 255, which keeps speed. Raises ValueError
    for another scale or shape, and for values that are not finite. The released code exchanges red and blue; here the
    hues are what they say (our reading: a network sees the same information).
    """
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"expected a flow of shape (H, W, 2), got {flow.shape}")
    if not np.isfinite(flow).all():
        raise ValueError("the flow holds values that are not finite; the two frames cannot be compared")
    if scale not in ("minmax", "fixed"):
        raise ValueError(f"flow scale must be 'minmax' or 'fixed', got '{scale}'")
    x, y = (np.ascontiguousarray(flow[..., axis], dtype=np.float32) for axis in (0, 1))
    magnitude, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    low, high = float(magnitude.min()), float(magnitude.max())
    hsv = np.full((*magnitude.shape, 3), 255, np.uint8)
    hsv[..., 0] = (angle / 2).astype(np.uint8) % 180  # 360 degrees wrap to 0
    if scale == "fixed":
        hsv[..., 2] = np.minimum(magnitude / (full_scale * flow.shape[0]), 1.0) * 255
    elif high - low > 1e-6 * max(high, 1.0):
        hsv[..., 2] = (magnitude - low) * (255.0 / (high - low))
    else:  # one magnitude up to float rounding: a pure translation, or no motion; stretched, it would draw the rounding
        hsv[..., 2] = 0
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return image if size is None else resized(image, size, size)


def speed_image(flows: list[np.ndarray], full_scale: float, size: int, window: Window | None = None) -> np.ndarray:
    """Three successive speeds as red, green and blue: a motion that goes on is grey, a sudden one blue.

    Shape: up to three flows (H, W, 2) in order -> (size, size, 3) uint8, the latest in blue, on the fixed scale of
    `flow_image`; the earliest stands for those before it. Our own addition, in neither paper.
    """
    if not flows:
        return no_flow(size)
    flows = [flows[0]] * (3 - len(flows)) + list(flows)[-3:]
    speeds = [np.minimum(np.hypot(f[..., 0], f[..., 1]) / (full_scale * f.shape[0]), 1.0) * 255 for f in flows]
    image = np.stack(speeds, axis=-1).astype(np.uint8)
    return resized(image if window is None else window.crop(image), size, size)


@dataclass(frozen=True)
class Window:
    """A part of a frame, half as wide and half as high; x and y of its corner are shares of width and height."""

    x: float
    y: float

    def crop(self, image: np.ndarray) -> np.ndarray:
        """That part of an image of any size. Shape: (H, W, ...) -> (H // 2, W // 2, ...)."""
        height, width = image.shape[:2]
        top, left = round(self.y * height), round(self.x * width)
        return image[top : top + height // 2, left : left + width // 2]


def motion_window(flows: list[np.ndarray], full_scale: float) -> Window:
    """The half-size window with the most motion in the given flows; the middle of the frame where there are none.

    Speeds count up to full_scale of the height, so that one fast speck does not outweigh two people. Our own addition.
    """
    if not flows:
        return Window(0.25, 0.25)
    height, width = (side // WINDOW_GRID for side in flows[0].shape[:2])
    limit = full_scale * flows[0].shape[0]
    speed = np.mean([np.minimum(np.hypot(f[..., 0], f[..., 1]), limit) for f in flows], axis=0, dtype=np.float32)
    coarse = cv2.resize(speed, (width, height), interpolation=cv2.INTER_AREA)
    x, y, _ = most_motion(coarse, width // 2, height // 2)
    return Window(x / width, y / height)


def most_motion(motion: np.ndarray, across: int, down: int) -> tuple[int, int, float]:
    """Where a part of that size holds most of the motion: its left, its top, and how much. Shape: motion (H, W)."""
    sums = cv2.boxFilter(motion, -1, (across, down), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
    sums = sums[: motion.shape[0] - down + 1, : motion.shape[1] - across + 1]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(x), int(y), float(sums[y, x])


def no_flow(size: int = FLOW_HEIGHT) -> np.ndarray:
    """The flow image of a video's first frame, which has no frame before it: black. Shape: (size, size, 3)."""
    return np.zeros((size, size, 3), np.uint8)


@cache
def _dis() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


# --- streams ---


def stream_names(config: Config) -> tuple[str, ...]:
    """The streams that these parameters make, in order."""
    return STREAMS if config.speed_stream else STREAMS[:2]


def frame_image(frame: np.ndarray, size: int, window: Window | None = None) -> np.ndarray:
    """The first stream's image of a decoded frame or its window. Shape: (H, W, 3) BGR -> (size, size, 3) RGB, uint8."""
    part = standard_size(frame) if window is None else window.crop(frame)
    return cv2.cvtColor(resized(part, size, size), cv2.COLOR_BGR2RGB)


class Streams:
    """Makes the images of a video's rows; `fps` is the video's."""

    def __init__(self, config: Config, fps: float):
        self.config, self.fps = config, fps
        self._windowed = config.frame_window or config.speed_stream
        self._grays: dict[int, np.ndarray] = {}
        self._flows: dict[tuple[int, int], np.ndarray] = {}

    def see(self, number: int, frame: np.ndarray) -> None:
        """Take in a decoded frame, (H, W, 3) uint8 BGR, that a row or one of its flows needs."""
        self._grays[number] = gray(frame)

    def images(self, number: int, start: int, frame: np.ndarray) -> dict[str, np.ndarray]:
        """The images of the row at `number` whose flow goes from `start`. Shape: (size, size, 3) uint8 RGB each. Raises
        KeyError where a frame that a flow needs was not seen or is forgotten."""
        config, size = self.config, self.config.image_size
        flows, scale = self._motion(number, start)
        window = motion_window(flows, scale) if self._windowed else None
        made = {"frame": frame_image(frame, size, window if config.frame_window else None)}
        made["flow"] = flow_image(flows[-1], config.flow_scale, scale, size) if flows else no_flow(size)
        return made | ({"speed": speed_image(flows, scale, size, window)} if config.speed_stream else {})

    def window(self, number: int, start: int) -> Window:
        """The motion window of that row, where there is one (frame_window or speed_stream)."""
        return motion_window(*self._motion(number, start))

    def forget(self, is_needed: Callable[[int], bool]) -> None:
        """Drop the frames that no later row needs, and the flows between them."""
        self._grays = {number: image for number, image in self._grays.items() if is_needed(number)}
        self._flows = {pair: found for pair, found in self._flows.items() if is_needed(pair[1])}

    def _motion(self, number: int, start: int) -> tuple[list[np.ndarray], float]:
        """The row's flows, of which the last is its own, and their full scale."""
        pairs = flows_of(start, number, FLOWS_OF_A_WINDOW if self._windowed else 1)
        for first, second in pairs:
            if (first, second) not in self._flows:
                self._flows[first, second] = flow(self._grays[first], self._grays[second], self.config.flow_method)
        return [self._flows[pair] for pair in pairs], self._full_scale(number - start)

    def _full_scale(self, gap: int) -> float:
        """flow_full_scale over `gap` frames; with a fixed time, which whole frames only approach, for that time."""
        if self.config.flow_pair != "gap" or gap == 0:
            return self.config.flow_full_scale
        return self.config.flow_full_scale * gap / (self.config.flow_gap_seconds * self.fps)
