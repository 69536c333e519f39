"""One evaluator for all systems: every metric with its interval, and paired differences between two systems.

A system's scores are `{seed: [VideoScores]}`, the same videos for every seed. The value of a metric is the mean over
seeds; its interval is a bootstrap over videos (config.interval_over: or over whole sources) of that mean, so it holds
the chance of which videos were filmed, not that of which seeds were run (those are in `per_seed`).

| metric | of what | range |
| --- | --- | --- |
| fl_auc, ap | confidence, all frames pooled | [0, 1] |
| anomalous_only_auc | confidence, frames of anomalous videos | [0, 1] |
| hard_vs_normal_auc | confidence, hard frames and those of normal videos | [0, 1] |
| auc_<Class>, macro_class_auc | confidence, frames of one class's videos and of all normal ones; their mean | [0, 1] |
| false_alarm_rate | frames of normal videos with a confidence above 0.5 | [0, 1] |
| vl_f1, vl_tpr, vl_fpr | videos whose SAS exceeds 0.5 at any point | [0, 1] |
| detection_delay_s, spans_detected | annotated spans whose alarm begins in them: seconds to it; share | >= 0; [0, 1] |
| spans_early | annotated spans whose alarm began before them and was on when they start | [0, 1] |
| video_auc, video_auc_sas | videos, by mean confidence over frames; by largest SAS | [0, 1] |

Each is defined in `vadkit.evaluation.metrics`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vadkit.core.config import Config
from vadkit.evaluation.bootstrap import RESAMPLING_SEED, Comparison, Metric, difference, estimate, resamples
from vadkit.evaluation.metrics import Definition, Scored, check_video, definitions
from vadkit.evaluation.scores import VideoScores

SeedScores = Mapping[int, Sequence[VideoScores]]


def evaluate(
    scores: SeedScores,
    config: Config,
    wanted: Callable[[str], bool] | None = None,
    beside: Mapping[str, Definition] | None = None,
) -> list[Metric]:
    """Every metric of the table above and those `beside`, or those whose name is `wanted`; classes alphabetically.

    Raises ValueError where there is no seed or no video, a video is malformed, or seeds differ in their videos;
    the message names the video. A metric without a value is in the list, with None and the reason.
    """
    seeds = _checked(scores, config)
    first = next(iter(seeds.values()))
    counts = resamples(first.videos, config)
    return [
        estimate(name, {k: one.statistic(s) for k, s in seeds.items()}, counts, config.interval_level, one.unit)
        for name, one in (definitions(first) | (beside or {})).items()
        if wanted is None or wanted(name)
    ]


def compare(a: SeedScores, b: SeedScores, config: Config, metric: str = "fl_auc") -> Comparison:
    """Difference of two systems on the same videos, each averaged over its seeds, in the same resamples.

    Raises ValueError where the videos or their labels differ, or the metric is unknown (with the known ones).
    """
    return compare_all(a, b, config, metric)[0]


def compare_all(a: SeedScores, b: SeedScores, config: Config, *wanted: str) -> list[Comparison]:
    """As `compare`, for each metric that is wanted, by default every one, classes last."""
    seeds_a, seeds_b = _checked(a, config), _checked(b, config)
    videos, others = (next(iter(seeds.values())) for seeds in (a, b))
    _same_videos(videos, others, "the two systems")
    metrics, counts = wanted or definitions(next(iter(seeds_a.values()))), resamples(videos, config)
    return [_difference(one, seeds_a, seeds_b, [counts, counts], config) for one in metrics]


def compare_sets(a: SeedScores, b: SeedScores, config: Config, metric: str) -> Comparison:
    """Difference of a metric between two sets of videos, unpaired: each set has resamples of its own.

    A video of both sets (by name), such as a normal one that two sets of anomalies share, is drawn as often in the
    one as in the other. Raises ValueError where the metric is unknown on either set (with the known ones).
    """
    seeds_a, seeds_b = _checked(a, config), _checked(b, config)
    videos_a, videos_b = (next(iter(seeds.values())) for seeds in (a, b))
    counts_a, counts_b = resamples(videos_a, config), resamples(videos_b, config, RESAMPLING_SEED + 1)
    place = {v.name: k for k, v in enumerate(videos_a)}
    for k, v in enumerate(videos_b):
        if v.name in place:
            counts_b[:, k] = counts_a[:, place[v.name]]
    return _difference(metric, seeds_a, seeds_b, (counts_a, counts_b), config)


def _difference(metric: str, a: dict[int, Scored], b: dict[int, Scored], counts, config: Config) -> Comparison:
    names, sides = set(), []
    for side in (a, b):
        first = next(iter(side.values()))
        known = definitions(first)
        if metric not in known:
            raise ValueError(f"no metric '{metric}' on these videos; there are {', '.join(known)}")
        names |= {v.name for v in first.videos}
        sides.append({seed: known[metric].statistic(scored) for seed, scored in side.items()})
    return difference(metric, *sides, counts, config.interval_level, len(names), known[metric].unit)


def _checked(scores: SeedScores, config: Config) -> dict[int, Scored]:
    if not scores:
        raise ValueError("expected the scores of at least one seed, got none")
    first = next(iter(scores))
    for seed, videos in scores.items():
        if not videos:
            raise ValueError(f"seed {seed}: no video to evaluate")
        for v in videos:
            check_video(v)
        _same_videos(scores[first], videos, f"seeds {first} and {seed}")
    name, times = Counter(v.name for v in scores[first]).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{name} is scored more than once; each video counts once")
    return {seed: Scored(tuple(videos), config) for seed, videos in scores.items()}


def _same_videos(first: Sequence[VideoScores], second: Sequence[VideoScores], whose: str) -> None:
    if [v.name for v in first] != [v.name for v in second]:
        differ = sorted({v.name for v in first} ^ {v.name for v in second})
        what = f"{len(differ)} are in one alone, the first is {differ[0]}" if differ else "their order differs"
        raise ValueError(f"{whose} must score the same videos in the same order: {what}")
    for one, other in zip(first, second, strict=True):
        if one.category != other.category or not np.array_equal(one.labels, other.labels):
            frames = f"{one.frames} and {other.frames} frames, {one.labels.sum()} and {other.labels.sum()} anomalous"
            raise ValueError(f"{whose} disagree on the labels of {one.name}: {frames}")
