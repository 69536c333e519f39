"""Runs of systems that were written down (`vadkit.corpora.recorded`): what `runner` gives in place of training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError, reading
from vadkit.corpora.recorded import FEATURES, REMEDY, SCORES, table
from vadkit.corpora.video import Corpus, Video
from vadkit.evaluation.scores import VideoScores

ARRAYS = "the arrays of a recorded run"


def names(root: Path) -> list[str]:
    """The systems whose scores were recorded."""
    with reading(root / SCORES, ARRAYS, REMEDY), np.load(root / SCORES) as arrays:
        return sorted({key.partition("/")[0] for key in arrays.files})


def scores(config: Config, corpus: Corpus, system: str, videos: Sequence[Video]) -> dict[int, list[VideoScores]]:
    """Recorded scores by seed, of those of the videos that the system scored.

    Raises ConfigError for a system or a seed that was not recorded, DataError for a table that has not its videos.
    """
    root, wanted = corpus.recorded, {video.name: video for video in videos}
    if system not in (known := names(root)):
        raise ConfigError(f"{root} has no scores of {system}; it has those of {', '.join(known)}")
    facts = table(root).set_index("name")
    with reading(root / SCORES, ARRAYS, REMEDY), np.load(root / SCORES) as arrays:
        of, seeds = (arrays[f"{system}/{part}"] for part in ("videos", "seeds"))
        index, lengths, confidence = (arrays[f"{system}/{part}"] for part in ("index", "lengths", "confidence"))
    if unknown := sorted(set(config.seeds) - set(seeds.tolist())):
        raise ConfigError(f"seeds: {root} has {', '.join(map(str, seeds))}, not {unknown[0]}; take some of these")
    if lost := [name for name in of.tolist() if name not in facts.index]:
        raise DataError(f"{root}: there are scores of {lost[0]}, and no such video in the table; {REMEDY}")
    starts = np.concatenate([[0], np.cumsum(lengths)])
    found: dict[int, list[VideoScores]] = {seed: [] for seed in config.seeds}
    for seed in config.seeds:
        number = seeds.tolist().index(seed)
        for name, start, end in zip(of.tolist(), starts[:-1], starts[1:], strict=True):
            if (video := wanted.get(name)) is not None:
                frames, fps = int(facts.at[name, "frames"]), float(facts.at[name, "fps"])
                said = index[start:end], confidence[number, start:end]
                labels = video.frame_labels(frames)
                found[seed].append(VideoScores(name, video.category, video.source, fps, *said, labels))
    return found


def features(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean frame features (videos, d), labels and sources of the recorded training videos."""
    path = corpus.recorded / FEATURES
    with reading(path, ARRAYS, REMEDY), np.load(path) as arrays:
        return arrays["features"].astype(np.float32), arrays["labels"], arrays["sources"]
