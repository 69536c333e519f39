"""Tubes: clips of a part of the frame, along an annotated box or where most moves (section 4.6; Landi et al. 2019).

All frames of a clip share its window (`vadkit.views.windows`), so that what moves in a crop moved before the camera.
Of "Anomaly Locality in Video Surveillance" we read abstract and introduction; what they leave open is our reading.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from vadkit.core.config import Config
from vadkit.core.digests import file_digest
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.video import Decoded, inspect
from vadkit.corpora import hard_frames, vatic
from vadkit.corpora.video import NORMAL, Seen, Video
from vadkit.views.clips import CLIP_STREAMS, WholeFrames, filled, kept_frames, motion_since, plan_clips
from vadkit.views.flow import gray
from vadkit.views.pictures import PictureWriter, read_pictures
from vadkit.views.sampling import stride_frames
from vadkit.views.view import Pairs, View, extract_views, made_of, write_facts
from vadkit.views.windows import Crop, box_of, crop_flow, crop_frame, speeds, window_around, windows_of_motion

KINDS = ("boxes", "normal", "search", "score")


@dataclass(frozen=True)
class Cut:
    """What to cut from one video.

    kind: "boxes", clips of its hard anomalies along the annotated boxes; "normal", training clips of a normal video,
    each with a side drawn from `sides`; "search", clips all along a video of which only the label is used; "score",
    clips of the analysed frames. All but the first are cut where most moves; the last two take one side.
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
            takes = "sides to draw from" if self.kind == "normal" else "one side"
            raise ValueError(f"{self.video.name}: '{self.kind}' takes {takes}, got {len(self.sides)}")


@dataclass(frozen=True, eq=False)
class Tubes(View):
    """The tubes of one video; images are those of `clips.Clips`. Several windows of one clip have the same index.

    kind: as of the `Cut`; ends: (n,) position of the clip's last frame among the kept ones; windows: (n, 4); shown:
    (n,) number of its pictures; taken: the rows to train on, where they are not all.
    """

    kind: str
    ends: np.ndarray
    windows: np.ndarray
    shown: np.ndarray
    clip_frames: int
    folder: Path = field(repr=False)
    taken: np.ndarray | None = None

    streams = CLIP_STREAMS

    @property
    def bags(self) -> np.ndarray:
        return np.zeros((len(self), 0), np.float32)

    def rows(self, purpose: str, config: Config, hard_only: bool = False) -> np.ndarray:
        """Row numbers for training (all, or those taken) or for scoring. Raises ValueError for the other purpose."""
        if purpose != ("score" if self.kind == "score" else "train"):
            raise ValueError(f"{self.video.name}: its tubes were cut for '{self.kind}', not for '{purpose}'")
        return np.arange(len(self)) if self.taken is None else self.taken

    def _read(self, stream: str, rows: np.ndarray) -> np.ndarray:
        wanted, where = np.unique(self.shown[rows], return_inverse=True)
        strips = read_pictures(self.folder / f"{stream}.bin", wanted)
        side = strips.shape[2]
        return strips.reshape(-1, side, self.clip_frames, side, 3).transpose(0, 2, 1, 3, 4)[where]


def extract_tubes(cuts: Sequence[Cut], config: Config, size: int, progress: Progress | None = None) -> Seen:
    """Tubes of many videos, and what was wrong with them; see `view.extract_views`. size: of the crops, in pixels."""

    def entries_of(n: int) -> list:
        return [(_key(cuts[n], size, config), partial(_build, cuts[n], size, config))]

    def tubes_of(n: int, video: Video, facts: dict, folders: list[Path]) -> Tubes:
        (folder,) = folders
        with np.load(folder / "rows.npz") as arrays:
            index, *table = (arrays[name] for name in ("index", "ends", "windows", "shown"))
        frames, labels = facts["frames"], video.frame_labels(facts["frames"])[index]
        common = (video, frames, facts["fps"], index, labels, folder.name)
        return Tubes(*common, cuts[n].kind, *table, config.clip_frames, folder, times=facts["times"])

    return extract_views("tubes", [cut.video for cut in cuts], entries_of, tubes_of, config, progress)


def _key(cut: Cut, size: int, config: Config) -> dict:
    """Of the annotation only what "boxes" needs: nothing else depends on any."""
    key = {**made_of(cut.video, __name__, config), "kind": cut.kind, "sides": list(cut.sides), "size": size}
    key |= {"clip": [config.clip_frames, config.clip_fps], "flow": config.clip_flow_method}
    if cut.kind == "boxes":
        key |= {"boxes": file_digest(cut.video.boxes_path), "spans": cut.video.intervals, "scale": config.tube_scale}
        return {**key, "shift": config.clip_shift_anomalous, "slack": config.annotation_slack_frames}
    if cut.kind == "score":
        return {**key, "analysis_fps": config.analysis_fps, "every": config.i3d_score_every}
    return {**key, "shift": config.clip_shift_normal, "windows": config.tube_windows if cut.kind == "search" else 1}


