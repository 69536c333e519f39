"""Write `vadkit/corpora/lists/*.csv` anew from the public repositories that their README names.

    python docs/lists.py --ucf-lists DIR --vera DIR --uca DIR --xd DIR

DIR of UCF-Crime's three lists, of VERA's JSON (lengths), of UCA's JSON (durations), and of XD-Violence's annotation and
lengths. Only names, classes, splits, lengths, rates and spans are taken.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from vadkit.corpora import vatic
from vadkit.corpora.public_lists import DATASETS, LISTS
from vadkit.corpora.ucf_forms import category_of, temporal_spans, video_name

COLUMNS = ["name", "category", "split", "frames", "fps", "spans"]
XD_CLASSES = {"B1": "Fighting", "B2": "Shooting", "B4": "Riot", "B5": "Abuse", "B6": "Car_accident", "G": "Explosion"}


def joined(spans) -> str:
    """Spans as the table writes them."""
    return "?" if spans is None else " ".join(f"{start}-{end}" for start, end in spans)


def ucf_rows(lists: Path, vera: Path, uca: Path) -> list[list]:
    """Lengths are VERA's; the rate is 25 where UCA's duration says so to 1 %, else 30, that of nearly all videos."""
    frames, seconds = {}, {}
    for path in sorted(vera.glob("UCF_*.json")):
        frames |= {video_name(one["video"]): one["length"] for one in json.loads(path.read_text())}
    for path in sorted(uca.rglob("UCFCrime_*.json")):
        seconds |= {video_name(name): one["duration"] for name, one in json.loads(path.read_text()).items()}
    path = lists / "Temporal_Anomaly_Annotation.txt"
    spans = {video_name(line.split()[0]): temporal_spans(str(path), line) for _, line in vatic.numbered_lines(path)}
    rows = []
    for split in ("train", "test"):
        for _, line in vatic.numbered_lines(lists / f"Anomaly_{split.title()}.txt"):
            name = video_name(line)
            rate = frames[name] / seconds[name] if name in seconds else 30.0
            fps = 25 if abs(rate / 25 - 1) < 0.01 else 30
            category = category_of(name)
            known = spans.get(name, () if category == "Normal" else None)
            rows.append([name, category, split, frames[name], fps, joined(known)])
    return rows


def xd_rows(folder: Path) -> list[list]:
    """Lengths from the list of last frames; the class is the first that a name gives; 24 frames a second."""
    last = {}
    for line in (folder / "lengths_and_labels.txt").read_text().splitlines():
        name, _, frame, _ = line.rsplit(" ", 3)
        last[name] = int(frame)
    rows = []
    for line in (folder / "temporal_anomaly_annotation_for_testing_videos.txt").read_text().splitlines():
        name, _, *numbers = line.split()
        found = [int(one) for one in numbers if one != "-1"]
        code = name.rsplit("label_", 1)[1].split("-")[0]
        spans = vatic.merge(list(zip(found[::2], found[1::2], strict=True)))
        rows.append([name, XD_CLASSES.get(code, "Normal"), "test", last[name] + 1, 24, joined(spans)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("ucf-lists", "vera", "uca", "xd"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    tables = {"ucf-crime": ucf_rows(given.ucf_lists, given.vera, given.uca), "xd-violence": xd_rows(given.xd)}
    for dataset, rows in tables.items():
        with open(LISTS / DATASETS[dataset], "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
