"""The demo's corpus: a procedural CCTV world, rendered once and laid out as UCF-Crime and UCFCrime2Local are.

On disk it is what the real data are: the same folders, names, split lists and Vatic files, so the same
reader reads it. `UCFCrime2Local/sources.csv` adds each video's camera: several videos share one, and no
camera stands on both sides of a split.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed

from demo_world import CRF, FPS, HEIGHT, PRESET, WIDTH
from demo_world.plan import Plan, plan_world, stage_of
from vadkit.core.code import code_version
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.corpora.video import NORMAL, Corpus


def load(config: Config, progress: Progress | None = None) -> Corpus:
    """The synthetic corpus of `config`, rendered first where the cache does not hold it.

    Splits: "train", "val", "test" from UCFCrime2Local's six classes, "unseen" from the other seven.
    progress: called with (done, total, what) while rendering. Raises DataError as the reader does.
    """
    from vadkit.corpora.ucf_crime import read_tree

    return replace(read_tree(world_root(config, progress), config), name="synthetic")


def world_root(config: Config, progress: Progress | None = None) -> Path:
    """The rendered world's folder, in UCF-Crime's layout."""
    key = {
        "seed": config.world_seed,
        "train_videos": config.world_train_videos,
        "test_videos": config.world_test_videos,
        "seconds": config.world_seconds,
        "code": code_version(__name__),
    }
    return Store(config.cache_dir).fetch("world", key, lambda folder: render_world(folder, config, progress))


def render_world(folder: Path, config: Config, progress: Progress | None = None) -> None:
    """Render every video into `folder` and write the lists and annotations beside them."""
    plans = plan_world(config.world_seed, config.world_train_videos, config.world_test_videos, config.world_seconds)
    jobs = [(plan, folder) for plan in plans]
    found: dict[str, tuple[int, list[str], list[tuple[int, int]]]] = {}
    # loky starts fresh processes: a fork would inherit the locks of OpenCV's threads and could wait for ever
    results = Parallel(n_jobs=config.workers, batch_size=1, return_as="generator")(
        delayed(_render)(job) for job in jobs
    )
    for done, (name, *facts) in enumerate(results, 1):
        found[name] = tuple(facts)
        if progress:
            progress(done, len(jobs), f"rendering {name}")
    write_lists(folder, plans, found)


def video_path(plan: Plan) -> str:
    """Where a video lies, relative to the corpus's root, as in UCF-Crime."""
    if plan.category != NORMAL:
        return f"Anomaly-Videos/{plan.category}/{plan.name}_x264.mp4"
    folder = "Training_Normal_Videos_Anomaly" if plan.split == "train" else "Testing_Normal_Videos_Anomaly"
    return f"{folder}/{plan.name}_x264.mp4"


def _render(job: tuple[Plan, Path]) -> tuple[str, int, list[str], list[tuple[int, int]]]:
    """Draw and encode one video; returns (name, frames, Vatic lines, hard spans in frames)."""
    import cv2

    from demo_world.render import Renderer
    from vadkit.core.encode import write_h264

    plan, folder = job
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one video a process: more threads would only wait for each other
    try:
        stage = stage_of(plan)
        renderer = Renderer(stage, plan.seed)
        lines: list[tuple[int, int, str]] = []
        hard_frames: list[int] = []

        def frames():
            for frame in range(renderer.frames):
                t = frame / FPS
                image, _, people = renderer.draw(frame)
                hard = any(a <= t < b for a, b in stage.hard)
                soft = bool(stage.hard) and stage.soft[0] <= t < stage.soft[1]
                seen = (
                    {k: box for k, box in ((k, clip(box)) for k, box in people.items()) if box} if hard or soft else {}
                )
                lines.extend(
                    (k, frame, f'{k} {x1} {y1} {x2} {y2} {frame} {int(not hard)} 0 0 "{plan.category}"')
                    for k, (x1, y1, x2, y2) in seen.items()
                )
                if hard and (seen or plan.split == "unseen"):
                    hard_frames.append(frame)
                yield image

        count = write_h264(folder / video_path(plan), frames(), FPS, CRF, PRESET)
    finally:
        cv2.setNumThreads(threads)
    return plan.name, count, [line for _, _, line in sorted(lines)], spans(hard_frames)


def clip(box: tuple[float, float, float, float]) -> tuple[int, int, int, int] | None:
    """A box in whole pixels inside the picture; None where less than 6 pixels of it are."""
    x1, y1, x2, y2 = max(round(box[0]), 0), max(round(box[1]), 0), min(round(box[2]), WIDTH), min(round(box[3]), HEIGHT)
    return (x1, y1, x2, y2) if x2 - x1 >= 6 and y2 - y1 >= 6 else None


def spans(frames: list[int]) -> list[tuple[int, int]]:
    """Rising frame numbers as half-open spans."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and found[-1][1] == frame:
            found[-1] = (found[-1][0], frame + 1)
        else:
            found.append((frame, frame + 1))
    return found


def write_lists(root: Path, plans: list[Plan], found: dict[str, tuple[int, list[str], list[tuple[int, int]]]]) -> None:
    """UCFCrime2Local's lists and Vatic files for its six classes; the official lists for all; the cameras."""
    local = root / "UCFCrime2Local"
    (local / "annotations").mkdir(parents=True)
    for plan in plans:
        if plan.category != NORMAL and plan.split != "unseen":
            (local / "annotations" / f"{plan.name}.txt").write_text(
                "".join(line + "\n" for line in found[plan.name][1]), encoding="utf-8"
            )
    for split, name in (("train", "Train_split_AD.txt"), ("test", "Test_split_AD.txt")):
        (local / name).write_text("".join(f"{p.name}\n" for p in plans if p.split == split), encoding="utf-8")
    (root / "Anomaly_Train.txt").write_text(
        "".join(f"{_official(p)}\n" for p in plans if p.split == "train"), encoding="utf-8"
    )
    tests = [p for p in plans if p.split != "train"]
    (root / "Anomaly_Test.txt").write_text("".join(f"{_official(p)}\n" for p in tests), encoding="utf-8")
    (root / "Temporal_Anomaly_Annotation.txt").write_text(
        "".join(_temporal(p, found[p.name][2]) for p in tests), encoding="utf-8"
    )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["name", "source"])
    writer.writerows((p.name, p.source) for p in plans)
    (local / "sources.csv").write_text(table.getvalue(), encoding="utf-8")


def _official(plan: Plan) -> str:
    return video_path(plan).removeprefix("Anomaly-Videos/")


def _temporal(plan: Plan, hard: list[tuple[int, int]]) -> str:
    """A line of the official annotation: frames from 1, both ends included, at most two spans."""
    numbers = [n for start, end in hard[:2] for n in (start + 1, end)]
    numbers += [-1] * (4 - len(numbers))
    return f"{plan.name}_x264.mp4  {plan.category}  " + "  ".join(map(str, numbers)) + "\n"
