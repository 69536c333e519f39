"""Where networks run, and how many threads they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vadkit.config import Config


def device_of(config: Config) -> str:
    """"cuda" or "cpu"; "auto" takes the first that works. Raises ConfigError for "cuda" without one."""
    import torch

    from vadkit.errors import ConfigError

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda' but torch sees no CUDA device; set device: cpu, or install a torch build for it")
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of torch, NumPy and scikit-learn then do not depend on how many threads there are, nor results on where they were computed."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
