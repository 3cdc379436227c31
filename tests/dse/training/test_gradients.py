"""Clipping: the same bits as PyTorch's own."""

import math

import pytest
import torch
from torch import nn

from dse.training.gradients import clip


@pytest.mark.parametrize("largest", [1e-3, 1.0, 12.0, 1e9])
def test_the_same_bits_as_pytorch(largest: float) -> None:
    print("seeds 0 to 19")
    for seed in range(20):
        torch.manual_seed(seed)
        shapes = ((3,), (2, 5), (), (4, 1, 3, 3), (64, 30))
        ours = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
        theirs = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
        for one, other in zip(ours[:-1], theirs[:-1], strict=True):  # the last has no gradient
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        found, expected = clip(ours, largest), nn.utils.clip_grad_norm_(theirs, largest)
        assert torch.equal(found, expected)
        for one, other in zip(ours[:-1], theirs[:-1], strict=True):
            assert torch.equal(one.grad, other.grad)


def test_a_norm_that_is_no_number_is_told() -> None:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([math.nan, 1.0])
    assert math.isnan(clip([weight], 1.0).item())
    weight.grad = torch.tensor([math.inf, 1.0])
    assert math.isinf(clip([weight], 1.0).item())
    assert clip([nn.Parameter(torch.zeros(2))], 1.0).item() == 0.0
