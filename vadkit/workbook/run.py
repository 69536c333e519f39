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

from vadkit.core.config import Config, project_root
from vadkit.core.disk import is_left, on_disk
from vadkit.core.errors import DiskError, RunError, shown
from vadkit.core.parameters import load_params
from vadkit.workbook import checks, kernels, notebooks, receipts
from vadkit.workbook.kernels import Failure
from vadkit.workbook.notebooks import Notebook

HEARTBEAT_SECONDS = 30.0
TRACEBACK_LINES = 25

Say = Callable[[str], None]


def run_profile(
    params: str | Path, overrides=None, only=None, from_=None, force=False, solutions=False, say: Say = print
) -> int:
    """Run a profile's notebooks in order; 0 where all got to their end, 1 where one did not (later ones are not run).

    overrides: parameters that replace the file's; only: "02,03"; from_: the first number to run; force: also what is
    current; solutions: those of the exercises, which go to `solutions/`, in place of the series. Raises VadkitError
    before the first kernel starts where the run cannot work or another one is under way.
    """
    params, config = open_profile(params, overrides)
    part = Path("solutions" if solutions else "")
    every = notebooks.find_notebooks(project_root() / "notebooks" / part)
    selected = notebooks.select(every, only, from_)
    problems = [f"{n.path.name}: {what}" for n in selected for what in notebooks.parameters_problems(n.content)]
    if problems:
        remedy = "cannot take parameters; `make notebooks` renews their parameters cells:"
        raise RunError("\n  ".join([f"{len(problems)} notebook(s) {remedy}", *problems]))
    out, count = config.output_dir / part, f"{len(selected)} of {len(every)} notebooks"
    say(f"{_short(params)} -> {_short(out)} (fingerprint {config.fingerprint()}), {count}")
    with on_disk(config.output_dir), kernels.run_lock(config.output_dir):
        return _run_selected(config, out, every, selected, force, say)


def open_profile(params: str | Path, overrides: dict[str, Any] | None = None) -> tuple[Path, Config]:
    """The parameter file of a path or a bare name, and its Config; the project's root becomes the working directory.

    Relative paths in parameters mean the project's root, in this process and in the kernels it starts.
    """
    path = Path(params).expanduser()
    if path.is_file() or path.parent != Path("."):
        path = path.resolve()
    else:  # a bare name, whatever folder is called so here
        path = (project_root() / "params" / path.name).with_suffix(".yaml")
    for root in map(project_root, (Path.cwd(), path.parent)):  # above the working directory, else above the file
        if (root / "notebooks").is_dir() and (root / "params").is_dir():
            os.chdir(root)
            return path, load_params(path, overrides)
    where = f"at or above {Path.cwd()} or {path.parent}"
    raise RunError(f"no folder with params/ and notebooks/ {where}; run vadkit inside the project")


def _run_selected(config: Config, out: Path, every: list[Notebook], selected: list[Notebook], force: bool, say) -> int:
    values, began, ran = config.model_dump(), time.monotonic(), 0
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    for left in (*out.glob("notebooks/.*.partial.*"), *filter(is_left, out.rglob(".*-????????"))):  # of a killed run
        left.unlink()
    context = receipts.context_digest(config)
    for what in ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_RUNTIME_DIR"):  # not the user's own: start-up files, styles
        os.environ[what] = str(config.cache_dir / "home" / what.lower())
    width = max(len(n.name) for n in selected)
    for notebook in selected:
        upstream = {n.name: receipts.left_by(out, n.name) for n in notebooks.needs(notebook, every)}
        upstream |= {"besides": found} if (found := receipts.read_besides(config, notebook.content)) else {}
        fingerprint = receipts.make_fingerprint(notebook.content, values, context, upstream)
        why = receipts.why_stale(out, notebook.name, fingerprint) or ("forced" if force else "")
        display = Display(f"{notebook.name:<{width}}", say)
        if not why:
            say(f"  {display.label}  current")
            continue
        if ran == 0:
            checks.require(config, selected)
        if not _ends_well(out, notebook, values, fingerprint, display, why):
            return 1
        ran += 1
    say(f"{ran} run, {len(selected) - ran} current, in {clock(time.monotonic() - began)}")
    results, figures = out / "results.csv", out / "figures"
    if results.is_file():
        say(f"results    {_short(results)}")
    if figures.is_dir():
        say(f"figures    {_short(figures)}/ ({len(list(figures.glob('*.png')))} PNG)")
    say(f"notebooks  {_short(out / 'notebooks')}/ (executed, with their outputs)")
    return 0


