"""Which differences of the demo hold in every seed: prints, for each pair of systems, the paired difference with its
interval over videos, and the difference of each seed; then a JSON line.

    python benchmarks/seeds.py params/demo.yaml

What a finished run left in the cache is not computed again. A difference whose sign changes from seed to seed is not
settled by an interval over videos: that interval holds the chance of the videos alone.
"""

from __future__ import annotations

import argparse
import json

from vadkit.core.parameters import load_params
from vadkit.core.progress import ProgressBar
from vadkit.corpora import load_corpus
from vadkit.evaluation.evaluate import compare
from vadkit.report.tables import label
from vadkit.studies import ablation

PAIRS = {
    "two streams against one": ("2S-bag", "1S-bag"),
    "the bag of objects, two streams": ("2S-bag", "2S-no-bag"),
    "the bag of objects, one stream": ("1S-bag", "1S-no-bag"),
    "hard mining": ("2S-bag", "2S-bag-no-hm"),
    "hard anomalies only, two streams": ("2S-bag-ha", "2S-bag"),
    "hard anomalies only, one stream": ("1S-bag-ha", "1S-bag"),
    "a suspicious class": ("2S-bag-suspicious", "2S-bag"),
    "a sampling rate for each class": ("2S-bag-ha-class-rates", "2S-bag-ha"),
}
METRICS = ("fl_auc", "false_alarm_rate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params")
    config = load_params(parser.parse_args().params)
    names = list(dict.fromkeys(name for pair in PAIRS.values() for name in pair))
    study = ablation.run(config, load_corpus(config, ProgressBar()), names, ProgressBar())
    lines = []
    for metric in METRICS:
        print(f"\n| {label(metric)}, points | difference | each seed |\n| --- | --- | --- |")
        seeds = {name: next(m for m in found if m.name == metric).per_seed for name, found in study.found.items()}
        for what, (first, second) in PAIRS.items():
            change = compare(study.scores[first], study.scores[second], config, metric)
            whole = [100 * x for x in (change.difference, change.ci_low, change.ci_high)]
            each = [100 * (a - b) for a, b in zip(seeds[first], seeds[second], strict=True)]
            shown = ", ".join(f"{x:+.1f}" for x in each)
            print(f"| {what} | {whole[0]:+.1f} [{whole[1]:+.1f}, {whole[2]:+.1f}] | {shown} |")
            lines.append({"pair": [first, second], "metric": metric, "difference": whole, "seeds": each})
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
