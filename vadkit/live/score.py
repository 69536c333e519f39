"""Score a video, a stream or a camera as it comes: frame by frame, looking back only, in constant memory.

    verdict = score("door.mp4", find_model("outputs/demo"), overlay="door-scored.mp4", table="door.csv")

The numbers are those of the experiment for the same video. A frame's score is known once it has been decoded, but for
segments, which are parts of a whole file (`vadkit.live.analysers.segments`); between analysed frames the last stands.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vadkit.core.config import PLACES
from vadkit.core.disk import on_disk, whole_file
from vadkit.core.encode import write_h264
from vadkit.core.errors import DataError, shown
from vadkit.core.progress import Progress
from vadkit.core.video import Frames, read_frames
from vadkit.live.analysers import Analyser, Reading, make_analyser
from vadkit.live.familiarity import NOT_RECORDED, Familiarity, familiarity_of
from vadkit.live.overlay import CLOSING_SECONDS, Painter
from vadkit.live.source import Camera, is_live
from vadkit.systems.record import TrainedModel

COLUMNS = ("frame", "time_s", "confidence", "sas", "alarm")
RATE_WINDOW = 90  # frames, over which the shown speed is a mean


@dataclass(frozen=True)
class Shot:
    """A frame with the last reading up to it, the share of frames in alarm so far, and the speed of scoring."""

    number: int
    time_s: float
    image: np.ndarray
    reading: Reading
    share: float
    processing_fps: float


@dataclass(frozen=True)
class Verdict:
    """What a whole video came to. seconds: time spent in each of `analysers.STAGES`; wall_s: in all, with drawing and
    encoding; lag_s: behind a stream at its end; unlike: that its picture is unlike what the system was trained on."""

    frames: int
    analysed: int
    fps: float
    share: float
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    broken: str = ""  # why the video ended early
    stopped: bool = False  # by hand
    wall_s: float = 0.0
    lag_s: float | None = None
    unlike: str = ""

    @property
    def abnormal(self) -> bool:
        """Whether there was an alarm in any frame (Petrocchi, section 5.1; Raqeeb has no threshold for the share)."""
        return self.share > 0

    @property
    def word(self) -> str:
        return "abnormal" if self.abnormal else "normal"

    @property
    def real_time_factor(self) -> float:
        """Seconds of video scored per second, drawing and encoding included; above 1 it keeps up with a camera."""
        return self.frames / self.fps / max(self.wall_s, 1e-9)


def score(
    video, trained, overlay=None, table=None, config=None, stopped=None, progress=None, each=None, calibration=None
) -> Verdict:
    """Score a video file, stream URL or camera number; writes a film and a CSV where asked for, each whole.

    trained: a TrainedModel; overlay, table: paths; config: the model's own, or with changes that `System.scoring`
    allows; calibration: of its camera; stopped: asked after each frame; each: called with every reading, of which none
    looks ahead then. A video that breaks off midway is judged by what came: `Verdict.broken`. Raises DataError for one
    that cannot be opened or gives no frame, DiskError for outputs that cannot be written, and as loading does.
    """
    live = is_live(str(video))
    stopped = stopped or (lambda: False)
    config = trained.config if config is None else trained.changed(config.model_dump())
    now, then = (one.model_dump(exclude=PLACES) for one in (config, trained.config))
    changed = tuple(f"{name} is {now[name]}, in training {was}" for name, was in then.items() if now[name] != was)
    overlay, table = writable(overlay, video, ".mp4"), writable(table, video, ".csv")
    if overlay is not None and overlay == table:
        raise DataError(f"overlay and CSV are both {overlay}; give them two names")
    wanted = None  # a film shows every frame
    if overlay is None:
        wanted = lambda _: analyser.ticks.wanted(source.time_s, analyser.wants)  # noqa: E731
    source = Camera(str(video)) if live else read_frames(video, wanted, config.picture_fps)
    try:
        analyser = make_analyser(trained, config, source.probe.fps, endless=live or each is not None)
        if not live and each is None:
            analyser.look_ahead(Path(video), stopped, progress)
        known = familiarity_of(trained)
        said = [*changed, known.note if known else f"{trained.system.name} was {NOT_RECORDED}"]
        if calibration:
            analyser.alarm_above(calibration.tau)
            said.append(calibration.note)
        session = _Session(analyser, source, str(video), stopped, progress, said, known, each)
        with _table(table) as write:
            if overlay is None:
                for _ in session.shots(write):
                    pass
            else:
                film = _film(session, write, f"{trained.system.name} seed {trained.seed}")
                write_h264(overlay, film, source.probe.fps)
        if live:
            return session.verdict(source.notes)
        if session.broken or session.was_stopped:
            return session.verdict()
        session.count_to(source.decoded.frames)  # those after the last one analysed
        return session.verdict(source.decoded.notes)
    finally:
        source.close()


def describe(verdict: Verdict, trained: TrainedModel, *written: str | Path | None) -> list[str]:
    """What `vadkit score` prints; the last line is the verdict. written: the outputs' paths."""
    fold = ""
    if trained.folds > 1:
        held_out = "which tests this video" if trained.held_out else "which may have trained on this video"
        fold = f", fold {trained.fold}, {held_out}"
    speed = f"{verdict.real_time_factor:.1f} times real time (drawing and encoding included)"
    lag = "" if verdict.lag_s is None else f"; at the end {verdict.lag_s:.1f} s behind the stream"
    spent = ", ".join(f"{stage} {1000 * seconds / verdict.analysed:.1f}" for stage, seconds in verdict.seconds.items())
    share = f"{100 * verdict.share:.1f} % of {verdict.frames} frames"
    return [
        f"{trained.system.name} seed {trained.seed}{fold}",
        *(f"note: {note}" for note in verdict.notes),
        *(f"written: {path}" for path in written if path is not None),
        f"{verdict.frames} frames, {verdict.analysed} of them analysed, at {speed}{lag}",
        f"ms per analysed frame: {spent}",
        *filter(None, [verdict.unlike]),
        f"{verdict.word}: in alarm for {share}" + (", stopped by hand" if verdict.stopped else ""),
    ]


