"""The second paper's models, whose instances are segments of a video: the Learner, the LSTM, attention and the joint model.

A file's segments are the experiment's: equal parts of the whole, so the file is seen once before its frames come, and a
segment's score stands from its first frame on, which is looking ahead by up to a segment. A stream has no length to cut. There
(our reading) the Learner scores the window up to now, as long as the training videos' segments were in the median, and the
models that know an order score the segment that goes on, after those before it.

There is a reading at every frame that the first paper's systems analyse, whatever a segment lasts: one clock for all anomaly scores.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from vadkit.core.compute import device_of
from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.video import read_frames
from vadkit.live.analysers.base import Analyser, Reading
from vadkit.live.analysers.networks import pooled_now
from vadkit.live.analysers.rows import ClipRows, Rows
from vadkit.models.backbones import fused
from vadkit.models.joint import Output
from vadkit.models.network import Network
from vadkit.systems.bags import at_bag_rate, rows_per_second
from vadkit.systems.joint import joint_facts, load_model, segment_count
from vadkit.systems.mil import learner_facts, load_learner
from vadkit.systems.record import TrainedModel
from vadkit.views.sampling import stride_frames
from vadkit.views.segments import Bag, cut, even_rows


class BagModel(Protocol):
    """What scores the segments of a video. networks: that make the features of its rows, by stream."""

    networks: Mapping[str, Network]

    def segments(self, frames: int, fps: float) -> int:
        """Into how many segments a video is cut; 0: every row is one."""

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Shape: (n, D) float32 in order of time -> (n,) in [0, 1]."""

    def remarks(self, features: np.ndarray) -> tuple[str, ...]:
        """What else it says of a whole video. Shape: (n, D) float32."""


