"""LSTM, attention and joint model: padding is nothing to them, and training sees video labels and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles import Blind, blind_world, fake_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError, VadkitError
from vadkit.corpora.video import NORMAL, Corpus
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.models.joint import NAMES, Output, SequenceModel
from vadkit.systems import bag_trainer, bags, runner
from vadkit.systems.bag_trainer import train_sequences, video_loss
from vadkit.systems.base import find_system
from vadkit.systems.joint import classes_of, segment_count
from vadkit.views.segments import Bag

DIM = 6


def model_of(name: str, seed: int = 0):
    torch.manual_seed(seed)
    return SequenceModel(name, DIM, classes=4, streams=2, width=8).eval()


def batch_of(seed: int, lengths: list[int], rubbish: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Videos of these lengths in one batch, `rubbish` behind them."""
    features = torch.full((len(lengths), max(lengths), DIM), rubbish)
    for number, length in enumerate(lengths):
        features[number, :length] = torch.randn(length, DIM, generator=torch.Generator().manual_seed(seed + number))
    return features, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


# --- the models --------------------------------------------------------------------------------------------------

batches = st.tuples(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.sampled_from([0.0, 7.0, -1e30, float("inf"), float("nan")]),
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(batch=batches)
def test_padding_and_company_change_nothing(name, batch):
    seed, lengths, rubbish = batch
    model = model_of(name)
    features, mask = batch_of(seed, lengths, rubbish)
    with torch.no_grad():
        together = model(features, mask)
        for row, length in enumerate(lengths):
            alone = model(features[row : row + 1, :length], mask[row : row + 1, :length])
            assert torch.allclose(together.scores[row, :length], alone.scores[0], atol=1e-6)
            assert (together.scores[row, length:] == 0).all()
            assert (
                torch.allclose(together.videos[row], alone.videos[0], atol=1e-6)
                and 0 <= together.videos[row] <= 1 + 1e-6
            )
            for part in ("attention", "classes"):
                ours, theirs = getattr(together, part), getattr(alone, part)
                if theirs is not None:
                    assert torch.allclose(ours[row, : theirs.shape[1]], theirs[0], atol=1e-5)
        if together.attention is not None:
            assert (
                torch.allclose(together.attention.sum(dim=1), torch.ones(len(lengths)))
                and (together.attention[~mask] == 0).all()
            )


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_comes_from_padding(name):
    model = model_of(name)
    features, mask = batch_of(0, [3, 7], float("nan"))
    features.requires_grad_()
    out = model(features, mask)
    (out.scores.sum() + (0 if out.classes is None else out.classes.sum())).backward()
    assert (
        torch.isfinite(features.grad[mask]).all()
        and features.grad[mask].abs().sum() > 0
        and (features.grad[~mask] == 0).all()
    )
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_what_each_model_looks_at():
    features, mask = batch_of(0, [9], 0.0)
    later = features.clone()
    later[:, 6:] += 1.0
    out, changed = ({name: model_of(name)(x, mask) for name in NAMES} for x in (features, later))
    assert torch.equal(out["LSTM"].scores[:, :6], changed["LSTM"].scores[:, :6])  # nothing that comes later
    earlier = features.clone()
    earlier[:, 0] += 1.0
    assert not torch.allclose(
        model_of("LSTM")(earlier, mask).scores[:, 5], out["LSTM"].scores[:, 5]
    )  # but what came before
    order = torch.tensor([4, 0, 8, 2, 6, 1, 3, 5, 7])
    assert torch.allclose(
        model_of("attention")(features[:, order], mask).scores, out["attention"].scores[:, order], atol=1e-6
    )
    assert not torch.allclose(
        model_of("LSTM")(features[:, order], mask).scores, out["LSTM"].scores[:, order], atol=1e-4
    )
    assert out["joint"].classes.shape == (1, 4) and out["LSTM"].classes is None and out["LSTM"].attention is None


def test_the_residual_connection_lets_features_past_the_lstm():
    model = model_of("LSTM")
    with torch.no_grad():
        for parameter in model.memory.parameters():
            parameter.zero_()
    features, mask = batch_of(0, [5], 0.0)
    own = model.score(model.encoder(features, mask)).squeeze(-1).sigmoid()
    assert torch.allclose(model(features, mask).scores, own)
    assert model(features, mask).scores.std() > 0


def test_what_does_not_fit_is_refused():
    features, mask = batch_of(0, [3, 5], 0.0)
    model = model_of("joint")
    for wrong, said in (
        ((features[0], mask[0]), r"shape \(batch, segments, 6\), got \(5, 6\)"),
        ((features[..., :5], mask), r"segments, 6\), got \(2, 5, 5\)"),
        ((features, mask[:, :4]), "bool mask of shape"),
        ((features, mask.float()), "bool mask of shape"),
        ((features, mask.flip(1)), "a gap or an empty video"),
        ((features, torch.zeros_like(mask)), "a gap or an empty video"),
    ):
        with pytest.raises(ValueError, match=said):
            model(*wrong)
    with pytest.raises(ValueError, match="model must be one of LSTM, attention, joint, got 'transformer'"):
        SequenceModel("transformer", DIM)
    with pytest.raises(ValueError, match="another one to be told from"):
        SequenceModel("joint", DIM, classes=1)
    with pytest.raises(ValueError, match="2 streams of equal width"):
        SequenceModel("LSTM", 5, streams=2)


# --- the loss ----------------------------------------------------------------------------------------------------


def test_how_a_videos_score_is_formed():
    features, mask = batch_of(0, [2, 9], 0.0)
    out = model_of("LSTM")(features, mask)  # top_k is 3
    expected = [out.scores[0, :2].mean(), out.scores[1].topk(3).values.mean()]
    assert out.videos.tolist() == pytest.approx([e.item() for e in expected])
    out = model_of("attention")(features, mask)
    assert torch.allclose(out.videos, (out.attention * out.scores).sum(dim=1))


def test_the_loss_is_that_of_videos():
    config, scores, videos = Config(joint_class_weight=0.5), torch.zeros(2, 3), torch.tensor([0.8, 0.25])
    labels, weights = torch.tensor([2, 0]), torch.tensor([0.5, 1.0, 0.25])
    detection = -(np.log(0.8) + np.log(1 - 0.25)) / 2
    assert video_loss(Output(scores, videos), labels, config, weights).item() == pytest.approx(detection)
    logits = torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    expected = [
        -weight * torch.log_softmax(row, 0)[label].item()
        for row, label, weight in zip(logits, (2, 0), (0.25, 0.5), strict=True)
    ]
    assert video_loss(Output(scores, videos, None, logits), labels, config, weights).item() == pytest.approx(
        detection + 0.5 * np.mean(expected)
    )


# --- training ----------------------------------------------------------------------------------------------------


def toy(videos: int, seed: int, planted: float = 4.0) -> tuple[list[Bag], list[int], list[int]]:
    """Noise, and in every other video one segment in which the class's own direction is strong: bags, classes, its
    place."""
    rng = np.random.default_rng(seed)
    made, labels, places = [], [], []
    for number in range(videos):
        length = int(rng.integers(4, 16))
        features = rng.normal(size=(length, 16)).astype(np.float32)
        label, place = (number % 2) * (1 + number // 2 % 2), int(rng.integers(length))
        if label:
            features[place, label] += planted * 4
        made.append(Bag(np.arange(length), features))
        labels.append(label)
        places.append(place)
    return made, labels, places


TOY = {
    "joint_width": 16,
    "joint_epochs": 25,
    "joint_lr": 3e-3,
    "joint_top_k": 1,
    "joint_class_weight": 1.0,
    "joint_dropout": 0.2,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_segment_is_found(name):
    (train, labels, _), (val, val_labels, _), (test, test_labels, places) = toy(80, 0), toy(20, 1), toy(40, 2)
    model, history = train_sequences(Config(**TOY), name, (train, labels), (val, val_labels), 3, seed=0)
    hits, right = [], []
    with torch.no_grad():
        for bag, label, place in zip(test, test_labels, places, strict=True):
            out = model(*bags.padded([bag]))
            if label:
                hits.append(out.scores.argmax().item() == place)
                right.append(out.classes is not None and out.classes[0, 1:].argmax().item() + 1 == label)
    assert np.mean(hits) > 0.8 and history[-1].train_loss < 0.6 * history[0].train_loss
    assert name != "joint" or np.mean(right) > 0.85
    assert len(history) == 25 and max(e.validation_auc for e in history) > 0.9


def test_shuffled_labels_give_chance():
    areas = []
    for seed in range(6):
        train, labels, _ = toy(60, 10 + seed)
        val, val_labels, _ = toy(16, 50 + seed)
        test, test_labels, _ = toy(60, 90 + seed)
        shuffled = np.random.default_rng(seed).permutation(labels).tolist()
        model, _ = train_sequences(
            Config(**TOY | {"joint_epochs": 4}),
            "joint",
            (train, shuffled),
            (val, np.random.default_rng(seed).permutation(val_labels).tolist()),
            3,
            seed,
        )
        with torch.no_grad():
            scores = [model(*bags.padded([bag])).scores.max().item() for bag in test]
        areas.append(frame_auc((np.array(test_labels) > 0).astype(int), scores))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.15)


def test_a_loss_that_is_not_finite_is_an_error():
    train, labels, _ = toy(8, 0)
    train[0].features[0, 0] = np.inf
    with pytest.raises(
        VadkitError, match="LSTM model, seed 3, epoch 1: the loss is nan, expected a finite number; lower joint_lr"
    ):
        train_sequences(Config(**TOY), "LSTM", (train, labels), (train, labels), 3, seed=3)


class Shown(Blind):
    """Of several lengths, and the pixels show of which class the act is as well."""

    act = (21, 30)
    frames = property(lambda self: 30 + 15 * (len(self.video.name) + int(self.video.name[-3:])) % 45)

    def features(self, stream):
        made = super().features(stream)
        made[:, 1] += self.signal * self.labels * (self.video.category == "Robbery")
        return made


@pytest.fixture
def world(monkeypatch):
    return blind_world(monkeypatch, 6.0, bag_trainer, "train_sequences", Shown)


def make(tmp_path, **changes) -> Config:
    values = {
        "cache_root": str(tmp_path),
        "workers": 1,
        "seeds": [0],
        "mil_fps": 3.0,
        "backbone_weights": "random",
        "joint_segment_seconds": 0.3,
        "joint_epochs": 2,
        "joint_width": 16,
    }
    return Config(**{**values, **changes})


def run(config, corpus, model="joint"):
    return runner.run(config, corpus, f"{model} model")


def test_the_segment_is_found_from_video_labels(tmp_path, world):
    made = fake_corpus(videos=80).videos  # whose splits have one class of anomaly each
    corpus = Corpus(
        "fake",
        tuple(replace(v, category=("Fighting", "Robbery")[k // 8 % 2]) if v.label else v for k, v in enumerate(made)),
    )
    found = run(make(tmp_path, **TOY), corpus)
    assert frame_auc(*pool(found.by_seed()[0])) > 0.8
    (seed,) = found.seeds
    assert [r.category for r in found.recognised()[seed.seed]] == [v.category for v in corpus.of("test")]
    assert (
        np.mean(
            [
                r.classes[1 + r.probabilities[1:].argmax()] == r.category
                for r in found.recognised()[seed.seed]
                if r.category != NORMAL
            ]
        )
        > 0.8
    )
    assert len({len(v.confidence) for v in seed.scores}) > 1  # videos of several lengths


def test_annotated_spans_of_training_videos_are_never_seen(tmp_path, world):
    corpus = fake_corpus()
    run(make(tmp_path), corpus)
    assert {intervals for split, intervals in world["seen"] if split in ("train", "val")} == {None}
    moved = Corpus(
        "fake", tuple(replace(v, intervals=((0, 3),)) if v.label and v.split != "test" else v for v in corpus.videos)
    )
    run(make(tmp_path), moved)
    assert world["trained"] == 1  # other spans are no other training


def test_the_cache_the_seed_and_the_model(tmp_path, world):
    def confidences(result):
        return np.concatenate([v.confidence for v in next(iter(result.by_seed().values()))])

    first, again = run(make(tmp_path), fake_corpus()), run(make(tmp_path), fake_corpus())
    assert world["trained"] == 1
    fresh = run(make(tmp_path / "other"), fake_corpus())
    other = run(make(tmp_path, seeds=[1]), fake_corpus())
    assert np.array_equal(confidences(first), confidences(again)) and np.array_equal(
        confidences(first), confidences(fresh)
    )
    assert not np.allclose(confidences(first), confidences(other))
    plain = run(make(tmp_path), fake_corpus(), "LSTM")
    assert not plain.recognised()[0] and world["trained"] == 4


def test_cross_validation_tests_every_video_once(tmp_path, world):
    config = make(tmp_path, corpus="folder", data_root=".", split="grouped_cv", folds=3)
    corpus = fake_corpus(official=False)
    found = run(config, corpus)
    assert (
        [v.name for v in found.seeds[0].scores]
        == [r.name for r in found.recognised()[0]]
        == [v.name for v in corpus.videos]
    )
    assert len(found.seeds[0].histories) == len(found.seeds[0].model_paths) == 3
    assert found.system.classes == ("Normal", "Fighting", "Robbery")


def test_segments_follow_the_length_of_the_video():
    config = Config(joint_segment_seconds=2.0, joint_max_segments=50)
    assert [segment_count(frames, 10.0, config) for frames in (1, 15, 100, 1000, 10**6)] == [1, 1, 5, 50, 50]
    assert segment_count(3, 1.0, config.model_copy(update={"joint_segment_seconds": 0.1})) == 3


def test_classes_and_what_is_refused(tmp_path, world):
    corpus = fake_corpus()
    assert classes_of(corpus) == ("Normal", "Fighting", "Robbery")
    assert classes_of(
        Corpus("fake", tuple(v for v in corpus.videos if v.category != "Robbery" or v.split == "test"))
    ) == ("Normal", "Fighting")
    with pytest.raises(ConfigError, match="unknown system 'deep model'"):
        run(make(tmp_path), corpus, "deep")
    with pytest.raises(DataError, match="normal and anomalous training videos, got 6 and 0"):
        run(make(tmp_path), Corpus("fake", tuple(v for v in corpus.videos if v.split != "train" or not v.label)))
    with pytest.raises(DataError, match="system.json is missing"):
        find_system("joint model").load(tmp_path)
