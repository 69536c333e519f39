"""Write down a finished run for the light way into the workbook: scores, a table of videos, and a few clips.

    python docs/record_run.py params/demo.yaml notebooks/recorded/demo

What is cached is not computed again. The clips are those of notebook 08's figure, encoded small.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
from sums import write_sums

from vadkit.core.encode import write_h264
from vadkit.core.parameters import load_params
from vadkit.core.progress import ProgressBar
from vadkit.core.video import probe, read_frames
from vadkit.corpora import load_corpus
from vadkit.corpora.recorded import CLIPS, COLUMNS, FEATURES, SCORES, TABLE, clip
from vadkit.evaluation import alarms
from vadkit.studies.split_leakage import video_features
from vadkit.systems import runner

SYSTEMS = ("2S-bag-ha", "container facts")
CRF = 34  # of clips that are drawn an inch wide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    config, folder = load_params(arguments.params), arguments.folder
    corpus = load_corpus(config, ProgressBar())
    runs = {name: runner.run(config, corpus, name, ProgressBar()) for name in SYSTEMS}
    scored = {name: run.by_seed() for name, run in runs.items()}
    if others := corpus.of("unseen"):
        unseen, _ = runner.score_videos(runs[SYSTEMS[0]], others, ProgressBar())
        scored[SYSTEMS[0]] = {seed: [*one, *unseen[seed]] for seed, one in scored[SYSTEMS[0]].items()}
    shutil.rmtree(folder, ignore_errors=True)
    (folder / CLIPS).mkdir(parents=True)
    _scores(folder, scored)
    _videos(folder, corpus.videos)
    features, labels, sources = video_features(config, corpus, ProgressBar())
    np.savez_compressed(folder / FEATURES, features=features.astype(np.float16), labels=labels, sources=sources)
    first = config.seeds[0]
    tested = {one.name for one in corpus.of("test", "all")}
    sides = [[v for v in scored[SYSTEMS[0]][first] if (v.name in tested) == test] for test in (True, False)]
    paths = {video.name: video.path for video in corpus.videos}
    for panel in alarms.figure_3(sides[0], config, sides[1]):
        if panel.video:
            with closing(read_frames(paths[panel.video.name])) as frames:
                images = (image for _, image in frames)
                write_h264(clip(folder, panel.video.name), images, frames.probe.fps, CRF, "veryslow")
    write_sums(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.2f} MB")


def _scores(folder: Path, scored: dict) -> None:
    arrays = {}
    for system, by_seed in scored.items():
        first = next(iter(by_seed.values()))
        if any(
            not np.array_equal(a.index, b.index) for one in by_seed.values() for a, b in zip(first, one, strict=True)
        ):
            raise ValueError(f"{system}: seeds are scored at different frames")
        arrays |= {
            f"{system}/videos": np.array([video.name for video in first]),
            f"{system}/seeds": np.array(list(by_seed)),
            f"{system}/index": np.concatenate([video.index for video in first]).astype(np.int32),
            f"{system}/lengths": np.array([len(video.index) for video in first]),
            f"{system}/confidence": np.stack([np.concatenate([v.confidence for v in one]) for one in by_seed.values()]),
        }
    np.savez_compressed(folder / SCORES, **arrays)


def _videos(folder: Path, videos) -> None:
    with open(folder / TABLE, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for video in videos:
            found = probe(video.path)
            spans = json.dumps(video.intervals)
            table.writerow(
                [
                    video.name,
                    video.category,
                    video.split,
                    video.source,
                    found.fps,
                    found.frames,
                    spans,
                ]
            )


if __name__ == "__main__":
    main()
