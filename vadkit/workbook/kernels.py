"""One notebook in one kernel: started with this interpreter, watched, and never left behind.

papermill runs in a thread, so that the main one can show what is being done and catch Ctrl-C, which papermill does not.
"""

import fcntl
import json
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from vadkit.core.disk import on_disk
from vadkit.core.errors import DiskError, RunError
from vadkit.core.progress import VARIABLE

TOKEN = "VADKIT_RUN"  # environment variable by which a run's processes are known
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PORT_ATTEMPTS = 3
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a polite end, a terminal that was closed
INJECTED = "injected-parameters"  # papermill's tag of the cell that it puts below the parameters cell


@dataclass
class Doing:
    """What the kernel is doing now. papermill's thread writes it, as a file that takes the output; the main one reads.

    places: of each cell its number among the source's code cells, from 1, and the heading above it.
    """

    cell: int = 0
    heading: str = ""
    said: str = ""  # the last line of the output
    progress: Path | None = None  # where the kernel writes how far a long step is
    places: list[tuple[int, str]] = field(default_factory=list)

    def line(self) -> str:
        where = f"cell {self.cell} of {self.places[-1][0]}" if self.cell else "starting the kernel"
        step = self.progress.read_text() if self.progress and self.progress.is_file() else ""
        return ": ".join(filter(None, (where, self.heading, step or self.said)))

    def write(self, text: str) -> None:
        if clean := ANSI.sub("", text).strip():
            self.said = re.split(r"[\r\n]", clean)[-1].strip()[:100]

    def flush(self) -> None:
        """papermill calls it; there is nothing to flush."""


@dataclass
class Failure:
    """Why a notebook did not get to its end, in a person's words."""

    cell: int | None  # the code cell's number in the source notebook, from 1
    name: str  # of the exception
    message: str
    traceback: list[str] = field(default_factory=list)


def execute(source: Path, target: Path, values: Mapping[str, Any], show: Callable, beat_seconds=1.0) -> Failure | None:
    """Run `source` with `values` and write the executed notebook to `target`; None where it got to its end.

    `show(doing, seconds)` is called every `beat_seconds`. What it raises, as Ctrl-C does, ends the kernel first.
    """
    doing, result = Doing(), []
    thread = threading.Thread(target=lambda: result.append(_papermill(source, target, values, doing)), daemon=True)
    began = time.monotonic()
    thread.start()
    try:
        while thread.is_alive():
            thread.join(beat_seconds)
            show(doing, time.monotonic() - began)
    except BaseException:
        with on_signals(signal.SIG_IGN):
            end_processes(os.environ.get(TOKEN, ""))
            thread.join(5)  # one that is just starting a kernel goes on; `run_lock` ends that
        raise
    finally:
        for left in (target.with_suffix(".log"), target.with_suffix(".progress")):
            left.unlink(missing_ok=True)
    return result[0]


def _papermill(source: Path, target: Path, values: Mapping[str, Any], doing: Doing) -> Failure | None:
    """Execute once; again where the kernel, before any cell, lost a port to another program that took it first."""
    for _ in range(PORT_ATTEMPTS):
        failure = _attempt(source, target, values, doing)
        if failure is None or doing.cell or not any("Address already in use" in line for line in failure.traceback):
            break
    return failure


def _attempt(source: Path, target: Path, values: Mapping[str, Any], doing: Doing) -> Failure | None:
    import asyncio
    import logging
    import warnings

    import papermill
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    log, doing.progress = target.with_suffix(".log"), target.with_suffix(".progress")
    options = {"engine_name": _engine(), "kernel_name": "python3", "language": "python", "progress_bar": False}
    watched = {
        "kernel_manager_class": _kernel_manager(log, doing.progress),
        "doing": doing,
        "stdout_file": doing,
        "stderr_file": doing,
    }
    asyncio.set_event_loop(asyncio.new_event_loop())
    try:
        with on_disk(target.parent), warnings.catch_warnings(action="ignore"):  # jupyter's own, about itself
            papermill.execute_notebook(str(source), str(target), parameters=dict(values), **options, **watched)
    except PapermillExecutionError as error:
        trace = ANSI.sub("", "\n".join(error.traceback)).splitlines()
        return Failure(doing.places[error.cell_index][0], error.ename, error.evalue, trace)
    except Exception as error:  # a dead kernel, a full disk: the run must say so and stop, whatever it was
        words = log.read_text(errors="replace").splitlines() if log.is_file() else []
        said = [line for line in words if "[IPKernelApp]" not in line]
        said = error._render_traceback_() if isinstance(error, DiskError) else said
        return Failure(doing.cell or None, type(error).__name__, str(error), said)
    return None


