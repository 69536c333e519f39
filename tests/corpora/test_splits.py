from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vadkit.core.errors import DataError
from vadkit.corpora.splits import grouped_folds, train_cut
from vadkit.corpora.video import Video


def clip(number: int, source: str, category: str) -> Video:
    return Video(
        f"v{number:03d}", Path(f"v{number:03d}.mp4"), category, "all", source, None if category != "Normal" else ()
    )


def sources(videos) -> set[str]:
    return {video.source for video in videos}


def labels(videos) -> set[int]:
    return {video.label for video in videos}


@st.composite
def corpora(draw, categories=("Normal", "Assault", "Robbery")):
    """Videos whose sources hold one to four clips each, of any mixture of categories."""
    groups = draw(st.lists(st.lists(st.sampled_from(categories), min_size=1, max_size=4), min_size=2, max_size=24))
    flat = [(f"s{group:02d}", category) for group, members in enumerate(groups) for category in members]
    return [clip(number, source, category) for number, (source, category) in enumerate(draw(st.permutations(flat)))]


@given(corpora(), st.floats(0, 1), st.integers(0, 5))
def test_a_validation_cut_keeps_sources_whole_and_loses_no_video(videos, fraction, seed):
    kept, held = train_cut(videos, fraction, seed)
    assert sources(kept).isdisjoint(sources(held))
    assert sorted(v.name for v in (*kept, *held)) == sorted(v.name for v in videos)
    assert labels(kept) == labels(videos)


@given(corpora(), st.integers(0, 5), st.randoms())
def test_a_validation_cut_depends_on_the_seed_and_not_on_the_order_of_the_list(videos, seed, random):
    shuffled = list(videos)
    random.shuffle(shuffled)
    assert {v.name for v in train_cut(videos, 0.3, seed)[1]} == {v.name for v in train_cut(shuffled, 0.3, seed)[1]}


@given(
    st.lists(st.sampled_from(["Normal", "Assault", "Robbery"]), min_size=8, max_size=60),
    st.sampled_from([0.1, 0.2, 0.25, 0.5]),
)
def test_the_cut_takes_its_share_of_every_category_where_sources_are_single_videos(categories, fraction):
    videos = [clip(number, f"s{number}", category) for number, category in enumerate(categories)]
    _, held = train_cut(videos, fraction)
    for category in set(categories):
        share = sum(v.category == category for v in held)
        assert abs(share - fraction * categories.count(category)) <= 1


def test_a_small_class_still_gets_a_place_in_validation():
    videos = [clip(n, f"s{n}", "Normal") for n in range(30)] + [clip(n, f"s{n}", "Assault") for n in (30, 31)]
    kept, held = train_cut(videos, 0.1)
    assert labels(kept) == labels(held) == {0, 1}


def test_the_last_source_of_a_class_is_never_held_out():
    videos = [clip(n, f"s{n}", "Normal") for n in range(10)] + [clip(10, "s10", "Assault")]
    kept, held = train_cut(videos, 0.9)
    assert 1 in labels(kept) and labels(held) == {0}


def test_no_share_holds_nothing_out_and_impossible_shares_are_refused():
    videos = [clip(n, f"s{n}", "Normal") for n in range(3)]
    assert train_cut(videos, 0.0) == (tuple(videos), ())
    assert train_cut([], 0.2) == ((), ())
    with pytest.raises(ValueError, match="fraction"):
        train_cut(videos, 1.5)


@settings(max_examples=60, deadline=None)
@given(corpora(categories=("Normal", "fight")), st.integers(2, 5), st.integers(0, 3))
def test_folds_test_every_video_once_and_never_share_a_source(videos, folds, seed):
    try:
        dealt = grouped_folds(videos, folds, seed)
    except DataError as error:
        assert "sources" in str(error) and "use fewer folds, or give more sources" in str(error)
        assume(False)
    assert len(dealt) == folds
    assert sorted(v.name for _, _, test in dealt for v in test) == sorted(v.name for v in videos)
    for train, val, test in dealt:
        assert sorted(v.name for v in (*train, *val, *test)) == sorted(v.name for v in videos)
        assert (
            sources(train).isdisjoint(sources(val))
            and sources(train).isdisjoint(sources(test))
            and sources(val).isdisjoint(sources(test))
        )
        assert labels(train) == labels(val) == labels(test) == {0, 1}


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 20), st.integers(2, 5), st.integers(0, 3))
def test_folds_exist_wherever_each_class_has_sources_enough_of_its_own(count, folds, seed):
    assume(count >= folds + 1)
    videos = [clip(n, f"s{n}", "fight" if n % 2 else "Normal") for n in range(2 * count)]
    sizes = [len(test) for _, _, test in grouped_folds(videos, folds, seed)]
    assert sum(sizes) == 2 * count and max(sizes) - min(sizes) <= 2


def test_folds_repeat_for_a_seed_and_differ_between_seeds():
    videos = [clip(n, f"s{n // 3}", "fight" if n % 2 else "Normal") for n in range(60)]
    assert grouped_folds(videos, 5, 3) == grouped_folds(videos, 5, 3)
    assert len({tuple(v.name for v in grouped_folds(videos, 5, seed)[0][2]) for seed in range(6)}) > 1


def test_too_few_sources_are_counted_in_the_error():
    videos = [clip(n, f"s{n % 2}", "fight") for n in range(10)] + [clip(n, f"s{n}", "Normal") for n in range(10, 30)]
    with pytest.raises(DataError, match="5 folds by source need at least 5 sources with anomalous videos, got 2"):
        grouped_folds(videos, 5, 0)


def test_a_validation_fraction_that_leaves_a_side_empty_is_refused():
    videos = [clip(n, f"s{n}", "fight" if n % 2 else "Normal") for n in range(20)]
    for fraction in (0.0, 1.0):
        with pytest.raises(DataError, match="validation_fraction"):
            grouped_folds(videos, 5, 0, fraction)
    with pytest.raises(ValueError, match="at least 2 folds"):
        grouped_folds(videos, 1, 0)
