"""Kill the runner, a kernel or a worker, or signal the runner, at random moments. Is all as if nothing had happened?

    python benchmarks/kills.py [--number 10] [--signals 10] [--seed 0] [--profile small] [--only 00] [--keep FOLDER]

--number: so many times each `kill -9` of the runner, of a kernel and of a worker; --signals: so many times each SIGINT
twice, SIGTERM and SIGHUP. Each trial has its own empty cache and outputs. The profile `small` is one notebook written
here: cache entries made by two workers, and rows of them, in a few seconds of processor time; any other one is the
repository's, with --only of its notebooks. After the blow no process of the run may live longer than 10 s, a runner
that could still speak must say it in one line without a traceback, and the same command must then end well with the
rows of an undisturbed run (`same_rows.py`), the same files in its outputs, none half-written, and the same entries in
its cache. Prints a table and a JSON line; exit code 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path += [str(REPOSITORY / "tests"), str(Path(__file__).parent)]

import same_rows  # noqa: E402
from toys import toy_notebook, vadkit_process  # noqa: E402

MARK = "VADKIT_KILLS"  # environment variable by which this benchmark knows a run's processes
LONGEST_SECONDS = 10.0  # that one of them may live on
KILLED, SIGNALLED = ("runner", "kernel", "worker"), ("SIGINT twice", "SIGTERM", "SIGHUP")
PARAMETERS = "profile: small\nseeds: [0]\nworkers: 2\ndetector_weights: small.onnx\n"
CELLS = (
    """
import time
import numpy as np
from functools import partial
from vadkit.core.config import Config
from vadkit.core.parameters import make_config
from vadkit.core.processes import each
from vadkit.core.disk import write_atomic
from vadkit.core.store import Store

config = make_config({name: globals()[name] for name in Config.model_fields})
store = Store(config.cache_dir)
""",
    """
def build(number, folder):
    for part in range(3):
        np.save(folder / f"part{part}.npy", np.random.default_rng([number, part]).random(1000))
        time.sleep(0.1)

def make(number, store):
    store.fetch("small", {"number": number}, partial(build, number))
    return number

for number in each(make, [(number, store) for number in range(20)], config.workers):
    print(number)
""",
    """
lines = ["paper,item,system,metric,origin,unit,notebook,config,value"]
for number in range(20):
    entry = store.fetch("small", {"number": number}, partial(build, number))
    value = sum(float(np.load(entry / f"part{part}.npy").sum()) for part in range(3))
    lines.append(f"small,kills,{number},sum,ours,,00_small,{config.fingerprint()},{value}")
write_atomic(config.output_dir / "results.csv", "\\n".join([*lines, ""]))
""",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=10, help="kills of each victim")
    parser.add_argument("--signals", type=int, help="of each kind; else as many as kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--profile", default="small", help="'small', or one of the repository's, such as smoke")
    parser.add_argument("--only", default="00", help="its notebooks")
    parser.add_argument("--keep", type=Path, help="a folder for the runs; a temporary one otherwise")
    options = parser.parse_args()
    for one in (signal.SIGINT, signal.SIGHUP):  # under nohup the runs would inherit that it is ignored
        signal.signal(one, signal.default_int_handler)
    signals = options.number if options.signals is None else options.signals
    folder = options.keep or Path(tempfile.mkdtemp(prefix="kills-"))
    arguments = ("run", f"params/{options.profile}.yaml", "--only", options.only)
    undisturbed = new_project(folder / "undisturbed", options.profile)
    span = run_to_end(undisturbed, arguments)
    print(f"undisturbed: {span:.0f} s, {len(files_left(undisturbed, options.profile))} files\n")
    print(f"{'':>4}  {'blow':<12}  {'after':>7}  {'all gone':>8}  {'rerun':>6}  outcome", flush=True)
    draw, trials = random.Random(options.seed), []
    blows = [*KILLED] * options.number + [*SIGNALLED] * signals
    while len(trials) < len(blows):
        blow, project = blows[len(trials)], new_project(folder / f"trial{len(trials)}", options.profile)
        trial = {"blow": blow, "after_s": round(draw.uniform(0.1 * span, 0.95 * span), 1)}
        found = strike(project, arguments, trial, draw)
        if found is None:  # the run was over before
            shutil.rmtree(project)
            continue
        trial["rerun_s"] = round(run_to_end(project, arguments), 1)
        trial["found"] = found + compare(project, undisturbed, options.profile)
        trials.append(trial)
        print(
            f"{len(trials):>4}  {blow:<12}  {trial['after_s']:>5.1f} s  {trial['gone_s']:>6.1f} s  "
            f"{trial['rerun_s']:>4.0f} s  {'; '.join(trial['found']) or 'as undisturbed'}",
            flush=True,
        )
        if not options.keep:
            shutil.rmtree(project)
    if not options.keep:
        shutil.rmtree(folder)
    bad = sum(bool(trial["found"]) for trial in trials)
    longest = max((trial["gone_s"] for trial in trials), default=0.0)
    print(f"\n{len(trials)} trials, {bad} of them bad; the last process was gone after {longest:.1f} s at most")
    summary = {"benchmark": "kills", "seed": options.seed, "profile": options.profile, "only": options.only}
    print(json.dumps(summary | {"undisturbed_s": round(span, 1), "bad": bad, "trials": trials}))
    return int(bad > 0)


def new_project(folder: Path, profile: str) -> Path:
    """A project with an empty cache and no outputs: the repository's profiles and notebooks, or the small one."""
    if profile != "small":
        for name in ("params", "notebooks"):
            shutil.copytree(REPOSITORY / name, folder / name)
        return folder
    toy_notebook(folder / "notebooks", "00_small", *CELLS)
    (folder / "small.onnx").touch()  # only looked for
    (folder / "params").mkdir()
    (folder / "params" / "small.yaml").write_text(PARAMETERS)
    return folder


