"""A corpus of real files that takes a second: train, validation and test, a box in every anomalous video."""

from __future__ import annotations

from pathlib import Path

from conftest import moving_square, write_video

from vadkit.corpora import Corpus, Video


def tiny_corpus(folder: Path) -> Corpus:
    """Six videos of 60 frames at 30 fps; the anomalous ones are so from frame 15 to 45, in a box around the middle."""
    videos = []
    for number, split in enumerate(["train", "train", "val", "val", "test", "test"]):
        category = "Assault" if number % 2 == 0 else "Normal"
        path = write_video(folder / f"{category}{number:03d}.mp4", moving_square(60))
        boxes = None
        if category == "Assault":
            boxes = folder / f"{category}{number:03d}.txt"
            boxes.write_text("".join(f'0 16 12 48 36 {frame} {int(frame >= 45)} 0 0 "Assault"\n' for frame in range(15, 60)))
        videos.append(Video(f"{category}{number:03d}", path, category, split, f"s{number}", ((15, 45),) if boxes else (), boxes))
    return Corpus("tiny", tuple(videos))
