"""`kill -9` of the runner, over and over: the run that gets to its end leaves what an undisturbed one leaves."""

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
SLOW_TOYS = ("00_first", "01_second", "02_third")


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


def kill_and_rerun(project: Path, params: str, span: float, seed: int, timeout: float) -> list[float]:
    """Start, `kill -9` at a random moment, start again from what is left, ten times; then let it end. The moments.

    span: about how long a whole run takes from an empty cache, in seconds.
    """
    moments, draw = [], random.Random(seed)
    while len(moments) < KILLS:
        process = vadkit_process(project, "run", params)
        moment = draw.uniform(0.3, max(1.0, span / KILLS * 1.5))
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        else:
            assert process.returncode == 0, process.args
        moments.append(moment)
        check_cache(project / "cache")
    code, text = vadkit(project, "run", params, timeout=timeout)
    assert code == 0, text
    return moments


def compare(disturbed: Path, undisturbed: Path) -> None:
    """The same results to the digit, the same figures by name, the same receipts, and nothing half-written beside them."""
    assert (disturbed / "results.csv").read_text() == (undisturbed / "results.csv").read_text()
    for folder in ("figures", "notebooks", "receipts"):
        assert sorted(p.name for p in (disturbed / folder).iterdir()) == sorted(p.name for p in (undisturbed / folder).iterdir())
    for path in (disturbed / "receipts").glob("*.json"):
        one, other = (json.loads((out / "receipts" / path.name).read_text()) for out in (disturbed, undisturbed))
        assert {key: one[key] for key in ("fingerprint", "rows", "files")} == {key: other[key] for key in ("fingerprint", "rows", "files")}


def test_toy_run_survives_kills(tmp_path):
    projects = [toy_project(tmp_path / name, SLOW_TOYS) for name in ("undisturbed", "disturbed")]
    began = time.monotonic()
    assert vadkit(projects[0], "run", "toy")[0] == 0
    kill_and_rerun(projects[1], "toy", time.monotonic() - began, seed=1, timeout=120)
    assert check_cache(projects[1] / "cache") == check_cache(projects[0] / "cache") == len(SLOW_TOYS)
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


@pytest.mark.slow
@pytest.mark.skipif(not list((REPOSITORY / "notebooks").glob("0*.ipynb")), reason="no notebooks in this checkout")
def test_smoke_run_survives_kills(tmp_path):
    projects = []
    for name in ("undisturbed", "disturbed"):
        project = tmp_path / name
        for folder in ("params", "notebooks"):
            shutil.copytree(REPOSITORY / folder, project / folder)
        projects.append(project)
    began = time.monotonic()
    code, text = vadkit(projects[0], "run", "smoke", timeout=600)
    assert code == 0, text
    span = time.monotonic() - began
    code, text = vadkit(projects[0], "run", "smoke", timeout=60)
    assert code == 0 and "running (" not in text, text
    kill_and_rerun(projects[1], "smoke", span, seed=2, timeout=600)
    check_cache(projects[1] / "cache")
    compare(*(p / "outputs" / "smoke" for p in reversed(projects)))
