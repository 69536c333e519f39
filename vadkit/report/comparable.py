"""Whether a number of ours may be set beside a printed one: only on the paper's data, and only by the paper's network.

The parameters say which network was trained. What the corpus holds is counted, and compared with the sizes that the
papers print: a list with a video missing is another list.
"""

import json
from collections.abc import Iterable
from functools import lru_cache

from vadkit.core.config import Config
from vadkit.core.errors import VadkitError
from vadkit.corpora import load_corpus
from vadkit.corpora.video import Corpus, Problem
from vadkit.report import published
from vadkit.report.published import Published
from vadkit.systems.base import all_systems

OTHER_VIDEOS = "not the paper's videos"
FIRST, SECOND = published.PAPERS


def why_not(config: Config, printed: Published, problems: Iterable[Problem] = ()) -> str:
    """Why our number says nothing about the printed one; empty where it may be set beside it.

    problems: of the videos that it was measured with or trained on; one that was left out makes other data of them.
    What a notebook measures of a system needs the paper's network as well.
    """
    if differs := other_data(config, printed.paper) or _other_list(config, printed):
        return differs
    if lost := [p for p in problems if p.left_out]:
        return f"{len(lost)} of the lists' videos could not be used, the first: {lost[0].where}: {lost[0].what}"
    if printed.ours.startswith("notebook"):
        return "; ".join(filter(None, (other_network(config, name) for name in printed.system.split(" / "))))
    return ""


def other_data(config: Config, paper: str) -> str:
    """How the corpus differs from the paper's data; empty where it is the same. Read once a process."""
    if config.corpus != "ucf_crime":
        return OTHER_VIDEOS
    if config.split != "official":
        return f"split is {config.split}, the paper's is fixed by lists"
    corpus = _corpus(config.model_dump_json())
    if isinstance(corpus, str):
        return f"the data cannot be read: {corpus}"
    if corpus.no_pixels:
        return "no video was looked at: features of others stand for them"
    train, val, test = (len(corpus.of(side)) for side in ("train", "val", "test"))
    if paper == SECOND:
        found, wanted = train + val + test, _size(SECOND, "section III", "UCF-Crime", "videos")
        if corpus.lists != "official":
            return f"the lists are {corpus.lists}'s, the paper's those of all of UCF-Crime"
        if any(v.label and v.intervals is None for v in corpus.of("test")):
            return "anomalous test videos have no temporal annotation"
        return "" if found == wanted else f"{found} videos of the lists are there, the paper has {wanted}"
    if corpus.lists != "UCFCrime2Local":
        return "the lists are UCF-Crime's own, the paper's those of UCFCrime2Local"
    found = (train, val + test) if config.validation == "test_parity" else (train + val, test)
    wanted = tuple(_size(FIRST, "section 4.1", "UCFCrime2Local", side) for side in ("train_videos", "test_videos"))
    if found == wanted:
        return ""
    there = f"{found[0]} training and {found[1]} test videos of the lists are there"
    return f"{there}, the paper has {wanted[0]} and {wanted[1]}"


def other_network(config: Config, name: str) -> str:
    """How the run's network of that name differs from the published one; empty where it does not, or is none."""
    system = all_systems().get(name)
    return "; ".join(system.other_network(config)) if system else ""


def _other_list(config: Config, printed: Published) -> str:
    """Which of the lists the number is of, where that is not the paper's choice."""
    if printed.paper != FIRST:
        return ""
    known = all_systems()
    systems = [known[name] for name in printed.system.split(" / ") if name in known]
    # Section 4.6: no validation set, the whole lists.
    whole = bool(systems) and not any(system.early_stopping for system in systems)
    if config.validation != "test_parity" and not whole:
        return f"validation is {config.validation}, the paper's every other video of the test list (test_parity)"
    if printed.ours == "notebook 07":  # the unseen classes
        found = sum(v.label for v in _corpus(config.model_dump_json()).of("unseen"))
        wanted = _size(FIRST, "section 4.7", "unseen test set", "anomalous_videos")
        return "" if found == wanted else f"{found} videos of unseen classes are there, the paper has {wanted}"
    return ""


def _size(*key: str) -> int:
    return int(published.lookup(*key).value)


@lru_cache(maxsize=4)
def _corpus(parameters: str) -> Corpus | str:
    """The corpus of these parameters, or why it cannot be read."""
    try:
        return load_corpus(Config(**json.loads(parameters)))
    except VadkitError as error:
        return str(error).splitlines()[0]
