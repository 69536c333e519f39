"""The second paper's systems on sentences about UCF-Crime's videos: people's, and a machine's that they never saw.

    vadkit features text data/uca --out data/ucf_text
    vadkit features text data/uca --also data/urf_hvaa/captions --out data/ucf_captions
    python benchmarks/ucf_text.py --people data/ucf_text --machine data/ucf_captions [--systems "MIL learner,..."]

Parameters are those of params/ucf_text.yaml. Both folders hold the same training videos, so that a model is trained
once and tested twice. Frame figures over the test videos with features, mean of the seeds, with intervals over videos;
scores as they are, by a causal mean of five seconds, and the mean of each video alone. The baseline is a logistic
regression on every segment, taught the label of its video. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from vadkit.core.config import Config
from vadkit.core.parameters import load_params
from vadkit.corpora import load_corpus
from vadkit.corpora.video import Corpus
from vadkit.evaluation import evaluate as evaluation
from vadkit.evaluation.smoothing import smoothed
from vadkit.systems import runner
from vadkit.systems.bags import load_bags, video_scores

PARAMS = Path(__file__).parents[1] / "params" / "ucf_text.yaml"
SYSTEMS = "MIL learner,MIL, top-3,LSTM model,attention model,joint model"
METRICS = ("fl_auc", "ap", "anomalous_only_auc", "video_auc")
HOW = ("raw", "causal mean", "video mean")
BASELINE = "logistic regression"


def baseline(config: Config, corpus: Corpus) -> dict[int, list]:
    """Scores of test videos by a logistic regression on all segments of training and validation videos."""
    bags = load_bags(config, corpus).views
    sides = [[bags[v.name] for v in corpus.of(*side) if v.name in bags] for side in (("train", "val"), ("test",))]
    rows = np.concatenate([normalize(one.bag.features) for one in sides[0]])
    labels = np.repeat([one.video.label for one in sides[0]], [len(one.bag) for one in sides[0]])
    model = LogisticRegression(max_iter=200).fit(rows, labels)
    scores = [model.predict_proba(normalize(one.bag.features))[:, 1] for one in sides[1]]
    return {0: [video_scores(one, score, config) for one, score in zip(sides[1], scores, strict=True)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", required=True)
    parser.add_argument("--machine")
    parser.add_argument("--cache-root", default="cache")
    parser.add_argument("--systems", default=SYSTEMS, help=f"or '{BASELINE}'; separated by commas")
    options = parser.parse_args()
    names = options.systems.replace("MIL, ", "MIL; ").split(",")
    found = []
    print(f"{'tested on':<9} {'system':<20} {'smoothing':<12}", *(f"{metric:>24}" for metric in METRICS))
    for tested, folder in (("people", options.people), ("machine", options.machine)):
        if not folder:
            continue
        config = load_params(PARAMS, {"mil_published": str(Path(folder).resolve()), "cache_root": options.cache_root})
        corpus = load_corpus(config)
        for name in (one.strip().replace(";", ",") for one in names):
            raw = baseline(config, corpus) if name == BASELINE else runner.run(config, corpus, name).by_seed()
            for how in HOW:
                scores = {seed: [smoothed(video, how) for video in videos] for seed, videos in raw.items()}
                metrics = {m.name: m for m in evaluation.evaluate(scores, config, METRICS.__contains__)}
                values = [(100 * metrics[m].value, 100 * metrics[m].ci_low, 100 * metrics[m].ci_high) for m in METRICS]
                texts = [f"{value:.1f} [{low:.1f}, {high:.1f}]" for value, low, high in values]
                print(f"{tested:<9} {name:<20} {how:<12}", *(f"{text:>24}" for text in texts), flush=True)
                seeds = {m: metrics[m].per_seed for m in METRICS}
                found.append([tested, name, how, dict(zip(METRICS, values, strict=True)), seeds])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
