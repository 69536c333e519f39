"""What leaves the program is escaped, and one guard names whatever file cannot be read."""

from __future__ import annotations

import csv
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core.errors import AnnotationError, DataError, VadkitError, few, reading, shown


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_shown_can_be_printed_and_steers_no_terminal(text):
    said = shown(text)
    said.encode()
    assert not any(c in said for c in "\x1b\r\x07\x9b\x00") and shown(said) == said
    assert str(DataError(text)) == said or len(text) > 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("b\udcff.mp4", r"b\xff.mp4"),
        ("Überfall №1.mp4\n  next", "Überfall №1.mp4\n  next"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("rtsp://user:secret@host:554/s", "rtsp://user:***@host:554/s"),
        ("rtsp://user:se/cr@et@host/s?x=1 ends", "rtsp://user:***@host/s?x=1 ends"),
        ("http://host/v?user=a&password=secret&x=1", "http://host/v?user=a&password=***&x=1"),
        ("http://host:8080/v and mail@host", "http://host:8080/v and mail@host"),
    ],
)
def test_names_are_escaped_and_passwords_left_out(text, said):
    assert shown(text) == said == str(VadkitError(text))


def test_what_is_repeated_is_cut():
    assert shown("x" * 90, 80) == "x" * 77 + "..." and len(str(DataError("x" * 5000 + "\n" + "y" * 10))) < 2100
    assert few("abcde", 3) == ["a", "b", "c", "and 2 more"] and few("abc", 3) == ["a", "b", "c"]


def _load(path):
    with open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


READERS = {
    "json": lambda path: json.loads(path.read_text(encoding="utf-8"))["rows"],
    "csv": lambda path: list(csv.reader(path.open(encoding="utf-8"))),
    "pandas": lambda path: pd.read_csv(path)["name"],
    "numpy": _load,
    "npz": lambda path: np.load(path, allow_pickle=False)["a"],
    "yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))["rows"],
}
HUGE = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(128)


NESTED, LONG = b"[" * 500 + b"a" * 140_000, b'"' + b"x" * 200_000


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", NESTED, LONG, HUGE], ids=range(4))
@pytest.mark.parametrize("reader", READERS)
def test_the_guard_names_a_file_that_cannot_be_read(tmp_path, reader, content):
    path = tmp_path / "some\x1bfile"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\\x1bfile is not a table \(.+\); get it again") as caught:
        with reading(path, "a table", "get it again"):
            READERS[reader](path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_the_guard_advises_no_one_to_run_what_a_file_holds(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    for reader in (READERS["numpy"], READERS["npz"]):
        with pytest.raises(VadkitError, match="Python objects, which are never loaded") as caught:
            with reading(tmp_path / "a.npy", "an array"):
                reader(tmp_path / "a.npy")
        assert "allow_pickle" not in str(caught.value)


def test_the_guard_passes_better_errors_and_names_a_missing_file(tmp_path):
    with pytest.raises(VadkitError, match="^it says it better$"), reading("a", "b"):
        raise DataError("it says it better")
    with pytest.raises(DataError, match=r"gone cannot be read \(No such file or directory\); expected a table"):
        with reading(tmp_path / "gone", "a table"):
            (tmp_path / "gone").read_text()
    with pytest.raises(KeyboardInterrupt), reading("a", "b"):
        raise KeyboardInterrupt


def test_every_error_comes_back_from_a_worker_process():
    kinds = [VadkitError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 5
    for kind in kinds:
        error = kind("list.txt, line 3", "no number") if kind is AnnotationError else kind("no number")
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is kind and str(back) == str(error) and vars(back) == vars(error)
