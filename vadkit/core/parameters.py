"""Reading parameters: from files, the command line and notebooks' cells; every problem named with its remedy."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vadkit.core.config import Config, nearest, project_root
from vadkit.core.errors import ConfigError


def make_config(values: dict[str, Any], where: str = "parameters") -> Config:
    """Check every value and build the Config. Raises ConfigError naming every problem at once."""
    _import_plugins(values.get("plugins"))
    known = {name: _int_to_float(name, value) for name, value in values.items() if name in Config.model_fields}
    problems = [
        f"unknown parameter '{name}'{nearest(name, Config.model_fields) or '; `vadkit params` lists them all'}"
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
        except ImportError as error:
            remedy = f"give modules in {project_root()} or on Python's path"
            raise ConfigError(f"plugins: '{name}' cannot be imported ({error}); {remedy}") from None


def load_params(path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a flat YAML parameter file. Raises ConfigError for a missing, malformed or nested file."""
    path = Path(path)
    if not path.is_file():
        found = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; {path.parent}/ has {', '.join(found)}" if found else ""
        raise ConfigError(f"no parameter file {path}{hint}")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise ConfigError(f"{path} is not UTF-8 text ({where}); save it as UTF-8") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold 'name: value' lines, got a {type(values).__name__}")
    return make_config({**values, **(overrides or {})}, where=str(path))


def parse_override(name: str, text: str) -> Any:
    """The value of `-p name text`, read as YAML would read it in a parameter file; no text is an empty text."""
    if not text.strip():
        return ""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"-p {name}: '{text}' is not a YAML value") from None


def parameters_cell() -> str:
    """Source of the notebooks' `parameters` cell: every key with the demo's value, one a line."""
    title = "# The demo's values; papermill or `vadkit run` puts those of a parameter file below this cell."
    lines = [f"{name} = {field.default!r}  # {field.description}" for name, field in Config.model_fields.items()]
    return "\n".join([title, "# fmt: off", *lines])  # one line a parameter, however long its comment


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML keeps the last one, silently)."""

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


def _int_to_float(name: str, value: Any) -> Any:
    """Let `reactivity: 2` stand for 2.0, and nothing else: bool is not a number here."""
    default = Config.model_fields[name].default
    return float(value) if isinstance(default, float) and type(value) is int else value


def _explain(item: dict[str, Any]) -> str:
    if not item["loc"]:
        return item["msg"].removeprefix("Value error, ")
    name, value = str(item["loc"][0]), item["input"]
    text = f"{name}: {item['msg'][0].lower()}{item['msg'][1:]}, got {type(value).__name__} {value!r}"
    return text + _advice(Config.model_fields[name].default, value)


def _advice(default: Any, value: Any) -> str:
    """What to write instead, where YAML read something else than was meant."""
    if isinstance(default, str) and not isinstance(value, (str, dict, list)):
        return "; YAML reads it as something else than text, put it in quotes"
    if isinstance(value, bool):
        return "; true and false are not numbers"
    try:
        number = float(value) if isinstance(value, str) and not isinstance(default, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return ""
    if isinstance(yaml.safe_load(value), (int, float)):
        return f"; write it without quotes: {value}"
    mantissa, e, exponent = value.lower().partition("e")
    point, sign = "" if "." in mantissa else ".0", "+" if exponent[:1].isdigit() else ""
    whole = not isinstance(default, float) and number.is_integer()
    text = int(number) if whole else f"{mantissa}{point}{e}{sign}{exponent}"
    return f"; YAML reads {value} as text, write it as {text}"
