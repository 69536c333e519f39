"""Receipts: what an executed notebook was made from, so that a second run skips what is current.

A notebook is current when its receipt carries today's fingerprint and what it left is still there.
The executed notebook's own metadata is never evidence: after a killed kernel it says that all is well.
"""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vadkit
from vadkit.core.code import code_version, package_digest
from vadkit.core.config import Config, resolve
from vadkit.core.digests import digest, file_digest
from vadkit.core.disk import write_atomic
from vadkit.core.errors import VadkitError, reading
from vadkit.models.pretrained import given_weights
from vadkit.workbook.notebooks import code_cells

PACKAGES = ("torch", "torchvision", "opencv-python", "ultralytics", "numpy", "pandas", "scikit-learn", "scipy")
RUNNER_FOLDERS = {"notebooks", "receipts"}


def make_fingerprint(
    content: Mapping[str, Any], parameters: Mapping[str, Any], context: str, upstream: Mapping[str, Any]
) -> str:
    """Twenty hex digits that change with a notebook's code, parameters, `context_digest`, and `left_by` by notebook."""
    cells = code_cells(content)
    return digest({"cells": cells, "parameters": dict(parameters), "context": context, "upstream": dict(upstream)})


def context_digest(config: Config) -> str:
    """What all notebooks of a run share: the package's code and assets, its libraries, the data, the weights.

    Data are known by path, size and time, since a corpus may have 100 GB; weights by their content.
    """
    places = (config.data_root, config.evaluate_scores, config.evaluate_annotations, config.mil_published)
    data = [line for path in places if path for line in file_times(resolve(path))]
    code = {"package": package_digest(), "plugins": code_version(*config.plugins), "libraries": libraries()}
    return digest({**code, "data": data, "weights": given_weights(config)})


def read_besides(config: Config, content: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """The files, by `file_times`, that no other notebook reads: others' published scores, where the code asks for them.
    A clone that is new makes that notebook run again, and no other."""
    asks = config.published_scores and any("published_scores" in cell for cell in code_cells(content)[1:])
    return file_times(resolve(config.published_scores)) if asks else []


def file_times(path: Path) -> list[tuple[str, int, int]]:
    """(relative path, bytes, modification time in ns) of a file, or of those below a folder that are not hidden."""
    if path.is_file():
        status = path.stat()
        return [(path.name, status.st_size, status.st_mtime_ns)]
    found = []
    for folder, folders, files in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            with suppress(OSError):  # a link to nowhere; reading it is the corpus's business
                status = os.stat(os.path.join(folder, name))
                found.append((os.path.relpath(os.path.join(folder, name), path), status.st_size, status.st_mtime_ns))
    return found


def receipt_path(output_dir: Path, name: str) -> Path:
    return output_dir / "receipts" / f"{name[:2]}.json"


def read_receipt(output_dir: Path, name: str) -> dict[str, Any] | None:
    """The notebook's receipt; None where there is none, or none that can be read."""
    path = receipt_path(output_dir, name)
    with suppress(VadkitError), reading(path, "a receipt"):
        receipt = json.loads(path.read_text(encoding="utf-8"))
        receipt["files"] = [os.fspath(file) for file in receipt["files"]]
        if {"fingerprint", "executed", "rows"} <= receipt.keys() and receipt["notebook"] == name:
            return receipt
    return None


def write_receipt(
    output_dir: Path, name: str, fingerprint: str, parameters: Mapping[str, Any], seconds: float, files: Iterable[str]
) -> None:
    """Record that the notebook ran to its end. files: what it left, relative to output_dir."""
    receipt = {
        "notebook": name,
        "fingerprint": fingerprint,
        "executed": _digest_of(output_dir / "notebooks" / f"{name}.ipynb"),
        "rows": rows_digest(output_dir, name),
        "files": sorted(files),
        "seconds": round(seconds, 1),
        "day": date.today().isoformat(),
        "machine": machine(),
        **commit(),
        "parameters": dict(parameters),
        "weights": given_weights(Config(**parameters)),
        "libraries": libraries(),
    }
    write_atomic(receipt_path(output_dir, name), json.dumps(receipt, indent=1) + "\n")


def why_stale(output_dir: Path, name: str, fingerprint: str) -> str:
    """Why the notebook must run, in a few words; empty where its result is current."""
    receipt = read_receipt(output_dir, name)
    if receipt is None:
        return "no receipt"
    if receipt["fingerprint"] != fingerprint:
        return "code, parameters or data changed"
    if _digest_of(output_dir / "notebooks" / f"{name}.ipynb") != receipt["executed"]:
        return "its executed notebook is missing or was changed"
    missing = [file for file in receipt["files"] if not (output_dir / file).is_file()]
    if missing:
        return f"{missing[0]} is missing"
    if rows_digest(output_dir, name) != receipt["rows"]:
        return "its rows are missing or were changed"
    return ""


def left_by(output_dir: Path, name: str) -> list[str] | None:
    """What a later notebook finds of this one: None before it ran, else its fingerprint and its rows."""
    receipt = read_receipt(output_dir, name)
    return None if receipt is None else [receipt["fingerprint"], receipt["rows"]]


def rows_digest(output_dir: Path, name: str) -> str:
    """Twenty hex digits of the rows that the notebook saved (results/, a file by its name or its number)."""
    parts = [output_dir / "results" / f"{part}.csv" for part in (name, name[:2])]
    return digest([file_digest(p) for p in parts if p.is_file() and (output_dir / "results.csv").is_file()])


def snapshot(output_dir: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the files that notebooks leave below output_dir (results.csv is known by its rows)."""
    found = {path: (size, time) for path, size, time in file_times(output_dir) if path != "results.csv"}
    return {path: what for path, what in found.items() if Path(path).parts[0] not in RUNNER_FOLDERS}


def _digest_of(path: Path) -> str:
    return file_digest(path) if path.is_file() else ""


def libraries() -> dict[str, str]:
    """The versions of the libraries that results hang on."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@cache
def commit() -> dict[str, Any]:
    """{commit, clean: whether no file of it was changed}; empty where the package is not a file of a git repository."""
    git = ["git", "-c", "core.fsmonitor=false", "-C", str(Path(vadkit.__file__).parent)]  # runs no program of its own
    asked = (["ls-files", "--error-unmatch", "__init__.py"], ["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
    try:
        done = [subprocess.run([*git, *one], capture_output=True, text=True, check=True, timeout=60) for one in asked]
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": done[1].stdout.strip(), "clean": not done[2].stdout}


def machine() -> str:
    """What belongs beside a time: "AMD EPYC, 2 cores, without AVX-512". What the system does not tell is left out."""
    told = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
    name = re.search(r"^model name\s*: (.+)", told, re.MULTILINE)
    units = f", {'with' if 'avx512f' in told else 'without'} AVX-512" if "flags\t" in told else ""
    return f"{name[1] if name else platform.machine()}, {os.cpu_count()} cores{units}"
