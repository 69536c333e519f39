"""Weights files: read without running anything in them, and compared with what is expected before they are used.

A file that is missing, damaged or another network's is always refused in the same words, with where to get the right.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from vadkit.core.errors import WeightsError, reading

SHOWN = 3  # differences that an error lists
# Batch normalisation's count of training batches: files from before PyTorch 0.4.1 lack it (published ones are that
# old), and nothing reads it in evaluation.
COUNTERS = "num_batches_tracked"

Shapes = Mapping[str, tuple[int, ...]]


def read_state(path: Path, network: str, advice: str) -> dict[str, torch.Tensor]:
    """The state dict in a file, out of {"state_dict": ...} and torch.nn.DataParallel's "module." before every name.

    advice: where to obtain it, which ends every error. Raises WeightsError for a missing or damaged file, one
    that would run code, and one that holds no dictionary of tensors.
    """
    if not path.is_file():
        raise WeightsError(f"no file {path}, the weights of {network}; {advice}")
    with reading(path, f"a file of plain tensors, the weights of {network}", advice, WeightsError):
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                state = {name: torch.from_numpy(file[name]) for name in file.files}
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    got = "" if isinstance(state, dict) else f"a {type(state).__name__}"
    for name, value in state.items() if not got else ():
        if not isinstance(value, torch.Tensor):
            got = f"a dict whose '{name}' is a {type(value).__name__}"
            break
    if got:
        raise WeightsError(f"{path} must hold a state dict of {network}, a dictionary of tensors, got {got}; {advice}")
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
