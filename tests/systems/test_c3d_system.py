"""C3D-ha as a system: from clips of real files to scores, through the same experiment as the paper's other rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import moving_square, write_video
from doubles import fake_corpus, fake_world

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.corpora.video import Corpus, Video
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.models import network
from vadkit.systems import inputs, runner, trainer
from vadkit.systems.base import find_system, plan_folds
from vadkit.systems.scorer import load_model
from vadkit.views import objects
from vadkit.views.clips import BAGS, extract_clips, plan_clips

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES, SPAN = 76, (20, 72)  # at 15 a second: 38 kept frames, 26 of them anomalous


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Eight videos; in the anomalous ones the light flickers from frame 20 to 72."""
    root, rng, videos = tmp_path_factory.mktemp("videos"), np.random.default_rng(0), []
    for number, split in enumerate(("train", "train", "train", "train", "val", "val", "test", "test")):
        images = moving_square(FRAMES)
        if number % 2:
            images = [
                np.clip(i.astype(int) + rng.integers(0, 120) * (SPAN[0] <= n < SPAN[1]), 0, 255).astype(np.uint8)
                for n, i in enumerate(images)
            ]
        path = write_video(root / f"v{number}.mp4", images, fps=15)
        videos.append(
            Video(
                path.stem,
                path,
                "Fighting" if number % 2 else "Normal",
                split,
                f"s{number}",
                (SPAN,) if number % 2 else (),
            )
        )
    return Corpus("tiny", tuple(videos))


def make(root: Path, **changes) -> Config:
    values = dict(
        cache_root=str(root / "cache"),
        workers=1,
        seeds=[0],
        head_width=8,
        head_epochs=3,
        head_lr=3e-3,
        detector_weights="none",
        analysis_fps=5.0,
        c3d_weights="random",
        c3d_size=32,
        clip_width=0.0625,
        batch_size=4,
    )
    return Config(**{**values, **changes})


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("c3d")


@pytest.fixture(scope="module")
def run(corpus, cache):
    return runner.run(make(cache, seeds=[0, 1]), corpus, "C3D-ha")


def test_clips_are_trained_on_and_every_analysed_frame_is_scored(run, corpus, cache):
    config = make(cache)
    expected = 0
    for video in corpus.of("train"):
        _, index = plan_clips(video, FRAMES, 15.0, config, "train")
        expected += sum(not video.label or SPAN[0] <= i < SPAN[1] for i in index)  # hard anomalies only
    assert run.system.name == "C3D-ha" and [
        [fold.facts["training_samples"] for fold in seed.folds] for seed in run.seeds
    ] == [[expected], [expected]]
    for scores in run.seeds[0].scores:
        assert (
            np.array_equal(scores.index, np.arange(0, FRAMES, 3))
            and scores.frames == FRAMES
            and np.isfinite(scores.confidence).all()
        )
    assert [one.name for one in run.seeds[0].scores] == ["v6", "v7"]
    assert np.flatnonzero(run.seeds[0].scores[1].labels).tolist() == list(range(*SPAN))


def test_another_seed_gives_other_numbers(run):
    a, b = (np.concatenate([one.confidence for one in seed.scores]) for seed in run.seeds)
    assert not np.allclose(a, b, atol=1e-3)


def test_a_trained_network_scores_clips_as_its_run_did(run, corpus, cache):
    config = make(cache)
    scorer = load_model(run.seeds[0].model_paths[0])
    assert tuple(scorer.networks) == ("rgb",) and scorer.networks["rgb"].size == 32
    (one,), _ = extract_clips([corpus.of("test")[1]], config, 32, ("rgb",), purpose="score")
    found = scorer.confidence({"rgb": one.images("rgb", one.rows("score", config))})
    assert np.allclose(
        found, run.seeds[0].scores[1].confidence, atol=5e-3
    )  # float32 from clips against float16 features


