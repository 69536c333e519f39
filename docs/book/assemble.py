"""Put the book's pages together: the executed notebooks of a profile, their solutions, and the pages of docs/.

    python docs/book/assemble.py demo outputs/demo outputs/book/demo

Needs nbformat alone. The pages are what a reader of the workbook sees, but for what a book folds: parameters, saving,
and solutions. Ends with an error where a notebook of the profile was not executed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
FOLDED = {"parameters", "injected-parameters", "save", "hide-input"}
PARTS = {
    "For the reader and the teacher": ["syllabus", "glossary"],
    "Notebooks": [],
    "Solutions": [],
    "Reference": ["architecture", "reproduction", "evaluate", "camera", "performance", "scale", "security"]
    + ["demo_world", "fights", "ucf_videos", "ucf_text"],
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
EXERCISE_BEGINS = re.compile(r"^(?=## Exercise \d)", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile")
    parser.add_argument("results", type=Path, help="the profile's folder of outputs")
    parser.add_argument("book", type=Path, help="where the pages go")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.book, ignore_errors=True)
    arguments.book.mkdir(parents=True)
    notebooks = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    solutions = sorted((ROOT / "notebooks" / "solutions").glob("[0-9]*.ipynb"))
    executed = arguments.results / "notebooks"
    missing = [one.stem for one in notebooks if not (executed / one.name).is_file()]
    if missing:
        sys.exit(f"{executed} lacks {', '.join(missing)}; run `vadkit run params/{arguments.profile}.yaml` first")
    pages = {one for names in PARTS.values() for one in names}
    pages |= {one.stem for one in (*notebooks, *solutions)}
    for one in notebooks:
        _notebook(executed / one.name, arguments.book / one.name, pages)
    for one in solutions:
        done = arguments.results / "solutions" / "notebooks" / one.name
        _notebook(done if done.is_file() else one, arguments.book / one.name, pages, solutions=True)
    for name in (one for names in PARTS.values() for one in names):
        text = (ROOT / "docs" / f"{name}.md").read_text()
        (arguments.book / f"{name}.md").write_text(_linked(text, ROOT / "docs", arguments.book, pages))
    parts = PARTS | {"Notebooks": [one.stem for one in notebooks], "Solutions": [one.stem for one in solutions]}
    (arguments.book / "index.md").write_text(_index(arguments.profile, arguments.results, notebooks, parts))


def _notebook(source: Path, target: Path, pages: set[str], solutions: bool = False) -> None:
    page = nbformat.read(source, as_version=4)
    for cell in page.cells:
        tags = set(cell.metadata.get("tags", ()))
        cell.metadata["tags"] = sorted(tags | {"hide-input"} if tags & FOLDED else tags)
        if cell.cell_type == "markdown":
            cell.source = _linked(cell.source, ROOT / "notebooks", target.parent, pages)
        for output in cell.get("outputs", ()):
            described = output.get("metadata", {}).get("image/png", {}).get("alt")
            if described:  # where Sphinx looks for it
                cell.metadata["mystnb"] = {"image": {"alt": described}}
    page.metadata.pop("papermill", None)
    if solutions:
        page.cells = _folded(page.cells)
    nbformat.write(page, target)


def _folded(cells: list) -> list:
    """A solution's text in a box that opens, its code and what it shows below; what stands before the first is open."""
    found, begun = [], False
    for cell in (part for one in cells for part in _by_exercise(one)):
        if cell.cell_type == "code":
            cell.metadata["tags"] = sorted({*cell.metadata["tags"], "hide-cell"} - {"hide-input"})
        elif EXERCISE_BEGINS.match(cell.source):
            (heading, _, rest), begun = cell.source.partition("\n"), True
            question, answer = _question(rest)
            folded = f"::::{{dropdown}} Solution\n{answer}\n::::" if answer.strip() else ""
            cell.source = f"{heading}\n\n{question}\n\n{folded}".rstrip()
        elif begun:
            cell.source = f"::::{{dropdown}} The solution goes on\n{cell.source}\n::::"
        found.append(cell)
    return found


def _by_exercise(cell: nbformat.NotebookNode) -> list:
    """A cell of text, cut before each exercise's heading: what answers one exercise must not stand with the next."""
    if cell.cell_type == "code":
        return [cell]
    texts = [text.strip() for text in EXERCISE_BEGINS.split(cell.source) if text.strip()]
    return [nbformat.NotebookNode(cell, id=f"{cell.id}-{number}", source=text) for number, text in enumerate(texts)]


def _question(text: str) -> tuple[str, str]:
    """The quoted lines that a solution opens with, and the rest."""
    lines = text.strip().splitlines()
    end = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith(">")), len(lines))
    return "\n".join(lines[:end]).strip(), "\n".join(lines[end:]).strip()


def _linked(text: str, folder: Path, book: Path, pages: set[str]) -> str:
    """Links to pages of the book lead there, pictures come along, and of other files only the name stays."""

    def changed(match: re.Match) -> str:
        picture, shown, where = match.groups()
        path, _, anchor = where.partition("#")
        if picture:
            shutil.copy(folder / path, book / Path(path).name)
            return f"![{shown}]({Path(path).name})"
        if Path(path).stem in pages:
            suffix = ".md" if Path(path).suffix == ".md" else ".ipynb"
            return f"[{shown}]({Path(path).stem}{suffix}{'#' + anchor if anchor else ''})"
        return shown

    return LINK.sub(changed, text)


def _index(profile: str, results: Path, notebooks: list[Path], parts: dict[str, list[str]]) -> str:
    lines = ["# Video anomaly detection, recomputed", ""]
    lines += ["Sixteen notebooks recompute two papers and look beyond them."]
    lines += [f"These pages were made from a run of `params/{profile}.yaml`."]
    if profile != "ucf_crime":
        lines += ["These are not the papers' data: nothing here reproduces, or fails to reproduce, a printed number."]
    lines += ["", "## What the notebooks answer, on these data", ""]
    for one in notebooks:
        answer = results / "answers" / f"{one.stem[:2]}.md"
        if answer.is_file():
            lines += [f"- [{one.stem[:2]}]({one.name}): {answer.read_text().strip()}"]
    for title, names in parts.items():
        if names:
            lines += ["", f"```{{toctree}}\n:caption: {title}\n:maxdepth: 1\n:hidden:\n", *names, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
