"""oracle-I3D and ws-I3D: a two-stream I3D on tubes, not whole frames (table 2; Landi et al. 2019, arXiv 1901.10364).

oracle: trained on the annotated tubes of anomalous videos and on tubes of normal ones. ws: trained on tubes that
oracles, trained on other videos, found in the anomalous videos of which only the label is used. Of that paper no more
than abstract and introduction could be read: how tubes are cut and found is our reading, in `docs/reproduction.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.progress import Progress
from vadkit.corpora.splits import train_cut
from vadkit.corpora.video import Corpus, Problem, Seen, Video
from vadkit.systems.base import Material, Task, find_system, plan_folds
from vadkit.systems.two_stream import I3DSystem

if TYPE_CHECKING:
    from vadkit.views.tubes import Tubes


@dataclass(frozen=True)
class TubeSystem(I3DSystem):
    """search: trained on tubes that oracles found, not on annotated ones."""

    search: bool = False

    whole_frames = False

    def lacking(self, config: Config, corpus: Corpus) -> str:
        if reason := super().lacking(config, corpus):
            return reason
        need = "Systems on tubes learn from boxes around the anomaly"
        if config.split != "official":
            has = f"the {corpus.name} corpus, split '{config.split}', has labels of whole clips"
            return f"{need} and official lists; {has}."
        anomalous = [video for video in _videos(config, corpus) if video.label]
        if any(video.boxes_path for video in anomalous):
            return ""
        none = f"none of the {len(anomalous)} anomalous training videos of {corpus.name} has a Vatic file"
        return f"{need}; {none} (UCFCrime2Local/annotations/<Name>.txt) or a box of Liu and Ma (Train_annotation.pkl)."

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        """Of anomalous training videos: tubes along their boxes, or all that are searched.

        An anomalous video without boxes is left out and named in the problems where the system needs them; raises
        DataError instead where config.strict, and where no video has boxes.
        """
        from vadkit.views.tubes import Cut, extract_tubes

        if reason := self.lacking(config, corpus):
            raise DataError(f"{self.name}: {reason} Give a corpus with boxes, or leave {self.name} out")
        training = _videos(config, corpus)
        (boxed, problems), halves = _boxed(config, training, progress), halves_of(training)
        sizes = _sizes(boxed, halves)
        cuts = [Cut(video, "normal", sizes[halves[video.name]]) for video in training if not video.label]
        side = (int(np.median(sizes[0] + sizes[1])),)
        cuts += [Cut(video, "score", side) for video in _videos(config, corpus, "test")]
        if self.search:
            boxed, problems = [], [problem for problem in problems if not problem.left_out]  # they are searched
            sides = [(int(np.median(sizes[1 - half])),) for half in (0, 1)]
            cuts += [Cut(video, "search", sides[halves[video.name]]) for video in training if video.label]
        cut, wrong = extract_tubes(cuts, config, config.i3d_size, progress)
        found = {one.video.name: one for one in (*boxed, *cut)}
        views = {v.name: found[v.name] for v in corpus.videos if v.name in found}
        return Material(views, tuple(dict.fromkeys((*problems, *wrong))))

    def see(self, config: Config, videos: Sequence[Video], purpose: str, progress: Progress | None = None) -> Seen:
        why = "sees windows as large as its training tubes; they are cut for the corpus's own lists only"
        raise ConfigError(f"{self.name} {why}. Score other videos with full-I3D")

    def resampled(self, task: Task, corpus: Corpus, progress: Progress | None = None) -> Task:
        """With what the two halves' oracles of this seed find in each other's anomalous videos. Raises DataError where
        a half cannot train an oracle."""
        if not self.search:
            return task
        from vadkit.systems import runner
        from vadkit.systems.scorer import confidences

        config, oracle = task.config, find_system("oracle-I3D", task.config)
        training = _videos(config, corpus)
        halves, (boxed, _) = halves_of(training), _boxed(config, training, progress)
        mine = [*boxed, *(one for one in task.train if not one.video.label)]
        anomalous = [one for one in task.train if one.video.label]
        tasks = []
        for half in (0, 1):
            known = tuple(one for one in mine if halves[one.video.name] == half)
            searched = tuple(one for one in anomalous if halves[one.video.name] != half)
            labels = {one.video.label for one in known}
            kinds = ("normal video", "anomalous video with boxes")
            if missing := [what for label, what in enumerate(kinds) if label not in labels]:
                lacks = f"half {half + 1} has no {' and no '.join(missing)}; give more sources of either"
                raise DataError(f"{self.name} trains an oracle on each half of the training sources, and {lacks}")
            tasks.append(Task(config, oracle, task.seed, known, (), searched))
        found = {}
        for its, path in zip(tasks, runner.train(tasks, progress), strict=True):
            confident = confidences(oracle.inputs(config), path)
            labels = [one.video.frame_labels(one.frames) for one in its.train if one.video.label]
            share = float(np.mean([one.mean() for one in labels]))
            found |= {one.video.name: taken(one, confident(one, np.arange(len(one))), share) for one in its.test}
        return replace(task, train=tuple(found.get(one.video.name, one) for one in task.train))


def taken(searched: Tubes, confidence: np.ndarray, share: float) -> Tubes:
    """A searched video's tubes, all called anomalous, of which those found are trained on: its surest clips, of each
    the best window. confidence: (n,) of each tube; share: of its clips to take, at least one."""
    order = np.lexsort((np.arange(len(searched)), -np.asarray(confidence)))  # surest first, of equals the earlier
    _, best = np.unique(searched.ends[order], return_index=True)  # the first of each clip in that order
    count = max(1, round(share * len(best)))
    return replace(searched, labels=np.ones(len(searched), np.uint8), taken=np.sort(order[np.sort(best)[:count]]))


def halves_of(videos: Sequence[Video]) -> dict[str, int]:
    """Which half each training video is in, 0 or 1: whole sources, each class shared out evenly."""
    _, second = train_cut(videos, 0.5)
    names = {video.name for video in second}
    return {video.name: int(video.name in names) for video in videos}


def _videos(config: Config, corpus: Corpus, side: str = "train") -> list[Video]:
    names = set(getattr(plan_folds(config, corpus, 0, early_stopping=False)[0], side))
    return [video for video in corpus.videos if video.name in names]


def _boxed(config: Config, training: Sequence[Video], progress: Progress | None) -> Seen:
    """Tubes along the boxes of the anomalous videos. Raises DataError where none can be used."""
    from vadkit.views.tubes import Cut, extract_tubes

    anomalous, problems = [video for video in training if video.label], []
    for video in anomalous:
        if video.boxes_path is None:
            file = f"UCFCrime2Local/annotations/{video.name}.txt"
            what = f"{video.name} has no boxes to cut a tube along; expected its Vatic file, {file}"
            if config.strict:
                raise DataError(f"{video.path}: {what}")
            problems.append(Problem(str(video.path), what, left_out=True))
    cuts = [Cut(video, "boxes") for video in anomalous if video.boxes_path is not None]
    boxed, wrong = extract_tubes(cuts, config, config.i3d_size, progress)
    if not boxed:
        first = f"the first problem: {wrong[0].where}: {wrong[0].what}"
        raise DataError(f"none of the {len(cuts)} anomalous training videos with boxes can be used; {first}")
    return boxed, [*problems, *wrong]


def _sizes(boxed: Sequence[Tubes], halves: dict[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sides of the annotated tubes of each half, in pixels, rising; a half without any takes the other's."""
    from vadkit.views.windows import side_of

    parts = [[one for one in boxed if halves[one.video.name] == half] for half in (0, 1)]
    first, second = (tuple(sorted(side_of(window) for one in part for window in one.windows)) for part in parts)
    return first or second, second or first


SYSTEMS = (TubeSystem("oracle-I3D", ("06",)), TubeSystem("ws-I3D", ("06",), search=True))
