"""One function over many tasks: everything is done once, in processes here or by the workers of a cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from tiny import tiny_corpus

from vadkit.core import processes
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError, RunError
from vadkit.core.parameters import make_config
from vadkit.core.processes import Cluster, cluster_of, each
from vadkit.views.frames import extract

HERE = Path(__file__).parent


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is not taken")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_each_task_is_done_once(workers):
    found = list(each(double, [(n,) for n in range(20)], workers))
    assert sorted(value for value, _ in found) == list(range(0, 40, 2))
    assert (os.getpid() in {process for _, process in found}) == (workers == 1)


def test_threads_stay_in_this_process():
    found = list(each(double, [(n,) for n in range(20)], 4, threads=True))
    assert sorted(found) == [(2 * n, os.getpid()) for n in range(20)]


def test_a_single_task_starts_no_process():
    assert list(each(double, [(4,)], 8)) == [(8, os.getpid())] and list(each(double, [], 8)) == []


def kill_itself(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_is_one_sentence_and_the_next_step_has_new_ones():
    with pytest.raises(RunError, match="a worker process was killed.*what was finished is kept.*fewer than 2 workers"):
        list(each(kill_itself, [(n,) for n in range(9)], 2))
    assert sorted(value for value, _ in each(double, [(n,) for n in range(4)], 2)) == [0, 2, 4, 6]


SLOW = """
import os, sys, time
from vadkit.core.processes import each

def slow(number):
    print(os.getpid(), flush=True)
    time.sleep(300)

list(each(slow, [(1,), (2,)], 2))
"""


def test_workers_end_with_their_parent_however_that_ends():
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True) as parent:
        workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
        assert psutil.wait_procs(workers, timeout=10)[1] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_here_without_a_warning(workers):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="three is not taken"):
            list(each(fail_at_three, [(n,) for n in range(50)], workers))


def test_results_come_as_they_are_done_and_one_can_stop():
    found = each(double, [(n,) for n in range(50)], 2)
    assert next(found)[0] % 2 == 0
    found.close()


# --- on a cluster -------------------------------------------------------------------------------------------------


@contextmanager
def started(*command: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """A program of Dask's, which finds the functions of this module."""
    known = {
        **os.environ,
        **(environment or {}),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), *sys.path]),
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]], env=known, **quiet
    ) as it:
        try:
            yield it
        finally:
            it.kill()


class Machines:
    """A scheduler and workers as processes of their own, without nannies: a worker that is killed stays away."""

    def __init__(self, stack: ExitStack, folder: Path):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = str(one.getsockname()[1])
        self.address, self._stack, self._folder = f"tcp://127.0.0.1:{port}", stack, folder
        where = ("--host", "127.0.0.1", "--port", port, "--no-dashboard")
        self.scheduler = stack.enter_context(started("dask_scheduler", *where))
        self.workers: list[subprocess.Popen] = []

    def add(self, **environment: str) -> None:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self._folder))
        program = started("dask_worker", self.address, *options, environment=environment)
        self.workers.append(self._stack.enter_context(program))
        self._until(len(self.workers))

    def _until(self, count: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def cluster(self, cache: Path, data: Path | None = None) -> Cluster:
        return Cluster(self.address, cache, data)


@contextmanager
def machines_in(folder: Path, workers: int) -> Iterator[Machines]:
    pytest.importorskip("distributed")
    with ExitStack() as stack:
        found = Machines(stack, folder)
        for _ in range(workers):
            found.add()
        yield found


@pytest.fixture
def machines(tmp_path, request) -> Iterator[Machines]:
    with machines_in(tmp_path / "dask", request.param) as found:
        yield found


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Iterator[Machines]:
    with machines_in(tmp_path_factory.mktemp("dask"), 2) as found:
        yield found


def refuse_three(number: int) -> int:
    if number == 3:
        raise DataError("three is no video")
    return number


def test_workers_of_a_cluster_do_each_task_once_and_say_a_users_error(lasting, tmp_path):
    cluster = lasting.cluster(tmp_path / "cache")
    found = list(each(double, [(n,) for n in range(20)], 1, cluster))
    assert sorted(value for value, _ in found) == list(range(0, 40, 2))
    assert {process for _, process in found} <= {one.pid for one in lasting.workers}
    with pytest.raises(DataError, match="three is no video"):
        list(each(refuse_three, [(n,) for n in range(9)], 1, cluster))
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("package_digest", lambda: "another", "has other code of vadkit.*install the same version"),
        ("_listing", lambda *_: "a video", "does not see in .*videos what this machine does.*shared file system"),
    ],
)
def test_a_worker_with_other_code_or_without_the_data_is_said_and_nothing_is_left_out(
    lasting, tmp_path, monkeypatch, name, other, said
):
    """The worker sees the package and an empty folder; this machine is made to see something else."""
    (tmp_path / "videos").mkdir()
    monkeypatch.setattr(processes, name, other)
    with pytest.raises(RunError, match=said):
        list(each(double, [(1,), (2,)], 1, lasting.cluster(tmp_path / "cache", tmp_path / "videos")))


