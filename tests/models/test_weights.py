from __future__ import annotations

import pytest
import torch

from vadkit.core.errors import WeightsError
from vadkit.models.weights import check_state, differences, packed, read_state, unpacked

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
            match=r"weights\.pt is not a file of plain tensors, or is cut short .*expected the weights of a network; obtain it there",
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
        match=r"file does not fit a network: b is missing; d is unknown; a has shape \(3, 2\), expected \(2, 3\) and 1 more; obtain",
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


def test_packing_keeps_each_value_to_half_a_step_of_its_channel():
    generator = torch.Generator().manual_seed(1)
    state = {
        "conv.weight": torch.randn(5, 3, 2, 2, 2, generator=generator) * torch.logspace(-6, 3, 5).view(5, 1, 1, 1, 1),
        "conv.bias": torch.randn(5, generator=generator),
    }
    state["conv.weight"][2] = 0
    small = packed(state)
    assert small["conv.weight"].dtype == torch.int8 and torch.equal(small["conv.bias"], state["conv.bias"])
    back = unpacked(small)
    assert set(back) == set(state)
    largest = state["conv.weight"].abs().amax(dim=(1, 2, 3, 4), keepdim=True)
    assert ((back["conv.weight"] - state["conv.weight"]).abs() <= largest / 253).all()
    assert unpacked(state).keys() == state.keys() and torch.equal(unpacked(state)["conv.weight"], state["conv.weight"])
