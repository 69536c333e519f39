"""What every committed notebook and parameter file must be, seen without running it."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import nbformat
import pytest

from vadkit.core.config import Config, load_params, make_config, parameters_cell, parse_override
from vadkit.workbook.notebooks import find_notebooks, needs, parameters_problems

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
PARAMS = sorted((REPOSITORY / "params").glob("*.yaml"))
CELL_LINES, DEF_LINES = 20, 15
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|tmp|work|mnt)/|[A-Z]:\\\\Users")

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in this checkout")


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


def test_it_carries_no_results(path, notebook):
    for cell in code_of(notebook):
        assert not cell.outputs and cell.execution_count is None
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill") is None
    assert not any("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)


def test_it_saves_the_problems_of_every_run(notebook):
    """A video that one system could not use must not vanish because another could."""
    code = "\n".join(cell.source for cell in code_of(notebook))
    if "save_problems(" in code:
        runs = re.findall(r"^\s*(\w+) = (?:experiment\.run_system|ablation\.run)\(", code, re.MULTILINE)
        assert [name for name in runs if f"{name}.problems" not in code] == []
        for found in re.findall(r"^\s*\w+, (\w+) = experiment\.score_videos\(", code, re.MULTILINE):
            assert f"*{found}" in code


def test_its_kernel_is_the_plain_one(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


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


def test_its_cells_are_short_python(notebook):
    for cell in code_of(notebook)[1:]:
        tree = python_of(cell.source)
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= CELL_LINES, f"{len(lines)} lines:\n{cell.source}"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert node.end_lineno - node.lineno < DEF_LINES, f"{node.name} belongs into the package"


def test_what_it_takes_of_the_package_is_there(notebook):
    """A name that moved to another module would be missed minutes into a run."""
    trees, modules = [python_of(cell.source) for cell in code_of(notebook)], {}
    nodes = [node for tree in trees for node in ast.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "vadkit":
            for alias in node.names:
                try:
                    modules[alias.asname or alias.name] = importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:
                    assert hasattr(importlib.import_module(node.module), alias.name), (
                        f"{node.module} has no {alias.name}"
                    )
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{modules[node.value.id].__name__} has no {node.attr}"


def test_it_names_no_machine(notebook):
    for cell in notebook.cells:
        assert not MACHINE_PATH.search(cell.source), cell.source


def test_numbers_are_unique_and_the_summary_reads_all():
    notebooks = find_notebooks(REPOSITORY / "notebooks")
    by_number = {n.number: n for n in notebooks}
    assert [n.number for n in needs(by_number["14"], notebooks)] == [number for number in by_number if number < "14"]
    assert needs(by_number["01"], notebooks) == []


def test_the_first_notebook_shows_the_way_through_all_others():
    prose = "\n".join(
        cell.source for cell in nbformat.read(NOTEBOOKS[0], as_version=4).cells if cell.cell_type == "markdown"
    )
    assert re.findall(r"^\| (\d\d) ", prose, re.MULTILINE) == [path.name[:2] for path in NOTEBOOKS[1:]]


def test_saved_results_are_read_in_one_way(notebook):
    """`load_results` is how the runner knows that a notebook builds on earlier ones; a file read by hand would hide it."""
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
