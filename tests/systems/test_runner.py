"""The experiment: who is trained and tested on what, what the cache remembers, and whether the numbers are honest."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import FakeSamples, fake_corpus, fake_world

from vadkit.core import store
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError, DiskError
from vadkit.corpora.video import Corpus, Problem, Video
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.systems import inputs, runner, trainer, two_stream
from vadkit.systems.base import Task, all_systems, find_system, plan_folds
from vadkit.systems.runner import score_videos
from vadkit.systems.scorer import load_model
from vadkit.systems.trainer import CHECKPOINT
from vadkit.views.frames import extract


def make(tmp_path: Path, **changes) -> Config:
    values = {
        "cache_root": str(tmp_path),
        "workers": 1,
        "seeds": [0],
        "head_width": 16,
        "head_epochs": 6,
        "head_lr": 3e-3,
        "backbone_weights": "random",
    }
    return Config(**{**values, **changes})


def folder_config(tmp_path: Path, **changes) -> Config:
    return make(tmp_path, corpus="folder", data_root=".", split="grouped_cv", folds=3, **changes)


def auc(run, seed: int = 0) -> float:
    return frame_auc(*pool(run.by_seed()[seed]))


@pytest.fixture
def world(monkeypatch):
    return fake_world(monkeypatch)


@pytest.mark.parametrize("name", [system.name for system in two_stream.SYSTEMS])
def test_every_system_scores_the_test_videos(tmp_path, world, name):
    world["signal"] = 6.0
    corpus = fake_corpus()
    run = runner.run(make(tmp_path, head_epochs=15, patience=15), corpus, name)
    (seed,) = run.seeds
    assert [one.name for one in seed.scores] == [v.name for v in corpus.of("test")]
    for one in seed.scores:
        assert one.frames == 60 and len(one.index) == 20 and one.fps == 10.0
        assert one.confidence.min() >= 0 and one.confidence.max() <= 1
    assert len(seed.histories) == len(seed.model_paths) == 1 and len(seed.histories[0]) > 0
    assert auc(run) > 0.6


def test_hard_only_training_leaves_out_the_soft_frames(tmp_path, world):
    soft, hard = (
        runner.run(make(tmp_path), fake_corpus(), name).seeds[0].folds[0].facts["training_samples"]
        for name in ("2S-bag", "2S-bag-ha")
    )
    anomalous = sum(v.label for v in fake_corpus().of("train"))
    assert soft == 12 * 20 and hard == soft - 13 * anomalous  # 7 of an anomalous video's 20 rows are hard anomalies


def test_without_early_stopping_the_validation_videos_return(tmp_path):
    corpus = fake_corpus()
    names = {split: tuple(v.name for v in corpus.of(split)) for split in ("train", "val", "test")}
    (fold,) = plan_folds(make(tmp_path), corpus, 0)
    assert (fold.train, fold.val, fold.test) == (names["train"], names["val"], names["test"])
    (fold,) = plan_folds(make(tmp_path), corpus, 0, early_stopping=False)
    assert (set(fold.train), fold.val, fold.test) == ({*names["train"], *names["val"]}, (), names["test"])
    (fold,) = plan_folds(make(tmp_path, validation="test_parity"), corpus, 0, early_stopping=False)
    assert (fold.train, fold.val, set(fold.test)) == (names["train"], (), {*names["val"], *names["test"]})


def test_cross_validation_tests_every_video_once_on_a_model_that_did_not_see_its_source(tmp_path, world):
    corpus = fake_corpus(official=False)
    config = folder_config(tmp_path, seeds=[0, 1])
    run = runner.run(config, corpus, "1S-bag")
    sources = {v.name: v.source for v in corpus.videos}
    for seed in run.seeds:
        assert [one.name for one in seed.scores] == [v.name for v in corpus.videos]
        assert len(seed.model_paths) == len(seed.histories) == 3
    for fold in plan_folds(config, corpus, 0):
        seen = {sources[name] for name in (*fold.train, *fold.val)}
        assert not seen & {sources[name] for name in fold.test}
    assert [fold.test for fold in plan_folds(config, corpus, 0)] != [
        fold.test for fold in plan_folds(config, corpus, 1)
    ]


def test_a_second_run_trains_nothing_and_gives_the_same(tmp_path, world):
    config = make(tmp_path, seeds=[0, 1])
    first = runner.run(config, fake_corpus(), "2S-bag")
    assert world["trained"] == 2
    second = runner.run(config, fake_corpus(), "2S-bag")
    assert world["trained"] == 2
    for a, b in zip(first.seeds, second.seeds, strict=True):
        assert a.histories == b.histories and a.model_paths == b.model_paths
        assert all(np.array_equal(x.confidence, y.confidence) for x, y in zip(a.scores, b.scores, strict=True))


@pytest.mark.parametrize(
    ("change", "trains"),
    [
        ({"bootstrap_resamples": 77}, False),
        ({"sas_tau": 0.3, "profile": "other"}, False),
        ({"seeds": [0, 5]}, True),
        ({"head_lr": 1e-3}, True),
        ({"anomaly_weight": 3.0}, True),
        ({"weight_decay": 0.1}, True),
        ({"mil_lr": 0.1, "mil_segments": 8}, False),
    ],
)
def test_only_what_matters_trains_again(tmp_path, world, change, trains):
    runner.run(make(tmp_path), fake_corpus(), "2S-bag")
    runner.run(make(tmp_path, **change), fake_corpus(), "2S-bag")
    assert world["trained"] == 1 + trains


def test_other_samples_or_labels_train_again_and_other_test_videos_do_not(tmp_path, world):
    config, corpus = make(tmp_path), fake_corpus()
    runner.run(config, corpus, "2S-bag")
    fewer = Corpus("fake", tuple(v for v in corpus.videos if v.split != "test" or v.name != corpus.of("test")[0].name))
    assert len(runner.run(config, fewer, "2S-bag").seeds[0].scores) == len(corpus.of("test")) - 1
    assert world["trained"] == 1
    first = next(v for v in corpus.of("train") if v.label)
    relabelled = Corpus("fake", tuple(replace(v, intervals=((0, 10),)) if v is first else v for v in corpus.videos))
    runner.run(config, relabelled, "2S-bag")
    assert world["trained"] == 2
    world["signal"] = 1.0
    runner.run(config, corpus, "2S-bag")
    assert world["trained"] == 3


@pytest.mark.parametrize("name", all_systems())
def test_training_reads_no_parameter_that_is_not_in_its_key(name):
    system = find_system(name)
    assert set(system.parameters) <= set(Config.model_fields)
    settings = Task(Config(), system, 0, (), (), ()).settings()
    assert vars(settings) == {name: getattr(Config(), name) for name in system.parameters}
    with pytest.raises(AttributeError, match="bootstrap_resamples, which is not in its cache key"):
        _ = settings.bootstrap_resamples


def test_other_seeds_give_other_numbers(tmp_path, world):
    run = runner.run(make(tmp_path, seeds=[0, 1]), fake_corpus(), "2S-bag")
    assert auc(run, 0) != auc(run, 1)


def test_an_oracle_feature_gives_one(tmp_path, world):
    world["signal"] = 60.0
    assert auc(runner.run(make(tmp_path, head_epochs=15), fake_corpus(), "2S-no-bag")) == pytest.approx(1.0, abs=1e-4)


def test_features_without_the_label_give_a_half(tmp_path, world):
    """What a leak of test labels into training would break: 96 videos of pure noise, frames independent."""
    world["signal"] = 0.0
    config = folder_config(tmp_path, seeds=[0, 1])
    run = runner.run(config, fake_corpus(official=False, videos=96), "2S-bag")
    # the deviation of an AUC on 336 anomalous and 1584 normal rows is about 0.017; two seeds share their videos
    assert np.mean([auc(run, 0), auc(run, 1)]) == pytest.approx(0.5, abs=0.07)


def test_shuffled_labels_give_a_half(tmp_path, world, monkeypatch):
    corpus = fake_corpus(official=False, videos=96)
    spans = np.random.default_rng(0).permutation([v.label for v in corpus.videos])
    shuffled = Corpus(
        "fake",
        tuple(
            replace(v, category="Fighting" if s else "Normal", intervals=((21, 42),) if s else ())
            for v, s in zip(corpus.videos, spans, strict=True)
        ),
    )
    plain = {v.name: FakeSamples(v, 3.0).features("frame") for v in corpus.videos}  # the pixels keep the true label
    monkeypatch.setattr(inputs, "features_of", lambda view, *rest: plain[view.video.name])
    shown = runner.run(folder_config(tmp_path), corpus, "1S-no-bag")
    hidden = runner.run(folder_config(tmp_path), shuffled, "1S-no-bag")
    assert auc(shown) > 0.8
    assert auc(hidden) == pytest.approx(0.5, abs=0.1)


def test_scores_beyond_the_test_set(tmp_path, world):
    config = make(tmp_path, seeds=[0, 1])
    run = runner.run(config, fake_corpus(), "2S-bag-ha")
    world["problems"] = [Problem("c.mp4", "no frame decodes", left_out=True)]
    unseen = [Video(f"Arson{n:03d}", Path("a.mp4"), "Arson", "unseen", f"a{n}", ((21, 42),)) for n in range(6)]
    scored, problems = score_videos(run, unseen)
    assert problems == world["problems"]
    assert list(scored) == [0, 1] and [one.name for one in scored[1]] == [v.name for v in unseen]
    assert frame_auc(*pool(scored[0])) > 0.6
    again, _ = score_videos(run, list(fake_corpus().of("test")))
    assert all(np.array_equal(a.confidence, b.confidence) for a, b in zip(again[0], run.seeds[0].scores, strict=True))


def test_a_cross_validated_run_does_not_score_other_videos(tmp_path, world):
    config = folder_config(tmp_path)
    run = runner.run(config, fake_corpus(official=False), "1S-bag")
    with pytest.raises(ConfigError, match="one a fold"):
        score_videos(run, list(fake_corpus().of("test")))


def test_a_bag_without_a_detector_is_refused_and_a_system_without_a_bag_is_not(tmp_path, world):
    config = make(tmp_path, detector_weights="none")
    with pytest.raises(ConfigError, match="2S-bag needs a bag of objects but detector_weights is 'none'"):
        runner.run(config, fake_corpus(), "2S-bag")
    assert runner.run(config, fake_corpus(), "2S-no-bag").seeds


def test_an_unknown_system_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="did you mean '2S-bag-ha'"):
        runner.run(make(tmp_path), Corpus("none", ()), "2s-bag-ha")


def test_missing_sides_are_refused_with_the_first_problem(tmp_path, world):
    corpus = fake_corpus()
    world["problems"] = [Problem("a.mp4", "the file is empty", left_out=True)]
    with pytest.raises(DataError, match="the test side has no usable video.*a.mp4: the file is empty"):
        runner.run(make(tmp_path), Corpus("fake", corpus.of("train", "val")), "2S-bag")
    with pytest.raises(DataError, match="no usable video"):
        runner.run(make(tmp_path), Corpus("fake", ()), "2S-bag")
    with pytest.raises(DataError, match="early stopping needs validation samples"):
        runner.run(make(tmp_path), Corpus("fake", corpus.of("train", "test")), "2S-bag")
    with pytest.raises(DataError, match="all normal"):
        runner.run(
            make(tmp_path),
            Corpus("fake", tuple(v for v in corpus.videos if not (v.split == "train" and v.label))),
            "2S-bag",
        )


def test_problems_of_the_videos_come_with_the_run(tmp_path, world):
    world["problems"] = [Problem("b.mp4", "grey start", left_out=False)]
    assert world["problems"][0] in runner.run(make(tmp_path), fake_corpus(), "1S-bag").problems


def test_an_interrupted_experiment_resumes_at_its_checkpoint(tmp_path, world, monkeypatch):
    """Killed within training: the next call takes up the checkpoint and ends as an undisturbed one does."""
    config = make(tmp_path / "a", head_epochs=5, patience=5)
    train = trainer.train
    monkeypatch.setattr(trainer, "train", lambda *args, **options: train(*args, **options, checkpoint_seconds=0))

    def killed(done, total, what):
        if "phase 1" in what and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(config, fake_corpus(), "2S-bag", killed)
    assert len(list((tmp_path / "a").rglob(CHECKPOINT))) == 1 and not list((tmp_path / "a" / "models").glob("*"))
    epochs = []
    resumed = runner.run(config, fake_corpus(), "2S-bag", lambda done, total, what: epochs.append(done))
    assert epochs[0] == 4
    whole = runner.run(make(tmp_path / "b", head_epochs=5, patience=5), fake_corpus(), "2S-bag")
    assert [
        np.array_equal(a.confidence, b.confidence)
        for a, b in zip(resumed.seeds[0].scores, whole.seeds[0].scores, strict=True)
    ] == [True] * 6
    assert not list((tmp_path / "a").rglob(CHECKPOINT))


def test_a_model_that_cannot_be_kept_costs_no_training(tmp_path, world, monkeypatch):
    """A full disk while the trained model is written: the checkpoint is still there, and no epoch runs again."""
    config, epochs, train = make(tmp_path), [], trainer.train
    monkeypatch.setattr(trainer, "train", lambda *args, **options: train(*args, **options, checkpoint_seconds=0))

    def trained(done, total, what):
        epochs.extend([done] * ("phase 1" in what))

    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskError, match="the disk is full"):
        patch.setattr(store, "_sync", full)
        runner.run(config, fake_corpus(), "2S-bag", trained)
    assert len(list(tmp_path.rglob(CHECKPOINT))) == 1 and not list((tmp_path / "models").iterdir())
    assert epochs == list(range(1, len(epochs) + 1)) and epochs
    before = list(epochs)
    run = runner.run(config, fake_corpus(), "2S-bag", trained)
    assert epochs == before and len(run.seeds[0].histories[0]) == len(before)
    assert not list(tmp_path.rglob(CHECKPOINT))


# --- the real modules, on tiny videos ---


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Eight videos: a square that moves, or one that stands and flashes; resnet18 with random weights."""
    from conftest import moving_square, write_video

    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    videos = []
    for number in range(8):
        label = number % 2
        images = moving_square(18)
        if label:
            images = [np.clip(i.astype(int) + rng.integers(0, 120), 0, 255).astype(np.uint8) for i in images]
        path = write_video(root / f"v{number:02d}.mp4", images)
        split = ("train", "train", "train", "train", "val", "val", "test", "test")[number % 8]
        videos.append(
            Video(path.stem, path, "Fighting" if label else "Normal", split, path.stem, ((6, 18),) if label else ())
        )
    return Corpus("tiny", tuple(videos)), root


