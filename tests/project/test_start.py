"""How the command starts: as a module too, and on Windows not at all, with one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vadkit import __version__


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_python_m_vadkit_is_the_command():
    assert python("-m", "vadkit", "--version").stdout == f"vadkit {__version__}\n"
    wrong = python("-m", "vadkit", "ran")
    assert wrong.returncode == 2 and "did you mean 'run'" in wrong.stderr


@pytest.mark.parametrize("imported", ["vadkit", "vadkit.workbook.cli", "vadkit.core.store"])
def test_windows_is_told_about_wsl_before_anything_else_fails(imported):
    """As there: no fcntl, and nothing imported yet that could complain first."""
    done = python("-c", f"import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; import {imported}")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "WSL" in done.stderr and done.stderr.count("\n") == 1
