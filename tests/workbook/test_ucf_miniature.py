"""The papers' own profile, whole and quickly, through every notebook.

On a miniature of UCF-Crime's tree, cut from real videos.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY
from tiny import TINY
from toys import figures_shown_and_saved, vadkit

from vadkit.core.encode import write_h264
from vadkit.core.parameters import load_params
from vadkit.core.video import read_frames
from vadkit.corpora import load_corpus
from vadkit.report import published

FRAMES = 72  # of each piece; frame 24 to 60 of an anomalous one are annotated
SPAN = (24, 60)
TRAIN = ("Assault018", "Assault020", "Shoplifting013", "Shoplifting025")
TEST = ("Assault038", "Shoplifting018", "Shoplifting026", "Shoplifting024")
UNSEEN = ("Explosion001", "Fighting023")  # on the official lists alone
# Two normal videos are there; the others are cut where nothing is marked in videos of shops.
NORMAL = {
    "Normal_Videos901": "Shoplifting009",
    "Normal_Videos902": "Shoplifting036",
    "Normal_Videos903": "Shoplifting042",
    "Normal_Videos904": "Shoplifting048",
    "Normal_Videos_006": "Normal_Videos_006",
    "Normal_Videos_015": "Normal_Videos_015",
    "Normal_Videos_905": "Shoplifting006",
    "Normal_Videos_906": "Shoplifting050",
    "Normal_Videos_907": "Shoplifting054",
}
TRAIN_NORMAL, TEST_NORMAL = tuple(NORMAL)[:4], tuple(NORMAL)[4:8]


def piece(path: Path, start: int) -> Iterator:
    frames = read_frames(path, lambda number: number >= start)
    for number, image in frames:
        if number >= start + FRAMES:
            break
        if number >= start:
            yield image
    frames.close()


@pytest.fixture(scope="module")
def tree(shared, tmp_path_factory) -> Path:
    """UCF-Crime and UCFCrime2Local as they lie on disk."""
    real, root = shared("data/ucf_crime"), tmp_path_factory.mktemp("ucf") / "UCF-Crime"
    rows = {Path(row["path"]).stem.removesuffix("_x264"): row for row in csv.DictReader((real / "videos.csv").open())}
    for name in (*TRAIN, *TEST, *UNSEEN, *NORMAL):
        row = rows[NORMAL.get(name, name)]
        marked = row["segment_labels"].find("1") if name not in NORMAL else -1
        start = max(0, marked * int(row["frames_per_segment"] or 0) - SPAN[0]) if marked >= 0 else 0
        folder = (
            "Anomaly-Videos/" + row["class"]
            if name not in NORMAL
            else "Training_Normal_Videos_Anomaly"
            if name in TRAIN_NORMAL
            else "Testing_Normal_Videos_Anomaly"
        )
        write_h264(root / folder / f"{name}_x264.mp4", piece(real / "videos" / row["path"], start), 30.0)
    local = root / "UCFCrime2Local"
    (local / "annotations").mkdir(parents=True)
    for name in (*TRAIN, *TEST):
        boxes = [
            f'0 40 40 200 200 {frame} {int(frame >= SPAN[1])} 0 0 "{name[:-3]}"' for frame in range(SPAN[0], FRAMES)
        ]
        (local / "annotations" / f"{name}.txt").write_text("\n".join(boxes) + "\n")
    (local / "Train_split_AD.txt").write_text("\n".join((*TRAIN, *TRAIN_NORMAL)) + "\n")
    pairs = [
        name for k in (0, 2) for side in (TEST, TEST_NORMAL) for name in side[k : k + 2]
    ]  # every other one validates
    (local / "Test_split_AD.txt").write_text("\n".join(pairs) + "\n")
    there = {*TRAIN, *TEST, *UNSEEN, *NORMAL}
    for listed in ("Anomaly_Train.txt", "Anomaly_Test.txt", "Temporal_Anomaly_Annotation.txt"):
        lines = (real / "lists" / listed).read_text().splitlines()
        kept = [line for line in lines if Path(line.split()[0]).stem.removesuffix("_x264") in there]
        extra = [
            f"{name}_x264.mp4"
            for name in NORMAL
            if name not in str(kept) and (name in TRAIN_NORMAL) == ("Train" in listed)
        ]
        (root / listed).write_text(
            "\n".join(kept + [f"{line}  Normal  -1  -1  -1  -1" if "Temporal" in listed else line for line in extra])
            + "\n"
        )
    return root


def test_the_miniature_has_every_side(tree):
    corpus = load_corpus(load_params(REPOSITORY / "params" / "ucf_crime.yaml", {"data_root": str(tree)}))
    counts = {
        split: [sum(v.label == label for v in corpus.of(split)) for label in (1, 0)]
        for split in ("train", "val", "test", "unseen")
    }
    assert counts == {"train": [4, 4], "val": [2, 2], "test": [2, 2], "unseen": [2, 1]}
    assert not [p for p in corpus.problems if p.left_out]
    assert {v.intervals for v in corpus.of("train", "test") if v.label} == {(SPAN,)}


@pytest.mark.slow
def test_the_papers_profile_runs_the_whole_workbook(tree, tmp_path):
    for folder in ("params", "notebooks"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    given = [text for name, value in {"data_root": str(tree), **TINY}.items() for text in ("-p", name, value)]
    code, text = vadkit(tmp_path, "run", "params/ucf_crime.yaml", *given, timeout=2400)
    assert code == 0, text
    out = tmp_path / "outputs" / "ucf_crime"
    assert sorted(p.stem for p in (out / "receipts").glob("*")) == sorted(
        p.name[:2] for p in (REPOSITORY / "notebooks").glob("*.ipynb")
    )
    assert {name: count for name, count in figures_shown_and_saved(out).items() if count[0] != count[1]} == {}
    rows = list(csv.DictReader((out / "results.csv").open()))
    verdicts = {row["verdict"] for row in rows if row["published"]}
    assert verdicts == {"not comparable"} | {
        check.verdict for check in published.check_claims()
    }  # eight videos a list, and networks of no weights
    assert json.loads(next((out / "models").glob("*.json")).read_text())["models"]
