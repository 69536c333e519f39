"""Classes that no system was trained on: how well their videos are told from normal ones (section 4.7, table 3).

Seen and unseen classes are two sets of videos, scored by the same models: nothing is paired, and each set has its own
resamples.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import NORMAL, Corpus, Problem
from vadkit.evaluation.bootstrap import Comparison, Metric
from vadkit.evaluation.evaluate import compare_sets, evaluate
from vadkit.evaluation.scores import VideoScores
from vadkit.report.rows import ResultRow, change_rows, number_row, result_rows
from vadkit.systems import runner

Scores = Mapping[int, Sequence[VideoScores]]

PAPER = "petrocchi2021"
# of section 4.7, as UCF-Crime's folders spell them
UNSEEN_CLASSES = ("Abuse", "Arson", "Explosion", "Fighting", "RoadAccidents", "Shooting", "Shoplifting")
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
    seen: Scores = field(default_factory=dict)
    unseen: Scores = field(default_factory=dict)
    negatives: str = ""
    problems: tuple[Problem, ...] = ()
    reason: str = ""

    @cached_property
    def found(self) -> list[Metric]:
        """Table 3's metrics over all unseen classes."""
        return evaluate(self.unseen, self.config, OVERALL.__contains__) if self.unseen else []

    @cached_property
    def seen_found(self) -> list[Metric]:
        """The same over the test list."""
        return evaluate(self.seen, self.config, OVERALL.__contains__) if self.seen else []

    def counts(self) -> dict[str, int]:
        """Videos of each class among the unseen ones, the paper's classes first; 0 for a class without videos."""
        found = _classes(self.unseen)
        others = sorted(name for name in found if name != NORMAL)
        return {name: found[name] for name in dict.fromkeys((*UNSEEN_CLASSES, *others, *found))} if found else {}

    def by_class(self, unseen: bool = True) -> dict[str, list[Metric]]:
        """VL-F1, VL-TPR and video AUC of each class against its side's normal videos; without a video, the reason."""
        scores, classes = (self.unseen, self.counts()) if unseen else (self.seen, sorted(_classes(self.seen)))
        return {name: _of_class(scores, self.config, name) for name in classes if name != NORMAL}

    def against_seen(self, names: Sequence[str] = OVERALL) -> list[Comparison]:
        """Unseen minus seen, unpaired; normal videos that both sides share are drawn together."""
        return [compare_sets(self.unseen, self.seen, self.config, name) for name in names] if self.unseen else []

    def rows(self) -> list[ResultRow]:
        """Table 3 beside the printed values, each class, the difference to seen classes, and the numbers of videos."""
        config, name = self.config, self.system
        rows = result_rows(config, self.found, PAPER, "table 3", name, self.problems)
        for category, found in self.by_class().items():
            rows += result_rows(config, found, PAPER, "table 3 by class", f"{name}, {category}")
        for change in self.against_seen():
            rows += change_rows(config, change, PAPER, "table 3 against the test list", f"{name}, unseen / seen")
        if counts := self.counts():
            normal = counts.pop(NORMAL, 0)
            anomalous, classes = sum(counts.values()), sum(n > 0 for n in counts.values())
            where = (PAPER, "section 4.7", "unseen test set")
            rows.append(number_row(config, anomalous, "videos", *where, "anomalous_videos"))
            rows.append(number_row(config, normal, "videos", *where, "normal_videos"))
            rows.append(number_row(config, classes, "classes", PAPER, "claim 4.7", "unseen test set", "classes"))
        return rows


def run(config: Config, corpus: Corpus, name: str, progress: Progress | None = None) -> Study:
    """Train a system, or find it, and score it on the corpus's unseen classes; where there are none, train nothing.

    Normal videos: those of the unseen list; where it has none, those of the test list, shared with the seen side (our
    reading; the paper has 150 that training did not use). Raises as `runner.run` does.
    """
    videos, why = corpus.of("unseen"), ""
    if config.split == "grouped_cv":
        why = "cross-validation trains on every class in turn: this corpus has none that a system never saw"
    elif not any(v.label for v in videos):
        why = f"corpus {corpus.name} has no video of a class that is not trained on; "
        why += "UCF-Crime has, with UCFCrime2Local's lists beside its own"
    if why:
        return Study(config, name, reason=why)
    trained = runner.run(config, corpus, name, progress)
    seen = trained.by_seed()
    unseen, noted = runner.score_videos(trained, videos, progress)
    problems = tuple(dict.fromkeys((*trained.problems, *noted)))
    labels = {v.label for scores in unseen.values() for v in scores}
    if 1 not in labels:
        why = f"none of the {sum(v.label for v in videos)} anomalous videos of unseen classes can be used"
        return Study(config, name, seen, problems=problems, reason=why)
    negatives = "the unseen list, not used in training or testing"
    if 0 not in labels:
        negatives = "the test list: the unseen list has no usable normal video"
        unseen = {seed: [*scores, *(v for v in seen[seed] if not v.label)] for seed, scores in unseen.items()}
    return Study(config, name, seen, unseen, negatives, problems)


def f1_at_share(tpr: float, fpr: float, share: float) -> float:
    """F1 of a detector with these rates where `share` of the videos is anomalous; all in [0, 1], else ValueError."""
    if not (0 <= tpr <= 1 and 0 <= fpr <= 1 and 0 < share <= 1):
        raise ValueError(f"expected rates in [0, 1] and a share in (0, 1], got {tpr}, {fpr} and {share}")
    return 2 * tpr * share / (tpr * share + fpr * (1 - share) + share)


def _classes(scores: Scores) -> Counter[str]:
    """Videos of each class, normal ones included."""
    return Counter(v.category for v in next(iter(scores.values()), ()))


def _of_class(scores: Scores, config: Config, name: str) -> list[Metric]:
    chosen = {seed: [v for v in videos if v.category in (name, NORMAL)] for seed, videos in scores.items()}
    if not _classes(chosen)[name]:
        nothing = (None, None, None, (None,) * len(scores), 0, f"no video of class {name}")
        return [Metric(metric, *nothing) for metric in OF_A_CLASS]
    return evaluate(chosen, config, OF_A_CLASS.__contains__)
