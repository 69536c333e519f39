"""Anybody's scores through the one evaluator.

    python -m vadkit evaluate MY_SCORES --dataset ucf-crime
    python -m vadkit evaluate scores.csv --annotations Temporal_Anomaly_Annotation.txt

`evaluation.score_files` reads the layouts of scores, `evaluation.truths` those of annotations. How the two meet, each
rule named in the output:

equal   segment k of s holds over frames floor(k n / s) to floor((k + 1) n / s) - 1 of n: the parts cover the whole
        video and differ by one frame at most (our reading; repeating each score n // s times would leave a tail)
clip    an annotation that passes the last scored frame by at most the slack ends there
hold    scores that end before the video does by at most the slack: the last one holds
cut     scores that pass the video's end by at most the slack: the rest is not used

The slack is one score's frames, at least a clip of 16. A fault (a difference beyond it, a score outside [0, 1], a video
given twice, unknown or unscored) stops the evaluation, or leaves the video out.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vadkit.core.errors import DataError, few
from vadkit.corpora.public_lists import DATASETS, listed
from vadkit.evaluation import truths
from vadkit.evaluation.score_files import PER_FRAME, Finding, Reader, Scored
from vadkit.evaluation.scores import VideoScores
from vadkit.evaluation.truths import Truth
from vadkit.evaluation.video_lists import CLIPS, read_lengths

CLIP_FRAMES = 16  # what C3D and I3D features are made of
FPS = 30.0  # where nobody says
AS_SCORED = "as scored"  # a video whose length nobody gave: that of its scores counts


@dataclass(frozen=True)
class Given:
    """The videos that can be evaluated, in the order of the scores, and everything that was found wrong."""

    videos: tuple[VideoScores, ...]
    findings: tuple[Finding, ...]
    layout: str  # "32 equal segments a video", "a score for each frame"
    reading: str = ""  # how annotated frames were counted

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of thing was found."""
        return dict(Counter(f.kind for f in self.findings))


def read(
    scores,
    annotations=None,
    *,
    dataset: str | None = None,
    every: int | None = None,
    fps: float | None = None,
    slack: int | None = None,
    lengths=None,
    order=None,
    first_frame: int | None = None,
    whole: bool = False,
    leave_out: bool = False,
) -> Given:
    """Read scores and what is true of their videos, and align them by the rules above.

    scores: a file or folder of a layout of `score_files`; annotations: a file or folder of `truths.of_file`, or
    dataset: the test videos of "ucf-crime" or "xd-violence", with lengths and rates. every: frames of one score, where
    a layout does not say; fps: of all videos, instead of the data set's or 30; slack: frames that lengths may differ
    by; lengths: a CSV of name and frames; order: the list of videos of one long array; first_frame: see
    `truths.of_dataset`; whole: the one score that records give a video, over all of it; leave_out: go on without
    videos at fault. Raises DataError for what cannot be read, faults, and no video left.
    """
    for name, number, least in (("the slack", slack, 0), ("the first frame", first_frame, 0), ("--every", every, 1)):
        if number is not None and number < least:
            raise DataError(f"{name} is a number of frames, {least} or more, got {number}")
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise DataError(f"expected a positive frame rate, got {fps}")
    if annotations is None and dataset is None:
        raise DataError(f"give --dataset ({' or '.join(DATASETS)}), or --annotations FILE for other videos")
    scores = Path(scores)
    if not os.path.exists(scores):
        raise DataError(f"no scores at {scores}; `vadkit evaluate --help` lists the layouts that are read")
    listing = read_lengths(Path(order), needed=False) if order is not None else {}
    named = truths.of_dataset(dataset, first_frame) if dataset else {}
    known = {name: one.frames for name, one in named.items()}
    known |= {name: frames for name, frames in listing.items() if frames}
    known |= read_lengths(Path(lengths)) if lengths is not None else {}
    if annotations is not None:
        rates = {name: one.fps for name, one in named.items()}
        named = truths.of_file(Path(annotations), first_frame, listing, known)
        named = {name: replace(one, fps=rates.get(name)) for name, one in named.items()}
        known = {name: one.frames for name, one in named.items() if one.frames} | known
    by_name, found = {}, []
    for one in Reader(known, every, listing, whole).read(scores):
        if isinstance(one, Finding):
            found.append(one)
        else:
            by_name.setdefault(one.name, []).append(one)
    source = dataset if annotations is None else annotations
    unscored = named.keys() - {*by_name, *(f.video for f in found)}
    if few_scores := _clips(by_name, known):
        raise DataError(f"{scores}: {few_scores}")
    for name, (one, *more) in by_name.items():
        if more:  # nobody knows which is meant
            places = "; ".join(each.where for each in (one, *more))
            found.append(Finding("duplicate video", name, one.where, f"given {1 + len(more)} times: {places}"))
        elif name not in named:
            found.append(Finding("unknown video", name, one.where, _unknown(name, source)))
        else:
            found += _aligned(one, named[name], known, fps, slack)
    for name in filter(unscored.__contains__, named):
        found.append(Finding("unscored video", name, str(source), f"annotated, without scores in {scores}"))
    videos = tuple(one for one in found if isinstance(one, VideoScores))
    findings = tuple(one for one in found if isinstance(one, Finding))
    faults = [f for f in findings if not f.rule]
    if faults and not leave_out:
        raise DataError(_listed(scores, faults))
    if not videos:
        raise DataError(f"{scores}: no video is left to evaluate. {_listed(scores, faults)}")
    layouts = Counter(one.layout for one, *_ in by_name.values())
    counted = f"annotated frames count from {1 if first_frame is None else first_frame}, ends included"
    if dataset == "xd-violence" and first_frame is None:
        counted = "annotated frames count from 0, ends left out"
    return Given(videos, findings, " or ".join(layouts), counted)


