"""The demo's world: the same on every run, laid out as UCF-Crime is, labelled as staged, and without shortcuts."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_world import FPS, HEIGHT, WIDTH, layout
from demo_world.camera import SCENES, make_camera
from demo_world.crimes import CRIMES
from demo_world.everyday import EPISODES
from demo_world.figures import draw_person, make_look
from demo_world.plan import Plan, direct, plan_world, stage_of, times
from demo_world.poses import ACTS, gait
from demo_world.props import CARRIED, COCO, STANDING
from demo_world.render import Renderer, Seen
from demo_world.scenes import make_scene
from demo_world.stage import Stage
from demo_world.unseen import UNSEEN
from demo_world.vehicles import VEHICLES
from vadkit.core.config import Config
from vadkit.corpora import synthetic, ucf_forms
from vadkit.corpora.video import NORMAL, Corpus
from vadkit.models.detector import WORLD_WEIGHTS

REPOSITORY = Path(__file__).resolve().parents[2]
ALL = {**CRIMES, **UNSEEN}
DEFAULT = plan_world(7, 96, 72, 20.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Config, Corpus]:
    """A whole world of a few short videos, through the same road as the demo's."""
    config = Config(
        cache_root=str(tmp_path_factory.mktemp("cache")),
        world_train_videos=24,
        world_test_videos=24,
        world_seconds=3.0,
        workers=1,
    )
    return config, synthetic.load(config)


def camera_of(scene: str = "street", number: int = 1):
    return make_camera((99, 1, number), scene, f"test-{scene}")


