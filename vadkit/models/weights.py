"""Weights files: read without running anything in them, and compared with what is expected before they are used.

Every network of the project goes through here, so a file that is missing, damaged or another network's is always
refused in the same words: which file, what was expected, the first differences, and where the right one is obtained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from vadkit.core.errors import WeightsError

SHOWN = 3  # differences that an error lists
# Batch normalisation's count of training batches: files from before PyTorch 0.4.1 lack it (published ones are that
# old), and nothing reads it in evaluation.
COUNTERS = "num_batches_tracked"

Shapes = Mapping[str, tuple[int, ...]]


def read_state(path: Path, network: str, advice: str) -> dict[str, torch.Tensor]:
    """The state dict in a file, out of the wrappers that published files have.

    Unwraps {"state_dict": ...}, and the "module." that torch.nn.DataParallel puts before every name. advice: where
    such a file is obtained, the end of every error. Raises WeightsError for a missing or damaged file, for one that
    would run code, and for one that holds no dictionary of tensors.
    """
    if not path.is_file():
        raise WeightsError(f"no file {path}, the weights of {network}; {advice}")
    try:
        state = _arrays(path) if path.suffix == ".npz" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for files that are cut short or hold something else
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"{path} is not a file of plain tensors, or is cut short ({type(error).__name__}: {reason}); expected the "
            f"weights of {network}; {advice}"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(
            f"{path} must hold a state dict of {network}, a dictionary of tensors, got {_described(state)}; {advice}"
        )
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return dict(state)


def check_state(state: Mapping[str, torch.Tensor], expected: Shapes, path: Path, network: str, advice: str) -> None:
    """Raise WeightsError where names or shapes differ from those expected, or a value is not finite."""
    found = differences(state, expected)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise WeightsError(f"{path} does not fit {network}: {'; '.join(found[:SHOWN])}{more}; {advice}")
    for name in expected:
        if name in state and state[name].is_floating_point() and not torch.isfinite(state[name]).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite; the file is damaged, fetch it again")


def differences(state: Mapping[str, torch.Tensor], expected: Shapes) -> list[str]:
    """What is missing, unknown, or of another shape, in this order. Batch normalisation's counters do not count."""
    given = {name: tuple(value.shape) for name, value in state.items() if not name.endswith(COUNTERS)}
    wanted = {name: tuple(shape) for name, shape in expected.items() if not name.endswith(COUNTERS)}
    found = [f"{name} is missing" for name in wanted if name not in given]
    found += [f"{name} is unknown" for name in given if name not in wanted]
    other = [(name, shape) for name, shape in wanted.items() if given.get(name, shape) != shape]
    return found + [f"{name} has shape {given[name]}, expected {shape}" for name, shape in other]


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's own tensors."""
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    """The tensors that `numpy.savez_compressed` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def _described(state: object) -> str:
    if not isinstance(state, dict):
        return f"a {type(state).__name__}"
    odd = next(name for name, value in state.items() if not isinstance(value, torch.Tensor))
    return f"a dict whose '{odd}' is a {type(state[odd]).__name__}"