def _unknown(name: str, source) -> str:
    if source in DATASETS and name in listed(source):
        return f"a training video of {source}; evaluate on its test videos"
    return f"not a test video of {source}" if source in DATASETS else f"no line in {source}"


def _clips(by_name: Mapping[str, list[Scored]], known: Mapping[str, int]) -> str:
    """Why scores that stand for frames are scores of clips: those of most videos are far too few; empty where not.

    Lengths that nobody gave, but that the public lists have for these names, count where clips of one size fit them.
    """
    counts = {name: one.frames for name, (one, *_) in by_name.items() if one.layout == PER_FRAME}
    for lengths, sure in ((known, True), (_public(), False)):
        there = {name: (count, lengths[name]) for name, count in counts.items() if name in lengths}
        short = {name: pair for name, pair in there.items() if 2 * pair[0] <= pair[1]}
        if 2 * len(short) <= len(there):
            continue
        given, frames = np.array(list(short.values())).T
        size = next((n for n in CLIPS if np.all(np.abs(frames - given * n) <= n)), None)
        name, (count, length) = next(iter(short.items()))
        if size or sure:
            remedy = f"give --every {size}" if size else "give --every N where they are scores of N-frame clips"
            return f"{count} scores of {name}, which has {length} frames, and {len(short)} videos are so; {remedy}"
    return ""


def _public() -> dict[str, int]:
    """The length of every video of the public lists."""
    return {name: one.frames for dataset in DATASETS for name, one in listed(dataset).items()}


def _aligned(
    one: Scored, truth: Truth, lengths: Mapping[str, int], fps: float | None, slack: int | None
) -> Iterator[VideoScores | Finding]:
    """What was mended of a video, then the video; or the one fault that leaves it out. lengths: true ones by name."""
    values, total = one.values, len(one.values)
    frames = lengths.get(one.name, one.frames)
    past = max((stop for _, stop in truth.spans), default=0) - frames
    if slack is None:
        slack = max(one.step, CLIP_FRAMES)
    differ = f"scores for {one.frames} frames, the video has {frames}"
    passes = f"ends {past} frames past the last of {frames}"

    def found(kind: str, what: str, rule: str = "", where: str = one.where) -> Finding:
        return Finding(kind, one.name, where, what, rule)

    if (wrong := np.flatnonzero(~np.isfinite(values))).size:
        what = f"{len(wrong)} of {total} scores are not finite numbers, the first at position {wrong[0]}"
        yield found("not a number", what)
    elif (wrong := np.flatnonzero((values < 0) | (values > 1))).size:
        first = f"the first is {values[wrong[0]]:g} at position {wrong[0]}"
        yield found("out of range", f"{len(wrong)} of {total} scores lie outside [0, 1], {first}")
    elif truth.fault:
        yield found("malformed annotation", truth.fault, where=truth.where)
    elif one.category and one.category.lower() != truth.category.lower():
        yield found("class differs", f"the scores say {one.category}, the annotation {truth.category}")
    elif abs(frames - one.frames) > slack:
        yield found("length differs", f"{differ}: a difference beyond the slack of {slack}")
    elif one.starts[0] > slack:
        yield found("late scores", f"the first is of frame {one.starts[0]}, beyond the slack of {slack}")
    elif past > slack:
        yield found("annotation past the end", f"{passes}, beyond the slack of {slack}", where=truth.where)
    else:
        if lengths and one.name not in lengths:
            what = f"not among the lengths given: its {one.frames} scored frames count"
            yield found("length unknown", what, AS_SCORED)
        elif not lengths and one.layout == PER_FRAME and 2 * frames <= (public := _public().get(one.name, 0)):
            what = f"{frames} scores, and a public list has {public} frames: give --every N where they are of clips"
            yield found("few scores", what, AS_SCORED)
        if abs(frames - one.frames) > one.loose:
            yield found("length differs", differ, "hold" if frames > one.frames else "cut")
        if past > 0:
            yield found("annotation past the end", passes, "clip", truth.where)
        labels = np.zeros(frames, np.uint8)
        for start, stop in truth.spans:
            labels[start:stop] = 1
        used = one.starts < frames
        rate = fps or truth.fps or FPS
        yield VideoScores(one.name, truth.category, one.name, rate, one.starts[used], values[used], labels)


def _listed(scores: Path, faults: list[Finding]) -> str:
    summary = ", ".join(f"{count} x {kind}" for kind, count in Counter(f.kind for f in faults).items())
    lines = [f"{scores}: {len(faults)} faults ({summary}); mend them, or leave these videos out with --leave-out"]
    return "\n  ".join([*lines, *few([f"{f.kind}: {f.video}: {f.what} ({f.where})" for f in faults])])
