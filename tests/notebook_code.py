"""Functions that a notebook defines in its cells, for the tests of what they compute."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def defined_in(number: str, *wanted: str) -> SimpleNamespace:
    """Functions of a notebook's code cells, with what they import; nothing else of it runs. names: what they see, where
    a test puts what other cells would set."""
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    body = [node for cell in cells for node in ast.parse("".join(cell["source"])).body]
    functions, names = [node for node in body if isinstance(node, ast.FunctionDef) and node.name in wanted], {}
    used = {node.id for function in functions for node in ast.walk(function) if isinstance(node, ast.Name)}
    imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    imports = [node for node in imports if used & {alias.asname or alias.name for alias in node.names}]
    exec(compile(ast.Module([*imports, *functions], []), str(path), "exec"), names)
    return SimpleNamespace(names=names, **{one.name: names[one.name] for one in functions})
