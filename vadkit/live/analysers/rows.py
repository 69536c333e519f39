"""What a trained network sees of a video's rows, made as its frames come: looking back only, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from vadkit.core.config import Config
from vadkit.models.engine import frozen
from vadkit.models.network import Network
from vadkit.views.clips import clip_picture, filled, motion_since
from vadkit.views.flow import Streams, gray
from vadkit.views.sampling import FLOWS_OF_A_WINDOW, flows_of, gap_frames, stride_frames


class Grid:
    """The plan of a video's scoring rows in closed form, for streams without an end; as `sampling.plan` for "score".

    rate: take only the rows nearest to this many a second, as `segments.even_rows`; all of them by default.
    """

    def __init__(self, config: Config, fps: float, rate: float | None = None):
        self.stride = stride_frames(fps, config.analysis_fps)
        self.gap = {"adjacent": 1, "gap": gap_frames(fps, config)}.get(config.flow_pair, self.stride)
        self.flows = FLOWS_OF_A_WINDOW if config.frame_window or config.speed_stream else 1
        self._every = self.stride if rate is None else stride_frames(fps, rate)

    def is_row(self, number: int) -> bool:
        if number % self.stride:
            return False
        near = number // self._every * self._every
        return any(self._nearest(wanted) == number for wanted in (near, near + self._every))

    def start(self, row: int) -> int:
        """Where a row's flow starts."""
        return max(row - self.gap, 0)

    def last_use(self, number: int) -> int:
        """The last row that needs this frame, -1 for none."""
        last = -1
        for row in range(-(-number // self.stride) * self.stride, number + self.flows * self.gap + 1, self.stride):
            uses = {row}.union(*flows_of(self.start(row), row, self.flows))
            last = row if number in uses and self.is_row(row) else last
        return last

    def wants(self, number: int) -> bool:
        return self.last_use(number) >= 0

    def _nearest(self, wanted: int) -> int:
        """The row nearest to a frame, of two the earlier."""
        below = wanted // self.stride * self.stride
        return below if wanted - below <= below + self.stride - wanted else below + self.stride


class Rows:
    """The images of a video's rows as its frames come."""

    def __init__(self, config: Config, fps: float, rate: float | None = None):
        self.grid = Grid(config, fps, rate)
        self.wants, self.shows = self.grid.wants, self.grid.is_row
        self._streams = Streams(config, fps)
        self._windowed = [name for name, on in (("frame", config.frame_window), ("speed", config.speed_stream)) if on]
        self.seen: dict[str, tuple[float, ...]] = {}  # by stream, the part of the frame that the last row's image shows

    def images(self, number: int, frame: np.ndarray, again: bool = False) -> dict[str, np.ndarray] | None:
        """The images of the row at this tick, None at others, or again for the same frame. Shape: (H, W, 3) BGR ->
        (S, S, 3) RGB each, uint8."""
        self._streams.see(number, frame)
        is_row = self.grid.is_row(number) and not again
        images = self._streams.images(number, self.grid.start(number), frame) if is_row else None
        if is_row and self._windowed:
            part = self._streams.window(number, self.grid.start(number))
            self.seen = dict.fromkeys(self._windowed, (part.x, part.y, part.x + 0.5, part.y + 0.5))
        self._streams.forget(lambda seen: self.grid.last_use(seen) > number)
        return images


class ClipRows:
    """The clips of a video's analysed frames, as `clips.plan_clips` for "score". Holds one clip of each stream.

    sizes: side of the images of each stream, "rgb" and "flow", in pixels; every: analysed frames that share a clip.
    """

    def __init__(self, config: Config, fps: float, sizes: dict[str, int], every: int = 1):
        self.config, self.sizes = config, sizes
        self._stride, self._analysed = stride_frames(fps, config.clip_fps), stride_frames(fps, config.analysis_fps)
        self._every = every * self._analysed
        self._held: dict[str, deque[np.ndarray]] = {stream: deque(maxlen=config.clip_frames) for stream in sizes}
        self._clips: dict[str, np.ndarray] = {}
        self.seen: dict[str, tuple[float, ...]] = {}  # as of `Rows`: all of the frame
        self._before: np.ndarray | None = None  # the last kept frame, grey

    def wants(self, number: int) -> bool:
        return self.shows(number) or number % self._analysed == 0

    def shows(self, number: int) -> bool:
        """Whether a clip can hold this frame."""
        return number % self._stride == 0

    def images(self, number: int, frame: np.ndarray, again: bool = False) -> dict[str, np.ndarray] | None:
        """The clips of the row at this tick, None where it is none or again for the same frame. Shape: (H, W, 3) BGR ->
        (T, S, S, 3) each, uint8.

        The very same object as before where the row shares the clips of an earlier one.
        """
        if self.shows(number):
            moved = None
            if "flow" in self._held:
                now = gray(frame)
                self._before, moved = now, motion_since(self._before, now, self.config.clip_flow_method)
            for stream, held in self._held.items():
                held.append(clip_picture(stream, frame, moved, self.sizes[stream]))
        if number % self._analysed:
            return None
        if number % self._every == 0:
            length = self.config.clip_frames
            self._clips = {stream: np.stack(filled(held, length)) for stream, held in self._held.items()}
        return None if again else self._clips


def row_features(
    config: Config, networks: Mapping[str, Network], rows: Sequence[Mapping[str, np.ndarray]], export: bool = False
) -> torch.Tensor:
    """Features of rows as they are stored for training, in half precision, streams side by side. Shape: -> (n, D).

    rows: the images of each, by stream. export: as `engine.frozen` says.
    """
    batches = [(one, one.preprocess(np.stack([row[stream] for row in rows]))) for stream, one in networks.items()]
    return torch.cat([frozen(network, config, batch, export)(batch) for network, batch in batches], dim=1).half()
