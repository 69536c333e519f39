"""Where networks run, how many threads they take, and one function over many tasks: everything is done once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np  # noqa: F401 - its BLAS is one of the pools
import psutil
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from vadkit.core.compute import decoded, device_of, each, has_bfloat16, one_thread, to_device
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, RunError


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()} | {torch.get_num_threads()}


def test_one_thread_is_one_in_every_pool_and_ends():
    """A sum in another order ends logistic regression elsewhere, by hundredths of a point."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):
            assert 2 in threads()
            with pytest.raises(KeyError), one_thread():
                assert threads() == {1}
                raise KeyError
            assert 2 in threads() and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def flushed() -> bool:
    return bool(torch.tensor(1e-40) * 1 == 0)


def test_one_thread_counts_denormals_as_zero_and_leaves_the_rest_as_it_was():
    assert not flushed()
    with one_thread():
        assert flushed()
        with one_thread():
            pass
        assert flushed(), "an inner one must not end it for the outer one"
    assert not flushed()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    assert device_of(Config()) == device_of(Config(device="cpu")) == "cpu"
    with pytest.raises(ConfigError, match="torch sees no CUDA device"):
        device_of(Config(device="cuda"))


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


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_decoded_keeps_its_order(device):
    assert decoded(lambda n: n * n, np.arange(50), device) == [n * n for n in range(50)]
    with pytest.raises(ValueError, match="three is not taken"):
        decoded(fail_at_three, range(9), device)


def test_a_tensor_is_on_the_cpu_already():
    tensor = torch.rand(3)
    assert to_device(tensor, "cpu") is tensor and to_device(tensor, torch.device("cpu")) is tensor


def test_bfloat16_is_what_the_processor_says():
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").is_file() else []
    assert has_bfloat16("cpu") == bool({"avx512_bf16", "amx_bf16"} & set(flags))


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
from vadkit.core.compute import each

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
