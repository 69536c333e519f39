"""oracle-I3D and ws-I3D: a two-stream I3D on tubes instead of whole frames (table 2; Landi et al. 2019, arXiv
1901.10364).

oracle: trained on the annotated tubes of anomalous videos and on tubes of normal ones. ws: trained on tubes that were
found in the anomalous videos of which only the label is used, by oracles that were trained on other videos.

Our readings, for of that paper no more than abstract and introduction could be read:

- Normal videos give tubes as well, where most moves, their sides drawn from those of the annotated ones, so that
  neither cropping itself nor the size of a crop gives the class away.
- A test video is cut where most moves, one window of the median training side: what is annotated in it decides nothing.
- ws is cross-fitted: training sources are cut in two halves, and the oracle of one half finds the tubes of the other,
  so that no oracle labels what it was trained on. Sizes of windows come from the oracle's half too. The videos are
  those of the training list, without their boxes: UCF-Crime's further videos of the same classes, which Landi et al.
  could add, are not in the lists.
- Found are, of each anomalous video, the clips that the oracle is surest of, of every clip its best window; as large a
  share of a video's clips as is anomalous, on average, in the videos of the oracle's half.
- No system of table 2 is trained on soft frames. For ws they are the clips that are not among the found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vadkit.core.errors import ConfigError, DataError
from vadkit.corpora.splits import train_cut
from vadkit.corpora.video import Problem
from vadkit.systems.base import Material, Sides, Task, find_system, plan_folds
from vadkit.systems.clips import I3DSystem

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.core.progress import Progress
    from vadkit.corpora.video import Corpus, Video
    from vadkit.views.tubes import Tubes


@dataclass(frozen=True)
class TubeSystem(I3DSystem):
    """search: trained on tubes that oracles found, not on annotated ones."""

    search: bool = False

    whole_frames = False

    def lacking(self, config: Config, corpus: Corpus) -> str:
        need = "Systems on tubes learn from boxes around the anomaly"
        if config.split != "official":
            return (
                f"{need} and official lists; the {corpus.name} corpus, split '{config.split}', "
                "has labels of whole clips."
            )
        anomalous = [video for video in _training(config, corpus) if video.label]
        if any(video.boxes_path for video in anomalous):
            return ""
        return (
            f"{need}; none of the {len(anomalous)} anomalous training videos of {corpus.name} has a Vatic file "
            "(UCFCrime2Local/annotations/<Name>.txt)."
        )

    def material(self, config: Config, corpus: Corpus, progress: Progress | None = None) -> Material:
        """Of anomalous training videos: tubes along their boxes, or all that are searched.

        An anomalous video without boxes is left out and named in the problems where the system needs them; raises
        DataError instead where config.strict, and where no video has boxes.
        """
        from vadkit.views.tubes import Cut, extract_tubes

        if reason := self.lacking(config, corpus):
            raise DataError(f"{self.name}: {reason} Give a corpus with boxes, or leave {self.name} out")
        boxed, problems = _boxed(config, corpus, progress)
        training = {video.name: video for video in _training(config, corpus)}
        halves, sizes = halves_of(list(training.values())), _sizes(config, corpus, boxed)
        cuts = [Cut(video, "normal", sizes[halves[name]]) for name, video in training.items() if not video.label]
        tested = plan_folds(config, corpus, 0, early_stopping=False)[0].test
        cuts += [
            Cut(video, "score", (_median(sizes[0] + sizes[1]),)) for video in corpus.videos if video.name in tested
        ]
        if self.search:
            problems = [problem for problem in problems if not problem.left_out]  # they are searched
            cuts += [
                Cut(video, "search", (_median(sizes[1 - halves[name]]),))
                for name, video in training.items()
                if video.label
            ]
            boxed = []
        cut, wrong = extract_tubes(cuts, config, config.i3d_size, progress)
        found = {one.video.name: one for one in (*boxed, *cut)}
        views = {v.name: found[v.name] for v in corpus.videos if v.name in found}
        return Material(views, tuple(dict.fromkeys((*problems, *wrong))))

    def see(self, config: Config, videos: Sequence[Video], purpose: str, progress: Progress | None = None):
        raise ConfigError(
            f"{self.name} sees windows as large as its training tubes; they are cut for the corpus's own lists only. "
            "Score other videos with full-I3D"
        )

    def sides(
        self, sides: Sides, config: Config, corpus: Corpus, seed: int, fold: int, progress: Progress | None
    ) -> Sides:
        """With what the two halves' oracles of this seed find in each other's anomalous videos.

        Raises DataError where a half cannot train an oracle.
        """
        if not self.search:
            return sides
        from vadkit.systems import runner
        from vadkit.systems.scorer import confidences

        halves = halves_of(_training(config, corpus))
        boxed, _ = _boxed(config, corpus, progress)
        known, searched = [], []  # by each half's oracle
        for half in (0, 1):
            mine = [*boxed, *(one for one in sides.train if not one.video.label)]
            known.append([one for one in mine if halves[one.video.name] == half])
            searched.append([one for one in sides.train if one.video.label and halves[one.video.name] != half])
            labels = {one.video.label for one in known[half]}
            kinds = ("normal video", "anomalous video with boxes")
            if missing := [what for label, what in enumerate(kinds) if label not in labels]:
                raise DataError(
                    f"{self.name} trains an oracle on each half of the training sources, and half {half + 1} has no "
                    f"{' and no '.join(missing)}; give more sources of either"
                )
        oracle = find_system("oracle-I3D", config)
        tasks = [
            Task(config, oracle, seed, tuple(mine), (), tuple(its)) for mine, its in zip(known, searched, strict=True)
        ]
        found = {}
        for half, path in enumerate(runner.train(tasks, progress)):
            confident = confidences(oracle.inputs(config), path)
            anomalous = [one for one in known[half] if one.video.label]
            share = float(np.mean([one.video.frame_labels(one.frames).mean() for one in anomalous]))
            for one in searched[half]:
                found[one.video.name] = taken(one, confident(one, np.arange(len(one))), share)
        return sides._replace(train=tuple(found.get(one.video.name, one) for one in sides.train))


def taken(searched: Tubes, confidence: np.ndarray, share: float) -> Tubes:
    """A searched video's tubes, all called anomalous, of which those found are trained on: its surest clips, of each
    the best window.

    confidence: (n,) of each tube; share: of its clips to take, at least one.
    """
    order = np.lexsort((np.arange(len(searched)), -np.asarray(confidence)))  # surest first, of equals the earlier
    _, best = np.unique(searched.ends[order], return_index=True)  # the first of each clip in that order
    count = max(1, round(share * len(best)))
    return replace(searched, labels=np.ones(len(searched), np.uint8), taken=np.sort(order[np.sort(best)[:count]]))


def halves_of(videos: Sequence[Video]) -> dict[str, int]:
    """Which half each training video is in, 0 or 1: whole sources, each class shared out evenly."""
    _, second = train_cut(videos, 0.5)
    names = {video.name for video in second}
    return {video.name: int(video.name in names) for video in videos}


def _training(config: Config, corpus: Corpus) -> list[Video]:
    names = set(plan_folds(config, corpus, 0, early_stopping=False)[0].train)
    return [video for video in corpus.videos if video.name in names]


def _boxed(config: Config, corpus: Corpus, progress: Progress | None) -> tuple[list[Tubes], list[Problem]]:
    """Tubes along the boxes of the anomalous training videos. Raises DataError where none can be used."""
    from vadkit.views.tubes import Cut, extract_tubes

    cuts, problems = [], []
    for video in _training(config, corpus):
        if video.label and video.boxes_path is not None:
            cuts.append(Cut(video, "boxes"))
        elif video.label:
            what = (
                f"{video.name} has no boxes to cut a tube along; expected its Vatic file, "
                f"UCFCrime2Local/annotations/{video.name}.txt"
            )
            if config.strict:
                raise DataError(f"{video.path}: {what}")
            problems.append(Problem(str(video.path), what, left_out=True))
    boxed, wrong = extract_tubes(cuts, config, config.i3d_size, progress)
    if not boxed:
        raise DataError(
            f"none of the {len(cuts)} anomalous training videos with boxes can be used; "
            f"the first problem: {wrong[0].where}: {wrong[0].what}"
        )
    return boxed, [*problems, *wrong]


def _sizes(config: Config, corpus: Corpus, boxed: Sequence[Tubes]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sides of the annotated tubes of each half, in pixels, rising; a half without any takes the other's."""
    from vadkit.views.windows import side_of

    halves = halves_of(_training(config, corpus))
    sizes = [
        tuple(sorted(side_of(window) for one in boxed if halves[one.video.name] == half for window in one.windows))
        for half in (0, 1)
    ]
    return sizes[0] or sizes[1], sizes[1] or sizes[0]


def _median(sizes: Sequence[int]) -> int:
    return int(np.median(sizes))


SYSTEMS = (
    TubeSystem(
        "oracle-I3D",
        "two-stream I3D on tubes: cut along annotated boxes for training, where most moves elsewhere",
        ("06",),
    ),
    TubeSystem(
        "ws-I3D",
        "two-stream I3D trained on tubes that systems like oracle-I3D found in videos of which only the label is used",
        ("06",),
        search=True,
    ),
)
