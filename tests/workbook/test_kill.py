"""The whole workbook on its smallest profile, and through `kill -9` over and over: what gets to its end is what an undisturbed run leaves."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from toys import REPOSITORY, toy_project, vadkit, vadkit_process

KILLS = 10
KILLED = "00,01,04"  # rendering, sampling and features; training and scoring
TOYS = ("00_first", "01_second", "02_third")


def check_cache(cache: Path) -> int:
    """Read every file of every finished entry; how many there are. Half of one would not parse."""
    entries = [e for e in cache.glob("*/*") if e.is_dir() and re.fullmatch(r"[0-9a-f]{20}", e.name)]
    for entry in entries:
        for path in entry.rglob("*"):
            if path.is_file():
                read_whole(path)
    return len(entries)


def read_whole(path: Path) -> None:
    """Read a file to its end by its kind. Raises where it is cut short."""
    import numpy as np

    assert path.stat().st_size > 0, path
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".npy":
        np.array(np.load(path, mmap_mode="r"))
    elif path.suffix == ".npz":
        with np.load(path) as content:
            assert all(content[name] is not None for name in content.files)
    elif path.suffix in {".pt", ".pth"}:
        import torch

        torch.load(path, map_location="cpu", weights_only=True)
    elif path.suffix == ".csv":
        with open(path, newline="") as file:
            assert len({len(row) for row in csv.reader(file, strict=True)}) == 1, path


def kill_and_rerun(project: Path, arguments: tuple[str, ...], span: float, seed: int, timeout: float) -> None:
    """Start, `kill -9` at a random moment, start again from what is left, ten times; then let it end.

    span: about how long the whole run takes from an empty cache, in seconds.
    """
    draw, killed = random.Random(seed), 0
    for _ in range(KILLS):
        process = vadkit_process(project, "run", *arguments)
        try:
            process.communicate(timeout=draw.uniform(0.5, max(1.0, span / KILLS * 1.5)))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 0, "the run ended by itself, and not well"
        check_cache(project / "cache")
    assert killed >= KILLS // 2, f"only {killed} of {KILLS} kills came before the end"
    code, text = vadkit(project, "run", *arguments, timeout=timeout)
    assert code == 0, text


def compare(disturbed: Path, undisturbed: Path) -> None:
    """The same results to the digit, the same figures, the same receipts, and nothing half-written beside them.

    disturbed may hold fewer notebooks: then the others' rows do not count.
    """
    receipts = [
        {p.name: json.loads(p.read_text()) for p in (out / "receipts").glob("*")} for out in (disturbed, undisturbed)
    ]
    assert receipts[0] and receipts[0].keys() <= receipts[1].keys()
    saved = sorted((disturbed / "results").glob("*.csv"))
    assert saved and all(part.read_bytes() == (undisturbed / "results" / part.name).read_bytes() for part in saved)
    with open(disturbed / "results.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) > 0
    for name, receipt in receipts[0].items():
        assert {key: receipt[key] for key in ("fingerprint", "rows", "files")} == {
            key: receipts[1][name][key] for key in ("fingerprint", "rows", "files")
        }
        for file in receipt["files"]:
            assert (disturbed / file).read_bytes() == (undisturbed / file).read_bytes(), file
    assert sorted(p.name for p in (disturbed / "notebooks").iterdir()) == sorted(
        f"{r['notebook']}.ipynb" for r in receipts[0].values()
    )


def test_toy_run_survives_kills(tmp_path):
    projects = [toy_project(tmp_path / name, TOYS) for name in ("undisturbed", "disturbed")]
    began = time.monotonic()
    assert vadkit(projects[0], "run", "toy")[0] == 0
    kill_and_rerun(projects[1], ("toy",), time.monotonic() - began, seed=1, timeout=120)
    assert check_cache(projects[1] / "cache") == check_cache(projects[0] / "cache") == len(TOYS)
    compare(*(p / "outputs" / "toy" for p in reversed(projects)))


def test_a_half_written_file_is_noticed(tmp_path):
    """The check above can fail."""
    entry = tmp_path / "cache" / "kind" / ("0" * 20)
    entry.mkdir(parents=True)
    for name, half in {"key.json": '{"a": ', "rows.csv": "a,b\n1\n", "x.npy": "\x93NUMPY", "empty.txt": ""}.items():
        (entry / name).write_text(half, encoding="latin-1")
        with pytest.raises(Exception):  # noqa: B017 - each parser has its own
            check_cache(tmp_path / "cache")
        (entry / name).unlink()


def measured(results: Path) -> dict[tuple[str, str], str]:
    """Frame metrics by (system, metric)."""
    with open(results, newline="") as file:
        return {
            (row["system"], row["metric"]): row["value"]
            for row in csv.DictReader(file)
            if row["origin"] == "ours" and row["metric"] in ("fl_auc", "ap")
        }


def workbook(folder: Path) -> Path:
    """A project with the repository's notebooks and profiles, and a cache of its own."""
    for name in ("params", "notebooks"):
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


@pytest.mark.slow
def test_smoke_run_is_whole_then_current_and_another_seed_changes_its_numbers(tmp_path):
    project = workbook(tmp_path)
    code, text = vadkit(project, "run", "smoke", timeout=900)
    assert code == 0, text
    done = sorted(p.name[:2] for p in (project / "outputs/smoke/receipts").glob("*"))
    assert done == sorted(p.name[:2] for p in (REPOSITORY / "notebooks").glob("*.ipynb"))
    code, text = vadkit(project, "run", "smoke", timeout=20)  # and fast
    assert code == 0 and "running (" not in text, text

    code, text = vadkit(
        project, "run", "smoke", "--only", "02,05,10", "-p", "seeds", "[1]", "-p", "output_root", "another", timeout=600
    )
    assert code == 0, text
    first, other = (measured(project / folder / "smoke" / "results.csv") for folder in ("outputs", "another"))
    trained = {key for key in other if key[0] in ("2S-bag", "1S-no-bag", "C3D-ha", "MIL learner")}
    assert {key[0] for key in trained} == {"2S-bag", "1S-no-bag", "C3D-ha", "MIL learner"}
    assert all(first[key] != other[key] for key in trained)  # no number is written down


@pytest.mark.slow
def test_smoke_run_survives_kills(tmp_path):
    """Three notebooks of the smallest profile, through ten kills, from nothing."""
    undisturbed, disturbed = (workbook(tmp_path / name) for name in ("undisturbed", "disturbed"))
    started = time.monotonic()
    code, text = vadkit(undisturbed, "run", "smoke", "--only", KILLED, timeout=600)
    assert code == 0, text
    kill_and_rerun(disturbed, ("smoke", "--only", KILLED), time.monotonic() - started, seed=2, timeout=600)
    assert check_cache(disturbed / "cache") > 0
    compare(*(project / "outputs" / "smoke" for project in (disturbed, undisturbed)))
