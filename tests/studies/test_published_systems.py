"""Published scores in a clone: found by their own names, held to what their authors state, and filtered."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from vadkit.core.parameters import make_config
from vadkit.corpora.public_lists import listed
from vadkit.evaluation.metrics import frame_auc, pool
from vadkit.evaluation.scores import VideoScores, on_clock
from vadkit.report import published
from vadkit.studies import published_systems as study

CONFIG = make_config({"bootstrap_resamples": 20})
TEST = {name: one for name, one in listed("ucf-crime").items() if one.split == "test"}


def clone_of_urf(folder, auc="0.5", ap="0.1"):
    """A clone whose scores are noise, a little higher in the annotated spans; what its authors store is given."""
    rng, scores = np.random.default_rng(0), folder / "URF-HVAA/data/refined_scores/videollama3_7B"
    (scores / "metrics").mkdir(parents=True)
    for name, one in TEST.items():
        starts = range(0, one.frames, 16)
        hot = [any(a <= start < b for a, b in one.intervals) for start in starts]
        values = np.round(np.clip(rng.random(len(hot)) * 0.8 + 0.2 * np.array(hot), 0, 1), 1)
        content = dict(zip(map(str, starts), values.tolist(), strict=True))
        (scores / f"{name}_x264.json").write_text(json.dumps(content))
    (scores / "metrics/roc_auc.txt").write_text(auc)
    (scores / "metrics/pr_auc.txt").write_text(ap)
    return scores


def test_no_clone_is_no_error_and_says_what_to_clone(tmp_path):
    assert study.find(tmp_path / "nowhere") == study.find(tmp_path) == []
    said = study.missing([], "data/published")
    assert "`data/published`" in said and all(source.clone in said for source in study.SOURCES)
    assert said.count("VADTree") == 1  # one clone, two sets of scores


def test_a_clone_is_found_by_its_own_names_and_its_stored_numbers_are_held_to_their_last_digit(tmp_path):
    clone_of_urf(tmp_path)
    (found,) = study.find(tmp_path)
    assert (found.name, len(found.given.videos), found.lost) == ("URF-HVAA", 290, "")
    assert "URF-HVAA" not in study.missing([found], "data/published")
    stored, area, printed = study.beside(found, CONFIG)
    assert (stored.item, stored.published, stored.verdict) == ("stored, roc_auc.txt", "50.0000", "not reproduced")
    assert printed.published == "84.28" and {row.paper for row in (stored, area, printed)} == {study.WHOSE}
    (found.path / "metrics/roc_auc.txt").write_text(f"{stored.value / 100:.12f}")
    (found.path / "metrics/pr_auc.txt").write_text(f"{int(area.value * 10_000) / 1e6 - 1e-6:.12f}")
    again, other, _ = study.beside(study.find(tmp_path)[0], CONFIG)
    assert (again.verdict, again.difference) == ("reproduced", pytest.approx(0, abs=1e-4))
    assert other.verdict == "not reproduced"


def test_a_number_that_was_cut_is_not_reproduced_and_says_so(tmp_path):
    clone_of_urf(tmp_path)
    (found,) = study.find(tmp_path)
    value = study.beside(found, CONFIG)[0].value
    digits = next(n for n in range(1, 9) if int(value * 10**n) != round(value * 10**n))  # where rounding goes up
    cut = study.Said("fl_auc", f"{int(value * 10**digits) / 10**digits:.{digits}f}", "printed, paper", "gaussian")
    (row,) = study.beside(replace(found, said=(cut,)), CONFIG)
    assert (row.verdict, row.reason) == ("not reproduced", "equal when cut after its last decimal, not when rounded")


@pytest.mark.parametrize(
    "content", [None, "", "NaN", "84.3", "[" * 99_999], ids=["gone", "empty", "NaN", "percent", "nested"]
)
def test_stored_numbers_that_cannot_be_read_are_named_and_the_scores_are_still_there(tmp_path, content):
    path = clone_of_urf(tmp_path) / "metrics/pr_auc.txt"
    path.unlink() if content is None else path.write_text(content)
    (found,) = study.find(tmp_path)
    assert found.said == () and len(found.given.videos) == 290
    assert (
        "pr_auc.txt" in found.lost and ("cannot be read" if content is None else "clone the repository") in found.lost
    )


def video(name, scores, labels=None, fps=10.0):
    labels = np.zeros(len(scores), np.uint8) if labels is None else np.asarray(labels, np.uint8)
    category = "Arson" if labels.any() else "Normal"
    return VideoScores(name, category, name, fps, np.arange(len(scores)), np.asarray(scores, float), labels)


def test_false_alarms_at_a_recall_count_runs_apart_and_a_threshold_at_the_floor_shows_as_always_on():
    event = np.repeat([0, 1, 0], [100, 20, 100])
    found = [video("a", np.where(event, 0.9, 0.1), event), video("b", np.where(event, 0.5, 0.1), event)]
    quiet = np.full(36_000, 0.2)  # an hour
    quiet[[100, 150, 400, 9000]] = 0.6  # 5 s apart, 25 s apart, and alone
    videos = [*found, video("n", quiet)]
    count, share = study.at_recall(videos, CONFIG, 0.5)
    assert (count.name, count.value, share.value) == ("false_alarms_at_50_percent", 0.0, 0.0)
    count, share = study.at_recall(videos, CONFIG, 1.0)
    assert (count.value, count.unit) == (3.0, "an hour") and share.value == pytest.approx(4 / 36_000)
    found[1] = video("b", np.full(220, 0.2), event)
    count, share = study.at_recall([*found, video("n", quiet)], CONFIG, 1.0)
    assert (count.value, share.value) == (1.0, 1.0)
    with pytest.raises(ValueError, match="no annotated span"):
        study.at_recall([video("n", quiet)], CONFIG, 0.5)


def test_filters_are_sized_against_the_raw_scores_and_the_future_against_the_past():
    rng, videos = np.random.default_rng(1), []
    for k in range(12):
        event = np.repeat([0, k % 2, 0], [150, 100, 150])
        videos.append(on_clock(video(f"v{k}", np.clip(0.4 * event + rng.random(400) * 0.6, 0, 1), event), 3.0))
    ways, future = study.sizes(videos, CONFIG)
    assert [way.title for way in ways] == list(study.FILTERS) and ways[0].change.difference == 0
    by_hand = {how: frame_auc(*pool([study.filtered(v, how, CONFIG) for v in videos])) for how in study.FILTERS}
    assert {way.title: way.auc.value for way in ways} == pytest.approx(by_hand)
    assert future.difference == pytest.approx(by_hand["gaussian"] - by_hand["causal mean"])
    early = [study.filtered(videos[1], how, CONFIG).frame_scores()[:150] for how in ("causal mean", "raw")]
    changed = replace(videos[1], confidence=np.where(np.arange(400) < 150, videos[1].confidence, 0))
    assert np.array_equal(
        study.filtered(changed, "causal mean", CONFIG).frame_scores()[:150], early[0]
    )  # the past alone
    figure = study.filters({"one": ways, "two": ways})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["one", "two"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(study.FILTERS)


def test_what_authors_state_comes_out_of_their_scores(shared):
    """To the last digit, but for what the notebook says: two of a README, one of rounded scores, one that was cut."""
    shared("data/ucf_crime/published/urf_hvaa/refined_scores/videollama3_7B")
    found = study.find(shared("data/ucf_crime"))
    assert [one.name for one in found] == [source.name for source in study.SOURCES] and study.missing(found, "x") == ""
    rows = [row for one in found for row in study.beside(one, CONFIG)]
    failed = {(row.system, row.item, row.published) for row in rows if row.verdict != "reproduced"}
    assert len(rows) == 11 and failed == {
        ("VideoMAE + RTFM", "printed, README, seed 42", "92.7"),
        ("VideoMAE + RTFM", "printed, README, seed 42", "86.8"),
        ("VADTree, refined", "stored, roc_auc", "82.72"),
        ("URF-HVAA", "printed, paper", "84.28"),
    }
    assert {row.reason for row in rows if row.published == "84.28"} == {
        "equal when cut after its last decimal, not when rounded"
    }
    assert published.PAPERS.keys().isdisjoint({study.WHOSE})
