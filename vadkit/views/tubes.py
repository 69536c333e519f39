"""Tubes: clips cut out of a part of the frame, along an annotated box or where most moves (section 4.6, after Landi et al. 2019).

A window is (left, top, right, bottom) in pixels of a 320x240 frame, right and bottom outside; all frames of a clip share it, so that what
moves in a crop moved before the camera. Each clip has its own pictures, for hardly two share a window.

Read of "Anomaly Locality in Video Surveillance" were its abstract and introduction; what they leave open is our reading, and named so.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np

from vadkit.core.code import code_version
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.store import Store, file_digest
from vadkit.core.video import inspect, read_frames
from vadkit.corpora import vatic
from vadkit.corpora.video import NORMAL, Problem, Video
from vadkit.views.clips import ByTheWay, flow_picture, plan_clips
from vadkit.views.extract import absent, load_entries, make_entries, open_entry
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH, flow, gray, resized
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import stride_frames

Crop = tuple[int, int, int, int]

KINDS = ("boxes", "normal", "search", "score")
STREAMS = ("rgb", "flow")
GRID = 4  # pixels between the places that a window of motion may take
SPEED_LIMIT = 6.0  # pixels from one clip frame to the next, about a walk in the foreground: a passing car counts by its size, not its speed
SMALLEST = 16  # side of a window, at least


@dataclass(frozen=True)
class Cut:
    """What to cut from one video.

    kind: "boxes", the clips of its hard anomalies along the annotated boxes; "normal", training clips of a normal video, each
    with a side drawn from `sides`; "search", clips all along a video of which only the label is used; "score", the clips of the
    analysed frames. All but the first are cut where most moves; the last two take the one side in `sides`.
    """

    video: Video
    kind: str
    sides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got '{self.kind}'")
        if self.kind == "boxes" and self.video.boxes_path is None:
            raise ValueError(f"{self.video.name} has no boxes to cut along")
        if self.kind != "boxes" and (not self.sides or self.kind != "normal" and len(self.sides) != 1):
            raise ValueError(
                f"{self.video.name}: '{self.kind}' takes {'sides to draw from' if self.kind == 'normal' else 'one side'}, got {len(self.sides)}"
            )


@dataclass(frozen=True, eq=False)
class Tubes:
    """The tubes of one video, with the interface of `clips.Clips`.

    index: (n,) the video's frame number that each is a sample of, rising (of several windows of one clip: the same); ends: (n,)
    position of the clip's last frame among the kept ones; windows: (n, 4); shown: (n,) number of its pictures; labels: (n,)
    uint8; taken: the rows to train on, where they are not all.
    """

    video: Video
    kind: str
    frames: int
    fps: float
    index: np.ndarray
    ends: np.ndarray
    windows: np.ndarray
    shown: np.ndarray
    labels: np.ndarray
    clip_frames: int
    digest: str
    folder: Path = field(repr=False)
    taken: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def bags(self) -> np.ndarray:
        """Of width 0: these systems have no bag of objects."""
        return np.zeros((len(self), 0), np.float32)

    def images(self, stream: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Clips of the given rows, in their order; as `Clips.images`. Shape: (k, T, S, S, 3) uint8."""
        if stream not in STREAMS:
            raise ValueError(f"stream must be one of {', '.join(STREAMS)}, got '{stream}'")
        wanted, where = np.unique(self.shown[np.asarray(rows)], return_inverse=True)
        strips = read_pictures(self.folder / f"{stream}.bin", self._offsets[stream], wanted)
        side = strips.shape[2]
        return strips.reshape(-1, side, self.clip_frames, side, 3).transpose(0, 2, 1, 3, 4)[where]

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training ("train": all, or those taken) or for scoring. Raises ValueError where they were cut for the other."""
        if purpose != ("score" if self.kind == "score" else "train"):
            raise ValueError(f"{self.video.name}: its tubes were cut for '{self.kind}', not for '{purpose}'")
        return np.arange(len(self)) if self.taken is None else self.taken

    @cached_property
    def _offsets(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "rows.npz") as arrays:
            return {stream: arrays[f"{stream}_offsets"] for stream in STREAMS}


# --- windows ------------------------------------------------------------------------------------------------------


def window_around(box: tuple[float, float, float, float], scale: float) -> Crop:
    """The square around a box, scale times its longer side, moved and cut to lie in the frame. Always holds the whole box.

    box: left, top, right, bottom inside the frame of 320x240. Where the side passes the frame's height the window is as high
    as the frame, and not square (our reading).
    """
    left, top, right, bottom = int(np.floor(box[0])), int(np.floor(box[1])), int(np.ceil(box[2])), int(np.ceil(box[3]))
    side = max(int(np.ceil(scale * max(right - left, bottom - top))), SMALLEST)
    width, height = min(side, FLOW_WIDTH), min(side, FLOW_HEIGHT)
    x = min(max((left + right - width) // 2, 0), FLOW_WIDTH - width)
    y = min(max((top + bottom - height) // 2, 0), FLOW_HEIGHT - height)
    return x, y, x + width, y + height


def windows_of_motion(motion: np.ndarray, side: int, count: int = 1) -> list[Crop]:
    """The square windows in which most moves: the best, then the best of what it leaves, and so on. Shape: motion (60, 80) -> at most count windows.

    motion: speeds on a grid of GRID pixels, summed over a clip's frames (`speeds`). Where nothing moves the middle is taken. Fewer
    windows come back where the first ones hold all motion.
    """
    motion = np.array(motion, np.float32)
    rows, columns = motion.shape
    width, height = min(side, FLOW_WIDTH), min(side, FLOW_HEIGHT)
    across, down = min(max(round(width / GRID), 1), columns), min(max(round(height / GRID), 1), rows)
    found: list[Crop] = []
    while len(found) < count:
        sums = cv2.boxFilter(
            motion, -1, (across, down), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
        )[: rows - down + 1, : columns - across + 1]
        y, x = np.unravel_index(int(sums.argmax()), sums.shape)
        if sums[y, x] <= 0:
            if not found:
                left, top = (FLOW_WIDTH - width) // 2, (FLOW_HEIGHT - height) // 2
                found.append((left, top, left + width, top + height))
            break
        motion[y : y + down, x : x + across] = 0
        left, top = min(int(x) * GRID, FLOW_WIDTH - width), min(int(y) * GRID, FLOW_HEIGHT - height)
        found.append((left, top, left + width, top + height))
    return found


def speeds(displacement: np.ndarray) -> np.ndarray:
    """Speeds of a flow at the grid of window places, cut at SPEED_LIMIT. Shape: (240, 320, 2) -> (60, 80) float32."""
    x, y = displacement[GRID // 2 :: GRID, GRID // 2 :: GRID].transpose(2, 0, 1)
    return np.minimum(np.hypot(x, y), SPEED_LIMIT)


def side_of(window: Sequence[int]) -> int:
    return int(max(window[2] - window[0], window[3] - window[1]))


def box_of(
    boxes: dict[int, list[vatic.Box]], first: int, last: int, size: tuple[int, int], where: str
) -> tuple[float, float, float, float]:
    """The union of the boxes seen in frames first to last, in pixels of 320x240. size: (width, height) of the annotated video.

    Raises DataError where no box is seen inside the picture.
    """
    seen = [box for number in range(first, last + 1) for box in boxes.get(number, ())]
    width, height = size
    if seen:
        left, top = max(min(b.xmin for b in seen), 0), max(min(b.ymin for b in seen), 0)
        right, bottom = min(max(b.xmax for b in seen), width), min(max(b.ymax for b in seen), height)
        if left < right and top < bottom:
            x, y = FLOW_WIDTH / width, FLOW_HEIGHT / height
            return left * x, top * y, right * x, bottom * y
    raise DataError(
        f"{where}: expected a box inside the picture of {width}x{height} between frames {first} and {last}, which count as anomalous; mend the file, or take the video off the lists"
    )


# --- extraction ---------------------------------------------------------------------------------------------------


def extract_tubes(
    cuts: Sequence[Cut], config: Config, size: int, progress: Progress | None = None
) -> tuple[list[Tubes], list[Problem]]:
    """Tubes of many videos, from the cache, cut in config.workers processes where they are missing; as `clips.extract_clips`.

    size: side of the crops in pixels. A video that cannot be used is left out and named in the problems, or raises DataError
    where config.strict.
    """
    store = Store(config.cache_dir)
    videos = [cut.video for cut in cuts]
    wrong = absent(videos)
    keys = {n: _key(cut, size, config) for n, cut in enumerate(cuts) if n not in wrong}
    missing = [
        (n, key, partial(_build, cuts[n], size, config)) for n, key in keys.items() if not store.has("tubes", key)
    ]
    for done, (position, error) in enumerate(
        make_entries("tubes", missing, config.cache_dir, config.workers), len(keys) - len(missing) + 1
    ):
        if error is not None:
            wrong[position] = error
        if progress is not None:
            progress(done, len(keys), f"tubes of {videos[position].name}")
    return load_entries(videos, wrong, lambda n: _load(cuts[n], store.path("tubes", keys[n]), config), config.strict)


def _key(cut: Cut, size: int, config: Config) -> dict:
    """Of the annotation only what "boxes" needs: nothing else depends on any."""
    key = {
        "video": file_digest(cut.video.path),
        "kind": cut.kind,
        "sides": list(cut.sides),
        "size": size,
        "clip": [config.clip_frames, config.clip_fps],
    }
    key |= {"flow": config.clip_flow_method, "opencv": cv2.__version__, "code": code_version(__name__)}
    if cut.kind == "boxes":
        boxes = file_digest(cut.video.boxes_path)
        return {
            **key,
            "boxes": boxes,
            "spans": cut.video.intervals,
            "scale": config.tube_scale,
            "shift": config.clip_shift_anomalous,
            "slack": config.annotation_slack_frames,
        }
    if cut.kind == "score":
        return {**key, "analysis_fps": config.analysis_fps, "every": config.i3d_score_every}
    return {**key, "shift": config.clip_shift_normal, "windows": config.tube_windows if cut.kind == "search" else 1}


def _build(cut: Cut, size: int, config: Config, folder: Path) -> None:
    """Count the video's frames, then one pass over it that holds the frames of one clip, and keeps the whole frames' streams as well."""
    found = inspect(cut.video.path)
    stride = stride_frames(found.fps, config.clip_fps)
    ends, index = _plan(cut, found.frames, found.fps, config)
    finder = _finder(cut, ends, index, stride, (found.width, found.height), config)
    recent: deque[tuple[np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=config.clip_frames)  # frame, flow, speeds
    windows: dict[int, list[Crop]] = {}  # by the clip's end
    whole, before = ByTheWay(cut.video, size, STREAMS, config, folder), None
    with (
        closing(read_frames(cut.video.path, lambda number: number % stride == 0)) as frames,
        PictureWriter(folder / "rgb.bin") as rgb,
        PictureWriter(folder / "flow.bin") as motion,
    ):
        for position, (_, frame) in enumerate(frames):
            now = gray(frame)
            moved = (
                np.zeros((FLOW_HEIGHT, FLOW_WIDTH, 2), np.float32)
                if before is None
                else flow(before, now, config.clip_flow_method)
            )
            whole.see(frame, moved)
            recent.append((frame, moved, speeds(moved)))
            before = now
            if position not in finder.wanted:
                continue
            windows[position] = finder.windows(position, [one[2] for one in recent])
            clip = [recent[0]] * (config.clip_frames - len(recent)) + list(
                recent
            )  # before the start its first frame stands, as in clips
            for window in windows[position]:
                rgb.append(_strip([crop_frame(one[0], window, size) for one in clip]))
                motion.append(_strip([crop_flow(one[1], window, size) for one in clip]))
        whole.keep(frames.decoded)
    first = dict(zip(windows, np.cumsum([0, *map(len, windows.values())]).tolist(), strict=False))
    rows = [
        (i, end, first[end] + k)
        for end, i in zip(ends.tolist(), index.tolist(), strict=True)
        for k in range(len(windows[end]))
    ]
    table = np.array(rows, np.int64).reshape(-1, 3)
    every = np.array([window for ones in windows.values() for window in ones], np.int64).reshape(-1, 4)
    offsets = {"rgb_offsets": np.array(rgb.offsets, np.int64), "flow_offsets": np.array(motion.offsets, np.int64)}
    np.savez(
        folder / "rows.npz",
        index=table[:, 0],
        ends=table[:, 1],
        shown=table[:, 2],
        windows=every[table[:, 2]],
        **offsets,
    )
    (folder / "facts.json").write_text(
        json.dumps({"frames": found.frames, "fps": found.fps, "notes": list(found.notes)}, indent=1)
    )


def _plan(cut: Cut, frames: int, fps: float, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(position of the last frame, frame number) of each clip. Raises DataError where there is none."""
    if cut.kind == "score":
        return plan_clips(cut.video, frames, fps, config, "score", config.i3d_score_every)
    if cut.kind != "boxes":
        return plan_clips(replace(cut.video, category=NORMAL, intervals=()), frames, fps, config, "train")
    video, _ = vatic.clip_intervals(cut.video, frames, config.annotation_slack_frames)
    ends, index = plan_clips(video, frames, fps, config, "train")
    hard = video.frame_labels(frames)[index] == 1
    if not hard.any():
        raise DataError(
            f"{cut.video.boxes_path}: no frame of {cut.video.name} counts as a hard anomaly, so there is no clip to cut; mend the file, or take the video off the lists"
        )
    return ends[hard], index[hard]


