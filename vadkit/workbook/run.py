"""The ordered run of the notebooks behind `vadkit run`: check all, skip what is current, execute the rest.

A notebook runs into a partial file, which is renamed once it got to its end; its receipt is written last.
So a kill at any moment leaves the old state or the new one, and the next run goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vadkit.core import errors as vadkit_errors
from vadkit.core.config import Config, load_params, project_root
from vadkit.workbook import checks, kernels, receipts
from vadkit.workbook import notebooks as notebook_files
from vadkit.workbook.kernels import Failure, RunError
from vadkit.workbook.notebooks import Notebook

HEARTBEAT_SECONDS = 30.0
TRACEBACK_LINES = 25


def run(
    params: str | Path,
    overrides: dict[str, Any] | None = None,
    only: str | None = None,
    from_: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Run a profile's notebooks in order; 0 where all got to their end, 1 where one did not (later ones are not run).

    overrides: parameters that replace the file's; only: numbers such as "02,03"; from_: the first number to run;
    force: also what is current. Raises VadkitError before the first kernel starts for parameters, notebooks,
    data or weights that cannot work, and where another run holds the profile.
    """
    params, config = open_profile(params, overrides)
    notebooks = notebook_files.find_notebooks(project_root() / "notebooks")
    selected = notebook_files.select(notebooks, only, from_)
    problems = [
        f"{n.path.name}: {problem}" for n in selected for problem in notebook_files.parameters_problems(n.content)
    ]
    if problems:
        raise RunError(
            "\n  ".join(
                [
                    f"{len(problems)} notebook(s) cannot take parameters; `make notebooks` renews their parameters cells:",
                    *problems,
                ]
            )
        )
    out = config.output_dir
    say(
        f"{_short(params)} -> {_short(out)} (fingerprint {config.fingerprint()}), {len(selected)} of {len(notebooks)} notebooks"
    )
    with kernels.run_lock(out):
        return _run_selected(config, notebooks, selected, force, say)


def open_profile(params: str | Path, overrides: dict[str, Any] | None = None) -> tuple[Path, Config]:
    """The parameter file of a path or a bare name, and its Config; the project's root becomes the working directory.

    Relative paths in parameters mean the project's root, in this process and in the kernels it starts.
    """
    path = find_params(params)
    os.chdir(find_project(path))
    return path, load_params(path, overrides)


def _run_selected(
    config: Config, notebooks: list[Notebook], selected: list[Notebook], force: bool, say: Callable[[str], None]
) -> int:
    out, values, began, ran = config.output_dir, config.model_dump(), time.monotonic(), 0
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    for left in (out / "notebooks").glob(".*.partial.*"):  # of a killed run
        left.unlink()
    context = receipts.context_digest(config)
    width = max(len(n.name) for n in selected)
    for notebook in selected:
        fingerprint = _fingerprint(out, notebooks, notebook, values, context)
        why = receipts.why_stale(out, notebook.name, fingerprint) or ("forced" if force else "")
        if not why:
            say(f"  {notebook.name:<{width}}  current")
            continue
        if ran == 0:
            checks.require(config, selected)
        seconds, failure = _run_one(out, notebook, values, fingerprint, f"{notebook.name:<{width}}", why, say)
        if failure:
            say(_explain(out, notebook, failure, seconds))
            return 1
        ran += 1
    say(f"{ran} run, {len(selected) - ran} current, in {clock(time.monotonic() - began)}")
    for line in _products(out):
        say(line)
    return 0


def _run_one(
    out: Path,
    notebook: Notebook,
    values: dict[str, Any],
    fingerprint: str,
    label: str,
    why: str,
    say: Callable[[str], None],
) -> tuple[float, Failure | None]:
    folder = out / "notebooks"
    partial, failed, final = (
        folder / name
        for name in (f".{notebook.name}.partial.ipynb", f"{notebook.name}.failed.ipynb", f"{notebook.name}.ipynb")
    )
    previous = receipts.read_receipt(out, notebook.name)
    receipts.receipt_path(out, notebook.name).unlink(missing_ok=True)
    before, began = receipts.snapshot(out), time.monotonic()
    display = Display(label, say)
    display.start(why)
    try:
        failure = kernels.execute(notebook.path, partial, values, display.beat)
    finally:
        display.end()
    failure = failure or _ended_early(partial)
    seconds = time.monotonic() - began
    if failure:
        if partial.is_file():
            os.replace(partial, failed)
        return seconds, failure
    os.replace(partial, final)
    failed.unlink(missing_ok=True)
    after = receipts.snapshot(out)
    files = {path for path in after if before.get(path) != after[path]} | (
        set(previous["files"] if previous else ()) & after.keys()
    )
    receipts.write_receipt(out, notebook.name, fingerprint, values, seconds, files)
    say(f"  {label}  {clock(seconds)}")
    return seconds, None


