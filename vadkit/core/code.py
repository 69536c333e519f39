"""Which code a result was made by: found by following imports, so that no list can forget a module."""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from vadkit.core.digests import digest, file_digest

PACKAGES = ("vadkit", "demo_world")
NOT_RESULTS = "vadkit.workbook"  # runs what makes results, and makes none
# Nothing depends on their code: parameters are in keys by their values, and the store keeps an entry as it was built.
DECIDE_NOTHING = {
    f"vadkit.core.{name}"
    for name in ("code", "config", "digests", "disk", "errors", "parameters", "processes", "progress", "store")
}


@cache
def code_version(*modules: str) -> str:
    """Twelve hex digits of the code of modules and of all that they import in the project, directly or not. Comments,
    docstrings and layout do not count. Raises ImportError for a module without source."""
    total = hashlib.sha256()
    for name in sorted(followed(*modules)):
        total.update(f"{name}\0{_read(name)[1]}".encode())
    return total.hexdigest()[:12]


def followed(*modules: str) -> frozenset[str]:
    """The modules of the project that the given ones are made of, themselves included. Imports within functions count,
    those for type checkers alone do not; a module from outside also brings its package."""
    packages = {*PACKAGES, *(name.partition(".")[0] for name in modules)}
    found, waiting = set(), list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name in DECIDE_NOTHING or name.partition(".")[0] not in packages:
            continue
        found.add(name)
        waiting += _read(name)[0]
    return frozenset(found)


@cache
def package_digest() -> str:
    """Twenty hex digits of vadkit's code (without comments and docstrings) and its packaged files."""
    roots = [_path(package).parent for package in PACKAGES]
    found = {p.relative_to(root.parent): p for root in roots for p in sorted(root.rglob("*")) if p.is_file()}
    modules = [".".join(name.with_suffix("").parts) for name in found if name.suffix == ".py"]
    modules = [name.removesuffix(".__init__") for name in modules if not name.startswith(NOT_RESULTS)]
    assets = [(name.as_posix(), file_digest(p)) for name, p in found.items() if name.suffix not in (".py", ".pyc")]
    return digest([code_version(*modules), assets])


@cache
def _path(name: str) -> Path | None:
    """A module's file; None where there is none. Looked up without importing anything but the top package."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.origin:
        return None
    place = Path(spec.origin).parent.joinpath(*rest)
    candidates = (place / "__init__.py", place.with_suffix(".py")) if rest else (Path(spec.origin),)
    return next((path for path in candidates if path.is_file()), None)


@cache
def _read(module: str) -> tuple[frozenset[str], str]:
    """What a module imports when it runs, a package only where something of its own is imported; and its bare code."""
    path = _path(module)
    if path is None:
        raise ImportError(f"no source for module {module}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    code = ast.dump(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found, packages = set(), (*PACKAGES, module.partition(".")[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in packages:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if _path(name) else node.module for name in inner}
    return frozenset(found), code
