"""Alarms as events: when they open and close, what is kept, and what a full disk or a kill leaves."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from conftest import REPOSITORY

from vadkit.core.errors import ConfigError
from vadkit.live import events
from vadkit.live.events import CURVE, EventLog, Recorder, jpeg_of, read_events
from vadkit.live.source import Frame

FACTS = {"system": "2S-bag-ha", "run": "demo", "threshold": 0.5}


class Scene:
    """A camera whose score is given: pictures at eight a second, readings at four."""

    def __init__(self, folder, size=(64, 48)):
        self.said, self.told = [], []
        self.log = EventLog(folder, self.told.append, self.said.append)
        self.recorder = Recorder(self.log, "door", 0, FACTS, self.said.append)
        self.size, self.number = size, 0

    def goes(self, seconds: float, score: float, place=None) -> Scene:
        for _ in range(round(8 * seconds)):
            image = np.full((*self.size[::-1], 3), 10 + self.number % 200, np.uint8)
            frame = Frame(self.number, image, self.number / 8, time.monotonic())
            self.recorder.picture(frame, jpeg_of(image))
            if self.number % 2 == 0:
                reading = SimpleNamespace(time_s=frame.time_s, confidence=score, sas=score, alarm=score > 0.5)
                self.recorder.read(reading, frame, "Fighting", place, ["a note"])
            self.number += 1
        return self

    def end(self) -> list[dict]:
        self.recorder.close("closed at the end")
        self.log.close()
        return read_events(self.log.folder)


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_an_alarm_becomes_one_event_with_hysteresis(tmp_path):
    scene = Scene(tmp_path).goes(10, 0.1).goes(2, 0.8).goes(2, 0.2).goes(2, 0.9).goes(8, 0.1)
    (event,) = scene.end()
    assert (event["state"], event["camera"], event["category"]) == ("closed", "door", "Fighting")
    assert (event["start_s"], event["end_s"]) == (10.0, 15.75)
    assert (event["peak"], event["peak_s"], event["confidence"]) == (0.9, 14.0, 0.9)
    assert {key: event[key] for key in FACTS} == FACTS and event["notes"] == ["a note"]
    assert event["curve"][0][0] < 10 < event["curve"][-1][0] and len(event["curve"]) <= CURVE
    assert event["started_at"] < event["ended_at"] and event["ended_at"].endswith("+00:00")
    assert [line["state"] for line in lines(tmp_path)] == ["open", "closed"] == [one["state"] for one in scene.told]
    assert lines(tmp_path)[0]["ended_at"] is None and scene.told[0]["snapshot"] == event["snapshot"]
    assert "ALARM at 10.0 s" in scene.said[0] and "alarm over after 5.8 s" in scene.said[1]
    assert sorted(path.name for path in (tmp_path / event["id"]).iterdir()) == ["clip.mp4", "snapshot.jpg"]


def test_the_clip_begins_before_the_alarm_and_plays_in_a_browser(tmp_path):
    (event,) = Scene(tmp_path).goes(10, 0.1).goes(3, 0.8).goes(8, 0.1).end()
    with av.open(str(tmp_path / event["clip"])) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        levels = [(frame.time, int(frame.to_ndarray(format="gray")[24, 32])) for frame in film.decode(stream)]
    assert levels[0][1] == pytest.approx(10 + 8 * (event["start_s"] - 5), abs=4)  # five seconds before
    assert levels[-1][0] == pytest.approx(5 + 3 + events.QUIET_SECONDS, abs=0.6)


def test_the_clip_and_the_memory_of_a_long_alarm_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "CLIP_MOST", 8.0)
    scene = Scene(tmp_path).goes(20, 0.1).goes(300, 0.9)
    assert len(scene.recorder._ring) <= 42 and len(scene.recorder._curve) <= 2 * CURVE
    (event,) = scene.end()
    assert event["end_s"] > 300 and len(event["curve"]) <= CURVE and "closed at the end" in event["notes"]
    with av.open(str(tmp_path / event["clip"])) as film:
        assert sum(1 for _ in film.decode(video=0)) <= 66


def test_the_snapshot_is_of_the_most_confident_frame_with_its_box(tmp_path):
    scene = Scene(tmp_path, (200, 100)).goes(1, 0.1).goes(1, 0.6).goes(1, 0.9, lambda: (20, 10, 60.04, 50)).goes(8, 0.2)
    (event,) = scene.end()
    assert event["box"] == [20.0, 10.0, 60.0, 50.0]
    picture = cv2.imread(str(tmp_path / event["snapshot"]))
    assert picture.shape == (100, 200, 3) and picture[30, 20].mean() > 200 and picture[80, 100].mean() < 60


def test_a_box_that_cannot_be_found_costs_the_box_alone(tmp_path):
    scene = Scene(tmp_path).goes(1, 0.9, lambda: 1 / 0).goes(8, 0.1)
    (event,) = scene.end()
    assert event["box"] is None and event["snapshot"] and event["state"] == "closed"
    assert sum("an event failed: ZeroDivisionError" in text for text in scene.said) == 1


def test_a_picture_of_another_size_goes_into_the_same_clip(tmp_path):
    scene = Scene(tmp_path).goes(1, 0.9)
    scene.size = (128, 96)
    (event,) = scene.goes(1, 0.9).goes(7, 0.1).end()
    with av.open(str(tmp_path / event["clip"])) as film:
        assert {(frame.width, frame.height) for frame in film.decode(video=0)} == {(64, 48)}


def test_a_folder_has_one_writer(tmp_path):
    scene = Scene(tmp_path)
    with pytest.raises(ConfigError, match="another process watches into it"):
        EventLog(tmp_path, print, print)
    scene.end()
    EventLog(tmp_path, print, print).close()


def test_a_full_disk_is_said_once_and_survived(tmp_path, monkeypatch):
    scene = Scene(tmp_path).goes(1, 0.1)
    full, sync = [True], os.fsync

    def fsync(file):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    scene.goes(2, 0.9).goes(8, 0.1).goes(2, 0.9).goes(8, 0.1)
    while len(scene.told) < 4:
        time.sleep(0.01)
    full[0] = False
    assert sum("the disk is full" in text for text in scene.said) == 1
    found = scene.goes(2, 0.9).goes(8, 0.1).end()
    assert [event["state"] for event in found] == ["closed"] * 3 and found[2]["snapshot"]
    assert found[0]["snapshot"] is None


KILLED = """
import os, signal, sys, time
sys.path.insert(0, "tests"); sys.path.insert(0, "tests/live")
from pathlib import Path
from test_events import Scene
scene = Scene(Path(sys.argv[1])).goes(8, 0.1).goes(2, 0.9).goes(8, 0.1).goes(2, 0.9)
while len(scene.told) < 3:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_in_the_middle_of_an_event_the_next_start_goes_on(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=REPOSITORY, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert [event["state"] for event in read_events(tmp_path)] == ["closed", "open"]
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"id": "half a li')
    scene = Scene(tmp_path).goes(2, 0.9).goes(8, 0.1)
    found = scene.end()
    assert [event["state"] for event in found] == ["closed", "cut off", "closed"]
    assert found[1]["snapshot"] and found[1]["clip"] is None and "was ended in the middle" in found[1]["notes"][-1]
    left = [path.name for path in (tmp_path / found[1]["id"]).iterdir()]
    assert left == ["snapshot.jpg"] and sum("was cut off" in text for text in scene.said) == 1
