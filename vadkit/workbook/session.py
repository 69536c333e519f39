"""What every notebook does in its second code cell, so that the cell stays two lines."""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError
from vadkit.core.parameters import make_config

LITERALS = (bool, int, float, str, list, dict, type(None))  # what papermill can inject
SHOWN = ("torch", "torchvision", "opencv-python", "ultralytics", "numpy", "pandas", "scikit-learn")


def start(namespace: Mapping[str, Any]) -> Config:
    """The Config of a notebook's parameters cell; prints versions, device and where results go.

    namespace: the notebook's `globals()`. Raises ConfigError where a parameter is missing, wrong or unknown. What later
    cells set does not count, when this is called again.
    """
    given = _given(namespace)
    values = {name: namespace[name] for name in (*Config.model_fields, *given) if name in namespace}
    for name, value in values.items():
        if not isinstance(value, LITERALS):  # a later cell took the name, as the corpus itself takes `corpus`
            values[name] = given.get(name, value)
    missing = [name for name in Config.model_fields if name not in values]
    if missing and given.keys() <= Config.model_fields.keys():
        raise ConfigError(f"the parameters cell lacks {', '.join(missing)}; run `make notebooks` to renew it")
    config = make_config(values, where="the parameters cell")
    import matplotlib
    from matplotlib import pyplot as plt

    from vadkit.core.compute import device_of

    # the inline backend shows figures once it is in use; begun within our figures' `rc_context`, that would be undone
    plt.switch_backend(matplotlib.get_backend())
    print(f"profile {config.profile} (fingerprint {config.fingerprint()}), results in {config.output_dir}")
    print(f"python {sys.version.split()[0]} on {platform.machine()}, " + ", ".join(f"{p} {version(p)}" for p in SHOWN))
    print(f"device {device_of(config)}")
    if config.corpus != "ucf_crime":
        print("These are not the papers' data: nothing here reproduces, or fails to reproduce, a printed number.")
    return config


def _given(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Names, with their values, that the parameters cell sets, and the cells right below it that only set something.

    That is where papermill, or a reader, puts other values. Outside of IPython every plain value counts.
    """
    if "In" not in namespace:
        return {k: v for k, v in namespace.items() if isinstance(v, LITERALS) and not k.startswith("_")}
    found, below = {}, False
    for source in namespace["In"]:  # the cells as they were run, this one last
        cell = _assignments(source)
        whole = len(cell.keys() & Config.model_fields.keys()) > len(Config.model_fields) // 2
        below = whole or (below and bool(cell))
        found = cell if whole else found | cell if below else found
    return found


def _assignments(source: str) -> dict[str, Any]:
    """What a cell of nothing but `name = literal` lines sets; empty for any other cell."""
    try:
        return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(source).body}
    except (SyntaxError, ValueError, AttributeError):  # no Python, no literal, no name or no assignment
        return {}
