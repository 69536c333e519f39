"""Classes that no system was trained on: how well their videos are told from normal ones (section 4.7, table 3).

    study = run(config, corpus, "2S-bag-ha")
    study.found  # VL-F1, VL-TPR, VL-FPR over all unseen videos
    study.by_class()  # the same for each class

The difference between seen and unseen classes is one between two sets of videos, scored by the same models: nothing is
paired, and each set has its own resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus, Problem
from vadkit.evaluation import evaluate as evaluation
from vadkit.evaluation import metrics
from vadkit.evaluation.evaluate import Comparison, Metric
from vadkit.evaluation.scores import VideoScores
from vadkit.report import rows as report
from vadkit.report.rows import ResultRow
from vadkit.systems import runner as experiment

Scores = Mapping[int, Sequence[VideoScores]]

PAPER = "petrocchi2021"
UNSEEN_CLASSES = (
    "Abuse",
    "Arson",
    "Explosion",
    "Fighting",
    "RoadAccidents",
    "Shooting",
    "Shoplifting",
)  # section 4.7, as UCF-Crime's folders spell them
OVERALL = ("vl_f1", "vl_tpr", "vl_fpr", "video_auc_sas")
OF_A_CLASS = ("vl_f1", "vl_tpr", "video_auc_sas")  # the normal videos, and so VL-FPR, are the same for every class


@dataclass(frozen=True)
class Study:
    """One system on videos of seen and of unseen classes.

    seen: scores of the test list, by seed; unseen: of the unseen classes' videos and of normal ones. negatives: where
    those normal videos are from. reason: why there is nothing to study; there are no unseen scores then.
    """

    config: Config
    system: str
    seen: Scores
    unseen: Scores
    negatives: str = ""
    problems: tuple[Problem, ...] = ()
    reason: str = ""

    @cached_property
    def found(self) -> list[Metric]:
        """Table 3's metrics over all unseen classes."""
        return evaluation.evaluate(self.unseen, self.config, OVERALL.__contains__) if self.unseen else []

    @cached_property
    def seen_found(self) -> list[Metric]:
        """The same over the test list."""
        return evaluation.evaluate(self.seen, self.config, OVERALL.__contains__) if self.seen else []

    def counts(self) -> dict[str, int]:
        """Videos of each class among the unseen ones, the paper's classes first; 0 for a class without videos."""
        videos = next(iter(self.unseen.values()), ())
        names = dict.fromkeys(
            (*UNSEEN_CLASSES, *sorted(v.category for v in videos if v.label), *(v.category for v in videos))
        )
        return {name: sum(v.category == name for v in videos) for name in names} if videos else {}

    def by_class(self, unseen: bool = True) -> dict[str, list[Metric]]:
        """VL-F1, VL-TPR and video AUC of each class against the normal videos of its side.

        A class of the paper without a video has metrics without a value, which give the reason.
        """
        scores = self.unseen if unseen else self.seen
        if not scores:
            return {}
        classes = (
            [c for c in self.counts() if c != metrics.NORMAL]
            if unseen
            else metrics.anomaly_classes(next(iter(scores.values())))
        )
        return {name: _of_class(scores, self.config, name) for name in classes}

    def against_seen(self, names: Sequence[str] = OVERALL) -> list[Comparison]:
        """Unseen minus seen, unpaired; normal videos that both sides share are drawn together."""
        return (
            [evaluation.compare_sets(self.unseen, self.seen, self.config, name) for name in names]
            if self.unseen
            else []
        )

    def rows(self) -> list[ResultRow]:
        """Table 3 beside the printed values, each class, the difference to seen classes, and the numbers of videos."""
        rows = report.result_rows(self.config, self.found, PAPER, "table 3", self.system, self.problems)
        for name, found in self.by_class().items():
            rows += report.result_rows(self.config, found, PAPER, "table 3 by class", f"{self.system}, {name}")
        for change in self.against_seen():
            rows += report.change_rows(
                self.config, change, PAPER, "table 3 against the test list", f"{self.system}, unseen / seen"
            )
        counts = self.counts()
        if counts:
            normal = counts.pop(metrics.NORMAL, 0)
            numbers = {"anomalous_videos": (sum(counts.values()), "videos"), "normal_videos": (normal, "videos")}
            rows += [
                report.number_row(self.config, n, unit, PAPER, "section 4.7", "unseen test set", name)
                for name, (n, unit) in numbers.items()
            ]
            rows.append(
                report.number_row(
                    self.config,
                    sum(n > 0 for n in counts.values()),
                    "classes",
                    PAPER,
                    "claim 4.7",
                    "unseen test set",
                    "classes",
                )
            )
        return rows


def run(config: Config, corpus: Corpus, name: str, progress: Progress | None = None) -> Study:
    """Train a system, or find it, and score it on the corpus's unseen classes; without any, a study that says why, and no training.

    Normal videos: those of the unseen list, which no system has met in training or testing; where it has none, those of
    the test list, which the study then shares with the seen side (our reading; the paper has 150 that training did not
    use). Raises as `experiment.run_system` does.
    """
    if config.split == "grouped_cv":
        return Study(
            config,
            name,
            {},
            {},
            reason="cross-validation trains on every class in turn: this corpus has none that a system never saw",
        )
    videos = corpus.of("unseen")
    if not any(v.label for v in videos):
        return Study(
            config,
            name,
            {},
            {},
            reason=f"corpus {corpus.name} has no video of a class that is not trained on; UCF-Crime has, with UCFCrime2Local's lists beside its own",
        )
    trained = experiment.run_system(config, corpus, name, progress)
    seen = trained.by_seed()
    unseen, noted = experiment.score_videos(config, trained, videos, progress)
    problems = tuple(dict.fromkeys((*trained.problems, *noted)))
    if not any(v.label for v in next(iter(unseen.values()))):
        return Study(
            config,
            name,
            seen,
            {},
            problems=problems,
            reason=f"none of the {sum(v.label for v in videos)} anomalous videos of unseen classes can be used",
        )
    negatives = "the unseen list, not used in training or testing"
    if all(v.label for v in next(iter(unseen.values()))):
        negatives = "the test list: the unseen list has no usable normal video"
        unseen = {seed: [*scores, *(v for v in seen[seed] if not v.label)] for seed, scores in unseen.items()}
    return Study(config, name, seen, unseen, negatives, problems)


def f1_at_share(tpr: float, fpr: float, share: float) -> float:
    """F1 of a detector with these rates where `share` of the videos is anomalous; all in [0, 1].

    F1 rises with the share of anomalous videos though the detector stays the same; at rates of 1 it is what always
    calling "anomaly" reaches. Raises ValueError for a value outside [0, 1] or a share of 0.
    """
    if not (0 <= tpr <= 1 and 0 <= fpr <= 1 and 0 < share <= 1):
        raise ValueError(f"expected rates in [0, 1] and a share in (0, 1], got {tpr}, {fpr} and {share}")
    return 2 * tpr * share / (tpr * share + fpr * (1 - share) + share)


def _of_class(scores: Scores, config: Config, name: str) -> list[Metric]:
    chosen = {seed: [v for v in videos if v.category in (name, metrics.NORMAL)] for seed, videos in scores.items()}
    if not any(v.label for v in next(iter(chosen.values()))):
        return [
            Metric(metric, None, None, None, (None,) * len(scores), 0, f"no video of class {name}")
            for metric in OF_A_CLASS
        ]
    return evaluation.evaluate(chosen, config, OF_A_CLASS.__contains__)
