"""Quantisation, clip, floor and shift: its values, its gradients, and neurons of T = L steps."""

import pytest
import torch
from torch import Tensor, nn

from dse.conversion.convert import convert
from dse.conversion.methods import METHODS
from dse.neurons.clipped import Clipped, Qcfs

VALUES = (-1, -0.25, 0.24, 0.25, 0.74, 0.75, 1.2, 1.75, 5)


def test_the_values_of_the_paper():
    # bound 2 and 4 levels: steps of 1/2, from 1/4 on
    wanted = (0, 0, 0, 0.5, 0.5, 1, 1, 2, 2)
    assert Qcfs(4, 2.0)(torch.tensor(VALUES)).tolist() == list(wanted)


def test_gradients_pass_from_half_a_step_below_zero_to_half_a_step_below_the_bound():
    # (-bound / 2L, bound - bound / 2L) = (-0.25, 1.75)
    values = torch.tensor([-1, -0.26, -0.24, 0.0, 1.0, 1.74, 1.76, 5.0], requires_grad=True)
    Qcfs(4, 2.0)(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def _composed(values: Tensor, bound: Tensor, levels: int) -> Tensor:
    """By PyTorch's operators: floor(x) = x + (floor(x) - x), the bracket a constant.

    The clip comes first: floor makes many values the largest level, where a clip after it has no
    derivative.
    """
    scaled = (values / bound * levels + 0.5).clamp(0, levels)
    return bound * (scaled + (scaled.floor() - scaled).detach()) / levels


@pytest.mark.parametrize("levels", [1, 2, 4, 8, 15])
@pytest.mark.parametrize("bound", [0.3, 1.0, 2.0, 7.7])
def test_gradients_are_those_of_the_expression(levels, bound):
    torch.manual_seed(0)
    values = (3 * bound * torch.randn(4, 3, 5, 5, dtype=torch.float64)).requires_grad_()
    activation = Qcfs(levels, bound).double()
    arriving = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    found = activation(values)
    found.backward(arriving)
    other = values.detach().clone().requires_grad_()
    same_bound = activation.bound.detach().clone().requires_grad_()
    wanted = _composed(other, same_bound, levels)
    wanted.backward(arriving)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(values.grad, other.grad, rtol=1e-12, atol=0)
    torch.testing.assert_close(activation.bound.grad, same_bound.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bound", [0.3, 2.0])
def test_gradients_of_the_clipped_unit_are_those_of_a_clamp(bound):
    torch.manual_seed(0)
    values = (2 * torch.randn(1000, dtype=torch.float64)).requires_grad_()
    activation = Clipped(bound).double()
    activation(values).sum().backward()
    is_inside = (values > 0) & (values < bound)
    assert torch.equal(values.grad, is_inside.double())
    assert float(activation.bound.grad) == int((values > bound).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_keeps_the_dtype_under_autocast_and_without(dtype):
    activation = Qcfs(4, 2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = activation(nn.Linear(3, 5)(torch.rand(2, 3)))
    outputs.float().sum().backward()
    assert activation.bound.grad is not None
    assert activation.bound.grad.dtype == torch.float32


@pytest.mark.parametrize("levels", [1, 2, 4, 8, 16])
def test_neurons_of_as_many_steps_as_levels_are_the_activation(levels):
    # a one-layer network: constant currents, thresholds at the bound, half of it at the start
    torch.manual_seed(levels)
    bound = 1.5
    values = torch.rand(500, 6, 1, 1) * 2.5 - 0.5
    first, readout = nn.Conv2d(6, 6, 1, bias=False), nn.Linear(6, 6, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(6)[:, :, None, None])
        readout.weight.copy_(torch.eye(6))
    model = nn.Sequential(first, Qcfs(levels, bound), nn.Flatten(), readout).eval()
    network = convert(model, values, METHODS["qcfs"], levels).network
    # with a pencil: steps of bound / L from half a step on
    size = bound / levels
    wanted = size * ((values.double() + size / 2) / size).floor().clamp(0, levels).flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(network(values).double(), wanted, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(model(values).double(), wanted, rtol=1e-6, atol=1e-6)
