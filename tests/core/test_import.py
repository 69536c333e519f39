"""The command answers at once: nothing heavy is imported with the package, its parameters or the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "cv2",
    "ultralytics",
    "pandas",
    "matplotlib",
    "sklearn",
    "papermill",
    "onnxruntime",
    "av",
)


@pytest.mark.parametrize(
    "module",
    [
        "vadkit",
        "vadkit.core.config",
        "vadkit.core.store",
        "vadkit.workbook.cli",
        "vadkit.workbook.run",
        "vadkit.workbook.checks",
    ],
)
def test_import_is_light(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
