"""Every printed number has a place where this project makes its own, and claims find the rows they speak of."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from vadkit.core.config import SAMPLING_PRESETS, Config
from vadkit.core.parameters import make_config
from vadkit.corpora.video import Corpus, Video
from vadkit.report import claims, published
from vadkit.report import rows as report

REPOSITORY = Path(__file__).resolve().parents[2]
P = "petrocchi2021"


def test_every_printed_number_says_where_ours_is_made():
    for one in published.load():
        where = re.fullmatch(r"notebook (\d\d)|parameter (\w+)|corpus|code|none: .+", one.ours)
        assert where, one
        assert int(where[1] or 0) <= 15 and (
            where[2] is None or where[2] in Config.model_fields or hasattr(Config, where[2])
        ), one


def test_settings_and_sizes_cover_what_says_so(the_papers):
    config = the_papers()
    names = ("Arrest", "Assault", "Burglary", "Robbery", "Stealing", "Vandalism", "Normal")
    videos = [
        Video(f"{c}{k}", Path(f"{c}{k}.mp4"), c, split, c, ((30, 60),) if c != "Normal" else ())
        for k, split in enumerate(("train", "val", "test"))
        for c in names
    ]
    samples = [SimpleNamespace(video=v, frames=300, fps=30.0, times=None) for v in videos]
    rows = [
        *claims.setting_rows(config, samples),
        *claims.corpus_rows(config, Corpus("ucf_crime", tuple(videos)), samples),
    ]
    found = {(r.paper, r.item, r.system, r.metric) for r in rows}
    wanted = {
        (r.paper, r.item, r.system, r.metric)
        for r in published.load()
        if r.ours in ("corpus", "code") or r.ours.startswith("parameter")
    }
    assert found == wanted
    by_key = {(r.item, r.system, r.metric): r for r in rows}
    assert by_key["section 4.2", "training", "validation_share"].verdict == "reproduced"
    assert by_key["section 4.1", "UCFCrime2Local", "train_videos"].verdict == "not reproduced"
    assert (
        by_key["released code", "train", "sampled_frames_Arrest"].value == 3
        and by_key["released code", "test", "sampled_frames_Normal"].value == 6 * 9 + 10
    )
    agree = {
        "head_lr",
        "finetune_lr",
        "alpha",
        "patience",
        "tau",
        "v",
        "UB",
        "LB",
        "image_size",
        "anomalous_stride",
        "normal_stride",
        "segment_seconds",
    }
    assert {r.verdict for r in rows if r.metric in agree} == {"reproduced"}


def test_the_reading_of_the_rates_is_seen_in_the_verdict(the_papers):
    verdicts = {}
    for name in SAMPLING_PRESETS:
        rows = claims.setting_rows(the_papers(sampling=name), [SimpleNamespace(fps=30.0)])
        verdicts[name] = {(r.item, r.metric): r.verdict for r in rows}
    assert (
        verdicts["section_4_2"]["section 4.2", "normal_fps"]
        == "reproduced"
        == verdicts["released"]["section 4.2", "anomalous_fps"]
    )
    assert (
        verdicts["released"]["section 4.2", "normal_fps"]
        == "not reproduced"
        == verdicts["section_5_3"]["section 4.2", "anomalous_fps"]
    )
    assert (
        verdicts["released"]["claim 3.3", "normal_fps"] == "reproduced"
        and verdicts["section_4_2"]["claim 3.3", "normal_fps"] == "not reproduced"
    )  # a lower rate than 3


@pytest.mark.parametrize(
    ("fps", "rate", "verdict"),
    [(30.0, 7.5, "reproduced"), (10.0, 10.0, "not reproduced"), (25.0, 25 / 3, "not reproduced")],
)
def test_a_clips_rate_is_the_one_that_is_taken(the_papers, fps, rate, verdict):
    """Whole frames apart: at 10 or 25 a second there is no 7.5."""
    samples = [SimpleNamespace(fps=fps)] * 3
    settings = claims.setting_rows(the_papers(), samples)
    rows = {(r.item, r.metric): r for r in settings if r.system == "C3D-ha"}
    assert rows["section 4.5", "sampling_fps"].value == rows["claim 4.5a", "fps"].value == pytest.approx(rate)
    assert rows["claim 4.5b", "segment_seconds"].value == pytest.approx(16 / rate)
    assert rows["section 4.5", "sampling_fps"].verdict == verdict


def row(config, item, system, metric, value, low=None, high=None, unit="%"):
    return replace(report.number_row(config, value, unit, "", item, system, metric), paper=P, ci_low=low, ci_high=high)


def test_claims_stand_beside_our_rows(the_papers):
    tables = []
    for config in (make_config({}), the_papers()):
        rows = [
            row(config, "claim 5.2a", "2S-bag / 2S-no-bag", "fl_auc_relative_change", 5.0, 1.0, 9.0),
            row(config, "table 3", "2S-bag-ha", "vl_f1", 88.0, 85.0, 91.0),
            row(config, "ablation", "C3D-ha / 2S-bag-ha", "vl_f1_difference", -10.0, -15.0, -5.0),
        ]
        tables.append(claims.check(config, rows).set_index("claim"))
    demo, ucf = tables
    line = ucf.loc["claim 5.2a: 2S-bag / 2S-no-bag"]
    assert (
        line["printed"],
        line["from the paper's numbers"],
        line["arithmetic"],
        line["ours [interval]"],
        line["verdict"],
    ) == ("6.4", "6.44", "agrees", "5.0 [1.0, 9.0]", "reproduced")
    assert demo.loc["claim 5.2a: 2S-bag / 2S-no-bag", "verdict"] == "not comparable"
    assert ucf.loc["claim 5.4a: 2S-bag-ha", "ours [interval]"] == "88.0 [85.0, 91.0]"  # the text speaks of table 3
    assert (
        ucf.loc["text 5.4: 2S-bag-ha"]["ours [interval]"]
        == ["88.0 [85.0, 91.0]", "no row yet (notebook 07)", "no row yet (notebook 07)"]
    ).all()
    assert (
        ucf.loc["claim 5.2l: C3D-ha / 2S-bag-ha", "verdict"] == "reproduced"
        and ucf.loc["claim 5.2b: 1S-bag / 1S-no-bag", "verdict"] == ""
    )
    assert len(ucf) == len(published.check_claims())


def test_a_claim_is_judged_by_a_comparable_row_only(the_papers):
    config = the_papers()
    ours = row(config, "table 3", "2S-bag-ha", "vl_f1", 88.0, 85.0, 91.0)
    verdicts = [
        claims.check(config, [replace(ours, verdict=verdict)])
        .set_index("claim")
        .loc["claim 5.4a: 2S-bag-ha", "verdict"]
        for verdict in ("reproduced", "not comparable")
    ]
    assert verdicts == ["reproduced", "not comparable"]
    other = the_papers(backbone="resnet18")
    narrow = claims.check(other, [replace(ours, config=other.fingerprint())]).set_index("claim")
    assert narrow.loc["claim 5.4a: 2S-bag-ha", "verdict"] == "not comparable"


def test_rows_of_other_parameters_are_judged_by_nobody(the_papers):
    config, before = the_papers(), the_papers(seeds=[5])
    old = row(before, "table 3", "2S-bag-ha", "vl_f1", 88.0, 85.0, 91.0)
    line = claims.check(config, [old]).set_index("claim").loc["claim 5.4a: 2S-bag-ha"]
    assert (line["ours [interval]"], line["verdict"]) == ("no row yet (notebook 07)", "")
    assert ("table 3", "2S-bag-ha", "vl_f1") in {
        (one.item, one.system, one.metric) for one, _ in claims.uncovered(config, [old])
    }
    new = row(config, "table 3", "2S-bag-ha", "vl_f1", 89.0, 85.0, 91.0)
    assert (
        claims.check(config, [new, old]).set_index("claim").loc["claim 5.4a: 2S-bag-ha", "ours [interval]"]
        == "89.0 [85.0, 91.0]"
    )


def test_what_no_row_stands_beside_has_its_reason():
    config = make_config({})
    missing = {
        (one.item, one.system, one.metric): why
        for one, why in claims.uncovered(config, [row(config, "table 3", "2S-bag-ha", "vl_f1", 88.0)])
    }
    assert ("table 3", "2S-bag-ha", "vl_f1") not in missing and ("claim 5.4a", "2S-bag-ha", "vl_f1") not in missing
    assert missing["table 3", "2S-bag-ha", "vl_tpr"] == "no row yet (notebook 07)"
    assert missing["section 2", "UCF-Crime", "hours"].startswith("none: ")


@pytest.mark.parametrize("paper", ["petrocchi2021_hard_soft_anomalies.txt", "raqeeb_mil_surveillance.txt"])
def test_every_number_of_the_text_is_held(shared, paper):
    """Numbers of the running text, less those of headings, references, names and formulas."""
    text = shared(f"papers/{paper}").read_text(encoding="utf-8").split("REFERENCES")[0]
    for noise in (
        r"\[[\d, -]+\]",
        r"ResNet-\d+",
        r"\b3D\b",
        r"Vision 2030",
        r"GA ID:\d+",
        r"(?m)^\d(\.\d)? [A-Z].{,80}$",
        r"(?m)^#* ?\*?\d\) ",
        r"\b(Section|Fig\.|Figure|Table|Fig) \d",
        r"\\frac\{1\}\{\w+\}",
        r"i=1",
        r"-1\b",
        r"10\^\{-\d\}",
        r"10⁻⁵",
        r"\(1 - specificity\)",
        r"\\max\(0",
    ):
        text = re.sub(noise, " ", text)
    held = {abs(one.value) for one in published.load() if one.paper == {"p": P, "r": "raqeeb"}[paper[0]]} | {1.0, 0.0}
    printed = {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)}
    assert len(printed) >= 15 and printed - held == set()


def test_the_page_lists_every_printed_number():
    page = (REPOSITORY / "docs" / "reproduction.md").read_text(encoding="utf-8")
    listing = runpy.run_path(str(REPOSITORY / "docs" / "printed_numbers.py"))["listing"]
    assert listing().strip() in page, (
        "renew the list at the end of docs/reproduction.md: python docs/printed_numbers.py"
    )
