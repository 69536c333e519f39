from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from conftest import moving_square, write_lossless
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.core.errors import DataError
from vadkit.core.parameters import make_config
from vadkit.core.video import read_frames
from vadkit.corpora.video import Video
from vadkit.views import frames as module
from vadkit.views import objects
from vadkit.views.flow import flow, flow_image, frame_image, gray
from vadkit.views.frames import Samples, extract
from vadkit.views.sampling import plan


def video_at(path="nowhere.mp4", category="Normal", intervals=(), split="train", name="video") -> Video:
    return Video(name, path, category, split, "source", intervals)


def quick(tmp_path, **values):
    return make_config(
        {"detector_weights": "none", "workers": 1, "image_size": 32, "cache_root": str(tmp_path / "cache"), **values}
    )


def test_samples_of_a_video(tmp_path, tiny_video):
    path = tiny_video("a.mp4", frames=45, fps=30)
    video = video_at(path, "Assault", ((12, 33),), split="all", name="Assault001")
    config = quick(tmp_path)
    (found,), problems = extract([video], config)
    assert problems == [] and isinstance(found, Samples)
    assert (found.frames, found.fps) == (45, 30.0)
    assert found.index.tolist() == [0, 10, 12, 20, 22, 30, 32, 33, 40]
    assert found.labels.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert found.index[found.rows("score", config)].tolist() == [0, 10, 20, 30, 40]
    assert found.index[found.rows("train", config)].tolist() == [0, 12, 22, 32, 33]
    assert found.index[found.rows("train", config, hard_only=True)].tolist() == [12, 22, 32]
    assert found.index[found.rows("score", config, hard_only=True)].tolist() == [0, 10, 20, 30, 40]
    assert np.isnan(found.bags).all() and found.bags.shape == (9, 80) and found.bags.dtype == np.float32

    decoded = dict(read_frames(path))
    rows = np.array([5, 0, 2])
    frames, flows = found.images("frame", rows), found.images("flow", rows)
    assert frames.shape == flows.shape == (3, 32, 32, 3) and frames.dtype == flows.dtype == np.uint8
    for row, frame_seen, flow_seen in zip(rows, frames, flows, strict=True):
        number, start = found.index[row], found.flow_from[row]
        assert np.array_equal(frame_seen, frame_image(decoded[number], 32))
        if number:
            assert np.array_equal(flow_seen, flow_image(flow(gray(decoded[start]), gray(decoded[number])), size=32))
    assert not flows[1].any() and frames[1].any()  # frame 0: no flow
    assert flows[0].any()


def test_frames_are_rgb(tmp_path, tiny_video):
    blue = np.zeros((48, 64, 3), np.uint8)
    blue[..., 0] = 220  # BGR
    (found,), _ = extract([video_at(tiny_video(images=[blue] * 5))], quick(tmp_path))
    assert (found.images("frame", [0])[0].mean(axis=(0, 1)).argmax()) == 2
    assert frame_image(blue, 16)[0, 0].argmax() == 2


def test_normal_videos_keep_all_rows_when_only_hard_anomalies_are_wanted(tmp_path, tiny_video):
    config = quick(tmp_path)
    (found,), _ = extract([video_at(tiny_video(frames=70))], config)
    assert found.rows("train", config, hard_only=True).tolist() == found.rows("train", config).tolist() == [0, 1, 2]


def test_rows_that_were_not_extracted_are_an_error(tmp_path, tiny_video):
    config = quick(tmp_path)
    path = tiny_video(frames=60)
    (trained,), _ = extract([video_at(path)], config)
    with pytest.raises(ValueError, match="'score'.*not extracted"):
        trained.rows("score", config)
    with pytest.raises(ValueError, match="same sampling"):
        trained.rows("train", quick(tmp_path, sampling="section_4_2"))
    with pytest.raises(ValueError, match="'train' or 'score'"):
        trained.rows("both", config)
    with pytest.raises(ValueError, match="one of frame, flow"):
        trained.images("rgb", [0])
    with pytest.raises(IndexError, match="row 99"):
        trained.images("frame", [99])
    with pytest.raises(ValueError, match="no rows"):
        trained.images("frame", [])
    with pytest.raises(ValueError, match="'train', 'score'|train, score, both"):
        extract([video_at(path)], config, purpose="all")