def _ended_early(executed: Path) -> Failure | None:
    """papermill takes `sys.exit()` in a cell for a good end; a notebook whose later cells never ran has not ended well."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code" and "injected-parameters" not in c["metadata"].get("tags", [])]
    unrun = sum(c["execution_count"] is None for c in code if "".join(c["source"]).strip())
    last = max((number for number, c in enumerate(code, 1) if c["execution_count"] is not None), default=None)
    return (
        Failure(last, "SystemExit", f"the cell ended the notebook with {unrun} code cells still to run")
        if unrun
        else None
    )


def _fingerprint(out: Path, notebooks: list[Notebook], notebook: Notebook, values: dict[str, Any], context: str) -> str:
    upstream = {n.name: receipts.left_by(out, n.name) for n in notebook_files.needs(notebook, notebooks)}
    return receipts.make_fingerprint(notebook.content, values, context, upstream)


def find_params(params: str | Path) -> Path:
    """The parameter file of a path, or of a bare profile name such as `demo`."""
    path = Path(params).expanduser()
    if path.exists() or path.parent != Path("."):
        return path.resolve()
    return (project_root() / "params" / path.name).with_suffix(".yaml")


def find_project(params: Path) -> Path:
    """The project's folder: above the working directory, else above the parameter file."""
    for start in (Path.cwd(), params.parent):
        root = project_root(start)
        if (root / "notebooks").is_dir() and (root / "params").is_dir():
            return root
    raise RunError(
        f"no folder with params/ and notebooks/ at or above {Path.cwd()} or {params.parent}; run vadkit inside the project"
    )


class Display:
    """One line a notebook: rewritten every second on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str, say: Callable[[str], None]):
        self.label, self.say, self.live = label, say, sys.stdout.isatty()
        self.spoke = 0.0

    def start(self, why: str) -> None:
        if not self.live:
            self.say(f"  {self.label}  running ({why})")

    def beat(self, doing: kernels.Doing, seconds: float) -> None:
        line = f"  {self.label}  {clock(seconds)}  {doing.line()}"
        if self.live:
            sys.stdout.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
            sys.stdout.flush()
        elif seconds - self.spoke >= HEARTBEAT_SECONDS:
            self.spoke = seconds
            self.say(line)

    def end(self) -> None:
        if self.live:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _explain(out: Path, notebook: Notebook, failure: Failure, seconds: float) -> str:
    place = f"code cell {failure.cell}" if failure.cell else "the kernel"
    lines = [f"  {notebook.name} failed in {place} after {clock(seconds)}"]
    if _is_users(failure.name):
        lines.append(f"error: {failure.message}")
    elif failure.name == "DeadKernelError":
        lines += [f"    {line}" for line in failure.traceback[-TRACEBACK_LINES:]]
        lines.append(
            "error: the kernel died; it may have run out of memory (try a smaller batch_size, image_size or workers: 1)"
        )
    else:
        lines += [f"    {line}" for line in failure.traceback[-TRACEBACK_LINES:]]
        lines.append(f"error: {failure.name}: {failure.message}")
    kept = out / "notebooks" / f"{notebook.name}.failed.ipynb"
    if kept.is_file():
        lines.append(f"The notebook as far as it came: {_short(kept)}; later notebooks were not run.")
    return "\n".join(lines)


def _is_users(name: str) -> bool:
    """Whether an exception's name is one of vadkit's own, whose message says all that a user needs."""
    kind = {**vars(vadkit_errors), "RunError": RunError}.get(name)
    return isinstance(kind, type) and issubclass(kind, vadkit_errors.VadkitError)


def _products(out: Path) -> list[str]:
    lines = []
    if (out / "results.csv").is_file():
        lines.append(f"results    {_short(out / 'results.csv')}")
    if (out / "figures").is_dir():
        lines.append(f"figures    {_short(out / 'figures')}/ ({len(list((out / 'figures').glob('*.png')))} PNG)")
    lines.append(f"notebooks  {_short(out / 'notebooks')}/ (executed, with their outputs)")
    return lines


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