def run_to_end(project: Path, arguments: tuple[str, ...]) -> float:
    """Seconds that the run took. Raises SystemExit with what it printed where it did not end well."""
    began = time.monotonic()
    process = vadkit_process(project, *arguments)
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run in {project} ended with {process.returncode}:\n{text}")
    return time.monotonic() - began


def strike(project: Path, arguments: tuple[str, ...], trial: dict, draw: random.Random) -> list[str] | None:
    """Start a run, strike at the trial's moment, and wait until all is gone; what was wrong, None where it ended first.

    A kernel or worker that is not there at that moment is waited for.
    """
    mark, began = f"{draw.getrandbits(64):x}", time.monotonic()
    with open(project / "said.txt", "w+") as said:
        process = vadkit_process(project, *arguments, env={MARK: mark}, start_new_session=True, stdout=said)
        victim = None
        while process.poll() is None and victim is None:
            time.sleep(0.02)
            if time.monotonic() - began >= trial["after_s"]:
                victim = find_victim(process.pid, trial["blow"], draw)
        if process.poll() is not None:
            return None
        trial["after_s"] = round(time.monotonic() - began, 1)
        left, began = marked(mark), time.monotonic()
        deal(victim, process.pid, trial["blow"], draw)
        while left and time.monotonic() - began < 3 * LONGEST_SECONDS:
            time.sleep(0.05)
            left = marked(mark)
        trial["gone_s"] = round(time.monotonic() - began, 2)
        code = process.wait() if not left else process.poll()
        said.seek(0)
        text = said.read()
    found = [f"{len(left)} processes live on"] if trial["gone_s"] > LONGEST_SECONDS else []
    for one in left:
        one.kill()
    if code == 0 and trial["blow"] in ("kernel", "worker"):  # it had nothing to do any more
        return found
    expected = {"runner": -signal.SIGKILL, "kernel": 1, "worker": 1}.get(trial["blow"], 130)
    if code == -signal.SIGINT:  # the second one met Python's own end: a shell calls that 130 as well
        code = 130
    found += [f"exit code {code} in place of {expected}"] if code != expected else []
    return found + ([f"a traceback: {text.strip().splitlines()[-1]}"] if "Traceback" in text else [])


def find_victim(runner: int, blow: str, draw: random.Random) -> psutil.Process | None:
    """The process to strike: the runner, its kernel or one of the workers; None where there is none now."""
    try:
        if blow not in ("kernel", "worker"):
            return psutil.Process(runner)
        word = {"kernel": "ipykernel_launcher", "worker": "LokyProcess"}[blow]
        children = [p for p in psutil.Process(runner).children(recursive=True) if word in " ".join(p.cmdline())]
        return draw.choice(children) if children else None
    except psutil.Error:
        return None


def deal(victim: psutil.Process, runner: int, blow: str, draw: random.Random) -> None:
    """`kill -9`, or the signals as a terminal sends them: to the runner's whole process group."""
    try:
        if blow in KILLED:
            victim.kill()
        elif blow == "SIGINT twice":
            os.killpg(runner, signal.SIGINT)
            time.sleep(draw.uniform(0.0, 0.5))
            os.killpg(runner, signal.SIGINT)
        else:
            os.killpg(runner, getattr(signal, blow))
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass  # it is over


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that carry the mark."""
    return [p for p in psutil.process_iter() if _quietly(lambda p=p: _is_marked(p, mark))]


def _is_marked(process: psutil.Process, mark: str) -> bool:
    return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE


def _quietly(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (psutil.Error, OSError):  # another user's, or gone meanwhile
        return False


def files_left(project: Path, profile: str) -> set[str]:
    """What a run left in its outputs; locks do not count."""
    out = project / "outputs" / profile
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and p.name != ".lock"}


def compare(project: Path, undisturbed: Path, profile: str) -> list[str]:
    """What differs between two finished runs, in words; and what is half-written in the disturbed one's cache."""
    old, new = (same_rows.read(root / "outputs" / profile) for root in (undisturbed, project))
    rows = len(same_rows.differences(old, new))
    files = files_left(project, profile) ^ files_left(undisturbed, profile)
    entries = [
        {p.parent.name + p.name for p in root.glob("cache/*/*") if len(p.name) == 20} for root in (undisturbed, project)
    ]
    said = [f"{rows} values differ"] if rows else []
    said += [f"other files: {', '.join(sorted(files))}"] if files else []
    return said + (["other cache entries"] if entries[0] != entries[1] else [])


if __name__ == "__main__":
    sys.exit(main())
