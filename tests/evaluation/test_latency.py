from __future__ import annotations

import numpy as np
import pytest

from vadkit.core.parameters import make_config
from vadkit.evaluation.latency import latency_aware_ap
from vadkit.evaluation.metrics import Scored
from vadkit.evaluation.scores import VideoScores

CONFIG = make_config({})


def scored(*pairs) -> Scored:
    videos = [
        VideoScores(
            f"v{k}", "Abuse" if np.any(y) else "Normal", f"v{k}", 30.0, np.arange(len(y)), np.array(s), np.array(y)
        )
        for k, (y, s) in enumerate(pairs)
    ]
    return Scored(tuple(videos), CONFIG)


def by_hand(given: Scored, counts) -> float:
    """The definition, threshold by threshold."""
    labels = [v.labels for v in given.videos]
    total = before = 0.0
    for threshold in sorted({float(x) for s in given.held for x in s}, reverse=True):
        recall = spans = hits = alarms = 0.0
        for y, s, count in zip(labels, given.held, counts, strict=True):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], y, [0]]))).reshape(-1, 2)
            for start, end in edges:
                first = next((k for k in range(start, end) if s[k] >= threshold), end)
                recall += count * (end - first) / (end - start)
                spans += count
            hits += count * np.sum((s >= threshold) & (y > 0))
            alarms += count * np.sum(s >= threshold)
        total += (recall / spans - before) * (hits / alarms if alarms else 0)
        before = recall / spans
    return total


def test_it_is_one_for_an_alarm_at_once_and_falls_with_the_delay():
    normal = (np.zeros(20, int), np.full(20, 0.1))
    labels = np.repeat([0, 1, 0], [5, 10, 5])
    late = [scored((labels, np.where(np.arange(20) >= 5 + k, 0.9, 0.05) * labels), normal) for k in (0, 3, 8)]
    values = [latency_aware_ap(one).value for one in late]
    assert values[0] == 1 and values[0] > values[1] > values[2]
    assert values[1] == pytest.approx(0.7 + 0.3 * 10 / 30)  # its first three frames are below the normal video's twenty


@pytest.mark.parametrize("seed", range(5))
def test_any_scores_give_what_the_definition_gives_also_in_resamples(seed, monkeypatch):
    monkeypatch.setattr("vadkit.evaluation.pooled.AT_ONCE", 7)
    rng = np.random.default_rng(seed)
    pairs = [((rng.random(40) < 0.4).astype(int), np.round(rng.random(40), 1 + seed % 3)) for _ in range(4)]
    given = scored(*pairs, (np.zeros(30, int), rng.random(30)))
    counts = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 0, 2], [0, 0, 3, 1, 1]], float)
    np.testing.assert_allclose(latency_aware_ap(given)(counts), [by_hand(given, one) for one in counts], atol=1e-12)


def test_without_a_span_it_says_so():
    assert "no annotated span" in latency_aware_ap(scored((np.zeros(5, int), np.zeros(5)))).why
