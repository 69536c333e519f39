"""A corpus, a system and a metric from outside the package, named in a parameter file, run through the workbook to a
row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from toys import toy_notebook, toy_project, vadkit

from vadkit.core.errors import ConfigError
from vadkit.core.parameters import make_config

OUTSIDE = '''
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vadkit.corpora import register_corpus
from vadkit.corpora.video import Corpus, Video
from vadkit.evaluation.bootstrap import Statistic
from vadkit.evaluation.metrics import METRICS, Definition
from vadkit.evaluation.scores import VideoScores
from vadkit.systems.base import Fitted, Material, System, register
from vadkit.systems.record import read_state


@dataclass(frozen=True)
class Seen:
    video: Video
    frames: int = 40
    fps: float = 10.0


def letters(config, progress=None):
    """Six videos a split; those of the class Loud have a capital letter."""
    videos = []
    for split in ("train", "val", "test"):
        for n in range(6):
            loud = n % 2
            name = f"{split}-{'ABCDEF'[n] if loud else 'abcdef'[n]}"
            span = ((10, 20),) if loud else ()
            videos.append(Video(name, Path(name), "Loud" if loud else "Normal", split, name, span))
    return Corpus("letters", tuple(videos))


@dataclass(frozen=True)
class Capitals(System):
    """Learns how much louder capitals are, and says so of every frame."""

    parameters = ("anomaly_weight",)

    def material(self, config, corpus, progress=None):
        return Material({v.name: Seen(v) for v in corpus.videos}, ())

    def identity(self, config, view, side):
        return [view.video.name, view.video.label]

    def fit(self, task, progress=None):
        loud = [one.video.name[-1].isupper() for one in task.train]
        right = np.mean([a == one.video.label for a, one in zip(loud, task.train)])
        return Fitted({"share": torch.tensor(right * task.settings().anomaly_weight / 4 + 0.5)}, {"letters": True})

    def score(self, config, path, views):
        share = float(read_state(path)["share"])
        return [
            VideoScores.of(one, np.array([0]), np.array([share if one.video.name[-1].isupper() else 1 - share]))
            for one in views
        ]


register_corpus("letters", letters)
register(Capitals("capitals", ("00",)))
METRICS["loudest"] = Definition(
    lambda scored: Statistic(lambda counts: np.full(len(counts), max(map(max, scored.held))), len(scored.videos), "")
)
'''
USE = """
from vadkit.workbook import session
config = session.start(globals())
"""
RUN = """
from vadkit.corpora import load_corpus
from vadkit.evaluation.evaluate import evaluate
from vadkit.report import rows as report
from vadkit.systems import record, runner

run = runner.run(config, load_corpus(config), "capitals")
found = evaluate(run.by_seed(), config, {"fl_auc", "loudest"}.__contains__)
record.save_models(run)
report.save_rows(config, "00", report.result_rows(config, found, "", "letters", "capitals", problems=run.problems))
report.save_problems(config, "00", run.problems)
"""
PARAMS = "profile: letters\nplugins: [outside]\ncorpus: letters\nseeds: [0, 1]\nworkers: 1\nbootstrap_resamples: 20\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    toy_project(tmp_path, names=())
    toy_notebook(tmp_path / "notebooks", "00_letters", USE, RUN)
    (tmp_path / "outside.py").write_text(OUTSIDE)
    (tmp_path / "params" / "letters.yaml").write_text(PARAMS)
    return tmp_path


def test_what_is_defined_outside_runs_through_the_workbook_to_a_row(project):
    code, text = vadkit(project, "run", "letters", timeout=300)
    assert code == 0, text
    with open(project / "outputs" / "letters" / "results.csv", encoding="utf-8") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"fl_auc", "loudest"} and {row["system"] for row in rows.values()} == {"capitals"}
    assert float(rows["loudest"]["value"]) == 100.0
    # Frames of a loud video are all alike: 10 of its 40 are anomalous, and they beat those of the quiet ones alone.
    assert float(rows["fl_auc"]["value"]) == pytest.approx(100 * (120 + 90 / 2) / 210, abs=1e-4)
    recorded = json.loads((project / "outputs" / "letters" / "models" / "capitals.json").read_text())
    assert [one["seed"] for one in recorded["models"]] == [0, 1]
    code, text = vadkit(project, "run", "letters")
    assert code == 0 and "current" in text and "running" not in text
    (project / "outside.py").write_text(OUTSIDE.replace("/ 4 + 0.5", "/ 8 + 0.5"))  # its code counts as the package's
    code, text = vadkit(project, "run", "letters", timeout=300)
    assert code == 0 and "running" in text
    with open(project / "outputs" / "letters" / "results.csv", encoding="utf-8") as file:
        assert {float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "loudest"} == {75.0}


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"plugins: 'no_such_module' cannot be imported .*Python's path"):
        make_config({"plugins": ["no_such_module"]})
    with pytest.raises(ConfigError, match="plugins"):
        make_config({"plugins": "outside"})
