"""Features of clips that others publish, as they publish them: files by a video's name, clips by its length.

Read are the text of Sultani et al. (32 segments a video, a line each) and `.npy` arrays (clips, D), (1, clips, D),
(clips, crops, D) and (crops, clips, D); crops in files of their own (`X__0.npy` to `X__9.npy`) and two streams
(`X_rgb.npy` and `X_flow.npy`, or folders of these names). Crops are averaged, streams stand side by side.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from vadkit.core.errors import ConfigError, DataError, reading
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


def feature_files(folder: Path) -> list[Path]:
    """The `.npy` and `.txt` files in and below a folder. Raises DataError where there is none."""
    if paths := sorted(path for path in folder.rglob("*") if path.suffix in (".npy", ".txt") and path.is_file()):
        return paths
    expected = f"a folder of .npy files, or of .txt files with {TEXT_SEGMENTS} lines each"
    raise DataError(f"no features in {folder}: expected {expected}")


def find_published(folder: str | Path, videos: Sequence[Video]) -> tuple[dict[str, Files], list[Problem]]:
    """Each video's files by their names, with or without what publishers add (`_x264`, `_i3d` and the like).

    -> ({name: files}, problems): files of no video and videos without a file are named there. Raises DataError for a
    missing or empty folder, for no video's name, two files of one part and one file under two names.
    """
    folder, names = Path(folder), {_plain(v.name): v.name for v in videos}
    paths = feature_files(folder)
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
    strict: bool = False,
) -> tuple[list[Made], list[Problem]]:
    """What `make` makes of each video with files, its frames and the bag of its clips; one by one, for all are large.

    The axis of clips is the one that fits the video's length: clips of `clip_frames` frames, one more or fewer, or 32
    or `segments` equal segments. Where both axes fit, those of the folder's other files decide. Where nobody knows a
    video's length its clips do: `clip_frames` each (our rule). What has no such axis, is damaged, or is refused by
    `make` is left out and named; it raises DataError with `strict`. Raises ConfigError for two widths in one folder.
    """
    videos, common = [v for v in videos if v.name in files], Counter()
    for video in videos:
        with suppress(DataError):  # it is met again below
            common.update(_ways(video, files[video.name], clip_frames, segments) if video.frames else ())
    made, problems, guessed, widths = [], [], [], {}
    for video in videos:
        parts = files[video.name]
        try:
            _, axis, equal = _chosen(video, parts, _ways(video, parts, clip_frames, segments), common, clip_frames)
            features = _joined(parts, axis)
            widths.setdefault(features.shape[1], video.name)
            if len(widths) > 1:
                (one, first), (other, second) = widths.items()
                said = f"{first} has features of width {one}, {second} of {other} ({next(iter(parts.values()))})"
                raise ConfigError(f"mil_published: {said}; a folder must hold one kind")
            frames = video.frames or len(features) * clip_frames
            starts = segment_starts(frames, len(features)) if equal else np.arange(0, frames, clip_frames)
            made.append(make(video, frames, Bag(starts[: len(features)], features[: len(starts)])))
            guessed += [] if video.frames else [video.name]
        except DataError as error:
            if strict:
                raise
            problems.append(Problem(video.name, str(error), left_out=True))
    most = max(map(len, files.values()), default=0)
    notes = {f"have fewer than {most} files, and are described by those": [n for n in files if len(files[n]) < most]}
    notes[f"are of unknown length; {clip_frames} frames a clip are taken, {FPS:g} a second"] = guessed
    said = [f"{len(names)} videos {what}, the first: {names[0]}" for what, names in notes.items() if names]
    return made, [*problems, *(Problem("mil_published", one, left_out=False) for one in said)]


def _ways(video: Video, parts: Files, clip_frames: int, segments: int) -> set[Way]:
    """How the files of a video can be read so that all fit its length; any way where nobody knows that."""
    shapes, frames = [_shape(path) for path in parts.values()], video.frames
    dims = len(shapes[0])
    axes = range(dims - 1 if all(len(shape) == dims for shape in shapes) else 0)
    clips = {axis: {shape[axis] for shape in shapes} for axis in axes}
    near = range(frames // clip_frames - 1, -(-frames // clip_frames) + 2) if frames else ()
    found = {(dims, axis, False) for axis in axes if frames is None or clips[axis] <= {*near}}
    return found | {(dims, axis, True) for axis in axes if clips[axis] <= {TEXT_SEGMENTS, segments}}


def _chosen(video: Video, parts: Files, ways: set[Way], common: Counter, clip_frames: int) -> Way:
    """The way that most of the folder's files have. Raises DataError with the remedy where none fits, or two do."""
    shape = f"{(path := next(iter(parts.values())))} is of shape {_shape(path)}"
    best = max((common[way] for way in ways), default=0)
    top = sorted(way for way in ways if common[way] == best)
    if not top:
        wanted = f"about {(video.frames or 0) / clip_frames:.0f} clips of {clip_frames}, or equal segments"
        remedy = "get the video's own file, or set clip_frames or mil_segments to what these are"
        raise DataError(f"{shape}, and {video.name} has {video.frames} frames: expected {wanted}; {remedy}")
    if len({axis for _, axis, _ in top}) > 1:
        what = f"two of its axes fit the length of {video.name}, with other results"
        raise DataError(f"{shape}, and {what}; save it as (clips, D)")
    if video.frames is None and top[-1][2]:
        remedy = "give it in a lengths.csv (name,frames,fps) below data_root"
        raise DataError(f"{shape}: segments do not say how long {video.name} is, which is on no list; {remedy}")
    return top[0]


