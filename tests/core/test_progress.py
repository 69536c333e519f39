"""Progress: one line while a step lasts, and nothing of it afterwards."""

from __future__ import annotations

from vadkit.core import progress as module
from vadkit.core.progress import VARIABLE, ProgressBar


def steps(progress) -> None:
    for done in range(1, 201):
        progress(done, 200, f"video {done}")
    for done in (1, 2):
        progress(done, 2, "another step")


def test_a_step_is_one_line_that_goes(capsys, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    steps(ProgressBar())
    out = capsys.readouterr().out
    assert "\n" not in out and "50% 100/200 [00:00] video 100" in out and "50% 1/2 [00:00] another step" in out
    assert out.split("\r")[-2].strip() == ""


def test_lines_come_at_intervals(capsys):
    steps(ProgressBar())
    assert 1 <= capsys.readouterr().out.count("video") < 20


def test_what_is_in_the_cache_has_no_line(capsys):
    progress = ProgressBar()
    progress(96, 96, "samples in the cache")
    assert capsys.readouterr().out.strip() == ""


def test_under_a_run_it_is_said_in_a_file(tmp_path, capsys, monkeypatch):
    path = tmp_path / "00.progress"
    monkeypatch.setenv(VARIABLE, str(path))
    progress = ProgressBar()
    progress(90, 96, "samples of Arrest001")
    assert path.read_text() == "94% 90/96 [00:00] samples of Arrest001"
    progress(96, 96, "samples of Arson003")
    assert path.read_text() == "" and capsys.readouterr().out == ""
