"""Cache keys name the modules whose code decides an entry: no list may forget one that a listed module builds on."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

import vadkit
from vadkit import (
    bags,
    clip_features,
    clips,
    experiment,
    features,
    inputs,
    joint_failure,
    joint_training,
    mil_training,
    samples,
    scorer,
    tubes,
)
from vadkit.corpora import synthetic

PACKAGE = Path(vadkit.__file__).parent

# What no entry depends on by its code: parameters, content and identities are in the keys themselves.
HARMLESS = {
    "vadkit.config": "its values are in the keys",
    "vadkit.errors": "decides nothing",
    "vadkit.store": "keeps entries as they were built; what it makes of a key is the entry's name",
    "vadkit.parallel": "each task gives the same in any process",
    "vadkit.extraction": "makes and loads entries, whatever they hold",
    "vadkit.hub": "where weights are: what they are is in the keys",
}
READERS = dict.fromkeys(
    ("vadkit.corpora.synthetic", "vadkit.corpora.ucf_crime", "vadkit.corpora.folder"),
    "spans and videos that they read are in the key",
)
SEEN = dict.fromkeys(("vadkit.samples", "vadkit.clips"), "in the digest of the samples, which is in the key")
LABELS = {"vadkit.corpora": "labels are in the key"}
SCORES = {"vadkit.scoring": "spreads scores over frames after they come from the cache"}
STREAMS = {"vadkit.streams": "names of streams: they are in the key"}
FOLDS = {
    "vadkit.corpora.splits": "the videos on each side are in the key",
    "vadkit.rates": "digests and rows of what it samples are in the key",
    "vadkit.suspicion": "its values are in the key",
    "vadkit.tube_systems": "digests and rows of its tubes are in the key",
}
NO_CLIPS = dict.fromkeys(("vadkit.clip_features", "vadkit.models.video"), "a system of frames has no 3D network")
NO_FRAMES = dict.fromkeys(("vadkit.features", "vadkit.models.backbones"), "a system of clips has no network of frames")
BAGS = {
    **SEEN, **LABELS,
    **dict.fromkeys(("vadkit.experiment", "vadkit.sampling", "vadkit.flow", "vadkit.video"), "rows and samples of a bag are in its identity, which is in the key"),
    **dict.fromkeys(("vadkit.hard_mining", "vadkit.losses", "vadkit.models.two_stream"), "of vadkit.training only the seeds and the AUC are used"),
    "vadkit.models.c3d": "no bag is made of its features",
}  # fmt: skip
JOINT = {**BAGS, "vadkit.recognition": "measures what comes from the cache"}
FAILURE = {**JOINT, **dict.fromkeys(("vadkit.evaluation", "vadkit.intervals"), "measure what comes from the cache")}

LISTS = {
    "samples": (samples.CODE, READERS),
    "clips": (
        clips.CODE,
        {"vadkit.corpora": "every kept frame is in the entry, whatever its label", "vadkit.objects": "of bags alone"},
    ),
    "bags of clips": (clips.BAGS_CODE, {"vadkit.corpora": "every kept frame is in the entry, whatever its label"}),
    "tubes": (tubes.CODE, {**READERS, "vadkit.objects": "tubes have no bag of objects"}),
    "features": (features.CODE, STREAMS),
    "clip features": (clip_features.CODE, {"vadkit.clips": "in the digest of the clips, which is in the key"}),
    "models on frames": (
        (*experiment.CODE, *inputs.FrameInputs.code),
        {**SEEN, **LABELS, **SCORES, **STREAMS, **FOLDS, **NO_CLIPS},
    ),
    "models on clips": (
        (*experiment.CODE, *inputs.ClipInputs.code),
        {**SEEN, **LABELS, **SCORES, **STREAMS, **FOLDS, **NO_FRAMES},
    ),
    "scores on frames": ((*scorer.CODE, *inputs.FrameInputs.code), {**SEEN, **LABELS, **SCORES, **STREAMS, **NO_CLIPS}),
    "scores on clips": ((*scorer.CODE, *inputs.ClipInputs.code), {**SEEN, **LABELS, **SCORES, **STREAMS, **NO_FRAMES}),
    "lengths of videos": (bags.LENGTHS_CODE, {}),
    "Learners": (mil_training.CODE, BAGS),
    "joint models": (joint_training.CODE, JOINT),
    "failures of the joint model": (("vadkit.joint_failure", *joint_training.CODE), FAILURE),
    "worlds": (
        synthetic.CODE,
        {"vadkit.corpora": "only the name of the normal class", "vadkit.corpora.ucf_crime": "reads what was rendered"},
    ),
}
KEYED = {
    bags,
    samples,
    clips,
    tubes,
    features,
    clip_features,
    experiment,
    scorer,
    mil_training,
    joint_training,
    joint_failure,
    synthetic,
}


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def source_of(name: str) -> str:
    return Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")


def imports_of(source: str) -> set[str]:
    """The package's modules that a module imports at run time, also within functions."""
    tree = ast.parse(source)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                name if is_module(name) else node.module
                for name in (f"{node.module}.{alias.name}" for alias in node.names)
            }
    return {name for name in found if name == "vadkit" or name.startswith("vadkit.")}


def test_imports_are_found_wherever_they_stand():
    source = """
import vadkit.flow
from vadkit import intervals, __version__
from vadkit.corpora import Video, vatic
import numpy
if TYPE_CHECKING:
    from vadkit.samples import Samples
def late():
    from vadkit.weights import read_state
"""
    assert imports_of(source) == {
        "vadkit",
        "vadkit.flow",
        "vadkit.intervals",
        "vadkit.corpora",
        "vadkit.corpora.vatic",
        "vadkit.weights",
    }


@pytest.mark.parametrize("name", LISTS)
def test_a_list_holds_all_that_its_modules_build_on(name):
    listed, allowed = LISTS[name]
    imported = {one: {i for i in imports_of(source_of(one)) if i not in listed} for one in listed}
    missing = {
        f"{needed} (by {one})"
        for one, several in imported.items()
        for needed in several
        if needed not in allowed and needed not in HARMLESS
    }
    assert not missing, "list them, or say here why no entry depends on their code"
    idle = set(allowed) - set().union(*imported.values())
    assert not idle, "no module of the list imports them: take them off here"


def test_every_module_that_keeps_entries_has_its_list_here():
    keyed = {path for path in PACKAGE.rglob("*.py") if "code_version(" in path.read_text(encoding="utf-8")}
    others = {
        PACKAGE / "store.py",
        PACKAGE / "receipts.py",
    }  # where it is defined, and a fingerprint of the whole package
    assert keyed - others == {Path(module.__file__) for module in KEYED}
