"""Progress bars: one a step, none for what is done."""

from __future__ import annotations

from vadkit.core.progress import ProgressBar


def test_many_small_steps_are_one_bar(capsys):
    progress = ProgressBar()
    for done in range(1, 201):
        progress(done, 200, f"video {done}")
    for done in (1, 2):
        progress(done, 2, "another step")
    lines = [line for line in capsys.readouterr().out.split("\n") if line.strip()]
    last = [line.split("\r")[-1] for line in lines]
    assert len(lines) == 2 and "200/200" in last[0] and "2/2" in last[1] and "another step" in last[1]


def test_what_is_in_the_cache_has_no_bar(capsys):
    progress = ProgressBar()
    progress(96, 96, "samples in the cache")
    assert capsys.readouterr().out == ""
    progress(90, 96, "samples in the cache")
    progress(96, 96, "the last video")
    assert "96/96" in capsys.readouterr().out
