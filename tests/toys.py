"""Toy projects for the runner's tests: parameters and notebooks that need a second, not an hour."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat

from vadkit.core.parameters import parameters_cell
from vadkit.workbook import cli, receipts
from vadkit.workbook.notebooks import FOLDED

REPOSITORY = Path(__file__).resolve().parents[1]

# Like a real notebook: an expensive step in the cache, a row in results.csv, a figure.
WORK = """
import csv, os
from pathlib import Path
from vadkit.core.config import Config
from vadkit.core.parameters import make_config
from vadkit.core.disk import write_atomic
from vadkit.core.store import Store

config = make_config({name: globals()[name] for name in Config.model_fields})
name = NAME

def build(folder):
    for part in range(6):
        (folder / f"part{part}.txt").write_text(f"{name} {part} {config.seeds}" * 2000)

entry = Store(config.cache_dir).fetch("toy", {"name": name, "seeds": config.seeds}, build)
value = sum(len(p.read_text()) for p in sorted(entry.glob("part*.txt")))
"""
SAVE = """
parts = config.output_dir / "results"
write_atomic(parts / f"{name}.csv", f"notebook,value\\n{name},{value}\\n")
rows = [row for part in sorted(parts.glob("*.csv")) for row in csv.DictReader(part.open())]
lines = ["notebook,value", *(f"{r['notebook']},{r['value']}" for r in rows)]
write_atomic(config.output_dir / "results.csv", "\\n".join(lines) + "\\n")
write_atomic(config.output_dir / "figures" / f"{name}.png", f"figure of {name}")
print("rows", len(rows))
"""


def toy_notebook(folder: Path, name: str, *cells: str, parameters: str | None = None) -> Path:
    """A notebook with a parameters cell and the given code cells, each under a heading."""
    content = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    content.cells = [
        nbformat.v4.new_markdown_cell(f"# {name}"),
        nbformat.v4.new_code_cell(parameters_cell() if parameters is None else parameters, metadata=FOLDED),
    ]
    for number, source in enumerate(cells, 1):
        content.cells += [nbformat.v4.new_markdown_cell(f"## Step {number}"), nbformat.v4.new_code_cell(source)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(content, path)
    return path


def working_notebook(project: Path, name: str, *more: str) -> Path:
    return toy_notebook(project / "notebooks", name, WORK.replace("NAME", repr(name)), SAVE, *more)


def toy_project(folder: Path, names: tuple[str, ...] = ("00_first", "01_second")) -> Path:
    (folder / "params").mkdir(parents=True, exist_ok=True)
    (folder / "params" / "toy.yaml").write_text("profile: toy\nseeds: [0]\ndetector_weights: toy.onnx\n")
    (folder / "toy.onnx").write_text("only looked for")
    for name in names:
        working_notebook(folder, name)
    return folder


def figures_shown_and_saved(out: Path) -> dict[str, tuple[int, int]]:
    """Of each notebook executed into a profile's outputs: pictures on its page, and PNG files that it wrote."""
    found = {}
    for path in sorted((out / "notebooks").glob("[0-9]*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        shown = [o for cell in cells for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
        saved = [f for f in receipts.read_receipt(out, path.stem)["files"] if f.endswith(".png")]
        found[path.stem] = len(shown), len(saved)
    return found


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `vadkit ...`, in this process."""
    code = 0
    try:
        cli.main(arguments)
    except SystemExit as end:
        code = end.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def vadkit_process(project: Path, *arguments: str, **options) -> subprocess.Popen:
    """`vadkit ...` in its own process, in the project's folder."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **options.pop("env", {})}
    options.setdefault(
        "preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )  # a shell's background jobs ignore it
    return subprocess.Popen(
        [sys.executable, "-m", "vadkit", *arguments], cwd=project, env=environment,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options,
    )  # fmt: skip


def vadkit(project: Path, *arguments: str, timeout: float = 600, **options) -> tuple[int, str]:
    """(exit code, what was printed) of `vadkit ...`."""
    process = vadkit_process(project, *arguments, **options)
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, text
