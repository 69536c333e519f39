"""Reading parameters: from files, the command line and notebooks' cells; every problem named with its remedy."""

import importlib
import math
import os
import re
import sys
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from vadkit.core.config import Config, nearest, project_root, repeated
from vadkit.core.errors import ConfigError, few, reading, shown


def make_config(values: dict[str, Any], where: str = "parameters") -> Config:
    """Check every value and build the Config. Raises ConfigError naming every problem at once."""
    _import_plugins(values.get("plugins"))
    known = {name: _int_to_float(name, value) for name, value in values.items() if name in Config.model_fields}
    problems = [
        f"unknown parameter {repeated(name)}{nearest(name, Config.model_fields) or '; `vadkit params` lists them all'}"
        for name in values
        if name not in known
    ]
    try:
        config = Config(**known)
    except ValidationError as error:
        problems += [_explain(item) for item in error.errors()]
    if problems:
        raise ConfigError("\n  ".join([f"{where}:", *problems]) if len(problems) > 1 else f"{where}: {problems[0]}")
    return config


def _import_plugins(names: Any) -> None:
    """From the project's root or Python's path. Another type than a list of names is the Config's to refuse."""
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if names and str(project_root()) not in sys.path:
        sys.path.insert(0, str(project_root()))
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, ValueError, TypeError) as error:  # the last two for what is no name
            remedy = f"give modules in {project_root()} or on Python's path"
            raise ConfigError(f"plugins: '{name}' cannot be imported ({error}); {remedy}") from None


def load_params(path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a flat YAML parameter file. Raises ConfigError for a missing, malformed or nested file."""
    path = Path(path)
    if not os.path.isfile(path):
        found = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; {path.parent}/ has {', '.join(few(found))}" if found else ""
        raise ConfigError(f"no parameter file {shown(path, 300)}{hint}")
    with reading(path, "valid YAML in UTF-8", "write 'name: value' lines", ConfigError):
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_AsWritten) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold 'name: value' lines, got a {type(values).__name__}")
    return make_config({**values, **(overrides or {})}, where=str(path))


def parse_override(name: str, text: str) -> Any:
    """The value of `-p name text`, read as YAML would read it in a parameter file; no text is an empty text."""
    if not text.strip():
        return ""
    with reading(f"-p {shown(name, 80)}: {repeated(text)}", "a YAML value", "put a text in quotes", ConfigError):
        return yaml.load(text, Loader=_AsWritten)


def parameters_cell() -> str:
    """Source of the notebooks' `parameters` cell: every key with the demo's value, one a line."""
    title = "# The demo's values; papermill or `vadkit run` puts those of a parameter file below this cell."
    lines = [f"{name} = {field.default!r}  # {field.description}" for name, field in Config.model_fields.items()]
    return "\n".join([title, "# fmt: off", *lines])  # one line a parameter, however long its comment


class _AsWritten(yaml.SafeLoader):
    """SafeLoader that takes a value as it is written: a plain number, true or false, nothing, and all else for text.

    YAML 1.1 reads 010 as 8, 1:30 as 90, yes as true and keeps the last of a key given twice, all silently. References
    have no place in a flat file, where a few lines of them are gigabytes, and neither have tags.
    """

    yaml_implicit_resolvers: ClassVar = {}

    def compose_node(self, parent, index):
        event = self.peek_event()
        if event.anchor or getattr(event, "tag", None):
            line = f"line {event.start_mark.line + 1}"
            raise yaml.YAMLError(f"{line}: anchors (&), aliases (*) and tags (!) are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            line = f"line {key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise yaml.YAMLError(f"{line}: a parameter's name must be text, got {key!r}")
            if key in seen:
                raise yaml.YAMLError(f"'{key}' is given twice, the second time on {line}")
            seen.add(key)
        return super().construct_mapping(node, deep)


for _kind, _written in (
    ("bool", "true|True|TRUE|false|False|FALSE"),
    ("null", "~|null|Null|NULL|"),
    ("int", r"[-+]?(0|[1-9][0-9]{0,17})"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
):
    _AsWritten.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_written})\\Z"), None)


def _int_to_float(name: str, value: Any) -> Any:
    """Let `reactivity: 2` stand for 2.0, and nothing else: bool is not a number here."""
    default = Config.model_fields[name].default
    return float(value) if isinstance(default, float) and type(value) is int and abs(value) < 2**63 else value


def _explain(item: dict[str, Any]) -> str:
    if not item["loc"]:
        return item["msg"].removeprefix("Value error, ")
    name, value = str(item["loc"][0]), item["input"]
    text = f"{name}: {item['msg'][0].lower()}{item['msg'][1:]}, got {type(value).__name__} {repeated(value)}"
    return text + _advice(Config.model_fields[name].default, value)


def _advice(default: Any, value: Any) -> str:
    """What to write instead, where YAML read something else than was meant."""
    if isinstance(default, str) and not isinstance(value, (str, dict, list)):
        return "; YAML reads it as something else than text, put it in quotes"
    if isinstance(value, bool):
        return "; true and false are not numbers"
    if isinstance(default, bool) and isinstance(value, str):
        return "; write true or false"
    try:
        number = float(value) if isinstance(value, str) and not isinstance(default, str) else math.nan
    except ValueError:
        return "; write a plain number, such as 10 or 0.5"
    if not math.isfinite(number) or len(value) > 80:
        return ""
    if isinstance(yaml.load(value, Loader=_AsWritten), (int, float)):
        return f"; write it without quotes: {value}"
    mantissa, e, exponent = value.lower().replace("_", "").partition("e")
    point, sign = "" if "." in mantissa else ".0", "+" if exponent[:1].isdigit() else ""
    whole = not isinstance(default, float) and number.is_integer()
    text = int(number) if whole else f"{mantissa}{point}{e}{sign}{exponent}"
    return f"; YAML reads {value} as text, write it as {text}"
