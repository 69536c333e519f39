"""A short run of the fuzz bench: no damaged input crashes, hangs, runs code, or gives another number unsaid."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import REPOSITORY

READERS = "video,lists,annotations,scores,features,parameters,notebooks,tables"


@pytest.mark.skipif(sys.platform != "linux", reason="limits processes by Linux's means")
@pytest.mark.parametrize(
    ("kinds", "count"),
    [(READERS, 8), pytest.param("names,weights,detectors,assets,models,cache", 3, marks=pytest.mark.slow)],
)
def test_damaged_files_are_refused_or_harmless(kinds, count):
    script = [sys.executable, REPOSITORY / "benchmarks" / "fuzz.py", "--count", str(count), "--kinds", kinds]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["inputs"] == count * len(kinds.split(",")) and facts["faults"] == 0
