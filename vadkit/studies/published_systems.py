"""Scores that others published, found in a reader's clones, beside what their authors store and print of them.

Nothing of them is part of this project: a reader clones the repositories, and a file is known by its repository's own
names. `SOURCES` says which and at which commit; where no licence is stated, none is assumed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from vadkit.core.config import Config
from vadkit.core.errors import DataError, reading
from vadkit.evaluation import external, pitfalls
from vadkit.evaluation.bootstrap import Comparison, Metric, difference, estimate, ratio, resamples
from vadkit.evaluation.metrics import METRICS, Scored, spans, video_ap, video_sas
from vadkit.evaluation.scores import VideoScores
from vadkit.evaluation.smoothing import SEES_THE_FUTURE, smoothed
from vadkit.report import published, style
from vadkit.report.rows import ResultRow, result_rows
from vadkit.report.style import COLOURS, PAGE_WIDTH, styled

DATASET = "ucf-crime"
WHOSE = "related"  # the `paper` of rows that stand beside others' numbers: none of the two papers'
FILTERS = ("raw", "causal mean", "SAS", "gaussian", "video mean")
SECONDS = (
    10 * 16 / 30
)  # the width of the smoothing in URF-HVAA's evaluation: 10 scores, one every 16 frames, 30 a second
GAP_SECONDS = 10.0  # alarms that are nearer to each other call the same guard once


@dataclass(frozen=True)
class Said:
    """A number that authors state of their scores: `text` in percent, with the decimals that ours is held to.

    of: a name of `STATED`; how: the smoothing that their evaluation does; where: "stored" beside the scores or
    "printed", and in what.
    """

    of: str
    text: str
    where: str
    how: str = "raw"


def _stored(path: Path, *keys: str) -> float:
    """A share or an area in [0, 1] that authors store, in percent. Raises DataError for anything else."""
    with reading(path, "a file of its authors' results", "clone the repository again"):
        value = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
        if not 0 <= value <= 1:
            raise ValueError(f"expected a number from 0 to 1, got {value}")
        return 100 * value


def _urf(path: Path) -> Iterator[Said]:
    for of, name in (("fl_auc", "roc_auc"), ("trapezoidal_ap", "pr_auc")):
        yield Said(of, f"{_stored(path / 'metrics' / f'{name}.txt'):.4f}", f"stored, {name}.txt", "gaussian")
    yield Said("fl_auc", _claimed("URF-HVAA"), "printed, paper", "gaussian")


def _vadtree(path: Path) -> Iterator[Said]:
    for of, name in (("fl_auc", "roc_auc"), ("trapezoidal_ap", "pr_auc")):
        value = _stored(path.parent / "00vid_metric.json", "dataset_metric", "all", name)
        yield Said(of, f"{value:.2f}", f"stored, {name}")


def _videomae(path: Path) -> Iterator[Said]:
    for of, name in (("video_auc", "auc"), ("video_ap", "ap")):
        value = _stored(path.parent / "results_summary.json", "test", "binary", name)
        yield Said(of, f"{value:.4f}", "stored, results_summary.json")
        yield Said(of, _claimed("VideoMAE + RTFM", of), "printed, README, seed 42")


def _claimed(system: str, metric: str = "ucf_crime_auc") -> str:
    return next(r.text for r in published.related() if (r.system, r.metric) == (system, metric))


@dataclass(frozen=True)
class Source:
    """Published scores of one system. clone: repository and commit; patterns: its files below a folder, by the
    repository's own names; options: of `external.read`; said: what its authors state, from the files beside."""

    name: str
    clone: str
    learns_from: str
    patterns: tuple[str, ...]
    options: Mapping = field(default_factory=dict)
    said: Callable[[Path], Iterator[Said]] = lambda path: iter(())


