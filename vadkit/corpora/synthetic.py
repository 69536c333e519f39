"""The demo's corpus: a procedural CCTV world, rendered once and laid out as UCF-Crime and UCFCrime2Local are.

The same reader reads it. `UCFCrime2Local/sources.csv` adds each video's camera, which never stands on two sides.
"""

from dataclasses import replace
from pathlib import Path

from demo_world.layout import render_world
from vadkit.core.code import code_version
from vadkit.core.config import Config
from vadkit.core.progress import Progress
from vadkit.core.store import Store
from vadkit.corpora.ucf_crime import read_tree
from vadkit.corpora.video import Corpus


def load(config: Config, progress: Progress | None = None) -> Corpus:
    """The synthetic corpus of `config`, rendered where the cache does not hold it. Raises DataError as the reader.
    Splits: "train", "val", "test" from UCFCrime2Local's six classes, "unseen" from the other seven."""
    return replace(read_tree(world_root(config, progress), config), name="synthetic")


def world_root(config: Config, progress: Progress | None = None) -> Path:
    """The rendered world's folder, in UCF-Crime's layout."""
    key = {"seed": config.world_seed, "seconds": config.world_seconds, "code": code_version("demo_world.layout")}
    key |= {"train_videos": config.world_train_videos, "test_videos": config.world_test_videos}
    return Store(config.cache_dir).fetch("world", key, lambda folder: render_world(folder, config, progress))