def test_a_worker_that_does_not_see_the_cache_is_said(lasting, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", lambda path: None)
    with pytest.raises(RunError, match="does not see the cache .*set cache_root to a folder that all workers see"):
        list(each(double, [(1,), (2,)], 1, lasting.cluster(tmp_path / "cache")))


@pytest.mark.parametrize("machines", [2], indirect=True)
def test_a_worker_that_is_killed_in_the_middle_changes_no_sample(machines, tmp_path):
    """Samples of six videos, beside those of a serial run, to the bit."""
    (tmp_path / "videos").mkdir()
    corpus = tiny_corpus(tmp_path / "videos")
    here, there = (
        make_config(
            {
                "cache_root": str(tmp_path / name),
                "scheduler": scheduler,
                "workers": 1,
                "data_root": str(tmp_path / "videos"),
            }
            | {"image_size": 32, "detector_weights": "none", "flow_method": "dis"}
        )
        for name, scheduler in (("here", "local"), ("there", machines.address))
    )
    expected, _ = extract(corpus.videos, here)
    killed = []

    def kill(done: int, total: int, what: str) -> None:
        if not killed:
            killed.append(machines.workers[0].kill())

    found, problems = extract(corpus.videos, there, kill)
    assert killed and not problems
    for one, other in zip(found, expected, strict=True):
        rows = range(len(other))
        assert one.digest == other.digest and one.video == other.video
        for stream in ("frame", "flow"):
            assert np.array_equal(one.images(stream, rows), other.images(stream, rows))


def slowly(number: int, folder: str) -> int:
    time.sleep(0.1)
    (Path(folder) / str(number)).touch()
    return number


@pytest.mark.parametrize("machines", [1], indirect=True)
def test_a_lost_scheduler_is_said_and_what_was_finished_is_there(machines, tmp_path):
    found = each(slowly, [(n, str(tmp_path)) for n in range(100)], 1, machines.cluster(tmp_path / "cache"))
    first = next(found)
    machines.scheduler.kill()
    with pytest.raises(RunError, match=f"scheduler at {machines.address} was lost.*what was finished is kept"):
        list(found)
    assert (tmp_path / str(first)).exists()


@pytest.mark.parametrize("machines", [0], indirect=True)
def test_no_scheduler_and_no_worker_are_said_with_the_remedy(machines, tmp_path):
    tasks = [(1,), (2,)]
    deadline = time.monotonic() + 60
    while True:  # until it listens
        with pytest.raises(ConfigError) as said:
            list(each(double, tasks, 1, machines.cluster(tmp_path)))
        if "has no workers" in str(said.value) or time.monotonic() > deadline:
            break
    assert f"`dask worker {machines.address}`" in str(said.value) and "has no workers" in str(said.value)
    machines.scheduler.kill()
    machines.scheduler.wait()
    with pytest.raises(ConfigError, match="no scheduler answers at .*scheduler: local does without"):
        list(each(double, tasks, 1, machines.cluster(tmp_path)))


def test_a_schedulers_address_is_checked_and_no_result_depends_on_it():
    assert cluster_of(Config()) is None
    with pytest.raises(ConfigError, match="scheduler"):
        make_config({"scheduler": "192.168.1.4"})
    config = make_config({"scheduler": "tcp://192.168.1.4:8786"})
    assert cluster_of(config).address == "tcp://192.168.1.4:8786"
    assert config.fingerprint() == Config().fingerprint()
