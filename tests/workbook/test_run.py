from __future__ import annotations

import ast
import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from datetime import date

import psutil
import pytest
from toys import REPOSITORY, call, toy_notebook, toy_project, vadkit, vadkit_process, working_notebook

from vadkit.core.config import Config
from vadkit.core.digests import file_digest
from vadkit.core.disk import is_left, whole_file
from vadkit.core.errors import AnnotationError, ConfigError, RunError, VadkitError
from vadkit.core.parameters import load_params, make_config, parameters_cell
from vadkit.workbook import kernels, notebooks, receipts, run


@pytest.fixture
def project(tmp_path):
    return toy_project(tmp_path / "project")


def executed(text: str) -> list[str]:
    """Names of the notebooks that a run started."""
    return [line.split()[0] for line in text.splitlines() if "  running (" in line]


def assigned(source: str) -> dict:
    """What a cell of assignments leaves."""
    names: dict = {}
    exec(source, {}, names)
    return names


def wait_for(condition, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_second_run_skips_what_is_current(project):
    out = project / "outputs" / "toy"
    code, text = vadkit(project, "run", "params/toy.yaml")
    assert code == 0, text
    assert executed(text) == ["00_first", "01_second"]
    assert (out / "results.csv").read_text().count("\n") == 3
    notebook = json.loads((out / "notebooks" / "00_first.ipynb").read_text())
    (injected,) = (c for c in notebook["cells"] if "injected-parameters" in c["metadata"].get("tags", []))
    assert injected["metadata"]["jupyter"] == {"source_hidden": True} and "hide-input" in injected["metadata"]["tags"]
    assert assigned("".join(injected["source"])) == {"profile": "toy", "seeds": [0], "detector_weights": "toy.onnx"}
    receipt = json.loads((out / "receipts" / "00.json").read_text())
    assert (
        receipt["parameters"] == load_params(project / "params" / "toy.yaml").model_dump()
    )  # not only the file's keys
    assert receipt["files"] == ["figures/00_first.png", "results/00_first.csv"]
    stamp = (out / "notebooks" / "00_first.ipynb").stat().st_mtime_ns

    code, text = vadkit(project, "run", "toy")
    assert (code, executed(text)) == (0, []), text
    assert text.count("current") == 3 and "outputs/toy/results.csv" in text
    assert (out / "notebooks" / "00_first.ipynb").stat().st_mtime_ns == stamp

    code, text = vadkit(project, "run", "toy", "--from", "1", "-p", "head_epochs", "3")
    assert (code, executed(text)) == (0, ["01_second"])
    assert executed(vadkit(project, "run", "toy", "--only", "0", "--force")[1]) == ["00_first"]
    assert executed(vadkit(project, "run", "toy")[1]) == ["01_second"]  # it ran with other parameters


@pytest.fixture
def finished(tmp_path):
    """The outputs of a notebook that has run: executed file, figure, rows, receipt."""
    out = tmp_path / "out"
    for path, text in {
        "notebooks/03_x.ipynb": "{}",
        "figures/a.png": "a",
        "results.csv": "notebook,value\n02_y,5\n03_x,1\n",
        "results/03_x.csv": "notebook,value\n03_x,1\n",
        "results/02_y.csv": "notebook,value\n02_y,5\n",
    }.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text)
    receipts.write_receipt(out, "03_x", "f", {"seeds": [0]}, 1.0, ["figures/a.png"])
    assert receipts.why_stale(out, "03_x", "f") == ""
    return out


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("notebooks/03_x.ipynb", None, "executed notebook"),
        ("notebooks/03_x.ipynb", "{ }", "executed notebook"),
        ("figures/a.png", None, "figures/a.png is missing"),
        ("results.csv", None, "rows"),
        ("results/03_x.csv", None, "rows"),
        ("results/03_x.csv", "notebook,value\n03_x,2\n", "rows"),
        ("results/03_x.csv", "notebook,value\n", "rows"),
        ("results/02_y.csv", "notebook,value\n02_y,6\n", ""),  # another notebook's row
        ("receipts/03.json", None, "no receipt"),
        ("receipts/03.json", '{"notebook": "03_', "no receipt"),
        ("receipts/03.json", "[]", "no receipt"),
        ("receipts/03.json", "{}", "no receipt"),
    ],
)
def test_what_was_lost_or_tampered_with_is_stale(finished, path, text, why):
    (finished / path).unlink() if text is None else (finished / path).write_text(text)
    found = receipts.why_stale(finished, "03_x", "f")
    assert why in found and bool(found) == bool(why)


