"""A world on disk, laid out as UCF-Crime and UCFCrime2Local are: videos, lists, temporal annotation, Vatic files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from demo_world import CRF, FPS, HEIGHT, PRESET, WIDTH
from demo_world.plan import NORMAL, Plan, plan_world, stage_of
from vadkit.core.config import Config
from vadkit.core.processes import cluster_of, each
from vadkit.core.progress import Progress

Spans = list[tuple[int, int]]  # of frames, half-open


def render_world(folder: Path, config: Config, progress: Progress | None = None) -> None:
    """Render every video into `folder` and write the lists and annotations beside them."""
    plans = plan_world(config.world_seed, config.world_train_videos, config.world_test_videos, config.world_seconds)
    found = {}  # by video: Vatic lines, hard spans in frames
    tasks = [(plan, folder) for plan in plans]
    for done, (name, *facts) in enumerate(each(_render, tasks, config.workers, cluster_of(config)), 1):
        found[name] = tuple(facts)
        if progress is not None:
            progress(done, len(plans), f"rendering {name}")
    write_lists(folder, plans, found)


def video_path(plan: Plan) -> str:
    """Where a video lies, relative to the corpus's root, as in UCF-Crime."""
    if plan.category != NORMAL:
        return f"Anomaly-Videos/{plan.category}/{plan.name}_x264.mp4"
    folder = "Training_Normal_Videos_Anomaly" if plan.split == "train" else "Testing_Normal_Videos_Anomaly"
    return f"{folder}/{plan.name}_x264.mp4"


def _render(plan: Plan, folder: Path) -> tuple[str, list[str], Spans]:
    """Draw and encode one video; returns its name, its Vatic lines and its hard spans in frames."""
    from demo_world.render import Renderer
    from vadkit.core.encode import write_h264

    stage = stage_of(plan)
    renderer = Renderer(stage, plan.seed)
    lines, hard_frames = [], []

    def frames():
        for frame in range(renderer.frames):
            t = frame / FPS
            image, _, people = renderer.draw(frame)
            hard = any(a <= t < b for a, b in stage.hard)
            soft = bool(stage.hard) and stage.soft[0] <= t < stage.soft[1]
            boxes = {who: clip(box) for who, box in people.items()} if hard or soft else {}
            seen = {who: box for who, box in boxes.items() if box}
            for who, box in seen.items():
                corners = " ".join(map(str, box))
                lines.append((who, frame, f'{who} {corners} {frame} {int(not hard)} 0 0 "{plan.category}"'))
            if hard and (seen or plan.split == "unseen"):
                hard_frames.append(frame)
            yield image

    write_h264(folder / video_path(plan), frames(), FPS, CRF, PRESET)
    runs = np.split(np.array(hard_frames, int), np.flatnonzero(np.diff(hard_frames) > 1) + 1)
    hard_spans = [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
    return plan.name, [line for _, _, line in sorted(lines)], hard_spans


def clip(box: tuple[float, float, float, float]) -> tuple[int, int, int, int] | None:
    """A box in whole pixels inside the picture; None where less than 6 pixels of it are."""
    x1, y1, x2, y2 = max(round(box[0]), 0), max(round(box[1]), 0), min(round(box[2]), WIDTH), min(round(box[3]), HEIGHT)
    return (x1, y1, x2, y2) if x2 - x1 >= 6 and y2 - y1 >= 6 else None


def write_lists(root: Path, plans: list[Plan], found: dict[str, tuple[list[str], Spans]]) -> None:
    """UCFCrime2Local's lists and Vatic files for its six classes; the official lists for all; the cameras."""
    local = root / "UCFCrime2Local"
    tests = [plan for plan in plans if plan.split != "train"]
    official = {plan.name: video_path(plan).removeprefix("Anomaly-Videos/") for plan in plans}
    texts = {
        local / "Train_split_AD.txt": [plan.name for plan in plans if plan.split == "train"],
        local / "Test_split_AD.txt": [plan.name for plan in plans if plan.split == "test"],
        local / "sources.csv": ["name,source", *(f"{plan.name},{plan.source}" for plan in plans)],
        root / "Anomaly_Train.txt": [official[plan.name] for plan in plans if plan.split == "train"],
        root / "Anomaly_Test.txt": [official[plan.name] for plan in tests],
        root / "Temporal_Anomaly_Annotation.txt": [_temporal(plan, found[plan.name][1]) for plan in tests],
    }
    for plan in plans:
        if plan.category != NORMAL and plan.split != "unseen":
            texts[local / "annotations" / f"{plan.name}.txt"] = found[plan.name][0]
    (local / "annotations").mkdir(parents=True)
    for path, lines in texts.items():
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _temporal(plan: Plan, hard: Spans) -> str:
    """A line of the official annotation: frames from 1, both ends included, at most two spans."""
    numbers = [n for start, end in hard[:2] for n in (start + 1, end)]
    numbers += [-1] * (4 - len(numbers))
    return f"{plan.name}_x264.mp4  {plan.category}  " + "  ".join(map(str, numbers))
