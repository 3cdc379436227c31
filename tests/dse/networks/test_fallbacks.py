"""What the kernel does not know goes step by step, and what it must not do is refused."""

import pytest
import torch
from torch import nn

from dse.design import Design
from dse.networks.layer import Fire
from dse.neurons import fused, kernel, through_time
from dse.neurons.dynamics import Dynamics
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import Arctan
from dse.variants import family

needs_kernel = pytest.mark.skipif(not kernel.available(), reason="the kernel was not compiled")


class Flat(Arctan):
    """A surrogate that changes one which the kernel knows."""

    def derivative(self, x):
        return torch.zeros_like(x)


class Own:
    """A surrogate that only says what it must."""

    def derivative(self, x):
        return torch.full_like(x, 0.25)


@pytest.mark.parametrize(("surrogate", "slope"), [(Flat(2.0), 0.0), (Own(), 0.25)])
@pytest.mark.parametrize("make", [SingleStep, lambda th, s: IntegrateFire(th, 0.5, "hard", s)])
def test_a_surrogate_of_ones_own_is_the_one_that_trains(surrogate, slope, make):
    stage = Fire(None, make(1.0, surrogate))
    currents = torch.randn(6, 5, requires_grad=True)
    stage(currents, 1, 1).sum().backward()
    assert torch.equal(currents.grad, torch.full((6, 5), slope))


@needs_kernel
def test_an_unknown_slope_is_an_error_and_no_straight_line():
    form = fused.Form(kernel.SPIKE, slope=99, threshold=1.0)
    with pytest.raises(ValueError, match="slope 99: must be"):
        fused.stage(torch.randn(4, 3), form, None, current_steps=1, steps=1, pool=1)


@needs_kernel
def test_a_norm_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="batch-norm of 4 channels on currents of 8"):
        Fire(nn.BatchNorm1d(4).eval(), nn.ReLU())(torch.randn(3, 8), 1, 1)


@pytest.mark.parametrize("hook", [False, True])
def test_one_value_per_channel_is_not_normalised_in_training(hook):
    stage = Fire(nn.BatchNorm1d(4), nn.ReLU())
    if hook:
        stage.neuron.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"[Ee]xpected more than 1|more than one value"):
        stage(torch.randn(1, 4), 1, 1)
    assert torch.equal(stage.norm.running_var, torch.ones(4))


def test_a_norm_with_a_mean_over_all_batches_moves_as_in_pytorch():
    ours, theirs = nn.BatchNorm1d(4, momentum=None), nn.BatchNorm1d(4, momentum=None)
    for _ in range(3):
        batch = torch.randn(16, 4) + 2.0
        Fire(ours, nn.ReLU())(batch, 1, 1)
        theirs(batch)
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)


@needs_kernel
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_potentials_of_bfloat16_currents_are_the_same_with_and_without_the_kernel(reset):
    currents = torch.randn(8, 200, 16).bfloat16()
    neuron = IntegrateFire(1.0, 0.9, reset, Arctan(2.0))
    plain = through_time.integrate_fire(
        currents, Dynamics(reset, Arctan(2.0)), threshold=1.0, leak=0.9
    )
    assert plain.dtype == torch.bfloat16
    assert torch.equal(neuron(currents), plain)


# rounded currents flip bits, which turns the gradients of what comes before
@pytest.mark.parametrize(
    ("variant", "least"),
    [("ann", 0.95), ("qann", 0.9), ("s2nn", 0.7), ("snn", 0.3), ("bnn", 0.3)],
)
def test_every_parameter_has_a_gradient_in_bfloat16_that_points_where_it_does_in_float32(
    variant, least
):
    grads = {}
    for precision in (torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        model = family.load(variant).build(Design.of(variant, "lenet", {}), (1, 12, 12), 10)
        images, labels = torch.rand(64, 1, 12, 12), torch.randint(0, 10, (64,))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            model.training_loss(images, labels, 0.0).backward()
        grads[precision] = {name: p.grad for name, p in model.named_parameters()}
    for name, exact in grads[torch.float32].items():
        rounded = grads[torch.bfloat16][name]
        assert torch.isfinite(rounded).all(), name
        # steps of quantisers and biases before a norm are small sums of large terms
        if exact.numel() > 1 and exact.norm() > 1e-6:
            cosine = torch.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0)
            assert cosine > least, f"{name}: {cosine}"


@pytest.mark.parametrize("hook", [False, True])
def test_a_weight_that_changed_after_the_forward_pass_is_an_error(hook):
    stage = Fire(nn.BatchNorm1d(4), nn.ReLU())
    if hook:
        stage.neuron.register_forward_hook(lambda *_: None)
    outputs = stage(torch.randn(8, 4, requires_grad=True), 1, 1)
    with torch.no_grad():
        stage.norm.weight.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()