def test_the_cache_trains_again_for_what_matters_only(run, corpus, cache, monkeypatch):
    trained = []
    monkeypatch.setattr(trainer, "train", lambda *args, **options: trained.append(args) or pytest.fail("trained again"))
    again = runner.run(make(cache, seeds=[0], image_size=64, i3d_size=48, mil_lr=0.5), corpus, "C3D-ha")
    assert again.seeds[0].model_paths == run.seeds[0].model_paths[:1] and not trained
    for change in (
        {"clip_shift_normal": 5},
        {"c3d_size": 48},
        {"clip_width": 0.125},
        {"anomaly_weight": 3.0},
        {"clip_fps": 5.0},
    ):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            runner.run(make(cache, **change), corpus, "C3D-ha")


def test_cross_validation_scores_every_video_by_a_model_that_did_not_see_it(corpus, cache):
    config = make(cache, corpus="folder", data_root=".", split="grouped_cv", folds=3, head_epochs=1)
    everything = Corpus("tiny", tuple(replace(v, split="all") for v in corpus.videos))
    found = runner.run(config, everything, "C3D-ha").seeds[0]
    assert [one.name for one in found.scores] == [v.name for v in corpus.videos] and len(found.model_paths) == 3
    for fold in plan_folds(config, everything, 0):
        assert not set(fold.test) & {*fold.train, *fold.val}


# --- phase two, from clips ---


def finetuned(corpus, root, **changes):
    config = make(root, head_epochs=1, finetune_epochs=1, finetune_lr=1e-3, dropout=0.0, **changes)
    found = runner.run(config, corpus, "C3D-ha").seeds[0]
    return found, torch.load(found.model_paths[0] / "model.pt", weights_only=True)


def test_fine_tuning_changes_the_convolutions_within_bounded_memory(corpus, tmp_path, monkeypatch):
    """Parts of a batch give the batch's gradient, and never more than fits is held at once."""
    held = []
    preprocess = network.Network.preprocess
    monkeypatch.setattr(
        network.Network, "preprocess", lambda self, images: held.append(len(images)) or preprocess(self, images)
    )
    root = tmp_path / "whole"
    before = load_model(
        runner.run(make(root, head_epochs=1), corpus, "C3D-ha").seeds[0].model_paths[0]
    ).model.state_dict()
    held.clear()
    whole, state = finetuned(corpus, root)
    assert max(held) > 2
    shutil.copytree(root / "cache" / "features", tmp_path / "parts" / "cache" / "features")
    held.clear()
    monkeypatch.setattr(inputs, "PIXELS_AT_ONCE", 2 * 16 * 32 * 32)
    parts, in_parts = finetuned(corpus, tmp_path / "parts")
    assert [line.phase for line in parts.histories[0]] == [1, 2] and max(held) == 2
    changed = [name for name in state if name.startswith("backbones.0") and not torch.equal(state[name], before[name])]
    assert len(changed) == 16  # weights and biases of eight convolutions
    for name in state:
        assert torch.allclose(state[name], in_parts[name], atol=1e-4), name
    scorer = load_model(whole.model_paths[0])
    (one,), _ = extract_clips([corpus.of("test")[0]], make(root), 32, ("rgb",), purpose="score")
    assert np.allclose(
        scorer.confidence({"rgb": one.images("rgb", range(len(one)))}), whole.scores[0].confidence, atol=1e-4
    )


def test_as_many_clips_are_held_as_have_the_pixels_of_a_batch_of_frames():
    system = find_system("C3D-ha")
    rows = {size: system.inputs(Config(c3d_size=size)).image_rows for size in (64, 112, 224, 512)}
    assert rows == {64: 49, 112: 16, 224: 4, 512: 1}


# --- the bag branch ---


