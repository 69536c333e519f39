"""What a system was trained on, and whether a picture is like that: held-out videos are, another world is not."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import write_video
from tiny import LIVE_FPS, live_config, live_corpus
from toys import call

from vadkit.core.store import Store
from vadkit.live import familiarity
from vadkit.live.familiarity import Familiarity, familiarity_of, fitted, remember, usual_distances
from vadkit.live.score import describe, score
from vadkit.systems import runner
from vadkit.systems.record import find_model, save_models

pytestmark = pytest.mark.usefixtures("one_thread")


def world(rng: np.random.Generator, videos: int, shift: float = 0.0) -> list[np.ndarray]:
    """Features of videos that vary in ten of forty directions, each video about a place of its own."""
    base = np.random.default_rng(0).normal(size=(10, 40))
    return [
        ((rng.normal(size=10) + 0.3 * rng.normal(size=(20, 10))) @ base + shift).astype(np.float32)
        for _ in range(videos)
    ]


def test_held_out_videos_are_known_and_another_world_is_not():
    rng = np.random.default_rng(1)
    training = world(rng, 60)
    usual = usual_distances(training, [f"s{n // 2}" for n in range(60)])
    assert len(usual) == 60 and (np.diff(usual) >= 0).all()
    space = fitted(training)
    unlike = []
    for video in [*world(rng, 20), *world(rng, 20, shift=3.0)]:
        known = Familiarity("note", usual, space)
        for n, one in enumerate(video):
            known.see(one, float(n))
        unlike.append(known.unlike)
    assert sum(unlike[:20]) <= 1 and all(unlike[20:])


def test_a_source_is_held_out_whole_and_a_single_one_is_no_measure():
    training = world(np.random.default_rng(2), 12)
    twice = [video for video in training for _ in range(2)]
    apart = usual_distances(twice, [f"s{n // 2}" for n in range(24)])
    together = usual_distances(twice, [f"s{n}" for n in range(24)])
    assert np.median(together) < np.median(apart)
    assert len(usual_distances(training, ["one"] * 12)) == 0


def test_the_verdict_comes_once_after_the_first_minute():
    training = world(np.random.default_rng(3), 20)
    known = Familiarity("note", usual_distances(training, list(map(str, range(20)))), fitted(training))
    said = [known.see(training[0][0] + 9, time_s) for time_s in np.arange(0, 120, 0.5)]
    [verdict] = [one for one in said if one]
    assert said.index(verdict) == 120 and len(known.distances) == 121
    assert verdict.startswith("this picture is unlike anything this system was trained on (median distance ")
    assert "99 % of 20 held-out training videos lie below" in verdict
    unmeasured = Familiarity("note", np.empty(0), {})
    assert unmeasured.see(training[0][0], 99.0) is None and not unmeasured.unlike


@pytest.fixture(scope="module")
def trained(one_thread, tmp_path_factory):
    """Of two systems that see the same, one of segments, one with tuned networks, one recorded without."""
    root = tmp_path_factory.mktemp("familiarity")
    corpus = live_corpus(root)
    for profile, changes, systems in (
        ("plain", {}, ("2S-no-bag", "MIL learner")),
        ("tuned", {"finetune_epochs": 1, "finetune_lr": 1e-3}, ("1S-no-bag",)),
        ("before", {"head_width": 9}, ("1S-no-bag",)),
    ):
        for system in systems:
            run = runner.run(live_config(root, profile, **changes), corpus, system)
            save_models(run)
            if profile != "before":
                remember(run)
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 64, 3), dtype=np.uint8)
    write_video(root / "noise.mp4", noise, LIVE_FPS)
    return root, corpus


@pytest.mark.parametrize("system", ["2S-no-bag", "MIL learner"])
def test_scoring_says_it_before_the_verdict(trained, system):
    root, _ = trained
    model = find_model(root / "outputs" / "plain", system)
    known = familiarity_of(model)
    assert known.note.startswith(f"{system} was trained on 4 ") and len(known.usual) == 4
    verdict = score(root / "noise.mp4", model)
    assert verdict.unlike == describe(verdict, model)[-2] and "unlike anything" in verdict.unlike
    assert known.note in verdict.notes
    assert not score(root / "v6.mp4", model).unlike


def test_what_sees_the_same_is_measured_once(trained, monkeypatch):
    root, corpus = trained
    config = live_config(root, "plain")
    entries = [*(Store(config.cache_dir).root / familiarity.KIND).iterdir()]
    monkeypatch.setattr(familiarity, "_build", lambda *_: pytest.fail("measured again"))
    wider = config.model_copy(update={"head_width": 10})
    remember(runner.run(config, corpus, "2S-no-bag"), runner.run(wider, corpus, "2S-no-bag"))
    assert [*(Store(config.cache_dir).root / familiarity.KIND).iterdir()] == entries


def test_of_tuned_networks_the_note_alone_is_said(trained):
    root, _ = trained
    known = familiarity_of(find_model(root / "outputs" / "tuned", "1S-no-bag"))
    assert "short clips of Fighting and normal ones" in known.note and len(known.usual) == 0


def test_a_run_recorded_before_says_so_in_one_line(trained, capsys):
    root, _ = trained
    folder = str(root / "outputs" / "before")
    assert familiarity_of(find_model(folder, "1S-no-bag")) is None
    code, out, _ = call(capsys, "score", str(root / "v6.mp4"), "--run", folder, "--system", "1S-no-bag")
    assert code == 0 and out.count("note: 1S-no-bag was recorded before vadkit kept what a system was trained on") == 1