def _build(cut: Cut, size: int, config: Config, folder: Path) -> None:
    """Count the video's frames, then one pass that holds the frames of one clip; whole frames are kept as well."""
    found = inspect(cut.video.path, config.picture_fps)
    ends, index = _plan(cut, found, config)
    windows_at = _finder(cut, ends, index, found, config)
    wanted = set(ends.tolist())
    recent: deque[tuple[np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=config.clip_frames)  # frame, flow, speeds
    windows: dict[int, list[Crop]] = {}  # by the clip's end
    whole, before = WholeFrames(cut.video, size, config, folder), None
    rgb, motion = (PictureWriter(folder / f"{stream}.bin") for stream in CLIP_STREAMS)
    with rgb, motion, kept_frames(cut.video, config, found.clock) as (read, frames):
        for position, frame in enumerate(frames):
            now = gray(frame)
            before, moved = now, motion_since(before, now, config.clip_flow_method)
            whole.see(frame, moved)
            recent.append((frame, moved, speeds(moved)))
            if position not in wanted:
                continue
            windows[position] = windows_at(position, [one[2] for one in recent])
            clip = filled(recent, config.clip_frames)
            for window in windows[position]:
                rgb.append(_strip([crop_frame(one[0], window, size) for one in clip]))
                motion.append(_strip([crop_flow(one[1], window, size) for one in clip]))
        whole.keep(read.decoded)
    first = dict(zip(windows, np.cumsum([0, *map(len, windows.values())]).tolist(), strict=False))
    count = np.array([len(windows[end]) for end in ends.tolist()], np.int64)
    shown = [first[end] + k for end in ends.tolist() for k in range(len(windows[end]))]
    index, ends, shown = np.repeat(index, count), np.repeat(ends, count), np.array(shown, np.int64)
    every = np.array([window for ones in windows.values() for window in ones], np.int64).reshape(-1, 4)
    np.savez(folder / "rows.npz", index=index, ends=ends, shown=shown, windows=every[shown])
    write_facts(folder, found)


def _plan(cut: Cut, found: Decoded, config: Config) -> Pairs:
    """(position of the last frame, frame number) of each clip. Raises DataError where there is none."""
    frames, fps, times = found.frames, found.clock.fps, found.clock.times
    if cut.kind == "score":
        return plan_clips(cut.video, frames, fps, config, "score", config.i3d_score_every, times)
    if cut.kind != "boxes":
        return plan_clips(replace(cut.video, category=NORMAL, intervals=()), frames, fps, config, "train", times=times)
    video, _ = vatic.clip_intervals(cut.video, frames, config.annotation_slack_frames)
    ends, index = plan_clips(video, frames, fps, config, "train", times=times)
    hard = video.frame_labels(frames)[index] == 1
    if not hard.any():
        what = f"no frame of {cut.video.name} counts as a hard anomaly, so there is no clip to cut"
        raise DataError(f"{cut.video.boxes_path}: {what}; mend the file, or take the video off the lists")
    return ends[hard], index[hard]


def _finder(cut: Cut, ends: np.ndarray, index: np.ndarray, found: Decoded, config: Config) -> Callable:
    """A function from (a clip's end, speeds of its frames) to its windows."""
    if cut.kind == "boxes":
        boxes, where = hard_frames.boxes_of(cut.video), str(cut.video.boxes_path)
        stride, size = stride_frames(found.clock.fps, config.clip_fps), (found.width, found.height)
        shown = found.clock.shown(found.frames)
        # a sample may come after the frame that its clip ends with
        last = dict(zip(ends.tolist(), index.tolist(), strict=True))

        def around(end: int, _: list[np.ndarray]) -> list[Crop]:
            first = max(end - config.clip_frames + 1, 0)
            return [window_around(box_of(boxes, int(shown[first * stride]), last[end], size, where), config.tube_scale)]

        return around
    wanted = np.unique(ends).tolist()
    draw = np.random.default_rng(int(file_digest(cut.video.path)[:15], 16))  # the same for the same video
    sides = dict(zip(wanted, draw.choice(cut.sides, len(wanted)).tolist(), strict=True))
    count = config.tube_windows if cut.kind == "search" else 1
    return lambda end, seen: windows_of_motion(np.sum(seen, axis=0), sides[end], count)


def _strip(pictures: list[np.ndarray]) -> np.ndarray:
    """A clip as one picture, a row of every frame after another: it compresses better. (S, S, 3)s -> (S * T, S, 3)."""
    return np.stack(pictures, axis=1).reshape(-1, *pictures[0].shape[1:])
