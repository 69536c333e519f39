"""Multiple-instance learning: the loss by its properties, and a training that sees video labels and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles import FakeSamples, blind_world, fake_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from tiny import publish

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.corpora import load_corpus
from vadkit.corpora.video import Corpus
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.evaluation.scores import hold
from vadkit.evaluation.thresholds import above, choose_threshold
from vadkit.models.mil import Learner, bag_scores, ranking_loss
from vadkit.systems import bag_trainer, bags, inputs, runner
from vadkit.systems.bags import Item
from vadkit.systems.base import find_system, plan_folds
from vadkit.systems.mil import clips_in_groups, groups
from vadkit.views.sampling import segment_starts, stride_frames
from vadkit.views.segments import Bag

# --- the loss ----------------------------------------------------------------------------------------------------


def scores_of(seed: int, pairs: int, instances: int) -> torch.Tensor:
    return torch.rand(pairs, instances, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


shapes = st.tuples(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 12))


@given(shapes, st.integers(1, 12))
def test_the_margin_is_one(shape, instances):
    seed, pairs, _ = shape
    a, n = scores_of(seed, pairs, instances), scores_of(seed + 1, pairs, instances)
    expected = (1 - a.max(1).values + n.max(1).values).clamp(min=0).mean()
    assert ranking_loss(a, n, 0, 0) == pytest.approx(expected.item())
    assert ranking_loss(torch.ones_like(a), torch.zeros_like(n), 0, 0) == 0
    assert ranking_loss(torch.zeros_like(a), torch.ones_like(n), 0, 0) == 2


@given(shapes)
def test_order_matters_to_the_smoothness_only(shape):
    seed, pairs, instances = shape
    a, n = scores_of(seed, pairs, instances), scores_of(seed + 1, pairs, instances)
    order = torch.randperm(instances, generator=torch.Generator().manual_seed(seed))
    assert ranking_loss(a[:, order], n[:, order], smoothness=0).item() == pytest.approx(
        ranking_loss(a, n, smoothness=0).item()
    )
    assert ranking_loss(a, n[:, order]).item() == pytest.approx(ranking_loss(a, n).item())
    steps = (a[:, 1:] - a[:, :-1]).square().sum(1).mean().item()
    assert ranking_loss(a, n, 0, 0.5).item() - ranking_loss(a, n, 0, 0).item() == pytest.approx(0.5 * steps)
    assert ranking_loss(a, n, 0.5, 0).item() - ranking_loss(a, n, 0, 0).item() == pytest.approx(
        0.5 * a.sum(1).mean().item()
    )


@given(shapes, st.integers(1, 15), st.integers(0, 4), st.sampled_from(["sultani", "as_printed"]))
def test_padding_changes_nothing(shape, top_k, more, variant):
    seed, pairs, instances = shape
    a, n = scores_of(seed, pairs, instances), scores_of(seed + 1, pairs, instances)
    padded = [torch.cat([side, torch.ones(pairs, more, dtype=side.dtype)], 1) for side in (a, n)]
    mask = torch.arange(instances + more).expand(pairs, -1) < instances
    expected = ranking_loss(a, n, 0.1, 0.1, variant, top_k)
    assert ranking_loss(*padded, 0.1, 0.1, variant, top_k, (mask, mask)).item() == pytest.approx(expected.item())


@given(shapes, st.integers(1, 12))
def test_top_k_is_a_mean_of_the_largest(shape, k):
    scores = scores_of(*shape)
    best = np.sort(scores.numpy(), axis=1)[:, ::-1][:, :k]
    assert np.allclose(bag_scores(scores, k), best.mean(1))


@given(shapes)
def test_the_printed_loss_is_zero_where_the_order_is_wrong(shape):
    seed, pairs, instances = shape
    a, n = scores_of(seed, pairs, instances), 1 + scores_of(seed + 1, pairs, instances)
    assert ranking_loss(a, n, 0, 0, "as_printed") == 0 and ranking_loss(a, n, 0, 0) > 1
    assert ranking_loss(n, a, 0, 0, "as_printed") > 0


def test_shapes_that_do_not_fit_are_refused():
    a = torch.rand(2, 4)
    for wrong, said in (
        ((a, torch.rand(3, 4)), "as many pairs"),
        ((a[0], a[0]), "as many pairs"),
        ((a[:0], a[:0]), "as many pairs"),
    ):
        with pytest.raises(ValueError, match=said):
            ranking_loss(*wrong)
    with pytest.raises(ValueError, match="variant must be one of sultani, as_printed, got 'deep'"):
        ranking_loss(a, a, variant="deep")
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        ranking_loss(a, a, top_k=0)
    with pytest.raises(ValueError, match="no instance"):
        ranking_loss(a, a, masks=(None, torch.zeros(2, 4, dtype=torch.bool)))
    with pytest.raises(ValueError, match="bool mask"):
        ranking_loss(a, a, masks=(None, torch.ones(2, 4)))


# --- the Learner -------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 6))
def test_scores_are_of_instances_on_their_own(seed, bags, instances):
    torch.manual_seed(seed)
    learner, features = Learner(6, streams=2).eval(), torch.randn(bags, instances, 6)
    scores = learner(features)
    assert scores.shape == (bags, instances) and ((scores >= 0) & (scores <= 1)).all()
    assert torch.allclose(learner(features.flip(1)), scores.flip(1), atol=1e-6)
    scaled = features * torch.tensor([2.0, 2, 2, 5, 5, 5])
    assert torch.allclose(learner(scaled), scores, atol=1e-5)  # each stream is brought to length 1


def test_the_learner_is_the_papers():
    learner = Learner(100)
    names = [type(layer).__name__ for layer in learner.layers]
    assert names == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear", "Sigmoid"]
    assert [tuple(p.shape) for n, p in learner.named_parameters() if n.endswith("weight")] == [
        (512, 100),
        (32, 512),
        (1, 32),
    ]
    assert learner.layers[0].weight.std().item() == pytest.approx((2 / 612) ** 0.5, rel=0.05)  # Xavier normal
    with pytest.raises(ValueError, match="width 100, got"):
        learner(torch.zeros(3, 99))
    with pytest.raises(ValueError, match="2 streams of equal width"):
        Learner(5, streams=2)


# --- training ----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(monkeypatch):
    return blind_world(monkeypatch, 4.0, bag_trainer, "train_learner")


def make(tmp_path, **changes) -> Config:
    values = {
        "cache_root": str(tmp_path),
        "workers": 1,
        "seeds": [0],
        "mil_segments": 10,
        "mil_fps": 3.0,
        "mil_epochs": 25,
        "mil_optimiser": "adam",
        "mil_lr": 3e-3,
        "backbone_weights": "random",
    }
    return Config(**{**values, **changes})


def run(config, corpus, **fields):
    return runner.run(config, corpus, replace(find_system("MIL learner"), **fields))


def load_learner(path):
    return find_system("MIL learner").load(path)


def auc(result, seed: int = 0) -> float:
    return frame_auc(*pool(result.by_seed()[seed]))


def test_an_oracle_feature_gives_one(tmp_path, world):
    world["signal"] = 60.0
    result = run(make(tmp_path, mil_epochs=40, mil_segments=0), fake_corpus(videos=40))
    assert auc(result) == 1.0


def test_a_signal_is_found_from_video_labels_and_the_loss_falls(tmp_path, world):
    result = run(make(tmp_path), fake_corpus(videos=80))
    assert auc(result) > 0.75
    history = result.seeds[0].histories[0]
    assert len(history) == 25 and history[-1].train_loss < 0.7 * history[0].train_loss
    kept = max(history, key=lambda e: (e.validation_auc, -e.validation_loss))
    validation = result.seeds[0].folds[0].validation
    again = roc_auc_score([v.label for v in validation], [v.confidence.max() for v in validation])
    assert again == pytest.approx(kept.validation_auc)  # the model on disk is that epoch's


def test_annotated_spans_of_training_videos_are_never_seen(tmp_path, world):
    run(make(tmp_path), fake_corpus())
    assert {intervals for split, intervals in world["seen"] if split in ("train", "val")} == {None}
    corpus = fake_corpus()
    moved = Corpus(
        "fake", tuple(replace(v, intervals=((0, 3),)) if v.label and v.split != "test" else v for v in corpus.videos)
    )
    run(make(tmp_path), moved)
    assert world["trained"] == 1  # other spans are no other training


def test_shuffled_labels_give_a_half(tmp_path, world):
    corpus, values = fake_corpus(videos=80), []
    for seed in range(6):
        trained = [v for v in corpus.videos if v.split != "test"]
        categories = iter(np.random.default_rng(seed).permutation([v.category for v in trained]).tolist())
        act = {v.name: v.category for v in corpus.videos}
        shuffled = Corpus(
            "fake", tuple(v if v.split == "test" else replace(v, category=next(categories)) for v in corpus.videos)
        )

        def told_otherwise(config, given, *rest, act=act, load=bags.load_bags):
            found = load(config, Corpus("fake", tuple(replace(v, category=act[v.name]) for v in given.videos)), *rest)
            videos = {v.name: v for v in given.videos}
            return replace(found, views={name: replace(item, video=videos[name]) for name, item in found.views.items()})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bags, "load_bags", told_otherwise)
            values.append(auc(run(make(tmp_path, seeds=[seed], mil_epochs=10), shuffled), seed))
    assert np.mean(values) == pytest.approx(0.5, abs=0.15)


def test_the_printed_loss_does_not_train(tmp_path, world):
    config, corpus = make(tmp_path, mil_epochs=15), fake_corpus(videos=80)
    printed = run(config, corpus, variant="as_printed").seeds[0].histories[0]
    proper = run(config, corpus).seeds[0].histories[0]
    assert printed[-1].train_loss < 0.05  # it is content
    assert printed[-1].validation_auc < 0.55 < 0.8 < proper[-1].validation_auc


def test_the_cache_and_the_seed(tmp_path, world):
    first = run(make(tmp_path, mil_epochs=3), fake_corpus())
    again = run(make(tmp_path, mil_epochs=3), fake_corpus())
    assert world["trained"] == 1
    fresh = run(make(tmp_path / "other", mil_epochs=3), fake_corpus())
    other = run(make(tmp_path, mil_epochs=3, seeds=[1]), fake_corpus())
    scores = [
        np.concatenate([v.confidence for v in videos])
        for r in (first, again, fresh, other)
        for videos in r.by_seed().values()
    ]
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[0], scores[2])
    assert not np.allclose(scores[0], scores[3])
    run(make(tmp_path, mil_epochs=3), fake_corpus(), top_k=3)
    assert world["trained"] == 4


def test_processes_give_what_one_gives(tmp_path, world):
    config = make(tmp_path / "a", mil_epochs=2, seeds=[0, 1])
    one, two = (
        run(c, fake_corpus())
        for c in (config, config.model_copy(update={"cache_root": str(tmp_path / "b"), "workers": 2}))
    )
    for a, b in zip(one.seeds, two.seeds, strict=True):
        assert all(np.array_equal(x.confidence, y.confidence) for x, y in zip(a.scores, b.scores, strict=True))


def test_scores_are_those_of_segments_spread_over_frames(tmp_path, world):
    """And the anomaly score steps at the frames that every system analyses."""
    config = make(tmp_path, mil_epochs=1)
    result, items = run(config, fake_corpus()), bags.load_bags(config, fake_corpus()).views
    assert [v.name for v in result.seeds[0].scores] == [v.name for v in fake_corpus().of("test")]
    learner = load_learner(result.seeds[0].model_paths[0])
    for video in result.seeds[0].scores:
        with torch.no_grad():
            scores = learner(torch.from_numpy(items[video.name].bag.features)).numpy()
        assert len(scores) == 10 and video.frame_scores() == pytest.approx(
            hold(segment_starts(video.frames, 10), scores, video.frames), abs=1e-6
        )
        steps = np.arange(0, video.frames, stride_frames(video.fps, config.analysis_fps))
        assert np.array_equal(video.stepped.index, steps) and np.array_equal(
            video.stepped.confidence, video.frame_scores()[steps]
        )
        assert video.labels.sum() == (21 if video.label else 0)  # the test side keeps its annotation
    assert load_learner(result.seeds[0].model_paths[0]).feature_dim == 16


def test_cross_validation_tests_every_video_once(tmp_path, world):
    config = make(tmp_path, corpus="folder", data_root=".", split="grouped_cv", folds=3, mil_epochs=2)
    result = run(config, fake_corpus(official=False))
    assert [v.name for v in result.seeds[0].scores] == [v.name for v in fake_corpus(official=False).videos]
    assert len(result.seeds[0].histories) == len(result.seeds[0].model_paths) == 3


def test_a_folds_threshold_comes_from_its_own_validation_videos(tmp_path, world):
    config = make(tmp_path, corpus="folder", data_root=".", split="grouped_cv", folds=3, mil_epochs=1)
    corpus = fake_corpus(official=False)
    seed, plan = run(config, corpus).seeds[0], plan_folds(config, corpus, 0)
    validation, tested = ([getattr(fold, side) for fold in seed.folds] for side in ("validation", "tested"))
    for side, names in ((tested, [f.test for f in plan]), (validation, [f.val for f in plan])):
        assert [tuple(v.name for v in videos) for videos in side] == names
    assert set(plan[0].val) & set(
        plan[1].test + plan[2].test
    )  # why one threshold for all folds would have seen test videos
    at_own = [choose_threshold(videos) for videos in validation]
    counted = {v.name: v.confidence.max() > 0 for v in above(tested, at_own)}
    for videos, threshold in zip(tested, at_own, strict=True):
        assert all(counted[v.name] == (v.confidence.max() > threshold) for v in videos)
    without = plan_folds(config.model_copy(update={"early_stopping": False}), corpus, 0, early_stopping=False)
    assert [f.test for f in without] == [
        f.test for f in plan
    ]  # systems without early stopping are tested on the same videos


def test_it_sees_the_streams_of_the_system_that_it_is_compared_with(tmp_path, world, monkeypatch):
    config = make(tmp_path, mil_epochs=1, speed_stream=True, frame_stream=False)
    asked = []
    monkeypatch.setattr(inputs, "extract_features", lambda samples, streams, *rest: asked.append(tuple(streams)))
    learner = load_learner(run(config, fake_corpus()).seeds[0].model_paths[0])
    assert asked == [tuple(find_system("2S-bag-ha").needs(config))] == [("flow", "speed")]
    assert learner.streams == 2 and learner.feature_dim == 16
    assert (
        load_learner(
            run(make(tmp_path, mil_epochs=1, speed_stream=True), fake_corpus()).seeds[0].model_paths[0]
        ).streams
        == 3
    )


def test_a_video_shorter_than_its_segments_is_left_out(tmp_path, world, monkeypatch):
    corpus = fake_corpus()
    short = next(v for v in corpus.videos if v.split == "test" and v.label)
    monkeypatch.setattr(FakeSamples, "frames", property(lambda self: 9 if self.video.name == short.name else 60))
    result = run(make(tmp_path, mil_epochs=1), corpus)
    assert [v.name for v in result.seeds[0].scores] == [v.name for v in corpus.of("test") if v.name != short.name]
    assert [(p.where, p.left_out) for p in result.problems] == [(str(short.path), True)]
    assert "9 frames, too few for 10 segments" in result.problems[0].what
    with pytest.raises(DataError, match="9 frames, too few for 10 segments"):
        run(make(tmp_path, mil_epochs=1, strict=True), corpus)


def test_a_side_with_one_class_is_refused(tmp_path, world):
    corpus = fake_corpus()
    with pytest.raises(DataError, match="normal and anomalous training videos, got 6 and 0"):
        run(make(tmp_path), Corpus("fake", tuple(v for v in corpus.videos if v.split != "train" or not v.label)))


def test_published_features_train_as_well(tmp_path, tiny_video, monkeypatch):
    path = tiny_video(frames=40)
    corpus = Corpus(
        "fake", tuple(replace(v, path=path, intervals=((10, 20),) if v.label else ()) for v in fake_corpus().videos)
    )
    rng = np.random.default_rng(0)
    folder = publish(tmp_path / "features", {v.name: rng.random((20, 5)) for v in corpus.videos[1:]})
    config = make(tmp_path, mil_epochs=2, mil_published=str(folder), clip_frames=2)
    result = run(config, corpus)
    assert len(result.seeds[0].scores) == len(corpus.of("test")) and all(v.frames == 40 for v in result.seeds[0].scores)
    assert [p.where for p in result.problems] == [corpus.videos[0].name] and result.problems[0].left_out
    monkeypatch.setattr(bags, "inspect", None)  # lengths are in the cache
    publish(folder, {corpus.videos[1].name: np.zeros((41, 5))})
    assert "is of shape (41, 5)" in run(config, corpus).problems[1].what
    late = Corpus("fake", tuple(replace(v, intervals=((500, 600),)) if v.label else v for v in corpus.videos))
    assert sum("annotated up to frame 600" in p.what for p in run(config, late).problems) == sum(
        v.label for v in corpus.of("test")
    )
    with pytest.raises(DataError, match="no features in"):
        run(make(tmp_path, mil_published=str(tmp_path / "gone")), corpus)


def test_features_of_ucf_crime_need_no_video(tmp_path):
    clips = {"Abuse028": 89, "Arson011": 80, "Normal_Videos_003": 177, "Normal_Videos001": 7}
    folder = publish(tmp_path / "features", {name: np.ones((count, 5)) for name, count in clips.items()})
    config = make(tmp_path, corpus="ucf_crime", mil_published=str(folder), mil_segments=0)
    corpus = load_corpus(config)
    made = bags.load_bags(config, corpus)
    assert {name: (one.frames, one.fps) for name, one in made.views.items()} == {
        "Abuse028": (1412, 30),
        "Arson011": (1266, 30),
        "Normal_Videos_003": (2822, 30),
    }
    assert made.views["Abuse028"].bag.starts.tolist() == list(range(0, 1412, 16))
    assert made.views["Arson011"].video.intervals[-1][1] == 1266  # annotated one frame past its end
    said = [p.what for p in made.problems if "no features" not in p.what]
    assert len(said) == 2 and "it has 1266 frames" in said[0] and "is of shape (7, 5), and Normal_Videos001" in said[1]
    with pytest.raises(DataError, match="2S-bag-ha cannot be trained here: No video of UCF-Crime .*get them from"):
        runner.run(config, corpus, "2S-bag-ha")
    with pytest.raises(DataError, match="is of shape"):
        bags.load_bags(config.model_copy(update={"strict": True}), corpus)


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=8),
    st.integers(0, 99),
    st.sampled_from(["sultani", "as_printed"]),
    st.integers(1, 3),
)
def test_the_validation_loss_is_that_of_each_pair_on_its_own(lengths, seed, variant, top_k):
    rng, learner = np.random.default_rng(seed), Learner(4).eval()
    bags_made = [Bag(np.arange(n), rng.random((n, 4)).astype(np.float32)) for n in lengths]
    labels = np.arange(len(lengths)) % 2
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(bag_trainer, "INSTANCES_AT_ONCE", 5)
        loss, auc = bag_trainer._ranked(learner, bags_made, labels, variant=variant, top_k=top_k)
        alone = [learner(torch.from_numpy(bag.features))[None] for bag in bags_made]
        pairs = [ranking_loss(a, n, variant=variant, top_k=top_k).item() for a in alone[1::2] for n in alone[::2]]
    assert loss == pytest.approx(np.mean(pairs), abs=1e-5)
    assert auc == pytest.approx(roc_auc_score(labels, [one.max().item() for one in alone]))


# --- clips as instances -------------------------------------------------------------------------------------------


def test_a_group_holds_one_anomaly_at_most_and_no_clip_twice():
    items = [
        Item(v, 60, 10.0, Bag(np.array([0]), np.full((1, 3), float(n), np.float32)), v.name)
        for n, v in enumerate(fake_corpus(False).videos)
    ]
    made = groups(items, 5, np.random.default_rng(0))
    assert [group.video for group in made] == [item.video for item in items]
    for number, group in enumerate(made):
        members = group.bag.features[:, 0].astype(int).tolist()
        assert (
            number in members
            and len(set(members)) == 5
            and sum(items[m].video.label for m in members) == group.video.label
        )
    assert len({tuple(sorted(group.bag.features[:, 0])) for group in made}) > 20 and len(
        {group.identity for group in made}
    ) == len(items)
    assert {len(group.bag) for group in groups(items, 20, np.random.default_rng(0))} == {
        12,
        13,
    }  # 12 are normal


def test_single_clips_are_told_apart_by_labels_of_groups(tmp_path, world):
    world["signal"] = 20.0
    config, corpus = (
        make(
            tmp_path,
            corpus="folder",
            data_root=".",
            split="grouped_cv",
            folds=2,
            validation_fraction=0.4,
            mil_epochs=8,
            mil_pairs=4,
        ),
        fake_corpus(False, 40),
    )
    run = runner.run(config, corpus, clips_in_groups(3))
    scores = run.by_seed()[0]
    assert (
        run.seeds[0].model_paths
        == runner.run(config, corpus, clips_in_groups(3)).seeds[0].model_paths
        != runner.run(config, corpus, clips_in_groups(2)).seeds[0].model_paths
    )
    assert [v.name for v in scores] == [v.name for v in corpus.videos] and all(
        len(set(v.confidence.tolist())) == 1 for v in scores
    )
    assert roc_auc_score([v.label for v in scores], [v.confidence.mean() for v in scores]) > 0.8
