"""What computes: the device of networks, and threads."""

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


def has_bfloat16(device: str) -> bool:
    """Whether a device computes in bfloat16 itself; others imitate it, which takes longer than float32."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))


def engine_version(name: str) -> str | None:
    """The version of an installed inference engine (of int8 also its quantiser's); None for torch and "auto", which are
    always there. Raises ConfigError for one that is not installed."""
    packages = {"onnxruntime": ["onnxruntime"], "openvino": ["openvino"], "openvino-int8": ["openvino", "nncf"]}
    try:
        return " ".join(importlib.metadata.version(one) for one in packages.get(name, ())) or None
    except importlib.metadata.PackageNotFoundError as error:
        remedy = "pip install 'vadkit[fast]', or set inference: auto"
        raise ConfigError(f"inference is '{name}', but {error.name} is not installed; {remedy}") from None


def to_device(tensor, device):
    """The tensor on a device; to a GPU by way of pinned memory, which nothing waits for."""
    on_gpu = str(device).startswith("cuda") and tensor.device.type == "cpu"
    return tensor.pin_memory().to(device, non_blocking=True) if on_gpu else tensor.to(device)


def decoded(decode: Callable[[Any], Any], items: Iterable[Any], device: str) -> list[Any]:
    """`decode(item)` for every item, in order. A GPU waits for images: beside one they are decoded in threads."""
    if device == "cpu":
        return [decode(item) for item in items]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        return list(pool.map(decode, items))


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, sums of torch, NumPy and scikit-learn do not depend on the number of threads or the place.

    Numbers too small for a normal float count as zero: a processor takes many times longer over them, and weights
    that decay beside features which are always zero become such numbers (`benchmarks/training.py`).
    """
    from threadpoolctl import threadpool_limits

    try:
        import torch
    except ImportError:  # the light environment has none
        with threadpool_limits(1):
            yield
        return
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