def test_a_renamed_notebook_or_another_fingerprint_is_stale(finished):
    assert "no receipt" in receipts.why_stale(finished, "03_z", "f")
    assert "changed" in receipts.why_stale(finished, "03_x", "g")


def test_a_receipt_names_the_day_and_the_machine(finished):
    receipt = receipts.read_receipt(finished, "03_x")
    assert date.fromisoformat(receipt["day"]) and f"{os.cpu_count()} cores" in receipt["machine"]


def test_a_new_clone_makes_the_notebook_run_again_that_reads_it_and_no_other(tmp_path):
    config = make_config({"published_scores": str(tmp_path)})
    (tmp_path / "a.json").write_text("{}")
    cells = [{"cell_type": "code", "source": "published_scores = 'x'"}, {"cell_type": "code", "source": "a = 1"}]
    assert receipts.read_besides(config, {"cells": cells}) == []  # every notebook has the parameter
    cells[1]["source"] = "find(config.published_scores)"
    assert [name for name, *_ in receipts.read_besides(config, {"cells": cells})] == ["a.json"]
    nowhere = make_config({"published_scores": ""})
    assert receipts.read_besides(nowhere, {"cells": cells}) == [] and nowhere.fingerprint() == config.fingerprint()


def test_the_fingerprint_follows_code_parameters_context_and_upstream_but_not_prose():
    def notebook(code="a = 1", prose="why"):
        return {"cells": [{"cell_type": "markdown", "source": prose}, {"cell_type": "code", "source": code}]}

    base = receipts.make_fingerprint(notebook(), {"seeds": [0]}, "c", {"01": None})
    assert receipts.make_fingerprint(notebook(prose="else"), {"seeds": [0]}, "c", {"01": None}) == base
    others = [
        receipts.make_fingerprint(notebook(code="a = 2"), {"seeds": [0]}, "c", {"01": None}),
        receipts.make_fingerprint(notebook(), {"seeds": [1]}, "c", {"01": None}),
        receipts.make_fingerprint(notebook(), {"seeds": [0]}, "d", {"01": None}),
        receipts.make_fingerprint(notebook(), {"seeds": [0]}, "c", {"01": ["f", "rows"]}),
    ]
    assert len({base, *others}) == 5


def test_a_notebook_that_reads_others_runs_after_them(project):
    working_notebook(project, "02_summary", "from vadkit.report.rows import load_results")
    assert vadkit(project, "run", "toy", "--only", "00,02")[0] == 0
    assert executed(vadkit(project, "run", "toy")[1]) == ["01_second", "02_summary"]
    assert executed(vadkit(project, "run", "toy")[1]) == []


def test_a_failing_cell_stops_the_run_and_is_named(project):
    folder = project / "notebooks"
    toy_notebook(folder, "01_second", "a = 1", "print('shown')\n1 / 0", "b = 2")
    working_notebook(project, "02_third")
    code, text = vadkit(project, "run", "toy")
    assert code == 1 and executed(text) == ["00_first", "01_second"]
    assert "01_second failed in code cell 3" in text and "error: ZeroDivisionError: division by zero" in text
    assert "Traceback (most recent call last)" in text and "later notebooks were not run" in text
    kept = project / "outputs/toy/notebooks/01_second.failed.ipynb"
    assert "shown" in kept.read_text()
    assert (
        not (project / "outputs/toy/notebooks/01_second.ipynb").exists()
        and not (project / "outputs/toy/receipts/01.json").exists()
    )

    toy_notebook(
        folder, "01_second", "from vadkit.core.errors import DataError\nraise DataError('no clip; put it there')"
    )
    code, text = vadkit(project, "run", "toy")
    assert code == 1 and executed(text) == ["01_second"]
    assert "error: no clip; put it there" in text and "Traceback" not in text

    working_notebook(project, "01_second")
    code, text = vadkit(project, "run", "toy")
    assert code == 0 and executed(text) == ["01_second", "02_third"]
    assert not kept.exists()


