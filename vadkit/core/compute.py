"""What computes: the device of networks, threads, and one function over many tasks in processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError


def device_of(config: Config) -> str:
    """The device of networks, "cuda" or "cpu" (of "auto" what works). Raises ConfigError for "cuda" without one."""
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        remedy = "set device: cpu, or install a torch build for it"
        raise ConfigError(f"device is 'cuda' but torch sees no CUDA device; {remedy}")
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, sums of torch, NumPy and scikit-learn do not depend on the number of threads or the place.

    Numbers too small for a normal float count as zero: a processor takes many times longer over them, and weights
    that decay beside features which are always zero become such numbers (`benchmarks/training.py`).
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads, flushed = torch.get_num_threads(), bool(torch.tensor(1e-40) * 1 == 0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


@contextmanager
def reproducible(device: Any) -> Iterator[None]:
    """The caller's random numbers stay as they were; on a device of torch, convolutions choose the same algorithm."""
    import torch

    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def each(function: Callable[..., Any], tasks: Sequence[Sequence[Any]], workers: int) -> Iterator[Any]:
    """`function(*task)` for every task; yields what it returns, as tasks finish.

    In `workers` processes of one thread, or in this one where there is one of either. What `function` raises is
    raised here, and the tasks that were not begun are dropped. Fresh processes, not forks: torch and OpenCV do not
    survive a fork with their threads running.
    """
    if workers == 1 or len(tasks) < 2:
        yield from (function(*task) for task in tasks)
        return
    from joblib import Parallel, delayed

    pool = Parallel(min(workers, len(tasks)), "loky", "generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    with warnings.catch_warnings():
        # processes of an earlier step that idled too long
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        outcomes = pool(delayed(_with_one_thread)(function, task) for task in tasks)
        try:
            for outcome in outcomes:  # noqa: UP028 - `yield from` would close it before the filter below
                yield outcome
        finally:
            warnings.simplefilter("ignore")  # joblib warns that tasks were cancelled, which is what an error wants
            outcomes.close()


def _with_one_thread(function: Callable[..., Any], task: Sequence[Any]) -> Any:
    """Each process has a core to itself; more threads only get in each other's way."""
    import cv2

    cv2.setNumThreads(1)
    return function(*task)
