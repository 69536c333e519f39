"""oracle-I3D and ws-I3D on a tiny corpus: who learns from which boxes, and that test videos' boxes decide nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.corpora.video import Corpus, Video
from vadkit.systems import runner, trainer
from vadkit.systems.base import Task, find_system, plan_folds, sides_of
from vadkit.systems.runner import score_videos
from vadkit.systems.tubes import halves_of, taken

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES, HARD = 24, (8, 20)


def film(number: int, anomalous: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(number)
    ground, thing = rng.integers(60, 90, (48, 64, 3), dtype=np.uint8), rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)
    images = []
    for k in range(FRAMES):
        image = ground.copy()
        x = (3 * k if anomalous and HARD[0] <= k < HARD[1] else k) % 50
        image[20:30, x : x + 10] = thing
        images.append(image)
    return images


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Eight training videos of four sources, two validation and two test videos; boxes of another size in each."""
    folder, videos = tmp_path_factory.mktemp("tubes"), []
    for number in range(12):
        anomalous, split = number % 2 == 1, "train" if number < 8 else "val" if number < 10 else "test"
        name = f"Assault{number:03d}" if anomalous else f"Normal_Videos{number:03d}"
        boxes = None
        if anomalous:
            boxes = folder / f"{name}.txt"
            boxes.write_text(
                "".join(
                    f'0 10 10 {30 + number} {30 + number} {k} {int(not HARD[0] <= k < HARD[1])} 0 0 "Assault"\n'
                    for k in range(FRAMES)
                )
            )
        path = write_video(folder / f"{name}.mp4", film(number, anomalous), fps=10)
        videos.append(
            Video(
                name,
                path,
                "Assault" if anomalous else "Normal",
                split,
                f"camera{number // 2}",
                (HARD,) if anomalous else (),
                boxes,
            )
        )
    return Corpus("tiny", tuple(videos))


def make(root: Path, **changes) -> Config:
    values = dict(
        cache_root=str(root / "cache"),
        workers=1,
        seeds=[0],
        head_width=8,
        head_lr=3e-3,
        finetune_epochs=0,
        bootstrap_resamples=20,
        clip_frames=8,
        clip_shift_anomalous=2,
        clip_shift_normal=3,
        clip_width=0.125,
        i3d_size=32,
        i3d_rgb_weights="random",
        i3d_flow_weights="random",
    )
    return Config(**{**values, **changes})


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shared-cache")


def changed(corpus: Corpus, names: set[str], folder: Path) -> Corpus:
    """The same videos with other boxes, at the same frames, in those named."""
    videos = []
    for video in corpus.videos:
        if video.name in names:
            other = folder / f"{video.name}.txt"
            other.write_text(video.boxes_path.read_text().replace(" 10 10 ", " 2 2 "))
            video = replace(video, boxes_path=other)
        videos.append(video)
    return Corpus(corpus.name, tuple(videos))


def names_of(samples) -> set[str]:
    return {one.video.name for one in samples}


@pytest.mark.parametrize("name", ["full-I3D", "oracle-I3D", "ws-I3D"])
def test_each_system_scores_the_whole_test_list(corpus, root, name):
    """With weights of no training, so what is shown is that everything fits together."""
    config = make(root)
    run = runner.run(config, corpus, name)
    (seed,) = run.seeds
    assert [one.name for one in seed.scores] == [v.name for v in corpus.of("test")] and not [
        p for p in run.problems if p.left_out
    ]
    assert all(
        len(one.index) == 8 and len(set(one.confidence[:4])) == len(set(one.confidence[4:])) == 1 for one in seed.scores
    )  # a clip for four analysed frames
    assert len(seed.histories[0]) == 5 and seed.folds[0].facts["training_samples"] > 10  # the epochs of 2S-bag-ha-no-es
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train", lambda *a, **k: trained.append(1))
        again = runner.run(config, corpus, name)
    assert not trained and all(
        np.array_equal(a.confidence, b.confidence) for a, b in zip(seed.scores, again.seeds[0].scores, strict=True)
    )


@pytest.mark.parametrize("name", ["oracle-I3D", "ws-I3D"])
def test_boxes_of_test_videos_change_nothing(corpus, root, tmp_path, name):
    config = make(root)
    other = changed(corpus, {v.name for v in corpus.of("test") if v.label}, tmp_path)
    a, b = (runner.run(config, videos, name).seeds[0] for videos in (corpus, other))
    assert a.model_paths == b.model_paths and all(
        np.array_equal(x.confidence, y.confidence) for x, y in zip(a.scores, b.scores, strict=True)
    )
    without = Corpus(
        "tiny",
        tuple(
            replace(v, boxes_path=None, intervals=((0, 3),)) if v.split == "test" and v.label else v
            for v in corpus.videos
        ),
    )
    c = runner.run(config, without, name).seeds[0]
    assert a.model_paths == c.model_paths and all(
        np.array_equal(x.confidence, y.confidence) for x, y in zip(a.scores, c.scores, strict=True)
    )


def test_no_oracle_sees_the_half_that_it_searches(corpus, root, monkeypatch):
    asked = []

    train = runner.train

    def spy(tasks, progress=None):
        asked.extend((task.system.name, (task.train, task.val, task.test)) for task in tasks)
        return train(tasks, progress)

    monkeypatch.setattr(runner, "train", spy)
    runner.run(make(root), corpus, "ws-I3D")
    sources = [[{one.video.source for one in side} for side in sides] for _, sides in asked]
    assert [name for name, _ in asked] == ["oracle-I3D", "oracle-I3D", "ws-I3D"]
    asked.pop(), sources.pop()
    for (train, _, searched), (_, sides) in zip(sources, asked, strict=True):
        assert searched and not train & searched
        assert {one.kind for one in sides[0]} == {"boxes", "normal"} and {one.kind for one in sides[2]} == {"search"}
        assert not names_of([*sides[0], *sides[2]]) & {v.name for v in corpus.of("test")}
    assert (
        sources[0][2] == {v.source for v in corpus.of("train", "val") if v.label} - sources[1][2]
    )  # every video is searched once