@dataclass(frozen=True)
class _Finder:
    wanted: frozenset[int]  # ends of clips
    windows: Callable[[int, list[np.ndarray]], list[Crop]]  # (end, speeds of its frames) -> windows


def _finder(
    cut: Cut, ends: np.ndarray, index: np.ndarray, stride: int, size: tuple[int, int], config: Config
) -> _Finder:
    wanted = np.unique(ends).tolist()
    if cut.kind == "boxes":
        boxes = vatic.boxes(cut.video.boxes_path)
        last = dict(
            zip(ends.tolist(), index.tolist(), strict=True)
        )  # a sample may come after the frame that its clip ends with

        def around(end: int, _: list[np.ndarray]) -> list[Crop]:
            first = max(end - config.clip_frames + 1, 0)
            return [
                window_around(
                    box_of(boxes, first * stride, last[end], size, str(cut.video.boxes_path)), config.tube_scale
                )
            ]

        return _Finder(frozenset(wanted), around)
    draw = np.random.default_rng(int(file_digest(cut.video.path)[:15], 16))  # the same for the same video
    sides = dict(zip(wanted, draw.choice(cut.sides, len(wanted)).tolist(), strict=True))
    count = config.tube_windows if cut.kind == "search" else 1
    return _Finder(frozenset(wanted), lambda end, seen: windows_of_motion(np.sum(seen, axis=0), sides[end], count))


