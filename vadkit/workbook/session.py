"""What every notebook does in its second code cell, so that the cell stays two lines."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from vadkit.core.config import Config, make_config

SHOWN = ("torch", "torchvision", "opencv-python", "ultralytics", "numpy", "pandas", "scikit-learn")


def start(namespace: Mapping[str, Any]) -> Config:
    """The Config of a notebook's parameters cell; prints versions, device and where results go.

    namespace: the notebook's `globals()`, after the parameters cell and papermill's injected one.
    Raises ConfigError where a parameter is missing or wrong, so that a notebook run by hand is held to
    the same rules as `vadkit run`.
    """
    missing = [name for name in Config.model_fields if name not in namespace]
    if missing:
        from vadkit.core.errors import ConfigError

        raise ConfigError(f"the parameters cell lacks {', '.join(missing)}; run `make notebooks` to renew it")
    import matplotlib
    from matplotlib import pyplot as plt

    from vadkit.core.compute import device_of

    # The inline backend makes figures show when it is first used. Within `rc_context`, as our figures are drawn, that would be
    # undone at the end, and only the first figure would be seen.
    plt.switch_backend(matplotlib.get_backend())

    config = make_config({name: namespace[name] for name in Config.model_fields}, where="the parameters cell")
    print(f"profile {config.profile} (fingerprint {config.fingerprint()}), results in {config.output_dir}")
    print(f"python {sys.version.split()[0]} on {platform.machine()}, " + ", ".join(f"{p} {version(p)}" for p in SHOWN))
    print(f"device {device_of(config)}")
    if config.corpus != "ucf_crime":
        print("These are not the papers' data: nothing here reproduces, or fails to reproduce, a printed number.")
    return config
