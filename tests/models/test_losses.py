"""The loss of two classes; that of three is in test_suspicion."""

from __future__ import annotations

import math

import pytest
import torch

from vadkit.models.losses import sample_losses


def test_losses_of_one_logit_and_of_two_agree():
    logits, labels = torch.tensor([[-1.5], [0.2], [40.0], [-40.0]]), torch.tensor([0, 1, 0, 1])
    one, two = sample_losses(logits, labels), sample_losses(torch.cat([torch.zeros_like(logits), logits], 1), labels)
    assert torch.allclose(one, two) and torch.isfinite(one).all()
    assert one[0].item() == pytest.approx(math.log(1 + math.exp(-1.5)))
