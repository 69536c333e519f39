"""The whole workbook on its smallest profile, and through `kill -9` over and over.

What gets to its end is what an undisturbed run leaves.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
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


def files_of(project: Path) -> set[str]:
    """What a run left, or is about to leave; its lock does not count."""
    walks = [walk for root in ("cache", "outputs") for walk in os.walk(project / root)]
    return {os.path.join(folder, name) for folder, _, names in walks for name in names if name != ".lock"}


def kill_and_rerun(project: Path, arguments: tuple[str, ...], undisturbed: Path, seed: int, timeout: float) -> None:
    """Start, `kill -9` after a random number of new files, start again from what is left; then let it end.

    A run that ends before its kill starts from nothing again. undisturbed: the project of another run, whose files
    say how far apart the kills are to be.
    """
    draw, killed, apart = random.Random(seed), 0, max(2, len(files_of(undisturbed)) * 3 // (2 * KILLS))
    while killed < KILLS:
        before, more = files_of(project), draw.randint(1, apart)
        process = vadkit_process(project, "run", *arguments)
        while process.poll() is None and len(files_of(project) - before) < more:
            time.sleep(0.01)
        process.kill()
        text, _ = process.communicate()
        if process.returncode == -signal.SIGKILL:
            killed += 1
        else:
            assert process.returncode == 0, text
            shutil.rmtree(project / "cache")
            shutil.rmtree(project / "outputs")
        check_cache(project / "cache")
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
    assert vadkit(projects[0], "run", "toy")[0] == 0
    kill_and_rerun(projects[1], ("toy",), projects[0], seed=1, timeout=120)
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


def make_book(results: Path, book: Path) -> None:
    """Put a profile's pages together; where the book's environment is there, as in `.ci/run`, Sphinx takes them without
    a warning."""
    assemble = [sys.executable, REPOSITORY / "docs/book/assemble.py", "smoke", results, book / "pages"]
    sphinx = REPOSITORY / ".venv-book" / "bin" / "sphinx-build"
    build = [
        sphinx,
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-c",
        REPOSITORY / "docs/book",
        book / "pages",
        book / "html",
    ]
    for command in (assemble, build) if sphinx.is_file() else (assemble,):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((book / "pages").glob("*.ipynb"))) == 2 * len(list((REPOSITORY / "notebooks").glob("*.ipynb")))


@pytest.mark.slow
def test_smoke_run_is_whole_then_current_and_another_seed_changes_its_numbers(tmp_path):
    project = workbook(tmp_path)
    code, text = vadkit(project, "run", "smoke", timeout=2400)
    assert code == 0, text
    done = sorted(p.name[:2] for p in (project / "outputs/smoke/receipts").glob("*"))
    assert done == sorted(p.name[:2] for p in (REPOSITORY / "notebooks").glob("*.ipynb"))
    before = {path: os.stat(path).st_mtime_ns for path in files_of(project)}
    code, text = vadkit(project, "run", "smoke")
    assert code == 0 and "running (" not in text, text
    assert {path: os.stat(path).st_mtime_ns for path in files_of(project)} == before

    code, text = vadkit(project, "run", "smoke", "--solutions", timeout=1200)
    assert code == 0, text
    solved = {path.name[:2] for path in (project / "outputs/smoke/solutions/notebooks").glob("*.ipynb")}
    assert solved == set(done), "every notebook's exercises have worked solutions"
    make_book(project / "outputs" / "smoke", tmp_path / "book")

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
    code, text = vadkit(undisturbed, "run", "smoke", "--only", KILLED, timeout=600)
    assert code == 0, text
    kill_and_rerun(disturbed, ("smoke", "--only", KILLED), undisturbed, seed=2, timeout=600)
    assert check_cache(disturbed / "cache") > 0
    compare(*(project / "outputs" / "smoke" for project in (disturbed, undisturbed)))
