"""A camera's threshold from normal footage of it: quiet afterwards, honest about what it rests on, stored whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import moving_square, write_video
from scipy.special import expit
from tiny import LIVE_FPS, live_config, live_corpus, rows
from toys import call

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError
from vadkit.evaluation.sas import at_level, sigmoidal_anomaly_score
from vadkit.live import calibration
from vadkit.live.analysers import make_analyser
from vadkit.live.calibration import calibrated, chosen, most_an_hour, openings, replayed, write
from vadkit.live.source import names_of
from vadkit.systems import runner
from vadkit.systems.record import find_model, save_models

CONFIG, STEP = Config(), 1 / 3


def footage(minutes: float, mean: float, seed: int, spread: float = 1.0) -> np.ndarray:
    """Confidences of a camera whose logits wander about a mean, with a memory of seconds."""
    noise, found = np.random.default_rng(seed).normal(size=round(180 * minutes)), [0.0]
    for one in noise:
        found.append(0.9 * found[-1] + 0.436 * one)
    return expit(mean + spread * np.array(found[1:])).astype(np.float32).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_a_camera_that_is_always_in_alarm_is_quiet_for_the_next_ten_minutes(seed):
    found = chosen(footage(10, 4, seed), STEP, CONFIG, 0.1)
    level = np.log(found.tau / (1 - found.tau))
    later = replayed(footage(10, 4, 100 + seed), CONFIG, level)
    assert openings(later) == 0 and (replayed(footage(10, 4, 100 + seed), CONFIG) > 0.5).mean() > 0.9
    event = np.concatenate([footage(1, 4, seed), expit(np.full(30, level + 3))])
    assert openings(replayed(event, CONFIG, level)) == 1
    assert "blind" not in found.note and found.alarms == 0 and found.alarms_before >= 1


def test_a_quiet_camera_keeps_the_threshold_of_training():
    found = chosen(footage(10, -5, 0), STEP, CONFIG, 0.1)
    assert found.tau == CONFIG.sas_tau and found.alarms_before == found.alarms == 0


def test_more_false_alarms_wanted_give_a_lower_threshold():
    rates = [chosen(footage(10, 3, 1), STEP, CONFIG, rate).tau for rate in (0.01, 1, 60)]
    assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1]


def test_what_it_rests_on_is_said():
    found = chosen(footage(10, 4, 0), STEP, CONFIG, 0.1)
    assert most_an_hour(0, 1 / 6) == pytest.approx(18, abs=0.1)
    for said in ("10.0 min", "none in the 3.3 min kept apart", "below 54 an hour with 95 %", "by extrapolation"):
        assert said in found.note
    [needed] = map(float, re.findall(r"confidences of ([0-9.]+) for 10 s \(30 analysed frames\)", found.note))
    assert 0.98 < needed < 1
    # the confidence that is named does raise an alarm in that time, and none much below it
    level = np.log(found.tau / (1 - found.tau))
    for confidence, alarmed in (((1 + needed) / 2, True), (found.tau, False)):
        assert (replayed(np.full(31, confidence), CONFIG, level)[-1] > 0.5) == alarmed


def test_a_threshold_that_does_not_hold_is_chosen_anew_and_that_is_said():
    calm, wild = footage(7, 0, 0, spread=0.2), footage(3, 4, 0)
    found = chosen(np.concatenate([calm, wild]), STEP, CONFIG, 0.1)
    assert found.alarms > 0 and "chosen anew on all of it, which nothing checks" in found.note
    assert openings(replayed(wild, CONFIG, np.log(found.tau / (1 - found.tau)))) == 0


def test_a_blind_system_is_called_blind_and_one_that_cannot_be_quiet_is_refused():
    found = chosen(footage(10, 13, 0, spread=0.3), STEP, CONFIG, 0.1)
    assert "the system is blind on this camera" in found.note and "0.99999" in found.note
    with pytest.raises(DataError, match="no threshold keeps 1.3 min of the footage quiet: its confidences are 1"):
        chosen(np.ones(360), STEP, CONFIG, 0.1)
    for changed, rate in ((CONFIG, 0.0), (CONFIG.model_copy(update={"sas_tau": 0.0}), 0.1)):
        with pytest.raises(ConfigError, match="above 0"):
            chosen(np.full(360, 0.9), STEP, changed, rate)


def test_a_level_moves_the_logit_and_nothing_at_zero():
    values = np.array([0.0, 0.2, 0.5, 1.0])
    assert at_level(values, 0) is values
    assert at_level(values, 2.0) == pytest.approx([0, expit(np.log(0.25) - 2), expit(-2), 1])
    assert np.array_equal(replayed(values, CONFIG), sigmoidal_anomaly_score(values))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("calibration")
    run = runner.run(live_config(root, "tiny"), live_corpus(root), "2S-no-bag")
    save_models(run)
    images = [np.clip(i.astype(int) + 60, 0, 255).astype(np.uint8) for i in moving_square(24)] * 31
    write_video(root / "long.mp4", images, LIVE_FPS)
    return root, root / "outputs" / "tiny"


def test_it_is_stored_whole_for_its_model(tmp_path):
    trained = SimpleNamespace(path=Path("cache/models/abc"))
    assert calibrated(tmp_path, "yard", trained) is None
    one = chosen(footage(2, 4, 0), STEP, CONFIG, 0.1, "abc")
    path = write(tmp_path, "yard", one)
    assert calibrated(tmp_path, "yard", trained) == one
    assert [p.name for p in path.parent.iterdir()] == ["yard.json"]
    write(tmp_path, "door", replace(one, model="other"))
    assert calibrated(tmp_path, "door", trained) is None
    whole = json.loads(path.read_text())
    wrong = [{}, {**whole, "tau": 1.5}, {**whole, "more": 1}, [], 3]
    for damaged in ["{", "", *map(json.dumps, wrong)]:
        path.write_text(damaged)
        with pytest.raises(DataError, match="yard.json is not a camera's calibration .* delete it and calibrate again"):
            calibrated(tmp_path, "yard", trained)


def test_a_camera_is_called_without_its_password_and_stored_under_a_plain_name(tmp_path):
    assert names_of(["0", "/films/yard.mp4"]) == ["camera 0", "yard.mp4"]
    (name,) = names_of(["rtsp://me:secret@host/yard?x=1"])
    assert "secret" not in name
    assert calibration.path_of(tmp_path, name).name == "rtsp_me_host_yard_x_1.json"
    assert calibration.path_of(tmp_path, "../../up").parent == tmp_path / "calibration"


def test_an_analyser_takes_it(trained):
    _, folder = trained
    model = find_model(folder, "2S-no-bag")
    analyser = make_analyser(model, model.config, LIVE_FPS)
    analyser.alarm_above(0.99)
    scores = [analyser._reading(number, 0.98).sas for number in range(20)]
    assert max(scores) < 0.5
    assert max(analyser._reading(number, 0.999).sas for number in range(20)) > 0.5


def test_the_command_and_scoring_with_it(trained, tmp_path, capsys):
    root, folder = trained
    given = ("--run", str(folder), "--system", "2S-no-bag")
    code, out, err = call(capsys, "calibrate", str(root / "long.mp4"), *given, "--camera", "yard")
    assert (code, err) == (0, "") and f"written: {folder / 'calibration' / 'yard.json'}" in out
    assert "calibrated on 1.0 min of this camera for 0.1 false alarms an hour" in out.splitlines()[-1]
    code, out, _ = call(
        capsys, "score", str(root / "long.mp4"), *given, "--camera", "yard", "--csv", str(tmp_path / "a.csv")
    )
    assert code == 0 and "note: calibrated on" in out
    plain, _, _ = call(capsys, "score", str(root / "long.mp4"), *given, "--csv", str(tmp_path / "b.csv"))
    a, b = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert np.array_equal(a[:, :3], b[:, :3]) and (a[:, 3] <= b[:, 3] + 1e-9).all() and not a[:, 4].any()
    code, _, err = call(capsys, "score", str(root / "v6.mp4"), *given, "--camera", "door")
    assert code == 2 and "no calibration of a camera door by 2S-no-bag" in err and "vadkit calibrate SOURCE" in err
    code, _, err = call(capsys, "calibrate", str(root / "v6.mp4"), *given)
    assert code == 2 and "expected at least 60 s of normal footage, got 3 s" in err and err.count("\n") == 1
