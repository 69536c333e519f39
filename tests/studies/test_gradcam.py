"""Grad-CAM: a peak where the evidence is, another one where a network forgot, and checks that count rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from pytorch_grad_cam import HiResCAM
from tiny import tiny_corpus
from torch import nn

from vadkit.core.config import Config
from vadkit.core.errors import DataError
from vadkit.core.video import read_frames
from vadkit.corpora.video import Video
from vadkit.models.network import Network
from vadkit.models.two_stream import Head, TwoStream
from vadkit.report import figures as plots
from vadkit.report.rows import result_rows
from vadkit.studies import gradcam, gradcam_checks
from vadkit.studies.gradcam import Explained, explain_video, heat_maps, in_frame
from vadkit.studies.gradcam_checks import agreement, peak, pointing_game, points_at, randomised
from vadkit.systems import runner
from vadkit.systems.base import find_system
from vadkit.systems.gradcam import _pooled, place_of
from vadkit.systems.scorer import Scorer, load_model
from vadkit.views.clips import clip_picture, extract_clips

SIZE, DIM = 64, 4
CONFIG = Config(bootstrap_resamples=50)


class RedFinder(nn.Module):
    """A stream with maps of 8x8 whose first channel is how red a place is; the other channels are texture."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            conv = nn.Conv2d(3, DIM, 8, stride=8, bias=False)
            conv.weight.data = 0.02 * conv.weight.data.abs()
            conv.weight.data[0] = torch.tensor([1.0, -1.0, -1.0])[:, None, None] / 64
        self.body = nn.Sequential(conv, nn.ReLU())

    def features(self, images):
        return self.body(images)

    def forward(self, images):
        return self.features(images).mean(dim=(2, 3))


NETWORKS = {stream: Network("resnet18", "random", "random-0") for stream in ("frame", "flow")}


def toy_scorer(output: str = "sigmoid") -> Scorer:
    """Calls a frame anomalous by how much red each of its two streams shows."""
    head = Head(2 * DIM, use_bag=False, width=2, dropout=0.0, output=output)
    with torch.no_grad():
        for layer in head.layers:
            if isinstance(layer, nn.Linear):
                layer.weight.zero_()
                layer.bias.fill_(1.0)
        head.layers[0].weight[:, 0] = head.layers[0].weight[:, DIM] = 3.0
        head.layers[3].weight[:] = torch.eye(2)
        head.layers[6].weight[-1] = 1.0
    model = TwoStream([RedFinder(), RedFinder()], head).eval()
    return Scorer(model, find_system("2S-no-bag"), NETWORKS)


