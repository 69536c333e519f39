"""Several videos, one after the other: what `vadkit score` writes for each, and a summary of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vadkit.core.container import pictures_in
from vadkit.core.errors import DataError, DiskError, shown
from vadkit.corpora.folder import clips_in
from vadkit.live.score import score


def videos_of(sources: Sequence[str]) -> list[str]:
    """The videos that files and folders are or hold; a folder of pictures is a video, as are streams and cameras.

    Raises DataError for a folder without any, and for two videos whose outputs would have one name.
    """
    found: list[str] = []
    for source in sources:
        folder = Path(source).is_dir() and not pictures_in(Path(source))
        clips = list(map(str, clips_in(Path(source))[0])) if folder else [source]
        if not clips:
            raise DataError(f"{source}: expected videos in this folder, or pictures, got neither")
        found += clips
    names: dict[str, str] = {}
    for video in found:
        if (other := names.setdefault(Path(video).stem, video)) is not video:
            raise DataError(f"{other} and {video} would write the same files; score them one at a time")
    return found


def score_each(videos: Sequence[str], find: Callable, say: Callable, films=None, tables=None, **options) -> list[dict]:
    """Score each video by the model that `find` gives for it; a line each, with its `error` where it failed or ended
    early. films, tables: folders for <video>.mp4 and .csv; options: of `score`. Raises DataError for a file's name."""
    folders, lines = ((films, ".mp4"), (tables, ".csv")), []
    for folder, suffix in folders:
        if folder and (Path(folder).suffix == suffix or Path(folder).is_file()):
            raise DataError(f"{folder}: of several videos give a folder, for a {suffix} each")
    for video in videos:
        if options["stopped"]():
            break
        paths = [folder and Path(folder) / (Path(video).stem + suffix) for folder, suffix in folders]
        try:
            verdict = score(video, find(video), *paths, **options)
            line = {"video": shown(video), "verdict": verdict.word, "share_in_alarm": verdict.share}
            line |= {"seconds": verdict.frames / verdict.fps, "times_real_time": verdict.real_time_factor}
            early = verdict.broken or "stopped by hand" * verdict.stopped
            lines.append({**line, "unlike": verdict.unlike, "error": early})
        except (DataError, DiskError) as error:
            lines.append({"video": shown(video), "error": str(error)})
        say(", ".join(f"{one:.4g}" if isinstance(one, float) else str(one) for one in lines[-1].values() if one))
    return lines
