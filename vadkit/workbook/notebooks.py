"""The notebooks as files: found, ordered, selected, and their parameters cells checked and renewed."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadkit.core.config import Config
from vadkit.core.disk import write_atomic
from vadkit.core.errors import ConfigError, RunError, few, reading
from vadkit.core.parameters import parameters_cell

# a parameters cell's metadata: hidden in JupyterLab and in a book of the notebooks, until it is clicked
FOLDED = {"jupyter": {"source_hidden": True}, "tags": ["parameters", "hide-input"]}


@dataclass(frozen=True)
class Notebook:
    path: Path
    content: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.path.stem[:2]


def find_notebooks(folder: Path) -> list[Notebook]:
    """notebooks/NN_*.ipynb in the order of their numbers. Raises RunError for a damaged one or a number used twice."""
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        content = _read(path)
        for cell in content["cells"]:
            cell["source"] = "".join(cell["source"])
        if found and found[-1].number == path.stem[:2]:
            both = f"{found[-1].path.name}, {path.name}"
            raise RunError(f"two notebooks carry the number {path.stem[:2]}: {both}; rename one")
        found.append(Notebook(path, content))
    if not found:
        raise RunError(f"no notebooks in {folder}")
    return found


def _read(path: Path) -> dict[str, Any]:
    """A notebook's content. Raises RunError where it is damaged, or lacks what papermill and the checks ask of it."""
    with reading(path, "a notebook", "restore it with git checkout", RunError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content["metadata"], dict) or (content["nbformat"], content["nbformat_minor"]) < (4, 0):
            raise ValueError("not of format 4")
        for cell in content["cells"]:
            "".join([cell["cell_type"], *cell["source"], *cell["metadata"].get("tags", [])])  # of texts alone
    return content


def select(notebooks: list[Notebook], only: str | None, from_: str | None) -> list[Notebook]:
    """The notebooks that `--only` and `--from` name by number or by name. Raises ConfigError for unknown ones."""
    numbers = {n.number for n in notebooks}

    def number(text: str, option: str) -> str:
        digits = re.match(r"\d{1,2}(?!\d)", text.strip())
        value = digits.group().zfill(2) if digits else text.strip()
        if value not in numbers:
            known = ", ".join(n.name for n in notebooks)
            raise ConfigError(f"{option} {text.strip() or repr(text)}: there is no such notebook; there are {known}")
        return value

    wanted = {number(part, "--only") for part in only.split(",")} if only is not None else numbers
    first = number(from_, "--from") if from_ is not None else "00"
    chosen = [n for n in notebooks if n.number in wanted and n.number >= first]
    if not chosen:
        raise ConfigError(f"--only {only} and --from {from_} leave no notebook to run")
    return chosen


def code_cells(content: Mapping[str, Any]) -> list[str]:
    """Sources of a notebook's code cells; prose does not count."""
    return [cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"]


def parameters_problems(content: Mapping[str, Any]) -> list[str]:
    """What keeps a notebook from taking a profile's parameters; empty where nothing does."""
    tags = [cell["metadata"].get("tags", []) for cell in content["cells"] if cell["cell_type"] == "code"]
    if not tags or "parameters" not in tags[0]:
        return ["its first code cell is not tagged 'parameters'"]
    problems = []
    if sum("parameters" in t for t in tags) > 1 or any("injected-parameters" in t for t in tags):
        problems.append("it has a second parameters cell; there must be one")
    try:
        body = ast.parse(code_cells(content)[0]).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = f"{error.msg} in line {error.lineno}" if isinstance(error, SyntaxError) else type(error).__name__
        return [*problems, f"its parameters cell is not Python: {said}"]
    names = [n.targets[0].id for n in body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
    if len(names) != len(body):
        problems.append("its parameters cell holds something else than 'name = value' lines")
    wrong = {
        "lacks": [n for n in Config.model_fields if n not in names],
        "sets unknown": [n for n in names if n not in Config.model_fields],
        "sets twice": sorted({n for n in names if names.count(n) > 1}),
    }
    return problems + [f"its parameters cell {what} {', '.join(few(some))}" for what, some in wrong.items() if some]


def changed_parameters(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Of the values those that differ from what a sound notebook's parameters cell, in its defaults, says itself."""
    said = {node.targets[0].id: ast.unparse(node.value) for node in ast.parse(code_cells(content)[0]).body}
    return {name: value for name, value in values.items() if said[name] != repr(value)}


def renew_parameters_cells(folder: Path) -> list[Path]:
    """Put `parameters_cell()` into every notebook's parameters cell, folded; the notebooks that changed."""
    changed = []
    for path in sorted([*folder.glob("*.ipynb"), *folder.glob("solutions/*.ipynb")]):
        content = _read(path)
        cell = next((c for c in content["cells"] if "parameters" in c["metadata"].get("tags", [])), None)
        if cell is None:
            raise RunError(f"{path.name} has no cell tagged 'parameters'; add one as its first code cell")
        metadata, source = {**cell["metadata"], **FOLDED}, parameters_cell().splitlines(keepends=True)
        if (cell["metadata"], cell["source"]) != (metadata, source):
            cell["metadata"], cell["source"] = metadata, source
            write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            changed.append(path)
    return changed


def needs(notebook: Notebook, notebooks: Sequence[Notebook]) -> list[Notebook]:
    """The notebooks whose results this one reads: all earlier ones where its code calls `load_results`, else none."""
    reads = any(re.search(r"\bload_results\b", source) for source in code_cells(notebook.content))
    return [n for n in notebooks if n.number < notebook.number] if reads else []
