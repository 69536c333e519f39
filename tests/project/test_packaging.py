"""pyproject.toml, requirements.lock, environment.yml and the Makefile install one and the same thing."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import vadkit
from vadkit.core.digests import as_shipped

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
CONDA = [one for one in ENVIRONMENT["dependencies"] if isinstance(one, str)]
PIP = next(one["pip"] for one in ENVIRONMENT["dependencies"] if isinstance(one, dict))


LOCK = (REPOSITORY / "requirements.lock").read_text()


def locked() -> list[Requirement]:
    """The lock's lines, each with its marker."""
    lines = [line.split("#")[0].strip() for line in LOCK.splitlines()]
    return [Requirement(line) for line in lines if line]


def pins() -> dict[str, str]:
    """Version by package. Whatever the platform, a package has one version."""
    found = {}
    for one in locked():
        (pin,) = one.specifier
        assert pin.operator == "==" and canonicalize_name(one.name) not in found, one
        found[canonicalize_name(one.name)] = pin.version
    return found


TABLES = {"vadkit/report": "published.csv", "vadkit/corpora/lists": "ucf_crime.csv"}


@pytest.mark.parametrize("folder", ["demo_world/assets", "notebooks/recorded/demo", *TABLES])
def test_what_ships_is_as_listed(folder):
    """After a change that was meant: `make sums`."""
    as_shipped(REPOSITORY / folder, *([TABLES[folder]] if folder in TABLES else []))
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    below = [f"{folder.removeprefix('vadkit/')}/{what}" for folder in TABLES for what in ("*.csv", "SHA256SUMS")]
    assert data == {"vadkit": ["live/page.html", *below], "demo_world": ["assets/*"]}


def requirements() -> list[Requirement]:
    asked = [*PROJECT["dependencies"], *(line for lines in PROJECT["optional-dependencies"].values() for line in lines)]
    return [one for one in map(Requirement, asked) if one.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda one: one.name)
def test_what_pyproject_asks_for_is_pinned_to_a_version_it_accepts(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_the_lock_names_packages_and_no_place_to_get_them():
    assert not re.search(r"https?:|file:|--\w|@", LOCK)


def test_the_lock_holds_all_that_its_packages_ask_for():
    """Both installers take it as it is, without looking for what a package needs. Seen for this platform and Python."""
    here = {canonicalize_name(one.name) for one in locked() if one.marker is None or one.marker.evaluate()}
    asked, found = list(requirements()), set()
    while asked:
        one = asked.pop()
        name = canonicalize_name(one.name)
        environments = [{**default_environment(), "extra": extra} for extra in (one.extras or {""})]
        if (name, *one.extras) in found or (one.marker and not any(map(one.marker.evaluate, environments))):
            continue
        found.add((name, *one.extras))
        assert name in here, f"make lock: {name} is missing"
        asked += [
            needed
            for needed in map(Requirement, _requires(name))
            if needed.marker is None or any(map(needed.marker.evaluate, environments))
        ]


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # of the extra `dev`, or not renewed yet: the pins' own test looks at versions
        return []


def test_the_pins_are_what_these_tests_run_with():
    """Only what is installed counts: the nvidia lines are of Linux alone."""
    installed = {}
    for name in pins():
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    assert {name: number.split("+")[0] for name, number in installed.items()} == {
        name: pins()[name] for name in installed
    }


def test_conda_brings_a_python_that_the_package_accepts_and_lists():
    (python,) = (re.fullmatch(r"python=([\d.]+)", one).group(1) for one in CONDA if one.startswith("python"))
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_conda_brings_nothing_that_pip_pins():
    """Else two builds of one package would mix; pip itself must be named, or conda complains."""
    names = {canonicalize_name(re.split(r"[=<> ]", one)[0]) for one in CONDA}
    assert "pip" in names and not names & (pins().keys() - {"setuptools"})


def test_conda_installs_what_make_does():
    assert PIP == ["-r requirements.lock", "-e ."]
    assert re.search(r"^LOCK := requirements.lock$", (REPOSITORY / "Makefile").read_text(), re.M)


def test_the_citation_names_this_version_and_both_papers():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == vadkit.__version__
    assert [paper["authors"][0]["family-names"] for paper in citation["references"]] == ["Petrocchi", "Alhawsa"]
