"""What the sigmoidal anomaly score makes of a test set's videos, and typical ones, chosen by a rule, never by eye."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadkit.core.config import Config
from vadkit.evaluation.metrics import THRESHOLD, detection_delay, spans, video_sas
from vadkit.evaluation.scores import VideoScores

ANOMALOUS = {  # the first that holds; of a video that is not labelled in time, the score alone decides
    "detected": "whose alarm begins in a labelled span",
    "early": "whose alarm began before the labelled span and is still on in it",
    "alarm elsewhere": "whose score passes 0.5, but never in a labelled span",
    "missed": "whose score never passes 0.5",
}
RULES = {kind: f"an anomalous video {rule}" for kind, rule in ANOMALOUS.items()} | {
    "false alarm": "a normal video whose score passes 0.5",
    "normal and quiet": "a normal video whose confidence never passes 0.5",
    "noise filtered by SAS": "a normal video whose confidence passes 0.5 and whose score never does",
}
RULES |= {f"unseen class, {kind}": f"a video of a class never trained on {rule}" for kind, rule in ANOMALOUS.items()}
FIGURE_3 = ("detected", "detected", "normal and quiet", "detected", "unseen class, detected")  # (a) to (e)
FIGURE_3 += ("noise filtered by SAS", "false alarm", "missed")  # (f) to (h)
FIGURE_3 += ("early", "alarm elsewhere")  # ours: the paper counts both as detected


@dataclass(frozen=True)
class Panel:
    """A video that stands for a kind of outcome; sas: (analysed frames,). Both are None where no video is left."""

    kind: str
    video: VideoScores | None
    sas: np.ndarray | None
    of: int  # videos of this kind

    @property
    def title(self) -> str:
        return f"{self.kind} ({self.of})" + (f": {self.video.name}" if self.video is not None else "")

    @property
    def drawn(self) -> tuple[VideoScores | None, np.ndarray | str]:
        """What `report.timelines.timelines` takes first: the video and its score, or none and why there is none."""
        if self.video is None:
            return None, f"no {'other ' if self.of else ''}video meets the rule:\n{RULES[self.kind]}"
        return self.video, self.sas


def outcome(video: VideoScores, sas: np.ndarray, unseen: bool = False) -> str:
    """Which of the kinds of `RULES` a video is. sas: (analysed frames,)."""
    alarm = np.max(sas) > THRESHOLD
    if video.label:
        delays = detection_delay(video.stepped, sas)
        in_time = (delays >= 0).any() or not len(delays)
        kind = "detected" if in_time else "early" if (delays < 0).any() else "alarm elsewhere"
        return ("unseen class, " if unseen else "") + (kind if alarm else "missed")
    if alarm:
        return "false alarm"
    return "noise filtered by SAS" if np.max(video.confidence) > THRESHOLD else "normal and quiet"


def figure_3(test: Sequence[VideoScores], config: Config, unseen: Sequence[VideoScores] = ()) -> list[Panel]:
    """The eight panels of figure 3, in its order, and two more (`FIGURE_3`); those that no video is left for are empty.

    Within a kind, videos are sorted by mean confidence, then name; its panels are spread evenly, one takes the middle.
    """
    found = _by_kind(test, config, unseen)
    shares = {kind: min(FIGURE_3.count(kind), len(members)) for kind, members in found.items()}
    waiting = {kind: iter(_spread(kind, found[kind], count)) for kind, count in shares.items()}
    return [next(waiting[kind], Panel(kind, None, None, len(found[kind]))) for kind in FIGURE_3]


def _by_kind(test: Sequence[VideoScores], config: Config, unseen: Sequence[VideoScores]) -> dict[str, list]:
    """(video, its score) of each kind, by mean confidence, then name."""
    of_kind = {kind: [] for kind in RULES}
    for videos, is_unseen in ((test, False), ([v for v in unseen if v.label], True)):
        for video in videos:
            sas = video_sas(video, config)
            of_kind[outcome(video, sas, is_unseen)].append((video.stepped, sas))
    for members in of_kind.values():
        members.sort(key=lambda m: (float(np.mean(m[0].confidence)), m[0].name))
    return of_kind


def _spread(kind: str, members: Sequence[tuple[VideoScores, np.ndarray]], count: int) -> list[Panel]:
    """`count` different ones of the members, evenly spaced in their order; one takes the middle."""
    places = ((np.arange(count) + 0.5) * len(members) / max(count, 1)).astype(int)
    return [Panel(kind, *members[place], of=len(members)) for place in places]


def moments(video: VideoScores) -> list[int]:
    """Up to three frames to show of a video: the middle of what goes before its labelled spans, of the longest one, and
    of what follows; without one: one sixth, the analysed frame of the largest confidence, five sixths."""
    labelled = spans(video.labels)
    if labelled and labelled != [(0, video.frames)]:
        longest = max(labelled, key=lambda span: span[1] - span[0])
        chosen = [sum(longest) // 2]
        chosen += [labelled[0][0] // 2] if labelled[0][0] else []
        chosen += [(labelled[-1][1] + video.frames) // 2] if labelled[-1][1] < video.frames else []
    else:
        chosen = [video.frames // 6, int(video.index[np.argmax(video.confidence)]), 5 * video.frames // 6]
    return sorted(set(chosen))