@dataclass
class _Session:
    """The run over one source: counts, times, and how it ended."""

    analyser: Analyser
    source: Frames | Camera
    where: str
    stopped: Callable[[], bool]
    progress: Progress | None
    said: Sequence[str] = ()  # before it starts: parameters changed since the training, what that was on
    known: Familiarity | None = None
    each: Callable[[Reading], None] | None = None
    frames: int = 0
    in_alarm: int = 0
    reading: Reading | None = None
    broken: str = ""
    was_stopped: bool = False
    recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))
    began: float = field(default_factory=time.perf_counter)
    first: float | None = None  # when the first frame was there, by the same clock

    def shots(self, write: Callable[[Reading], None]) -> Iterator[Shot]:
        frames, seconds = iter(self.source), self.analyser.seconds
        while not (was_stopped := self.stopped()):
            started = time.perf_counter()
            try:
                number, image = next(frames)
            except StopIteration:
                break
            except DataError as error:
                self.broken = str(error)
                break
            seconds["decode"] += time.perf_counter() - started
            self.first = self.first or time.perf_counter()
            self.count_to(number)
            time_s = self.source.time_s
            reading = self.analyser.look(number, image, time_s)
            if reading is not None:
                self.reading = reading
                write(reading)
                if self.known:
                    self.known.see(self.analyser.features, time_s)
                if self.each:
                    self.each(reading)
                if self.progress is not None:
                    self.progress(number, max(self.source.probe.frames, number + 1), Path(shown(self.where)).name)
            self.recent.append((number, time.perf_counter() - started + self.analyser.ahead_seconds))
            self.count_to(number + 1)
            speed = (1 + number - self.recent[0][0]) / max(sum(spent for _, spent in self.recent), 1e-9)
            yield Shot(number, time_s, image, self.reading, self.in_alarm / self.frames, speed)
        if self.reading is None:
            raise DataError(self.broken or f"{self.where}: no frame came")
        self.was_stopped = was_stopped

    def verdict(self, notes: tuple[str, ...] = ()) -> Verdict:
        """On the frames counted so far."""
        a, share, now = self.analyser, self.in_alarm / self.frames, time.perf_counter()
        notes, seconds = (*self.said, *notes, *a.notes), dict(a.seconds)
        fps = a.fps * self.frames / (round(self.source.time_s * a.fps) + 1)
        lag = max(0.0, now - self.first - self.source.time_s) if isinstance(self.source, Camera) else None
        unlike = self.known.verdict if self.known and self.known.unlike else ""
        ends = (self.broken, self.was_stopped, now - self.began + a.ahead_seconds * self.frames, lag, unlike)
        return Verdict(self.frames, a.analysed, fps, share, seconds, notes, *ends)

    def count_to(self, frames: int) -> None:
        """Frames below this number have been seen; what is not analysed is as the last reading."""
        self.in_alarm += (frames - self.frames) * (self.reading is not None and self.reading.alarm)
        self.frames = frames


def _film(session: _Session, write: Callable[[Reading], None], title: str) -> Iterator:
    """Pictures with their time; those of the verdict follow without."""
    painter = None
    for shot in session.shots(write):
        painter = painter or Painter(shot.image.shape[1], shot.image.shape[0], title)
        yield (picture := painter.paint(shot)), shot.time_s
    yield from [painter.closing(picture, session.verdict())] * max(1, round(CLOSING_SECONDS * session.analyser.fps))


@contextmanager
def _table(path: Path | None) -> Iterator[Callable[[Reading], None]]:
    """Writes a reading a line; the file takes its name at the end, and is dropped at an error."""
    if path is None:
        yield lambda reading: None
        return
    with whole_file(path) as scratch, open(scratch, "w", newline="", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        numbers = "{0.frame},{0.time_s:.3f},{0.confidence:.6f},{0.sas:.6f},{0.alarm:d}\n"
        yield lambda reading: file.write(numbers.format(reading))


def writable(path: str | Path | None, video: str | Path, suffix: str) -> Path | None:
    """The path of an output, its folder made. DataError, DiskError: before any work, if it cannot be written."""
    if path is None:
        return None
    path = Path(path).expanduser()
    if path.suffix.lower() != suffix:
        raise DataError(f"{path}: expected a name that ends in {suffix}")
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and Path(video).exists() and path.samefile(video):
        raise DataError(f"{path} is the video itself; give the output another name")
    with on_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    return path