def _ends_well(out: Path, notebook: Notebook, values: dict, fingerprint: str, display: Display, why: str) -> bool:
    """Execute a notebook, and write its receipt or say why it did not get to its end."""
    named = (f".{notebook.name}.partial.ipynb", f"{notebook.name}.failed.ipynb", f"{notebook.name}.ipynb")
    partial, failed, final = (out / "notebooks" / name for name in named)
    previous = receipts.read_receipt(out, notebook.name)
    receipts.receipt_path(out, notebook.name).unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    before, began = receipts.snapshot(out), time.monotonic()
    display.start(why)
    try:
        changed = notebooks.changed_parameters(notebook.content, values)
        failure = kernels.execute(notebook.path, partial, changed, display.beat)
    finally:
        display.end()
    failure = failure or _ended_early(partial)
    seconds = time.monotonic() - began
    if failure:
        if failure.name == DiskError.__name__:
            partial.unlink(missing_ok=True)  # papermill leaves half a notebook on a full disk
        elif partial.is_file():
            os.replace(partial, failed)
        display.say(_explain(notebook.name, failure, seconds, failed))
        return False
    os.replace(partial, final)
    after = receipts.snapshot(out)
    files = {path for path in after if before.get(path) != after[path]}
    files |= after.keys() & (previous["files"] if previous else ())
    receipts.write_receipt(out, notebook.name, fingerprint, values, seconds, files)
    display.say(f"  {display.label}  {clock(seconds)}")
    return True


def _ended_early(executed: Path) -> Failure | None:
    """papermill takes `sys.exit()` in a cell for a good end; one with cells that never ran is none."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code" and kernels.INJECTED not in c["metadata"].get("tags", [])]
    unrun = sum(c["execution_count"] is None for c in code if "".join(c["source"]).strip())
    if not unrun:
        return None
    last = max((number for number, c in enumerate(code, 1) if c["execution_count"] is not None), default=None)
    return Failure(last, "SystemExit", f"the cell ended the notebook with {unrun} code cells still to run")


class Display:
    """One line a notebook: rewritten every second on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str, say: Say):
        self.label, self.say, self.live = label, say, sys.stdout.isatty()
        self.spoke = 0.0

    def start(self, why: str) -> None:
        if not self.live:
            self.say(f"  {self.label}  running ({why})")

    def beat(self, doing: kernels.Doing, seconds: float) -> None:
        line = f"  {self.label}  {clock(seconds)}  {doing.line()}"
        if self.live:
            self._rewrite(line)
        elif seconds - self.spoke >= HEARTBEAT_SECONDS:
            self.spoke = seconds
            self.say(line)

    def end(self) -> None:
        if self.live:
            self._rewrite("")

    def _rewrite(self, line: str) -> None:
        print(f"\r\x1b[K{shown(line)[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _explain(name: str, failure: Failure, seconds: float, kept: Path) -> str:
    """What a person reads of a notebook that failed; of a user's error its own sentence alone."""
    place = f"code cell {failure.cell}" if failure.cell else "the kernel"
    lines = [f"  {name} failed in {place} after {clock(seconds)}"]
    what = failure.message
    if "\n".join(failure.traceback) != f"{failure.name}: {what}":  # which is all that a page shows of a VadkitError
        lines += [f"    {line}" for line in failure.traceback[-TRACEBACK_LINES:]]
        what = f"{failure.name}: {failure.message}"
    if failure.name == "DeadKernelError":
        what = "the kernel died; it may have run out of memory (try a smaller batch_size, image_size or workers: 1)"
    lines.append(f"error: {what}")
    if kept.is_file():
        lines.append(f"The notebook as far as it came: {_short(kept)}; later notebooks were not run.")
    return "\n".join(lines)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