def crop_frame(frame: np.ndarray, window: Crop, size: int) -> np.ndarray:
    """A window of a frame of any size. Shape: (H, W, 3) uint8 BGR -> (size, size, 3) RGB."""
    height, width = frame.shape[:2]
    left, right = (round(x * width / FLOW_WIDTH) for x in window[0::2])
    top, bottom = (round(y * height / FLOW_HEIGHT) for y in window[1::2])
    part = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    return cv2.cvtColor(resized(part, size, size), cv2.COLOR_BGR2RGB)


def crop_flow(displacement: np.ndarray, window: Crop, size: int) -> np.ndarray:
    """A window of a flow, as clips show flow. Shape: (240, 320, 2) float32 -> (size, size, 3) uint8.

    A displacement stays in pixels of the whole frame, whatever the size of the window (our reading): what was as fast
    before the camera looks as fast to the network.
    """
    left, top, right, bottom = window
    return flow_picture(resized(displacement[top:bottom, left:right], size, size), size)


def _strip(pictures: list[np.ndarray]) -> np.ndarray:
    """A clip as one picture, a row of every frame after another: the compression then sees what does not move. Shape: T of (S, S, 3) -> (S * T, S, 3)."""
    return np.stack(pictures, axis=1).reshape(-1, *pictures[0].shape[1:])


def _load(cut: Cut, folder: Path, config: Config) -> tuple[Tubes, list[Problem]]:
    """A finished entry. Raises DataError where annotation and video do not belong together."""
    video, facts, problems = open_entry(cut.video, folder, config.annotation_slack_frames)
    with np.load(folder / "rows.npz") as arrays:
        index, ends, windows, shown = (arrays[name] for name in ("index", "ends", "windows", "shown"))
    labels = video.frame_labels(facts["frames"])[index]
    return Tubes(
        video,
        cut.kind,
        facts["frames"],
        facts["fps"],
        index,
        ends,
        windows,
        shown,
        labels,
        config.clip_frames,
        folder.name,
        folder,
    ), problems
