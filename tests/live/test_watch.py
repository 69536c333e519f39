"""Watching cameras: events of what they show, one lost without the others, the score in real time, a clean end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import moving_square, write_video
from streams import camera
from tiny import LIVE_FPS, live_config, live_corpus
from toys import call

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.evaluation.sas import sigmoidal_anomaly_score
from vadkit.live import events, source
from vadkit.live import watch as module
from vadkit.live.analysers import analysers_of, look_together
from vadkit.live.analysers.base import Analyser
from vadkit.live.calibration import Calibration, write
from vadkit.live.events import read_events
from vadkit.live.watch import Screen, at_rate, watch
from vadkit.systems import runner
from vadkit.systems.base import find_system
from vadkit.systems.record import TrainedModel, find_model, save_models
from vadkit.views.sampling import stride_frames

PATIENCE = 120.0
TRAINED = TrainedModel(Config(), Path("model"), find_system("2S-no-bag"), 0, 0, 1, False)


class Brightness(Analyser):
    """Is confident where the picture is bright."""

    def wants(self, tick):
        return tick % stride_frames(self.fps, self.config.analysis_fps) == 0

    def seeing(self, tick, frame, number, again):
        yield from ()
        if again or not self.wants(tick):
            return None
        self.analysed += 1
        return self._reading(tick, 0.95 if frame.mean() > 130 else 0.05)

    def features_of(self, rows):
        raise AssertionError("it has no networks")


@pytest.fixture
def bright(monkeypatch):
    """Cameras are judged by their brightness, lost and quiet soon."""
    monkeypatch.setattr(module, "analysers_of", lambda trained, config, endless: lambda fps: Brightness(config, fps))
    monkeypatch.setattr(events, "QUIET_SECONDS", 1.0)
    for name in ("STALL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(source, name, {"STALL_SECONDS": 1.5, "RETRY_SECONDS": (0.2,)}[name])
    monkeypatch.setattr(module, "STALL_SECONDS", 1.5)


class Page:
    def __init__(self):
        self.shown, self.events = [], []

    def show(self, camera, jpeg, reading):
        self.shown.append((camera, jpeg, reading))

    def event(self, event):
        self.events.append(event)


class Until:
    """Stops a watch once `enough()` holds; a test that waits in vain fails."""

    def __init__(self, enough):
        self.enough, self.began = enough, time.monotonic()

    def __call__(self) -> bool:
        assert time.monotonic() - self.began < PATIENCE, "what was waited for did not come"
        return self.enough()


def test_what_a_camera_shows_becomes_an_event_and_the_end_is_clean(bright, tmp_path):
    said, page = [], Page()
    plan = [{"seconds": 3}, {"seconds": 3, "bright": True}, {"seconds": 60}]
    with camera(plan) as address:
        ended = watch(
            [address], TRAINED, tmp_path, page=page, say=said.append, stopped=Until(lambda: len(page.events) == 2)
        )
    (event,) = read_events(tmp_path)
    assert ended == "user" and event["state"] == "closed" and event["camera"] == address
    assert event["peak"] > 0.5 and event["confidence"] == 0.95 and event["clip"] and event["snapshot"]
    assert 0.9 < event["start_s"] and event["end_s"] - event["start_s"] < 5
    names, jpegs, readings = zip(*page.shown, strict=True)
    assert {*names} == {address} and jpegs[0][:2] == b"\xff\xd8"
    wanted = {"time_s", "confidence", "sas", "alarm", "fps", "lag_s", "dropped", "connected", "notes", "boxes"}
    assert readings[-1].keys() == wanted and readings[-1]["connected"]
    assert sum("ALARM" in text for text in said) == 1 == sum("alarm over" in text for text in said)


def test_an_end_by_hand_closes_what_is_open(bright, tmp_path):
    page = Page()
    with camera([{"seconds": 60, "bright": True}]) as address:
        watch([address], TRAINED, tmp_path, page=page, say=print, stopped=Until(lambda: len(page.events) == 1))
    (event,) = read_events(tmp_path)
    assert event["state"] == "closed" and event["notes"][-1] == "closed at the end of the watch"
    assert (tmp_path / event["clip"]).is_file() and not list(tmp_path.rglob(".*"))


def test_a_camera_that_is_lost_in_an_alarm_comes_back(bright, tmp_path):
    said, page = [], Page()
    plan = [
        {"seconds": 3, "bright": True},
        "cut",
        {"seconds": 5, "bright": True, "width": 96, "height": 64},
        {"seconds": 60},
    ]
    with camera(plan) as address:
        watch([address], TRAINED, tmp_path, page=page, say=said.append, stopped=Until(lambda: len(page.events) == 4))
    first, second = read_events(tmp_path)
    assert "the camera was lost" in first["notes"][-1] and first["state"] == second["state"] == "closed"
    assert second["start_s"] > first["end_s"] and first["clip"] and second["clip"]
    assert sum("was lost" in text for text in said) == 1 == sum(": back after" in text for text in said)
    assert False in [reading["connected"] for _, _, reading in page.shown]


def test_a_camera_that_is_not_there_does_not_stop_the_others(bright, tmp_path):
    said, page = [], Page()
    path = write_video(tmp_path / "v.mp4", [np.full((48, 64, 3), 200, np.uint8)] * 90, 30.0)
    sources = ["http://127.0.0.1:9/x", str(path), str(path)]
    ended = Until(lambda: len(page.events) == 4)
    assert watch(sources, TRAINED, tmp_path / "out", page=page, say=said.append, stopped=ended) == "user"
    assert {event["camera"] for event in read_events(tmp_path / "out")} == {"v.mp4 (1)", "v.mp4 (2)"}
    assert sum("does not open" in text for text in said) == 1
    assert len({event["id"] for event in page.events}) == 2


def test_files_end_a_watch(bright, tmp_path):
    path = write_video(tmp_path / "v.mp4", moving_square(20), 30.0)
    assert watch([str(path)], TRAINED, tmp_path / "out", say=print) == "source"
    assert read_events(tmp_path / "out") == [] and (tmp_path / "out" / "events.jsonl").read_text() == ""


def test_what_a_system_was_trained_on_is_said_before_anything_else(bright, tmp_path):
    path, said = write_video(tmp_path / "v.avi", moving_square(30)), []
    known = SimpleNamespace(note="trained on drawings", see=lambda features, time_s: None)
    watch([str(path)], TRAINED, tmp_path / "out", familiarity=lambda: known, say=said.append)
    assert said[0] == "note: trained on drawings"
    said.clear()
    watch([str(path)], TRAINED, tmp_path / "out", familiarity=lambda: None, say=said.append)
    assert "was recorded before vadkit kept what a system was trained on" in said[0]


def test_the_status_is_a_line_a_camera(bright, tmp_path):
    shown, path = [], write_video(tmp_path / "v.mp4", moving_square(75), 30.0)
    watch(
        [str(path), "http://127.0.0.1:9/x"],
        TRAINED,
        tmp_path / "out",
        say=print,
        show=shown.append,
        stopped=lambda: shown[1:],
    )
    first, second = shown[-1]
    assert first.startswith("v.mp4: ") and "frames a second, lag 0." in first and first.endswith("quiet")
    assert second == "http://127.0.0.1:9/x: waiting for its first frame"


def test_a_screen_that_is_no_terminal_is_left_alone(capsys):
    screen = Screen(print)
    screen.show(["a", "b"])
    screen.say("said")
    assert capsys.readouterr().out == "said\n"


def test_what_is_said_stands_above_the_status(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    screen = Screen(print)
    screen.show(["a", "b"])
    screen.say("said")
    assert capsys.readouterr().out == "a\nb\n\x1b[2A\x1b[Jsaid\n"


def test_a_picture_that_stands_still_is_said(bright, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FROZEN_SECONDS", 1.0)
    said, path = [], write_video(tmp_path / "v.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 75, 30.0)
    watch([str(path)], TRAINED, tmp_path / "out", say=said.append)
    assert sum("has not changed for 1 s" in text for text in said) == 1


# --- the score in real time -------------------------------------------------------------------------------------------


def scores(times, confidences, fps=30.0) -> list[float]:
    analyser = Brightness(Config(), fps)
    analyser.nominal_s = stride_frames(fps, 3.0) / fps
    found = []
    for value, at in zip(confidences, times, strict=True):
        analyser._time_s = at
        found.append(analyser._reading(0, value).sas)
    return found


def test_at_a_steady_three_a_second_the_score_is_the_papers():
    confidence = np.random.default_rng(0).random(60)
    for fps in (30.0, 25.0):
        steady = np.arange(60) * stride_frames(fps, 3.0) / fps
        assert np.allclose(scores(steady, confidence, fps), sigmoidal_anomaly_score(confidence), atol=1e-9)


def test_at_another_rate_and_with_frames_missing_it_moves_as_fast():
    slow, fast = np.arange(12) / 3, np.arange(0, 4, 1 / 9)
    assert scores(slow, [0.8] * 12)[-1] == pytest.approx(scores(fast, [0.8] * 36)[34], abs=1e-6)
    kept = [0, 1, 2, 5, 6, 8, 11]
    assert scores(slow[kept], [0.8] * 7)[-1] == pytest.approx(scores(slow, [0.8] * 12)[-1])
    silent = scores([0.0, 60.0], [0.8, 0.8])  # a frame after a minute is no minute of evidence
    assert silent[-1] == pytest.approx(scores([0, 1.0], [0.8, 0.8])[-1])


def test_through_a_stream_of_dropped_frames_the_ticks_are_those_of_the_time():
    whole, holes = Brightness(Config(), 30.0), Brightness(Config(), 30.0)
    image = np.full((4, 4, 3), 200, np.uint8)
    for analyser in (whole, holes):
        analyser.nominal_s = 1 / 3
    last = [whole.look(n, image, n / 30) for n in range(91)][-1]
    seen = [holes.look(n, image, n / 30) for n in range(91) if n % 7 == 0 or n == 90]
    assert seen[-1].sas == pytest.approx(last.sas)


# --- one model for all, at any rate -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(one_thread, tmp_path_factory):
    """A run of a two-stream system on eight tiny videos."""
    root = tmp_path_factory.mktemp("watch")
    save_models(runner.run(live_config(root, "grid"), live_corpus(root), "2S-no-bag"))
    return root, find_model(root / "outputs" / "grid", "2S-no-bag")


def test_what_cameras_read_together_is_what_each_reads_alone(trained):
    _, model = trained
    make = analysers_of(model, model.config, endless=True)
    images = moving_square(30), [255 - image for image in moving_square(30)]
    alone, together = [make(LIVE_FPS) for _ in images], [make(LIVE_FPS) for _ in images]
    asked = []
    real, together[0].features_of = together[0].features_of, lambda rows: asked.append(len(rows)) or real(rows)
    for number, pair in enumerate(zip(*images, strict=True)):
        apart = [one.look(number, image, number / LIVE_FPS) for one, image in zip(alone, pair, strict=True)]
        steps = [one.looking(number, image, number / LIVE_FPS) for one, image in zip(together, pair, strict=True)]
        for one, other in zip(apart, look_together(together, steps), strict=True):
            assert (one is None) == (other is None)
            assert one is None or one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert {*asked} == {2} and together[1].seconds["backbone"] > 0


def test_at_another_rate_the_flow_spans_the_same_time(trained):
    _, model = trained
    config = at_rate(model, model.config, 6.0)
    assert (config.analysis_fps, config.flow_pair, config.flow_gap_seconds) == (6.0, "gap", 0.25)
    made = {rate: analysers_of(model, one, endless=True)(LIVE_FPS) for rate, one in ((4, model.config), (6, config))}
    found = {4: {}, 6: {}}
    for number, image in enumerate(moving_square(40)):
        for rate, analyser in made.items():
            if reading := analyser.look(number, image, number / LIVE_FPS):
                found[rate][number] = reading.confidence
    both = found[4].keys() & found[6].keys()
    assert len(found[6]) == 20 and len(both) >= 6
    assert all(found[4][n] == pytest.approx(found[6][n], abs=1e-5) for n in both)
    assert at_rate(model, model.config, None) is model.config


def test_a_system_that_cannot_look_at_another_rate_says_so():
    learner = TrainedModel(Config(), Path("model"), find_system("MIL learner"), 0, 0, 1, False)
    with pytest.raises(ConfigError, match="analysis_fps: MIL learner scores as it was trained"):
        at_rate(learner, learner.config, 5.0)


def test_a_trained_system_watches_and_points_at_its_alarm(trained, tmp_path, monkeypatch):
    root, model = trained
    monkeypatch.setattr(events, "QUIET_SECONDS", 1.0)
    config = model.changed({"sas_tau": 0.01, "sas_reactivity": 20.0})
    watch([str(root / "v7.mp4")], model, tmp_path, config=config, say=print)
    (event,) = read_events(tmp_path)
    assert (event["system"], event["run"], event["threshold"]) == ("2S-no-bag", "grid", 0.01)
    x1, y1, x2, y2 = event["box"] or (0, 0, 64, 48)  # of random weights, nothing may speak for an anomaly
    assert 0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 48 and (tmp_path / event["snapshot"]).is_file()


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_how_it_ended(bright, trained, tmp_path, capsys, monkeypatch):
    root, _ = trained
    run = ["--run", str(root / "outputs" / "grid"), "--system", "2S-no-bag", "--folder", str(tmp_path)]
    code, out, _ = call(capsys, "watch", str(root / "v6.mp4"), *run)
    assert code == 0 and "2S-no-bag seed 0 watches v6.mp4" in out and out.splitlines()[-1] == "every source is over"
    code, _, err = call(capsys, "watch", str(root / "none.mp4"), *run)
    assert code == 2 and "no such file" in err
    code, _, err = call(capsys, "watch", "/dev/video0", *run)
    assert code == 2 and "a camera is given by its number, 0" in err
    code, _, err = call(capsys, "watch", str(root / "v6.mp4"), *run, "--serve", "here")
    assert code == 2 and "expected HOST:PORT" in err
    monkeypatch.setattr(module, "watch", lambda *args, stopped, **given: "user")
    code, out, _ = call(capsys, "watch", str(root / "v6.mp4"), *run)
    assert code == 130 and out.splitlines()[-1] == "ended by hand"


def test_the_command_takes_a_named_cameras_calibration(trained, tmp_path, capsys, monkeypatch):
    root, _ = trained
    run, given = root / "outputs" / "grid", {}
    model = find_model(run, "2S-no-bag")
    tuned = Calibration(0.9, "from a quiet day", model.path.name, 3, 0)
    write(run, "door", tuned)
    monkeypatch.setattr(module, "watch", lambda *args, **more: given.update(more) or "source")
    call(
        capsys,
        "watch",
        f"door={root / 'v6.mp4'}",
        "--run",
        str(run),
        "--system",
        "2S-no-bag",
        "--folder",
        str(tmp_path),
    )
    assert given["calibrations"] == {"door": tuned}


def test_a_file_that_breaks_off_is_an_error(bright, tmp_path):
    whole = write_video(tmp_path / "v.avi", moving_square(60), 30.0)
    (tmp_path / "cut.avi").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError, match="cut.avi"):
        watch([str(tmp_path / "cut.avi")], TRAINED, tmp_path / "out", say=print)