def test_a_folder_of_a_profiles_name_is_no_parameter_file_and_defaults_are_not_repeated(project):
    (project / "demo").mkdir()
    (project / "params" / "demo.yaml").write_text("# all defaults\n")
    toy_notebook(project / "notebooks", "01_second", "a = 1", "1 / 0")
    code, text = vadkit(project, "run", "demo")
    assert code == 1 and executed(text) == ["00_first", "01_second"], text
    assert "01_second failed in code cell 3" in text
    assert "injected-parameters" not in (project / "outputs/demo/notebooks/00_first.ipynb").read_text()
    receipt = json.loads((project / "outputs/demo/receipts/00.json").read_text())
    assert receipt["parameters"] == Config().model_dump()


def test_what_a_person_changed_in_a_parameters_cell_does_not_count_in_a_run(project):
    changed = parameters_cell().replace("\npatience = 5 ", "\npatience = 6 ").replace("[0, 1, 2]", "[1, 0]")
    toy_notebook(project / "notebooks", "01_second", parameters=changed)
    plain, other = (n.content for n in notebooks.find_notebooks(project / "notebooks"))
    values = Config(data_root="it's", sas_bound=6.5, early_stopping=False).model_dump()
    differ = {"data_root": "it's", "sas_bound": 6.5, "early_stopping": False}
    assert notebooks.changed_parameters(plain, values) == differ
    assert notebooks.changed_parameters(other, values) == differ | {"patience": 5, "seeds": [0, 1, 2]}


def test_of_every_error_of_a_users_the_sentence_is_shown_and_no_traceback(tmp_path):
    """Also of one that a room would define for itself."""
    modules = [path for path in sorted((REPOSITORY / "vadkit").rglob("*.py")) if "Error(" in path.read_text()]
    classes = [n for path in modules for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)]
    errors = [n.name for n in classes if any(ast.unparse(base).endswith("Error") for base in n.bases)]
    assert {VadkitError.__name__, AnnotationError.__name__, "TooShortError"} <= {*errors, VadkitError.__name__}
    for name in errors:
        error = type(name, (VadkitError,), {})("line 3: expected a number")
        failure = kernels.Failure(4, name, str(error), error._render_traceback_())
        said = run._explain("03_x", failure, 1.0, tmp_path / "none").splitlines()
        assert said == ["  03_x failed in code cell 4 after 0:01", "error: line 3: expected a number"], name


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("import os\nos.kill(os.getpid(), 9)", "the kernel died"),
        ("import sys\nsys.exit()", "ended the notebook with 1 code cells still to run"),
        ("import sys\nsys.exit(3)", "SystemExit"),
    ],
)
def test_a_notebook_that_only_seems_to_end_well_has_failed(project, cell, said):
    toy_notebook(project / "notebooks", "01_second", cell, "b = 2")
    code, text = vadkit(project, "run", "toy", "--only", "01")
    assert code == 1 and said in text, text
    assert "failed in code cell 2" in text
    assert (
        not list((project / "outputs/toy").glob("receipts/*"))
        and not (project / "outputs/toy/notebooks/01_second.ipynb").exists()
    )


