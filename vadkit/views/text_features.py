"""Sentences about UCF-Crime's videos as clip features: TF-IDF and truncated SVD, a row for each 16 frames.

Fitted on the sentences of the official training videos alone; lengths and rates are those of `corpora.public_lists`. A
row is the mean of the sentences that cover any of its frames. Where none does, the sentences that ended last hold, so
that no row knows what is said of later frames; before the first sentence a row is zero.
"""

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from vadkit.core.disk import on_disk
from vadkit.core.errors import ConfigError, DataError, few, reading
from vadkit.corpora.public_lists import listed
from vadkit.corpora.ucf_forms import video_name
from vadkit.corpora.video import Video

CLIP_FRAMES = 16  # of a row, as of published C3D and I3D features
DIMENSIONS = 1024
UCA = tuple(f"UCFCrime_{part}.json" for part in ("Train", "Val", "Test"))  # its own split, which is not UCF-Crime's
UCA_HOME = "https://github.com/Xuange923/Surveillance-Video-Understanding"
SOURCES = f"give a clone of {UCA_HOME}, or a folder of <video>.json, each {{frame: caption}}"

Timed = tuple[float, float, str]  # a sentence, with the frames [start, end) that it is about


@dataclass
class Described:
    """videos: the sentences of each by name; notes: what was left out or mended."""

    videos: dict[str, list[Timed]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Written:
    """What `write` wrote: videos by split, rows; what it fitted on, and the share of its variance that is kept."""

    videos: dict[str, int]
    rows: int
    sentences: int
    words: int
    variance: float
    notes: tuple[str, ...]


def write(source: str | Path, out: str | Path, dimensions: int = DIMENSIONS, also: str | Path | None = None) -> Written:
    """Write `<name>.npy`, (rows, dimensions) float16, of each listed video that has sentences, into a new folder.

    source: a clone of UCA, or a folder of captions; also: another, which a video that both describe is taken from.
    Raises as `read` does, and ConfigError for an `out` that is not empty, no training video among those described, and
    more dimensions than words or sentences.
    """
    out, public = Path(out), listed("ucf-crime")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty; remove it, or give a new folder")
    found = [read(folder, public) for folder in (source, also) if folder]
    said = {name: timed for one in found for name, timed in one.videos.items()}
    said = {name: said[name] for name in public if name in said}
    taught = [text for name, timed in said.items() if public[name].split == "train" for *_, text in timed]
    if not taught:
        remedy = f"give a clone of {UCA_HOME} as the source, and this folder with --also"
        raise ConfigError(f"{source} describes no training video, and test videos teach nothing; {remedy}")
    words, svd = _fitted(taught, dimensions)
    rows, scratch = 0, out.with_name(f".{out.name}-{os.getpid()}")
    with on_disk(out):  # the folder is there as a whole, or not at all
        try:
            scratch.mkdir(parents=True)
            for name, timed in said.items():
                vectors = svd.transform(words.transform([text for *_, text in timed]))
                features = timed_rows(timed, vectors, -(-public[name].frames // CLIP_FRAMES))
                np.save(scratch / f"{name}.npy", features.astype(np.float16))
                rows += len(features)
            os.replace(scratch, out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    notes, counts = [note for one in found for note in one.notes], {}
    for split in ("train", "test"):
        names = {name for name in public if public[name].split == split}
        counts[split], without = len(names & said.keys()), sorted(names - said.keys())
        notes += [f"{len(without)} {split} videos have no sentence: {', '.join(without)}"] if without else []
    variance = float(svd.explained_variance_ratio_.sum())
    return Written(counts, rows, len(taught), len(words.vocabulary_), variance, tuple(notes))


def read(folder: str | Path, public: dict[str, Video]) -> Described:
    """The timed sentences in UCA's three files anywhere below a folder, or else in `<name>.json`, {frame: caption}.

    A caption holds until the next. Sentences whose times are no part of their video and videos that are not listed are
    left out; what passes an end is cut. Noted, but for cuts below a second. Raises DataError for a folder without
    such files, for one of another form, without a sentence or listed video, and for a video that two files describe.
    """
    files = sorted(path for path in Path(folder).rglob("*.json") if path.is_file())
    uca = [path for path in files if path.name in UCA]
    if not files or len(uca) not in (0, len(UCA)):
        got = f"{len(uca)} of UCA's {', '.join(UCA)}" if files else "no .json file"
        raise DataError(f"{got} in {folder} or below; {SOURCES}")
    found, strangers = Described(), []
    for path in uca or files:
        with reading(path, "JSON of timed sentences", "get it again, or keep it out of the folder"):
            content = json.loads(path.read_text(encoding="utf-8"))
            for key, one in (content if uca else {path.stem: content}).items():
                name = video_name(key)
                if name in found.videos:
                    raise DataError(
                        f"{path}: {name} is described by two files; give the folder of one kind of text alone"
                    )
                if name not in public:
                    strangers.append(name)
                    continue
                timed = _uca(one, public[name].fps) if uca else _captions(one)
                found.videos[name] = _within(timed, public[name], found.notes)
                if not found.videos[name]:
                    raise DataError(f"{path}: no sentence about {name}; get the file again, or take the video out")
    if strangers:
        found.notes.append(f"{len(strangers)} videos are not UCF-Crime's, left out: {', '.join(few(strangers, 5))}")
    if not found.videos:
        raise DataError(f"{folder} describes no video of UCF-Crime; {SOURCES}")
    return found


def _uca(one: Any, fps: float) -> list[Timed]:
    pairs = zip(one["timestamps"], one["sentences"], strict=True)
    return [(float(start) * fps, float(end) * fps, text.strip()) for (start, end), text in pairs]


def _captions(one: Any) -> list[Timed]:
    frames = sorted((int(frame), text.strip()) for frame, text in one.items())
    ends = [frame for frame, _ in frames[1:]]
    return [(frame, end, text) for (frame, text), end in zip_longest(frames, ends, fillvalue=math.inf)]


def _within(timed: Sequence[Timed], video: Video, notes: list[str]) -> list[Timed]:
    """Those that say something of the video's frames; notes what is not so."""
    kept = [(start, min(end, video.frames), text) for start, end, text in timed if text]
    kept = [one for one in kept if 0 <= one[0] < one[1]]
    if lost := len(timed) - len(kept):
        notes.append(f"{video.name}: {lost} of {len(timed)} sentences are empty or of no frame of it, left out")
    if late := sum(video.frames + video.fps < end < math.inf for _, end, _ in timed):
        notes.append(f"{video.name}: {late} of {len(timed)} sentences pass its end by more than a second, cut there")
    return kept


def timed_rows(timed: Sequence[Timed], vectors: np.ndarray, rows: int) -> np.ndarray:
    """Features of a video's rows of 16 frames. Shape: vectors (sentences, D) -> (rows, D) float32."""
    total, count = np.zeros((rows, vectors.shape[1]), np.float32), np.zeros(rows, np.float32)
    ended: dict[int, list[np.ndarray]] = {}
    for (start, end, _), vector in zip(timed, vectors, strict=True):
        first, after = int(start // CLIP_FRAMES), math.ceil(end / CLIP_FRAMES)
        total[first:after] += vector
        count[first:after] += 1
        ended.setdefault(after, []).append(vector)
    total /= np.maximum(count, 1)[:, None]
    for row in np.flatnonzero(count[1:] == 0) + 1:
        total[row] = np.mean(ended[row], axis=0) if row in ended else total[row - 1]
    return total


def _fitted(sentences: Sequence[str], dimensions: int) -> tuple[Any, Any]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    try:
        counted = words.fit_transform(sentences)
    except ValueError as error:  # no word is left
        raise DataError(
            f"{len(sentences)} sentences about training videos share no word ({error}); {SOURCES}"
        ) from None
    if dimensions >= min(counted.shape):
        found = f"{counted.shape[1]} words in {counted.shape[0]} sentences about training videos"
        raise ConfigError(f"{dimensions} dimensions are too many for {found}; give fewer with --dimensions")
    return words, TruncatedSVD(dimensions, random_state=0).fit(counted)
