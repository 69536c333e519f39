"""Costs are those of the networks as built, measured apart; shares of frames are counted, not assumed."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vadkit.core.clock import Clock
from vadkit.core.parameters import make_config
from vadkit.core.store import Store
from vadkit.corpora.video import Video
from vadkit.studies import efficiency
from vadkit.systems import base
from vadkit.systems.base import find_system
from vadkit.systems.record import save_models
from vadkit.systems.two_stream import TwoStreamSystem

SHARES = ["name", "hard_only", "samples", "anomalous", "normal"]
NO_SHARES = pd.DataFrame(columns=SHARES)
USE = {"training_samples": 100, "training_anomalous": 40, "epoch_samples": 34}
TINY = {"image_size": 32, "head_width": 16, "backbone": "resnet18", "backbone_weights": "random", "device": "cpu"}


def test_operations_of_a_network_are_those_of_its_layers(monkeypatch):
    monkeypatch.setattr(efficiency, "REPEATS", efficiency.LEAST_REPEATS)
    config = make_config(TINY)
    one, both, bag = (
        SimpleNamespace(**efficiency.cost_of(config, find_system(name, config)))
        for name in ("1S-no-bag", "2S-no-bag", "2S-bag")
    )
    layers = lambda inputs: 2e-9 * (inputs * 16 + 16 * 16 + 16)  # noqa: E731 - an addition and a multiplication are two
    stream = one.gflop_per_frame - layers(512)
    assert stream > 0.01 and both.gflop_per_frame == pytest.approx(2 * stream + layers(1024), rel=1e-12)
    assert bag.gflop_per_frame == pytest.approx(both.gflop_per_frame + 2e-9 * 80 * 16, rel=1e-12)
    assert bag.parameters - both.parameters == 80 * 16 and both.parameters - one.parameters > 11e6
    assert one.ms_per_frame > 0 and one.repeats >= efficiency.LEAST_REPEATS and one.peak_memory >= 0


class Killed(TwoStreamSystem):
    """Ends the process that measures it, as a machine without memory does."""

    def inputs(self, config):
        os.kill(os.getpid(), signal.SIGKILL)


def test_systems_with_one_network_are_measured_once_in_a_process_of_their_own(monkeypatch):
    ours = find_system("1S-bag")
    killed = Killed(**{f.name: getattr(ours, f.name) for f in fields(ours)} | {"name": "killed", "bag": "no"})
    monkeypatch.setitem(base.REGISTERED, "killed", killed)
    config = make_config(TINY)
    calls, names = [], ["1S-no-bag", "killed", "1S-bag", "1S-bag-ha"]
    found = efficiency.measure(config, names, progress=lambda *call: calls.append(call))
    assert list(found.index) == names and len(calls) == 3
    assert found.loc["1S-bag"].equals(found.loc["1S-bag-ha"]) and found.loc["1S-bag", "reason"] == ""
    assert found.loc["1S-bag", "parameters"] - found.loc["1S-no-bag", "parameters"] == 80 * 16
    weights = 4 * found.loc["1S-bag", "parameters"] / efficiency.MIB
    assert (
        0.8 * weights < found.loc["1S-bag", "peak_memory"] < 12 * weights + 200
    )  # the weights at least, in a process that held none before
    assert np.isnan(found.loc["killed", "parameters"]) and "was ended" in found.loc["killed", "reason"]
    assert len(efficiency.measure(config, [])) == 0


def test_a_network_without_weights_has_a_reason_and_no_numbers(tmp_path):
    config = make_config({**TINY, "backbone_weights": str(tmp_path / "gone.pt")})
    cost = efficiency.cost_or_reason(config, find_system("1S-no-bag", config))
    assert list(cost) == ["reason"] and "gone.pt" in cost["reason"]
    row = efficiency.rows(config, costs({"1S-no-bag": cost}), NO_SHARES)[0]
    assert row.value is None and "gone.pt" in row.reason


def costs(lines: dict[str, dict]) -> pd.DataFrame:
    """As `measure` gives them."""
    filled = [{"reason": ""} | line for line in lines.values()]
    table = pd.DataFrame(filled, index=list(lines), columns=[*efficiency.QUANTITIES, "repeats", "reason"])
    return table.astype(dict.fromkeys(efficiency.QUANTITIES, float))


def video(frames, fps, spans, name="Assault001"):
    return SimpleNamespace(
        video=Video(name, Path(name), "Assault" if spans else "Normal", "train", "s", tuple(spans)),
        frames=frames,
        fps=fps,
        times=None,
        clock=Clock(fps),
    )


def shares(config, videos):
    return {(s.name, s.hard_only): s for s in efficiency.sampling_shares(config, videos).itertuples()}


def test_at_the_papers_frame_rate_one_reading_keeps_the_claim_and_the_text_of_4_2_does_not():
    found = shares(make_config({}), [video(1800, 30.0, [(600, 1200)]), video(3000, 30.0, [], "Normal_1")])
    released, text, results = (found[name, False] for name in ("released", "section_4_2", "section_5_3"))
    assert (released.anomalous, released.normal) == (pytest.approx(1 / 10), pytest.approx(1 / 30))
    assert (text.anomalous, text.normal) == (pytest.approx(1 / 10), pytest.approx(1 / 3))
    assert results.anomalous == pytest.approx(1 / 3) and results.normal < 1 / 10
    assert released.samples == 60 + 40 + 100
    hard = found["released", True]
    assert (
        hard.samples == 60 + 100 and hard.anomalous == released.anomalous and hard.normal == pytest.approx(100 / 4200)
    )


def test_frames_of_overlapping_clips_count_once():
    config = make_config({"clip_frames": 16, "clip_fps": 7.5, "clip_shift_anomalous": 4, "clip_shift_normal": 8})
    found = shares(config, [video(960, 30.0, [(0, 480)])])
    clips = found["clips", False]
    assert clips.samples == len(range(15, 120, 4)) + len(range(135, 240, 8))
    assert clips.anomalous == pytest.approx(1 / 4, abs=0.02) and clips.normal == pytest.approx(1 / 4, abs=0.02)
    assert found["clips", True].normal == 0 and found["clips", True].samples == len(range(15, 120, 4))


def test_videos_of_one_kind_leave_a_share_undefined():
    config = make_config({})
    found = efficiency.sampling_shares(config, [video(300, 30.0, [], "Normal_1")])
    assert found["anomalous"].isna().all()
    row = next(r for r in efficiency.rows(config, costs({}), found) if r.metric == "share_of_anomalous_frames")
    assert row.value is None and "no such frame" in row.reason


def test_what_was_trained_is_read_from_its_record(tmp_path):
    config = make_config({"output_root": str(tmp_path)})
    folder = config.output_dir / "models"
    paths = []
    for seed, count in enumerate((100, 104)):
        facts = {"training_samples": count, "training_anomalous": count // 4}
        facts["history"] = [{"samples": 34 + seed}, {"samples": 1}]
        text = json.dumps(facts)
        store = Store(config.output_dir)
        paths.append(store.fetch("m", {"seed": seed}, lambda f, text=text: (f / "system.json").write_text(text)))
    for name in ("2S-bag-ha", "MIL learner", "1S-bag"):
        folds = [SimpleNamespace(path=path) for path in ([*paths] if name != "1S-bag" else []) + [folder / "gone"]]
        seeds = [SimpleNamespace(seed=n, folds=[fold]) for n, fold in enumerate(folds)]
        save_models(SimpleNamespace(config=config, system=SimpleNamespace(name=name), seeds=seeds))
    assert efficiency.trained_systems(config) == ["2S-bag-ha", "1S-bag"]
    assert list(efficiency.training_use(config, "2S-bag-ha").values()) == [102, 25.5, 34.5] and efficiency.training_use(
        config, "1S-bag"
    ) == {} == efficiency.training_use(config, "2S-bag")


def test_rows_stand_beside_what_section_5_3_prints():
    config = make_config({})
    found = {
        (r.item, r.system, r.metric): r
        for r in efficiency.rows(
            config,
            costs({"2S-bag": {"parameters": 10, "gflop_per_frame": 2} | USE}),
            pd.DataFrame([["released", True, 100, 0.1, 0.03], ["section_5_3", True, 300, 1 / 3, 0.08]], columns=SHARES),
        )
    }
    assert (
        found["efficiency", "2S-bag", "gflop_per_frame"].value == 2
        and found["efficiency", "2S-bag", "training_samples"].value == 100
    )
    mined = efficiency.rows(config, costs({"2S-bag-ha": {"reason": "not measured"} | USE}), NO_SHARES)
    assert [(r.value, r.published) for r in mined if r.item == "claim 3.3b"] == [(0.34, "0.33")]
    claim = found["claim 5.3d", "training", "share_of_normal_frames"]
    assert (claim.value, claim.published, claim.verdict) == (0.03, "< 0.1", "not comparable")
    assert np.isclose(
        found["training frames", "section_5_3, hard anomalies only", "share_of_anomalous_frames"].value, 1 / 3
    )


def test_the_table_leaves_out_what_is_not_known():
    measured = {"parameters": 8_357_377, "gflop_per_frame": 1.5, "ms_per_frame": 3.46, "peak_memory": 40.4}
    page = efficiency.table(costs({"2S-bag": measured | USE, "C3D-ha": {"reason": "no weights"}}))
    assert page.loc["2S-bag"].tolist() == ["8.36", "1.500", "3.5", "40", "100", "40", "34"]
    assert set(page.loc["C3D-ha"]) == {""}
