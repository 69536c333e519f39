"""`make setup` with an interpreter of paper: which installer is asked for what, and what is said on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Notes what it is asked for; `-m venv DIR` puts a copy of itself there, and `pip install uv` another one as bin/uv.
INTERPRETER = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"install uv=="*) [ "$UV_IS" != unknown ] && cp "$0" "$(dirname "$0")/uv" ;;
    "pip install "*) [ "$UV_IS" != cut-off ] ;;
    *"import sys"*) exit "${TOO_OLD:-0}" ;;
esac
"""


@pytest.fixture
def project(tmp_path) -> Path:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    python = tmp_path / "paper" / "python3"
    python.parent.mkdir()
    python.write_text(INTERPRETER)
    python.chmod(0o755)
    return tmp_path


def make(project: Path, *arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """make's outcome, and what was to be installed, in order."""
    calls = project / "calls"
    calls.write_text("")
    own = {name: value for name, value in os.environ.items() if name not in ("UV", "MAKEFLAGS", "MAKELEVEL", "OS")}
    done = subprocess.run(
        ["make", f"PYTHON={project / 'paper' / 'python3'}", *arguments],
        cwd=project, env={**own, "CALLS": str(calls), **environment}, capture_output=True, text=True,
    )  # fmt: skip
    asked = [line.split() for line in calls.read_text().splitlines() if " install " in line and "ipykernel" not in line]
    return done, ["by uv: " * (words[0] == "uv") + words[-1].split("==")[0] for words in asked]


@pytest.mark.parametrize(
    ("uv", "installed", "said"),
    [
        ("there", ["uv", "by uv: requirements.lock", "."], "Installed by uv in "),
        ("unknown", ["uv", "requirements.lock", "."], "Installed by pip in "),
        ("cut-off", ["uv", "by uv: requirements.lock", "requirements.lock", "."], "Installed by pip in "),
    ],
)
def test_uv_installs_the_lock_and_pip_where_it_cannot(project, uv, installed, said):
    done, asked = make(project, "setup", UV_IS=uv)
    assert done.returncode == 0, done.stderr
    assert asked == installed
    assert said in done.stdout and "7 GB" in done.stdout
    assert ("pip installs the same versions" in done.stdout) == (uv != "there")


@pytest.mark.parametrize(("arguments", "environment"), [(["UV=0"], {}), ([], {"UV": "0"})])
def test_pip_alone_when_asked_for(project, arguments, environment):
    done, asked = make(project, "setup", *arguments, **environment)
    assert done.returncode == 0 and asked == ["requirements.lock", "."]


def test_a_second_make_installs_nothing_until_the_lock_changes(project):
    make(project, "setup")
    assert make(project, "setup")[1] == []
    later = (project / ".venv" / ".vadkit-ready").stat().st_mtime + 10
    os.utime(project / "requirements.lock", (later, later))
    assert len(make(project, "setup")[1]) == 3


def test_what_is_missing_is_said_before_anything_is_made(project):
    done, _ = make(project, "setup", "PYTHON=no-such-python")
    assert done.returncode and "no no-such-python here" in done.stdout
    assert make(project, "setup", TOO_OLD="1")[0].returncode
    assert not (project / ".venv").exists()


def test_help_lists_the_targets_that_exist(project):
    listed = [line.split()[1] for line in make(project, "help")[0].stdout.splitlines()]
    declared = next(line for line in (REPOSITORY / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    assert sorted([*listed, "help"]) == sorted(declared.split()[1:])


def test_windows_is_told_about_wsl_first(project):
    done, asked = make(project, "setup", OS="Windows_NT")
    assert done.returncode and "WSL" in done.stderr and not asked
