"""Where networks run, how many threads they take, and what makes them repeat themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from vadkit.core.config import Config


def device_of(config: Config) -> str:
    """ "cuda" or "cpu"; "auto" takes the first that works. Raises ConfigError for "cuda" without one."""
    import torch

    from vadkit.core.errors import ConfigError

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device is 'cuda' but torch sees no CUDA device; set device: cpu, or install a torch build for it"
        )
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of torch, NumPy and scikit-learn then do not depend on how many threads there are, nor results on where they were computed.

    Numbers too small for a normal float count as zero: a processor takes many times longer over them, and weights
    that decay beside features which are always zero become such numbers (`benchmarks/training.py`).
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads, flushed = torch.get_num_threads(), _flushes_denormals()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """The caller's random numbers stay as they were, and convolutions choose the same algorithm each time."""
    import torch

    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def _flushes_denormals() -> bool:
    import torch

    return (torch.tensor(1e-40) * 1).item() == 0
