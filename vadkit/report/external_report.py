"""The evaluation of somebody's scores, and of two beside each other, as text for a person and as JSON for a program.

What `vadkit evaluate` and `vadkit compare` print; reading and aligning are in `vadkit.evaluation.external`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import DataError, few
from vadkit.evaluation import evaluate as evaluation
from vadkit.evaluation import pitfalls
from vadkit.evaluation.bootstrap import Comparison, Metric, estimate
from vadkit.evaluation.external import Given
from vadkit.evaluation.latency import latency_aware_ap
from vadkit.evaluation.metrics import Definition, Scored, video_ap
from vadkit.evaluation.scores import on_clock
from vadkit.evaluation.smoothing import SEES_THE_FUTURE, smoothed
from vadkit.report.tables import label

WARNING = (
    "the mean AUC of pairs of videos and the area by trapezoids are not the pooled AUC and the average precision, and "
    "must not stand beside them as such; latency-aware AP is our reading of arXiv 2505.19022"
)
BESIDE = {  # what others print
    "pair_averaged_auc": Definition(pitfalls.pair_averaged),
    "latency_aware_ap": Definition(latency_aware_ap),
    "video_ap": Definition(video_ap),
}


def evaluate(given: Given, config: Config, how: str = "raw", **width: float | None) -> list[Metric]:
    """Every metric of `evaluation.evaluate`, and those of `BESIDE`, each with its interval; the area by trapezoids has
    none.

    The anomaly score sees frames at `config.analysis_fps`, as of our own systems; how, width: of `smoothing.smoothed`.
    Raises as `evaluation.evaluate`.
    """
    videos = [on_clock(smoothed(v, how, **width), config.analysis_fps) for v in given.videos]
    found = evaluation.evaluate({0: videos}, config, beside=BESIDE)
    area = pitfalls.trapezoidal_ap(Scored(tuple(videos), config))
    alone = estimate("trapezoidal_ap", {0: area}, np.ones((1, len(videos))), config.interval_level)
    found.append(replace(alone, ci_low=None, ci_high=None, reason="" if alone.value else alone.reason))
    return sorted(found, key=lambda m: m.name.startswith("auc_"))  # classes last


def as_text(given: Given, found: list[Metric], config: Config, how: str = "raw") -> str:
    """A readable page: what was read, what was mended or left out, and a line for each metric."""
    facts = _facts(given)
    share = 100 * facts["anomalous_frames"] / facts["frames"]
    videos = f"{facts['videos']} videos ({facts['anomalous_videos']} anomalous)"
    lines = [f"{videos}, {facts['frames']} frames, {share:.1f} % anomalous", f"scores: {given.layout}; {given.reading}"]
    if how != "raw":
        lines.append(f"smoothed: {how}" + ", which sees the future: no camera has it" * (how in SEES_THE_FUTURE))
    lines += _findings(given)
    width = max(len(label(m.name)) for m in found)
    level = f"{100 * config.interval_level:g} % interval over videos, {config.bootstrap_resamples} resamples"
    lines += ["", f"{'metric':<{width}}  {'value':>7}     {level}"]
    lines += [_line(m, m.name, width, [m.value]) for m in found]
    return "\n".join([*lines, "", f"Note: {WARNING}."])


def compare(a: Given, b: Given, config: Config, how: str = "raw", **width: float | None) -> str:
    """A line a metric and class: two sets of scores on their common videos, and the difference with its interval.

    Raises DataError where they have no video in common, or do not agree on a video's labels.
    """
    sides = [{v.name: on_clock(smoothed(v, how, **width), config.analysis_fps) for v in each.videos} for each in (a, b)]
    common = [name for name in sides[0] if name in sides[1]]
    if not common:
        raise DataError("the two sets of scores have no video in common: compare scores of the same videos")
    videos = [[side[name] for name in common] for side in sides]
    try:
        found = evaluation.compare_all({0: videos[0]}, {0: videos[1]}, config)
    except ValueError as error:
        raise DataError(f"{error}; give the videos' lengths with --dataset or --frames") from None
    lines = [f"{len(common)} common videos ({sum(v.label for v in videos[0])} anomalous)"]
    for letter, given, side in zip("AB", (a, b), sides, strict=True):
        lines += [f"{letter}: {given.layout}; {len(side) - len(common)} videos in {letter} alone, not compared"]
        lines += [f"  {line}" for line in _findings(given, ("unscored video", "length unknown"))]
    size = max(len(label(m.metric)) for m in found)
    level = f"A - B, {100 * config.interval_level:g} % interval over videos, paired"
    lines += ["", f"{'metric':<{size}}  {'A':>7} {'B':>7}     {level}"]
    return "\n".join([*lines, *(_line(m, m.metric, size, [m.a, m.b], m.difference) for m in found)])


def _line(m: Metric | Comparison, name: str, width: int, numbers: Sequence[float | None], *apart: float | None) -> str:
    """A row of the page: numbers, their unit, a difference where there is one, the interval, what to know."""

    def text(x: float | None) -> str:
        return "none" if x is None else f"{x if m.unit else 100 * x:.2f}"

    interval = "" if m.ci_low is None else f"[{text(m.ci_low)}, {text(m.ci_high)}]"
    rest = "  ".join(filter(None, (*map(text, apart), interval, m.reason)))
    return f"{label(name):<{width}}  {' '.join(f'{text(x):>7}' for x in numbers)} {m.unit or '%':<2}  {rest}".rstrip()


def _findings(given: Given, unlisted: Sequence[str] = ("length unknown",)) -> list[str]:
    """What was mended or left out, counted, then the first of each but for kinds that are `unlisted`."""
    lines = []
    for title, ruled in (("aligned", True), ("LEFT OUT", False)):
        some = [f for f in given.findings if bool(f.rule) == ruled]
        for (kind, rule), count in Counter((f.kind, f.rule) for f in some).items():
            lines.append(f"{title}: {count} x {kind}" + (f", rule '{rule}'" if rule else ""))
        lines += few([f"    {f.video}: {f.what} ({f.where})" for f in some if f.kind not in unlisted])
    return lines


def as_json(given: Given, found: list[Metric], config: Config, how: str = "raw") -> str:
    """The same as one JSON object; shares and areas in [0, 1], None where there is no value."""
    content = _facts(given) | {
        "layout": given.layout,
        "reading": given.reading,
        "smoothed": how,
        "interval": {"level": config.interval_level, "resamples": config.bootstrap_resamples, "over": "videos"},
        "counts": given.counts,
        "findings": [{**asdict(f), "left_out": not f.rule} for f in given.findings],
        "metrics": [{k: v for k, v in asdict(m).items() if k not in ("per_seed", "videos")} for m in found],
    }
    return json.dumps(content, indent=2, allow_nan=False)


def _facts(given: Given) -> dict[str, int]:
    return {
        "videos": len(given.videos),
        "anomalous_videos": sum(v.label for v in given.videos),
        "frames": sum(v.frames for v in given.videos),
        "anomalous_frames": int(sum(v.labels.sum() for v in given.videos)),
    }
