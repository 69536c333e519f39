"""README and docs: nothing left to fill in, links that lead somewhere, commands and notebooks that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vadkit.core.config import Config
from vadkit.workbook.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request) -> Path:
    return request.param


def test_nothing_is_left_to_fill_in(page):
    assert not re.search(r"@@|\b[A-Z]+_FIGURES\b|TODO|TBD", page.read_text(encoding="utf-8"))


def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


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
