"""Features of clips that others publish, as they publish them: files by a video's name, clips by its length.

Read are the text of Sultani et al. (32 segments a video, a line each) and `.npy` arrays (clips, D), (1, clips, D),
(clips, crops, D) and (crops, clips, D); crops in files of their own (`X__0.npy` to `X__9.npy`) and two streams
(`X_rgb.npy` and `X_flow.npy`, or folders of these names). Crops are averaged, streams stand side by side.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from vadkit.core.errors import DataError, reading
from vadkit.corpora.video import Problem, Video
from vadkit.views.sampling import segment_starts
from vadkit.views.segments import Bag, read_npy

TEXT_SEGMENTS = 32  # lines of a file of Sultani et al.
CLIP_FRAMES, FPS = 16, 30.0  # in all that is published of UCF-Crime
STREAMS = ("", "rgb", "flow")  # in the order in which they stand side by side
CROP = re.compile(r"__(\d+)$")
# what publishers add to a video's name
SUFFIXES = re.compile(r"(\.mp4|_x264|_c3d|_i3d|_clip|_rgb|_flow|_c)+$", re.IGNORECASE)
STREAM = re.compile(r"(?<![a-z])(rgb|flow)(?![a-z])", re.IGNORECASE)

Files = Mapping[tuple[str, int], Path]  # of one video, by stream and crop
Way = tuple[int, int, bool]  # number of axes, the one of the clips, whether they are equal segments
Made = TypeVar("Made")


class UnfitError(DataError):
    """Features that do not go with their video, which is left out."""


def find_published(folder: str | Path, videos: Sequence[Video]) -> tuple[dict[str, Files], list[Problem]]:
    """Each video's files by their names, with or without what publishers add (`_x264`, `_i3d` and the like).

    -> ({name: files}, problems): files of no video and videos without a file are named there. Raises DataError for a
    missing or empty folder, for no video's name, two files of one part and one file under two names.
    """
    folder, names = Path(folder), {_plain(v.name): v.name for v in videos}
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".npy", ".txt") and path.is_file())
    if not paths:
        expected = f"a folder of .npy files, or of .txt files with {TEXT_SEGMENTS} lines each"
        raise DataError(f"no features in {folder}: expected {expected}")
    found: dict[str, dict[tuple[str, int], Path]] = {}
    places: dict[str, Path] = {}
    problems = []
    for path in paths:
        crop = CROP.search(path.stem)
        stem = path.stem[: crop.start()] if crop else path.stem
        if (name := names.get(plain := _plain(stem))) is None:
            problems.append(Problem(str(path), "features of no video on the lists", left_out=True))
            continue
        if (other := places.setdefault(os.path.realpath(path), path)) != path:
            raise DataError(f"{other} and {path} are one file under two names; keep one of them in the folder")
        stream = STREAM.search(stem[len(plain) :]) or (path.parent != folder and STREAM.search(path.parent.name))
        part = (stream[1].lower() if stream else "", int(crop[1]) if crop else 0)
        mine = found.setdefault(name, {})
        if other := next((mine[p] for p in mine if p == part or (p[0] == "") != (part[0] == "")), None):
            raise DataError(f"{other} and {path} are both features of {name}; keep one of them in the folder")
        mine[part] = path
    if not found:
        some, example = problems[0].where, f"{videos[0].name}.npy" if videos else "X.npy"
        said = f"none of the {len(paths)} files of features in {folder} has the name of a listed video"
        raise DataError(f"{said}, the first: {some}; name each as its video, such as {example}")
    problems += [Problem(v.name, f"no features in {folder}", left_out=True) for v in videos if v.name not in found]
    return {v.name: found[v.name] for v in videos if v.name in found}, problems


def read_published(
    files: Mapping[str, Files],
    videos: Sequence[Video],
    make: Callable[[Video, int, Bag], Made],
    clip_frames: int = CLIP_FRAMES,
    segments: int = TEXT_SEGMENTS,
) -> tuple[list[Made], list[Problem]]:
    """What `make` makes of each video with files, its frames and the bag of its clips; one by one, for all are large.

    The axis of clips is the one that fits the video's length: clips of `clip_frames` frames, one more or fewer, or 32
    or `segments` equal segments. Where both axes fit, those of the folder's other files decide. Where nobody knows a
    video's length its clips do: `clip_frames` each (our rule). What has no such axis, or streams and crops that do not
    go together, is left out and named. Raises DataError for damage, widths that differ, numbers that are not finite.
    """
    videos = [v for v in videos if v.name in files]
    shapes = {v.name: [_shape(path) for path in files[v.name].values()] for v in videos}
    ways = {v.name: _fitting(shapes[v.name], v.frames, clip_frames, {TEXT_SEGMENTS, segments}) for v in videos}
    common = Counter(way for v in videos for way in ways[v.name] if v.frames and len({w[1] for w in ways[v.name]}) == 1)
    made, problems, guessed, first = [], [], [], None
    for video in videos:
        parts = files[video.name]
        shape = f"{next(iter(parts.values()))} is of shape {shapes[video.name][0]}"
        try:
            axis, equal = _chosen(video, shape, ways[video.name], common, clip_frames)
            features = _joined(video.name, parts, axis)
        except UnfitError as error:
            problems.append(Problem(video.name, str(error), left_out=True))
            continue
        first = first or (video.name, features.shape[1])
        if features.shape[1] != first[1]:
            widths = f"{shape}: features of {video.name} are {features.shape[1]} wide, those of {first[0]} {first[1]}"
            raise DataError(f"{widths}; a folder must hold one kind")
        frames = video.frames or len(features) * clip_frames
        guessed += [] if video.frames else [video.name]
        starts = segment_starts(frames, len(features)) if equal else np.arange(0, frames, clip_frames)[: len(features)]
        made.append(make(video, frames, Bag(starts, features[: len(starts)])))
    most = max(map(len, files.values()), default=0)
    fewer = [v.name for v in videos if len(files[v.name]) < most]
    notes = {f"have fewer than {most} files, and are described by those": fewer}
    notes[f"are of unknown length; {clip_frames} frames a clip are taken, {FPS:g} a second"] = guessed
    said = [f"{len(names)} videos {what}, the first: {names[0]}" for what, names in notes.items() if names]
    return made, [*problems, *(Problem("mil_published", one, left_out=False) for one in said)]


def _fitting(shapes: Sequence[tuple], frames: int | None, clip_frames: int, counts: set[int]) -> set[Way]:
    """How arrays of these shapes can be read so that all fit the video's length; any where nobody knows it."""
    ways = set()
    for axis in range(len(shapes[0]) - 1) if len({len(shape) for shape in shapes}) == 1 else ():
        clips = [shape[axis] for shape in shapes]
        if frames is None or all(frames // clip_frames - 1 <= n <= -(-frames // clip_frames) + 1 for n in clips):
            ways.add((len(shapes[0]), axis, False))
        if all(n in counts and n <= (frames or n) for n in clips):
            ways.add((len(shapes[0]), axis, True))
    return ways


def _chosen(video: Video, shape: str, ways: set[Way], common: Counter, clip_frames: int) -> tuple[int, bool]:
    """The axis of the clips, and whether they are equal segments. Raises UnfitError with the remedy."""
    if not ways:
        wanted = f"about {video.frames / clip_frames:.0f} clips of {clip_frames}, or equal segments"
        remedy = "get the video's own file, or set clip_frames or mil_segments to what these are"
        raise UnfitError(f"{shape}, and {video.name} has {video.frames} frames: expected {wanted}; {remedy}")
    best = max(common[way] for way in ways)
    top = sorted(way for way in ways if common[way] == best)
    if len({axis for _, axis, _ in top}) > 1:
        remedy = "save it as (clips, D)"
        raise UnfitError(f"{shape}, and two of its axes fit the length of {video.name}, with other results; {remedy}")
    if video.frames is None and top[-1][2]:
        remedy = "give it in a lengths.csv (name,frames,fps) below data_root"
        raise UnfitError(f"{shape}: segments do not say how long {video.name} is, which is on no list; {remedy}")
    return top[0][1:]


def _joined(name: str, parts: Files, axis: int) -> np.ndarray:
    """The mean over crops of each stream, the streams side by side. Shape: -> (clips, D) float32."""
    streams = []
    for stream in STREAMS:
        crops = [_array(path, axis) for (of, _), path in sorted(parts.items()) if of == stream]
        if len({one.shape for one in crops}) > 1:
            got = ", ".join(str(one.shape) for one in crops)
            raise UnfitError(f"the crops of {name} differ in shape: {got}; get its files again")
        streams += [np.mean(crops, axis=0)] if crops else []
    clips = min(map(len, streams))  # flow may have one fewer
    return np.concatenate([one[:clips] for one in streams], axis=1)


def _plain(name: str) -> str:
    return SUFFIXES.sub("", name).lower()


def _shape(path: Path) -> tuple[int, ...]:
    """Of the array in a file, which is not read. Raises DataError for anything but (.., clips, .., D)."""
    if path.suffix != ".npy":
        return TEXT_SEGMENTS, 0
    with reading(path, "a .npy file of numbers"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        kind, shape = array.dtype, array.shape
    if kind.kind not in "fiu" or len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{path}: expected numbers of shape (clips, D) or with crops, got {kind} of {shape}")
    return shape


def _array(path: Path, axis: int) -> np.ndarray:
    """Shape: -> (clips, D) float32, the mean over what is neither. Raises DataError for numbers that are not finite."""
    array = (read_npy(path) if path.suffix == ".npy" else _text(path)).astype(np.float32)
    array = array.mean(axis=1 - axis) if array.ndim == 3 else array
    if broken := np.count_nonzero(~np.isfinite(array)):
        raise DataError(f"{path}: {broken} of {array.size} numbers are not finite; get the file again")
    return array


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