def test_boxes_of_a_video_do_not_decide_what_is_found_in_it(corpus, root, tmp_path):
    """What is found in a half depends on the other half's boxes alone."""
    config, system = make(root), find_system("ws-I3D")
    training = corpus.of("train", "val")
    halves = halves_of(training)
    assert sorted(halves.values()).count(1) in (4, 6)
    for half in (0, 1):
        mine = {v.name for v in training if halves[v.name] == half and v.label}
        found = []
        for videos in (corpus, changed(corpus, mine, tmp_path)):
            (fold,) = plan_folds(config, videos, 0, early_stopping=False)
            task = Task(config, system, 0, *sides_of(fold, system.material(config, videos).views))
            task = system.resampled(task, videos)
            found.append({one.video.name: one for one in task.train if one.video.label})
        for name in mine:
            a, b = (one[name] for one in found)
            assert np.array_equal(a.windows[a.taken], b.windows[b.taken]) and np.array_equal(
                a.ends[a.taken], b.ends[b.taken]
            )


def test_found_are_the_surest_clips_each_with_its_best_window(corpus, root):
    config = make(root, tube_windows=2)
    material = find_system("ws-I3D").material(config, corpus)
    one = material.views["Assault001"]
    assert one.kind == "search" and len(one) > len(set(one.ends))
    confidence = np.linspace(0.1, 0.6, len(one))
    found = taken(one, confidence, 0.5)
    clips = np.unique(one.ends)
    assert len(found.taken) == round(0.5 * len(clips)) and len(set(found.ends[found.taken])) == len(found.taken)
    assert set(found.ends[found.taken]) == set(clips[-len(found.taken) :]) and found.labels.all()
    for row in found.taken:
        assert confidence[row] == confidence[one.ends == one.ends[row]].max()
    assert (
        np.array_equal(found.rows("train", config, hard_only=True), found.taken)
        and len(taken(one, confidence, 0.0).taken) == 1
    )


def test_normal_tubes_have_the_sizes_of_the_annotated_ones_of_their_half(corpus, root):
    material = find_system("oracle-I3D").material(make(root), corpus)
    halves = halves_of(corpus.of("train", "val"))

    def sides(label: int, half: int) -> set[int]:
        return {
            int(max(w[2] - w[0], w[3] - w[1]))
            for name, half_of in halves.items()
            for w in material.views[name].windows
            if half_of == half and material.views[name].video.label == label
        }

    for half in (0, 1):
        assert sides(0, half) <= sides(1, half)
    tested = {int(max(w[2] - w[0], w[3] - w[1])) for v in corpus.of("test") for w in material.views[v.name].windows}
    assert len(tested) == 1 and min(sides(1, 0) | sides(1, 1)) <= tested.pop() <= max(sides(1, 0) | sides(1, 1))


def test_videos_without_boxes_are_named_or_searched(corpus, tmp_path, root):
    some = Corpus("tiny", tuple(replace(v, boxes_path=None) if v.name == "Assault003" else v for v in corpus.videos))
    config = make(root)
    material = find_system("oracle-I3D").material(config, some)
    (problem,) = [p for p in material.problems if p.left_out]
    assert (
        "Assault003 has no boxes" in problem.what
        and "Assault003.txt" in problem.what
        and "Assault003" not in material.views
    )
    weak = find_system("ws-I3D").material(config, some)
    assert weak.views["Assault003"].kind == "search" and not [p for p in weak.problems if p.left_out]
    with pytest.raises(DataError, match="Assault003 has no boxes"):
        find_system("oracle-I3D").material(config.model_copy(update={"strict": True}), some)


def test_a_corpus_without_boxes_says_so(corpus, tmp_path):
    none = Corpus("bare", tuple(replace(v, boxes_path=None) for v in corpus.videos))
    config = make(tmp_path)
    assert not find_system("oracle-I3D").lacking(
        config, corpus
    ) and "none of the 5 anomalous training videos of bare has a Vatic file" in find_system("oracle-I3D").lacking(
        config, none
    )
    for name in ("oracle-I3D", "ws-I3D"):
        with pytest.raises(DataError, match=rf"{name}: .*boxes"):
            runner.run(config, none, name)
    folds = make(tmp_path, corpus="folder", data_root=".", split="grouped_cv", folds=2)
    assert "labels of whole clips" in find_system("oracle-I3D").lacking(folds, none)
    with pytest.raises(DataError, match="leave oracle-I3D out"):
        runner.run(folds, none, "oracle-I3D")


def test_a_half_that_cannot_train_an_oracle_is_an_error(corpus, root):
    one_source = Corpus("tiny", tuple(v for v in corpus.videos if v.split == "test" or v.source == "camera0"))
    with pytest.raises(DataError, match="half 2 has no normal video and no anomalous video with boxes"):
        runner.run(make(root), one_source, "ws-I3D")


def test_other_videos_are_scored_by_systems_on_whole_frames_only(corpus, root):
    run = runner.run(make(root), corpus, "oracle-I3D")
    with pytest.raises(ConfigError, match="Score other videos with full-I3D"):
        score_videos(run, corpus.of("test"))
