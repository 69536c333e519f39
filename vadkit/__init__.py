"""vadkit: the helper package behind a reproducibility workbook for video anomaly detection.

Importing it is cheap: torch, OpenCV and ultralytics are imported by the modules that use them.
"""

__version__ = "0.1.0"
