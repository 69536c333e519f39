"""Grad-CAM: which place of a frame speaks for "anomalous", and whether that place is where the anomaly is.

Section 5.5 and figure 4 of the first paper show two pictures; `vadkit.studies.gradcam_checks` measures what they
suggest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pytorch_grad_cam import GradCAM

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.video import frames_at, probe
from vadkit.corpora.hard_frames import boxes_of
from vadkit.corpora.video import Video
from vadkit.systems.gradcam import WHOLE, heat_maps
from vadkit.systems.runner import Run
from vadkit.systems.scorer import Scorer, load_model
from vadkit.views.clips import Clips
from vadkit.views.flow import Streams
from vadkit.views.frames import Samples
from vadkit.views.sampling import FLOWS_OF_A_WINDOW, flows_of, stride_frames

PANEL = (320, 240)  # width and height of a picture in figure 4, in pixels
PICTURES = {"flow": "flow", "speed": "speed, motion window", "frame": "frame", "rgb": "clip"}  # in the panels' order


@dataclass(frozen=True, eq=False)
class Explained:
    """One frame of a test video with its maps; of a clip, the frame that it ends with.

    heat: (h, w) in [0, 1] by stream, over the stream's own image; seen: the part of the frame that this image shows,
    (left, top, right, bottom); boxes: (k, 4) likewise. All places are shares of the frame's width and height.
    """

    video: Video
    row: int
    frame: int
    confidence: float
    heat: Mapping[str, np.ndarray]
    seen: Mapping[str, tuple[float, float, float, float]]
    boxes: np.ndarray


# --- which frames ------------------------------------------------------------------------------------------------


def explain_run(
    run: Run, per_video=4, seed=0, change: Callable | None = None, progress: Progress | None = None, method=GradCAM
) -> list[Explained]:
    """Maps of the anomalous test videos, each by the model that did not train on it.

    per_video: hard frames of a video, evenly spaced among the analysed ones, with a box where the video has boxes.
    seed: which of the run's, by place. change: what is done to each scorer first (`gradcam_checks.randomised`). method:
    of `heat_maps`. Raises DataError where no analysed test frame is hard, or a video has become shorter.
    """
    config, one = run.config, run.seeds[seed]
    found, total = {}, sum(len(fold.sides.test) for fold in one.folds)
    for fold in one.folds:
        scorer = load_model(fold.path, device_of(config))
        scorer = change(scorer) if change else scorer
        for samples in fold.sides.test:
            found[samples.video.name] = explain_video(config, scorer, samples, per_video, method)
            if progress is not None:
                progress(len(found), total, f"Grad-CAM, seed {one.seed}")
    frames = [frame for video in one.scores for frame in found.get(video.name, ())]
    if not frames:
        none = f"none of {total} test videos has an analysed frame inside a hard anomaly: there is nothing to explain"
        raise DataError(f"{none}; raise analysis_fps, or look at the annotations")
    return frames


def explain_video(config: Config, scorer: Scorer, samples: Samples | Clips, per_video=4, method=GradCAM) -> list:
    """Maps of one video's hard frames, as for `explain_run`; none for a normal video."""
    rows, frames = _candidates(config, samples)
    boxes = _boxes(samples.video)
    hard = samples.video.frame_labels(samples.frames)[frames] == 1
    if boxes:
        hard &= np.isin(frames, list(boxes))
    chosen = rows[hard][_spread(int(hard.sum()), per_video)] if hard.any() else rows[:0]
    return explain_rows(config, scorer, samples, chosen, method)


def explain_rows(config: Config, scorer: Scorer, samples: Samples | Clips, rows: np.ndarray, method=GradCAM) -> list:
    """Maps of any rows of one video, an `Explained` each, whatever their labels."""
    if not len(rows):
        return []
    frames, boxes = _frames(config, samples, rows), _boxes(samples.video)
    images = {stream: samples.images(stream, rows) for stream in scorer.networks}
    heat, confidences = heat_maps(scorer, images, samples.bags[rows] if scorer.system.bag else None, method)
    found = []
    for n, (row, frame, seen) in enumerate(zip(rows, frames.tolist(), _seen(config, samples, rows), strict=True)):
        maps, annotated = {stream: heat[stream][n] for stream in heat}, boxes.get(frame, np.empty((0, 4)))
        found.append(Explained(samples.video, int(row), frame, float(confidences[n]), maps, seen, annotated))
    return found


def _candidates(config: Config, samples: Samples | Clips) -> tuple[np.ndarray, np.ndarray]:
    """Scoring rows and their `_frames`; a clip that several share stands once."""
    rows = samples.rows("score", config)
    if isinstance(samples, Clips):
        rows = rows[np.unique(samples.ends[rows], return_index=True)[1]]
    return rows, _frames(config, samples, rows)


