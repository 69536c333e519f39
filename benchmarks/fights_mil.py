"""How far weak labels carry on the real clips: multiple-instance learning beside the supervised system, on the same
folds.

    python benchmarks/fights_mil.py --data-root data/fights --detector weights/yolov8n.pt [--seeds 0,1,2]

Clip AUC is the AUC of a clip's mean confidence, out of fold, by source; the interval resamples whole sources. First a
clip as a bag of half seconds, whose label says as much as the supervised system is told; then a clip as an instance
of a group of clips, of which one may be a fight. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from fights import PARAMS, SYSTEM, line_of

from vadkit.core.parameters import load_params
from vadkit.corpora import load_corpus
from vadkit.systems import runner
from vadkit.systems.mil import clips_in_groups

SIZES = (1, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--cache-root", default="cache")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    config = load_params(
        PARAMS,
        {
            "data_root": options.data_root,
            "detector_weights": options.detector,
            "cache_root": options.cache_root,
            "seeds": seeds,
        },
    )
    corpus = load_corpus(config)
    labels = Counter(
        frozenset(v.label for v in corpus.videos if v.source == source) for source in {v.source for v in corpus.videos}
    )
    print(
        f"{len(corpus.videos)} clips; sources with fights and other clips: {labels[frozenset((0, 1))]}, with one "
        f"kind: {labels[frozenset((0,))] + labels[frozenset((1,))]}"
    )
    full = runner.run(config, corpus, SYSTEM).by_seed()
    lines = [line_of(f"{SYSTEM}, params/fights.yaml", full, config)]
    systems = {
        "a clip as a bag of half seconds, the largest": "MIL learner",
        "the same, the mean of three": "MIL, top-3",
        **{f"clips as instances of groups of {size}": clips_in_groups(size) for size in SIZES},
    }
    for what, system in systems.items():
        lines.append(line_of(what, runner.run(config, corpus, system).by_seed(), config, full))
    print(json.dumps({"clips": len(corpus.videos), "results": lines}))


if __name__ == "__main__":
    main()
