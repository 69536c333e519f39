"""Hard frames and boxes of UCF-Crime that others annotated, where UCFCrime2Local's cannot be had. Our reading of both:

Boxes of Liu and Ma (ACM MM 2019), {video: [[image, xmin, ymin, xmax, ymax], ..]}, count images and pixels from 1. Two
boxes at most `REACH` frames apart are joined by one that moves in a straight line; longer gaps are no hard frames.
Intervals of VADOR, {video: [{"start": s, "end": s}, ..]}, are whole seconds, the last included, at the lists' rates.
"""

import json
import pickle
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from vadkit.core.errors import reading
from vadkit.corpora import vatic
from vadkit.corpora.public_lists import listed
from vadkit.corpora.vatic import Box
from vadkit.corpora.video import MOST_FRAMES, Spans, Video

FILES = ("train_annotation.pkl", "test_annotation.pkl", "train.json")  # two of boxes, one of intervals, any case
REACH = 32  # frames: most boxes are 16 apart, and one may be missing
REMEDY = "get the file again, or take it out of data_root"


class _Containers(pickle.Unpickler):
    """Loads plain containers, numbers and texts: a class or a function, by which a pickle runs code, is refused."""

    def find_class(self, module: str, name: str) -> None:
        raise pickle.UnpicklingError(f"a pickle that names {module}.{name} is not loaded")


def read(paths: Sequence[Path], note: Callable[[Path, str], None]) -> dict[str, tuple[Spans, Path | None]]:
    """{video: (hard frames, its file of boxes)}, of boxes before intervals. note: is told what is used and odd. Raises
    DataError for another or a damaged file."""
    found: dict[str, tuple[Spans, Path | None]] = {}
    for path in paths:
        if path.suffix.lower() == ".pkl":
            fresh = {name: (_spans(drawn), path) for name, drawn in read_boxes(path).items() if name not in found}
        else:
            spans = read_intervals(path, partial(note, path))
            fresh = {name: (of, None) for name, of in spans.items() if name not in found}
        note(path, f"hard frames of {len(fresh)} videos are from here, where no official span says otherwise")
        found |= fresh
    return found


def boxes_of(video: Video) -> dict[int, list[Box]]:
    """The boxes seen at each frame, of the video's Vatic file or of Liu and Ma's. Raises DataError for damage."""
    path = video.boxes_path
    if path.suffix.lower() != ".pkl":
        return vatic.boxes(path)
    drawn, seen = read_boxes(path)[video.name], {}
    for start, end in _spans(drawn):
        known, frames = [frame for frame in drawn if start <= frame < end], range(start, end)
        corners = [np.interp(frames, known, [drawn[frame][side] for frame in known]) for side in range(4)]
        for frame, box in zip(frames, np.rint(corners).astype(int).T.tolist(), strict=True):
            seen[frame] = [Box(0, *box, frame, lost=False, occluded=False, generated=frame not in drawn, label="")]
    return seen


@lru_cache(maxsize=4)
def read_boxes(path: Path) -> dict[str, dict[int, tuple[int, ...]]]:
    """{video: {frame: four corners}} from 0, the frames rising. Raises DataError for another or a damaged file."""
    found = {}
    with reading(path, "a file of Liu and Ma's boxes", REMEDY), open(path, "rb") as file:
        for key, rows in _Containers(file).load().items():
            drawn = {int(re.search(r"(\d+)\.\w+$", row[0])[1]) - 1: tuple(int(x) - 1 for x in row[1:]) for row in rows}
            if not drawn or not all(len(box) == 4 and 0 <= n < MOST_FRAMES for n, box in drawn.items()):
                raise ValueError(f"the rows of {key} are not an image's number and four corners each")
            found[key.removesuffix("_x264")] = dict(sorted(drawn.items()))
    return found


def _spans(frames: Iterable[int]) -> Spans:
    """Half-open spans over frames that are near enough."""
    joined = ((a, b + 1) for a, b in pairwise(sorted(frames)) if b - a <= REACH)
    return vatic.merge([*joined, *((frame, frame + 1) for frame in frames)])


def read_intervals(path: Path, note: Callable[[str], None]) -> dict[str, Spans]:
    """{video: spans} of listed videos. note: is told what is odd. Raises DataError for another or a damaged file."""
    known, found = listed("ucf-crime"), {}
    with reading(path, "VADOR's intervals, {video: [{start, end}]} in seconds", REMEDY):
        for key, given in json.loads(path.read_text(encoding="utf-8")).items():
            if (video := known.get(key.rsplit("/", 1)[-1].removesuffix("_x264.mp4"))) is None:
                continue
            fps, long, spans = video.fps, video.frames / video.fps, []
            for start, end in ((int(one["start"]), int(one["end"])) for one in given):
                spans.append((max(round(start * fps), 0), min(round((end + 1) * fps), video.frames)))
                if not 0 <= start <= end <= long + 1:
                    said = f"{video.name} has an interval from {start} to {end} s and is {long:.0f} s long"
                    note(f"{said}; what fits of it is used")
            if merged := vatic.merge(spans):
                found[video.name] = merged
            else:
                note(f"{video.name} has no interval")
    return found