def test_nothing_starts_before_everything_is_checked(project):
    for arguments, said in (
        (["toy", "-p", "head_lrr", "1"], "did you mean 'head_lr'?"),
        (["toy", "-p", "head_lr", "1e-4"], "1.0e-4"),
        (["toy", "-p", "seeds", "[0]", "-p", "seeds", "[1]"], "given twice"),
        (["toy", "-p", "corpus", "folder", "-p", "split", "grouped_cv", "-p", "data_root", "nowhere"], "no folder"),
        (["toy", "-p", "detector_weights", "gone.onnx"], "no file"),
        (["toy", "-p", "backbone_weights", "gone.pt"], "no file"),
        (["toy", "--only", "07"], "there are 00_first, 01_second"),
        (["toy", "--only", "00", "--from", "01"], "leave no notebook"),
        (["tow"], "params/ has toy.yaml"),
    ):
        code, text = vadkit(project, "run", *arguments)
        assert code == 2 and said in text and "Traceback" not in text, text
        assert executed(text) == []
    assert not list(project.glob("outputs/toy/notebooks/*"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (parameters_cell() + "\nmore = 1", "sets unknown more"),
        (parameters_cell().replace("\npatience = ", "\npatienc = "), "lacks patience"),
        (parameters_cell() + "\nseeds = [1]", "sets twice seeds"),
        (parameters_cell() + "\nprint(1)", "something else than"),
        (parameters_cell() + "\n(", "is not Python"),
    ],
)
def test_a_notebook_that_cannot_take_parameters_is_refused(project, source, said):
    toy_notebook(project / "notebooks", "01_second", "a = 1", parameters=source)
    content = notebooks.find_notebooks(project / "notebooks")[1].content
    assert said in " ".join(notebooks.parameters_problems(content))
    with pytest.raises(RunError, match="01_second.ipynb"):
        run.run_profile(project / "params" / "toy.yaml")
    changed = notebooks.renew_parameters_cells(project / "notebooks")
    assert [p.name for p in changed] == ["01_second.ipynb"]
    content = notebooks.find_notebooks(project / "notebooks")[1].content
    assert notebooks.parameters_problems(content) == []
    assert notebooks.renew_parameters_cells(project / "notebooks") == []
    cell = next(c for c in content["cells"] if c["cell_type"] == "code")
    path = project / "notebooks" / "01_second.ipynb"
    path.write_text(json.dumps(content | {"cells": [cell | {"metadata": {"tags": ["parameters"], "trusted": True}}]}))
    assert notebooks.renew_parameters_cells(project / "notebooks") == [path]  # unfolded, as somebody saved it
    assert json.loads(path.read_text())["cells"][0]["metadata"] == notebooks.FOLDED | {"trusted": True}


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # `run_profile` changes the working directory


def test_missing_and_doubled_parameters_cells(project):
    content = notebooks.find_notebooks(project / "notebooks")[0].content
    cell = next(c for c in content["cells"] if c["cell_type"] == "code")
    assert "second parameters cell" in notebooks.parameters_problems({"cells": [cell, cell]})[0]
    assert "not tagged" in notebooks.parameters_problems({"cells": [{**cell, "metadata": {}}, cell]})[0]
    assert "not tagged" in notebooks.parameters_problems({"cells": []})[0]


def test_damaged_and_ambiguous_notebooks_are_refused(project):
    (project / "notebooks" / "01_other.ipynb").write_text((project / "notebooks" / "01_second.ipynb").read_text())
    with pytest.raises(RunError, match="two notebooks carry the number 01"):
        notebooks.find_notebooks(project / "notebooks")
    (project / "notebooks" / "01_other.ipynb").write_text("{")
    with pytest.raises(RunError, match="01_other.ipynb is not a notebook"):
        notebooks.find_notebooks(project / "notebooks")


def test_selection(project):
    found = notebooks.find_notebooks(project / "notebooks")

    def names(only=None, from_=None):
        return [n.number for n in notebooks.select(found, only, from_)]

    assert names() == ["00", "01"]
    assert names(only="1") == names(only="01_second") == names(from_="1") == ["01"]
    assert names(only="1, 0") == ["00", "01"]
    for only in ("", "1,", "x", "001", "2"):
        with pytest.raises(ConfigError, match="--only"):
            names(only=only)


def test_outside_of_a_project(tmp_path):
    with pytest.raises(RunError, match="inside the project"):
        run.run_profile(tmp_path / "some.yaml")


def test_it_runs_from_any_folder(project, tmp_path):
    code, text = vadkit(tmp_path, "run", str(project / "params" / "toy.yaml"), "--only", "00")
    assert code == 0, text
    assert (project / "outputs/toy/notebooks/00_first.ipynb").exists() and not (tmp_path / "outputs").exists()


