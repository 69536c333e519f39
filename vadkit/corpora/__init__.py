"""Where videos and labels come from: a reader for each corpus, found by its name in the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.corpora.video import Corpus


def load_corpus(config: Config) -> Corpus:
    """The corpus that `config.corpus` names. Raises DataError where data are missing, with the remedy."""
    if config.corpus == "synthetic":
        from vadkit.corpora import synthetic as reader
    elif config.corpus == "ucf_crime":
        from vadkit.corpora import ucf_crime as reader
    else:
        from vadkit.corpora import folder as reader
    return reader.load(config)
