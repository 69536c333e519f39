"""Which code counts in a cache key: what a module imports, to the end, and nothing that decides nothing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from vadkit.core import code
from vadkit.core.code import code_version, followed

CACHES = (code.code_version, code._path, code._read)


def forget() -> None:
    importlib.invalidate_caches()
    for one in CACHES:
        one.cache_clear()


@pytest.fixture
def write(tmp_path: Path, monkeypatch):
    """`write(name=source, ...)` puts modules of a package `toy` on the path and forgets what was read before."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text("")

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (tmp_path / "toy" / f"{name}.py").write_text(source)
        forget()

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]
    forget()


def test_comments_docstrings_and_layout_do_not_count(write):
    def version(source: str) -> str:
        write(one=source)
        return code_version("toy.one")

    base = version("def f(x):\n    return x + 1\n")
    assert version('"""Doc."""\n# why\n\n\ndef f(x):  # comment\n    """Doc."""\n\n    return (x + 1)\n') == base
    assert version("def f(x):\n    return x + 2\n") != base
    assert version("def f(x):\n    return 'text'\n") != base


def test_what_is_imported_counts_wherever_it_stands(write):
    write(
        one="from toy import two\ndef late():\n    from toy.three import f\n",
        two="import toy.four\n",
        three="def f():\n    return 1\n",
        four="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy import five\n",
        five="",
    )
    assert followed("toy.one") == {"toy.one", "toy.two", "toy.three", "toy.four"}
    before = code_version("toy.one")
    write(five="changed = True\n")
    assert code_version("toy.one") == before
    write(three="def f():\n    return 2\n")
    assert code_version("toy.one") != before


def test_a_circle_of_imports_ends(write):
    write(one="from toy import two\n", two="from toy import one\n")
    assert followed("toy.one") == {"toy.one", "toy.two"}


def test_a_module_from_outside_is_followed_into_the_project(write):
    write(one="from vadkit.views import flow\nimport numpy\n")
    assert {"toy.one", "vadkit.views.flow"} <= followed("toy.one")
    assert not any(name.startswith("numpy") for name in followed("toy.one"))


def test_a_package_counts_only_where_something_of_its_own_is_imported():
    assert "vadkit.corpora" not in followed("vadkit.views.frames")  # its readers would come with it
    assert "vadkit.corpora.video" in followed("vadkit.views.frames")


def test_a_missing_module_is_an_error():
    with pytest.raises(ImportError, match=r"vadkit\.nowhere"):
        code_version("vadkit.nowhere")
    with pytest.raises(ImportError, match=r"nowhere\.at_all"):
        code_version("nowhere.at_all")


def test_parameters_and_the_store_count_nowhere():
    """A parameter that is added to the config must not make anything anew that does not read it."""
    everything = followed("vadkit.systems.runner", "vadkit.corpora.synthetic", "vadkit.studies.joint_failure")
    assert not everything & code.DECIDE_NOTHING
    assert {"vadkit.core.video", "vadkit.core.encode", "demo_world.render"} <= everything
