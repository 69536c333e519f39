"""The comparison of two runs' results names what differs, and nothing that a machine measured of itself."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
from conftest import REPOSITORY

BASE = {
    "paper": "", "item": "table 1", "system": "a", "metric": "fl_auc", "unit": "%", "origin": "ours", "value": 81.5,
    "ci_low": 80.0, "ci_high": None, "seeds": 3, "videos": 9, "published": "82.6", "difference": -1.1,
    "verdict": "inconclusive", "reason": "", "notebook": "02", "config": "abc",
}  # fmt: skip
TIME = BASE | {"item": "efficiency", "unit": "ms", "metric": "ms_per_frame"}


def compared(folder, old, new):
    for name, rows in (("old", old), ("new", new)):
        (folder / name).mkdir()
        pd.DataFrame(rows).to_csv(folder / name / "results.csv", index=False)
    script = [
        sys.executable,
        REPOSITORY / "benchmarks" / "same_rows.py",
        folder / "old",
        folder / "new" / "results.csv",
    ]
    done = subprocess.run(script, capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_times_and_provenance_are_no_difference(tmp_path):
    noise = BASE | {"value": 81.5 + 1e-10, "notebook": "03", "config": "def"}
    code, lines = compared(tmp_path, [BASE, TIME], [TIME | {"value": 7.0}, noise])
    assert (code, lines) == (0, ["0 rows differ, of 1 old and 1 new ones"])


def test_each_value_that_differs_is_named(tmp_path):
    other, gone, came = (BASE | {"system": name} for name in ("b", "gone", "came"))
    delay = BASE | {"metric": "detection_delay_s", "unit": "s"}
    code, lines = compared(
        tmp_path,
        [BASE, other, gone, delay],
        [BASE | {"value": 81.5 + 1e-8, "ci_high": 83.0}, other | {"verdict": "reproduced"}, came, delay | {"value": 2}],
    )
    assert code == 1 and len(lines) == 8 and lines[-1] == "5 rows differ, of 4 old and 4 new ones"
    text = "\n".join(" ".join(line.split()) for line in lines)
    for line in (
        "a fl_auc ours value 81.5 81.50000001",
        "a fl_auc ours ci_high 83.0",
        "a detection_delay_s ours value 81.5 2.0",
        "b fl_auc ours verdict inconclusive reproduced",
        "gone fl_auc ours value 81.5 (no such row)",
        "came fl_auc ours value (no such row) 81.5",
    ):
        assert line in text, line


def test_the_command_prints_the_same_and_names_what_holds_no_results(tmp_path, capsys):
    from vadkit.workbook import cli

    _, lines = compared(tmp_path, [BASE], [BASE | {"value": 7.0}])
    cli.main(["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    assert capsys.readouterr().out.splitlines() == lines
    (tmp_path / "new" / "results.csv").write_text("video,frame,score\n")
    with pytest.raises(SystemExit):
        cli.main(["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    assert "holds no run's results: no column" in capsys.readouterr().err
