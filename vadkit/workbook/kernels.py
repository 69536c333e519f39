"""One notebook in one kernel: started with this interpreter, watched, and never left behind.

papermill runs in a thread, so that the main thread can show what is being done and catch Ctrl-C
(papermill's own handling of signals leaves the kernel to its fate).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadkit.core.errors import VadkitError

TOKEN = "VADKIT_RUN"  # environment variable by which a run's processes are known
BAR = re.compile(r"(\d+%)\|.*\|\s*(\S+).*")  # tqdm's: the share and the count say enough
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PORT_ATTEMPTS = 3


class RunError(VadkitError):
    """A run cannot start or did not get to its end."""


@dataclass
class Doing:
    """What the kernel is doing now; written by papermill's thread, read by the main one."""

    cell: int = 0
    cells: int = 0
    heading: str = ""
    said: str = ""

    def line(self) -> str:
        parts = [f"cell {self.cell} of {self.cells}" if self.cell else "starting the kernel", self.heading, self.said]
        return ": ".join(part for part in parts if part)


@dataclass
class Failure:
    """Why a notebook did not get to its end, in a person's words."""

    cell: int | None  # the code cell's number in the source notebook, from 1
    name: str  # of the exception
    message: str
    traceback: list[str] = field(default_factory=list)


def execute(
    source: Path,
    target: Path,
    values: Mapping[str, Any],
    show: Callable[[Doing, float], None],
    beat_seconds: float = 1.0,
) -> Failure | None:
    """Run `source` with `values` and write the executed notebook to `target`; None where it got to its end.

    `show(doing, seconds)` is called every `beat_seconds`. A KeyboardInterrupt ends the kernel and is raised again.
    """
    doing, result = Doing(), []
    thread = threading.Thread(target=lambda: result.append(_papermill(source, target, values, doing)), daemon=True)
    began = time.monotonic()
    thread.start()
    try:
        while thread.is_alive():
            thread.join(beat_seconds)
            show(doing, time.monotonic() - began)
    except KeyboardInterrupt:
        end_processes(os.environ.get(TOKEN, ""))
        thread.join(10)
        raise
    return result[0]


def _papermill(source: Path, target: Path, values: Mapping[str, Any], doing: Doing) -> Failure | None:
    """Execute once; again where the kernel lost a port to another program between choosing and taking it, and ran no cell."""
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
    said, log = _Said(doing), target.with_suffix(".log")
    asyncio.set_event_loop(asyncio.new_event_loop())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jupyter's own, about itself
            papermill.execute_notebook(
                str(source), str(target), parameters=dict(values), engine_name=_engine(), kernel_name="python3", language="python",
                progress_bar=False, kernel_manager_class=_kernel_manager(log), doing=doing, stdout_file=said, stderr_file=said,
            )  # fmt: skip
    except PapermillExecutionError as error:
        trace = [ANSI.sub("", line) for part in error.traceback for line in part.splitlines()]
        return Failure(_source_cell(source, error.cell_index), error.ename, error.evalue, trace)
    except Exception as error:  # a dead kernel, a full disk: the run must say so and stop, whatever it was
        words = log.read_text(errors="replace").splitlines() if log.is_file() else []
        return Failure(
            doing.cell or None,
            type(error).__name__,
            str(error),
            [line for line in words if "[IPKernelApp]" not in line],
        )
    finally:
        log.unlink(missing_ok=True)
    return None


def _source_cell(source: Path, index: int) -> int | None:
    """The number, from 1, of a code cell of `source`, given its index once papermill has put a cell below the parameters'."""
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    parameters = next(i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", []))
    index -= index > parameters
    return sum(cell["cell_type"] == "code" for cell in cells[: index + 1])


class _Said:
    """Takes the kernel's output and keeps its last line: a bar, or the last thing printed."""

    def __init__(self, doing: Doing):
        self.doing = doing

    def write(self, text: str) -> None:
        lines = [line.strip() for line in re.split(r"[\r\n]", ANSI.sub("", text)) if line.strip()]
        if lines:
            self.doing.said = BAR.sub(r"\1 \2", lines[-1])[:100]

    def flush(self) -> None:
        """papermill calls it; there is nothing to flush."""


def _engine() -> str:
    """Name of a papermill engine that tells a `Doing` which cell runs."""
    from papermill.engines import NBClientEngine, papermill_engines

    class Watched(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, doing=None, **options):
            code, heading = 0, ""
            places = []
            for cell in nb_man.nb.cells:
                code += cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
                titles = re.findall(r"^#+\s+(.*)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else []
                heading = titles[-1].strip() if titles else heading
                places.append((code, heading))
            doing.cells = code
            start = nb_man.cell_start

            def cell_start(cell, cell_index=None, **more):
                doing.cell, doing.heading = places[cell_index]
                doing.said = ""
                return start(cell, cell_index=cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("vadkit", Watched)
    return "vadkit"


def _kernel_manager(log: Path) -> type:
    """A kernel manager whose kernel is this interpreter, whatever kernel `python3` is registered as.

    What the kernel process writes outside of cells goes to `log`: jupyter's remarks, and a crash's last words.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        @property
        def kernel_spec(self):
            return KernelSpec(**get_kernel_dict())  # its argv starts with sys.executable

        async def _async_launch_kernel(self, kernel_cmd, **options):
            with open(log, "ab") as file:
                await super()._async_launch_kernel(kernel_cmd, **{**options, "stdout": file, "stderr": file})

    return OwnKernel


@contextmanager
def run_lock(output_dir: Path) -> Iterator[None]:
    """Hold a profile for one runner; end what a killed runner left behind first.

    The lock is the kernel's (flock), so a killed runner frees it. Raises RunError, with the other's
    process id, where another runner holds it.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / ".lock"
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _read_lock(path).get("pid", "unknown")
            raise RunError(
                f"{output_dir} is in use by another run, process {pid}; wait for it, end it, or give this run another profile: -p profile NAME"
            ) from None
        end_processes(_read_lock(path).get("token", ""))
        token = secrets.token_hex(8)
        os.environ[TOKEN] = token
        _write_lock(file, {"pid": os.getpid(), "token": token})
        try:
            yield
        finally:
            del os.environ[TOKEN]
            _write_lock(file, {})


def end_processes(token: str) -> int:
    """Kill the processes, other than this one, that carry a run's token; returns how many.

    A killed runner's kernel ends itself within a second or so, but its worker processes may not, and what
    they still write must not mix with the next run. The token, not the process id, says whose they are.
    """
    if not token:
        return 0
    import psutil

    ours = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(TOKEN) == token:
                process.kill()
                ours.append(process)
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    psutil.wait_procs(ours, timeout=10)
    return len(ours)


def _read_lock(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_lock(file: Any, content: dict[str, Any]) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(content) if content else "")
    file.flush()