def red_at(*places: tuple[int, int]) -> np.ndarray:
    """Noise with a red patch at each (x, y), one image each. Shape: (n, SIZE, SIZE, 3) uint8."""
    images = np.random.default_rng(0).integers(90, 110, (len(places), SIZE, SIZE, 3), dtype=np.uint8)
    for image, (x, y) in zip(images, places, strict=True):
        image[y - 4 : y + 4, x - 4 : x + 4] = (250, 10, 10)
    return images


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_the_peak_is_where_the_evidence_is_in_each_stream_by_itself(output):
    frames, flows = [(12, 20), (44, 52), (36, 4)], [(52, 12), (12, 60), (4, 36)]
    images = {"frame": red_at(*frames), "flow": red_at(*flows)}
    for stream, places in (("frame", frames), ("flow", flows)):
        heat = heat_maps(toy_scorer(output), images)[0][stream]
        assert heat.shape == (3, SIZE // 8, SIZE // 8) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max(axis=(1, 2)) == pytest.approx([1, 1, 1])
        for one, (x, y) in zip(heat, places, strict=True):
            assert peak(one) == pytest.approx((x / SIZE, y / SIZE))


def test_multiplying_place_by_place_changes_nothing_where_the_head_sees_a_mean():
    scorer, images = toy_scorer(), {"frame": red_at((12, 20), (44, 52)), "flow": red_at((52, 12), (12, 60))}
    summed, placed = heat_maps(scorer, images)[0], heat_maps(scorer, images, method=HiResCAM)[0]
    assert all(np.allclose(placed[stream], summed[stream], atol=1e-5) for stream in images)


def by_formula(scorer: Scorer, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Notebook 09's: weights are the mean gradients of the logit, what is positive of the weighted sum is divided by
    its largest value; of clips, of the last moment."""
    model = scorer.model
    maps = [
        b.features(scorer.networks[s].preprocess(images[s])).detach().requires_grad_()
        for b, s in zip(model.backbones, scorer.networks, strict=True)
    ]
    logit = model.head(torch.cat([_pooled(b, m) for b, m in zip(model.backbones, maps, strict=True)], dim=1))[:, -1]
    found = {}
    for stream, own, slope in zip(scorer.networks, maps, torch.autograd.grad(logit.sum(), maps), strict=True):
        positive = (slope.mean(dim=tuple(range(2, slope.ndim)), keepdim=True) * own).sum(dim=1).relu().detach().numpy()
        positive = positive if positive.ndim == 3 else positive[:, -1]
        found[stream] = positive / positive.max(axis=(1, 2), keepdims=True)
    return found


def test_a_map_is_the_formulas_and_keeps_its_floor():
    """Where every place speaks for an anomaly, none of them is shown as if it did not."""
    bright = {"frame": red_at((12, 20), (44, 52)), "flow": red_at((52, 12), (12, 60))}
    scorer, images = (
        toy_scorer(),
        {stream: np.clip(image + np.uint16(60), 0, 255).astype(np.uint8) for stream, image in bright.items()},
    )
    with torch.no_grad():
        scorer.model.head.layers[0].weight[:, 1] = scorer.model.head.layers[0].weight[:, DIM + 1] = (
            1.0  # of texture, which is everywhere
        )
    found = heat_maps(scorer, images)[0]
    for stream, expected in by_formula(scorer, images).items():
        assert expected.min() > 1e-3 and np.allclose(found[stream], expected, atol=1e-5)


def test_an_even_map_that_speaks_for_an_anomaly_is_one_throughout_and_points_at_the_middle():
    even = np.full((1, SIZE, SIZE, 3), (200, 20, 20), np.uint8)
    heat = heat_maps(toy_scorer(), {"frame": even, "flow": even})[0]["frame"]
    assert heat.min() == pytest.approx(1) and peak(heat[0]) == pytest.approx((0.5, 0.5))
    centred, elsewhere = (explained(name, None, [box], heat=heat[0]) for name, box in (("a", MIDDLE), ("b", LEFT)))
    hits = {what: one.value for what, one in pointing_game(CONFIG, {0: [centred, elsewhere]}).items()}
    assert hits["Grad-CAM, frame stream"] == hits["middle of the frame"] == 0.5
    assert agreement(CONFIG, [centred], [centred], "frame").value is None


def test_looking_leaves_the_network_as_it_was():
    scorer, images = toy_scorer(), {"frame": red_at((12, 20)), "flow": red_at((52, 12))}
    before = scorer.confidence(images)
    first, confidences = heat_maps(scorer, images)
    assert confidences == pytest.approx(before, abs=1e-6) and np.array_equal(scorer.confidence(images), before)
    assert np.array_equal(heat_maps(scorer, images)[0]["frame"], first["frame"])
    assert not any(m._forward_hooks for m in scorer.model.modules())
    assert all(p.grad is None for p in scorer.model.parameters())


def test_a_stream_without_images_is_named():
    with pytest.raises(KeyError, match="flow"):
        heat_maps(toy_scorer(), {"frame": red_at((12, 20))})


def test_a_network_that_takes_a_bag_is_explained_with_it():
    head = Head(2 * DIM, width=4, dropout=0.0)
    scorer = Scorer(TwoStream([RedFinder(), RedFinder()], head).eval(), find_system("2S-bag"), NETWORKS)
    images = {"frame": red_at((12, 20)), "flow": red_at((52, 12))}
    with pytest.raises(ValueError, match="bags"):
        heat_maps(scorer, images)
    bags = np.ones((1, 80), np.float32)
    assert heat_maps(scorer, images, bags)[1] == pytest.approx(scorer.confidence(images, bags), abs=1e-6)


def test_three_classes_are_explained_by_the_hard_one_against_the_rest():
    """With a suspicious neuron that never speaks, three classes have the map of two."""
    images = {"frame": red_at((12, 20)), "flow": red_at((52, 12))}
    two, three = toy_scorer("softmax"), toy_scorer("suspicious")
    with torch.no_grad():
        three.model.head.layers[6].bias[1] = -60.0
    expected, found = heat_maps(two, images), heat_maps(three, images)
    assert found[1] == pytest.approx(expected[1], abs=1e-6) and found[1] == pytest.approx(
        three.confidence(images), abs=1e-6
    )
    for stream in images:
        assert expected[0][stream].max() == 1.0 and np.allclose(found[0][stream], expected[0][stream], atol=1e-5)


class RedClipFinder(nn.Module):
    """A 3D stream with maps of 2 x 8 x 8, each the mean of half of a clip; the head sees all places, as C3D's does."""

    def __init__(self, before: RedFinder):
        super().__init__()
        self.frames = before

    def features(self, clips):
        halves = clips.unflatten(2, (2, -1)).mean(dim=3)  # (n, 3, 2, S, S)
        return torch.stack([self.frames.body(halves[:, :, t]) for t in range(2)], dim=2)

    def pooled(self, maps):
        return maps.amax(dim=(3, 4)).mean(dim=2)

    def forward(self, clips):
        return self.pooled(self.features(clips))


def test_of_a_clip_the_map_is_that_of_its_last_moment():
    before = toy_scorer()
    head = Head(DIM, use_bag=False, width=2, dropout=0.0)
    for own, given in zip(head.layers, before.model.head.layers, strict=True):
        if isinstance(own, nn.Linear):
            own.weight.data, own.bias.data = given.weight.data[:, : own.in_features].clone(), given.bias.data.clone()
    model = TwoStream([RedClipFinder(RedFinder())], head).eval()
    scorer = Scorer(model, find_system("C3D-ha"), {"rgb": Network("c3d", "random", "random-0", 0.0625, SIZE)})
    first, last = (12, 20), (44, 52)
    clips = np.stack([np.concatenate([np.repeat(red_at(place), 8, axis=0) for place in (first, last)])])
    heat, confidences = heat_maps(scorer, {"rgb": clips})
    assert heat["rgb"].shape == (1, 8, 8) and heat["rgb"].max() == pytest.approx(1)
    assert peak(heat["rgb"][0]) == pytest.approx((last[0] / SIZE, last[1] / SIZE))
    assert confidences == pytest.approx(scorer.confidence({"rgb": clips}), abs=1e-6)
    assert np.allclose(heat["rgb"], by_formula(scorer, {"rgb": clips})["rgb"], atol=1e-5)
    with torch.no_grad():
        model.head.layers[0].weight[:, 1] = 1.0  # of texture, which is everywhere, also in the first moment
    floored, expected = heat_maps(scorer, {"rgb": clips})[0]["rgb"], by_formula(scorer, {"rgb": clips})["rgb"]
    assert expected.min() > 1e-3 and np.allclose(floored, expected, atol=1e-5)
    placed = heat_maps(scorer, {"rgb": clips}, method=HiResCAM)[0]["rgb"]
    assert placed.min() == 0 and placed.max() == pytest.approx(1)  # only the places that the pooling let through


def test_nothing_that_speaks_for_an_anomaly_gives_no_peak():
    scorer = toy_scorer()
    with torch.no_grad():
        scorer.model.head.layers[0].weight[:, 0] = -3.0  # red in the frame now speaks against it
    heat = heat_maps(scorer, {"frame": red_at((12, 20)), "flow": red_at((52, 12))})[0]["frame"]
    assert heat.max() == 0 and peak(heat[0]) is None


@pytest.mark.parametrize("seen", [(0.0, 0.0, 1.0, 1.0), (0.5, 0.25, 1.0, 0.75)])
def test_a_box_is_around_the_place_that_the_streams_speak_for(seen):
    images = {stream: red_at((44, 20))[0] for stream in ("frame", "flow")}
    x1, y1, x2, y2 = place_of(toy_scorer(), images, np.zeros((1, 80)), dict.fromkeys(images, seen), (640, 480))
    width, height = 640 * (seen[2] - seen[0]), 480 * (seen[3] - seen[1])
    at = 640 * seen[0] + width * 44 / SIZE, 480 * seen[1] + height * 20 / SIZE
    assert x1 < at[0] < x2 <= 640 and y1 < at[1] < y2 <= 480 and x2 - x1 < width / 3 and y2 - y1 < height / 3
    silent = toy_scorer()
    with torch.no_grad():
        silent.model.head.layers[0].weight[:] = -3.0
    assert place_of(silent, images, np.zeros((1, 80)), {}, (640, 480)) is None


def test_equal_largest_cells_count_by_their_middle():
    heat = np.zeros((60, 80), np.float32)
    heat[:10, 70:] = 1
    assert peak(heat) == pytest.approx((75 / 80, 5 / 60))


@pytest.mark.parametrize("part", gradcam_checks.PARTS)
def test_a_network_that_forgot_has_other_maps_and_the_trained_one_keeps_its_own(part):
    scorer, images = toy_scorer(), {"frame": red_at((12, 20), (44, 52)), "flow": red_at((52, 12), (12, 60))}
    before = heat_maps(scorer, images)[0]["frame"]
    other = randomised(scorer, part, seed=3)
    assert not np.allclose(heat_maps(other, images)[0]["frame"], before, atol=0.05)
    assert np.array_equal(heat_maps(scorer, images)[0]["frame"], before)
    for trained, forgot in zip(scorer.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(trained.flatten().sort().values, forgot.flatten().sort().values)  # shuffled, not drawn anew
    with pytest.raises(ValueError, match="head, streams"):
        randomised(scorer, "bag")


def explained(name: str, at: tuple[float, float] | None, boxes, seen=gradcam.WHOLE, heat=None) -> Explained:
    if heat is None:
        heat = np.zeros((50, 50), np.float32)
        if at is not None:
            heat[int(at[1] * 50), int(at[0] * 50)] = 1
    return Explained(
        Video(name, Path(f"{name}.mp4"), "Assault", "test", name),
        0,
        0,
        0.5,
        {"frame": heat},
        {"frame": seen},
        np.array(boxes, float).reshape(-1, 4),
    )


LEFT, MIDDLE = [0.0, 0.0, 0.4, 0.5], [0.3, 0.4, 0.6, 0.6]


def test_the_pointing_game_counts_hits_and_its_baselines():
    found = [
        explained("a", (0.2, 0.2), [LEFT]),
        explained("a", (0.9, 0.9), [LEFT]),
        explained("b", (0.5, 0.5), [LEFT, MIDDLE]),
        explained("c", None, [LEFT]),
    ]
    values = {what: one.value for what, one in pointing_game(CONFIG, {0: found}).items()}
    assert values["Grad-CAM, frame stream"] == 2 / 4  # a map without a peak misses
    assert values["middle of the frame"] == 1 / 4
    assert values["random place"] == pytest.approx((3 * 0.2 + 0.25) / 4)  # boxes that overlap count once
    assert values["frame stream minus middle"] == 1 / 4


def test_the_pointing_game_averages_seeds_and_leaves_out_frames_without_a_box():
    hit, miss = explained("a", (0.2, 0.2), [LEFT]), explained("a", (0.9, 0.9), [LEFT])
    bare = explained("b", (0.2, 0.2), [])
    found = pointing_game(CONFIG, {0: [hit, bare], 1: [miss, bare]})["Grad-CAM, frame stream"]
    assert (found.value, len(found.per_seed), found.videos) == (0.5, 2, 1)
    with pytest.raises(ValueError, match="box"):
        pointing_game(CONFIG, {0: [bare]})


def test_a_map_of_a_window_points_and_is_drawn_where_the_window_is():
    one = explained("a", (0.5, 0.5), [LEFT], seen=(0.5, 0.0, 1.0, 0.5))
    assert points_at(one, "frame") == pytest.approx((0.75, 0.25), abs=0.02)
    heat = in_frame(one, "frame")
    assert heat.shape == (240, 320)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (
        (x / 320, y / 240) == pytest.approx((0.75, 0.25), abs=0.02) and not heat[120:].any() and not heat[:, :160].any()
    )


def test_agreement_is_one_for_the_same_maps_and_undefined_for_constant_ones():
    rng = np.random.default_rng(0)
    a = [explained(name, None, [], heat=rng.random((20, 20), np.float32)) for name in "abcd"]
    flat = [explained(name, None, [], heat=np.zeros((20, 20), np.float32)) for name in "abcd"]
    other = [explained(name, None, [], heat=rng.random((20, 20), np.float32)) for name in "abcd"]
    assert agreement(CONFIG, a, a, "frame").value == pytest.approx(1)
    assert abs(agreement(CONFIG, a, other, "frame").value) < 0.2
    nothing = agreement(CONFIG, a, flat, "frame")
    assert nothing.value is None
    [row] = result_rows(CONFIG, [nothing], "", "Grad-CAM", "2S-bag-ha")
    assert row.metric == "map_correlation" and row.value is None and "constant" in row.reason
    some = agreement(CONFIG, a, [*a[:3], flat[3]], "frame")
    assert some.value == pytest.approx(1) and "1 of 4 frames left out" in some.reason
    with pytest.raises(ValueError, match="same frames"):
        agreement(CONFIG, a, a[1:], "frame")


def test_the_checks_draw_a_recordings_cuts_together_where_asked():
    rng = np.random.default_rng(0)

    def cuts(own_source: bool) -> list[Explained]:
        found = [
            explained(f"{s}{cut}", (0.2, 0.2) if s in "abc" else (0.9, 0.9), [LEFT])
            for s in "abcdef"
            for cut in range(6)
        ]
        return [
            replace(one, video=replace(one.video, source=one.video.name if own_source else one.video.name[0]))
            for one in found
        ]

    noise = [rng.random((50, 50), np.float32) for _ in range(36)]

    def measures(over: str, own_source: bool = False) -> list:
        config, found = Config(bootstrap_resamples=200, interval_over=over), cuts(own_source)
        mixed = [
            replace(one, heat={"frame": one.heat["frame"] if one.video.name[0] in "abc" else heat})
            for one, heat in zip(found, noise, strict=True)
        ]
        return [pointing_game(config, {0: found})["Grad-CAM, frame stream"], agreement(config, found, mixed, "frame")]

    for by_video, by_source, alone in zip(
        measures("videos"), measures("sources"), measures("sources", own_source=True), strict=True
    ):
        assert by_video.value == by_source.value
        width = by_video.ci_high - by_video.ci_low
        assert by_source.ci_high - by_source.ci_low > 1.5 * width
        assert alone.ci_high - alone.ci_low < 1.2 * width


def test_frames_to_show_go_from_the_surest_to_the_least_sure():
    found = [explained(f"v{n}", None, []) for n in range(7)]
    for n, one in enumerate(found):
        object.__setattr__(one, "confidence", (3 * n % 7) / 7)
    shown = gradcam.choose([*found, *found], 3)
    assert [one.confidence for one in shown] == pytest.approx([6 / 7, 3 / 7, 0])
    assert gradcam.choose([], 3) == []


# --- a trained network on real files ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    config = Config(
        cache_root=str(folder / "cache"), workers=1, seeds=[0], image_size=64, head_width=8, head_epochs=1,
        backbone="resnet18", backbone_weights="random", detector_weights="none", flow_method="dis", frame_window=True,
        batch_size=4, bootstrap_resamples=20,
    )  # fmt: skip
    corpus = tiny_corpus(folder)
    return config, corpus, runner.run(config, corpus, "2S-no-bag")


def test_test_videos_are_explained_at_their_boxed_frames(trained):
    config, corpus, run = trained
    found = gradcam.explain_run(run, per_video=2)
    assert [(one.video.name, one.frame) for one in found] == [
        ("Assault004", 20),
        ("Assault004", 40),
    ]  # analysed every tenth frame, boxes from 15 to 45
    for one in found:
        assert one.boxes == pytest.approx(np.array([[0.25, 0.25, 0.75, 0.75]]))
        assert one.heat["frame"].shape == (2, 2) and one.seen["flow"] == gradcam.WHOLE
        left, top, right, bottom = one.seen["frame"]
        assert (right - left, bottom - top) == (0.5, 0.5) and top < 0.2  # the square moves at the top
    scores = {v.name: v for v in run.seeds[0].scores}["Assault004"]
    assert found[0].confidence == pytest.approx(scores.confidence[list(scores.index).index(20)], abs=1e-3)
    assert pointing_game(config, {0: found})["Grad-CAM, frame stream"].videos == 1


def test_any_rows_can_be_explained(trained):
    config, corpus, run = trained
    scorer, scores = load_model(run.seeds[0].model_paths[0]), run.seeds[0].scores
    normal = next(one for one in run.seeds[0].folds[0].sides.test if not one.video.label)
    found = gradcam.explain_rows(config, scorer, normal, normal.rows("score", config)[:2])
    own = next(one for one in scores if one.name == normal.video.name)
    assert [one.frame for one in found] == own.index[:2].tolist() and not any(len(one.boxes) for one in found)
    assert [one.confidence for one in found] == pytest.approx(own.confidence[:2].tolist(), abs=1e-3)
    assert gradcam.explain_rows(config, scorer, normal, np.array([], int)) == []


def test_panels_are_figure_4s(trained):
    config, corpus, run = trained
    one = gradcam.explain_run(run, per_video=1)[0]
    samples = find_system("2S-no-bag").material(config, corpus).views[one.video.name]
    pictures, titles = zip(*gradcam.panels(one, samples), strict=True)
    assert [p.shape for p in pictures] == [(240, 320, 3)] * 4 and all(p.dtype == np.uint8 for p in pictures)
    assert (pictures[2][60, 80:240] == 255).all()  # the box's upper edge
    assert titles == (
        f"Assault004, frame {one.frame}: {one.confidence:.2f}; flow",
        "Grad-CAM, flow",
        "frame",
        "Grad-CAM, frame",
    )


def test_a_video_that_has_become_too_short_is_named_with_the_frame(trained, monkeypatch):
    config, corpus, run = trained
    one = gradcam.explain_run(run, per_video=1)[0]
    samples = find_system("2S-no-bag").material(config, corpus).views[one.video.name]
    said = rf"{one.video.path.name}: expected a frame 999, the video ends after {samples.frames}"
    with pytest.raises(DataError, match=said):
        gradcam.panels(replace(one, frame=999), samples)
    monkeypatch.setattr(gradcam, "flows_of", lambda start, number, count: [(start, 999)])
    with pytest.raises(DataError, match=said):
        gradcam.explain_run(run, per_video=1)


def test_panels_follow_the_streams_where_motion_takes_the_frames_place(trained):
    config, corpus, _ = trained
    config = config.model_copy(update={"speed_stream": True, "frame_stream": False})
    one = gradcam.explain_run(runner.run(config, corpus, "2S-no-bag"), per_video=1)[0]
    samples = find_system("2S-no-bag").material(config, corpus).views[one.video.name]
    pictures, titles = zip(*gradcam.panels(one, samples), strict=True)
    assert [t.split("; ")[-1] for t in titles] == ["flow", "Grad-CAM, flow", "speed, motion window", "Grad-CAM, speed"]
    bare, _ = gradcam.panels(replace(one, boxes=np.empty((0, 4))), samples)[2]
    speed = cv2.resize(samples.images("speed", [one.row])[0], (320, 240), interpolation=cv2.INTER_AREA)
    assert np.array_equal(bare, speed)  # as the network sees it
    left, top, right, bottom = one.seen["speed"]
    columns = np.clip([round((x - left) / (right - left) * 320) for x in (0.25, 0.75)], 0, 320)
    upper = round((0.25 - top) / (bottom - top) * 240)
    assert (
        0 < upper < 240 and columns[0] < columns[1] and (pictures[2][upper, slice(*columns)] == 255).all()
    )  # the box is where the window shows it
    assert len(plots.sample_grid(pictures, titles).axes) == 4


def test_panels_of_one_stream_are_two(trained):
    config, corpus, _ = trained
    one = gradcam.explain_run(runner.run(config, corpus, "1S-no-bag"), per_video=1)[0]
    found = gradcam.panels(one, find_system("2S-no-bag").material(config, corpus).views[one.video.name])
    assert [title.split("; ")[-1] for _, title in found] == ["frame", "Grad-CAM, frame"]


def test_c3d_is_explained_by_the_same_steps(trained):
    config, corpus, _ = trained
    config = config.model_copy(update={"c3d_weights": "random", "c3d_size": 64, "clip_width": 0.0625})
    run = runner.run(config, corpus, "C3D-ha")
    found = gradcam.explain_run(run, per_video=2)
    assert [(one.video.name, one.frame) for one in found] == [("Assault004", 20), ("Assault004", 40)]
    assert all(one.heat["rgb"].shape == (4, 4) and one.seen["rgb"] == gradcam.WHOLE for one in found)
    scores = run.seeds[0].scores[0]
    assert found[0].confidence == pytest.approx(scores.confidence[list(scores.index).index(20)], abs=5e-3)
    samples = run.system.material(config, corpus).views
    pictures, titles = zip(*gradcam.panels(found[0], samples["Assault004"]), strict=True)
    assert [p.shape for p in pictures] == [(240, 320, 3)] * 2 and titles[1] == "Grad-CAM, rgb"
    forgot = gradcam.explain_run(run, per_video=2, change=lambda scorer: randomised(scorer, "streams"))
    assert not np.allclose(forgot[0].heat["rgb"], found[0].heat["rgb"], atol=0.05)
    assert agreement(config, found, forgot, "rgb").videos == 1
    assert next(iter(pointing_game(config, {0: found}))) == "Grad-CAM, rgb stream"


@pytest.mark.parametrize(("every", "frames"), [(1, [20, 28, 40]), (4, [40])])
def test_of_clips_the_frame_is_the_one_that_the_clip_ends_with(trained, monkeypatch, every, frames):
    """Frames 20 and 30 of the second case are scored by the clip of frame 0, which shows nothing of them."""
    config, corpus, _ = trained
    (clips, _), problems = extract_clips(corpus.of("test"), config, 32, ("rgb",), every=every)
    asked = []

    def maps(scorer, images, bags, method):
        asked.extend(images["rgb"])
        return {"rgb": np.zeros((len(images["rgb"]), 4, 4), np.float32)}, np.zeros(len(images["rgb"]))

    monkeypatch.setattr(gradcam, "heat_maps", maps)
    found = explain_video(config, SimpleNamespace(networks=("rgb",), system=find_system("full-I3D")), clips)
    assert not problems and [one.frame for one in found] == frames and all(len(one.boxes) == 1 for one in found)
    decoded = dict(read_frames(clips.video.path, frames.__contains__))
    for one, clip in zip(found, asked, strict=True):
        assert np.array_equal(clip[-1], clip_picture("rgb", decoded[one.frame], None, 32))
        picture = cv2.resize(decoded[one.frame][:, :, ::-1], (320, 240), interpolation=cv2.INTER_AREA)
        bare, title = gradcam.panels(replace(one, boxes=np.empty((0, 4))), clips)[0]
        assert np.array_equal(bare, picture) and f"frame {one.frame}" in title


def test_a_normal_video_has_nothing_to_explain(trained, monkeypatch):
    config, corpus, run = trained
    samples = find_system("2S-no-bag").material(config, corpus).views["Normal005"]
    assert explain_video(config, load_model(run.seeds[0].model_paths[0]), samples) == []
    monkeypatch.setattr(gradcam, "explain_video", lambda *args: [])
    with pytest.raises(DataError, match="none of 2 test videos"):
        gradcam.explain_run(run)
