"""Where files of weights are: those that ship with the demo world, and torchvision's published ResNets."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from vadkit.core.errors import WeightsError
from vadkit.core.store import file_digest

# Networks trained on the demo world. Its files alone are used here: what draws it is imported by corpora.synthetic.
WORLD_ASSETS = Path(str(files("demo_world"))) / "assets"

# IMAGENET1K_V1: He et al.'s recipe, as that of the paper's Keras weights. A name ends in the head of the content's sha256.
RESNET_FILES = {"resnet50": "resnet50-0676ba61.pth", "resnet18": "resnet18-f37072fd.pth"}
RESNET_URL = "https://download.pytorch.org/models/"


def resnet_path(name: str) -> Path:
    """Where torch keeps the file once it is downloaded, by torch's own rule."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = Path(os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")).expanduser()
    return root / "hub" / "checkpoints" / RESNET_FILES[name]


def check_published(path: Path) -> None:
    """Raise WeightsError where a file's content is not the one that its published name stands for; nothing where there is no file.

    torch looks at that only when it downloads. What passes is known by its name, downloaded or not yet.
    """
    if not path.is_file():
        return
    expected = path.stem.rpartition("-")[2]
    got = file_digest(path)[: len(expected)]
    if got != expected:
        raise WeightsError(
            f"{path} is not the published file: expected content whose sha256 begins with {expected}, got {got}; delete it, and it is downloaded again "
            f"(no network: put {RESNET_URL}{path.name} there), or give backbone_weights the path of weights of your own"
        )
