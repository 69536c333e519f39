from __future__ import annotations

import numpy as np
import pytest
import torch

from vadkit.core.errors import WeightsError
from vadkit.models.weights import check_state, differences, read_state

ADVICE = "obtain it there"


def saved(tmp_path, content):
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3, "arch": "net"},
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
    ],
)
def test_a_state_dict_comes_out_of_its_wrappers(tmp_path, wrap):
    state = {"a.weight": torch.ones(2), "b.module.bias": torch.zeros(1)}
    read = read_state(saved(tmp_path, wrap(state)), "a network", ADVICE)
    assert list(read) == list(state) and all(torch.equal(read[name], state[name]) for name in state)


def test_module_is_a_wrapper_only_where_all_names_have_it(tmp_path):
    state = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert set(read_state(saved(tmp_path, state), "a network", ADVICE)) == set(state)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path, legacy):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.rand(500)}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.97):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(
            WeightsError,
            match=r"weights\.pt is not a file of plain tensors, the weights of a network .*; "
            r"obtain it there",
        ):
            read_state(path, "a network", ADVICE)


@pytest.mark.parametrize(
    ("content", "described"),
    [
        ([1], "got a list"),
        ({"a": torch.ones(1), "n": 3}, "got a dict whose 'n' is a int"),
        ({"state_dict": {"a": "text"}}, "'a' is a str"),
    ],
)
def test_what_is_no_state_dict_is_described(tmp_path, content, described):
    with pytest.raises(WeightsError, match=f"must hold a state dict of a network.*{described}; obtain it there"):
        read_state(saved(tmp_path, content), "a network", ADVICE)


def test_a_missing_file_says_what_it_is_and_where_to_obtain_it(tmp_path):
    with pytest.raises(WeightsError, match=r"no file .*gone\.pt, the weights of a network; obtain it there"):
        read_state(tmp_path / "gone.pt", "a network", ADVICE)


def test_differences_are_counted_and_the_first_named(tmp_path):
    expected = {"a": (2, 3), "b": (1,), "c": (4,), "bn.num_batches_tracked": ()}
    assert differences({"a": torch.ones(2, 3), "b": torch.ones(1), "c": torch.ones(4)}, expected) == []
    state = {"a": torch.ones(3, 2), "c": torch.ones(5), "d": torch.ones(1), "x.num_batches_tracked": torch.tensor(4)}
    with pytest.raises(
        WeightsError,
        match=r"file does not fit a network: b is missing; d is unknown; "
        r"a has shape \(3, 2\), expected \(2, 3\) and 1 more; obtain",
    ):
        check_state(state, expected, tmp_path / "file", "a network", ADVICE)


def test_values_that_are_not_finite_are_refused(tmp_path):
    for bad in (float("nan"), float("inf")):
        with pytest.raises(WeightsError, match="b holds values that are not finite"):
            check_state(
                {"a": torch.ones(2), "b": torch.tensor([1.0, bad])},
                {"a": (2,), "b": (2,)},
                tmp_path,
                "a network",
                ADVICE,
            )


def test_arrays_of_numpy_are_read_as_they_are_and_without_pickles(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, **{"conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "conv.bias": np.ones(2)})
    state = read_state(path, "a network", ADVICE)
    assert list(state) == ["conv.weight", "conv.bias"]
    assert torch.equal(state["conv.weight"], torch.arange(6.0).view(2, 3)) and state["conv.bias"].shape == (2,)
    whole = path.read_bytes()
    np.savez_compressed(path, a=np.array([{}], dtype=object))
    pickled = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", pickled):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a file of plain tensors.*; obtain it there"):
            read_state(path, "a network", ADVICE)
