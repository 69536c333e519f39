"""What each choice of params/fights.yaml is worth on the real clips: clip AUC, and the paired change without it.

    python benchmarks/fights.py --data-root data/fights --detector weights/yolov8n.pt [--images]

Clip AUC is the AUC of a clip's mean confidence, out of fold, by source; the interval resamples whole sources.
--images adds the variants that need other images, each a pass over all clips. Prints a table and a JSON line.

    python benchmarks/fights.py --data-root data/fights --detector weights/yolov8n.pt --apart names.txt

trains the same recipe, with five seeds, on all clips but those whose names the file lists, and tries it once on these:
what the cross-validated figure is worth on clips that the recipe was not developed on.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from vadkit.core.config import Config
from vadkit.core.parameters import load_params
from vadkit.corpora import load_corpus, register_corpus
from vadkit.corpora.video import Corpus
from vadkit.evaluation import evaluate as evaluation
from vadkit.systems import runner

PARAMS = Path(__file__).resolve().parents[1] / "params" / "fights.yaml"
SYSTEM = "2S-bag"  # clips have no soft frames: 2S-bag-ha is the same system
RELEASED = {"frame_window": False, "flow_scale": "minmax", "feature_scale": "raw"}
VARIANTS = [  # (what, system, parameters that replace the profile's)
    ("without the bag", "2S-no-bag", {}),
    ("frame stream and bag alone", "1S-bag", {}),
    ("frame stream alone", "1S-no-bag", {}),
    ("with the frame stream", SYSTEM, {"frame_stream": True}),
    ("features as they are", SYSTEM, {"feature_scale": "raw"}),
    ("early stopping on a fifth of the sources", SYSTEM, {"early_stopping": True, "head_epochs": 40}),
    ("without hard mining, as many steps", "2S-bag-no-hm", {"batch_size": 256}),
    ("class weight 2", SYSTEM, {"anomaly_weight": 2.0}),
    ("the paper's batches of 16", SYSTEM, {"batch_size": 16}),
    ("15 epochs", SYSTEM, {"head_epochs": 15}),
]
IMAGE_VARIANTS = [  # without the bag, so that the detector need not look at every frame again
    (what, "2S-no-bag", {"detector_weights": "none", "frame_stream": True, "speed_stream": False, **changed})
    for what, changed in (
        ("no bag, frame in the window and flow", {}),
        ("no bag, whole frame and flow", {"frame_window": False}),
        ("the same, min-max flow and features as they are", RELEASED),
        (
            "the same, early stopping, class weight and batches of 16 too",
            RELEASED | {"early_stopping": True, "head_epochs": 40, "anomaly_weight": 2.0, "batch_size": 16},
        ),
    )
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--cache-root", default="cache")
    parser.add_argument("--images", action="store_true", help="also the variants that need other images")
    parser.add_argument("--apart", type=Path, metavar="FILE", help="names of clips to test on, one a line")
    options = parser.parse_args()
    fixed = {"data_root": options.data_root, "detector_weights": options.detector, "cache_root": options.cache_root}

    def config_of(changed: dict) -> Config:
        return load_params(PARAMS, {**fixed, **changed})

    config = config_of({})
    corpus = load_corpus(config)
    if options.apart:
        tested_apart(corpus, options.apart.read_text(encoding="utf-8").split(), fixed)
        return
    full = runner.run(config, corpus, SYSTEM).by_seed()
    lines = [line_of(f"{SYSTEM}, params/fights.yaml", full, config)]
    lines.append(
        line_of("container facts, forest", runner.run(config, corpus, "container facts").by_seed(), config, full)
    )

    def probe(name: str) -> evaluation.SeedScores:
        return runner.run(config, corpus, name).by_seed()

    lines += [
        line_of(f"linear probe of six frames, {what}", probe(f"video probe, {what}"), config, full)
        for what in ("frame", "flow", "both", "both+std")
    ]
    lines += [
        line_of(f"linear probe of single frames, {what}", probe(f"frame probe, {what}"), config, full)
        for what in ("frame", "flow", "both")
    ]
    for what, system, changed in VARIANTS + (IMAGE_VARIANTS if options.images else []):
        lines.append(line_of(what, runner.run(config_of(changed), corpus, system).by_seed(), config, full))
    print(json.dumps({"clips": len(corpus.videos), "results": lines}))


def tested_apart(corpus: Corpus, names: list[str], fixed: dict) -> None:
    """The recipe trained on the other clips. An error ends it for an unknown name, and for a source on both sides."""
    known = {video.name for video in corpus.videos}
    if unknown := sorted(set(names) - known):
        sys.exit(f"{unknown[0]} is no clip of the corpus; names look like {min(known)}")
    videos = tuple(replace(video, split="test" if video.name in names else "train") for video in corpus.videos)
    sides = [{video.source for video in videos if video.split == side} for side in ("train", "test")]
    if both := sorted(sides[0] & sides[1]):
        sys.exit(f"clips of the source {both[0]} stand on both sides; list all of a source's clips, or none")
    register_corpus("apart", lambda config, progress=None: replace(corpus, name="apart", videos=videos))
    split = {"corpus": "apart", "split": "official", "seeds": [0, 1, 2, 3, 4]}
    config = load_params(PARAMS, {**fixed, **split})
    line = line_of(f"{len(set(names))} clips apart", runner.run(config, load_corpus(config), SYSTEM).by_seed(), config)
    print(json.dumps({"clips": len(videos), "apart": len(set(names)), "results": [line]}))


def line_of(
    what: str, scores: evaluation.SeedScores, config: Config, full: evaluation.SeedScores | None = None
) -> dict:
    """One variant's clip AUC, beside the full recipe's where that is given; printed as it comes."""
    auc = next(m for m in evaluation.evaluate(scores, config) if m.name == "video_auc")
    line = {"what": what, "auc": auc.value, "interval": [auc.ci_low, auc.ci_high], "seeds": auc.per_seed}
    seeds = " ".join(f"{v:.3f}" for v in auc.per_seed)
    text = f"{what:<58} {auc.value:.3f} [{auc.ci_low:.3f}, {auc.ci_high:.3f}]  seeds {seeds}"
    if full is not None:
        change = evaluation.compare(scores, full, config, "video_auc")
        line["change"] = [change.difference, change.ci_low, change.ci_high]
        text += f"  change {change.difference:+.3f} [{change.ci_low:+.3f}, {change.ci_high:+.3f}]"
    print(text, flush=True)
    return line


if __name__ == "__main__":
    main()
