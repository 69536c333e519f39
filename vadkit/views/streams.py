"""What each stream sees of a row: the frame, its flow image, and where asked for the speeds in the motion window.

One object serves one video, stored or live: it is shown frames in order and keeps the grey ones that later
flows start from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vadkit.views.flow import flow, flow_image, gray, motion_window, no_flow, resized, speed_image, standard_size
from vadkit.views.sampling import FLOWS_OF_A_WINDOW, flows_of

if TYPE_CHECKING:
    from vadkit.core.config import Config

STREAMS = ("frame", "flow", "speed")


def stream_names(config: Config) -> tuple[str, ...]:
    """The streams that these parameters make, in order."""
    return STREAMS if config.speed_stream else STREAMS[:2]


def frame_image(frame: np.ndarray, size: int) -> np.ndarray:
    """The first stream's image of a decoded frame. Shape: (H, W, 3) BGR -> (size, size, 3) RGB, uint8."""
    return cv2.cvtColor(resized(standard_size(frame), size, size), cv2.COLOR_BGR2RGB)


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
        """The images of the row at `number` whose flow goes from `start`. Shape: (size, size, 3) uint8 RGB each.

        Raises KeyError where a frame that a flow needs was not seen or is forgotten.
        """
        config, size = self.config, self.config.image_size
        scale = self._full_scale(number - start)
        flows = [self._flow(*pair) for pair in flows_of(start, number, FLOWS_OF_A_WINDOW if self._windowed else 1)]
        made = {
            "frame": frame_image(frame, size),
            "flow": flow_image(flows[-1], config.flow_scale, scale, size) if flows else no_flow(size),
        }
        if self._windowed:
            window = motion_window(flows, scale)
            if config.frame_window:
                made["frame"] = cv2.cvtColor(resized(window.crop(frame), size, size), cv2.COLOR_BGR2RGB)
            if config.speed_stream:
                made["speed"] = speed_image(flows, scale, size, window)
        return made

    def forget(self, is_needed: Callable[[int], bool]) -> None:
        """Drop the frames that no later row needs, and the flows between them."""
        self._grays = {number: image for number, image in self._grays.items() if is_needed(number)}
        self._flows = {pair: found for pair, found in self._flows.items() if is_needed(pair[1])}

    def _flow(self, start: int, number: int) -> np.ndarray:
        if (start, number) not in self._flows:
            self._flows[start, number] = flow(self._grays[start], self._grays[number], self.config.flow_method)
        return self._flows[start, number]

    def _full_scale(self, gap: int) -> float:
        """flow_full_scale for a flow over `gap` frames; with a fixed time between frames, for that very time.

        A gap of whole frames is not exactly that time, and a video's first rows have a shorter one.
        """
        if self.config.flow_pair != "gap" or gap == 0:
            return self.config.flow_full_scale
        return self.config.flow_full_scale * gap / (self.config.flow_gap_seconds * self.fps)
