from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.core import store as store_module
from vadkit.core.digests import as_shipped, digest, file_digest
from vadkit.core.disk import whole_file, write_atomic
from vadkit.core.errors import DataError, DiskError
from vadkit.core.store import Store

KEY = {"video": "Assault018", "size": 64}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def build(folder: Path) -> None:
    (folder / "data.txt").write_text("whole")


def test_an_entry_is_built_once(tmp_path):
    calls = []
    store = Store(tmp_path)
    for _ in range(3):
        folder = store.fetch("kind", KEY, lambda f: (calls.append(1), build(f)))
    assert calls == [1] and (folder / "data.txt").read_text() == "whole"
    assert json.loads((folder / "key.json").read_text())["key"] == KEY
    assert store.has("kind", KEY) and not store.has("kind", {**KEY, "size": 65}) and not store.has("other", KEY)


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(folder: Path) -> None:
        build(folder)
        raise RuntimeError("disk full")

    store = Store(tmp_path)
    with pytest.raises(RuntimeError, match="disk full"):
        store.fetch("kind", KEY, fail)
    assert not store.has("kind", KEY) and list((tmp_path / "kind").iterdir()) == []
    assert (store.fetch("kind", KEY, build) / "data.txt").exists()


def np_save(folder: Path) -> None:
    raise OSError("3000000 requested and 2097024 written")


def openvino_save(folder: Path) -> None:
    raise RuntimeError("basic_ios::clear: iostream error")


def torch_save(folder: Path) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    finally:
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 704 vs 598")


@pytest.mark.parametrize("build_fails", [np_save, openvino_save, torch_save])
def test_a_full_disk_is_one_sentence_with_the_place_and_the_remedy(tmp_path, build_fails):
    with pytest.raises(DiskError, match="kind/.*: the disk is full; make room there"):
        Store(tmp_path).fetch("kind", KEY, build_fails)
    assert list((tmp_path / "kind").iterdir()) == []
    path = tmp_path / "old.csv"
    path.write_text("old")
    with pytest.raises(DiskError, match="old.csv: the disk is full"), whole_file(path) as scratch:
        scratch.write_text("half")
        build_fails(scratch)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 2


def test_numpy_and_torch_still_say_it_so(tmp_path):
    """A file that may not grow is, to a writer, a full disk."""
    limits, big = resource.getrlimit(resource.RLIMIT_FSIZE), np.zeros(100_000)
    writers = [lambda f: np.save(f / "a.npy", big), lambda f: torch.save({"a": torch.from_numpy(big)}, f / "a.pt")]
    writers.append(lambda f: (f / "a").write_bytes(big.tobytes()))
    for number, write in enumerate(writers):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with pytest.raises(DiskError, match="the disk is full"):
                Store(tmp_path).fetch("kind", {"a": number}, write)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "kind").iterdir()) == []


def test_a_folder_that_cannot_be_written_or_is_gone_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for work in (
        lambda: Store(tmp_path / "file").fetch("kind", KEY, build),
        lambda: write_atomic(tmp_path / "file/x", ""),
    ):
        with pytest.raises(DiskError, match="file.*see to it that it can be read and written"):
            work()
    with pytest.raises(DiskError, match="kind.* it was deleted while it was in use; run it again"):
        Store(tmp_path).fetch("kind", KEY, lambda folder: shutil.rmtree(folder.parent))
    with pytest.raises(RuntimeError, match="a fault of ours") as caught:
        Store(tmp_path).fetch("kind", KEY, lambda folder: (_ for _ in ()).throw(RuntimeError("a fault of ours")))
    assert not isinstance(caught.value, DiskError)


def test_a_folder_that_was_swept_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """A machine that sleeps in between wakes up to a folder that another process took for a dead one's."""
    lock, swept = store_module._locked, []

    def late(folder, wait=False):
        if wait and not swept:
            make_old(folder)
            swept.append(folder)
            Store._sweep(folder.parent)
        return lock(folder, wait)

    monkeypatch.setattr(store_module, "_locked", late)
    entry = Store(tmp_path).fetch("kind", KEY, build)
    assert swept and not swept[0].exists() and (entry / "data.txt").read_text() == "whole"
    assert [p.name for p in (tmp_path / "kind").iterdir()] == [digest(KEY)]


