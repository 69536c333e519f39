"""README and docs: nothing left to fill in, links that lead somewhere, commands and notebooks that exist."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vadkit.core.config import Config
from vadkit.workbook.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request) -> Path:
    return request.param


SCRIPTS = sorted([*(REPOSITORY / "benchmarks").glob("*.py"), *(REPOSITORY / "docs").rglob("*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_what_the_package_has(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("vadkit", "demo_world"):
            module = importlib.import_module(node.module)
            for name in (one.name for one in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), f"{module}: {name}"


def test_nothing_is_left_to_fill_in(page):
    assert not re.search(r"@@|\b[A-Z]+_FIGURES\b|TODO|TBD", page.read_text(encoding="utf-8"))


def test_links_lead_somewhere(page):
    for target, _, heading in re.findall(r"\]\(([^)#]+)(#([^)]+))?", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        assert (page.parent / target).exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)", (page.parent / target).read_text(encoding="utf-8"), re.M)
            assert heading in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


def test_commands_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for command in re.findall(r"^ {4}vadkit (\w+)", text, re.M):
        assert command in app.commands
    for path in re.findall(r"(?<![\w/])((?:params|benchmarks)/\w+\.(?:yaml|py))", text):
        assert (REPOSITORY / path).is_file(), path
    for name in re.findall(r"-p (\w+) ", text):
        assert name in Config.model_fields


def test_the_readme_lists_the_notebooks_that_are_there():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d\d) ", text, re.M)
    assert listed == [path.name[:2] for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))]


def test_pages_for_contributors_know_all_rooms():
    rooms = {path.name for path in (REPOSITORY / "vadkit").iterdir() if (path / "__init__.py").is_file()}
    listed = re.findall(r"^\| (`.+?) \|", (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(listed))) == rooms
    assert rooms <= set(re.findall(r"^ {8}(\w+) ", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.M))


def test_the_page_of_numbers_without_an_interval_names_every_notebook_that_saves_some():
    page = (REPOSITORY / "docs" / "reproduction.md").read_text(encoding="utf-8")
    section = page.split("## Numbers without an interval\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"\b\d\d\b", " ".join(re.findall(r"^\|[^|]+\|([^|]+)\|", section, re.M))))
    notebooks = (REPOSITORY / "notebooks").glob("*.ipynb")
    assert {path.name[:2] for path in notebooks if "number_row(" in path.read_text(encoding="utf-8")} <= listed


def test_the_book_folds_each_answer_and_no_heading_of_an_exercise(tmp_path):
    spec = importlib.util.spec_from_file_location("assemble", REPOSITORY / "docs/book/assemble.py")
    assemble = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(assemble)
    for source in sorted((REPOSITORY / "notebooks/solutions").glob("*.ipynb")):
        target = tmp_path / source.name
        assemble._notebook(source, target, set(), solutions=True)
        written, page = nbformat.read(source, as_version=4), nbformat.read(target, as_version=4)
        nbformat.validate(page)
        texts = [cell.source for cell in page.cells if cell.cell_type == "markdown"]
        shown = "\n".join(text.partition("::::{dropdown}")[0] for text in texts)
        headings = sum(cell.source.count("## Exercise ") for cell in written.cells)
        assert shown.count("## Exercise ") == headings > 1 and "**Answer.**" not in shown
        assert "**Conclusion.**" not in shown and "**What to conclude.**" not in shown


def test_hooks_at_a_commit_mend_code_and_take_outputs_out_of_notebooks(tmp_path):
    """With the environment's own tools, and a second commit passes."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".gitignore").write_text(".venv\n")
    (tmp_path / "code.py").write_text("import os\nx = 'a'\n")
    output = nbformat.v4.new_output("stream", text="1\n")
    cell = nbformat.v4.new_code_cell("print(1)", execution_count=3, outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "note.ipynb")

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    def hooks() -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own["PRE_COMMIT_HOME"] = str(tmp_path / "hooks")
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)

    git("init")
    git("add", ".")
    first = hooks()
    assert first.returncode == 1 and first.stdout.count("files were modified") == 3, first.stdout + first.stderr
    assert (tmp_path / "code.py").read_text() == 'x = "a"\n'
    (left,) = nbformat.read(tmp_path / "note.ipynb", as_version=4).cells
    assert left.source == "print(1)" and not left.outputs and left.execution_count is None
    git("add", ".")
    assert hooks().returncode == 0
