"""The second paper's models, whose instances are segments of a video: Learner, LSTM, attention and the joint model.

A file's segments are the experiment's: equal parts of the whole, so the file is seen once before its frames come. A
stream has no length to cut: there (our reading) the Learner scores the window up to now, as long as the training
videos' segments were in the median, and the other models the segment that goes on, after those before it. There is a
reading at every frame that the first paper's systems analyse: one clock for all anomaly scores.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
import torch

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.core.video import read_frames
from vadkit.corpora.video import NORMAL
from vadkit.live.analysers.base import Analyser, Images, Looking, Ticks, look_together
from vadkit.live.analysers.rows import ClipRows, Rows, row_features
from vadkit.models.joint import Output
from vadkit.models.network import recalled
from vadkit.systems.bags import at_bag_rate, rows_per_second
from vadkit.systems.joint import segment_count
from vadkit.systems.mil import LearnerSystem
from vadkit.systems.record import TrainedModel, read_facts
from vadkit.views.sampling import stride_frames
from vadkit.views.segments import Bag, even_rows, segment_bag


class LearnerModel:
    """A trained Learner, which scores each segment by itself; of a stream the mean of a window's rows.

    networks: that make the features of a video's rows, by stream; note: what to know of a stream's scores.
    """

    category = None

    def __init__(self, config: Config, trained: TrainedModel, fps: float):
        facts, self._module = read_facts(trained.path, "learner"), trained.system.load(trained.path)
        self.networks, self._segments = recalled(facts["networks"]), config.mil_segments
        seconds = facts["segment_seconds"]  # 0 where instances are rows
        self._window, self._rows = max(1, round(seconds * fps)), deque()
        why = f"a stream has no length to cut into {config.mil_segments} segments"
        self.note = f"a score is of the {seconds:.1f} s up to its frame: {why}" if seconds else ""

    def segments(self, frames: int, fps: float) -> int:
        """Into how many a video is cut, 0 where every row is one."""
        return self._segments

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Shape: (n, D) float32 in order of time -> (n,) in [0, 1]."""
        return self._module(torch.from_numpy(features)).numpy()

    def remarks(self, features: np.ndarray) -> tuple[str, ...]:
        """What else it says of a whole video, of the same features."""
        return ()

    def up_to(self, number: int, features: np.ndarray) -> np.ndarray:
        """What to score at a stream's row; the last score is the row's. Shape: (D,) -> (n, D)."""
        self._rows.append((number, features))
        while self._rows[0][0] <= number - self._window:
            self._rows.popleft()
        return _mean([one for _, one in self._rows])[None]


class SequenceModel:
    """LSTM, attention or joint model, as `LearnerModel`: all segments at once; a joint model names a class as well."""

    category = None  # the likeliest anomaly's, where it names classes

    def __init__(self, config: Config, trained: TrainedModel, fps: float):
        facts, self._module = read_facts(trained.path, "model"), trained.system.load(trained.path)
        self.networks, self._config, self._classes = recalled(facts["networks"]), config, trained.system.classes
        seconds, self._most = config.joint_segment_seconds, config.joint_max_segments
        self._length, self._segment, self._rows = seconds * fps, 0, []
        self._before: deque[np.ndarray] = deque(maxlen=self._most - 1)
        kept = f"of a stream the last {self._most} are remembered"
        self.note = f"a segment is {seconds:g} s and scored while it goes on; {kept}"

    def segments(self, frames: int, fps: float) -> int:
        return segment_count(frames, fps, self._config)

    def scores(self, features: np.ndarray) -> np.ndarray:
        output = self._output(features)
        self.category = next((name for _, name in self._likely(output) if name != NORMAL), None)
        return output.scores[0].numpy()

    def remarks(self, features: np.ndarray) -> tuple[str, ...]:
        named = [f"{name} ({100 * share:.0f} %)" for share, name in self._likely(self._output(features))[:2]]
        return (f"its class, as the model sees it: {', then '.join(named)}",) if named else ()

    def up_to(self, number: int, features: np.ndarray) -> np.ndarray:
        segment = int(number / self._length)
        if self._rows and segment > self._segment:  # those without a row repeat, as in `segments.segment_bag`
            self._before.extend([_mean(self._rows)] * min(segment - self._segment, self._most))
            self._rows = []
        self._segment = segment
        self._rows.append(features)
        return np.stack([*self._before, _mean(self._rows)])

    def _likely(self, output: Output) -> list[tuple[float, str]]:
        """Share and name of each class, the likeliest first; none where it tells no classes apart."""
        shares = [] if output.classes is None else output.classes[0].softmax(dim=0).tolist()
        return sorted(zip(shares, self._classes, strict=bool(shares)), reverse=True)

    @torch.inference_mode()
    def _output(self, features: np.ndarray) -> Output:
        return self._module(torch.from_numpy(features)[None], torch.ones(1, len(features), dtype=torch.bool))


