"""A corpus by its name: those that come with the package, and those that others register."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadkit import corpora
from vadkit.core.config import CORPORA, Config
from vadkit.core.errors import ConfigError
from vadkit.core.parameters import load_params, make_config
from vadkit.corpora import load_corpus, register_corpus, synthetic
from vadkit.corpora.video import Corpus, Video


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten."""
    monkeypatch.setattr(corpora, "_registered", {})
    known = set(CORPORA)
    yield
    CORPORA.intersection_update(known)


def toys(config: Config, progress=None) -> Corpus:
    return Corpus("toys", (Video("toy1", Path(config.data_root, "toy1.mp4"), "Assault", "train", "s", ((3, 9),)),))


def test_a_corpus_from_outside_is_named_in_a_parameter_file(tmp_path, registry):
    path = tmp_path / "toys.yaml"
    path.write_text("corpus: toys\ndata_root: /of/toys\nsplit: grouped_cv\n")
    with pytest.raises(ConfigError, match="unknown corpus 'toys'; known are folder, recorded, synthetic, ucf_crime"):
        load_params(path)
    register_corpus("toys", toys)
    register_corpus("toys", toys)  # as a cell that is run again does
    config = load_params(path)
    assert load_corpus(config).videos[0].path == Path("/of/toys/toy1.mp4")
    assert config.fingerprint() != Config().fingerprint()
    for taken, load in (("toys", lambda config, progress: None), ("folder", toys)):
        with pytest.raises(ValueError, match=f"'{taken}' already"):
            register_corpus(taken, load)


def test_a_misspelt_corpus_is_told_the_nearest():
    with pytest.raises(ConfigError, match="unknown corpus 'sinthetic'; did you mean 'synthetic'"):
        make_config({"corpus": "sinthetic"})
    with pytest.raises(ConfigError, match="corpus: .*got int 3"):
        make_config({"corpus": 3})


def test_rendering_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("demo_world.layout._render", lambda plan, folder: (plan.name, [], []))
    monkeypatch.setattr(synthetic, "read_tree", lambda root, config: Corpus("ucf_crime", ()))
    config = Config(cache_root=str(tmp_path), world_train_videos=3, world_test_videos=2, workers=1)
    said = []
    assert load_corpus(config, lambda *line: said.append(line)).name == "synthetic"
    assert [(done, total) for done, total, _ in said] == [(n, 5) for n in range(1, 6)]
    assert all(what.startswith("rendering ") for _, _, what in said)
    assert load_corpus(config, lambda *line: pytest.fail("rendered again")).name == "synthetic"