class Counter:
    """Stands for a detector: as many people as the frame is bright, in tens."""

    def __init__(self, config, threads=None):
        pass

    def bags(self, frames):
        found = np.zeros((len(frames), 80), np.float32)
        found[:, 0] = [frame.mean() // 10 for frame in frames]
        return found


def test_the_bag_branch_sees_the_objects_of_every_frame_of_a_clip(corpus, cache, monkeypatch):
    monkeypatch.setattr(objects, "Detector", Counter)
    objects.BagCounter._loaded.clear()
    config = make(cache, c3d_bag=True, detector_weights="world", seeds=[0])
    plain = make(cache)
    (one,), _ = extract_clips([corpus.of("test")[1]], config, 32, ("rgb", BAGS), purpose="score")
    assert one.bags.shape == (len(one), 16, 80) and one.bags.dtype == np.float32
    objects.BagCounter._loaded.clear()
    bright = one.images("rgb", [len(one) - 1])[0].mean(axis=(1, 2, 3)) // 10
    assert np.abs(one.bags[-1, :, 0] - bright).max() <= 1  # the same frames, in the same order
    with pytest.raises(ValueError, match="stream must be one of rgb, got 'bags'"):
        one.images(BAGS, [0])
    found = runner.run(config, corpus, "C3D-ha")
    assert found.system.bag and found.seeds[0].model_paths != runner.run(plain, corpus, "C3D-ha").seeds[0].model_paths
    facts = json.loads((found.seeds[0].model_paths[0] / "system.json").read_text())
    assert facts["head"]["bag_frames"] == 16 and facts["head"]["use_bag"]
    scorer, rows = load_model(found.seeds[0].model_paths[0]), one.rows("score", config)
    again = scorer.confidence({"rgb": one.images("rgb", rows)}, one.bags[rows])
    assert np.allclose(again, found.seeds[0].scores[1].confidence, atol=5e-3)
    objects.BagCounter._loaded.clear()


def test_without_the_branch_nothing_is_detected(corpus, cache):
    (one,), _ = extract_clips([corpus.of("test")[0]], make(cache), 32, ("rgb",), purpose="score")
    assert one.bags.shape == (len(one), 0)


# --- what cannot work ---


def test_what_cannot_work_is_said_before_a_video_is_read(corpus, tmp_path):
    with pytest.raises(ConfigError, match="C3D takes clips of 16 frames, clip_frames is 8"):
        runner.run(make(tmp_path, clip_frames=8), corpus, "C3D-ha")
    with pytest.raises(ConfigError, match="C3D-ha needs a bag of objects but detector_weights is 'none'"):
        runner.run(make(tmp_path, c3d_bag=True), corpus, "C3D-ha")
    with pytest.raises(WeightsError, match=r"c3d_weights: no file .*sports1m\.pth.*obtain"):
        runner.run(make(tmp_path, c3d_weights=str(tmp_path / "sports1m.pth")), corpus, "C3D-ha")
    assert not (tmp_path / "cache" / "clips").exists()


# --- honest numbers, on clips that are numbers only ---


def test_features_that_know_the_label_are_found_and_shuffled_labels_give_a_half(tmp_path, monkeypatch):
    world = fake_world(monkeypatch, signal=3.0)
    config = make(
        tmp_path,
        corpus="folder",
        data_root=".",
        split="grouped_cv",
        folds=3,
        head_width=16,
        head_epochs=6,
        batch_size=16,
    )
    plain = fake_corpus(official=False, videos=96)
    shown = runner.run(config, plain, "C3D-ha")
    assert frame_auc(*pool(shown.by_seed()[0])) > 0.8
    labels = np.random.default_rng(0).permutation([v.label for v in plain.videos])
    features = {v.name: world["samples"](v).features("rgb") for v in plain.videos}  # the pixels keep the true label
    monkeypatch.setattr(inputs, "features_of", lambda samples, *_: features[samples.video.name])
    shuffled = Corpus(
        "fake",
        tuple(
            replace(v, category="Fighting" if s else "Normal", intervals=((21, 42),) if s else ())
            for v, s in zip(plain.videos, labels, strict=True)
        ),
    )
    hidden = runner.run(config, shuffled, "C3D-ha")
    assert frame_auc(*pool(hidden.by_seed()[0])) == pytest.approx(0.5, abs=0.1)
