"""Ways to damage a file, for `fuzz.py`: each takes a generator of random numbers and a path."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Way = Callable[[random.Random, Path], None]

MAGIC = (b"PK\3\4", b"\x93NUMPY\1\0", b"\x80\4", b"\0\0\0\x18ftypisom", b"RIFF", b"\x1f\x8b", b"\xff\xfe", b"<html>")
NUMBERS = "-1 0 010 1:30 1e12 1e400 nan -inf 0x10 1_000 ٣ ² 2024-02-30 99999999999999999999 1e-4 true null".split()
NUMBERS += ["", " ", "9" * 5000]
FIELDS = ["\0", "\x1b[31mred", "\r", '"', "\u202e", "\ufeff", "x" * 200_000, "[" * 20_000, "{" * 3000, "../" * 30, "%s"]
FIELDS += ["/etc/passwd", ",,,,", "a\tb", "'", "#", "=cmd()", "\udcff", "-", ";;", "é"]
WRONG = (None, [], {}, "", "x", -1, 0, 1.5, 1e308, True, 10**400, "\0", "\x1b[2J", [[[]]], {"a": {"a": {}}}, "é" * 9000)
TAGS = ["!!int abc", "!!python/object/apply:os.getcwd []", "2024-02-30", "!!float x", "&a [*a]", "[" * 20_000]
TAGS += ["{a: " * 3000, "|", "? x", "<<: 1", '"\\x1b[31m"', '"\\0"', '"a\\nb"', "p" * 5000, "!!set x", "!!binary é"]
_LISTS = [f"{b}: &{b} [{f'*{a},' * 9}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
ALIASES = "\n".join(["a: &a [x,x,x,x,x,x,x,x,x]", *_LISTS])  # nine to the ninth
SHAPES = (b"(99999999999999, )", b"(-1, )", b"(4, 4000000000)", b"('a',)", b"((((((((", b"(9,) ")
NAMES = [
    b"\xff\xfe",
    b"\xe9t\xe9",
    b"\x1b[31m",
    b"a\nb",
    b"\x01",
    b"-rf",
    b" ",
    b"%d",
    b"#",
    b"*",
    b"\xe2\x80\xae",
    b"'",
]
NAMES += [b"x" * 200, b'"', b"a;b", b"$(touch executed)", b"\xed\xa0\x80", b"..", b"a,b", b"\r"]


def of_bytes(change: Callable[[random.Random, bytearray, slice], bytes]) -> Way:
    """change: of a file's bytes, at a piece of them."""

    def mutate(draw: random.Random, path: Path) -> None:
        data = bytearray(path.read_bytes())
        start = draw.randrange(len(data) + 1)
        path.write_bytes(change(draw, data, slice(start, start + draw.choice((1, 16, 200, len(data) // 5)))))

    return mutate


def flipped(draw: random.Random, data: bytearray, _: slice = slice(0)) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 8, 64)) if data else 0):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def encoded(draw: random.Random, data: bytearray, _: slice) -> bytes:
    text = data.decode("utf-8", errors="replace") + draw.choice(("", "é"))
    return text.encode(draw.choice(("utf-16", "utf-32", "cp1252", "cp037")), "replace")


def of_lines(change: Callable[[random.Random, list[str], int], None]) -> Way:
    """change: of a file's lines, at one of them."""

    def mutate(draw: random.Random, path: Path) -> None:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        change(draw, lines, draw.randrange(len(lines)))
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")

    return mutate


def number_changed(draw: random.Random, lines: list[str], at: int) -> None:
    if found := list(re.finditer(r"\d+(\.\d+)?", lines[at])):
        start, end = draw.choice(found).span()
        lines[at] = lines[at][:start] + draw.choice(NUMBERS) + lines[at][end:]


def digit_changed(draw: random.Random, lines: list[str], at: int) -> None:
    """The smallest damage that still reads well."""
    if places := [(n, m.start()) for n, line in enumerate(lines) for m in re.finditer(r"[0-9]", line)]:
        n, k = draw.choice(places)
        lines[n] = lines[n][:k] + str((int(lines[n][k]) + draw.randrange(1, 10)) % 10) + lines[n][k + 1 :]


def field_inserted(draw: random.Random, lines: list[str], at: int) -> None:
    k = draw.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:k] + draw.choice(FIELDS) + lines[at][k:]


def tag_given(draw: random.Random, lines: list[str], at: int) -> None:
    """What YAML reads as something else, and lists of lists of the same."""
    lines[at] = ALIASES if draw.random() < 0.1 else lines[at].partition(":")[0] + ": " + draw.choice(TAGS)


def node_changed(draw: random.Random, path: Path) -> None:
    """Another type, or nothing, at one place of a JSON file."""
    root = {"": json.loads(path.read_bytes())}
    nodes, places = [root], []
    while nodes:
        node = nodes.pop()
        keys = node.keys() if isinstance(node, dict) else range(len(node))
        places += [(node, key) for key in keys]
        nodes += [node[key] for key in keys if isinstance(node[key], dict | list)]
    node, key = draw.choice(places)
    if node is not root and draw.random() < 0.3:
        del node[key]
    else:
        node[key] = draw.choice(WRONG)
    path.write_text(json.dumps(root[""]))


def value_changed(draw: random.Random, path: Path) -> None:
    """One value of a file of arrays, written whole again."""
    import torch

    def another(arrays: list) -> None:
        one = draw.choice([a for a in arrays if np.prod(a.shape)]).reshape(-1)
        one[draw.randrange(len(one))] += 1

    if path.suffix == ".pt":
        state = torch.load(path, map_location="cpu", weights_only=True)
        another(list(state.values()))
        torch.save(state, path)
    elif path.suffix == ".npz":
        arrays = dict(np.load(path))
        another([a for a in arrays.values() if a.dtype.kind in "fiu"])
        np.savez(path, **arrays)
    else:
        another([array := np.load(path)])
        np.save(path, array)


def array_replaced(draw: random.Random, path: Path) -> None:
    """A whole file of another shape or type, or with a header that lies."""
    given = draw.choice((np.zeros(0), np.float64(1), np.zeros((2, 3, 4)), np.array(["a"]), np.full((4, 8), np.nan)))
    (np.savez if draw.random() < 0.2 else np.save)(buffer := io.BytesIO(), given)
    raw, shape = buffer.getvalue(), draw.choice(SHAPES)
    path.write_bytes(re.sub(rb"\([^)]*\)", lambda _: shape, raw, count=1) if draw.random() < 0.5 else raw)


class Planted:
    """Runs code where it is unpickled: makes the file `executed` in the working directory."""

    def __reduce__(self):
        return open, ("executed", "w")


def code_planted(draw: random.Random, path: Path) -> None:
    import torch

    way = draw.randrange(3)
    if way == 0:
        path.write_bytes(pickle.dumps(Planted()))
    elif way == 1:
        torch.save({"state_dict": Planted(), "weight": torch.zeros(2)}, path)
    else:
        np.save(buffer := io.BytesIO(), np.array([Planted()], object))
        path.write_bytes(buffer.getvalue())
        if path.suffix == ".npz":
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("index.npy", buffer.getvalue())


def renamed(draw: random.Random, path: Path) -> None:
    name = os.fsencode(path.stem) + draw.choice(NAMES) + os.fsencode(draw.choice((path.suffix, path.suffix, ".ts", "")))
    os.rename(path, os.path.join(os.fsencode(path.parent), name))


BYTES: dict[str, Way] = {
    "bits flipped": of_bytes(flipped),
    "cut short": of_bytes(lambda draw, data, at: data[: at.start]),
    "emptied": of_bytes(lambda draw, data, at: b""),
    "a hole": of_bytes(lambda draw, data, at: data[: at.start] + bytes(len(data[at])) + data[at.stop :]),
    "a piece twice": of_bytes(lambda draw, data, at: data[: at.stop] + data[at] + data[at.stop :]),
    "a piece moved": of_bytes(lambda draw, data, at: data[at] + data[: at.start] + data[at.stop :]),
    "noise inserted": of_bytes(lambda draw, data, at: data[: at.start] + draw.randbytes(16) + data[at.start :]),
    "another beginning": of_bytes(lambda draw, data, at: (magic := draw.choice(MAGIC)) + data[len(magic) :]),
}
TEXT = BYTES | {
    "a number changed": of_lines(number_changed),
    "a digit changed": of_lines(digit_changed),
    "a field inserted": of_lines(field_inserted),
    "a line twice": of_lines(lambda draw, lines, at: lines.insert(at, lines[at])),
    "a line away": of_lines(lambda draw, lines, at: lines.pop(at) and None),
    "lines shuffled": of_lines(lambda draw, lines, at: draw.shuffle(lines)),
    "another encoding": of_bytes(encoded),
}
JSON = TEXT | {"a node changed": node_changed}
ARRAYS = BYTES | {"a value changed": value_changed, "another array": array_replaced, "code planted": code_planted}
OF_SUFFIX = {".csv": TEXT, ".txt": TEXT, ".yaml": TEXT | {"a tag given": of_lines(tag_given)}, ".json": JSON}
OF_SUFFIX |= {".ipynb": JSON, ".npy": ARRAYS, ".npz": ARRAYS, ".pt": ARRAYS}


def damage(draw: random.Random, path: Path, ways: dict[str, Way] | None = None) -> str:
    """Damage a file in one or two of the ways that fit its suffix, or of those given; which they were."""
    ways = ways or OF_SUFFIX.get(path.suffix, BYTES)
    names = draw.choices(list(ways), k=draw.choice((1, 1, 1, 2)) if len(ways) > 1 else 1)
    for n, name in enumerate(names):
        try:
            ways[name](draw, path)
        except Exception:  # what is not whole any more, or holds something else, cannot be damaged by its structure
            names[n] = "bits flipped"
            path.write_bytes(flipped(draw, bytearray(path.read_bytes())))
    return ", then ".join(names)
