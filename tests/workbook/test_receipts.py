"""A receipt names the commit that a run was made at, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace

import pytest

from vadkit.workbook import receipts


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_and_whether_its_files_are_as_it_has_them(tmp_path, monkeypatch):
    package = tmp_path / "vadkit" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.setattr(receipts, "vadkit", SimpleNamespace(__file__=str(package)))
    commit = receipts.commit.__wrapped__
    assert commit() == {}

    def git(*arguments):
        return subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True, text=True).stdout

    git("init")
    assert commit() == {}  # the repository around it does not hold the package
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")
    here = git("rev-parse", "HEAD").strip()
    assert commit() == {"commit": here, "clean": True}
    package.write_text("changed")
    assert commit() == {"commit": here, "clean": False}
    monkeypatch.setenv("PATH", "")
    assert commit() == {}
