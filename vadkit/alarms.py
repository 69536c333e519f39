"""What the sigmoidal anomaly score makes of a test set: its sensitivity to its parameters, and typical videos.

Typical videos are chosen by a rule, never by eye: `choose_timelines` sorts a system's videos into the kinds of outcome
that figure 3 of Petrocchi et al. shows, and takes the middle one of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vadkit.errors import UndefinedMetricError
from vadkit.evaluation import video_sas
from vadkit.metrics import THRESHOLD, video_f1
from vadkit.scoring import VideoScores

if TYPE_CHECKING:
    from vadkit.config import Config

KINDS = ("detected", "missed", "false alarm", "normal and quiet", "noise filtered by SAS", "unseen class, detected", "unseen class, missed")


@dataclass(frozen=True)
class Panel:
    """A video that stands for a kind of outcome; sas: (analysed frames,)."""

    kind: str
    video: VideoScores
    sas: np.ndarray
    of: int  # videos of this kind

    @property
    def title(self) -> str:
        return f"{self.kind} ({self.of}): {self.video.name}"


def outcome(video: VideoScores, sas: np.ndarray, unseen: bool = False) -> str:
    """Which of `KINDS` a video is. sas: (analysed frames,).

    "noise filtered by SAS" is a normal video whose confidence passes 0.5 somewhere and whose score never does.
    """
    alarm = bool(np.max(sas) > THRESHOLD)
    if video.label:
        return ("unseen class, " if unseen else "") + ("detected" if alarm else "missed")
    if alarm:
        return "false alarm"
    return "noise filtered by SAS" if np.max(video.confidence) > THRESHOLD else "normal and quiet"


def choose_timelines(test: Sequence[VideoScores], config: Config, unseen: Sequence[VideoScores] = (), panels: int = 8) -> list[Panel]:
    """At most `panels` videos, at least one of each kind that occurs, in the order of `KINDS`.

    The rule: within a kind, sort by mean confidence (then name) and take the middle one; while there is room, the
    largest kinds get one more each, evenly spaced in that order. A kind that does not occur has no panel.
    """
    of_kind: dict[str, list[tuple[VideoScores, np.ndarray]]] = {kind: [] for kind in KINDS}
    for videos, is_unseen in ((test, False), ([v for v in unseen if v.label], True)):
        for video in videos:
            sas = video_sas(video, config)
            of_kind[outcome(video, sas, is_unseen)].append((video, sas))
    found = {kind: sorted(members, key=lambda m: (float(np.mean(m[0].confidence)), m[0].name)) for kind, members in of_kind.items() if members}
    share = {kind: 1 for kind in list(found)[:panels]}
    while sum(share.values()) < min(panels, sum(len(m) for m in found.values())):
        kind = max((k for k in share if share[k] < len(found[k])), key=lambda k: len(found[k]) / (share[k] + 1))
        share[kind] += 1
    chosen = []
    for kind, count in share.items():
        members = found[kind]
        places = ((np.arange(count) + 0.5) * len(members) / count).astype(int)
        chosen += [Panel(kind, *members[place], of=len(members)) for place in places]
    return chosen


def sensitivity(scores: Mapping[int, Sequence[VideoScores]], config: Config, taus: Sequence[float], reactivities: Sequence[float]) -> np.ndarray:
    """VL-F1, mean of the seeds, at every tau and reactivity. Shape: (taus, reactivities) in [0, 1].

    NaN where F1 has no value (all videos of one class). Everything else of the score is the run's.
    """
    values = np.full((len(taus), len(reactivities)), np.nan)
    for i, tau in enumerate(taus):
        for j, reactivity in enumerate(reactivities):
            varied = config.model_copy(update={"sas_tau": tau, "sas_reactivity": reactivity})
            try:
                values[i, j] = np.mean([video_f1([v.label for v in vs], [video_sas(v, varied).max() for v in vs]) for vs in scores.values()])
            except UndefinedMetricError:
                continue
    return values
