"""Recorded runs stand for training: the same scores, and nothing else."""

from __future__ import annotations

import runpy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from vadkit.core.config import project_root
from vadkit.core.errors import ConfigError, DataError
from vadkit.core.parameters import make_config
from vadkit.corpora import load_corpus
from vadkit.corpora.recorded import COLUMNS, SCORES, TABLE
from vadkit.systems import runner
from vadkit.workbook.checks import findings
from vadkit.workbook.notebooks import find_notebooks

NOTEBOOKS = project_root() / "notebooks"
write_sums = runpy.run_path(str(project_root() / "docs" / "sums.py"))["write_sums"]
NAMES = ("Arson001", "Normal_001", "Riot002")


@pytest.fixture
def folder(tmp_path):
    rows = [
        ("Arson001", "Arson", "test", "a", 10.0, 30, "[[10, 20]]"),
        ("Normal_001", "Normal", "test", "b", 10.0, 20, "[]"),
        ("Riot002", "Riot", "unseen", "c", 10.0, 10, "[[0, 5]]"),
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / TABLE, index=False)
    arrays = {"videos": np.array(NAMES), "seeds": np.array([0, 1]), "lengths": np.array([3, 2, 1])}
    arrays |= {"index": np.array([0, 10, 20, 0, 10, 0]), "confidence": np.linspace(0, 1, 12).reshape(2, 6)}
    np.savez(tmp_path / SCORES, **{f"2S-bag-ha/{name}": array for name, array in arrays.items()})
    write_sums(tmp_path)
    return tmp_path


def config_of(folder, **changes):
    return make_config({"corpus": "recorded", "data_root": str(folder), "seeds": [1], **changes})


def test_recorded_scores_are_what_a_run_gives(folder):
    config = config_of(folder)
    corpus = load_corpus(config)
    run = runner.run(config, corpus, "2S-bag-ha")
    ((seed, scored),) = run.by_seed().items()
    assert seed == 1 and [one.name for one in scored] == list(NAMES[:2])
    assert np.array_equal(scored[0].confidence, np.linspace(0, 1, 12)[6:9])
    assert scored[0].labels.nonzero()[0].tolist() == list(range(10, 20)) and scored[0].fps == 10
    others, problems = runner.score_videos(run, corpus.of("unseen"))
    assert [one.name for one in others[1]] == ["Riot002"] and not problems


def test_what_was_not_recorded_is_a_clear_error(folder, tmp_path):
    corpus = load_corpus(config_of(folder))
    with pytest.raises(ConfigError, match="no scores of C3D-ha; it has those of 2S-bag-ha"):
        runner.run(config_of(folder), corpus, "C3D-ha")
    with pytest.raises(ConfigError, match=r"0, 1, not 7"):
        runner.run(config_of(folder, seeds=[7]), corpus, "2S-bag-ha")
    with pytest.raises(DataError, match="notebooks/recorded/demo"):
        load_corpus(config_of(tmp_path / "nowhere"))
    found = pd.read_csv(folder / TABLE)
    found[found["name"] != "Riot002"].to_csv(folder / TABLE, index=False)
    write_sums(folder)
    with pytest.raises(DataError, match="scores of Riot002, and no such video"):
        runner.run(config_of(folder), corpus, "2S-bag-ha")
    found.drop(columns="fps").to_csv(folder / TABLE, index=False)
    write_sums(folder)
    with pytest.raises(DataError, match="the column fps is missing"):
        load_corpus(config_of(folder))


@pytest.mark.parametrize("name", [SCORES, TABLE, "SHA256SUMS"])
def test_a_recorded_run_that_was_damaged_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match="is missing, or not as SHA256SUMS beside it says"):
        load_corpus(config_of(folder))
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{TABLE}|{name}"):
        load_corpus(config_of(folder))


def test_notebooks_that_need_more_are_refused_before_a_kernel_starts(folder):
    (problem,) = [one.what for one in findings(config_of(folder), find_notebooks(NOTEBOOKS)) if one.problem]
    assert "notebook 00 needs more; say --only 08,12" in problem
    wanted = [notebook for notebook in find_notebooks(NOTEBOOKS) if notebook.number in ("08", "12")]
    assert not [one for one in findings(config_of(folder), wanted) if one.problem]


def test_no_torch_is_needed(folder):
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "cv2"):
            raise ImportError(f"{{name}} was imported")
sys.meta_path.insert(0, NoTorch())
from vadkit.core.parameters import make_config
from vadkit.corpora import load_corpus
from vadkit.evaluation.evaluate import evaluate
from vadkit.report import answers, rows, tables, timelines
from vadkit.studies import ablation_plots, split_leakage
from vadkit.systems import runner
from vadkit.workbook import checks, run, session
config = make_config({{"corpus": "recorded", "data_root": {str(folder)!r}, "seeds": [0, 1], "bootstrap_resamples": 5}})
print(len(evaluate(runner.run(config, load_corpus(config), "2S-bag-ha").by_seed(), config)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout.split()[-1]) > 5, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ["Arson001", "Arson001", "Riot002"]}, "is there twice"),
        ({"name": ["../Arson001", "Normal_001", "Riot002"]}, "no name below"),
        ({"frames": [30, 10**12, 10]}, "expected 1 to 10000000 frames"),
        ({"intervals": ["[[10, 20]", "[]", "[]"]}, "is not the table of a recorded run"),
    ],
)
def test_a_recorded_table_that_cannot_be_right_is_refused(folder, change, said):
    path = folder / TABLE
    pd.read_csv(path).assign(**change).to_csv(path, index=False)
    write_sums(folder)
    with pytest.raises(DataError, match=said):
        load_corpus(config_of(folder))


@pytest.mark.parametrize("name", [TABLE, SCORES])
def test_recorded_files_that_are_cut_short_are_refused_by_name(folder, name):
    config = config_of(folder)
    corpus = load_corpus(config)
    for content in (b"", (folder / name).read_bytes()[:40], b"\xff\xfe"):
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            runner.run(config, load_corpus(config) if name == TABLE else corpus, "2S-bag-ha")