def digest(plan: Plan, frames: int = 12) -> str:
    renderer = Renderer(stage_of(plan), plan.seed)
    return hashlib.sha256(
        b"".join(renderer.draw(k)[0].tobytes() for k in range(0, renderer.frames, max(1, renderer.frames // frames)))
    ).hexdigest()


# --- the same on every run ---


def test_a_video_is_the_same_to_the_pixel_in_another_process():
    plan = DEFAULT[20]
    code = (
        "import hashlib\n"
        "from demo_world.plan import plan_world, stage_of\n"
        "from demo_world.render import Renderer\n"
        "plan = plan_world(7, 96, 72, 20.0)[20]\n"
        "r = Renderer(stage_of(plan), plan.seed)\n"
        "frames = (r.draw(k)[0].tobytes() for k in range(0, r.frames, max(1, r.frames // 12)))\n"
        "print(hashlib.sha256(b''.join(frames)).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(plan)


def test_frames_do_not_depend_on_the_order_they_are_asked_for():
    plan = DEFAULT[30]
    a, b = Renderer(stage_of(plan), plan.seed), Renderer(stage_of(plan), plan.seed)
    late_first = [b.draw(k)[0] for k in (60, 5, 33)]
    assert all(
        np.array_equal(x, y)
        for x, y in zip([a.draw(k)[0] for k in (5, 33, 60)], [late_first[1], late_first[2], late_first[0]], strict=True)
    )


def test_another_seed_gives_another_world():
    a, b = plan_world(7, 8, 8, 5.0)[0], plan_world(8, 8, 8, 5.0)[0]
    assert a.category == b.category and digest(a) != digest(b)


# --- the plan: nothing but what happens depends on the label ---


def test_half_of_train_and_test_is_anomalous_and_every_class_has_its_share():
    for split, total in (("train", 96), ("test", 72)):
        count = Counter(p.category for p in DEFAULT if p.split == split)
        assert count[NORMAL] == total // 2
        assert {count[c] for c in CRIMES} == {total // 12}
    assert set(UNSEEN) == {p.category for p in DEFAULT if p.split == "unseen"} - {NORMAL}
    assert len({p.name for p in DEFAULT}) == len(DEFAULT)


def test_cameras_of_the_splits_are_disjoint_and_each_is_shared_by_both_labels():
    cameras = {s: {p.source for p in DEFAULT if p.split == s} for s in ("train", "test", "unseen")}
    assert not cameras["train"] & cameras["test"] and not cameras["unseen"] & (cameras["train"] | cameras["test"])
    for split in ("train", "test"):
        anomalous = Counter(p.source for p in DEFAULT if p.split == split and p.category != NORMAL)
        normal = Counter(p.source for p in DEFAULT if p.split == split and p.category == NORMAL)
        assert anomalous == normal
        assert {p.camera.scene for p in DEFAULT if p.split == split} == set(SCENES)


def test_length_does_not_tell_the_label():
    from sklearn.metrics import roc_auc_score

    for seed in (7, 8):
        plans = plan_world(seed, 400, 8, 20.0)[:400]
        auc = roc_auc_score([p.category != NORMAL for p in plans], [p.seconds for p in plans])
        assert abs(auc - 0.5) < 0.09
        assert 19 < np.mean([p.seconds for p in plans]) < 21


def test_a_class_only_happens_where_it_can():
    for plan in DEFAULT:
        if plan.category != NORMAL:
            assert plan.camera.scene in ALL[plan.category][1]


@given(st.floats(1.0, 60.0), st.integers(0, 10_000))
def test_an_anomaly_lies_between_its_soft_frames_inside_the_video(seconds, seed):
    t = times(seconds, np.random.default_rng(seed))
    assert 0 <= t.before < t.start < t.end < t.after <= seconds + 1e-9
    assert t.end - t.start <= 9
    if seconds >= 18:
        assert t.end - t.start >= 4 and t.start - t.before >= 2 and t.after - t.end >= 2
    if t.pause:
        assert t.start < t.pause[0] < t.pause[1] <= (t.start + t.end) / 2


@pytest.mark.parametrize("counts", [(2, 2), (3, 5), (12, 12)])
def test_tiny_worlds_can_be_planned_and_staged(counts):
    plans = plan_world(1, *counts, 1.5)
    assert len([p for p in plans if p.split == "train"]) == counts[0]
    for plan in plans:
        assert Renderer(stage_of(plan), plan.seed).draw(0)[0].shape == (HEIGHT, WIDTH, 3)


# --- stages ---


@pytest.mark.parametrize("category", [NORMAL, *ALL])
@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_jumps_and_the_involved_are_seen_while_it_happens(category, seed):
    scene = "street" if category == NORMAL else ALL[category][1][seed % len(ALL[category][1])]
    stage = direct(camera_of(scene, seed), category, 20.0, (99, 2, seed))
    for actor in stage.actors:
        before = None
        for k in range(200):
            state = actor.state(k / FPS)
            if state and before:
                assert math.hypot(state[0] - before[0], state[1] - before[1]) < 1.1, (category, actor.segments)
            before = state
    if category == NORMAL:
        assert not stage.hard and not stage.involved
        return
    renderer = Renderer(stage, (99, 2, seed))
    hard = [k for k in range(200) if any(a <= k / FPS < b for a, b in stage.hard)]
    seen = [any(layout.clip(box) for box in renderer.draw(k)[2].values()) for k in hard[::4]]
    assert np.mean(seen) > 0.7


@pytest.mark.parametrize("name", EPISODES)
def test_every_everyday_encounter_can_be_drawn(name):
    stage = Stage(make_scene(camera_of("yard")), 10.0, np.random.default_rng(3))
    EPISODES[name][0](stage, 1.0, 8.0, 0.0, stage.camera.stage_z)
    renderer = Renderer(stage, (99, 3, 0))
    assert any(kind == COCO["person"] for frame in (20, 50) for kind, *_ in renderer.draw(frame, with_boxes=True)[1])


def test_the_same_poses_are_slow_among_friends_and_fast_in_an_assault():
    def travel(rate):
        poses = [ACTS["exchange"](k / FPS, rate, 1.0, 0.3) for k in range(60)]
        return np.abs(np.diff([[p.shoulder_l, p.shoulder_r] for p in poses], axis=0)).sum()

    def reach(rate):
        return max(ACTS["exchange"](k / 100, rate, 1.0, 0.3).shoulder_l for k in range(600))

    assert reach(0.4) == pytest.approx(reach(1.8), abs=0.01)
    assert travel(1.8) > 3 * travel(0.4)


# --- figures and things ---


@settings(max_examples=40)
@given(
    act=st.sampled_from(sorted(ACTS)),
    t=st.floats(0, 5),
    rate=st.floats(0.2, 2.2),
    heading=st.floats(-math.pi, math.pi),
    seed=st.integers(0, 99),
)
def test_a_person_is_drawn_inside_the_box_that_is_given(act, t, rate, heading, seed):
    camera = camera_of("lobby", seed % 5)
    look = make_look(np.random.default_rng(seed))
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    body = draw_person(image, camera, look, ACTS[act](t, rate, 1.0, 0.5), 0.0, camera.stage_z, heading)
    bare = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    from demo_world.figures import _shadow

    _shadow(bare, camera, 0.0, camera.stage_z, 0.3 * look.build if act != "lie" else 0.7)
    rows, columns = np.nonzero(np.any(image != bare, axis=2))
    x1, y1, x2, y2 = body.box
    inside = (columns >= x1 - 3) & (columns <= x2 + 3) & (rows >= y1 - 3) & (rows <= y2 + 3)
    assert inside.mean() > 0.96
    assert columns.max() - columns.min() > 0.5 * (min(x2, WIDTH) - max(x1, 0)) and rows.max() - rows.min() > 0.7 * (
        min(y2, HEIGHT) - max(y1, 0)
    )


def test_people_farther_away_are_smaller_and_higher_in_the_picture():
    camera, look = camera_of(), make_look(np.random.default_rng(0))
    near, far = (
        draw_person(np.zeros((HEIGHT, WIDTH, 3), np.uint8), camera, look, gait(0, 1.3), 0, z, 0).box
        for z in (camera.stage_z, camera.back_z)
    )
    assert near[3] - near[1] > 1.4 * (far[3] - far[1]) and near[3] > far[3]


@pytest.mark.parametrize("item", CARRIED)
def test_what_is_carried_is_drawn_inside_its_box_at_a_size_to_be_found(item):
    camera, look = camera_of("yard"), make_look(np.random.default_rng(2))
    found = {}

    def between(body, layer):
        if layer == CARRIED[item][2]:
            before = image.copy()
            found["box"] = CARRIED[item][0](image, body, (40, 60, 150))
            found["where"] = np.nonzero(np.any(image != before, axis=2))

    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    draw_person(image, camera, look, gait(0.7, 1.2), 0.0, camera.stage_z, 0.0, between)
    rows, columns = found["where"]
    x1, y1, x2, y2 = found["box"]
    assert ((columns >= x1 - 1.5) & (columns <= x2 + 1.5) & (rows >= y1 - 1.5) & (rows <= y2 + 1.5)).mean() > 0.9
    if CARRIED[item][1]:
        assert max(columns.max() - columns.min(), rows.max() - rows.min()) >= 8


@pytest.mark.parametrize(
    "kind", [k for k in (*VEHICLES, *STANDING) if k not in ("laptop", "tv")]
)  # they stand on something
@pytest.mark.parametrize("direction", [-1, 1])
def test_what_stands_is_drawn_inside_its_box(kind, direction):
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    box = (
        VEHICLES[kind][0](image, 160, 180, 22.0, (50, 60, 160), direction)
        if kind in VEHICLES
        else STANDING[kind][0](image, 160, 180, 22.0, (50, 60, 160))
    )
    rows, columns = np.nonzero(np.any(image != 128, axis=2))
    x1, y1, x2, y2 = box
    above = rows < 181  # a shadow may lie below
    assert ((columns >= x1 - 2) & (columns <= x2 + 2) & (rows >= y1 - 2))[above].mean() > 0.97
    assert columns[above].max() - columns[above].min() > 0.8 * (x2 - x1) and rows[above].max() - rows[
        above
    ].min() > 0.8 * (y2 - y1)


def test_what_is_hidden_or_outside_has_no_box():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    person, knife = Seen((0, 100.0, 100.0, 120.0, 160.0), image), Seen((43, 118.0, 120.0, 130.0, 124.0), image)
    assert person.box_if_visible(image) == (0, 100.0, 100.0, 120.0, 160.0)
    image[90:170, 90:117] = 200  # a car comes between
    assert person.box_if_visible(image) is None and knife.box_if_visible(image) is not None
    assert Seen((0, -30.0, 10.0, 8.0, 60.0), image).box_if_visible(image) is None  # mostly outside
    assert Seen((0, 400.0, 10.0, 420.0, 60.0), image).box_if_visible(image) is None
    assert Seen((0, -5.0, 10.0, 15.0, 60.0), image).box_if_visible(image) == (0, 0.0, 10.0, 15.0, 60.0)


# --- on disk ---


def test_the_reader_finds_every_video_and_nothing_to_complain_of(tiny):
    config, corpus = tiny
    assert corpus.name == "synthetic" and corpus.problems == ()
    plans = plan_world(config.world_seed, 24, 24, 3.0)
    assert {v.name: v.category for v in corpus.videos} == {p.name: p.category for p in plans}
    assert {v.name: v.source for v in corpus.videos} == {p.name: p.source for p in plans}
    assert {v.split for v in corpus.videos} == {"train", "val", "test", "unseen"}
    assert {v.category for v in corpus.of("unseen")} >= set(UNSEEN)


def test_labels_on_disk_are_the_staged_ones(tiny):
    config, corpus = tiny
    plans = {p.name: p for p in plan_world(config.world_seed, 24, 24, 3.0)}
    for video in corpus.videos:
        capture = cv2.VideoCapture(str(video.path))
        frames = sum(1 for _ in iter(lambda capture=capture: capture.read()[0], False))
        assert frames == round(plans[video.name].seconds * FPS)
        labels = video.frame_labels(frames)
        if video.category == NORMAL:
            assert not labels.any()
            continue
        stage = stage_of(plans[video.name])
        staged = np.array([any(a <= k / FPS < b for a, b in stage.hard) for k in range(frames)])
        assert not labels[~staged].any()  # never hard where nothing is staged
        assert labels[staged].mean() > 0.6 and labels.any()  # off the picture, an actor has no box


def test_vatic_lines_mark_soft_frames_as_lost_and_keep_boxes_in_the_picture(tiny):
    config, corpus = tiny
    video = next(v for v in corpus.of("train") if v.category == "Assault")
    rows = [line.split() for line in video.boxes_path.read_text().splitlines()]
    assert {len(r) for r in rows} == {10} and {r[9] for r in rows} == {'"Assault"'}
    for _, x1, y1, x2, y2, *_ in rows:
        assert 0 <= int(x1) < int(x2) <= WIDTH and 0 <= int(y1) < int(y2) <= HEIGHT
    lost = {int(r[5]): int(r[6]) for r in rows}
    hard = {f for a, b in video.intervals for f in range(a, b)}
    assert {f for f, flag in lost.items() if flag == 0} == hard
    assert min(lost) < min(hard) and max(lost) > max(hard)  # soft frames on both sides


def test_official_lists_and_spans_agree_with_the_vatic_files(tiny):
    config, corpus = tiny
    root = synthetic.world_root(config)
    spans = {
        line.split()[0].removesuffix("_x264.mp4"): ucf_forms.temporal_spans("here", line)
        for line in (root / "Temporal_Anomaly_Annotation.txt").read_text().splitlines()
    }
    for video in corpus.of("test"):
        if len(video.intervals) <= 2:  # the official form holds two
            assert spans[video.name] == video.intervals
    assert len((root / "Anomaly_Train.txt").read_text().split()) == 24


def test_a_world_is_rendered_once_and_anew_for_other_parameters(tiny, monkeypatch):
    config, _ = tiny
    monkeypatch.setattr(synthetic, "render_world", lambda *a: pytest.fail("rendered again"))
    root = synthetic.world_root(config)
    assert root == synthetic.world_root(config.model_copy(update={"head_width": 8}))
    with pytest.raises(BaseException, match="rendered again"):
        synthetic.world_root(config.model_copy(update={"world_seed": 8}))


def test_processes_render_the_same_files_as_one_and_report_progress(tmp_path):
    base = Config(world_train_videos=2, world_test_videos=2, world_seconds=1.5, workers=1)
    calls = []
    for name, workers in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        synthetic.render_world(
            tmp_path / name,
            base.model_copy(update={"workers": workers}),
            lambda done, total, what: calls.append((done, total)),
        )
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    assert calls == [(k, 4) for k in range(1, 5)] * 2


def test_a_box_at_the_edge_is_clipped_and_a_sliver_is_dropped():
    assert layout.clip((-10.0, 20.0, 30.4, 500.0)) == (0, 20, 30, HEIGHT)
    assert layout.clip((-10.0, 20.0, 3.0, 90.0)) is None


def test_replacing_only_the_class_leaves_camera_light_and_length_alone():
    plan = next(p for p in DEFAULT if p.category == "Assault")
    other = replace(plan, category=NORMAL)
    a, b = Renderer(stage_of(plan), plan.seed), Renderer(stage_of(other), other.seed)
    assert np.array_equal(a.light, b.light) and a.frames == b.frames and a.label == b.label


# --- the detector ---


def test_training_pictures_come_with_their_boxes_in_yolo_form(tmp_path):
    from demo_world.train_detector import write_dataset

    write_dataset(tmp_path, 6, 3, 1)
    assert len(list((tmp_path / "images" / "val").iterdir())) == 3
    files = sorted((tmp_path / "labels" / "train").iterdir())
    assert [file.stem for file in files] == sorted(
        file.stem for file in (tmp_path / "images" / "train").iterdir()
    ) and len(files) == 6
    for file in files:
        assert cv2.imread(str(tmp_path / "images" / "train" / f"{file.stem}.jpg")).shape == (HEIGHT, WIDTH, 3)
        rows = np.array(file.read_text().split(), float).reshape(-1, 5)
        assert set(rows[:, 0].astype(int)) <= set(COCO.values())
        corners = np.concatenate([rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2])
        assert corners.min() > -1e-3 and corners.max() < 1.001


@pytest.mark.slow
def test_the_one_command_trains_and_writes_a_detector_that_runs(tmp_path):
    """From scratch through ultralytics' trainer, far too short to find anything: a file of the shipped one's shape."""
    import onnxruntime

    command = [
        sys.executable,
        "-m",
        "demo_world.train_detector",
        "--out",
        "made.onnx",
        "--images",
        "12",
        "--val-images",
        "6",
        "--epochs",
        "2",
        "--batch",
        "4",
        "--work",
        "work",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "mAP50 " in done.stdout, done.stderr[-2000:]
    made, shipped = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in (tmp_path / "made.onnx", WORLD_WEIGHTS)
    )
    assert [(one.name, one.shape) for one in made.get_outputs()] == [
        (one.name, one.shape) for one in shipped.get_outputs()
    ]
    assert made.run(None, {made.get_inputs()[0].name: np.zeros((2, 3, 256, 320), np.float32)})[0].shape[:2] == (2, 84)


def test_the_shipped_detector_finds_what_a_video_holds(tiny):
    """On videos that it was not trained on: most people, most things, few that are not there."""
    from vadkit.views.objects import Detector

    found, there, both = np.zeros(80), np.zeros(80), np.zeros(80)
    detector = Detector(tiny[0])
    for plan in DEFAULT[100:148:4]:
        renderer = Renderer(stage_of(plan), plan.seed)
        for frame in (40, 90):
            image, boxes, _ = renderer.draw(frame, with_boxes=True)
            bag = detector.bags([image])[0]
            truth = np.bincount([kind for kind, *_ in boxes], minlength=80)
            found, there, both = found + bag, there + truth, both + np.minimum(bag, truth)
    assert both[0] > 0.75 * there[0] and both[0] > 0.85 * found[0]
    assert both[1:].sum() > 0.5 * there[1:].sum() and both[1:].sum() > 0.7 * found[1:].sum()