def _frames(config: Config, samples: Samples | Clips, rows: np.ndarray) -> np.ndarray:
    """The last frame that the network sees in each row, of a clip its end."""
    if isinstance(samples, Clips):
        return samples.clock.shown(samples.frames)[samples.ends[rows] * stride_frames(samples.fps, config.clip_fps)]
    return samples.index[rows]


def _boxes(video: Video) -> dict[int, np.ndarray]:
    """The annotated boxes of each frame as shares of the frame; empty where the video has none."""
    if video.boxes_path is None:
        return {}
    facts, found = probe(video.path), boxes_of(video)
    sides = np.array([facts.width, facts.height] * 2, float)
    return {n: np.array([[b.xmin, b.ymin, b.xmax, b.ymax] for b in boxes]) / sides for n, boxes in found.items()}


def _seen(config: Config, samples: Samples | Clips, rows: np.ndarray) -> list[dict[str, tuple[float, ...]]]:
    """By row, the part of the frame that each stream's image shows."""
    windowed = [name for name, on in (("frame", config.frame_window), ("speed", config.speed_stream)) if on]
    plain = dict.fromkeys(PICTURES, WHOLE)
    if not windowed or isinstance(samples, Clips):
        return [plain] * len(rows)
    flows = [(int(samples.flow_from[row]), int(samples.index[row])) for row in rows]
    wanted = {number for flow in flows for pair in flows_of(*flow, FLOWS_OF_A_WINDOW) for number in pair}
    streams = Streams(config, samples.fps)
    for number, frame in frames_at(samples.video.path, wanted).items():
        streams.see(number, frame)
    windows = [streams.window(number, start) for start, number in flows]
    return [plain | dict.fromkeys(windowed, (w.x, w.y, w.x + 0.5, w.y + 0.5)) for w in windows]


def choose(explained: Sequence[Explained], count: int = 4) -> list[Explained]:
    """Frames to show, by a rule: of each video its most confident one; of these, evenly spaced by confidence."""
    best: dict[str, Explained] = {}
    for one in sorted(explained, key=lambda one: (-one.confidence, one.video.name)):
        best.setdefault(one.video.name, one)
    ordered = list(best.values())
    return [ordered[place] for place in _spread(len(ordered), count)]


def _spread(length: int, count: int) -> np.ndarray:
    """At most `count` places of a list, evenly spaced from its first to its last."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int))


# --- figure 4 ----------------------------------------------------------------------------------------------------


def panels(explained: Explained, samples: Samples | Clips) -> list[tuple[np.ndarray, str]]:
    """For each stream its picture and Grad-CAM on it, with titles; the boxes in white.

    Shape: (240, 320, 3) uint8 RGB each. In the order of figure 4: flow before frame. Speed is shown as the network
    sees it, the motion window alone. Raises DataError where the video cannot be read or has become too short.
    """
    found = []
    for stream in (name for name in PICTURES if name in explained.heat):
        if stream in ("frame", "rgb"):
            picture = frames_at(samples.video.path, [explained.frame])[explained.frame][:, :, ::-1]
        else:
            picture = samples.images(stream, [explained.row])[0]
        picture = cv2.resize(picture, PANEL, interpolation=cv2.INTER_AREA)
        boxes, heat = explained.boxes, in_frame(explained, stream)
        if stream == "speed":
            left, top, right, bottom = explained.seen[stream]
            boxes = (boxes - [left, top, left, top]) / [right - left, bottom - top, right - left, bottom - top]
            heat = cv2.resize(explained.heat[stream], PANEL, interpolation=cv2.INTER_LINEAR)
        colours = cv2.applyColorMap(np.uint8(255 * np.clip(heat, 0, 1)), cv2.COLORMAP_PLASMA)[:, :, ::-1]
        found.append((_boxed(picture, boxes), PICTURES[stream]))
        found.append((_boxed(np.uint8(0.5 * picture + 0.5 * colours), boxes), f"Grad-CAM, {stream}"))
    about = f"{explained.video.name}, frame {explained.frame}: {explained.confidence:.2f}; {found[0][1]}"
    return [(found[0][0], about), *found[1:]]


def in_frame(explained: Explained, stream: str) -> np.ndarray:
    """A stream's map over the whole frame, 0 where its image does not reach. Shape: -> (240, 320) float32."""
    sides = zip(explained.seen[stream], PANEL * 2, strict=True)
    left, top, right, bottom = (round(share * side) for share, side in sides)
    found, part = np.zeros(PANEL[::-1], np.float32), (right - left, bottom - top)
    found[top:bottom, left:right] = cv2.resize(explained.heat[stream], part, interpolation=cv2.INTER_LINEAR)
    return found


def _boxed(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    picture = np.ascontiguousarray(picture)
    for left, top, right, bottom in boxes * [*PANEL, *PANEL]:
        corners = (round(left), round(top)), (round(right), round(bottom))
        cv2.rectangle(picture, *corners, (0, 0, 0), 4)
        cv2.rectangle(picture, *corners, (255, 255, 255), 2)
    return picture
