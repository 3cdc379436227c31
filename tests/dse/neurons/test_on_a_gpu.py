"""On a GPU the plain path works; its spikes may differ only where potential meets threshold."""

import pytest
import torch

from dse.neurons import reference, through_time
from dse.neurons.dynamics import Dynamics
from dse.neurons.surrogates import Arctan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("leak", [1.0, 0.9])
def test_spikes_are_those_of_the_cpu_but_near_the_threshold(reset, leak):
    torch.manual_seed(0)
    currents = torch.randn(8, 512, 256)
    dynamics = Dynamics(reset, Arctan(2.0))
    here = reference.integrate_fire(currents, dynamics, threshold=1.0, leak=leak)
    there = through_time.integrate_fire(currents.cuda(), dynamics, threshold=1.0, leak=leak).cpu()
    # a neuron that differed once goes its own way from then on
    differs = (here != there).any(0)
    print(f"neurons of which a spike differs: {differs.float().mean().item():.2e}")
    assert differs.float().mean() < 1e-4


def test_gradients_are_those_of_the_reference():
    torch.manual_seed(0)
    currents = torch.randn(4, 64, 32, dtype=torch.float64, device="cuda")
    grads = []
    for integrate_fire in (reference.integrate_fire, through_time.integrate_fire):
        inputs = currents.clone().requires_grad_()
        spikes = integrate_fire(
            inputs, Dynamics("soft", Arctan(2.0), is_detached=False), threshold=1.0, leak=0.9
        )
        (spikes * torch.linspace(0, 1, 32, device="cuda")).sum().backward()
        grads.append(inputs.grad)
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-14)