def _engine() -> str:
    """Name of a papermill engine that tells a `Doing` which cell runs, and folds the injected cell."""
    from papermill.engines import NBClientEngine, papermill_engines

    class Watched(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, doing=None, **options):
            code, heading, doing.places = 0, "", []
            for cell in nb_man.nb.cells:
                if INJECTED in cell.metadata.get("tags", []):
                    cell.metadata.tags.append("hide-input")
                    cell.metadata.jupyter = {"source_hidden": True}
                elif cell.cell_type == "code":
                    code += 1
                elif titles := re.findall(r"^#+\s+(.*)$", cell.source, re.MULTILINE):
                    heading = titles[-1].strip()
                doing.places.append((code, heading))
            start = nb_man.cell_start

            def cell_start(cell, cell_index=None, **more):
                (doing.cell, doing.heading), doing.said = doing.places[cell_index], ""
                return start(cell, cell_index=cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("vadkit", Watched)
    return "vadkit"


def _kernel_manager(log: Path, progress: Path) -> type:
    """A kernel manager whose kernel is this interpreter; what it writes outside of cells goes to `log`."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        @property
        def kernel_spec(self):
            return KernelSpec(**get_kernel_dict())  # its argv starts with sys.executable

        async def _async_launch_kernel(self, kernel_cmd, **options):
            environment = {**options.pop("env", os.environ), VARIABLE: str(progress)}
            with open(log, "ab") as file:
                options |= {"stdout": file, "stderr": file, "env": environment}
                await super()._async_launch_kernel(kernel_cmd, **options)

    return OwnKernel


@contextmanager
def on_signals(handler: Any) -> Iterator[None]:
    """Within it, the signals that end a program go to `handler`; one that was ignored, as under nohup, stays so."""
    before = {one: signal.getsignal(one) for one in ENDING if signal.getsignal(one) != signal.SIG_IGN}
    for one in before:
        signal.signal(one, handler)
    try:
        yield
    finally:
        for one, former in before.items():
            signal.signal(one, former)


@contextmanager
def run_lock(output_dir: Path) -> Iterator[None]:
    """Hold a profile for one runner, by flock, which a killed one frees; end what that, and what this one, left behind.

    Raises RunError, with the other's process id, where another runner holds it.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / ".lock"
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _read_lock(path).get("pid", "unknown")
            remedy = "wait for it, end it, or give this run another profile: -p profile NAME"
            raise RunError(f"{output_dir} is in use by another run, process {pid}; {remedy}") from None
        end_processes(_read_lock(path).get("token", ""))
        os.environ[TOKEN] = secrets.token_hex(8)
        _write_lock(file, json.dumps({"pid": os.getpid(), "token": os.environ[TOKEN]}))
        try:
            yield
        finally:
            with on_signals(signal.SIG_IGN):  # a second Ctrl-C must not leave workers that nobody knows
                end_processes(os.environ.pop(TOKEN))
                _write_lock(file, "")


def end_processes(token: str) -> None:
    """Kill the processes, other than this one, that carry a run's token: what they write must not mix with the next.
    Resource trackers end by themselves, once they have removed the arrays that the others shared."""
    if not token:
        return
    import psutil

    ours = []
    for process in psutil.process_iter():
        try:
            mine = process.pid == os.getpid() or "resource_tracker" in str(process.cmdline())
            if not mine and process.environ().get(TOKEN) == token:
                process.kill()
                ours.append(process)
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    psutil.wait_procs(ours, timeout=10)


def _write_lock(file: TextIO, text: str) -> None:
    """Into the file that is held, whatever became of its name."""
    file.truncate(0)
    file.write(text)
    file.flush()


def _read_lock(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