@pytest.fixture
def builder(tmp_path):
    """A process that is building an entry, and its unfinished folder."""
    build = "lambda f: ((f / 'half').write_text('x'), print('in', flush=True), time.sleep(60))"
    code = (
        f"import sys, time; from vadkit.core.store import Store\nStore(sys.argv[1]).fetch('kind', {{'a': 1}}, {build})"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "in"
    (left,) = (tmp_path / "kind").iterdir()
    yield process, left
    process.kill()
    process.wait()
    process.stdout.close()


def make_old(folder: Path) -> None:
    old = time.time() - store_module.STALE_SECONDS - 1
    os.utime(folder, (old, old))


def test_a_killed_build_leaves_no_entry_and_is_swept_when_old(tmp_path, builder):
    process, left = builder
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    store = Store(tmp_path)
    assert left.is_dir() and not store.has("kind", {"a": 1})
    store.fetch("kind", {"a": 2}, build)
    assert left.exists()  # it is young: it may be another process's that has not locked it yet
    make_old(left)
    entry = store.fetch("kind", {"a": 1}, build)
    assert not left.exists() and (entry / "data.txt").read_text() == "whole" and not (entry / "half").exists()


def test_what_a_living_process_builds_is_not_swept_however_old(tmp_path, builder):
    process, left = builder
    make_old(left)
    Store(tmp_path).fetch("kind", {"a": 2}, build)
    assert (left / "half").exists()
    process.kill()
    process.wait()
    Store(tmp_path).fetch("kind", {"a": 3}, build)
    assert not left.exists()


def test_this_process_own_building_folders_are_not_swept(tmp_path):
    store = Store(tmp_path)

    def slow(folder: Path) -> None:
        build(folder)
        make_old(folder)
        store.fetch("kind", {"a": 2}, build)

    assert (store.fetch("kind", {"a": 1}, slow) / "data.txt").read_text() == "whole"


def test_nothing_is_swept_where_nothing_can_be_locked(tmp_path, monkeypatch):
    left = tmp_path / "kind" / ".building-1-x"
    left.mkdir(parents=True)
    make_old(left)

    def unsupported(*args):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(store_module.fcntl, "flock", unsupported)
        assert Store(tmp_path).fetch("kind", {"a": 1}, build).is_dir() and left.exists()
    Store(tmp_path).fetch("kind", {"a": 3}, build)
    assert not left.exists()


def _race(arguments: tuple[str, int]) -> str:
    root, number = arguments

    def slow(folder: Path) -> None:
        (folder / "data.txt").write_text(str(number) * 1000)
        time.sleep(0.2)

    return (Store(root).fetch("kind", KEY, slow) / "data.txt").read_text()


def test_processes_that_build_the_same_entry_all_get_a_whole_one(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        texts = pool.map(_race, [(str(tmp_path), n) for n in range(3)])
    assert len(set(texts)) == 1 and len(texts[0]) == 1000
    assert [p.name for p in (tmp_path / "kind").iterdir()] == [digest(KEY)]


# --- damage ---

FILES = {"rows.npy": b"\x93NUMPY" + bytes(range(200)), "facts.json": b'{"frames": 30}', "deep/boxes.txt": b"1 2 3\n"}
OTHER = {**KEY, "size": 65}


def build_files(folder: Path, mark: bytes = b"") -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content + mark)


def contents(folder: Path) -> dict[str, bytes]:
    names = (path for path in folder.rglob("*") if path.is_file() and path.name != "key.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


@pytest.fixture
def entries(tmp_path):
    """A store with two entries, the files of the second with a mark."""
    store = Store(tmp_path)
    return store, *(
        store.fetch("kind", key, lambda f, m=m: build_files(f, m)) for key, m in ((KEY, b""), (OTHER, b"!"))
    )


def flip(path: Path, place: int = 20) -> None:
    """One bit, with the file's times as they were."""
    data, status = bytearray(path.read_bytes()), path.stat()
    data[place % len(data)] ^= 1 << place % 8
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside), other.rename(one), aside.rename(other)


def strip_digests(one: Path) -> None:
    (one / "key.json").write_text(json.dumps(json.loads((one / "key.json").read_text())["key"]))


DAMAGES = {
    "a bit of an array": (lambda one, _: flip(one / "rows.npy"), "rows.npy"),
    "a bit of a deep file": (lambda one, _: flip(one / "deep" / "boxes.txt"), "deep/boxes.txt"),
    "a digit of the facts": (lambda one, _: flip(one / "facts.json", 12), "facts.json"),
    "the files' order": (lambda one, _: swap(one / "rows.npy", one / "facts.json"), "facts.json"),
    "another entry's file": (lambda one, other: swap(one / "rows.npy", other / "rows.npy"), "rows.npy"),
    "another entry": (swap, "key.json"),
    "a file cut short": (lambda one, _: os.truncate(one / "rows.npy", 9), "rows.npy"),
    "an empty file": (lambda one, _: os.truncate(one / "facts.json", 0), "facts.json"),
    "a missing file": (lambda one, _: (one / "rows.npy").unlink(), "rows.npy"),
    "one file too many": (lambda one, _: (one / "more.npy").write_text("x"), "more.npy"),
    "no key file": (lambda one, _: (one / "key.json").unlink(), "key.json is missing"),
    "an empty key file": (lambda one, _: os.truncate(one / "key.json", 0), "key.json"),
    "a bit of a digest": (lambda one, _: flip(one / "key.json", 40), "key.json|facts.json|deep"),
    "a bit of the key": (lambda one, _: flip(one / "key.json", -14), "key.json"),
    "a key file of nested lists": (lambda one, _: (one / "key.json").write_text("[" * 20_000), "key.json"),
    "an earlier version's": (lambda one, _: strip_digests(one), "earlier versions wrote without digests"),
}


@pytest.mark.parametrize("what", DAMAGES)
@pytest.mark.parametrize("seen_before", [False, True])
def test_a_damaged_entry_is_said_once_and_built_again(entries, what, seen_before):
    store, one, other = entries
    damage, named = DAMAGES[what]
    if seen_before:  # by this process
        assert store.has("kind", KEY)
    damage(one, other)
    calls = []
    with pytest.warns(UserWarning, match=named) as said:
        folder = store.fetch("kind", KEY, lambda f: (calls.append(1), build_files(f)))
    assert len(said) == 1 and calls == [1] and folder == one and contents(one) == FILES
    with warnings.catch_warnings(action="error"):
        assert store.fetch("kind", KEY, lambda f: calls.append(1)) == one and calls == [1]
    assert not list(one.parent.glob(".*"))


@settings(max_examples=40)
@given(data=st.data())
def test_any_damage_to_any_file_is_noticed(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("store")
    entry = Store(root).fetch("kind", KEY, build_files)
    path = data.draw(st.sampled_from(sorted(p for p in entry.rglob("*") if p.is_file())))
    before = path.read_bytes()
    start, end = sorted(data.draw(st.lists(st.integers(0, len(before)), min_size=2, max_size=2)))
    after = before[:start] + data.draw(st.binary(max_size=40)) + before[end:]
    path.write_bytes(after)
    with warnings.catch_warnings(action="ignore"):
        assert Store(root).has("kind", KEY) == (after == before)
        assert contents(Store(root).fetch("kind", KEY, build_files)) == FILES
    shutil.rmtree(root)


def test_an_undamaged_entry_is_looked_at_once_a_process(entries, monkeypatch):
    store, one, _ = entries
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda f, how: read.append(f.name) or digest(f, how))
    for _ in range(3):
        assert store.fetch("kind", KEY, build) == one
        assert Store(one.parents[1]).has("kind", KEY)
    assert sorted(read) == sorted(str(one / name) for name in FILES)


def test_a_file_browsers_own_file_is_no_damage(entries):
    store, one, _ = entries
    (one / ".DS_Store").write_text("x")
    assert store.has("kind", KEY) and (one / ".DS_Store").exists()


def test_what_is_open_can_be_read_on_while_its_entry_is_dropped(entries):
    store, one, _ = entries
    with open(one / "rows.npy", "rb") as file, pytest.warns(UserWarning):
        flip(one / "facts.json")
        store.fetch("kind", KEY, build_files)
        assert file.read() == FILES["rows.npy"]


def test_a_damaged_entry_that_cannot_be_removed_is_refused(entries, monkeypatch):
    store, one, _ = entries
    flip(one / "rows.npy")

    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(store_module.os, "rename", read_only)
    with pytest.raises(DataError, match=f"{one}: rows.npy is not as it was built, and it cannot be removed .*delete"):
        store.fetch("kind", KEY, build_files)
    assert one.is_dir()


def test_a_file_that_the_disk_does_not_give_is_refused(entries, monkeypatch):
    store, one, _ = entries

    def broken(file, how):
        raise OSError(errno.EIO, os.strerror(errno.EIO), file.name)

    monkeypatch.setattr(hashlib, "file_digest", broken)
    with pytest.raises(DataError, match=f"{one}.*; delete {one}, and it is made again"):
        store.has("kind", KEY)
    monkeypatch.undo()
    assert store.has("kind", KEY)


def _mend(root: str) -> tuple[bytes, int]:
    def slow(folder: Path) -> None:
        time.sleep(0.1)
        build_files(folder)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        folder = Store(root).fetch("kind", KEY, slow)
    return (folder / "rows.npy").read_bytes(), len(said)


def test_processes_that_meet_a_damaged_entry_all_get_a_whole_one(entries):
    store, one, _ = entries
    flip(one / "rows.npy")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(_mend, [str(store.root)] * 6, chunksize=1)
    assert {content for content, _ in found} == {FILES["rows.npy"]} and sum(said for _, said in found) == 1
    assert store.has("kind", KEY) and not list(one.parent.glob(".*"))


def test_a_folder_is_as_shipped_or_refused(tmp_path):
    for name in ("a.npz", "b.csv"):
        (tmp_path / name).write_text(name)
    with pytest.raises(DataError, match="a.npz is missing, or not as SHA256SUMS beside it says; `git checkout` it"):
        as_shipped(tmp_path)
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in ("a.npz", "b.csv")))
    assert as_shipped(tmp_path) == as_shipped(tmp_path, "b.csv") == tmp_path
    flip(tmp_path / "a.npz")
    assert as_shipped(tmp_path, "b.csv")
    for names in ((), ("a.npz",), ("unlisted.npz",)):
        with pytest.raises(DataError, match=f"{names[0] if names else 'a.npz'} is missing, or not as"):
            as_shipped(tmp_path, *names)
    (tmp_path / "a.npz").write_text("a.npz")
    sums.write_bytes(sums.read_bytes()[: 64 + 8])  # a list that lost its second line
    with pytest.raises(DataError, match="b.csv is missing, or not as"):
        as_shipped(tmp_path)


