"""What every notebook does in its second code cell, so that the cell stays two lines."""

import ast
import inspect
import os
import sys
import textwrap
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from vadkit.core.config import Config, project_root
from vadkit.core.errors import ConfigError, shown
from vadkit.core.parameters import load_params, make_config
from vadkit.core.progress import VARIABLE
from vadkit.workbook import checks, receipts

LITERALS = (bool, int, float, str, list, dict, type(None))  # what papermill can inject


def start(namespace: Mapping[str, Any]) -> Config:
    """The Config of a notebook's parameters cell; prints versions, device and where results go.

    namespace: the notebook's `globals()`. Raises ConfigError where a parameter is missing, wrong or unknown. What later
    cells set does not count, when this is called again.
    """
    given = _given(namespace)
    values = {name: namespace[name] for name in (*Config.model_fields, *given) if name in namespace}
    for name, value in values.items():
        if not isinstance(value, LITERALS):  # a later cell took the name, as the corpus itself takes `corpus`
            values[name] = given.get(name, value)
    missing = [name for name in Config.model_fields if name not in values]
    if missing and given.keys() <= Config.model_fields.keys():
        raise ConfigError(f"the parameters cell lacks {', '.join(missing)}; run `make notebooks` to renew it")
    config = _of_play(make_config(values, where="the parameters cell"))
    from vadkit.core.compute import device_of

    _show_figures()
    root, out = project_root(), config.output_dir
    place = out.relative_to(root) if out.is_relative_to(root) else out
    print(f"profile {config.profile} (fingerprint {config.fingerprint()}), results in {place}")
    if said := _about(config.profile.removesuffix("-play")):
        print(textwrap.fill(shown(said, 1000), 90))
    found = receipts.libraries()
    versions = {"python": sys.version.split()[0], **found}
    print(textwrap.fill(", ".join(f"{name} {number}" for name, number in versions.items()), 90))
    device = f"device {device_of(config)}" if "torch" in found else "no torch here: scores were recorded"
    print(f"{receipts.machine()}; {device}")
    if config.corpus != "ucf_crime":
        print("These are not the papers' data: nothing here reproduces, or fails to reproduce, a printed number.")
    return config


def _about(profile: str) -> str:
    """What a profile's data are: the first paragraph of the comment that opens its parameter file."""
    path = project_root() / "params" / f"{profile}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return " ".join(line[2:] for line in takewhile(lambda line: line.startswith("# "), lines))


def needs_videos(config: Config) -> Any:
    """For a notebook that looks at pixels: where the corpus has no video's file, says what to get, and the cells below
    do nothing until the parameters cell and `start` are run again."""
    from IPython import get_ipython
    from IPython.display import Markdown

    lacking, shell = checks.no_pixels(config), get_ipython()
    if not lacking:
        return None
    if shell is not None:
        shell.input_transformers_post.append(_skipped)
    return Markdown(f"**The cells below look at videos, and are skipped.** {lacking}")


def _skipped(lines: list[str]) -> list[str]:
    """A cell's lines as they are run after `needs_videos` found none."""
    from IPython import get_ipython

    again = ".start(globals()" in (cell := "".join(lines))
    if again:
        get_ipython().input_transformers_post.remove(_skipped)
    return lines if again or _assignments(cell) else []


def source(*objects: Any) -> Any:
    """The package's own code of functions or classes, without their docstrings, as a page shows code."""
    from IPython.display import Markdown

    shown = [f"```python\n{_bare(one)}\n```\n*{one.__module__}.{one.__qualname__}*" for one in objects]
    return Markdown("\n\n".join(shown))


def _bare(one: Any) -> str:
    text = textwrap.dedent(inspect.getsource(one))
    body, lines = ast.parse(text).body[0].body, text.splitlines()
    if ast.get_docstring(ast.parse(text).body[0]) is not None:
        after = body[1].lineno - 1 if len(body) > 1 else body[0].end_lineno
        del lines[body[0].lineno - 1 : after]
    return "\n".join(lines)


def _of_play(config: Config) -> Config:
    """The parameters, under a profile of their own where a reader changed what the profile's file says: playing must
    not replace the profile's figures and rows. What `vadkit run` is given is meant for the profile."""
    path = project_root() / "params" / f"{config.profile}.yaml"
    if VARIABLE in os.environ or not path.is_file() or load_params(path).fingerprint() == config.fingerprint():
        return config
    print(f"Not the parameters of {path.name}: what this notebook makes goes to outputs/{config.profile}-play.")
    return config.model_copy(update={"profile": f"{config.profile}-play"})


def _show_figures() -> None:
    """Make every figure show, with alternative text."""
    import matplotlib
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    # the inline backend shows figures once it is in use; begun within our figures' `rc_context`, that would be undone
    plt.switch_backend(matplotlib.get_backend())
    from IPython import get_ipython

    from vadkit.report.style import alternative_text

    shell = get_ipython()
    if not hasattr(shell, "kernel"):  # no notebook
        return
    formatter = shell.display_formatter.formatters["image/png"]
    draw = formatter.lookup_by_type(Figure)
    formatter.for_type(Figure, lambda figure: (draw(figure), {"alt": alternative_text(figure)}))


def _given(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Names, with their values, that the parameters cell sets, and the cells right below it that only set something.

    That is where papermill, or a reader, puts other values. Outside of IPython every plain value counts.
    """
    if "In" not in namespace:
        return {k: v for k, v in namespace.items() if isinstance(v, LITERALS) and not k.startswith("_")}
    found, below = {}, False
    for source in namespace["In"]:  # the cells as they were run, this one last
        cell = _assignments(source)
        whole = len(cell.keys() & Config.model_fields.keys()) > len(Config.model_fields) // 2
        below = whole or (below and bool(cell))
        found = cell if whole else found | cell if below else found
    return found


def _assignments(source: str) -> dict[str, Any]:
    """What a cell of nothing but `name = literal` lines sets; empty for any other cell."""
    try:
        return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(source).body}
    except (SyntaxError, ValueError, AttributeError):  # no Python, no literal, no name or no assignment
        return {}
