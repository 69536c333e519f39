"""The Learner on a handful of real UCF-Crime videos: bags by video, tested on coarse labels of moments.

    python benchmarks/ucf_videos.py --data-root data/ucf_crime/videos --labels data/ucf_crime/videos.csv [-p KEY VALUE]

labels: a CSV with the columns path, class, frames_per_segment and segment_labels (a 0 or 1 for each segment). Videos
without segment labels that are not normal take no part: nobody has said where their anomaly is. A video with no
segment marked is normal, whatever its class. Cross-validation by video; parameters are those of params/fights.yaml
but for the ones below. Prints a table and a JSON line, and records the models, so that afterwards

    vadkit score VIDEO --run outputs/ucf_videos --system "MIL learner" --overlay out.mp4

scores one of the videos by the fold that did not train on it, or any other video. What the numbers can and cannot
mean: docs/ucf_videos.md.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from fights import PARAMS

from vadkit.core.config import Config
from vadkit.core.parameters import load_params, parse_override
from vadkit.corpora import load_corpus
from vadkit.corpora.vatic import merge
from vadkit.evaluation import evaluate as evaluation
from vadkit.evaluation.scores import VideoScores
from vadkit.systems import record, runner

CHANGES = {
    "profile": "ucf_videos",
    "folds": 3,
    "mil_segments": 32,
    "mil_pairs": 4,
    "detector_weights": "none",
    "interval_over": "videos",
    "analysis_fps": 1.0,
    "image_size": 128,
    "flow_method": "dis",  # minutes on a CPU
}
SUPERVISED = "2S-no-bag"  # the same streams, trained on the labels of moments
METRICS = ("fl_auc", "anomalous_only_auc", "video_auc", "vl_tpr", "vl_fpr")


def make_tree(labels: Path, videos: Path, folder: Path) -> int:
    """Link the labelled videos below `folder` and list them in its clips.csv; how many there are."""
    lines, names = ["path,label,source,start,end,category"], set()
    for row in csv.DictReader(labels.open()):
        if row["class"] != "Normal" and not row["segment_labels"]:
            continue
        path = (videos / row["path"]).resolve(strict=True)
        link = folder / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        size = int(row["frames_per_segment"] or 0)
        spans = merge((k * size, (k + 1) * size) for k, label in enumerate(row["segment_labels"]) if label == "1")
        category = row["class"] if spans else "Normal"
        lines += [
            f"{link.relative_to(folder)},{int(bool(spans))},{path.stem},{a},{b},{category}"
            for a, b in spans or [("", "")]
        ]
        names.add(path.stem)
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return len(names)


def by_position(scores: evaluation.SeedScores) -> dict[int, list[VideoScores]]:
    """The same videos, scored by how far into the video a segment is, and nothing else."""
    return {
        seed: [
            VideoScores(v.name, v.category, v.source, v.fps, v.index, np.linspace(0, 1, len(v.index)), v.labels)
            for v in videos
        ]
        for seed, videos in scores.items()
    }


def lines_of(what: str, scores: evaluation.SeedScores, config: Config, metrics: tuple[str, ...] = METRICS) -> dict:
    found = {m.name: m for m in evaluation.evaluate(scores, config, metrics.__contains__)}
    print(f"{what:<28}" + "  ".join(f"{_text(found[name]):<20}" for name in metrics), flush=True)
    return {"what": what, **{name: [m.value, m.ci_low, m.ci_high, *m.per_seed] for name, m in found.items()}}


def _text(metric: evaluation.Metric) -> str:
    if metric.value is None:
        return "none"
    return f"{metric.value:.3f} " + (
        "(no interval)" if metric.ci_low is None else f"[{metric.ci_low:.3f}, {metric.ci_high:.3f}]"
    )


def main(arguments: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--labels", required=True, type=Path)
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    options = parser.parse_args(arguments)
    changes = {**CHANGES, **{name: parse_override(name, text) for name, text in options.p}}
    folder = load_params(PARAMS, changes).output_dir / "videos"
    count = make_tree(options.labels, options.data_root, folder)
    config = load_params(PARAMS, {**changes, "data_root": str(folder)})
    corpus = load_corpus(config)
    print(
        f"{count} videos, {sum(not v.label for v in corpus.videos)} of them normal; {config.folds} folds, seeds "
        f"{config.seeds}"
    )
    print(f"{'':<28}" + "  ".join(f"{name:<20}" for name in METRICS))
    runs = {name: runner.run(config, corpus, name) for name in ("MIL learner", "MIL, top-3")}
    supervised = runner.run(config, corpus, SUPERVISED)
    _, recorded = record.save_models(supervised, runs["MIL learner"])
    lines = [lines_of(what, run.by_seed(), config) for what, run in runs.items()]
    lines.append(lines_of(f"{SUPERVISED}, labels of moments", supervised.by_seed(), config))
    lines.append(
        lines_of("how far into the video", by_position(runs["MIL learner"].by_seed()), config, METRICS[:2])
    )  # whole videos are all alike to it
    print(f"recorded: {recorded}")
    print(json.dumps({"videos": count, "results": lines}))
    return lines


if __name__ == "__main__":
    main()