def _joined(parts: Files, axis: int) -> np.ndarray:
    """The mean over crops of each stream, the streams side by side. Shape: -> (clips, D) float32."""
    streams = []
    for stream in sorted({stream for stream, _ in parts}, key=STREAMS.index):
        crops = {path: _array(path, axis) for (of, _), path in sorted(parts.items()) if of == stream}
        first, *others = crops
        if odd := [path for path in others if crops[path].shape != crops[first].shape]:
            shapes = f"{crops[first].shape} and {crops[odd[0]].shape}"
            raise DataError(f"{first} and {odd[0]} are crops of different shapes, {shapes}; get the files again")
        streams.append(np.mean(list(crops.values()), axis=0))
    clips = min(map(len, streams))  # flow may have one fewer
    return np.concatenate([one[:clips] for one in streams], axis=1)


def _plain(name: str) -> str:
    return SUFFIXES.sub("", name).lower()


def _shape(path: Path) -> tuple[int, ...]:
    """Of the array in a file, which is not read. Raises DataError for anything but numbers (clips, D), with crops."""
    if path.suffix != ".npy":
        return TEXT_SEGMENTS, 0
    with reading(path, "a .npy file of numbers"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        kind, shape = array.dtype, array.shape
    if kind.kind not in "fiu" or len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{path}: expected numbers of shape (clips, D) or with crops, got {kind} of {shape}")
    return shape


def _array(path: Path, axis: int) -> np.ndarray:
    """Shape: -> (clips, D) float32, the mean over what is neither. Raises DataError for other or damaged content."""
    if path.suffix == ".npy":
        array = read_npy(path).astype(np.float32)
    else:
        with reading(path, f"{TEXT_SEGMENTS} lines of numbers"):
            array = np.loadtxt(path, np.float32, comments=None, ndmin=2, encoding="utf-8")
        if len(array) != TEXT_SEGMENTS:
            raise DataError(f"{path}: expected {TEXT_SEGMENTS} lines, one a segment, got {len(array)}")
    array = array.mean(axis=1 - axis) if array.ndim == 3 else array
    if broken := np.count_nonzero(~np.isfinite(array)):
        raise DataError(f"{path}: {broken} of {array.size} numbers are not finite; get the file again")
    return array
