"""What every committed notebook and parameter file must be, seen without running it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from vadkit.core.config import Config
from vadkit.core.parameters import load_params, make_config, parameters_cell, parse_override
from vadkit.corpora.video import Problem
from vadkit.systems.base import all_systems
from vadkit.workbook.notebooks import find_notebooks, needs, parameters_problems

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((REPOSITORY / "notebooks" / "solutions").glob("*.ipynb"))
PARAMS = sorted((REPOSITORY / "params").glob("*.yaml"))
CELL_LINES, CELL_WIDTH, DEF_LINES = 20, 100, 8
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|tmp|work|mnt)/|[A-Z]:\\\\Users")

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in this checkout")
of_solutions_too = pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLUTIONS], ids=lambda path: path.stem, indirect=True)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    content = nbformat.read(path, as_version=4)
    nbformat.validate(content)
    return content


def code_of(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python_of(source: str) -> ast.Module:
    """The cell's syntax tree; lines of IPython's own (%, !, trailing ?) are left out."""
    return ast.parse("\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in source.splitlines()))


def test_it_is_a_notebook_of_the_series(path):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)


@of_solutions_too
def test_it_carries_no_results(path, notebook):
    for cell in code_of(notebook):
        assert not cell.outputs and cell.execution_count is None
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill") is None
    assert not any("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)


def test_it_saves_the_problems_of_all_that_it_loads_and_runs(notebook):
    """A video that one system could not use must not vanish because another could."""
    nodes = [node for cell in code_of(notebook) for node in ast.walk(python_of(cell.source))]
    of_package, flows, noting = package_names(nodes), {}, {}
    for node in nodes:
        if isinstance(node, ast.Call):
            node.notes = notes_problems(dotted(node.func), of_package)
    for node in nodes:
        match node:
            case ast.Assign(targets=[target], value=value) | ast.AugAssign(target=target, value=value):
                pass
            case ast.For(target=target, iter=value):
                pass
            case _:
                continue
        for name in names_in(target):
            flows.setdefault(name, set()).update(names_in(value))
        for call in (n for n in ast.walk(value) if isinstance(n, ast.Call)):
            if call.notes:
                last = target.elts[-1] if isinstance(target, ast.Tuple) else target
                noting.setdefault(dotted(call.func), set()).update(names_in(last))
    saves = [node for node in nodes if isinstance(node, ast.Call) and dotted(node.func).endswith("save_problems")]
    saved, found = set(), set().union(*(names_in(argument) for call in saves for argument in call.args))
    while found:
        saved |= found
        found = set().union(*(flows.get(name, ()) for name in found)) - saved
    assert {call: names - saved for call, names in noting.items() if names - saved} == {}
    calls = {dotted(node.func) for node in nodes if isinstance(node, ast.Call) and node.notes}
    assert calls == noting.keys(), "a result without a name"


def package_names(nodes) -> dict[str, object]:
    """What the cells import from vadkit, by the name that they give it."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "vadkit":
            for alias in node.names:
                try:
                    one = importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:
                    module = importlib.import_module(node.module)
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
                    one = getattr(module, alias.name)
                found[alias.asname or alias.name] = one
    return found


def notes_problems(call: str, of_package: dict[str, object]) -> bool:
    """Whether a function of the package returns what could not be used: `Problem`s, or something with `problems`."""
    first, _, rest = call.partition(".")
    function = of_package.get(first)
    function = getattr(function, rest, None) if rest else function
    if not inspect.isfunction(function):
        return False
    returned = re.findall(r"\w+", str(function.__annotations__.get("return")))
    kinds = (getattr(module, name, None) for name in returned for module in package_modules())
    return any(
        kind is Problem or "problems" in getattr(kind, "__annotations__", ()) or hasattr(kind, "problems")
        for kind in kinds
    )


def package_modules() -> list[object]:
    """The modules of vadkit that are imported by now; an annotation may name what its own module does not import."""
    return [module for name, module in sys.modules.items() if name.startswith("vadkit.")]


def names_in(node: ast.AST) -> set[str]:
    """The names that an expression depends on, or that a target gives a value to.

    `runs["MIL learner"]` is one run, not all of `runs`; a run does not depend on what it is given; a comprehension's
    own names are nobody else's.
    """
    match node:
        case ast.Call() if getattr(node, "notes", False):
            return set()
        case ast.Name(id=name):
            return {name}
        case ast.Subscript(slice=ast.Constant(), ctx=ast.Load()):
            return set()
        case ast.Subscript(value=base, ctx=ast.Store()):
            return names_in(base)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            own = set().union(*(names_in(part.target) for part in node.generators))
            return set().union(*map(names_in, ast.iter_child_nodes(node))) - own
    return set().union(*map(names_in, ast.iter_child_nodes(node)))


