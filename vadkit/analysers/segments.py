"""The second paper's Learner, whose instances are segments of a video.

A file's segments are the experiment's: equal parts of the whole, so the file is seen once before its frames come, and a
segment's score stands from its first frame on, which is looking ahead by up to a segment. A stream has no length to cut. There
a score is that of the window up to now, as long as the training videos' segments were in the median (our reading). With
mil_segments 0 each analysed frame is an instance, and file and stream are alike.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vadkit.analysers.base import Analyser, Reading
from vadkit.analysers.networks import pooled_now
from vadkit.analysers.rows import ClipRows, Rows
from vadkit.bags import at_bag_rate, rows_per_second
from vadkit.config import Config
from vadkit.devices import device_of
from vadkit.errors import DataError
from vadkit.mil_training import LearnerFacts, learner_facts, load_learner
from vadkit.models.backbones import fused
from vadkit.models.mil import Learner
from vadkit.sampling import stride_frames
from vadkit.segments import cut, even_rows
from vadkit.trained import TrainedModel
from vadkit.video import read_frames


class Instances:
    """Features of a video's rows as its frames come: `see` gives (D,) float16 at a row, None between them."""

    def __init__(self, config: Config, facts: LearnerFacts, fps: float):
        self.networks, device = facts.networks, device_of(config)
        built = [network.build(device) for network in facts.networks.values()]
        if config.mil_features == "streams":
            self.rows, self._modules = Rows(config, fps, rows_per_second(config)), [fused(one) for one in built]
        else:
            sizes = {stream: network.size for stream, network in facts.networks.items()}
            self.rows, self._modules = ClipRows(at_bag_rate(config), fps, sizes), built

    def wants(self, number: int) -> bool:
        return self.rows.wants(number)

    def see(self, number: int, frame: np.ndarray, timed: Callable) -> np.ndarray | None:
        with timed("flow"):
            images = self.rows.images(number, frame)
        if images is None:
            return None
        with timed("backbone"), torch.inference_mode():
            return pooled_now(self._modules, self.networks, images)[0].cpu().numpy()


class _LearnerAnalyser(Analyser):
    def __init__(self, config: Config, learner: Learner, instances: Instances, fps: float):
        super().__init__(config, fps)
        self.learner, self.instances = learner, instances

    def wants(self, number: int) -> bool:
        return self.instances.wants(number)

    def _instance(self, number: int, frame: np.ndarray) -> np.ndarray | None:
        features = self.instances.see(number, frame, self._timed)
        self.analysed += features is not None
        return features

    def _scores(self, features: np.ndarray) -> np.ndarray:
        """Shape: (n, D) -> (n,)."""
        with self._timed("head"), torch.inference_mode():
            return self.learner(torch.from_numpy(np.asarray(features, np.float32))).numpy()


class WindowAnalyser(_LearnerAnalyser):
    """Scores the mean of the last window_seconds at every row; a window of 0 is the row itself."""

    def __init__(self, config: Config, learner: Learner, instances: Instances, fps: float, window_seconds: float):
        super().__init__(config, learner, instances, fps)
        self._window = max(1, round(window_seconds * fps))
        self._held: deque[tuple[int, np.ndarray]] = deque()
        if window_seconds:
            self.notes = (f"a score is of the {window_seconds:.1f} s up to its frame: a stream has no length to cut into {config.mil_segments} segments",)

    def see(self, number: int, frame: np.ndarray) -> Reading | None:
        if not self.wants(number) or (features := self._instance(number, frame)) is None:
            return None
        self._held.append((number, features))
        while self._held[0][0] <= number - self._window:
            self._held.popleft()
        mean = np.mean([one.astype(np.float32) for _, one in self._held], axis=0)
        return self._reading(number, float(self._scores(mean[None])[0]))


class SegmentAnalyser(_LearnerAnalyser):
    """Scores a file's equal segments: `look_ahead` sees it whole, `see` gives each segment's score at its first frame.

    Keeps the features of all rows until the segments are cut: a few kilobytes for each second of video.
    """

    _scored: dict[int, float] | None = None

    def wants(self, number: int) -> bool:
        return number in self._known()

    def see(self, number: int, frame: np.ndarray) -> Reading | None:
        value = self._known().get(number)
        return None if value is None else self._reading(number, value)

    def look_ahead(self, path: Path, stopped: Callable[[], bool] = lambda: False) -> None:
        """See the file and score its segments. Of a file that breaks off what came is cut.

        Raises DataError where it gives no frame, has fewer frames than segments, or is stopped: there is no score yet.
        """
        index, features, frames, halted = [], [], 0, False
        source, started = read_frames(path, self.instances.wants), time.perf_counter()
        try:
            for number, image in source:
                if halted := stopped():
                    break
                frames = number + 1
                if (found := self._instance(number, image)) is not None:
                    index.append(number)
                    features.append(found)
            else:
                frames = source.decoded.frames
        except DataError:
            if not index:
                raise
        finally:
            source.close()
        if halted:
            raise DataError(f"{path}: stopped while it was looked through for its segments; no score was known yet")
        spent = time.perf_counter() - started
        self.seconds["decode"] += spent - self.seconds["flow"] - self.seconds["backbone"]
        self._score_segments(np.array(index), np.stack(features), frames, path.name)
        self.ahead_seconds = spent / frames

    def _score_segments(self, index: np.ndarray, features: np.ndarray, frames: int, name: str) -> None:
        """As `mil_training` does: of the rows the even ones, their mean in each segment, the Learner."""
        bag = cut(*self._even(index, features, frames), frames, self.config.mil_segments, name)
        self._scored = dict(zip(bag.starts.tolist(), self._scores(bag.features).tolist(), strict=True))
        seconds = frames / self.config.mil_segments / self.fps
        self.notes = (f"{self.config.mil_segments} segments of {seconds:.1f} s: a segment's score stands from its first frame on, so it looks ahead",)

    def _even(self, index: np.ndarray, features: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Without the last row where the experiment leaves it out: which rows are the even ones depends on where the video ends."""
        rate = rows_per_second(self.config)
        if rate is None or self.config.mil_features != "streams":
            return index, features
        grid = np.arange(0, frames, stride_frames(self.fps, self.config.analysis_fps))
        kept = np.isin(index, grid[even_rows(grid, stride_frames(self.fps, rate))])
        return index[kept], features[kept]

    def _known(self) -> dict[int, float]:
        if self._scored is None:
            raise ValueError("the segments of a file are known once look_ahead has seen it")
        return self._scored


def analyser_of(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> Analyser:
    """With Learner and backbones loaded. Raises WeightsError where the backbone's weights are no longer the training's."""
    facts, learner = learner_facts(trained.path), load_learner(trained.path)
    if not facts.networks:
        raise DataError(f"{trained.system} was trained on features that others publish; a video can be scored where the features are our own (notebook 10)")
    instances = Instances(config, facts, fps)
    if endless or not config.mil_segments:
        return WindowAnalyser(config, learner, instances, fps, facts.segment_seconds)
    return SegmentAnalyser(config, learner, instances, fps)
