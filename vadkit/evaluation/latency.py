"""Average precision that an early alarm earns and a late one does not.

Liu et al. (arXiv 2505.19022) call it latency-aware AP: precision over a recall that falls with the delay. We know their
idea, and not their formula; what follows is our reading, and must not stand beside their numbers.

At a threshold, an annotated span counts 1 where a score from its first frame on has reached it, 0 where none in the
span does, and between them the share of the span that is still to come when the first does. The mean over spans is the
recall, the frames' precision the precision; their steps are summed as in average precision.
"""

from dataclasses import replace

import numpy as np

from vadkit.evaluation.bootstrap import Statistic
from vadkit.evaluation.metrics import Scored, spans
from vadkit.evaluation.pooled import precision_area


def latency_aware_ap(scored: Scored) -> Statistic:
    """Latency-aware AP of pooled frames, our reading. Undefined where no annotated span is drawn."""
    rises = [(k, *rise) for k, v in enumerate(scored.videos) for rise in _rises(v.labels, scored.held[k])]
    video, gain, score = np.array(rises or np.empty((0, 3))).T
    area = precision_area((video.astype(int), gain, score), [v.labels for v in scored.videos], scored.held)
    return area if rises else replace(area, why=f"no annotated span in {len(scored.videos)} videos")


def _rises(labels: np.ndarray, held: np.ndarray) -> list[tuple[float, float]]:
    """(gain of recall, score) wherever a span reaches a score for the first time: the threshold falls to that score."""
    found = []
    for start, end in spans(labels):
        highest = np.maximum.accumulate(held[start:end])
        first = np.append(0, np.flatnonzero(np.diff(highest)) + 1)
        to_come = np.append(1 - first / (end - start), 0)
        found += zip(-np.diff(to_come), highest[first], strict=True)
    return found
