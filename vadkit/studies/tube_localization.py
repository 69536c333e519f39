"""Where the windows of tubes lie, and how much of the annotated box they hold; seen afterwards, it decides nothing."""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from vadkit.core.errors import DataError
from vadkit.core.video import frames_at, probe
from vadkit.corpora.hard_frames import boxes_of
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, standard_size
from vadkit.views.tubes import Tubes
from vadkit.views.windows import box_of

WINDOW, BOX = (230, 159, 0), (0, 114, 178)  # orange and blue, RGB


def boxes_at(one: Tubes, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """The annotated boxes at tubes' frames, in pixels of 320x240.

    Shape: rows (k,) -> (k, 4), NaN where no box is seen. Raises DataError for a damaged file.
    """
    found = np.full((len(rows), 4), np.nan)
    if one.video.boxes_path is None:
        return found
    video, seen = probe(one.video.path), boxes_of(one.video)
    for k, number in enumerate(one.index[rows].tolist()):
        if number in seen:
            found[k] = box_of(seen, number, number, (video.width, video.height), str(one.video.boxes_path))
    return found


def share_inside(one: Tubes, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """How much of the annotated box lies in each window. Shape: (k,) rows -> (k,) in [0, 1], NaN without a box."""
    boxes, windows = boxes_at(one, rows), one.windows[rows]
    common = np.minimum(boxes[:, 2:], windows[:, 2:]) - np.maximum(boxes[:, :2], windows[:, :2])
    return common.clip(min=0).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def picture(one: Tubes, row: int) -> np.ndarray:
    """A tube's frame with its window in orange and the annotated box, where it has one, in blue.

    Shape: -> (240, 320, 3) uint8 RGB. Raises DataError where the video has no such frame.
    """
    number = int(one.index[row])
    image = np.ascontiguousarray(standard_size(frames_at(one.video.path, [number])[number])[..., ::-1])
    for corners, colour in ((boxes_at(one, [row])[0], BOX), (one.windows[row], WINDOW)):
        if not np.isnan(corners).any():
            left, top, right, bottom = (round(float(x)) for x in corners)
            ends = (max(left, 1), max(top, 1)), (min(right, FLOW_WIDTH - 2), min(bottom, FLOW_HEIGHT - 2))
            cv2.rectangle(image, *ends, colour, 2)
    return image


def localized(found: Sequence[Tubes]) -> pd.DataFrame:
    """Tubes that were found without the annotation, beside it; a line for each video that has boxes.

    clips: how many were found; hard: the share of them that ends in a hard anomaly; searched: of all the video's clips;
    inside: how much of the annotated box their windows hold there, NaN where none is seen. Shares in [0, 1].
    """
    lines = {}
    for one in found:
        if one.video.boxes_path is not None:
            hard = one.video.frame_labels(one.frames)[one.index] == 1
            inside = pd.Series(share_inside(one, one.taken[hard[one.taken]])).mean()  # of those that have a box
            lines[one.video.name] = [len(one.taken), hard[one.taken].mean(), hard.mean(), inside]
    table = pd.DataFrame.from_dict(lines, orient="index", columns=["clips", "hard", "searched", "inside"])
    return table.astype(float).rename_axis("name")


def example(tubes: Sequence[Tubes], category: str) -> tuple[Tubes, int]:
    """The middle tube of the first video of a category; of an anomalous one, of those in a hard anomaly.

    Raises DataError where there is none.
    """
    for one in tubes:
        rows = np.arange(len(one)) if one.taken is None else one.taken
        rows = rows[one.video.frame_labels(one.frames)[one.index[rows]] == one.video.label]
        if one.video.category == category and len(rows):
            return one, int(rows[len(rows) // 2])
    raise DataError(f"no tube of a {category} video to show")
