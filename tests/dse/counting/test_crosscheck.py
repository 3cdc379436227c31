"""Our dense counts beside fvcore's, where fvcore has a formula: the same integers."""

import pytest
import torch
from torch import nn

from dse.counting.count import count
from dse.counting.crosscheck import check


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
            nn.Linear(4 * 9, 5),
        ),
        nn.Sequential(nn.Conv2d(2, 4, 3, groups=2, dilation=2), nn.ReLU(), nn.Conv2d(4, 4, 1)),
        nn.Sequential(nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), nn.Tanh()),
    ],
)  # fmt: skip
def test_dense_counts_agree(model):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 6, 6)
    result = check(model, x, count(model, x))
    assert result.agrees
    assert result.ours > 0
    assert result.fvcore_by_layer == {
        name: dense for name, dense in result.ours_by_layer.items() if dense
    }


def test_a_difference_is_seen():
    model = nn.Sequential(nn.Linear(3, 2))
    x = torch.randn(1, 3)
    counts = count(model, x)
    twice = count(nn.Sequential(nn.Linear(3, 4)), x)
    assert check(model, x, counts).agrees
    assert not check(model, x, twice).agrees