@pytest.mark.parametrize("purpose", ["train", "score", "both"])
@pytest.mark.parametrize("pair", ["grid", "adjacent", "sampled"])
def test_one_pass_over_a_video_serves_everything(tmp_path, tiny_video, monkeypatch, purpose, pair):
    opened = []
    monkeypatch.setattr(module, "read_frames", lambda *a, **also: opened.append(a) or read_frames(*a, **also))
    config = quick(tmp_path, flow_pair=pair)
    video = video_at(tiny_video(frames=100), "Assault", ((31, 45),))
    (found,), _ = extract([video], config, purpose=purpose)
    assert len(opened) == 1
    assert (found.index.tolist(), found.flow_from.tolist()) == tuple(
        a.tolist() for a in plan(video, 100, 30.0, config, purpose)
    )
    (again,), _ = extract([video], config, purpose=purpose)
    assert len(opened) == 1 and again.digest == found.digest  # the second run reads the cache


class CountingDetector:
    """Stands for a detector: sees as many persons as the frame's mean brightness says."""

    def __init__(self, *args, **kwargs):
        self.calls = []

    def bags(self, frames):
        self.calls.append(len(frames))
        bags = np.zeros((len(frames), 80), np.float32)
        bags[:, 0] = [int(frame.mean()) // 10 for frame in frames]
        return bags


def test_bags_belong_to_their_frames(tmp_path, tiny_video, monkeypatch):
    detector = CountingDetector()
    monkeypatch.setattr(objects, "Detector", lambda *args, **kwargs: detector)
    for user in (module, objects):
        monkeypatch.setattr(user, "detector_key", lambda config: {"weights": "counting"})
    shades = [np.full((48, 64, 3), 2 * number, np.uint8) for number in range(100)]
    (found,), _ = extract(
        [video_at(tiny_video(images=shades), split="test")],
        quick(tmp_path, detector_weights="counting.onnx", analysis_fps=10),
    )
    assert np.abs(found.bags[:, 0] - 2 * found.index // 10).max() <= 1
    assert sum(detector.calls) == len(found) == 34 and max(detector.calls) <= objects.BATCH


def test_unusable_videos_are_left_out_and_named(tmp_path, tiny_video):
    good, empty, text = tiny_video("good.mp4"), tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("<html>not found</html>")
    videos = [video_at(path, name=path.stem) for path in (empty, good, text, tmp_path / "gone.mp4")]
    config = quick(tmp_path)
    found, problems = extract(videos, config)
    assert [one.video.name for one in found] == ["good"]
    assert [problem.where for problem in problems] == [str(empty), str(text), str(tmp_path / "gone.mp4")]
    assert all(problem.left_out for problem in problems)
    assert not list((tmp_path / "cache").rglob(".building-*"))
    for bad in (empty, text, tmp_path / "gone.mp4"):
        with pytest.raises(DataError, match=bad.name):
            extract([video_at(good), video_at(bad)], quick(tmp_path, strict=True))


def test_an_annotation_past_the_end_is_cut_and_noted_or_refused(tmp_path, tiny_video):
    path = tiny_video(frames=40)
    config = quick(tmp_path, annotation_slack_frames=5)
    (found,), (problem,) = extract([video_at(path, "Assault", ((30, 44),))], config)
    assert found.video.intervals == ((30, 40),) and not problem.left_out and "cut" in problem.what
    assert found.rows("train", config, hard_only=True).tolist() == [found.index.tolist().index(30)]
    found, (problem,) = extract([video_at(path, "Assault", ((30, 90),))], config)
    assert found == [] and problem.left_out
    with pytest.raises(DataError, match="annotation_slack_frames"):
        extract([video_at(path, "Assault", ((30, 90),))], quick(tmp_path, annotation_slack_frames=5, strict=True))


def test_oddities_of_a_video_are_reported_each_time(tmp_path, tiny_video):
    black = [np.zeros((48, 64, 3), np.uint8)] * 10
    video = video_at(tiny_video(images=black))
    for _ in range(2):
        found, (problem,) = extract([video], quick(tmp_path))
        assert len(found) == 1 and not problem.left_out and "black" in problem.what


def test_an_interrupted_video_leaves_nothing_and_is_made_again(tmp_path, tiny_video, monkeypatch):
    config = quick(tmp_path)
    video = video_at(tiny_video(frames=90), split="test")
    with monkeypatch.context() as patch:
        patch.setattr("vadkit.views.flow.flow_image", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            extract([video], config)
    assert [path for path in (tmp_path / "cache" / "samples").iterdir()] == []
    (found,), _ = extract([video], config)
    assert len(found) == 9


def test_a_damaged_entry_is_an_error_and_never_a_black_image(tmp_path, tiny_video):
    (found,), _ = extract([video_at(tiny_video(frames=60))], quick(tmp_path))
    blob = found.folders[0] / "frame.bin"
    blob.write_bytes(blob.read_bytes()[:-200])
    with pytest.raises(DataError, match="delete the folder"):
        found.images("frame", [len(found) - 1])
    blob.write_bytes(b"")
    with pytest.raises(DataError, match="image 0"):
        found.images("frame", [0])


def test_processes_give_what_one_process_gives(tmp_path, tiny_video):
    videos = [video_at(tiny_video(f"{n}.mp4", frames=20 + 10 * n), name=str(n), split="test") for n in range(3)]
    (tmp_path / "bad.mp4").write_text("no video")
    videos.insert(1, video_at(tmp_path / "bad.mp4", name="bad"))
    seen = []
    alone, _ = extract(videos, quick(tmp_path / "one"))
    together, problems = extract(
        videos, quick(tmp_path / "two", workers=2), progress=lambda done, total, what: seen.append((done, total, what))
    )
    assert [one.digest for one in together] == [one.digest for one in alone] and len(problems) == 1
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.images("flow", range(len(one))), other.images("flow", range(len(one))))
    assert [done for done, _, _ in seen][-4:] == [1, 2, 3, 4] and {total for _, total, _ in seen} == {4}
    with pytest.raises(DataError, match="bad"):
        extract(videos, quick(tmp_path / "three", workers=2, strict=True))


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "a.mp4"
    path.write_bytes(b"any content")

    def key(purpose="both", intervals=((3, 9),), label="Assault", **values):
        config = make_config({"detector_weights": "none", **values})
        return json.dumps(module._key(video_at(path, label, intervals), config, purpose), sort_keys=True)

    return key


CHANGES = [
    ({"image_size": 64}, "train score both"),
    ({"flow_method": "dis"}, "train score both"),
    ({"flow_pair": "adjacent"}, "train score both"),
    ({"flow_scale": "fixed"}, "train score both"),
    ({"analysis_fps": 5.0}, "train score both"),  # training rows too: a flow spans one scoring stride
    ({"analysis_fps": 5.0, "flow_pair": "adjacent"}, "score both"),
    ({"flow_full_scale": 0.2, "flow_scale": "fixed"}, "train score both"),
    ({"flow_full_scale": 0.2}, ""),
    ({"sampling": "section_4_2"}, "train both"),
    ({"sampling": "custom", "normal_fps": 2.0}, "train both"),
    ({"normal_fps": 2.0}, ""),  # of no meaning but with sampling: custom
    ({"seeds": [9], "profile": "other", "workers": 1, "head_width": 64, "backbone": "resnet18", "strict": True}, ""),
    ({"detector_confidence": 0.9, "detector_size": 640}, ""),  # no detector here
    ({"annotation_slack_frames": 99}, ""),
]


@pytest.mark.parametrize("purpose", ["train", "score", "both"])
@pytest.mark.parametrize(("change", "matters_for"), CHANGES, ids=[str(change) for change, _ in CHANGES])
def test_a_key_changes_with_what_matters_and_with_nothing_else(keyed, purpose, change, matters_for):
    base = {name: change[name] for name in ("flow_pair", "flow_scale") if name in change and len(change) > 1}
    assert (keyed(purpose, **base) != keyed(purpose, **change)) == (purpose in matters_for.split())


def test_labels_matter_to_training_rows_only(keyed):
    for purpose in ("train", "both"):
        assert keyed(purpose) != keyed(purpose, intervals=((3, 10),))
        assert keyed(purpose, intervals=None) != keyed(purpose, intervals=())
    assert keyed("score") == keyed("score", intervals=((3, 10),)) == keyed("score", intervals=None)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_irrelevant_numbers_never_change_a_key(keyed, seed, alpha):
    assert keyed(seeds=[seed], hard_mining_alpha=alpha, world_seed=seed) == keyed()


def test_new_labels_reach_old_scoring_samples(tmp_path, tiny_video):
    path = tiny_video(frames=60)
    config = quick(tmp_path)
    (before,), _ = extract([video_at(path, "Assault", ((0, 15),), "test")], config)
    (after,), _ = extract([video_at(path, "Assault", ((30, 60),), "test")], config)
    assert before.digest == after.digest
    assert before.labels.tolist() == [1, 1, 0, 0, 0, 0] and after.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_changed_file_at_the_same_place_is_sampled_again(tmp_path, tiny_video):
    config = quick(tmp_path)
    (one,), _ = extract([video_at(tiny_video("a.mp4", frames=40))], config)
    shutil.copy(tiny_video("b.mp4", frames=70), tmp_path / "a.mp4")
    (two,), _ = extract([video_at(tmp_path / "a.mp4")], config)
    assert one.digest != two.digest and two.frames == 70


def test_real_fights_have_persons_and_moving_pictures(tmp_path, shared):
    folder = shared("data/fights")
    config = quick(
        tmp_path, detector_weights=str(shared("weights/yolov8n_int8.onnx")), image_size=160, analysis_fps=2.0
    )
    videos = [
        Video(name, folder / f"fight/{name}.mp4", "Fighting", "test", "source", None) for name in ("fi002", "fi004")
    ]
    found, problems = extract(videos, config)
    assert [one.video.name for one in found] == ["fi002", "fi004"] and not any(problem.left_out for problem in problems)
    for one in found:
        assert (one.bags[:, 0] >= 1).mean() > 0.5 and (one.bags == one.bags.round()).all()
        assert (one.labels == 1).all()
        flows = one.images("flow", range(1, len(one)))
        assert (flows.reshape(len(flows), -1).max(axis=1) > 100).all()
        assert (one.images("frame", range(len(one))).reshape(len(one), -1).std(axis=1) > 10).all()


def test_a_real_street_is_sampled_over_its_whole_length(tmp_path, shared):
    config = quick(tmp_path, analysis_fps=0.5)
    (found,), _ = extract([video_at(shared("data/street/vtest.avi"), split="test")], config)
    assert found.fps == 10.0 and found.frames == 795
    assert found.index.tolist() == list(range(0, 795, 20))
    assert found.images("frame", [0, len(found) - 1]).std() > 10


@pytest.mark.parametrize("part_frames", [1, 7, 20])
@pytest.mark.parametrize("flow_pair", ["grid", "sampled", "gap"])
def test_a_long_video_in_parts_gives_the_samples_of_one_pass(tmp_path, tiny_video, monkeypatch, flow_pair, part_frames):
    video = video_at(tiny_video("a.mp4", frames=45, fps=30), "Assault", ((12, 33),), split="all")
    config = quick(tmp_path, flow_pair=flow_pair)
    (whole,), _ = extract([video], config)
    in_parts(monkeypatch, part_frames)
    (parts,), problems = extract([video], config)
    assert problems == [] and len(parts.folders) == round(45 / part_frames)
    assert_same_samples(parts, whole)


def test_parts_of_a_video_of_variable_rate(tmp_path, monkeypatch):
    """Frames stand for several ticks each: a part is of whole frames."""
    stamps = [n if n < 20 else 20 + 5 * (n - 20) for n in range(40)]
    video = video_at(write_lossless(tmp_path / "v.mkv", stamps, moving_square(40)), split="all")
    config = quick(tmp_path)
    (whole,), _ = extract([video], config)
    in_parts(monkeypatch, 9)
    (parts,), _ = extract([video], config)
    assert whole.times is not None and len(parts.folders) > 1
    assert_same_samples(parts, whole)


def in_parts(monkeypatch, frames: int) -> None:
    monkeypatch.setattr(module, "WORTH_PARTS", 0)
    monkeypatch.setattr(module, "PART_FRAMES", frames)


def assert_same_samples(one: Samples, other: Samples) -> None:
    for name in ("index", "flow_from", "labels"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    rows = np.random.default_rng(0).permutation(len(other))
    for stream in other.streams:
        assert np.array_equal(one.images(stream, rows), other.images(stream, rows))
    assert one.digest != other.digest