def test_every_bit_of_a_list_of_digests_counts(tmp_path):
    (tmp_path / "a.npz").write_text("a")
    sums = tmp_path / "SHA256SUMS"
    whole = f"{hashlib.sha256(b'a').hexdigest()}  a.npz\n".encode()
    for place in range(8 * len(whole)):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        sums.write_bytes(data)
        with pytest.raises(DataError, match="not as SHA256SUMS"):
            as_shipped(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_entries_and_files_have_ordinary_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    entry = Store(tmp_path).fetch("kind", KEY, build)
    write_atomic(tmp_path / "file", "x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert stat.S_IMODE(entry.stat().st_mode) == stat.S_IMODE(entry.parent.stat().st_mode)


def test_unfinished_work_is_no_entry(tmp_path):
    store = Store(tmp_path)
    folder = store.scratch("model", KEY)
    (folder / "epoch1").write_text("x")
    assert not store.has("model", KEY) and store.scratch("model", KEY) == folder and (folder / "epoch1").exists()


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_digest_ignores_the_order_of_keys_and_survives_json(key):
    assert digest(key) == digest(dict(reversed(key.items()))) == digest(json.loads(json.dumps(key)))
    assert len(digest(key)) == 20 and set(digest(key)) <= set("0123456789abcdef")


@given(JSON, JSON)
def test_digests_differ_where_keys_do(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest({"k": one}) == digest({"k": other})) == same


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=5), JSON, st.data())
def test_changing_one_value_changes_the_digest(key, value, data):
    name = data.draw(st.sampled_from(sorted(key)))
    changed = {**key, name: [key[name], value]}
    assert digest(changed) != digest(key)


@pytest.mark.parametrize(
    "key", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}, {"a": Path("x")}, {"a": b"x"}]
)
def test_what_json_cannot_hold_is_refused(key):
    with pytest.raises((TypeError, ValueError)):
        digest(key)


def test_file_digest_follows_the_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    first = file_digest(path)
    path.write_text("two!")
    assert file_digest(path) != first
    os.utime(path, ns=(1, 1))
    path.write_text("one")
    assert file_digest(path) == first


def test_write_atomic_replaces_or_leaves(tmp_path):
    path = tmp_path / "deep" / "file.csv"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    with pytest.raises(TypeError):
        write_atomic(path, 3)
    assert path.read_bytes() == b"two" and [p.name for p in path.parent.iterdir()] == ["file.csv"]
