"""docs/security.md tells the truth: what it names is there, and the code has no other way to run what a file says."""

from __future__ import annotations

import ast
import http.server
import re
import threading
from pathlib import Path

import pytest

from vadkit.core.errors import DataError
from vadkit.core.video import read_frames

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
SOURCES = sorted([*(REPOSITORY / "vadkit").rglob("*.py"), *(REPOSITORY / "demo_world").rglob("*.py")])


def test_the_page_names_tests_that_are_there():
    assert len(NAMED) > 20
    for path, name in NAMED:
        functions = [one.name for one in ast.parse((REPOSITORY / path).read_text()).body if hasattr(one, "name")]
        assert name in functions, f"{path} has no {name}"
    for row in re.findall(r"^\|.*\|$", PAGE, re.M):
        assert "---" in row or "held by" in row or "::" in row or "by design" in row, row


# What runs, or restores as it pleases, what a file says.
RUNS = {"eval", "exec", "compile", "__import__", "system", "popen", "load_module", "read_pickle", "unsafe_load"}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "subprocess", "ctypes"}
# By design: plugins, families and corpora by name, and a formula of digits and brackets.
BY_DESIGN = {("parameters.py", "import_module"), ("base.py", "import_module"), ("__init__.py", "import_module")}
BY_DESIGN |= {("published.py", "eval")}
ALLOWED = {"hard_frames.py": {"pickle"}, "receipts.py": {"subprocess"}}  # that knows no name; git, with fixed arguments


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_code_runs_what_a_file_says(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            refused = MODULES - ALLOWED.get(path.name, set())
            assert not {name.split(".")[0] for name in names} & refused, f"{path}:{node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        owner, name = "", getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
        given = {one.arg: ast.unparse(one.value) for one in node.keywords}
        where = f"{path}:{node.lineno} {owner}.{name}"
        if name in RUNS | {"import_module"} and not (name == "eval" and owner not in ("", "pd", "builtins")):
            assert name == "compile" and owner == "re" or (path.name, name) in BY_DESIGN, where
        assert owner != "pickle" or name == "UnpicklingError", where  # a subclass that knows no name reads it
        if (owner, name) == ("torch", "load"):
            assert given.get("weights_only") == "True", where
        if name == "load" and owner in ("np", "numpy"):
            assert given.get("allow_pickle", "False") == "False", where
        if owner == "yaml" and name == "load":
            assert given.get("Loader") in ("_AsWritten", "yaml.SafeLoader"), where
        assert given.get("shell") is None, where


@pytest.fixture
def asked():
    """Paths that were asked of a server on this machine; the first entry is its address."""
    found: list[str] = []

    class Listens(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listens) as server:
        found.append(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{at}/a.ts\n#EXT-X-ENDLIST\n",
    "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{at}/a.ts\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile {at}/a.ts\n",
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_that_only_names_addresses_reaches_none_of_them(tmp_path, asked, name):
    (tmp_path / name).write_text(PLAYLISTS[name].format(at=asked[0]))
    with pytest.raises(DataError):
        list(read_frames(tmp_path / name))
    assert len(asked) == 1


def test_the_lab_asks_for_a_token_and_listens_on_this_machine_alone():
    """As jupyter has it where nobody says otherwise; the Makefile says nothing."""
    from jupyter_server.serverapp import ServerApp

    server = ServerApp()
    assert server.ip == "localhost" and len(server.identity_provider_class().token) > 20
    (recipe,) = re.findall(r"jupyter lab.*", (REPOSITORY / "Makefile").read_text())
    assert recipe == "jupyter lab notebooks"
