"""The notebooks' common start and their progress bar."""

from __future__ import annotations

import nbformat
import numpy as np
import pytest
from conftest import REPOSITORY, moving_square, write_video
from toys import figures_shown_and_saved, toy_notebook, toy_project, vadkit

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError
from vadkit.core.parameters import load_params, parameters_cell
from vadkit.core.progress import VARIABLE
from vadkit.corpora.video import Corpus, Video
from vadkit.workbook import session as notebook


def test_a_notebook_run_by_hand_is_held_to_the_same_rules(capsys):
    good = Config().model_dump()
    config = notebook.start(good)
    assert config == Config()
    printed = capsys.readouterr().out
    assert config.fingerprint() in printed and "torch" in printed and "not the papers' data" in printed
    with pytest.raises(ConfigError, match="head_lr"):
        notebook.start(good | {"head_lr": "1e-4"})
    with pytest.raises(ConfigError, match="lacks sas_tau.*make notebooks"):
        notebook.start({k: v for k, v in good.items() if k != "sas_tau"})
    assert (
        "not the papers' data"
        not in (notebook.start(good | {"corpus": "ucf_crime", "data_root": "d"}), capsys.readouterr().out)[1]
    )


def test_the_first_lines_say_what_a_profiles_data_are(capsys):
    config = load_params(REPOSITORY / "params/ucf_text.yaml")
    notebook.start(config.model_dump())
    printed = " ".join(capsys.readouterr().out.split())
    assert "sentence by sentence" in printed and "never a reproduction" in printed and "git clone" not in printed
    notebook.start(config.model_dump() | {"profile": "nobodys"})
    assert "sentence by sentence" not in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    good = Config().model_dump()
    with pytest.raises(ConfigError, match="unknown parameter 'sas_tou'; did you mean 'sas_tau'?"):
        notebook.start(good | {"sas_tou": 0.4})
    with pytest.raises(ConfigError, match="unknown parameter 'sas_tou'; did you mean 'sas_tau'?"):
        notebook.start({name: value for name, value in good.items() if name != "sas_tau"} | {"sas_tou": 0.4})
    notebook.start(good | {"__name__": "__main__", "_": "shown last", "nbformat": nbformat, "Config": Config})


def test_what_later_cells_set_is_no_parameter():
    """A session as IPython keeps it: `In` holds the cells' sources, the namespace all that they set."""
    good, cells = Config().model_dump(), ["", parameters_cell()]
    start = "config = session.start(globals())"

    def restart(*more, **changes):
        return notebook.start(good | changes | {"In": [*cells, *more]})

    assert restart(start) == Config()
    with pytest.raises(ConfigError, match="did you mean 'sas_tau'?"):
        restart("# Parameters\nsas_tou = 0.4\n", start, sas_tou=0.4)
    assert restart("# Parameters\nsas_tau = 0.4\n", start, sas_tau=0.4).sas_tau == 0.4
    later = (start, "sas_tuas = [0.3, 0.5]", "corpus = load_corpus(config)", "%time\nsome ! thing", start)
    assert restart(*later, sas_tuas=[0.3, 0.5], corpus=Corpus("demo", ())) == Config()
    assert restart(*later, sas_tuas=[0.3], sas_tau=0.4).sas_tau == 0.4  # set by hand, farther down
    mistyped = cells[1].replace("sas_tau = ", "sas_tou = ")
    with pytest.raises(ConfigError, match="did you mean 'sas_tau'?"):
        restart(start, mistyped, start, sas_tou=0.5)
    assert restart(start, mistyped, start, cells[1], start, sas_tou=0.5) == Config()  # mended


def test_playing_does_not_replace_a_profiles_results(capsys, monkeypatch):
    demo = load_params(REPOSITORY / "params" / "demo.yaml").model_dump()
    assert notebook.start(demo).output_dir.name == "demo"
    assert notebook.start(demo | {"sas_tau": 0.7}).output_dir.name == "demo-play"
    assert "outputs/demo-play" in capsys.readouterr().out
    assert notebook.start(demo | {"workers": 1}).output_dir.name == "demo"  # no result depends on it
    assert notebook.start(demo | {"profile": "mine", "sas_tau": 0.7}).output_dir.name == "mine"  # a file of one's own
    monkeypatch.setenv(VARIABLE, "somewhere")  # `vadkit run` means it
    assert notebook.start(demo | {"sas_tau": 0.7}).output_dir.name == "demo"


def test_the_method_is_shown_as_the_package_has_it():
    from vadkit.evaluation.sas import SasStream
    from vadkit.systems.trainer import hardest

    shown = notebook.source(hardest, SasStream._step).data
    assert "return torch.topk(losses, keep).indices" in shown and "largest losses" not in shown
    assert "*vadkit.systems.trainer.hardest*" in shown and shown.count("```python") == 2
    assert "\ndef _step(self, confidence: float) -> float:\n    if confidence >= self.tau:" in shown