def real_config(root: Path, **changes) -> Config:
    return make(
        root / "cache",
        backbone="resnet18",
        image_size=32,
        flow_method="dis",
        detector_weights="none",
        sampling="custom",
        anomaly_fps=10.0,
        normal_fps=10.0,
        analysis_fps=10.0,
        **changes,
    )


def test_real_modules_in_processes_and_in_one_agree(real):
    corpus, root = real
    find_system("2S-no-bag").material(real_config(root), corpus)  # so that the two processes start once, to train
    config = real_config(root, seeds=[0, 1], workers=2)
    run = runner.run(config, corpus, "2S-no-bag")
    assert [one.name for one in run.seeds[0].scores] == ["v06", "v07"]
    alone = runner.run(real_config(root / "alone", seeds=[1]), corpus, "2S-no-bag").seeds[0]
    assert alone.model_paths[0].name == run.seeds[1].model_paths[0].name
    assert all(
        np.array_equal(a.confidence, b.confidence) for a, b in zip(alone.scores, run.seeds[1].scores, strict=True)
    )
    scorer = load_model(run.seeds[0].model_paths[0])
    first = run.seeds[0].scores[1]
    samples, _ = extract(corpus.of("test"), config, purpose="score")
    one = next(s for s in samples if s.video.name == first.name)
    rows = one.rows("score", config)
    again = scorer.confidence({s: one.images(s, rows) for s in scorer.networks})
    assert np.allclose(again, first.confidence, atol=5e-3)  # float32 from images against float16 features


def test_real_fine_tuning_changes_the_streams_and_scores_from_images(real):
    corpus, root = real
    config = real_config(root, head_epochs=1, finetune_epochs=1, finetune_lr=1e-3)
    run = runner.run(config, corpus, "1S-no-bag")
    assert [line.phase for line in run.seeds[0].histories[0]] == [1, 2]
    path = run.seeds[0].model_paths[0]
    state = torch.load(path / "model.pt", weights_only=True)
    assert any(name.startswith("backbones.0") for name in state)
    scorer = load_model(path)
    samples, _ = extract(corpus.of("test"), config, purpose="score")
    rows = samples[0].rows("score", config)
    assert np.allclose(
        scorer.confidence({"frame": samples[0].images("frame", rows)}), run.seeds[0].scores[0].confidence, atol=1e-4
    )