class _SegmentAnalyser(Analyser):
    """Makes the features of a video's rows as its frames come, and scores what is made of them."""

    def __init__(self, config: Config, model: LearnerModel | SequenceModel, fps: float):
        super().__init__(config, fps)
        self.model, self._stride = model, stride_frames(fps, config.analysis_fps)
        if config.mil_features == "streams":
            self._rows = Rows(config, fps, rows_per_second(config))
        else:
            sizes = {stream: network.size for stream, network in model.networks.items()}
            self._rows = ClipRows(at_bag_rate(config), fps, sizes)

    def features_of(self, rows: Sequence[Images]) -> torch.Tensor:
        with torch.inference_mode():
            return row_features(self.config, self.model.networks, rows, self.nominal_s > 0)

    def _features(self, tick: int, frame: np.ndarray, again: bool = False) -> Generator:
        """In steps, as `looking`. Shape: (H, W, 3) -> (D,) float16 at a row, None between rows."""
        if not self._rows.wants(tick):
            return None
        with self._timed("flow"):
            images = self._rows.images(tick, frame, again)
        if images is None:
            return None
        self.analysed += 1
        return (yield images)[0].cpu().numpy()

    def _scores(self, features: np.ndarray) -> np.ndarray:
        with self._timed("head"), torch.inference_mode():
            return self.model.scores(np.asarray(features, np.float32))


class StreamAnalyser(_SegmentAnalyser):
    """Looks back only: the score of a row stands until the next."""

    _now: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        return (self.model.note,) if self.model.note else ()

    def wants(self, tick: int) -> bool:
        return self._rows.wants(tick) or tick % self._stride == 0

    @property
    def category(self) -> str | None:
        return self.model.category

    def seeing(self, tick: int, frame: np.ndarray, number: int | None, again: bool) -> Looking:
        if (features := (yield from self._features(tick, frame, again))) is not None:
            instances = self.model.up_to(tick, features)
            self.features, self._now = instances[-1], float(self._scores(instances)[-1])
        return None if self._now is None or tick % self._stride or again else self._reading(tick, self._now)


class FileAnalyser(_SegmentAnalyser):
    """Scores a file's segments: `look_ahead` sees it whole, keeping all rows' features, `see` gives what stands."""

    _bag: Bag | None = None

    def wants(self, tick: int) -> bool:
        return tick % self._stride == 0

    def seeing(self, tick: int, frame: np.ndarray, number: int | None, again: bool) -> Looking:
        yield from ()  # its features are there
        if self._bag is None:
            raise ValueError("the segments of a file are known once look_ahead has seen it")
        if again or not self.wants(tick):
            return None
        segment = np.searchsorted(self._bag.starts, tick if number is None else number, side="right") - 1
        self.features = self._bag.features[segment]
        return self._reading(tick, float(self._values[segment]))

    def look_ahead(self, path: Path, stopped: Callable[[], bool], progress: Progress | None) -> None:
        """See the file and score its segments. Of a file that breaks off what came is cut.

        Raises DataError where it gives no frame, has fewer frames than segments, or is stopped: there is no score yet.
        """
        found, frames, length = {}, 0, 0  # found: by frame number, at which tick and what
        ticks, started = Ticks(self.fps), time.perf_counter()
        source = read_frames(path, lambda _: ticks.wanted(source.time_s, self._rows.wants), self.config.picture_fps)
        try:
            for number, image in source:
                if stopped():
                    found = None
                    break
                frames = number + 1
                for tick in ticks.take(source.time_s):
                    length = tick + 1
                    steps = self._features(tick, image, again=number in found)
                    if (features := look_together([self], [steps])[0]) is not None:
                        found[number] = (tick, features)
                        if progress is not None:
                            progress(number, max(source.probe.frames, frames), f"looking ahead in {path.name}")
            else:
                frames = source.decoded.frames
                length = len(source.decoded.clock.shown(frames))
        except DataError:
            if not found:
                raise
        finally:
            source.close()
        if found is None:
            raise DataError(f"{path}: stopped while it was looked through for its segments; no score was known yet")
        spent = time.perf_counter() - started
        self.seconds["decode"] += spent - self.seconds["flow"] - self.seconds["backbone"]
        at, features = zip(*found.values(), strict=True)
        self._score_segments(np.array(list(found)), np.array(at), np.stack(features), frames, length, path.name)
        self.ahead_seconds = spent / frames

    def _score_segments(self, index, ticks, features: np.ndarray, frames: int, length: int, name: str) -> None:
        """As `vadkit.systems.bags` does: of the rows the even ones, and their mean in each segment."""
        count, rate = self.model.segments(length, self.fps), rows_per_second(self.config)
        if rate is not None and self.config.mil_features == "streams":
            # which rows are even depends on where the video ends: the experiment may leave out the last
            grid = np.arange(0, length, self._stride)
            kept = np.isin(ticks, grid[even_rows(grid, stride_frames(self.fps, rate))])
            index, features = index[kept], features[kept]
        self._bag = segment_bag(index, features, frames, count, name)
        self._values, self.notes = self._scores(self._bag.features), self.model.remarks(self._bag.features)
        if count:
            ahead = "a segment's score stands from its first frame on, so it looks ahead"
            self.notes = (f"{count} segments of {length / count / self.fps:.1f} s: {ahead}", *self.notes)


def analyser_of(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> Analyser:
    """With model and backbones loaded. Raises WeightsError where a backbone's weights are no longer the training's."""
    model = (LearnerModel if isinstance(trained.system, LearnerSystem) else SequenceModel)(config, trained, fps)
    if not model.networks:
        remedy = "a video can be scored where the features are our own (mil_features)"
        raise DataError(f"{trained.system.name} was trained on features that others publish; {remedy}")
    return (StreamAnalyser if endless else FileAnalyser)(config, model, fps)


def _mean(rows: list[np.ndarray]) -> np.ndarray:
    return np.mean([row.astype(np.float32) for row in rows], axis=0)
