"""Time of the metrics and their intervals on as many frames as UCF-Crime's test videos have.

    python benchmarks/metrics.py [--videos 290] [--frames 1100000] [--resamples 1000]

Two kinds of scores: held over 10 frames as a system analysed at 3 of 30 frames a second gives them, and a different one
for every frame, the worst case. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from vadkit.core.parameters import make_config
from vadkit.evaluation import metrics
from vadkit.evaluation.evaluate import evaluate
from vadkit.evaluation.sas import sigmoidal_anomaly_score
from vadkit.evaluation.scores import VideoScores


def synthetic_test_set(videos: int, frames: int, hold: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Videos of lognormal length, half of them with one anomalous span, 7.6% of all frames or so."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(0, 1, videos)
    lengths = np.maximum(32, (lengths / lengths.sum() * frames).astype(int))
    labels, scores = [], []
    for number, length in enumerate(lengths):
        y = np.zeros(length, np.uint8)
        if number % 2:
            span = max(1, int(0.15 * length))
            start = rng.integers(0, length - span)
            y[start : start + span] = 1
        noise = rng.normal(size=-(-length // hold)) + rng.normal()
        labels.append(y)
        scores.append(np.repeat(1 / (1 + np.exp(-noise)), hold)[:length])
    return labels, scores


def as_video(name: str, labels: np.ndarray, scores: np.ndarray, hold: int) -> VideoScores:
    index = np.arange(0, len(labels), hold)
    return VideoScores(name, "Robbery" if labels.any() else "Normal", name, 30.0, index, scores[index], labels)


def timed(function, *args, **options):
    began = time.perf_counter()
    value = function(*args, **options)
    return time.perf_counter() - began, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=290)
    parser.add_argument("--frames", type=int, default=1_100_000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()

    config, rows = make_config({"bootstrap_resamples": options.resamples}), {}
    for what, hold in (("held 10", 10), ("all different", 1)):
        labels, scores = synthetic_test_set(options.videos, options.frames, hold)
        pooled = np.concatenate(labels), np.concatenate(scores)
        videos = [as_video(f"v{k}", y, s, hold) for k, (y, s) in enumerate(zip(labels, scores, strict=True))]
        rows[f"scikit-learn's AUC, {what}"], expected = timed(metrics.frame_auc, *pooled)
        for name in ("fl_auc", "ap"):
            rows[f"{name} with its interval, {what}"], found = timed(evaluate, {0: videos}, config, {name}.__contains__)
            if name == "fl_auc":
                rows[f"difference of the two AUCs, {what}"] = abs(expected - found[0].value)
    analysed = np.concatenate(scores)[::10]
    rows[f"SAS of {len(analysed)} analysed frames"] = timed(sigmoidal_anomaly_score, analysed)[0]

    print(f"{len(pooled[0])} frames of {options.videos} videos, {options.resamples} resamples")
    for name, value in rows.items():
        print(f"{name:55s} {value:10.2e}" if "difference" in name else f"{name:55s} {value:10.3f} s")
    print(
        json.dumps(
            {
                "benchmark": "metrics",
                **vars(options),
                "frames": len(pooled[0]),
                "results": {k: float(f"{v:.4g}") for k, v in rows.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
