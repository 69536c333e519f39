"""Many small images in one file: written one after the other, read back by number.

PNG, fast level: exact, two fifths of the raw bytes, half a millisecond to read. JPEG of quality 95 with full colour would
take a third of that, but moves features: by 0.2 (frames) and 0.4 (flow images) of their spread between videos, more than a
shift by one pixel does for flow; and what is scored live would not be what was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.errors import DataError

PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


class PictureWriter:
    """Appends images to a file; `offsets` says where each starts, and at its end where the last one ends."""

    def __init__(self, path: Path):
        self._file = open(path, "wb")  # noqa: SIM115 - closed by the context manager below
        self.offsets = [0]

    def append(self, image: np.ndarray) -> None:
        """Add one image, (H, W, 3) uint8 RGB."""
        done, blob = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), PNG)
        if not done:
            raise RuntimeError(f"OpenCV could not write an image of {image.shape} as PNG")
        self._file.write(blob.tobytes())
        self.offsets.append(self.offsets[-1] + len(blob))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def read_pictures(path: Path, offsets: np.ndarray, rows: Iterable[int]) -> np.ndarray:
    """Images of the given numbers, in their order. Shape: -> (k, H, W, 3) uint8 RGB.

    Raises IndexError for a number out of range, ValueError for no number, DataError where the file is damaged.
    """
    images = []
    with open(path, "rb") as file:
        for row in rows:
            if not 0 <= row < len(offsets) - 1:
                raise IndexError(f"image {row} of {path}, which has {len(offsets) - 1}")
            file.seek(offsets[row])
            blob = np.frombuffer(file.read(offsets[row + 1] - offsets[row]), np.uint8)
            whole = (
                blob.size == offsets[row + 1] - offsets[row]
            )  # OpenCV would fill the rest of a broken one with black
            image = cv2.imdecode(blob, cv2.IMREAD_COLOR) if whole else None
            if image is None:
                raise DataError(
                    f"{path}: image {row} cannot be read; delete the folder {path.parent}, it will be made again"
                )
            images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if not images:
        raise ValueError("no rows were asked for; an image array needs at least one")
    return np.stack(images)
