"""The Learner on real UCF-Crime videos: the benchmark's path from a few of them to a scored film."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path

import pytest
from conftest import REPOSITORY

from vadkit.core.video import read_frames
from vadkit.live import score as live
from vadkit.systems.record import find_model

SHORT = (
    "Shoplifting024",
    "Shoplifting045",
    "Shoplifting054",
    "Shoplifting032",
    "Normal_Videos_006",
    "Normal_Videos_015",
    "Assault038",
)
TINY = {
    "backbone": "resnet18", "backbone_weights": "random", "image_size": "32", "analysis_fps": "0.4",
    "flow_method": "dis", "seeds": "[0]", "workers": "1",
    "mil_segments": "8", "mil_epochs": "2", "head_epochs": "1", "head_width": "8", "bootstrap_resamples": "20",
}  # fmt: skip


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("ucf_videos")


def listed(path: Path) -> list[dict]:
    with open(path) as file:
        return list(csv.DictReader(file))


def test_segment_labels_become_spans(benchmark, tmp_path):
    videos = tmp_path / "videos"
    for name in ("Shop/a", "Shop/b", "Quiet/c", "Shop/d"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / f"{name}.mp4").touch()
    labels = tmp_path / "videos.csv"
    labels.write_text(
        "path,class,frames,frames_per_segment,segment_labels\nShop/a.mp4,Shop,60,10,011001\n"
        "Shop/b.mp4,Shop,60,10,000000\nQuiet/c.mp4,Normal,60,,\nShop/d.mp4,Shop,60,,\n"
    )
    assert benchmark.make_tree(labels, videos, tmp_path / "tree") == 3  # nobody says where the fourth one's act is
    rows = listed(tmp_path / "tree" / "clips.csv")
    assert [(row["path"], row["label"], row["start"], row["end"], row["category"]) for row in rows] == [
        ("Shop/a.mp4", "1", "10", "30", "Shop"), ("Shop/a.mp4", "1", "50", "60", "Shop"),
        ("Shop/b.mp4", "0", "", "", "Normal"), ("Quiet/c.mp4", "0", "", "", "Normal"),
    ]  # fmt: skip
    assert (tmp_path / "tree" / "Shop" / "a.mp4").resolve() == videos / "Shop" / "a.mp4"


@pytest.mark.slow
def test_real_videos_are_learnt_from_and_scored(benchmark, shared, tmp_path, capsys):
    real = shared("data/ucf_crime")
    rows = [row for row in listed(real / "videos.csv") if Path(row["path"]).stem.removesuffix("_x264") in SHORT]
    with open(tmp_path / "few.csv", "w", newline="") as file:
        lines = csv.DictWriter(file, rows[0].keys())
        lines.writeheader()
        lines.writerows(rows)
    given = [
        text
        for name, value in {**TINY, "cache_root": str(tmp_path / "cache"), "output_root": str(tmp_path)}.items()
        for text in ("-p", name, value)
    ]
    lines = benchmark.main(["--data-root", str(real / "videos"), "--labels", str(tmp_path / "few.csv"), *given])
    assert "6 videos, 3 of them normal" in capsys.readouterr().out
    assert len(lines) == 4 and all(0 <= line["fl_auc"][0] <= 1 for line in lines)
    trained = real / "videos" / next(row["path"] for row in rows if "Shoplifting045" in row["path"])
    model = find_model(tmp_path / "ucf_videos", "MIL learner", video=str(trained))
    assert model.held_out  # by the fold that did not see it
    unseen = real / "videos" / next(row["path"] for row in rows if "Assault038" in row["path"])
    verdict = live.score(
        unseen, find_model(tmp_path / "ucf_videos", "MIL learner", video=str(unseen)), overlay=tmp_path / "o.mp4"
    )
    assert (
        verdict.frames > 100 and sum(1 for _ in read_frames(tmp_path / "o.mp4", lambda number: True)) > verdict.frames
    )
