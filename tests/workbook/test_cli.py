from __future__ import annotations

import re
import subprocess
import sys

import pytest
from toys import call, toy_project

from vadkit import __version__
from vadkit.core.config import Config


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(toy_project(tmp_path))
    return tmp_path


def test_version_and_help(capsys):
    assert call(capsys, "--version") == (0, f"vadkit {__version__}\n", "")
    code, out, _ = call(capsys, "--help")
    assert code == 0 and all(name in out for name in ("run", "check", "data", "params"))
    code, out, err = call(capsys)
    assert "Usage: vadkit" in out + err
    assert "-p, --parameter KEY VALUE" in call(capsys, "run", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "demo"], "did you mean 'run'?"),
        (["zzz"], "the commands are run, check, data"),
        (["run", "toy", "--ony", "3"], "--only"),
        (["run"], "PARAMS"),
        (["run", "toy", "-p", "seeds"], "2 arguments"),
        (["run", "nothing"], "params/ has toy.yaml"),
        (["check", "toy", "-p", "batchsize", "3"], "did you mean 'batch_size'?"),
    ],
)
def test_mistakes_get_a_hint_and_exit_code_2(capsys, project, arguments, said):
    code, _, err = call(capsys, *arguments)
    assert code == 2 and err.startswith("error: ") and said in err, err


def test_params_lists_every_parameter(capsys):
    _, out, _ = call(capsys, "params")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(Config.model_fields)
    assert all(field.description in line for field, line in zip(Config.model_fields.values(), lines, strict=True))


def test_check_says_what_is_missing(capsys, project):
    code, out, err = call(capsys, "check", "toy")
    assert (code, err) == (0, "") and "all is there" in out and "synthetic world" in out
    code, out, err = call(
        capsys, "check", "toy", "-p", "detector_weights", "gone.pt", "-p", "backbone_weights", "gone.pt"
    )
    assert code == 2 and out.count("MISSING") == 2 and "2 things to mend" in err
    assert re.search(r"detector_weights: no file .*gone\.pt; give", out)
    assert "fetched by ultralytics" in call(capsys, "check", "toy", "-p", "detector_weights", "yolov8n.pt")[1]
    code, out, _ = call(capsys, "check", "toy", "-p", "detector_weights", "none")
    assert code == 2 and "MISSING detector_weights is 'none'" in out
    code, out, _ = call(capsys, "check", "toy", "-p", "detector_weights", "yolo.txt")
    assert code == 2 and "must be 'world'" in out


def test_check_of_missing_data_says_where_they_come_from(capsys, project):
    code, out, _ = call(capsys, "check", "toy", "-p", "corpus", "ucf_crime", "-p", "data_root", "nowhere")
    assert code == 2 and "no folder" in out and "crcv.ucf.edu" in out
    (project / "empty").mkdir()
    code, out, _ = call(capsys, "check", "toy", "-p", "corpus", "ucf_crime", "-p", "data_root", "empty")
    assert code == 2 and "MISSING data: " in out


def test_data_of_the_synthetic_world_renders_nothing(capsys, project):
    code, out, _ = call(capsys, "data", "toy")
    assert code == 0 and "96 videos" in out and not (project / "cache").exists()


def test_data_counts_real_clips(capsys, project, shared):
    root = shared("data/fights")
    arguments = ("toy", "-p", "corpus", "folder", "-p", "split", "grouped_cv", "-p", "data_root", str(root))
    code, out, err = call(capsys, "data", *arguments)
    assert code == 0, err
    found = re.search(r"cross-validation: (\d+) videos, (\d+) anomalous and (\d+) normal", out)
    total, anomalous, normal = map(int, found.groups())
    assert total == anomalous + normal == len(list(root.rglob("*.mp4")))
    code, out, _ = call(capsys, "check", *arguments)
    assert code == 0 and f"{total} videos" in out


def test_sync_renews_parameters_cells(capsys, project):
    assert "are current" in call(capsys, "sync")[1]
    path = project / "notebooks" / "00_first.ipynb"
    before = path.read_text()
    path.write_text(before.replace("patience = 5", "patience = 6"))
    assert call(capsys, "sync")[1] == "renewed 00_first.ipynb\n"
    assert path.read_text() == before


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(f"{sys.executable} -m vadkit params | head -1", shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_many_missing_videos_are_counted_and_listed_on_request(project, capsys):
    root = project / "videos"
    for name in ("fight/a.mp4", "noFight/b.mp4"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    gone = [f"fight/gone{number:04}.mp4,1" for number in range(1000)]
    (root / "clips.csv").write_text("\n".join(["path,label", "fight/a.mp4,1", "noFight/b.mp4,0", *gone]))
    asked = ["data", "toy", "-p", "corpus", "folder", "-p", "split", "grouped_cv", "-p", "data_root", str(root)]
    code, out, _ = call(capsys, *asked)
    assert code == 0 and len(out.splitlines()) < 30 and "left out: 1000" in out
    assert "and 980 more; --all lists them" in out and "gone0019" in out and "gone0020" not in out
    code, out, _ = call(capsys, *asked, "--all")
    assert code == 0 and "gone0999" in out and "more" not in out.replace("one or more", "")


def test_what_is_printed_steers_no_terminal_and_tells_no_password(project, capsys):
    root = project / "videos"
    for name in ("fight/a\x1b[2J.mp4", "noFight/b.mp4", "\x1b]0;title\x07.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    asked = ["-p", "corpus", "folder", "-p", "split", "grouped_cv", "-p", "data_root", str(root)]
    for arguments in (
        ["data", "toy", *asked],
        ["check", "\x1b[2J"],
        ["\x1b[2J"],
        ["score", "rtsp://me:secret@x/y", "z"],
    ):
        said = "".join(call(capsys, *arguments)[1:])
        assert "\x1b" not in said and "\x07" not in said and "secret" not in said


def test_a_path_that_is_too_long_is_one_line(project, capsys):
    code, out, err = call(capsys, "score", "video.mp4", "--run", "x" * 5000)
    assert code == 2 and out == "" and err.startswith("error: xxx") and len(err) < 5000 and err.count("\n") == 1
