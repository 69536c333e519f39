"""Costs are those of the networks as built, measured apart; shares of frames are counted, not assumed."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Video
from vadkit.studies import efficiency
from vadkit.studies.efficiency import Cost, Share, Use

TINY = {"image_size": 32, "head_width": 16, "backbone": "resnet18", "backbone_weights": "random", "device": "cpu"}


def test_operations_of_a_network_are_those_of_its_layers(monkeypatch):
    monkeypatch.setattr(efficiency, "REPEATS", efficiency.LEAST_REPEATS)
    config = make_config(TINY)
    one, both, bag = (efficiency.cost_of(config, name) for name in ("1S-no-bag", "2S-no-bag", "2S-bag"))
    layers = lambda inputs: 2 * (inputs * 16 + 16 * 16 + 16)  # noqa: E731 - an addition and a multiplication are two
    stream = one.flops - layers(512)
    assert (
        stream > 1e7
        and both.flops == pytest.approx(2 * stream + layers(1024))
        and bag.flops == pytest.approx(both.flops + 2 * 80 * 16)
    )
    assert bag.parameters - both.parameters == 80 * 16 and both.parameters - one.parameters > 11e6
    assert one.ms > 0 and one.repeats >= efficiency.LEAST_REPEATS and one.memory >= 0


def test_systems_with_one_network_are_measured_once_in_a_process_of_their_own():
    config = make_config(TINY)
    calls = []
    found = efficiency.measure(config, ["1S-no-bag", "1S-bag", "1S-bag-ha"], progress=lambda *call: calls.append(call))
    assert list(found) == ["1S-no-bag", "1S-bag", "1S-bag-ha"] and len(calls) == 2
    assert found["1S-bag"] == replace(found["1S-bag-ha"], system="1S-bag")
    assert found["1S-bag"].parameters - found["1S-no-bag"].parameters == 80 * 16
    weights = 4 * found["1S-bag"].parameters / efficiency.MIB
    assert (
        0.8 * weights < found["1S-bag"].memory < 12 * weights + 200
    )  # the weights at least, in a process that held none before
    assert efficiency.measure(config, []) == {}


def test_a_network_without_weights_has_a_reason_and_no_numbers(tmp_path):
    config = make_config({**TINY, "backbone_weights": str(tmp_path / "gone.pt")})
    cost = efficiency.cost_or_reason(config, "1S-no-bag")
    assert cost.parameters is None and cost.flops is None and "gone.pt" in cost.reason
    row = efficiency.rows(config, {"1S-no-bag": cost}, {"1S-no-bag": None}, [])[0]
    assert row.value is None and "gone.pt" in row.reason


@pytest.mark.parametrize(("code", "said"), [(0, ""), (3, r"code 3 after 1 of 1 systems: x+ the end")])
def test_a_measuring_process_that_complains_at_length_blocks_nobody(tmp_path, monkeypatch, code, said):
    """More than a pipe holds goes to its standard error before anything goes to its standard output."""
    script = tmp_path / "python"
    script.write_text(
        f"#!{sys.executable}\nimport signal, sys\nsignal.alarm(60)\nsys.stderr.write('x' * 300_000 + ' the end')\n"
        f"sys.stderr.flush()\nprint('{json.dumps(asdict(Cost('1S-bag', 7)))}')\nsys.exit({code})\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(efficiency.sys, "executable", str(script))
    with pytest.raises(RuntimeError, match=said) if code else nullcontext():
        assert efficiency.measure(make_config(TINY), ["1S-bag"]) == {"1S-bag": Cost("1S-bag", 7)}


def video(frames, fps, spans, name="Assault001"):
    return SimpleNamespace(
        video=Video(name, Path(name), "Assault" if spans else "Normal", "train", "s", tuple(spans)),
        frames=frames,
        fps=fps,
    )


def shares(config, videos):
    return {(s.name, s.hard_only): s for s in efficiency.sampling_shares(config, videos)}


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
    assert {s.anomalous for s in found} == {None}
    row = next(r for r in efficiency.rows(config, {}, {}, found) if r.metric == "share_of_anomalous_frames")
    assert row.value is None and "no such frame" in row.reason


def test_what_was_trained_is_read_from_its_record(tmp_path):
    config = make_config({"output_root": str(tmp_path)})
    folder = config.output_dir / "models"
    for seed, count in enumerate((100, 104)):
        (folder / f"m{seed}").mkdir(parents=True)
        (folder / f"m{seed}" / "system.json").write_text(
            json.dumps({"training_samples": count, "training_anomalous": count // 4})
        )
        (folder / f"m{seed}" / "history.json").write_text(json.dumps([{"samples": 34 + seed}, {"samples": 1}]))
    for name in ("2S-bag-ha", "MIL learner", "1S-bag"):
        (folder / f"{name}.json").write_text(
            json.dumps(
                {
                    "models": [{"path": "m0"}, {"path": "m1"}, {"path": "gone"}]
                    if name != "1S-bag"
                    else [{"path": "gone"}]
                }
            )
        )
    assert efficiency.trained_systems(config) == ["2S-bag-ha", "1S-bag"]
    assert (
        efficiency.training_use(config, "2S-bag-ha") == Use(102, 25.5, 34.5)
        and efficiency.training_use(config, "1S-bag") is None
    )


def test_rows_stand_beside_what_section_5_3_prints():
    config = make_config({})
    found = {
        (r.item, r.system, r.metric): r
        for r in efficiency.rows(
            config,
            {"2S-bag": Cost("2S-bag", 10, 2e9, 3.5, 40.0, 25)},
            {"2S-bag": Use(100, 40, 34)},
            [Share("released", True, 100, 0.1, 0.03), Share("section_5_3", True, 300, 1 / 3, 0.08)],
        )
    }
    assert (
        found["efficiency", "2S-bag", "gflop_per_frame"].value == 2
        and found["efficiency", "2S-bag", "training_samples"].value == 100
    )
    mined = efficiency.rows(
        config, {"2S-bag-ha": Cost("2S-bag-ha", reason="not measured")}, {"2S-bag-ha": Use(100, 40, 34)}, []
    )
    assert [(r.value, r.published) for r in mined if r.item == "claim 3.3b"] == [(0.34, "0.33")]
    claim = found["claim 5.3d", "training", "share_of_normal_frames"]
    assert (claim.value, claim.published, claim.verdict) == (0.03, "< 0.1", "not comparable")
    assert np.isclose(
        found["training frames", "section_5_3, hard anomalies only", "share_of_anomalous_frames"].value, 1 / 3
    )


def test_the_table_leaves_out_what_is_not_known():
    page = efficiency.table(
        {"2S-bag": Cost("2S-bag", 8_357_377, 1.5e9, 3.46, 40.4, 25), "C3D-ha": Cost("C3D-ha", reason="no weights")},
        {"2S-bag": Use(100, 40, 34), "C3D-ha": None},
    )
    assert page.loc["2S-bag"].tolist() == ["8.36", "1.500", "3.5", "40", "100", "40", "34"]
    assert set(page.loc["C3D-ha"]) == {""}
