"""A video as a bag of equal segments (32 in Sultani et al. 2018)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadkit.core.errors import TooShortError, reading
from vadkit.views.sampling import segment_starts


@dataclass(frozen=True, eq=False)
class Bag:
    """A video's instances: starts (n,) int64, the first frame of each, rising; features (n, D) float32."""

    starts: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def segment_bag(index: np.ndarray, features: np.ndarray, frames: int, segments: int, name: str = "the video") -> Bag:
    """Mean features of equal segments, the last with the remainder.

    Shape: index (n,) rising frame numbers, features (n, D) -> `segments` instances, or with segments 0 every row. A
    segment in which no row stands takes the latest row before it (our reading; published features repeat likewise).
    Raises TooShortError where frames < segments.
    """
    features = np.asarray(features, np.float32)
    if segments == 0:
        return Bag(np.asarray(index, np.int64), features)
    if frames < segments:
        remedy = f"set mil_segments to {frames} or fewer, or to 0"
        raise TooShortError(f"{name} has {frames} frames, too few for {segments} segments; {remedy}")
    starts = segment_starts(frames, segments)
    first, last = np.searchsorted(index, starts), np.searchsorted(index, np.append(starts[1:], frames))
    means = [features[a:b].mean(axis=0) if b > a else features[max(a - 1, 0)] for a, b in zip(first, last, strict=True)]
    return Bag(starts, np.stack(means))


def even_rows(index: np.ndarray, stride: int) -> np.ndarray:
    """Of rows at these frames, those nearest to every stride-th. (n,) -> (k,) rising. Raises ValueError for no row."""
    if len(index) == 0:
        raise ValueError("expected at least one row, got none")
    wanted = np.arange(0, index[-1] + 1, stride)
    after = np.searchsorted(index, wanted)  # never past the last: no wanted frame is
    before = np.maximum(after - 1, 0)
    return np.unique(np.where(np.abs(wanted - index[before]) <= np.abs(index[after] - wanted), before, after))


def read_npy(path: Path) -> np.ndarray:
    """The array in a `.npy` file. Raises DataError for any other file, also an `.npz` of that name, and for objects."""
    with reading(path, "a .npy file of numbers"), open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)
