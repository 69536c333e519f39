"""Optical flow between two frames, and the image that stands for it in the second stream.

Flow is computed at 320x240, the size at which the released code decodes: its pixel is the unit of every
displacement here, and a displacement is that between the two frames given, however far apart they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

FLOW_WIDTH, FLOW_HEIGHT = 320, 240
WINDOW_GRID = 4  # pixels between the places a motion window may take


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image at another size: by area where it shrinks (as released), linear where it grows; itself where it fits."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    shrinks = columns >= width and rows >= height
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def standard_size(frame: np.ndarray) -> np.ndarray:
    """A frame at 320x240, as it stands where it has that size already.

    Shape: (H, W) or (H, W, 3) uint8 -> (240, 320) or (240, 320, 3). The aspect ratio is not kept. Source: the
    released code, which decodes every video at 320x240 (UCF-Crime's own size); for other sizes, our reading.
    """
    return resized(frame, FLOW_WIDTH, FLOW_HEIGHT)


def gray(frame: np.ndarray) -> np.ndarray:
    """The grey frame that flow is computed on. Shape: (H, W, 3) uint8 BGR -> (240, 320) uint8."""
    return cv2.cvtColor(standard_size(frame), cv2.COLOR_BGR2GRAY)


def flow(previous_gray: np.ndarray, gray: np.ndarray, method: str = "farneback") -> np.ndarray:
    """Displacement of every pixel from the previous grey frame to this one.

    Shape: (H, W) uint8 twice -> (H, W, 2) float32, (x, y) in pixels. method: "farneback" with the released
    code's parameters, or "dis" (fast preset: nine times as fast, another algorithm: close over a gap of frames, noisier
    on adjacent ones). Raises ValueError for another method, or frames that differ in size or are not grey.
    """
    if previous_gray.shape != gray.shape or gray.ndim != 2 or previous_gray.dtype != np.uint8 or gray.dtype != np.uint8:
        raise ValueError(
            f"expected two grey uint8 frames of one size, got {previous_gray.shape} {previous_gray.dtype} and {gray.shape} {gray.dtype}"
        )
    if method == "farneback":
        return cv2.calcOpticalFlowFarneback(
            previous_gray,
            gray,
            None,
            pyr_scale=0.5,
            levels=3,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )
    if method == "dis":
        return _dis().calc(previous_gray, gray, None)
    raise ValueError(f"flow method must be 'farneback' or 'dis', got '{method}'")


def flow_image(
    flow: np.ndarray, scale: str = "minmax", full_scale: float = 0.05, size: int | None = None
) -> np.ndarray:
    """A flow as a colour image: hue is direction, brightness is speed, saturation is full.

    Shape: (H, W, 2) float32 -> (H, W, 3) uint8 RGB, or (size, size, 3) resized. Hue is the angle in
    degrees / 2 (OpenCV's range): motion to the right is red, downwards yellow-green (y points down). scale
    "minmax": the frame's magnitudes from smallest to largest over 0..255, as released, so that absolute speed is
    lost and noise fills the range in a still scene (two equal frames: a fifth of a pixel, Farneback's, at the borders); a
    frame of one magnitude is black. "fixed": min(1,
    magnitude / (full_scale * H)) * 255, which keeps speed. Raises ValueError for another scale or shape, and for
    values that are not finite.

    The released code turns HSV into BGR and hands it on as if it were RGB, red and blue exchanged; here the
    image is RGB throughout, and the hues are what they say (our reading: a network sees the same information).
    """
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"expected a flow of shape (H, W, 2), got {flow.shape}")
    if not np.isfinite(flow).all():
        raise ValueError("the flow holds values that are not finite; the two frames cannot be compared")
    if scale not in ("minmax", "fixed"):
        raise ValueError(f"flow scale must be 'minmax' or 'fixed', got '{scale}'")
    x, y = (np.ascontiguousarray(flow[..., axis], dtype=np.float32) for axis in (0, 1))
    magnitude, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    hsv = np.empty((*magnitude.shape, 3), np.uint8)
    hsv[..., 0] = (angle / 2).astype(np.uint8) % 180  # 360 degrees wrap to 0
    hsv[..., 1] = 255
    hsv[..., 2] = (
        _minmax(magnitude) if scale == "minmax" else np.minimum(magnitude / (full_scale * flow.shape[0]), 1.0) * 255
    )
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return image if size is None else resized(image, size, size)


def speed_image(flows: list[np.ndarray], full_scale: float, size: int, window: Window | None = None) -> np.ndarray:
    """Three successive speeds as red, green and blue, the latest blue: a motion that goes on is grey, a sudden one coloured.

    Shape: one to three flows (H, W, 2) in order -> (size, size, 3) uint8. Each channel is the fixed scale of
    `flow_image`, without direction; where there are fewer than three, the earliest stands for those before it. Our own
    addition, in neither paper.
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

    Speeds count up to full_scale of the height, so that one fast speck does not outweigh two people. It looks
    back only. Our own addition, in neither paper.
    """
    if not flows:
        return Window(0.25, 0.25)
    height, width = (side // WINDOW_GRID for side in flows[0].shape[:2])
    limit = full_scale * flows[0].shape[0]
    speed = np.mean([np.minimum(np.hypot(f[..., 0], f[..., 1]), limit) for f in flows], axis=0, dtype=np.float32)
    coarse = cv2.resize(speed, (width, height), interpolation=cv2.INTER_AREA)
    sums = cv2.boxFilter(
        coarse, -1, (width // 2, height // 2), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    sums = sums[: height - height // 2 + 1, : width - width // 2 + 1]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return Window(x / width, y / height)


def no_flow(size: int = FLOW_HEIGHT) -> np.ndarray:
    """The flow image of a video's first frame, which has no frame before it: black. Shape: (size, size, 3)."""
    return np.zeros((size, size, 3), np.uint8)


def _minmax(magnitude: np.ndarray) -> np.ndarray:
    low, high = float(magnitude.min()), float(magnitude.max())
    # One magnitude up to float rounding: a pure translation, or no motion. Stretching it would draw the rounding.
    if high - low <= 1e-6 * max(high, 1.0):
        return np.zeros_like(magnitude)
    return (magnitude - low) * (255.0 / (high - low))


@cache
def _dis() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