class LearnerModel:
    """The Learner: each segment by itself. seconds: a stream's window."""

    def __init__(self, config: Config, path: Path):
        facts = learner_facts(path)
        self.networks, self.seconds = facts.networks, facts.segment_seconds
        self._config, self._learner = config, load_learner(path)

    def segments(self, frames: int, fps: float) -> int:
        return self._config.mil_segments

    def scores(self, features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._learner(torch.from_numpy(features)).numpy()

    def remarks(self, features: np.ndarray) -> tuple[str, ...]:
        return ()


class SequenceModel:
    """LSTM, attention or joint model: all segments of a video at once; the joint model names its class as well."""

    def __init__(self, config: Config, path: Path):
        facts = joint_facts(path)
        self.networks, self.classes = facts.networks, facts.classes
        self._config, self._model = config, load_model(path)

    def segments(self, frames: int, fps: float) -> int:
        return segment_count(frames, fps, self._config)

    def scores(self, features: np.ndarray) -> np.ndarray:
        return self._output(features).scores[0].numpy()

    def remarks(self, features: np.ndarray) -> tuple[str, ...]:
        logits = self._output(features).classes
        if logits is None:
            return ()
        shares = logits[0].softmax(dim=0).tolist()
        likely = sorted(zip(shares, self.classes, strict=True), reverse=True)[:2]
        return (
            "its class, as the model sees it: "
            + ", then ".join(f"{name} ({100 * share:.0f} %)" for share, name in likely),
        )

    def _output(self, features: np.ndarray) -> Output:
        with torch.inference_mode():
            return self._model(torch.from_numpy(features)[None], torch.ones(1, len(features), dtype=torch.bool))


class Instances:
    """Features of a video's rows as its frames come: `see` gives (D,) float16 at a row, None between them."""

    def __init__(self, config: Config, networks: Mapping[str, Network], fps: float):
        self.networks, device = networks, device_of(config)
        built = [network.build(device) for network in networks.values()]
        if config.mil_features == "streams":
            self.rows, self._modules = Rows(config, fps, rows_per_second(config)), [fused(one) for one in built]
        else:
            sizes = {stream: network.size for stream, network in networks.items()}
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


class _BagAnalyser(Analyser):
    def __init__(self, config: Config, model: BagModel, fps: float):
        super().__init__(config, fps)
        self.model, self.instances = model, Instances(config, model.networks, fps)
        self._stride = stride_frames(fps, config.analysis_fps)

    def _instance(self, number: int, frame: np.ndarray) -> np.ndarray | None:
        features = self.instances.see(number, frame, self._timed) if self.instances.wants(number) else None
        self.analysed += features is not None
        return features

    def _scores(self, features: np.ndarray) -> np.ndarray:
        """Shape: (n, D) -> (n,)."""
        with self._timed("head"):
            return self.model.scores(np.asarray(features, np.float32))


class _StreamAnalyser(_BagAnalyser):
    """Looks back only: `_value` is asked at every row, and stands until the next."""

    _now: float | None = None

    def wants(self, number: int) -> bool:
        return self.instances.wants(number) or number % self._stride == 0

    def see(self, number: int, frame: np.ndarray) -> Reading | None:
        features = self._instance(number, frame)
        if features is not None:
            self._now = self._value(number, features)
        return None if self._now is None or number % self._stride else self._reading(number, self._now)

    @abstractmethod
    def _value(self, number: int, features: np.ndarray) -> float:
        """The score at a row. Shape: (D,) -> in [0, 1]."""


class WindowAnalyser(_StreamAnalyser):
    """Scores the mean of the last window_seconds; a window of 0 is the row itself."""

    def __init__(self, config: Config, model: BagModel, fps: float, window_seconds: float):
        super().__init__(config, model, fps)
        self._window = max(1, round(window_seconds * fps))
        self._held: deque[tuple[int, np.ndarray]] = deque()
        if window_seconds:
            self.notes = (
                f"a score is of the {window_seconds:.1f} s up to its frame: a stream has no length to cut into {config.mil_segments} segments",
            )

    def _value(self, number: int, features: np.ndarray) -> float:
        self._held.append((number, features))
        while self._held[0][0] <= number - self._window:
            self._held.popleft()
        return float(self._scores(_mean([one for _, one in self._held])[None])[0])


class SequenceAnalyser(_StreamAnalyser):
    """Scores the segment that goes on, by its rows so far, after the segments before it.

    Segments last config.joint_segment_seconds; the last config.joint_max_segments of them are kept.
    """

    def __init__(self, config: Config, model: BagModel, fps: float):
        super().__init__(config, model, fps)
        self._length, self._segment = config.joint_segment_seconds * fps, 0
        self._before: deque[np.ndarray] = deque(maxlen=config.joint_max_segments - 1)
        self._held: list[np.ndarray] = []
        self.notes = (
            f"a segment is {config.joint_segment_seconds:g} s and scored while it goes on; of a stream the last {config.joint_max_segments} are remembered",
        )

    def _value(self, number: int, features: np.ndarray) -> float:
        segment = int(number / self._length)
        if self._held and segment > self._segment:
            self._before.extend(
                [_mean(self._held)] * min(segment - self._segment, self.config.joint_max_segments)
            )  # those without a row repeat, as in `segments.cut`
            self._held = []
        self._segment = segment
        self._held.append(features)
        return float(self._scores(np.stack([*self._before, _mean(self._held)]))[-1])


class SegmentAnalyser(_BagAnalyser):
    """Scores a file's segments: `look_ahead` sees it whole, `see` gives what stands at a frame.

    Keeps the features of all rows until the segments are cut: a few kilobytes for each second of video.
    """

    _bag: Bag | None = None

    def wants(self, number: int) -> bool:
        return number % self._stride == 0

    def see(self, number: int, frame: np.ndarray) -> Reading | None:
        if self._bag is None:
            raise ValueError("the segments of a file are known once look_ahead has seen it")
        if not self.wants(number):
            return None
        return self._reading(number, float(self._values[np.searchsorted(self._bag.starts, number, side="right") - 1]))

    def look_ahead(
        self, path: Path, stopped: Callable[[], bool] = lambda: False, progress: Progress | None = None
    ) -> None:
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
                    if progress is not None:
                        progress(number, max(source.probe.frames, frames), f"looking ahead in {path.name}")
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
        """As `vadkit.systems.bags` does: of the rows the even ones, and their mean in each segment."""
        count = self.model.segments(frames, self.fps)
        self._bag = cut(*self._even(index, features, frames), frames, count, name)
        self._values = self._scores(self._bag.features)
        looks = (
            (
                f"{count} segments of {frames / count / self.fps:.1f} s: a segment's score stands from its first frame on, so it looks ahead",
            )
            if count
            else ()
        )
        self.notes = (*looks, *self.model.remarks(self._bag.features))

    def _even(self, index: np.ndarray, features: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Without the last row where the experiment leaves it out: which rows are the even ones depends on where the video ends."""
        rate = rows_per_second(self.config)
        if rate is None or self.config.mil_features != "streams":
            return index, features
        grid = np.arange(0, frames, stride_frames(self.fps, self.config.analysis_fps))
        kept = np.isin(index, grid[even_rows(grid, stride_frames(self.fps, rate))])
        return index[kept], features[kept]


def analyser_of(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> Analyser:
    """With model and backbones loaded. Raises WeightsError where the backbone's weights are no longer the training's."""
    model = LearnerModel(config, trained.path) if trained.is_learner else SequenceModel(config, trained.path)
    if not model.networks:
        raise DataError(
            f"{trained.system} was trained on features that others publish; a video can be scored where the features are our own (mil_features)"
        )
    if not endless:
        return SegmentAnalyser(config, model, fps)
    return (
        WindowAnalyser(config, model, fps, model.seconds)
        if trained.is_learner
        else SequenceAnalyser(config, model, fps)
    )


def _mean(rows: list[np.ndarray]) -> np.ndarray:
    return np.mean([row.astype(np.float32) for row in rows], axis=0)
