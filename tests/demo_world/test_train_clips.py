from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest
import torch

from demo_world import everyday_clips, plan, train_clips
from demo_world.everyday_clips import (
    ACTS,
    CLIP_SPLIT,
    FRAMES,
    GRID,
    LABELS,
    SCRIPTS,
    SIZE,
    VIEWS,
    cells_of,
    doing,
    everyday_stage,
    stage_clips,
)
from demo_world.plan import plan_world
from demo_world.train_clips import NETWORKS, Pretext, batch_of, finished, untrained
from vadkit.corpora import video
from vadkit.models.network import build_network
from vadkit.models.pretrained import WORLD_WIDTH
from vadkit.views import clips as clips_view
from vadkit.views import flow as flow_view

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, np.ndarray]:
    return stage_clips((0, CLIP_SPLIT, 3), tmp_path_factory.mktemp("clips"))


def test_clips_show_normal_life_from_cameras_that_no_world_has():
    """Nothing of an anomaly can be in the weights: no crime is staged, and no world has these cameras."""
    trees = [ast.parse(inspect.getsource(module)) for module in (everyday_clips, train_clips)]
    imported = {node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"demo_world.crimes", "demo_world.unseen", "demo_world.plan"}
    seeds = {plan.camera.seed for world in (0, 1) for plan in plan_world(world, 24, 24, 8.0)}
    assert not any(seed[1] == CLIP_SPLIT for seed in seeds)
    for number in range(12):
        stage, scripts = everyday_stage((0, CLIP_SPLIT, number))
        assert not stage.hard and {script.name for script in scripts} <= set(SCRIPTS)
        assert all(script.actors and set(map(id, script.actors)) <= set(map(id, stage.actors)) for script in scripts)


def test_a_stages_clips_are_whole_frames_and_crops_with_their_labels(clips, tmp_path):
    assert clips["rgb"].shape == (VIEWS, FRAMES, SIZE, SIZE, 3) and clips["flow"].shape == (
        VIEWS,
        FRAMES,
        SIZE,
        SIZE,
        2,
    )
    assert clips["labels"].shape == (VIEWS, GRID, GRID, len(LABELS)) and set(np.unique(clips["labels"])) == {0, 1}
    assert clips["crop"].tolist() == [False, True] * (VIEWS // 2) and list(tmp_path.iterdir()) == []
    assert (clips["rgb"][:, 0] != clips["rgb"][:, -1]).any(axis=(1, 2, 3)).all()  # something moves
    assert abs(int(np.median(clips["flow"])) - 128) <= 1 and clips["flow"].std() > 1
    there = clips["measures"][..., 0] > 0
    assert not clips["labels"][~there].any() and not clips["measures"][~there].any()
    again = stage_clips((0, CLIP_SPLIT, 3), tmp_path)
    assert all(np.array_equal(clips[what], again[what]) for what in clips)


def test_acts_are_read_off_the_plan():
    stage, scripts = everyday_stage((0, CLIP_SPLIT, 0))
    for actor in scripts[0].actors:
        for segment in actor.segments:
            act, speed, tempo = doing(actor, (segment.start + segment.end) / 2)
            assert act == segment.act and act in ACTS
            assert speed == pytest.approx(
                np.hypot(segment.x1 - segment.x0, segment.z1 - segment.z0) / (segment.end - segment.start)
            )
            assert (tempo > 0) == (act not in ("walk", "idle", "sit"))


def test_a_box_stands_in_the_cells_that_it_fills():
    view = (100, 0, 180, 80)  # cells of 20 x 20
    assert np.argwhere(cells_of((121, 41, 139, 59), view)).tolist() == [[2, 1]]
    assert np.argwhere(cells_of((100, 0, 120, 80), view)).tolist() == [[0, 0], [1, 0], [2, 0], [3, 0]]
    assert not cells_of((0, 0, 90, 80), view).any()
    assert cells_of((50, -20, 300, 200), view).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_pretext_trains_and_what_ships_is_the_trained_network(name, clips):
    stream = "flow" if name == "i3d_flow" else "rgb"
    data = {"clips": clips[stream], "labels": clips["labels"], "measures": clips["measures"]}
    torch.manual_seed(0)
    model = Pretext(untrained(name), GRID if name == "c3d" else 2)
    model.train()
    batch = batch_of(data, np.arange(2), name, np.random.default_rng(0))
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    losses = []
    for _ in range(3):
        loss = model.loss(*batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    network = finished(model.network)
    plain = build_network(name, "random", width=WORLD_WIDTH, size=SIZE)
    plain.load_state_dict(network.state_dict())
    model.eval()
    with torch.no_grad():
        expected, got = model.network(batch[0]), plain(batch[0])
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_a_mirrored_clip_is_mirrored_with_its_labels_and_displacements(clips):
    rng = np.random.default_rng(1)
    flags = np.random.default_rng(1).random(VIEWS) < 0.5
    data = {"clips": clips["flow"], "labels": clips["labels"], "measures": clips["measures"]}
    batch, labels, _ = batch_of(data, np.arange(VIEWS), "i3d_flow", rng)
    assert 0 < flags.sum() < VIEWS
    for k, mirrored in enumerate(flags):
        steps = clips["flow"][k].astype(np.float32) - 128
        steps = steps[:, :, ::-1] * (-1, 1) if mirrored else steps
        assert np.allclose(batch[k].permute(1, 2, 3, 0).numpy() * 127, steps, atol=1.01)
        assert np.array_equal(labels[k], clips["labels"][k][:, ::-1] if mirrored else clips["labels"][k])


def test_what_the_networks_are_pretrained_on_is_what_they_are_shown_later():
    """The demo world knows nothing of vadkit's views, and does as they do."""
    rng = np.random.default_rng(0)
    for side in (48, 64, 150):
        displacement = rng.normal(0, 12, (side, side, 2)).astype(np.float32)
        shown = clips_view.flow_picture(displacement, SIZE)
        assert (
            np.array_equal(everyday_clips.flow_picture(displacement), shown[..., :2]) and (shown[..., 2] == 128).all()
        )
        picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        assert np.array_equal(everyday_clips.resized(picture), flow_view.resized(picture, SIZE, SIZE))
    assert plan.NORMAL == video.NORMAL


@pytest.mark.parametrize("name", NETWORKS)
def test_written_weights_are_near_the_trained_ones_and_written_again_the_same(name, tmp_path):
    network, path = finished(untrained(name)), tmp_path / "weights.npz"
    train_clips.write_weights(network, path)
    read = build_network(name, str(path), width=WORLD_WIDTH, size=SIZE)
    for (key, trained), kept in zip(network.state_dict().items(), read.state_dict().values(), strict=True):
        largest = (
            trained.abs().amax(dim=tuple(range(1, trained.ndim)), keepdim=True) if trained.ndim > 1 else 0 * trained
        )
        assert ((kept - trained).abs() <= largest / 253).all(), key
    train_clips.write_weights(read, tmp_path / "again.npz")
    again = build_network(name, str(tmp_path / "again.npz"), width=WORLD_WIDTH, size=SIZE).state_dict()
    assert all(torch.allclose(again[key], value, rtol=1e-6) for key, value in read.state_dict().items())