MIL, IN_IT = "salva-u/AnomalyDetectionInVideoSurveillance2021 at d9def3c", "**/AnomalyDetectionInVideoSurveillance2021"
RTFM = "Chava-Sai/frozen-videomae-weakly-supervised at 4ad57eb"
TREE, AT = "wenlongli10/VADTree at 0b5c54e", "**/UCF_Crime_test/*/*_prior_q_fine/DeepSeek-R1-Distill-Qwen-14B"
WEAK, CLIPS = "labels of videos", {"every": 16, "leave_out": True}  # RTFM has 206 of the 290 videos
SOURCES = (
    Source("C3D + MIL", MIL, WEAK, (f"{IN_IT}/Eval_Res", "**/scores_mil_c3d.csv"), {"slack": 16}),
    Source("I3D + RTFM, k = 5", RTFM, WEAK, ("**/step10_ablations/k5/train/test_video_results.json",), CLIPS),
    Source("VideoMAE + RTFM", RTFM, WEAK, ("**/videomae_rtfm/seed_42/test_video_results.json",), CLIPS, _videomae),
    Source("VADTree, events", TREE, "no training", (f"{AT}/maxf64_*.json",), said=_vadtree),
    Source("VADTree, refined", TREE, "no training", (f"{AT}_VxV10_nn10_tao0.1/refine_maxf64_*.json",), said=_vadtree),
    Source("URF-HVAA", "Neko1t/URF-HVAA at 7561ea8", "no training", ("**/refined_scores/videollama3_7B",), CLIPS, _urf),
)


@dataclass(frozen=True)
class Found:
    """Scores that are there. said: what their authors state; lost: why that could not be read."""

    source: Source
    path: Path
    given: external.Given
    said: tuple[Said, ...]
    lost: str

    @property
    def name(self) -> str:
        return self.source.name


def find(folder: Path) -> list[Found]:
    """The published scores below a folder, in the order of `SOURCES`; none where there is no such folder.

    Raises DataError for scores that cannot be read.
    """
    found = []
    for source in SOURCES:
        paths = (path for pattern in source.patterns for path in sorted(folder.glob(pattern)))
        if (path := next(paths, None)) is not None:
            given, said, lost = external.read(path, dataset=DATASET, **source.options), (), ""
            try:
                said = tuple(source.said(path))
            except DataError as error:
                lost = str(error)
            found.append(Found(source, path, given, said, lost))
    return found


def missing(found: Sequence[Found], folder: str) -> str:
    """What to clone, and where to put it, for the scores that are not there; empty where all are."""
    here = {one.name for one in found}
    wanted = dict.fromkeys(source.clone for source in SOURCES if source.name not in here)
    return f"For more published scores, clone these from GitHub into `{folder}`: {', '.join(wanted)}." if wanted else ""


STATED = {name: METRICS[name].statistic for name in ("fl_auc", "video_auc")}
STATED |= {"trapezoidal_ap": pitfalls.trapezoidal_ap, "video_ap": video_ap}


def beside(one: Found, config: Config) -> list[ResultRow]:
    """Ours beside each number that the authors store or print, held to its last decimal: a verdict without tolerance.

    Annotated frames count from 0 here, as in the authors' evaluations; everywhere else from 1. A number that was cut
    instead of rounded is not reproduced, and the reason says so.
    """
    rows = []
    for said in one.said:
        whole = said.of.startswith("video_")
        given = external.read(one.path, dataset=DATASET, first_frame=0, whole=whole, **one.source.options)
        scored = Scored(tuple(smoothed(v, said.how) for v in given.videos), config)
        drawn = resamples(scored.videos, config)
        metric = estimate(said.of, {0: STATED[said.of](scored)}, drawn, config.interval_level)
        (row,) = result_rows(config, [metric], "", said.where, one.name)
        theirs, unit = float(said.text), 10 ** len(said.text.partition(".")[2])
        verdict = published.verdict(row.value, None, theirs, len(f"{unit}") - 1, comparable=True, tolerance=0)
        cut = verdict != "reproduced" and int(row.value * unit) == round(theirs * unit)
        reason = "equal when cut after its last decimal, not when rounded" if cut else ""
        stated = {"published": said.text, "difference": row.value - theirs, "verdict": verdict, "reason": reason}
        rows.append(replace(row, paper=WHOSE, **stated))
    return rows


