"""Looking at tubes afterwards: where their windows lie, and how much of what is annotated they hold. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.video import probe, read_frames
from vadkit.corpora import vatic
from vadkit.corpora.video import Corpus
from vadkit.systems.base import find_system
from vadkit.systems.runner import plan_folds, prepare, sides_of
from vadkit.systems.tubes import with_found
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, standard_size
from vadkit.views.tubes import Tubes, box_of

WINDOW, BOX = (230, 159, 0), (0, 114, 178)  # orange and blue, RGB


@dataclass(frozen=True)
class Finds:
    """What was found in one searched video: shares in [0, 1], as its annotation tells afterwards.

    hard: of the clips found, those that end in a hard anomaly; searched: of all its clips; inside: how much of the annotated box the
    found windows hold there, None where none is there.
    """

    name: str
    clips: int
    hard: float
    searched: float
    inside: float | None


def box_at(one: Tubes, row: int) -> tuple[float, float, float, float] | None:
    """The annotated box at a tube's frame, in pixels of 320x240; None where none is seen. Raises DataError for a damaged file."""
    if one.video.boxes_path is None:
        return None
    video, number = probe(one.video.path), int(one.index[row])
    seen = vatic.boxes(one.video.boxes_path)
    return (
        box_of(seen, number, number, (video.width, video.height), str(one.video.boxes_path)) if number in seen else None
    )


def share_inside(one: Tubes, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """How much of the annotated box lies in each window. Shape: rows (k,) -> (k,) in [0, 1], NaN where no box is seen."""
    shares = np.full(len(rows), np.nan)
    for k, row in enumerate(rows):
        if (box := box_at(one, int(row))) is None:
            continue
        left, top, right, bottom = one.windows[row]
        across, down = min(box[2], right) - max(box[0], left), min(box[3], bottom) - max(box[1], top)
        shares[k] = max(across, 0) * max(down, 0) / ((box[2] - box[0]) * (box[3] - box[1]))
    return shares


def picture(one: Tubes, row: int) -> np.ndarray:
    """The frame of a tube with its window in orange and, where it is annotated, the box in blue. Shape: -> (240, 320, 3) uint8 RGB."""
    number = int(one.index[row])
    with closing(read_frames(one.video.path, lambda n: n == number)) as frames:
        _, frame = next(frames)
    image = np.ascontiguousarray(standard_size(frame)[..., ::-1])
    if (box := box_at(one, row)) is not None:
        cv2.rectangle(image, *_corners(box), BOX, 2)
    cv2.rectangle(image, *_corners(one.windows[row]), WINDOW, 2)
    return image


def found_tubes(config: Config, corpus: Corpus, seed: int, progress: Progress | None = None) -> list[Tubes]:
    """The tubes that ws-I3D is trained on as anomalous with this seed, by video; in the cache once it has been."""
    material = prepare(config, corpus, progress, find_system("ws-I3D"))
    (fold,) = plan_folds(config, corpus, seed, early_stopping=False)
    return [
        one for one in with_found(config, corpus, seed, sides_of(fold, material), progress)[0] if one.taken is not None
    ]


def finds(found: Sequence[Tubes]) -> list[Finds]:
    """Found tubes beside the annotation that they were found without; videos without boxes have none to lie beside."""
    lines = []
    for one in found:
        if one.video.boxes_path is None:
            continue
        hard = one.video.frame_labels(one.frames)[one.index] == 1
        inside = share_inside(one, one.taken[hard[one.taken]])
        lines.append(
            Finds(one.video.name, len(one.taken), float(hard[one.taken].mean()), float(hard.mean()), _mean(inside))
        )
    return lines


def tested_share(config: Config, corpus: Corpus, progress: Progress | None = None) -> float | None:
    """How much of the annotated box the windows of hard test frames hold, mean over videos; None where no test video has boxes."""
    material = prepare(config, corpus, progress, find_system("oracle-I3D"))
    tested = [
        one for one in material.samples.values() if one.kind == "score" and one.video.label and one.video.boxes_path
    ]
    return _mean(np.array([_mean(share_inside(one, np.flatnonzero(one.labels))) for one in tested], float))


def example(tubes: Sequence[Tubes], category: str) -> tuple[Tubes, int]:
    """The middle tube of the first video of a category; of an anomalous one, of those in a hard anomaly. Raises DataError where there is none."""
    for one in tubes:
        rows = np.arange(len(one)) if one.taken is None else one.taken
        rows = rows[one.video.frame_labels(one.frames)[one.index[rows]] == one.video.label]
        if one.video.category == category and len(rows):
            return one, int(rows[len(rows) // 2])
    raise DataError(f"no tube of a {category} video to show")


def _mean(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _corners(window: Sequence[float]) -> tuple[tuple[int, int], tuple[int, int]]:
    left, top, right, bottom = (round(float(x)) for x in window)
    return (max(left, 1), max(top, 1)), (min(right, FLOW_WIDTH - 2), min(bottom, FLOW_HEIGHT - 2))