def dotted(node: ast.AST) -> str:
    """`runner.run` of a call's function; empty for anything but names."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_a_system_names_the_notebooks_that_run_it():
    """`vadkit check` looks for weights, and errors name a remedy, by `System.notebooks`."""
    code = {path.name[:2]: path.read_text(encoding="utf-8") for path in NOTEBOOKS}
    for name, system in all_systems().items():
        said = "NAMES" if name.endswith(" model") else name.partition(", ")[0]  # "LSTM model", "video probe, flow"
        assert system.notebooks and all(said in code[number] for number in system.notebooks), name


@of_solutions_too
def test_its_kernel_is_the_plain_one(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


@of_solutions_too
def test_its_parameters_are_the_packages(notebook):
    first = code_of(notebook)[0]
    assert first.metadata["tags"] == ["parameters", "hide-input"], "run `make notebooks`"
    assert first.metadata["jupyter"] == {"source_hidden": True}, "run `make notebooks`"
    assert first.source == parameters_cell(), "run `make notebooks`"
    assert parameters_problems(notebook) == []


def test_a_line_above_them_says_which_to_try(notebook):
    """Each name is a parameter, and each value one that it takes: `sas_tau: 0.7`."""
    above = notebook.cells[notebook.cells.index(code_of(notebook)[0]) - 1]
    [line] = re.findall(r"^\*\*Parameters to try\.\*\* .*$", above.source, re.MULTILINE)
    named = [text.partition(": ") for text in re.findall(r"`([^`]+)`", line)]
    assert 1 <= len({name for name, _, _ in named}) <= 4
    for name, _, value in named:
        assert name in Config.model_fields
        if value:
            make_config({name: parse_override(name, value)})


def test_no_cell_but_the_first_sets_a_parameter(notebook):
    for cell in code_of(notebook)[1:]:
        names = {
            node.id
            for node in ast.walk(python_of(cell.source))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        assert not names & set(Config.model_fields) - {"corpus"}, (
            cell.source
        )  # after the set-up, it is the corpus itself


def test_it_opens_with_a_question_and_ends_with_exercises(notebook):
    opening, prose = notebook.cells[0], [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert opening.cell_type == "markdown" and opening.source.startswith("# ") and "?" in opening.source
    assert re.search(r"^#+ Exercises", prose[-1], re.MULTILINE)
    assert len(re.findall(r"^\d\. ", prose[-1], re.MULTILINE)) >= 2
    assert notebook.cells[-1].cell_type == "markdown"


def test_every_step_is_explained(notebook):
    """At most three code cells in a row: prose says why before, or what to notice after."""
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert "cccc" not in kinds


@of_solutions_too
def test_its_cells_are_short_python(notebook):
    for cell in code_of(notebook)[1:]:
        tree = python_of(cell.source)
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= CELL_LINES, f"{len(lines)} lines:\n{cell.source}"
        assert [line for line in lines if len(line) > CELL_WIDTH] == []
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert node.end_lineno - node.lineno < DEF_LINES, f"{node.name} belongs into the package"


@of_solutions_too
def test_what_it_takes_of_the_package_is_there(notebook):
    """A name that moved to another module would be missed minutes into a run."""
    nodes = [node for cell in code_of(notebook) for node in ast.walk(python_of(cell.source))]
    modules = {name: one for name, one in package_names(nodes).items() if inspect.ismodule(one)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{modules[node.value.id].__name__} has no {node.attr}"


@of_solutions_too
def test_it_names_no_machine(notebook):
    for cell in notebook.cells:
        assert not MACHINE_PATH.search(cell.source), cell.source


def test_numbers_are_unique_and_the_summary_reads_all():
    notebooks = find_notebooks(REPOSITORY / "notebooks")
    by_number = {n.number: n for n in notebooks}
    assert [n.number for n in needs(by_number["15"], notebooks)] == [number for number in by_number if number < "15"]
    assert needs(by_number["01"], notebooks) == []


def test_every_exercise_has_a_worked_solution(path, notebook):
    [exercises] = [cell.source for cell in notebook.cells if re.search(r"^#+ Exercises", cell.source, re.MULTILINE)]
    place = f"solutions/{path.name[:2]}_solutions.ipynb"
    assert f"]({place})" in exercises
    solved = nbformat.read(path.parent / place, as_version=4)
    assert f"](../{path.name})" in solved.cells[0].source
    headings = [
        found for cell in solved.cells for found in re.findall(r"^## Exercise (\d+)", cell.source, re.MULTILINE)
    ]
    assert headings == re.findall(r"^(\d+)\. ", exercises, re.MULTILINE)


def test_the_first_notebook_shows_the_way_through_all_others():
    prose = "\n".join(
        cell.source for cell in nbformat.read(NOTEBOOKS[0], as_version=4).cells if cell.cell_type == "markdown"
    )
    assert re.findall(r"^\| (\d\d) ", prose, re.MULTILINE) == [path.name[:2] for path in NOTEBOOKS[1:]]


def test_saved_results_are_read_in_one_way(notebook):
    """`load_results` tells the runner that a notebook builds on earlier ones; a file read by hand would hide it."""
    code = "\n".join(cell.source for cell in code_of(notebook)[1:])
    if "load_results" not in code:
        assert "results.csv" not in code and "output_dir" not in code


@pytest.mark.parametrize("params", PARAMS, ids=lambda path: path.stem)
def test_parameter_files(params):
    config = load_params(params)
    assert config.profile == params.stem
    text = params.read_text(encoding="utf-8")
    assert text.startswith("# ")
    for line in text.splitlines():
        if re.match(r"\w", line):
            assert re.fullmatch(r"\w+:\s.*\S\s+# \S.*", line), f"no comment: {line}"
    assert not MACHINE_PATH.search(text)


def test_the_demo_states_the_packages_defaults():
    assert load_params(REPOSITORY / "params" / "demo.yaml") == Config()
