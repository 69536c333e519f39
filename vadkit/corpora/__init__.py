"""Where videos and labels come from: a reader for each corpus, found by its name in the parameters.

A corpus of your own needs no change here: `register_corpus("mine", load)`, and `corpus: mine` in a parameter file.
"""

import importlib
from collections.abc import Callable

from vadkit.core.config import CORPORA, Config
from vadkit.core.progress import Progress
from vadkit.corpora.video import Corpus

Load = Callable[[Config, Progress | None], Corpus]
_registered: dict[str, Load] = {}


def register_corpus(name: str, load: Load) -> None:
    """Make `corpus: <name>` known, in this process. Raises ValueError for a name that is taken by another reader.

    load(config, progress): the corpus of `config.data_root` or elsewhere; raises DataError with the remedy for no data.
    """
    if _registered.get(name, load) is not load or name in CORPORA - _registered.keys():
        raise ValueError(f"there is a corpus '{name}' already; give yours another name")
    _registered[name] = load
    CORPORA.add(name)


def load_corpus(config: Config, progress: Progress | None = None) -> Corpus:
    """The corpus that `config.corpus` names; progress: of long steps. Raises DataError for no data."""
    if config.corpus in _registered:
        return _registered[config.corpus](config, progress)
    return importlib.import_module(f"vadkit.corpora.{config.corpus}").load(config, progress)
