"""One function over many tasks: everything is done once, wherever it is done."""

from __future__ import annotations

import os
import warnings

import pytest

from vadkit.core.parallel import each


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


def test_a_single_task_starts_no_process():
    assert list(each(double, [(4,)], 8)) == [(8, os.getpid())] and list(each(double, [], 8)) == []


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