def test_the_kernel_is_this_interpreter_whatever_is_registered(project, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": ["/nowhere/python", "{connection_file}"], "display_name": "other", "language": "python"})
    )
    toy_notebook(project / "notebooks", "00_first", "import sys\nprint('ran by', sys.executable)")
    code, text = vadkit(project, "run", "toy", "--only", "00", env={"JUPYTER_PATH": str(tmp_path / "jupyter")})
    assert code == 0, text
    assert f"ran by {sys.executable}" in (project / "outputs/toy/notebooks/00_first.ipynb").read_text()


def test_a_run_writes_nothing_into_the_home_and_takes_nothing_from_it(project, tmp_path):
    home = tmp_path / "home"
    startup = home / ".ipython" / "profile_default" / "startup" / "mine.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("print('not in a run')")
    before = sorted(home.rglob("*"))
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('drawn')\nplt.show()"
    toy_notebook(project / "notebooks", "00_first", draw)
    own = {"HOME": str(home), "IPYTHONDIR": str(home / ".ipython"), "MPLCONFIGDIR": str(home / "mpl")}
    code, text = vadkit(project, "run", "toy", "--only", "00", env=own)
    assert code == 0, text
    assert sorted(home.rglob("*")) == before
    assert "not in a run" not in (project / "outputs/toy/notebooks/00_first.ipynb").read_text()
    assert (project / "cache" / "home" / "mplconfigdir").is_dir()


def test_a_kernel_listens_on_this_machine_alone_and_takes_signed_messages_only(project):
    """Its addresses are in its connection file, which only its owner can read."""
    cell = (
        "import json, os, stat\nfrom ipykernel.connect import get_connection_file\n"
        "path = get_connection_file()\nfacts = json.load(open(path))\n"
        "print('said', facts['ip'], facts['signature_scheme'], len(facts['key']) > 20,"
        " oct(stat.S_IMODE(os.stat(path).st_mode)))"
    )
    toy_notebook(project / "notebooks", "00_first", cell)
    code, text = vadkit(project, "run", "toy", "--only", "00")
    assert code == 0, text
    assert "said 127.0.0.1 hmac-sha256 True 0o600" in (project / "outputs/toy/notebooks/00_first.ipynb").read_text()


def sleeping(project, marker: str = "started") -> None:
    """A notebook that starts a worker process, says so in a file, and sleeps."""
    lines = (
        "import subprocess, sys, time, os",
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])",
        f"open({marker!r}, 'w').write(f'{{os.getpid()}} {{worker.pid}}')",
    )
    toy_notebook(project / "notebooks", "00_first", "\n".join(lines), "time.sleep(300)")


def pids_of(project, marker: str = "started") -> list[int]:
    wait_for(lambda: (project / marker).exists() and len((project / marker).read_text().split()) == 2)
    return [int(pid) for pid in (project / marker).read_text().split()]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT, signal.SIGTERM), (signal.SIGTERM,), (signal.SIGHUP, signal.SIGINT)]
)
def test_an_interrupted_run_ends_its_kernel_and_workers(project, numbers):
    """Also where the signal comes again while they are being ended."""
    sleeping(project)
    process = vadkit_process(project, "run", "toy")
    pids = pids_of(project)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.02)
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 130 and "interrupted" in text and "Traceback" not in text, text
    wait_for(lambda: not any(alive(pid) for pid in pids))
    assert (project / "outputs/toy/.lock").read_text() == ""


def test_two_runs_of_one_profile_exclude_each_other_and_a_killed_one_frees_it(project):
    sleeping(project)
    first = vadkit_process(project, "run", "toy")
    kernel, worker = pids_of(project)
    code, text = vadkit(project, "run", "toy")
    assert code == 2 and f"in use by another run, process {first.pid}" in text
    assert vadkit(project, "run", "toy", "-p", "profile", "other", "--only", "01")[0] == 0

    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    wait_for(lambda: not alive(kernel))  # it looks after its parent
    assert alive(worker)  # nobody looks after it but the next run
    working_notebook(project, "00_first")
    code, text = vadkit(project, "run", "toy")
    assert code == 0 and executed(text) == ["00_first", "01_second"], text
    assert not alive(worker)
    assert not list((project / "outputs/toy/notebooks").glob(".*"))


