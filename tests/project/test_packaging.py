"""pyproject.toml, constraints.txt, environment.yml and the Makefile install one and the same thing."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
CONDA = [one for one in ENVIRONMENT["dependencies"] if isinstance(one, str)]
PIP = next(one["pip"] for one in ENVIRONMENT["dependencies"] if isinstance(one, dict))


def pins() -> dict[str, str]:
    lines = [line.strip() for line in (REPOSITORY / "constraints.txt").read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "every line pins one version"
    names = [canonicalize_name(name) for name, _ in pairs]
    assert len(set(names)) == len(names), "a package is pinned once"
    return dict(zip(names, (number for _, number in pairs), strict=True))


def requirements() -> list[Requirement]:
    asked = [*PROJECT["dependencies"], *(line for lines in PROJECT["optional-dependencies"].values() for line in lines)]
    return [one for one in map(Requirement, asked) if one.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda one: one.name)
def test_what_pyproject_asks_for_is_pinned_to_a_version_it_accepts(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


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


def test_conda_and_make_install_the_same_way():
    made = re.search(r"pip install .*?-c (\S+) -e '\.\[(\w+)\]'", (REPOSITORY / "Makefile").read_text())
    assert PIP == [f"-c {made.group(1)}", f"-e .[{made.group(2)}]"]
    assert (REPOSITORY / made.group(1)).is_file() and made.group(2) in PROJECT["optional-dependencies"]