def test_papermill_alone_refuses_an_unknown_name(tmp_path):
    import papermill

    path = toy_notebook(tmp_path, "00_start", "from vadkit.workbook import session\nconfig = session.start(globals())")
    with pytest.raises(papermill.PapermillExecutionError, match="unknown parameter 'sas_tou'; did you mean 'sas_tau'?"):
        papermill.execute_notebook(path, tmp_path / "out.ipynb", {"sas_tou": 0.4}, progress_bar=False)
    assert "sas_tou = 0.4" in (tmp_path / "out.ipynb").read_text()


def test_every_figure_is_seen_not_the_first_alone(tmp_path):
    project = toy_project(tmp_path / "project", names=())
    grid = "sample_grid([np.zeros((8, 8, 3), np.uint8)], ['black'], columns=1)"
    toy_notebook(
        project / "notebooks",
        "00_figures",
        "from vadkit.workbook import session\nconfig = session.start(globals())",
        f"import numpy as np\nfrom vadkit.report.figures import sample_grid\nfirst = {grid}",
        f"second = {grid}",
        f"from vadkit.report import rows\nthird = {grid}\n"
        "for number, figure in enumerate((first, second, third)):\n    rows.save_figure(config, f'figure_{number}', "
        "figure)",
    )
    code, text = vadkit(project, "run", "toy")
    assert code == 0, text
    assert figures_shown_and_saved(project / "outputs" / "toy") == {"00_figures": (3, 3)}
    executed = nbformat.read(project / "outputs" / "toy" / "notebooks" / "00_figures.ipynb", as_version=4)
    shown = [one for cell in executed.cells for one in cell.get("outputs", []) if "image/png" in one.get("data", {})]
    assert [one.metadata["image/png"]["alt"] for one in shown] == ["Figure: black"] * 3


def test_the_first_notebook_keeps_only_the_frames_it_shows(tmp_path):
    cells = [
        cell.source
        for cell in nbformat.read(REPOSITORY / "notebooks" / "00_start_here.ipynb", as_version=4).cells
        if "read_frames(" in cell.source
    ]
    path = write_video(tmp_path / "a.mp4", moving_square(40), fps=10)
    namespace = {"corpus": Corpus("tiny", (Video("a", path, "Assault", "train", "a", ((10, 20),)),))}
    exec(cells[0], namespace)
    assert (
        sorted(namespace["frames"]) == sorted(set(namespace["shown"].tolist()))
        and len(namespace["frames"]) == 8
        and namespace["labels"].sum() == 10
    )


def without_videos(folder):
    """Parameters of a run on features alone, as lines of a cell."""
    (folder / "features").mkdir(exist_ok=True)
    np.save(folder / "features" / "Abuse028_x264.npy", np.ones((89, 4)))
    given = {"corpus": "ucf_crime", "data_root": "data", "mil_published": str(folder / "features")}
    return "\n".join(f"{name} = {value!r}" for name, value in given.items())


def test_a_notebook_without_its_videos_says_so_and_gets_to_its_end(tmp_path):
    project = toy_project(tmp_path / "project", names=())
    start = "from vadkit.workbook import session as notebook\nconfig = notebook.start(globals())"
    toy_notebook(
        project / "notebooks",
        "00_pixels",
        f"{start}\nnotebook.needs_videos(config)",
        "raise SystemExit('never run')",
        "import nowhere",
    )
    toy_notebook(project / "notebooks", "01_scores", f"{start}\nprint('ran')")
    lines = without_videos(project).replace(" = ", ": ")
    (project / "params" / "toy.yaml").write_text(f"profile: toy\nseeds: [0]\n{lines}\n")
    code, text = vadkit(project, "run", "toy")
    assert code == 0, text
    pages = [nbformat.read(path, as_version=4) for path in sorted(project.glob("outputs/toy/notebooks/*.ipynb"))]
    said = [str([cell.get("outputs") for cell in page.cells]) for page in pages]
    assert "No video of UCF-Crime is below data_root (data); get them from https://www.crcv" in said[0]
    assert "ran" in said[1] and "No video" not in said[1]
    code, text = vadkit(project, "check", "toy")
    assert code == 0 and "videos: No video of UCF-Crime" in text and "features of 1 of 1900 listed videos" in text
    assert "No video of UCF-Crime" in vadkit(project, "data", "toy")[1]


def test_the_cells_run_again_after_the_next_start(tmp_path):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        start = "from vadkit.workbook import session as notebook\nconfig = notebook.start(globals())"
        lines = f"{parameters_cell()}\n{without_videos(tmp_path)}"
        for cell in (lines, f"{start}\nnotebook.needs_videos(config)", "ran = True", "import nowhere"):
            assert shell.run_cell(cell, store_history=True).success
        assert "ran" in shell.user_ns  # a literal may be a parameter
        for cell in ("mil_published, corpus, data_root = '', 'synthetic', ''", parameters_cell(), start):
            assert shell.run_cell(cell, store_history=True).success
        assert shell.run_cell("seen = config.corpus", store_history=True).success
        assert shell.user_ns["seen"] == "synthetic" and not shell.input_transformers_post
    finally:
        InteractiveShell.clear_instance()
