"""Damages files that results are made from, one at a time, and counts what the package notices.

    python benchmarks/damage.py [--number 200] [--seed 0] [--cache FOLDER] [--kernels 15] [--run-seconds 4600]

A small world is rendered, a system trained and scored and its model recorded, in a temporary folder, beside copies of
all that ships. Each trial flips a bit, swaps two files, cuts one short or deletes it, with the times of the files as
they were, and opens everything again. What is right: an entry is dropped and made again with the same numbers, anything
else is refused with a sentence. With --cache copies of some entries of a finished run's cache (which stays as it is)
are damaged instead, and reading all of it is timed: what it costs where each of --kernels processes opens every entry.
Prints a table and a JSON line; exit code 1 where a damage is not noticed or a number differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vadkit.core.digests import as_shipped, file_digest
from vadkit.core.errors import VadkitError
from vadkit.core.parameters import load_params, make_config
from vadkit.core.store import KEY, Store, damage
from vadkit.corpora import load_corpus
from vadkit.models import detector, pretrained
from vadkit.studies.efficiency import training_use
from vadkit.systems import runner
from vadkit.systems.record import find_model, read_state, save_models

REPOSITORY = Path(__file__).resolve().parents[1]
SYSTEM = "2S-bag-ha"
SHIPPED = {"assets": "demo_world/assets", "report": "vadkit/report", "recorded": "notebooks/recorded/demo"}
TINY = {"world_train_videos": 4, "world_test_videos": 4, "world_seconds": 3.0, "workers": 1, "inference": "torch"}
HOW = ("flip", "flip", "flip", "swap", "cut", "delete")
REMEDIES = ("again", "--force", "train with `vadkit run", "give the path of")
PER_KIND = 4  # entries that are copied of a given cache


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=200, help="of trials")
    parser.add_argument("--seed", type=int, default=0, help="of what is damaged where")
    parser.add_argument("--cache", type=Path, help="of a finished run; copies of its entries are damaged as well")
    parser.add_argument("--kernels", type=int, default=15, help="processes that open every entry, for the cost")
    parser.add_argument("--run-seconds", type=float, default=4600, help="processor time of the run, for the cost")
    options = parser.parse_args()
    draw, counts, wrong = random.Random(options.seed), defaultdict(Counter), []
    folder = Path(tempfile.mkdtemp(prefix="damage-"))
    try:
        root = folder / "all"
        use = copied(options.cache, root, draw) if options.cache else small_run(root)
        try_all(root, use, options.number, draw, counts, wrong)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    columns = ("trials", "made again", "refused", "unnoticed")
    print(f"\n{'damaged':<22}" + "".join(f"{name:>12}" for name in columns))
    for kind, found in sorted(counts.items()):
        print(f"{kind:<22}" + "".join(f"{found[name]:>12}" for name in columns))
    total = sum(counts.values(), Counter())
    print(f"{'all':<22}" + "".join(f"{total[name]:>12}" for name in columns))
    for line in wrong:
        print(f"WRONG  {line}")
    said = {"seed": options.seed, **{name: total[name] for name in columns}, "wrong": len(wrong)}
    if options.cache:
        said |= cost(options.cache, options.kernels, options.run_seconds)
    print(json.dumps(said))
    return bool(wrong)


def small_run(root: Path) -> Callable[[], list]:
    """Fills a folder with all that a trained and recorded system is made of; returns what opens it: what it finds."""
    for name, source in SHIPPED.items():
        shutil.copytree(REPOSITORY / source, root / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    detector.ASSETS = pretrained.ASSETS = root / "assets"
    places = {"cache_root": str(root / "cache"), "output_root": str(root / "outputs")}
    config = load_params(REPOSITORY / "params" / "smoke.yaml", {**TINY, **places})
    light = make_config({"corpus": "recorded", "data_root": str(root / "recorded"), "seeds": [0]})
    save_models(runner.run(config, load_corpus(config), SYSTEM))

    def use() -> list:
        corpus = load_corpus(config)
        run = runner.run(config, corpus, SYSTEM)
        found = [(one.name, one.confidence.tolist()) for one in run.seeds[0].scores]
        system, fold = run.system, run.seeds[0].folds[0]
        system.ready(system.adapted(config), [*fold.sides.train, *fold.sides.val, *fold.sides.test], None)
        model = find_model(config.output_dir, SYSTEM)
        found += [float(value.double().sum()) for value in read_state(model.path).values()]
        found += [model.config.model_dump_json(), training_use(config, SYSTEM)]
        for name in ("c3d", "i3d_rgb", "i3d_flow"):
            found.append(pretrained.weights_digest(name, "world"))
        as_shipped(root / "report", "published.csv")
        scored = runner.run(light, load_corpus(light), SYSTEM)
        return found + [(one.name, one.confidence.tolist()) for one in scored.seeds[0].scores]

    return use


def copied(cache: Path, root: Path, draw: random.Random) -> Callable[[], list]:
    """Fills a folder with copies of some entries of each kind, with digests; returns what opens them all."""
    entries = []
    for kind in sorted(one for one in cache.iterdir() if any(one.glob(f"*/{KEY}"))):
        whole = sorted(one.parent for one in kind.glob(f"*/{KEY}"))
        for entry in draw.sample(whole, min(len(whole), PER_KIND)):
            key = json.loads((entry / KEY).read_text())
            key = key["key"] if key.keys() == {"key", "files"} else key
            kept = root / "kept" / kind.name / entry.name
            shutil.copytree(entry, kept, ignore=shutil.ignore_patterns(KEY))
            entries.append((kind.name, key, kept))

    def use() -> list:
        found = []
        for kind, key, kept in entries:
            folder = Store(root / "cache").fetch(
                kind, key, lambda f, kept=kept: shutil.copytree(kept, f, dirs_exist_ok=True)
            )
            found += [(path.name, file_digest(path)) for path in sorted(folder.rglob("*")) if path.is_file()]
        return found

    return use


def try_all(root: Path, use: Callable[[], list], number: int, draw: random.Random, counts: dict, wrong: list) -> None:
    """Damage, open, and put back, so many times."""
    expected = use()
    pristine = root.with_name(f"{root.name}-pristine")
    shutil.copytree(root, pristine)
    kinds = defaultdict(list)  # of what can be damaged: its files
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        parts = path.relative_to(root).parts
        if parts[0] != "kept" and "ultralytics" not in parts and not path.name.startswith("."):
            kinds["/".join(parts[:2] if parts[0] == "cache" else parts[:1])].append(path)
    for done in range(number):
        print(f"\r{done}/{number}", end="", file=sys.stderr, flush=True)
        kind = draw.choice(sorted(kinds))
        path, how = draw.choice(kinds[kind]), draw.choice(HOW)
        touched = harm(path, how, kinds[kind], draw)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                found = use()
                again = any("dropped and made again" in str(one.message) for one in said)
                outcome = "made again" if again else "unnoticed"
                if again and found != expected:
                    wrong.append(f"{how} {path.relative_to(root)}: made again with other numbers")
            except VadkitError as error:
                outcome = "refused"
                if "\n" in str(error) or not any(word in str(error) for word in REMEDIES):
                    wrong.append(f"{how} {path.relative_to(root)}: no remedy in '{error}'")
            except Exception as error:
                outcome = "unnoticed"
                wrong.append(f"{how} {path.relative_to(root)}: {type(error).__name__}: {error}")
        counts[kind].update(["trials", outcome])
        if outcome == "unnoticed":
            wrong.append(
                f"{how} {path.relative_to(root)}: unnoticed, numbers {'as before' if found == expected else 'OTHERS'}"
            )
        for one in touched:  # its whole entry, for a reader may have dropped or made it
            place = (
                one if one.relative_to(root).parts[0] != "cache" else root.joinpath(*one.relative_to(root).parts[:3])
            )
            source = pristine / place.relative_to(root)
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place) if source.is_dir() else shutil.copy2(source, place)


def harm(path: Path, how: str, others: list[Path], draw: random.Random) -> list[Path]:
    """Damage a file, its times kept; returns the files that were touched."""
    data, status = path.read_bytes(), path.stat()
    touched = [path]
    if how == "delete":
        path.unlink()
        return touched
    different = [one for one in others if one.name == path.name and one.read_bytes() != data]
    if how == "swap" and different:
        other = draw.choice(different)
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
        touched.append(other)
    elif how == "cut":
        path.write_bytes(data[: draw.randrange(len(data))] if data else b"x")
    else:
        changed, place = bytearray(data or b"x"), draw.randrange(max(len(data), 1))
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return touched


def cost(cache: Path, kernels: int, run_seconds: float) -> dict:
    """Processor time of holding every entry of a cache against its digests, once."""
    entries = [one.parent for one in cache.glob(f"*/*/{KEY}")]
    size = sum(path.stat().st_size for entry in entries for path in entry.rglob("*") if path.is_file())
    began, wall = time.process_time(), time.perf_counter()
    for entry in entries:
        damage(entry)
    first, wall = time.process_time() - began, time.perf_counter() - wall
    began = time.process_time()
    for entry in entries:
        damage(entry)
    again, share = time.process_time() - began, 100 * kernels * first / run_seconds
    print(f"\n{len(entries)} entries of {size / 1e9:.2f} GB: {first:.1f} s of processor time ({wall:.1f} s) when first")
    print(f"opened, {size / first / 1e6:.0f} MB a second, and {again:.2f} s each further time")
    print(
        f"{kernels} processes that all open everything: {kernels * first:.0f} s, {share:.2f} % of {run_seconds:.0f} s"
    )
    return {"gigabytes": round(size / 1e9, 2), "seconds": round(first, 2), "percent": round(share, 2)}


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
