"""Rules that choose a threshold by what the staircase of T steps makes of the activations."""

import math

import pytest
import torch
from torch import nn

from dse.conversion.graph import Node
from dse.conversion.thresholds import Seen, clip_floor, level, quantile
from dse.neurons.clipped import Qcfs


def _seen(steps: int, activation: nn.Module, percentile: float = 99.9) -> Seen:
    generator = torch.Generator().manual_seed(0)
    # skewed, as activations of trained networks are
    before = torch.randn(256, 8, generator=generator) - 0.5
    node = Node("layer", "activation", module=activation)
    return Seen(node, before, activation(before).detach(), steps, percentile)


@pytest.mark.parametrize("activation", [nn.ReLU(), Qcfs(4, 2.0)])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_staircase_of_the_distribution_rule_has_the_mean_of_the_clipped_relu(
    steps: int, activation: nn.Module
) -> None:
    seen = _seen(steps, activation)
    bound = level("bound-or-percentile", seen, 1.0).threshold
    wanted = seen.before.clamp(min=0).minimum(bound)
    found = level("distribution", seen, 1.0)
    stairs = found.height * clip_floor(seen.before, found.threshold, steps)
    at_max = clip_floor(seen.before, seen.after.max(), steps)
    missed, missed_at_max = (float((one.mean() - wanted.mean()).abs()) for one in (stairs, at_max))
    if steps > 1:  # one step would need a height above the largest that is allowed
        assert missed < 0.01 * float(wanted.mean())
    assert missed < missed_at_max
    errors = [float((one - wanted).square().mean()) for one in (stairs, at_max)]
    assert errors[0] < errors[1]
    assert 0.0 < found.height <= 2.0
    assert 0.0 < float(found.threshold) <= float(bound)


def test_least_squared_error_is_of_currents_not_of_levels() -> None:
    seen = _seen(2, Qcfs(4, 2.0))
    best = level("mmse", seen, 1.0).threshold
    for factor in (0.8, 0.9, 1.1):
        tried = (best * factor).minimum(seen.after.max())
        errors = [
            (seen.after - clip_floor(seen.before, one, 2)).square().mean() for one in (best, tried)
        ]
        assert float(errors[0]) <= float(errors[1]) + 1e-6


@pytest.mark.parametrize("percentile", [0.1, 50.0, 75.0, 90.0, 99.0, 99.9, 100.0])
def test_a_quantile_is_the_value_at_its_place_whatever_the_order(percentile):
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(20_011, generator=generator)
    steps = torch.arange(20_011.0)
    hidden = torch.where(steps % 64 == 0, 0.0, drawn)  # a sample of every 64th sees nothing
    shown = torch.where(steps % 64 == 0, drawn.abs() + 9.0, drawn)  # or all that is large
    for values in (drawn, drawn.relu(), drawn.round(), steps, -steps, hidden, shown, drawn[:3]):
        place = max(1, math.ceil(percentile / 100.0 * len(values)))
        assert quantile(values, percentile) == values.sort().values[place - 1]
