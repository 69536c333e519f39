"""How soon after an event begins its alarm comes, against false alarms an hour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vadkit.core.config import Config
from vadkit.evaluation.metrics import detection_delay
from vadkit.evaluation.sas import ALARM
from vadkit.evaluation.scores import VideoScores
from vadkit.live.calibration import most_an_hour, openings, replayed

WITHIN = (1, 3, 10)  # seconds


def in_a_row(events: Sequence[VideoScores], normal: Sequence[VideoScores]) -> list[VideoScores]:
    """The videos as one camera may show them: normal ones, as evenly as they go, before each with an event."""
    shares = np.array_split(np.arange(len(normal)), len(events))
    return [v.stepped for k, share in enumerate(shares) for v in (*(normal[n] for n in share), events[k])]


def confidences(stream: Sequence[VideoScores]) -> np.ndarray:
    """Of all videos, one after the other."""
    return np.concatenate([one.confidence for one in stream])


def alarms(stream: Sequence[VideoScores], config: Config, level: float = 0.0) -> dict[str, float]:
    """What a camera that shows these videos reports, the score going on from one to the next, at a level of its own.

    False alarms begin in normal videos; most_an_hour: below what their rate is with 95 % confidence. Delays, in seconds
    from the start of each labelled span, are `metrics.detection_delay`'s; within_3_s: the share of all spans.
    """
    false, hours, delays, before = 0, 0.0, [], 0.0
    ends = np.cumsum([len(one.index) for one in stream])[:-1]
    for one, sas in zip(stream, np.split(replayed(confidences(stream), config, level), ends), strict=True):
        if one.label:
            found = detection_delay(one, sas)
            found[: int(before > ALARM and one.labels[0])] = np.nan  # an alarm from before its first frame
            delays += found.tolist()
        else:
            false, hours = false + openings(sas, before), hours + one.seconds(0, one.frames) / 3600
        before = sas[-1]
    timely = np.array([delay for delay in delays if delay >= 0])
    line = {"false_alarms_an_hour": false / hours, "most_an_hour": most_an_hour(false, hours), "spans": len(delays)}
    if len(timely):
        line |= {"mean_delay": float(timely.mean()), "median_delay": float(np.median(timely))}
    return line | {f"within_{s}_s": float(np.sum(timely <= s)) / max(len(delays), 1) for s in WITHIN}
