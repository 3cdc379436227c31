"""The update rule and the course of the learning rate, against their definitions."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from dse.training.optimizers import make_optimizer, make_schedule
from dse.training.settings import TrainingSettings

SGD = TrainingSettings(
    1, 2, 0.1, weight_decay=0.01, label_smoothing=0.0, grad_clip=1.0, optimizer="sgd"
)


def rates(settings: TrainingSettings, steps: int) -> list[float]:
    optimizer = make_optimizer(nn.Linear(2, 2), settings)
    schedule = make_schedule(optimizer, settings, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_follows_its_definition(nesterov: bool) -> None:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(3.0)
    optimizer = make_optimizer(layer, replace(SGD, nesterov=nesterov, momentum=0.5))
    weight, bias, moments = 2.0, 3.0, [0.0, 0.0]
    for gradient in (1.0, -0.25, 0.5):
        layer.weight.grad = torch.full((1, 1), gradient)
        layer.bias.grad = torch.full((1,), gradient)
        optimizer.step()
        for index, one in enumerate((gradient + 0.01 * weight, gradient)):
            moments[index] = 0.5 * moments[index] + one
            step = one + 0.5 * moments[index] if nesterov else moments[index]
            if index == 0:
                weight -= 0.1 * step
            else:
                bias -= 0.1 * step
    assert layer.weight.item() == pytest.approx(weight, rel=1e-6)
    assert layer.bias.item() == pytest.approx(bias, rel=1e-6)


def test_the_cosine_rises_in_its_share_and_falls_to_nothing() -> None:
    settings = replace(SGD, schedule="cosine", warmup=0.2)
    expected = [0.05, 0.1]
    expected += [0.1 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates(settings, 10) == pytest.approx(expected)
    assert rates(replace(settings, warmup=0.0), 4)[0] == 0.1


def test_a_constant_rate_stays_after_its_share() -> None:
    assert rates(replace(SGD, schedule="constant"), 3) == [0.1] * 3
    found = rates(replace(SGD, schedule="constant", warmup=0.5), 4)
    assert found == pytest.approx([0.05, 0.1, 0.1, 0.1])


def test_one_cycle_leaves_the_momentum_of_sgd_alone() -> None:
    settings = replace(SGD, momentum=0.7)
    optimizer = make_optimizer(nn.Linear(2, 2), settings)
    schedule = make_schedule(optimizer, settings, 5)
    for _ in range(5):
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["momentum"] == 0.7
    found = rates(settings, 20)
    assert max(found) == pytest.approx(0.1, rel=0.05)
    assert found[0] == pytest.approx(0.1 / 25)
