"""oracle-I3D and ws-I3D: a two-stream I3D on tubes instead of whole frames (table 2, after Landi et al. 2019, arXiv 1901.10364).

oracle: trained on the annotated tubes of anomalous videos and on tubes of normal ones. ws: trained on tubes that were found in the
anomalous videos of which only the label is used, by oracles that were trained on other videos.

Our readings, for of that paper no more than abstract and introduction could be read:

- Normal videos give tubes as well, where most moves, their sides drawn from those of the annotated ones, so that neither cropping
  itself nor the size of a crop gives the class away.
- A test video is cut where most moves, one window of the median training side: what is annotated in it decides nothing.
- ws is cross-fitted: training sources are cut in two halves, and the oracle of one half finds the tubes of the other, so that no
  oracle labels what it was trained on. Sizes of windows come from the oracle's half too. The videos are those of the training
  list, without their boxes: UCF-Crime's further videos of the same classes, which Landi et al. could add, are not in the lists.
- Found are, of each anomalous video, the clips that the oracle is surest of, of every clip its best window; as large a share of a
  video's clips as is anomalous, on average, in the videos of the oracle's half.
- No system of table 2 is trained on soft frames. For ws they are the clips of anomalous videos that are not among the found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.progress import Progress
from vadkit.corpora.splits import train_cut
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.systems.base import System, system_for
from vadkit.systems.runner import Fold, Material, fit, plan_folds
from vadkit.views.tubes import Cut, Tubes, extract_tubes
from vadkit.views.windows import side_of

Sides = Sequence[tuple[Tubes, ...]]


def lacking(config: Config, corpus: Corpus) -> str:
    """Why a corpus cannot train systems on tubes, in a sentence; empty where it can."""
    if config.split != "official":
        return f"Systems on tubes learn from boxes around the anomaly and official lists; the {corpus.name} corpus, split '{config.split}', has labels of whole clips."
    anomalous = [video for video in _training(config, corpus) if video.label]
    if not any(video.boxes_path for video in anomalous):
        return f"Systems on tubes learn from boxes around the anomaly; none of the {len(anomalous)} anomalous training videos of {corpus.name} has a Vatic file (UCFCrime2Local/annotations/<Name>.txt)."
    return ""


def prepare(config: Config, corpus: Corpus, system: System, progress: Progress | None = None) -> Material:
    """The tubes of all videos that training and testing use, as `experiment.prepare`.

    Of anomalous training videos: those along their boxes, or, for a system on found tubes, all that are searched. An anomalous
    video without boxes is left out and named in the problems where the system needs them; raises DataError instead where
    config.strict, and where no video has boxes.
    """
    if reason := lacking(config, corpus):
        raise DataError(f"{system.name}: {reason} Give a corpus with boxes, or leave {system.name} out")
    fold = _fold(config, corpus)
    boxed, problems = _boxed(config, corpus, progress)
    halves, sides = halves_of(_training(config, corpus)), _sides(config, corpus, boxed)
    training = {video.name: video for video in _training(config, corpus)}
    cuts = [Cut(video, "normal", sides[halves[name]]) for name, video in training.items() if not video.label]
    cuts += [Cut(video, "score", (_median(sides[0] + sides[1]),)) for video in corpus.videos if video.name in fold.test]
    if system.view == "found":
        problems = [problem for problem in problems if not problem.left_out]  # they are searched, not cut along boxes
        cuts += [
            Cut(video, "search", (_median(sides[1 - halves[name]]),)) for name, video in training.items() if video.label
        ]
        boxed = []
    cut, wrong = extract_tubes(cuts, config, config.i3d_size, progress)
    found = {one.video.name: one for one in (*boxed, *cut)}
    return Material(
        {v.name: found[v.name] for v in corpus.videos if v.name in found}, tuple(dict.fromkeys((*problems, *wrong)))
    )


def with_found(
    config: Config, corpus: Corpus, seed: int, sides: Sides, progress: Progress | None = None
) -> list[tuple[Tubes, ...]]:
    """The sides of a system on found tubes, with what the two halves' oracles of this seed find in each other's anomalous videos.

    Raises DataError where a half cannot train an oracle.
    """
    train, val, test = sides
    halves = halves_of(_training(config, corpus))
    boxed, _ = _boxed(config, corpus, progress)
    searched = [
        [one for one in train if one.video.label and halves[one.video.name] != half] for half in (0, 1)
    ]  # by each half's oracle
    known = [
        [one for one in (*boxed, *(one for one in train if not one.video.label)) if halves[one.video.name] == half]
        for half in (0, 1)
    ]
    for half in (0, 1):
        missing = [
            what
            for label, what in ((0, "normal video"), (1, "anomalous video with boxes"))
            if not any(one.video.label == label for one in known[half])
        ]
        if missing:
            raise DataError(
                f"ws-I3D trains an oracle on each half of the training sources, and half {half + 1} has no {' and no '.join(missing)}; give more sources of either"
            )
    oracles = fit(
        config,
        system_for(config, "oracle-I3D"),
        seed,
        [(tuple(known[half]), (), tuple(searched[half])) for half in (0, 1)],
        progress,
    )
    found = {}
    for half, oracle in enumerate(oracles):
        share = float(np.mean([one.video.frame_labels(one.frames).mean() for one in known[half] if one.video.label]))
        for one in searched[half]:
            found[one.video.name] = taken(one, oracle(one, np.arange(len(one))), share)
    return [tuple(found.get(one.video.name, one) for one in train), val, test]


def taken(searched: Tubes, confidence: np.ndarray, share: float) -> Tubes:
    """A searched video's tubes, all called anomalous, of which those found are trained on: its surest clips, of each the best window.

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


def _fold(config: Config, corpus: Corpus) -> Fold:
    (fold,) = plan_folds(config, corpus, 0, early_stopping=False)
    return fold


def _training(config: Config, corpus: Corpus) -> list[Video]:
    names = set(_fold(config, corpus).train)
    return [video for video in corpus.videos if video.name in names]


def _boxed(config: Config, corpus: Corpus, progress: Progress | None) -> tuple[list[Tubes], list[Problem]]:
    """Tubes along the boxes of the anomalous training videos. Raises DataError where none can be used."""
    cuts, problems = [], []
    for video in _training(config, corpus):
        if video.label and video.boxes_path is not None:
            cuts.append(Cut(video, "boxes"))
        elif video.label:
            what = f"{video.name} has no boxes to cut a tube along; expected its Vatic file, UCFCrime2Local/annotations/{video.name}.txt"
            if config.strict:
                raise DataError(f"{video.path}: {what}")
            problems.append(Problem(str(video.path), what, left_out=True))
    boxed, wrong = extract_tubes(cuts, config, config.i3d_size, progress)
    if not boxed:
        raise DataError(
            f"none of the {len(cuts)} anomalous training videos with boxes can be used; the first problem: {wrong[0].where}: {wrong[0].what}"
        )
    return boxed, [*problems, *wrong]


def _sides(config: Config, corpus: Corpus, boxed: Sequence[Tubes]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sides of the annotated tubes of each half, rising; a half without any takes the other's, and trains no oracle."""
    halves = halves_of(_training(config, corpus))
    sides = [
        tuple(sorted(side_of(window) for one in boxed if halves[one.video.name] == half for window in one.windows))
        for half in (0, 1)
    ]
    return sides[0] or sides[1], sides[1] or sides[0]


def _median(sides: Sequence[int]) -> int:
    return int(np.median(sides))
