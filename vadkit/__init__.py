"""vadkit: the helper package behind a reproducibility workbook for video anomaly detection.

Importing it is cheap: torch, OpenCV and ultralytics are imported by the modules that use them.
"""

import sys

if sys.platform == "win32":  # before anything else: cache, results and runs take turns by POSIX file locks
    sys.exit("error: vadkit runs on Linux and macOS; on Windows, use it from a WSL terminal (`wsl --install` adds one)")

__version__ = "0.1.0"
