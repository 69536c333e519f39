"""Where networks run, and how many threads they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np  # noqa: F401 - its BLAS is one of the pools
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from vadkit.core.compute import decoded, device_of, has_bfloat16, one_thread, to_device
from vadkit.core.config import Config
from vadkit.core.errors import ConfigError


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


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is not taken")
    return number


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
