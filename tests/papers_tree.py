"""UCF-Crime's tree with lists as long as the papers', of empty files: the reader decodes nothing."""

from __future__ import annotations

from pathlib import Path

TRAINED = ("Arrest", "Assault", "Burglary", "Robbery", "Stealing", "Vandalism")
UNSEEN = {
    "Abuse": 50,
    "Arson": 50,
    "Explosion": 50,
    "Fighting": 50,
    "RoadAccidents": 150,
    "Shooting": 50,
    "Shoplifting": 50,
}  # 450


def write_tree(root: Path, lists: str = "UCFCrime2Local", missing: tuple[str, ...] = ()) -> Path:
    """UCFCrime2Local's 210 and 90 videos and the unseen classes' 450, or the 1610 and 290 of UCF-Crime's own lists."""
    if lists == "UCFCrime2Local":
        names = {"train": _names("train", 126, 84), "test": _names("test", 54, 36)}
        unseen = [f"{category}{number:03d}" for category, count in UNSEEN.items() for number in range(1, count + 1)]
        for name in _anomalous(names["train"] + names["test"]):
            _write(root / "UCFCrime2Local" / "annotations" / f"{name}.txt", ['0 1 1 9 9 5 0 0 0 "x"'])
        _write(root / "UCFCrime2Local" / "Train_split_AD.txt", names["train"])
        _write(root / "UCFCrime2Local" / "Test_split_AD.txt", names["test"])
        _write(root / "Anomaly_Train.txt", unseen)
    else:
        names, unseen = {"train": _names("train", 810, 800), "test": _names("test", 140, 150)}, []
        _write(root / "Anomaly_Train.txt", names["train"])
        _write(root / "Anomaly_Test.txt", names["test"])
        _write(
            root / "Temporal_Anomaly_Annotation.txt",
            [f"{name}_x264.mp4 x {'5 9' if 'Normal' not in name else '-1 -1'} -1 -1" for name in names["test"]],
        )
    (root / "videos").mkdir()
    for name in {*names["train"], *names["test"], *unseen} - set(missing):
        (root / "videos" / f"{name}_x264.mp4").touch()
    return root


def _names(side: str, anomalous: int, normal: int) -> list[str]:
    """Test videos: anomalous and normal ones by pairs, so that either kind is in every other line."""
    first = 1 if side == "train" else 5001
    return [f"{TRAINED[number // 2 % len(TRAINED)]}{first + number}" for number in range(anomalous)] + [
        f"Normal_Videos{first + number}" for number in range(normal)
    ]


def _anomalous(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith("Normal")]


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
