"""Damaged files of every kind through the readers that a user reaches: each must be refused in a line, or harmless.

    python benchmarks/fuzz.py --minutes 20 [--seed 0] [--kinds video,cache] [--count N] [--only cache:17]

An input is an undamaged file (`fuzz_kinds`), damaged (`mutations`) as its seed, kind and number draw it, and read in a
process of its own, with a limit on time and memory. Faults: a crash, a hang, an exception that is no VadkitError,
planted code that ran, memory or open files that are not given back, a message with control characters or without end,
and, of files with a digest (cache entries, recorded models, what ships), a result that differs from the undamaged one.
Elsewhere another digit is another input: such results are counted as `other`. Prints a table, each fault with the
command that makes it again, and a JSON line; exit code 1 where there is a fault. Linux; one core.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# one thread each: a process that has others must not be forked
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).parent))

from fuzz_kinds import KINDS, say  # noqa: E402
from mutations import damage  # noqa: E402

from vadkit.core.errors import VadkitError  # noqa: E402

PEAK_MB, KEPT_MB, LIMIT_MB = 1500, 64, 6000  # of one input; kept after many; of addresses, beyond those at the start
CPU_SECONDS, SECONDS = 60, 600  # that an input may take: of a processor, and on the clock of a busy machine
REPLAYED = 40  # inputs in one process, for what that keeps of the second half
SHOWN = 20_000  # characters that an input may print
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|weights_only ?= ?False")
COUNTS = ("inputs", "refused", "read", "other")
FAULTS = ("crash", "hang", "traceback", "silent", "executed", "message", "handles", "memory")


def observed(work: Callable[[], Any]) -> dict[str, Any]:
    """What came of it, in this process: how it ended, what a terminal showed, what it left."""
    given = sys.stdout, sys.stderr
    shown = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors=how) for how in ("strict", "backslashreplace")]
    sys.stdout, sys.stderr = shown
    files, size, found = open_files(), memory_mb(), {"how": "refused"}
    try:
        found = {"how": "read", "result": hashlib.sha256(repr(work()).encode(errors="replace")).hexdigest()}
    except VadkitError as error:
        say(error)
    except BaseException as error:
        if not isinstance(error, SystemExit) or error.code != 2:  # else `vadkit` has printed why
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "/vadkit/" in frame.filename][-1:]
            place = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in (frames[-1], *ours))
            found = {"how": "traceback", "what": f"{type(error).__name__} at {place}: {str(error)[:150]!r}"}
    finally:
        sys.stdout, sys.stderr = given
    said = b""
    for stream in shown:
        stream.flush()
        said += stream.detach().getvalue()
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - size
    return {**found, "said": said.decode()[: SHOWN + 1], "files": open_files() - files, "peak_mb": round(peak)}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory_mb(which: int = 1) -> float:
    """Of this process: resident (1), or addresses (0)."""
    return int(Path("/proc/self/statm").read_text().split()[which]) * resource.getpagesize() / 2**20


def in_child(work: Callable[[], dict[str, Any]], folder: Path, times: int = 1) -> dict[str, Any]:
    """`work()`, JSON-able, in a process of its own below a folder, within the limits; or how that ended instead."""
    ready, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            os.chdir(folder)
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            addresses = int(memory_mb(0) + LIMIT_MB) * 2**20
            for what, limit in ((resource.RLIMIT_AS, addresses), (resource.RLIMIT_CPU, CPU_SECONDS * times)):
                resource.setrlimit(what, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with open(sender, "w") as file:
                file.write(json.dumps(work()))
        finally:
            os._exit(0)
    os.close(sender)
    text, end, late = b"", time.monotonic() + SECONDS * times, False
    while part := b"" if (late := not _readable(ready, end)) else os.read(ready, 1 << 16):
        text += part
    os.close(ready)
    if late:
        os.killpg(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "ended without a word"
    if late or ended in ("SIGXCPU", "SIGKILL"):
        return {"how": "hang", "what": "more time than an input may take"}
    return json.loads(text) if text else {"how": "crash", "what": ended}


def _readable(pipe: int, end: float) -> bool:
    return bool(select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0])


class Bench:
    """One kind's undamaged files, and what came of its inputs."""

    def __init__(self, name: str, seed: int, scratch: Path):
        self.name, self.seed, self.kind, self.scratch = name, seed, KINDS[name], scratch / name
        self.whole, self.folder = scratch / self.kind.make.__name__, scratch / name / "input"
        self.counts, self.faults, self.sound, self.seconds, self.usual = Counter(), [], [], 0.0, {}
        self.scratch.mkdir()
        if not self.whole.is_dir():  # two kinds may damage parts of the same
            self.whole.mkdir()
            made = in_child(lambda: observed(lambda: self.kind.make(self.whole)), self.whole, 5)
            if made["how"] != "read":
                raise SystemExit(f"{name}: the undamaged files could not be made: {made}")

    def read(self, changed: Path) -> dict[str, Any]:
        return observed(lambda: self.kind.read(self.folder, changed))

    def undamaged(self, changed: Path) -> dict[str, Any]:
        """What the whole files come to, read as if this one had been damaged."""
        if changed not in self.usual:
            self._copy()
            self.usual[changed] = in_child(lambda: self.read(changed), self.folder)
            if self.usual[changed]["how"] != "read":
                raise SystemExit(f"{self.name}: {changed} is refused undamaged: {self.usual[changed]}")
        return self.usual[changed]

    def _copy(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.whole, self.folder)

    def damaged(self, number: int) -> tuple[Path, str]:
        """Copy the whole files and damage one: which, and how."""
        draw = random.Random(f"{self.seed}/{self.name}/{number}")
        files = sorted(path.relative_to(self.whole) for path in self.whole.rglob("*") if path.is_file())
        changed = draw.choice([path for path in files if re.fullmatch(self.kind.files, path.as_posix())])
        self._copy()
        return changed, f"{changed.as_posix()}: {damage(draw, self.folder / changed, self.kind.ways)}"

    def attempt(self, number: int) -> dict[str, Any]:
        """Read one input, and note what is wrong with what came of it."""
        began, (changed, how) = time.monotonic(), self.damaged(number)
        found = in_child(lambda: self.read(changed), self.folder)
        wrong = {found["how"]: found["what"]} if "what" in found else {}
        if list(self.scratch.rglob("executed")):
            wrong["executed"] = "planted code ran"
        if not wrong:
            usual = self.undamaged(changed)
            differs = found["how"] == "read" and found["result"] != usual["result"]
            if differs and re.fullmatch(self.kind.promised, changed.as_posix()):
                wrong["silent"] = "another result, and no error"
            if bad := FORBIDDEN.search(found["said"]) or len(found["said"]) > SHOWN:
                wrong["message"] = "too long" if bad is True else repr(found["said"][: bad.end()][-40:])
            if (more := found["files"] - usual["files"]) > 0:
                wrong["handles"] = f"{more} more open files than without damage"
            if found["peak_mb"] > PEAK_MB + usual["peak_mb"]:
                wrong["memory"] = f"{found['peak_mb']} MB"
            self.counts.update({"other": differs and "silent" not in wrong, found["how"]: 1})
        self.counts.update({"inputs": 1, **dict.fromkeys(wrong, 1)})
        self.faults += [(f"{self.name}:{number}", kind, what, how) for kind, what in wrong.items()]
        self.sound += [] if wrong else [number]
        self.seconds += time.monotonic() - began
        return {"damage": how, **found, "said": found.get("said", "")[:2000], "faults": wrong}

    def replay(self) -> None:
        """Inputs without a fault again, in one process: what that keeps of memory and open files."""
        marks, numbers = [], self.sound[:REPLAYED]

        def work() -> dict[str, Any]:
            for number in numbers:
                self.read(self.damaged(number)[0])
                marks.append((memory_mb(), open_files()))
            mb, files = (now - then for now, then in zip(marks[-1], marks[len(marks) // 2], strict=True))
            return {"how": "read", "mb": mb, "files": files}

        if len(numbers) < REPLAYED:
            return
        found = in_child(work, self.scratch, 10)
        if found["how"] != "read":
            self.faults.append(
                (f"{self.name}:{numbers[-1]}", found["how"], found["what"], "many inputs in one process")
            )
        elif found["mb"] > KEPT_MB or found["files"] > 0:
            kept = f"{found['mb']:.0f} MB and {found['files']} files kept by {REPLAYED // 2} inputs"
            self.faults.append((f"{self.name}:{numbers[-1]}", "memory", kept, "many inputs in one process"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--count", type=int, help="inputs of each kind, whatever time they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="names, with commas")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one input again, and what came of it")
    options = parser.parse_args()
    only, _, number = (options.only or "").partition(":")
    names, began = [only] if only else options.kinds.split(","), time.monotonic()
    if unknown := [name for name in names if name not in KINDS]:
        parser.error(f"there is no kind '{unknown[0]}'; there are {', '.join(KINDS)}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        prepare(names, Path(scratch))
        benches = [Bench(name, options.seed, Path(scratch)) for name in names]
        if only:
            print(json.dumps(found := benches[0].attempt(int(number)), indent=1))
            return int(bool(found["faults"]))
        at, end = 0, began + 54 * options.minutes  # a tenth is for the replay
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):  # ended before its time, it reports what there is
            while at < options.count if options.count else time.monotonic() < end:
                for bench in benches:
                    bench.attempt(at)
                at += 1
            for bench in benches:
                bench.replay()
        gc.unfreeze()
    return report(benches, options.seed, time.monotonic() - began)


def prepare(names: list[str], scratch: Path) -> None:
    """Import what the kinds need, once for all processes."""
    modules = dict.fromkeys(module for name in names for module in KINDS[name].imports.split())
    if any(module.startswith("ultralytics") for module in modules):  # as the package imports it
        importlib.import_module("vadkit.views.objects")._quiet_ultralytics(scratch)
    for module in modules:
        importlib.import_module(module)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    gc.freeze()


def report(benches: list[Bench], seed: int, seconds: float) -> int:
    shown, total = [*COUNTS, *FAULTS], sum((bench.counts for bench in benches), Counter())
    print(f"{'kind':<12}" + "".join(f"{name:>10}" for name in shown) + f"{'s each':>8}")
    for name, counts, spent in [*((b.name, b.counts, b.seconds) for b in benches), ("all", total, seconds)]:
        each = f"{spent / max(1, counts['inputs']):>8.2f}"
        print(f"{name:<12}" + "".join(f"{counts[one]:>10}" for one in shown) + each)
    faults = [fault for bench in benches for fault in bench.faults]
    alike = Counter((where.partition(":")[0], kind, what) for where, kind, what, _ in faults)
    for where, kind, what, how in faults:
        if count := alike.pop((where.partition(":")[0], kind, what), 0):  # the first of those alike
            print(f"\n{kind}, {count} alike: {what}\n  {how}")
            print(f"  python benchmarks/fuzz.py --seed {seed} --only {where}")
    facts = {"benchmark": "fuzz", "seed": seed, "seconds": round(seconds), "inputs": total["inputs"]}
    print("\n" + json.dumps(facts | {one: total[one] for one in FAULTS} | {"faults": len(faults)}))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