def test_signals_during_the_clean_up_wait_for_it_and_the_lock_names_the_run_until_then(tmp_path, monkeypatch):
    seen = []

    def ending(token):
        if token:  # of this run
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGHUP)
            seen.append(json.loads((tmp_path / "toy" / ".lock").read_text())["token"] == token)

    monkeypatch.setattr(kernels, "end_processes", ending)
    with kernels.run_lock(tmp_path / "toy"):
        before = [signal.getsignal(one) for one in kernels.ENDING]
    assert seen == [True] and (tmp_path / "toy" / ".lock").read_text() == ""
    assert [signal.getsignal(one) for one in kernels.ENDING] == before


def test_a_signal_that_was_ignored_stays_ignored(tmp_path):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with kernels.on_signals(signal.default_int_handler):
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_killed_kernel_leaves_no_worker(project):
    sleeping(project)
    process = vadkit_process(project, "run", "toy")
    kernel, worker = pids_of(project)
    os.kill(kernel, signal.SIGKILL)
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 1 and "the kernel died" in text and "Traceback" not in text, text
    assert not alive(worker) and (project / "outputs/toy/.lock").read_text() == ""


def limited(size: int):
    """For a child process: no file may grow beyond `size` bytes, as on a disk that is full by then."""
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}


@pytest.mark.parametrize("size", [1, 3_000, 24_000])  # of the lock; of the notebook; of the cache's entry
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(project, size):
    code, text = vadkit(project, "run", "toy", **limited(size))
    assert code == (2 if size == 1 else 1) and "the disk is full; make room there" in text, text
    assert "Traceback" not in text and text.count("error: ") == 1
    whole = [p for p in project.rglob("*.ipynb") if p.parent.parent.name == "toy"]
    assert all(json.loads(path.read_text()) for path in whole)
    assert not [p for root in ("outputs", "cache") for p in (project / root).rglob(".*") if p.name != ".lock"]
    assert vadkit(project, "run", "toy")[0] == 0


def test_an_output_folder_that_is_deleted_meanwhile_is_one_line(project):
    gone = "import shutil\nshutil.rmtree('outputs/toy')"
    toy_notebook(project / "notebooks", "01_second", gone, "b = 2")
    code, text = vadkit(project, "run", "toy")
    assert code == 1 and "outputs/toy" in text and "it was deleted while it was in use; run it again" in text, text
    assert "Traceback" not in text
    working_notebook(project, "01_second")
    code, text = vadkit(project, "run", "toy")
    assert code == 0 and executed(text) == ["00_first", "01_second"], text


