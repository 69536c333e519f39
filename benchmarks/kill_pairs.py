"""Ten times from nothing: a run, `kill -9` at a random moment, the run again. Is all as if nothing had happened?

    python benchmarks/kill_pairs.py [--pairs 10] [--only 00,01,04] [--seed 0] [--keep FOLDER]

Each pair has its own empty cache and outputs and runs the smoke profile. Every second time the kernel is killed
together with the runner, else it is left as an orphan, as it is where a machine's memory runs out. Compared with an
undisturbed run, byte by byte: results.csv, each notebook's rows, all figures, and the receipts but for their seconds
and the hash of the executed notebook, which holds times. Every file of the cache is read to its end, right after the
kill and at the end. Prints a table and a JSON line; exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from test_kill import check_cache  # noqa: E402
from toys import vadkit_process  # noqa: E402

OF_THE_MOMENT = {"seconds", "executed"}  # in a receipt: how long it took, and the hash of a notebook that holds times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument(
        "--only", default="00,01,04", help="notebooks: rendering, sampling and features; training and scoring"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--keep", type=Path, help="a folder for the runs; a temporary one otherwise")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="kill-pairs-"))
    arguments = ("run", "params/smoke.yaml", "--only", options.only)
    undisturbed = new_project(folder / "undisturbed")
    span = run_to_end(undisturbed, arguments)
    files = check_cache(undisturbed / "cache")
    print(f"undisturbed: {span:.0f} s, {files} cache entries, {len(left(undisturbed))} files compared\n")
    print(
        f"{'pair':>4}  {'killed after':>12}  {'with kernel':>11}  {'entries then':>12}  {'notebooks done':>14}  "
        f"{'rerun':>6}  {'entries':>7}  differences",
        flush=True,
    )
    draw, pairs = random.Random(options.seed), []
    for number in range(options.pairs):
        project = new_project(folder / f"pair{number}")
        pair = {"after_s": round(draw.uniform(1.0, 0.95 * span), 1), "with_kernel": number % 2 == 1}
        pair["killed"] = start_and_kill(project, arguments, pair["after_s"], pair["with_kernel"])
        pair["entries_then"] = check_cache(project / "cache")
        pair["done_then"] = len(list((project / "outputs/smoke/receipts").glob("*.json")))
        pair["rerun_s"] = round(run_to_end(project, arguments), 1)
        pair["entries"] = check_cache(project / "cache")
        pair["differences"] = differences(project, undisturbed)
        pairs.append(pair)
        said = ", ".join(pair["differences"]) or "none"
        print(
            f"{number:>4}  {pair['after_s']:>10.1f} s  {'yes' if pair['with_kernel'] else 'no':>11}  "
            f"{pair['entries_then']:>12}  {pair['done_then']:>14}  {pair['rerun_s']:>4.0f} s  {pair['entries']:>7}  "
            f"{said if pair['killed'] else said + ' (ended before the kill)'}",
            flush=True,
        )
        if not options.keep:
            shutil.rmtree(project)
    if not options.keep:
        shutil.rmtree(folder)
    bad = sum(bool(pair["differences"]) or pair["entries"] != files for pair in pairs)
    print(
        json.dumps(
            {
                "benchmark": "kill_pairs",
                "seed": options.seed,
                "notebooks": options.only,
                "undisturbed_s": round(span, 1),
                "entries": files,
                "killed": sum(p["killed"] for p in pairs),
                "bad": bad,
                "pairs": pairs,
            }
        )
    )
    sys.exit(1 if bad else 0)


def new_project(folder: Path) -> Path:
    """A folder with parameters and notebooks, an empty cache and no outputs."""
    for name in ("params", "notebooks"):
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


def run_to_end(project: Path, arguments: tuple[str, ...]) -> float:
    """Seconds that the run took. Raises SystemExit with what it printed where it did not end well."""
    began = time.monotonic()
    process = vadkit_process(project, *arguments)
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run in {project} ended with {process.returncode}:\n{text}")
    return time.monotonic() - began


def start_and_kill(project: Path, arguments: tuple[str, ...], seconds: float, with_kernel: bool) -> bool:
    """Start, wait, `kill -9` the runner's process group, and the kernels too if asked. Whether the kill came before
    the end."""
    process = vadkit_process(project, *arguments, start_new_session=True)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kernels = (
            psutil.Process(process.pid).children(recursive=True) if with_kernel else []
        )  # each in a session of its own
        os.killpg(process.pid, signal.SIGKILL)
        for kernel in kernels:
            try:
                kernel.kill()
            except psutil.NoSuchProcess:  # it was in the group
                continue
        process.communicate()
        return process.returncode == -signal.SIGKILL
    if process.returncode:
        raise SystemExit(f"the run in {project} ended by itself with {process.returncode}")
    return False


def left(project: Path) -> dict[str, object]:
    """What a run left, by path: bytes, and a receipt's content without what is of the moment. Executed notebooks are
    known by name."""
    out, found = project / "outputs" / "smoke", {}
    for path in sorted(p for p in out.rglob("*") if p.is_file() and p.name != ".lock"):
        name = path.relative_to(out).as_posix()
        if name.startswith("receipts/"):
            found[name] = {
                key: value for key, value in json.loads(path.read_text()).items() if key not in OF_THE_MOMENT
            }
        else:
            found[name] = "" if name.startswith("notebooks/") else path.read_bytes()
    return found


def differences(disturbed: Path, undisturbed: Path) -> list[str]:
    """Paths of the files that differ or that only one of two runs left."""
    a, b = left(disturbed), left(undisturbed)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


if __name__ == "__main__":
    main()
