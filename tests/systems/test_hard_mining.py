"""Hard mining: what is drawn, and which of it is kept. What training makes of it: test_training."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vadkit.systems.trainer import draw_batches, hardest


@given(count=st.integers(1, 400), batch=st.integers(1, 20), alpha=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_an_epoch_draws_every_sample_once_and_keeps_one_in_alpha(count, batch, alpha):
    drawn = list(draw_batches(count, batch, alpha, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat([rows for rows, _ in drawn]).tolist()) == list(range(count))
    assert all(len(rows) == batch * alpha and keep == batch for rows, keep in drawn[:-1])
    assert sum(keep for _, keep in drawn) == sum(math.ceil(len(rows) / alpha) for rows, _ in drawn)
    assert count / alpha <= sum(keep for _, keep in drawn) < count / alpha + 1


def test_the_draw_is_random():
    first, second = (next(draw_batches(100, 16, 3, torch.Generator().manual_seed(s)))[0].tolist() for s in (0, 1))
    assert first != second and first != sorted(first)


def test_the_hardest_are_those_with_the_largest_loss():
    assert sorted(hardest(torch.tensor([0.1, 5.0, 0.3, 2.0, 0.2]), 2).tolist()) == [1, 3]
