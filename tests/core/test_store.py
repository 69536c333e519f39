from __future__ import annotations

import errno
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
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vadkit.core import store as store_module
from vadkit.core.errors import DiskError
from vadkit.core.store import Store, digest, file_digest, whole_file, write_atomic

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
    assert json.loads((folder / "key.json").read_text()) == KEY
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
