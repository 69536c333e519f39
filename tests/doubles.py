"""Stand-ins for samples and features: videos that exist as numbers only, so that experiments take a second."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vadkit.core.clock import Clock
from vadkit.core.digests import digest
from vadkit.corpora.video import Corpus, Video

DIM = 8


@dataclass(frozen=True, eq=False)
class FakeSamples:
    """What the experiment asks of a video's samples; 60 frames at 10 fps, one row in three frames."""

    video: Video
    signal: float
    salt: int = 0

    frames = 60
    fps = 10.0
    times = None
    clock = Clock(10.0)

    @property
    def index(self) -> np.ndarray:
        return np.arange(0, self.frames, 3)

    @property
    def labels(self) -> np.ndarray:
        return self.video.frame_labels(self.frames)[self.index]

    @property
    def bags(self) -> np.ndarray:
        return self._random(1).poisson(0.3, (len(self.index), 80)).astype(np.float32)

    @property
    def digest(self) -> str:
        return digest([self.video.name, self.signal, self.salt])

    def rows(self, purpose, config, hard_only=False) -> np.ndarray:
        rows = np.arange(len(self.index))
        if purpose == "train" and hard_only and self.video.label:
            rows = rows[self.labels == 1]
        return rows

    def features(self, stream: str) -> np.ndarray:
        """Noise, and the label (as the pixels would show it) in the first number, `signal` deviations high."""
        noise = self._random(2 + (stream == "flow")).normal(size=(len(self.index), DIM))
        noise[:, 0] += self.signal * self.labels
        return noise.astype(np.float16)

    def _random(self, kind: int) -> np.random.Generator:
        return np.random.default_rng([int(digest(self.video.name), 16) % 2**32, kind, self.salt])


class Blind(FakeSamples):
    """Where the annotation is stripped, the pixels still show the act."""

    act = (21, 42)

    @property
    def labels(self) -> np.ndarray:
        return replace(self.video, intervals=(self.act,) if self.video.label else ()).frame_labels(self.frames)[
            self.index
        ]


def fake_corpus(official: bool = True, videos: int = 24) -> Corpus:
    """Half of the videos anomalous, from frame 21 to 42, where rows stand; official lists, or one source per two
    videos for folds."""
    made = []
    for number in range(videos):
        category = ("Normal", "Fighting", "Normal", "Robbery")[number % 4]
        split = ("train", "train", "train", "train", "val", "val", "test", "test")[number % 8] if official else "all"
        intervals = () if category == "Normal" else ((21, 42),)
        made.append(
            Video(
                f"{category}{number:03d}",
                Path(f"{category}{number:03d}.mp4"),
                category,
                split,
                f"source{number // 2}",
                intervals,
            )
        )
    return Corpus("fake", tuple(made))


def fake_world(monkeypatch: pytest.MonkeyPatch, signal: float = 2.0) -> dict:
    """Put the stand-ins in the place of extraction and features; returns counters and knobs of the world."""
    from vadkit.systems import inputs, material, trainer

    world = {
        "signal": signal,
        "trained": 0,
        "problems": [],
        "samples": lambda video: FakeSamples(video, world["signal"]),
    }

    def extract(videos, config, progress=None, purpose=None):
        return [world["samples"](v) for v in videos], list(world["problems"])

    def extract_clips(videos, config, size, streams, progress=None, purpose=None, every=1):
        return extract(videos, config)

    def features_of(samples, stream, network, config):
        return samples.features(stream)

    train = trainer.train

    def count(*args, **kwargs):
        world["trained"] += 1
        return train(*args, **kwargs)

    monkeypatch.setattr(inputs, "extract", extract)
    monkeypatch.setattr(inputs, "extract_features", lambda *args: None)
    monkeypatch.setattr(inputs, "extract_clips", extract_clips)
    monkeypatch.setattr(inputs, "features_of", features_of)
    monkeypatch.setattr(material, "extract", extract)
    monkeypatch.setattr(material, "features_of", features_of)
    monkeypatch.setattr(material, "extract_features", lambda *args: None)
    monkeypatch.setattr(material, "rated", lambda one, rate: one)
    monkeypatch.setattr(trainer, "train", count)
    return world


def blind_world(
    monkeypatch: pytest.MonkeyPatch, signal: float, module: ModuleType, training: str, samples: type[Blind] = Blind
) -> dict:
    """A fake world of `samples` for what learns from video labels; counts what `training` of the module is called
    for, and keeps what is asked for."""
    from vadkit.systems import bags, inputs

    world, real = fake_world(monkeypatch, signal), getattr(module, training)
    world["seen"] = []

    def made(video):
        world["seen"].append((video.split, video.intervals))
        return samples(video, world["signal"])

    def count(*args, **kwargs):
        world["trained"] += 1
        return real(*args, **kwargs)

    world["samples"] = made
    monkeypatch.setattr(bags, "extract", inputs.extract)
    monkeypatch.setattr(module, training, count)
    return world
