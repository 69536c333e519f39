"""The profile on clips, whole and quickly, through every notebook.

On a folder of tiny clips by class, cross-validated by source.
"""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from conftest import REPOSITORY, moving_square, write_video
from tiny import TINY
from toys import figures_shown_and_saved, vadkit

CHANGED = TINY | {"folds": "2", "validation_fraction": "0.4", "mil_segments": "4", "joint_epochs": "2"}


@pytest.mark.slow
def test_the_clips_profile_runs_the_whole_workbook(tmp_path):
    for folder in ("params", "notebooks"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    data, rng = tmp_path / "clips", np.random.default_rng(0)
    lines = ["path,label,source"]
    for number in range(16):
        kind = ("noFight", "fight")[number % 2]
        images = [
            np.clip(
                image.astype(int) + rng.integers(0, 1 + 90 * (number % 2), image.shape[:2])[..., None], 0, 255
            ).astype(np.uint8)
            for image in moving_square(36)
        ]
        path = write_video(data / kind / f"clip{number:02d}.mp4", images, 24.0)
        lines.append(f"{path.relative_to(data)},{number % 2},s{number // 4}")
    (data / "clips.csv").write_text("\n".join(lines) + "\n")
    given = [text for name, value in {"data_root": str(data), **CHANGED}.items() for text in ("-p", name, value)]
    out = tmp_path / "outputs" / "fights"
    code, text = vadkit(tmp_path, "run", "params/fights.yaml", *given, "--only", "15", timeout=2400)
    assert code == 0, text
    assert "run the other notebooks first" in (out / "notebooks" / "15_summary.ipynb").read_text()
    code, text = vadkit(tmp_path, "run", "params/fights.yaml", *given, timeout=2400)
    assert code == 0, text
    assert len(list((out / "receipts").glob("*"))) == len(list((REPOSITORY / "notebooks").glob("*.ipynb")))
    assert {name: count for name, count in figures_shown_and_saved(out).items() if count[0] != count[1]} == {}
    rows = list(csv.DictReader((out / "results.csv").open()))
    assert {row["verdict"] for row in rows if row["published"] and row["origin"] != "arithmetic"} == {"not comparable"}
    hidden = {row["system"] for row in rows if row["item"] == "clips as instances"}
    assert {f"MIL, clips in groups of {size}" for size in (1, 4, 8)} <= hidden  # where labels are of whole clips