def test_a_read_only_output_folder_is_one_line(project, monkeypatch, capsys):
    def refuse(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", os.fspath(path))

    monkeypatch.chdir(project)
    monkeypatch.setattr(os, "mkdir", refuse)
    code, _, said = call(capsys, "run", "toy")
    place = project / "outputs"
    assert code == 2 and said.startswith(f"error: {place}") and "Read-only file system; see to it" in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_what_is_printed_to_a_full_disk_is_one_line(project):
    with open("/dev/full", "w") as full:
        process = vadkit_process(project, "params", stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=600)
    assert (
        process.returncode == 2
        and said.startswith("error: what is printed: the disk is full")
        and said.count("\n") == 1
    )


def test_a_lock_file_left_by_anyone_is_no_lock(project):
    out = project / "outputs" / "toy"
    out.mkdir(parents=True)
    for content in ("", "{", "[]", '{"pid": 1, "token": ""}', json.dumps({"pid": os.getpid(), "token": "nobody's"})):
        (out / ".lock").write_text(content)
        with kernels.run_lock(out):
            assert json.loads((out / ".lock").read_text())["pid"] == os.getpid()
    with open(out / ".lock", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="in use by another run"), kernels.run_lock(out):
            raise AssertionError("two runs at once")


def test_a_run_whose_folder_is_gone_still_ends_as_it_ended(tmp_path):
    with pytest.raises(KeyboardInterrupt), kernels.run_lock(tmp_path / "toy"):
        shutil.rmtree(tmp_path / "toy")
        raise KeyboardInterrupt


def test_only_what_a_dead_process_left_is_swept(tmp_path):
    with whole_file(tmp_path / "cam.csv") as scratch:
        scratch.touch()
        assert scratch in tmp_path.rglob(".*-????????") and not is_left(scratch)
        assert is_left(scratch.with_name(".cam.csv-2147483647-0badcafe"))


def test_clock():
    assert [run.clock(s) for s in (0, 59.6, 61, 3600, 7325)] == ["0:00", "1:00", "1:01", "1:00:00", "2:02:05"]


def test_a_receipt_holds_the_digests_of_the_weights_that_were_given(tmp_path):
    own, fetched = tmp_path / "own.onnx", tmp_path / "cache" / "weights" / "yolov8n.pt"
    fetched.parent.mkdir(parents=True)
    for path, named in ((own, str(own)), (fetched, fetched.name)):
        path.write_text(named)
        values = {"detector_weights": named, "cache_root": str(tmp_path / "cache")}
        receipts.write_receipt(tmp_path, "03_x", "f", values, 1.0, [])
        assert receipts.read_receipt(tmp_path, "03_x")["weights"] == {"detector_weights": file_digest(path)}


def test_the_context_follows_data_weights_and_package(tmp_path, monkeypatch):
    data = tmp_path / "data"
    (data / "fight").mkdir(parents=True)
    clip = data / "fight" / "a.mp4"
    clip.write_text("one")
    config = Config(corpus="folder", split="grouped_cv", data_root=str(data), detector_weights=str(tmp_path / "w.onnx"))
    seen = [receipts.context_digest(config)]
    assert receipts.context_digest(config) == seen[0]
    (data / ".hidden").write_text("x")
    assert receipts.context_digest(config) == seen[0]
    clip.write_text("other")
    seen.append(receipts.context_digest(config))
    (tmp_path / "w.onnx").write_text("x")
    seen.append(receipts.context_digest(config))
    monkeypatch.setattr(receipts, "package_digest", lambda: "changed")
    seen.append(receipts.context_digest(config))
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("cell", "word", "attempts"),
    [(0, "zmq.error.ZMQError: Address already in use", 3), (2, "Address already in use", 1), (0, "MemoryError", 1)],
)
def test_a_kernel_that_lost_its_port_is_started_again(monkeypatch, tmp_path, cell, word, attempts):
    tried = []

    def attempt(*arguments):
        tried.append(arguments)
        return kernels.Failure(cell or None, "RuntimeError", "Kernel didn't respond", [word])

    monkeypatch.setattr(kernels, "_attempt", attempt)
    doing = kernels.Doing()
    doing.cell = cell
    assert kernels._papermill(tmp_path, tmp_path, {}, doing) is not None and len(tried) == attempts


DAMAGES = {
    "no metadata": lambda n: n.pop("metadata"),
    "a cell without metadata": lambda n: n["cells"][0].pop("metadata"),
    "tags that are null": lambda n: n["cells"][0]["metadata"].update(tags=None),
    "cells that are null": lambda n: n.update(cells=None),
    "a source that is null": lambda n: n["cells"][0].update(source=None),
    "an old format": lambda n: n.update(nbformat=3),
}


@pytest.mark.parametrize("damage", [*DAMAGES, b"", b"[" * 100_000, b"[]", b"\xff\xfe"])
def test_a_notebook_is_refused_whatever_is_wrong_with_it(project, damage):
    path = project / "notebooks" / "01_second.ipynb"
    if isinstance(damage, str):
        content = json.loads(path.read_text())
        DAMAGES[damage](content)
        damage = json.dumps(content).encode()
    path.write_bytes(damage)
    for use in (notebooks.find_notebooks, notebooks.renew_parameters_cells):
        with pytest.raises(RunError, match=r"01_second.ipynb is not a notebook \(.*git checkout$"):
            use(project / "notebooks")
