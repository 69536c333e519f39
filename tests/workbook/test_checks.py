"""Weights of 3D networks are asked for where a notebook that needs them is to run, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from toys import toy_project, working_notebook

from vadkit.core.config import Config
from vadkit.core.digests import file_digest
from vadkit.core.errors import ConfigError
from vadkit.models.pretrained import NETWORKS
from vadkit.systems.base import REGISTERED
from vadkit.workbook import checks, kernels
from vadkit.workbook.notebooks import find_notebooks
from vadkit.workbook.run import run_profile


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(toy_project(tmp_path))
    working_notebook(tmp_path, "05_clips")
    working_notebook(tmp_path, "10_learner")
    return tmp_path


def about(config: Config, project: Path, numbers: tuple[str, ...] = ("00", "01", "05", "10")) -> list[checks.Finding]:
    """What is said of the 3D networks."""
    chosen = [n for n in find_notebooks(project / "notebooks") if n.number in numbers]
    return [
        f
        for f in checks.findings(config, chosen)
        if f.what.startswith(tuple(name for name, row in NETWORKS.items() if row.kind))
    ]


def test_a_missing_file_is_named_with_where_it_comes_from_and_who_needs_it(project):
    config = Config(c3d_weights="gone/c3d.pickle", clip_width=1.0)
    (found,) = about(config, project)
    assert found.problem and found.what.startswith("c3d, for notebook 05: c3d_weights: no file")
    assert str(project / "gone" / "c3d.pickle") in found.what and "obtain" in found.what and "--only" in found.what
    assert about(config, project, ("00", "01", "10")) == [] and about(config, project, ()) == []


def test_what_is_there_is_named(project):
    (project / "c3d.pt").write_text("only looked for")
    (found,) = about(Config(c3d_weights="c3d.pt"), project)
    assert (found.what, found.problem) == (f"c3d, for notebook 05: {project / 'c3d.pt'}", False)
    (found,) = about(Config(c3d_weights="random"), project)
    assert "tests only" in found.what and not found.problem


def test_the_narrow_weights_do_not_fit_a_wide_network(project):
    (found,) = about(Config(clip_width=1.0), project)
    assert found.problem and "set clip_width: 0.25, or give the path of published weights" in found.what


def test_a_learner_needs_the_networks_of_its_features(project):
    names = {
        features: {
            f.what.split(",")[0] for f in about(Config(mil_features=features, c3d_weights="random"), project, ("10",))
        }
        for features in ("streams", "resnext3d", "i3d")
    }
    assert names == {"streams": set(), "resnext3d": {"resnext3d"}, "i3d": {"i3d_rgb", "i3d_flow"}}
    (found,) = about(
        Config(mil_features="resnext3d", mil_resnext3d_weights="gone.pth", clip_width=1.0), project, ("10",)
    )
    assert "mil_resnext3d_weights: no file" in found.what
    assert not about(
        Config(mil_features="resnext3d", mil_resnext3d_weights="gone.pth", mil_published="features"), project, ("10",)
    )


def test_a_run_is_refused_only_where_that_notebook_would_run(project, monkeypatch):
    """And before any kernel."""
    ran = []

    def execute(source, partial, *_):
        content = json.loads(source.read_text())
        for count, cell in enumerate((c for c in content["cells"] if c["cell_type"] == "code"), 1):
            cell["execution_count"] = count
        partial.write_text(json.dumps(content))
        ran.append(source.stem[:2])

    monkeypatch.setattr(kernels, "execute", execute)
    missing = {"c3d_weights": "c3d.pickle", "clip_width": 1.0}
    with pytest.raises(ConfigError, match="c3d, for notebook 05: c3d_weights: no file"):
        run_profile("toy", missing, say=lambda line: None)
    assert ran == []
    assert run_profile("toy", missing, only="00,01,10", say=lambda line: None) == 0 and ran == ["00", "01", "10"]
    (project / "c3d.pickle").write_text("only looked for")
    assert run_profile("toy", missing, say=lambda line: None) == 0 and "05" in ran


def test_the_backbones_file_is_looked_for_by_its_exact_name_and_content(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def said() -> checks.Finding:
        (found,) = (f for f in checks.findings(Config(backbone="resnet50")) if f.what.startswith("backbone"))
        return found

    (folder / "resnet50-11ad3fa6.pth").write_text("the other weights of torchvision")
    assert "are not in" in said().what and "models/resnet50-0676ba61.pth there" in said().what and not said().problem
    path = folder / "resnet50-0676ba61.pth"
    path.write_text("cut short")
    assert said().problem and "expected content whose sha256 begins with 0676ba61, got" in said().what
    named = path.rename(folder / f"resnet50-{file_digest(path)[:8]}.pth")
    monkeypatch.setitem(NETWORKS, "resnet50", replace(NETWORKS["resnet50"], file=named.name))
    assert said().what == f"backbone: resnet50, ImageNet weights in {folder}" and not said().problem


def test_a_detector_that_is_still_to_be_fetched_is_not_fetched_by_looking(tmp_path):
    config = Config(detector_weights="yolov8n.pt", cache_root=str(tmp_path))
    found = next(f for f in checks.findings(config) if f.what.startswith("detector"))
    assert "fetched by ultralytics" in found.what and list(tmp_path.iterdir()) == []
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "yolov8n.pt").write_text("only looked for")
    found = next(f for f in checks.findings(config) if f.what.startswith("detector"))
    assert found.what == "detector: yolov8n.pt"


def test_an_outside_system_that_names_an_unknown_network_is_refused_with_the_known_ones(project, monkeypatch):
    outside = SimpleNamespace(name="mine", notebooks=("05",), needs=lambda config: {"rgb": "my_network"})
    monkeypatch.setitem(REGISTERED, "mine", outside)
    clips, learner = (n for n in find_notebooks(project / "notebooks") if n.number in ("05", "10"))
    with pytest.raises(ConfigError, match="mine: there is no network 'my_network'; give one of (?!detector).*c3d"):
        checks.require(Config(c3d_weights="random"), [clips])
    checks.require(Config(), [learner])


def test_a_scheduler_that_does_not_answer_is_said_before_a_run(monkeypatch):
    pytest.importorskip("distributed")
    from vadkit.core import processes

    monkeypatch.setattr(processes, "CONNECT_SECONDS", 1)
    config = Config(scheduler="tcp://127.0.0.1:9")
    (found,) = [one for one in checks.findings(config) if one.what.startswith("scheduler")]
    assert found.problem and "no scheduler answers at tcp://127.0.0.1:9" in found.what
