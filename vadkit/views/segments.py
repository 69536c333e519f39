"""A video as a bag of equal segments (32 in Sultani et al. 2018), from our cached features or published ones."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError, TooShortError, reading
from vadkit.corpora.video import Problem, Video
from vadkit.views.sampling import segment_starts

TEXT_SEGMENTS = 32  # lines of a file of Sultani et al.
# what publishers add to a video's name
SUFFIXES = re.compile(r"(\.mp4|_x264|_c3d|_i3d|_rgb|_flow|_c)+$", re.IGNORECASE)


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


# --- features that others publish --------------------------------------------------------------------------------


def read_published(folder: str | Path, videos: Sequence[Video]) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """Clip features from a folder of `.npy` files or of the 32-line text files of Sultani et al., by video name.

    A file is a video's by its name, with or without what publishers add (`_x264`, `_i3d` and the like). `.npy`: (clips,
    D), or (clips, crops, D), of which the mean over crops is taken; text: 32 lines of D numbers. -> ({name: (clips, D)
    float32}, problems): files of no video and videos without a file are named there. Raises DataError for a missing or
    empty folder, two files of one video, a shape that does not fit, widths that differ and numbers that are not finite.
    """
    names = {_plain(v.name): v.name for v in videos}
    found: dict[str, np.ndarray] = {}
    origin: dict[str, Path] = {}
    files: dict[str, Path] = {}
    problems = []
    for path in feature_files(folder):
        name = names.get(_plain(path.stem))
        if name is None:
            problems.append(Problem(str(path), "features of no video on the lists", left_out=True))
            continue
        if other := files.get(real := os.path.realpath(path)):
            raise DataError(f"{other} and {path} are one file under two names; keep one of them in the folder")
        files[real] = path
        if name in origin:
            raise DataError(f"{origin[name]} and {path} are both features of {name}; keep one of them in the folder")
        found[name], origin[name] = (_npy if path.suffix == ".npy" else _text)(path), path
        if broken := np.count_nonzero(~np.isfinite(found[name])):
            what = f"{broken} of {found[name].size} numbers are not finite"
            raise DataError(f"{path}: {what}; get the file again")
        first = next(iter(found))
        if (width := found[name].shape[1]) != (expected := found[first].shape[1]):
            widths = f"width {width}, {origin[first]} of {expected}"
            raise DataError(f"{path} has features of {widths}; a folder must hold one kind")
    problems += [Problem(v.name, f"no features in {folder}", left_out=True) for v in videos if v.name not in found]
    return {v.name: found[v.name] for v in videos if v.name in found}, problems


def feature_files(folder: str | Path) -> list[Path]:
    """The `.npy` and `.txt` files in and below a folder. Raises DataError where there is none."""
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".npy", ".txt") and path.is_file())
    if not files:
        expected = f"a folder of .npy files, or of .txt files with {TEXT_SEGMENTS} lines each"
        raise DataError(f"no features in {folder}: expected {expected}")
    return files


def published_bag(features: np.ndarray, frames: int, segments: int, name: str = "the video") -> Bag:
    """A bag of published features (clips, D), the clips equal parts of the video; segments as for `segment_bag`. Raises
    DataError where frames are fewer than clips or segments."""
    if frames < len(features):
        clips = f"features of {len(features)} clips"
        raise DataError(f"{name} has {frames} frames and {clips}; these features are of another video")
    return segment_bag(segment_starts(frames, len(features)), features, frames, segments, name)


def _plain(name: str) -> str:
    return SUFFIXES.sub("", name).lower()


def read_npy(path: Path) -> np.ndarray:
    """The array in a `.npy` file. Raises DataError for any other file, also an `.npz` of that name, and for objects."""
    with reading(path, "a .npy file of numbers"), open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _npy(path: Path) -> np.ndarray:
    features = read_npy(path)
    if features.dtype.kind not in "fiu" or features.ndim not in (2, 3) or 0 in features.shape:
        expected = "numbers of shape (clips, D) or (clips, crops, D)"
        raise DataError(f"{path}: expected {expected}, got {features.dtype} of {features.shape}")
    features = features.astype(np.float32)
    return features.mean(axis=1) if features.ndim == 3 else features


def _text(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows = [line.split() for line in lines if line.strip()]
    if len(rows) != TEXT_SEGMENTS:
        raise DataError(f"{path}: expected {TEXT_SEGMENTS} lines, one a segment, got {len(rows)}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise DataError(f"{path}: line {number} has {len(row)} numbers, line 1 has {len(rows[0])}")
    with reading(path, "a file of numbers alone"):
        return np.array(rows, np.float32)