def filtered(video: VideoScores, how: str, config: Config) -> VideoScores:
    """The video's scores through one of `FILTERS`: those of `evaluation.smoothing`, or the anomaly score of the run."""
    if how != "SAS":
        return smoothed(video, how, seconds=SECONDS if how in ("causal mean", "gaussian") else None)
    return replace(video, index=video.stepped.index, confidence=video_sas(video, config), steps=None)


def sizes(videos: Sequence[VideoScores], config: Config) -> tuple[list[pitfalls.Way], Comparison]:
    """The pooled frame AUC behind each of `FILTERS`, with its difference from that of the raw scores, paired by video;
    and what the future adds: the Gaussian over the whole video against the causal mean of the same width."""
    bench, drawn = pitfalls.Bench(videos, config), resamples(videos, config)
    behind = {"raw": bench.right}
    for how in FILTERS[1:]:
        behind[how] = Scored(tuple(filtered(v, how, config) for v in videos), config).pairs.auc()
    pair = ({0: behind[how]} for how in ("gaussian", "causal mean"))
    future = difference("fl_auc", *pair, (drawn, drawn), config.interval_level, len(videos))
    return [bench.size(how, auc) for how, auc in behind.items()], future


def at_recall(videos: Sequence[VideoScores], config: Config, recall: float) -> list[Metric]:
    """False alarms an hour of normal video, and the share of it in alarm, where the threshold finds a share of spans.

    The threshold is the highest at which `recall` of the annotated spans have a frame at or above it. It is chosen on
    these very labels: a point of the curve to compare systems at, not one that a guard could set. Alarms less than
    GAP_SECONDS apart are one. The interval holds the threshold as it is. Raises ValueError without a span.
    """
    held = [v.frame_scores() for v in videos]
    peaks = [s[a:b].max() for v, s in zip(videos, held, strict=True) for a, b in spans(v.labels)]
    if not peaks:
        raise ValueError("no annotated span in these videos: there is no recall to fix")
    threshold = np.sort(peaks)[::-1][max(int(np.ceil(recall * len(peaks))) - 1, 0)]
    alarms, on, hours = np.zeros((3, len(videos)))
    for k, video in enumerate(videos):
        if not video.label:
            runs, hours[k] = spans(held[k] >= threshold), video.seconds(0, video.frames) / 3600
            on[k] = sum(video.seconds(a, b) for a, b in runs) / 3600
            gaps = [video.seconds(end, start) for (_, end), (start, _) in pairwise(runs)]
            alarms[k] = bool(runs) + sum(gap > GAP_SECONDS for gap in gaps)
    drawn, level, at = resamples(videos, config), config.interval_level, f"at_{100 * recall:.0f}_percent"
    counted = estimate(f"false_alarms_{at}", {0: ratio(alarms, hours)}, drawn, level, "an hour")
    return [counted, estimate(f"alarmed_share_{at}", {0: ratio(on, hours)}, drawn, level)]


@styled
def filters(found: Mapping[str, Sequence[pitfalls.Way]]) -> Figure:
    """AUC behind each filter with its interval, systems down the page; hollow where the filter sees the future."""
    figure, axes = plt.subplots(figsize=(PAGE_WIDTH, 1.3 + 0.85 * len(found)))
    for row, ways in enumerate(found.values()):
        for k, (way, colour, marker) in enumerate(zip(ways, COLOURS, "os^Dv", strict=False)):
            at, auc = row + 0.15 * (k - (len(ways) - 1) / 2), way.auc
            if auc.ci_low is not None:
                style.interval(axes, 100 * auc.ci_low, 100 * auc.ci_high, at, colour)
            hollow = {"markerfacecolor": "white"} if way.title in SEES_THE_FUTURE else {}
            look = {"color": colour, "linestyle": "", "markersize": 6, **hollow}
            axes.plot(100 * auc.value, at, marker, **look, label=way.title)
    axes.set_yticks(range(len(found)), found)
    axes.set(xlabel="frame AUC (%), with its interval", ylim=(len(found) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    style.legend_below(figure)
    return figure
