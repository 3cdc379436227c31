"""Batch-norm in the compiled pass, beside PyTorch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neuron_stages import (
    SURROGATES,
    Case,
    assert_near,
    by_kernel,
    by_operators,
    copy_of,
    normalised,
    random_currents,
    random_norm,
)

from dse.neurons import fused, kernel
from dse.neurons.dynamics import Dynamics
from dse.neurons.fused import Form
from dse.neurons.surrogates import Arctan, Surrogate

pytestmark = pytest.mark.skipif(not kernel.available(), reason="no kernel was compiled")
SAME = Form(kernel.SAME, kernel.ONE)
SHAPES = [(4, 17), (2, 3, 4, 5), (6, 16, 2, 2), (2, 64, 3, 3), (2, 1, 4, 4)]


def laid_out(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> torch.Tensor:
    currents = random_currents(shape, seed, dtype)
    if len(shape) == 2:
        return currents
    return currents.contiguous(memory_format=torch.channels_last)


@given(
    st.sampled_from(SHAPES), st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64])
)
@settings(max_examples=100, deadline=None)
def test_in_evaluation_every_bit_is_that_of_the_operators(shape, seed, dtype) -> None:
    norm = random_norm(shape[1], seed, dtype, is_training=False)
    currents = laid_out(shape, seed + 1, dtype)
    expected = normalised(currents, norm)
    found, _ = fused.stage(currents, SAME, norm, current_steps=1, steps=1, pool=1)
    assert torch.equal(found, expected)
    case = Case(Dynamics("hard", Arctan(2.0)), 0.3, steps=3, pool=len(shape) // 2)
    spikes, number = by_kernel(currents, case, norm)
    wanted, total = by_operators(expected, case)
    assert torch.equal(spikes, wanted)
    assert number.item() == total.item()


def test_the_module_in_evaluation_gives_the_same_bits() -> None:
    module = torch.nn.BatchNorm2d(3).eval()
    for seed, numbers in enumerate((module.weight, module.bias, module.running_mean)):
        numbers.data.copy_(random_currents((3,), seed, torch.float32))
    norm = fused.Norm(
        module.weight, module.bias, module.running_mean, module.running_var, module.eps, 0.1, 1.0,
        False,
    )  # fmt: skip
    currents = laid_out((2, 3, 5, 5), 4, torch.float32)
    found, _ = fused.stage(currents, SAME, norm, current_steps=1, steps=1, pool=2)
    assert torch.equal(found, torch.nn.MaxPool2d(2)(module(currents)))


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_in_double_gradients_and_statistics_are_those_of_the_composition(
    is_training: bool, surrogate: Surrogate, shape: tuple[int, ...]
) -> None:
    pool = 2 if len(shape) == 4 else 1
    case = Case(Dynamics("soft", surrogate, False), 0.4, 0.6, 1.1, 0.1, 2, 2, pool)
    case = case.learning(torch.float64)
    ours = random_norm(shape[1], 3, torch.float64, is_training=is_training)
    theirs = copy_of(ours)
    currents = laid_out(shape, 7, torch.float64).requires_grad_()
    found, number = by_kernel(currents, case, ours)
    expected, total = by_operators(normalised(currents, theirs), case)
    assert torch.equal(found, expected)
    assert number == total
    assert_near(ours.mean, theirs.mean, 1e-12)
    assert_near(ours.variance, theirs.variance, 1e-12)
    weights = random_currents(tuple(found.shape), 8, torch.float64)
    learned = list(case.numbers.values())
    mine = torch.autograd.grad(
        (found * weights).sum() + 0.2 * number, [currents, ours.weight, ours.bias, *learned]
    )
    other = torch.autograd.grad(
        (expected * weights).sum() + 0.2 * total, [currents, theirs.weight, theirs.bias, *learned]
    )
    for one, two in zip(mine, other, strict=True):
        assert_near(one, two, 1e-9)


@pytest.mark.parametrize("pool", [1, 2])
def test_in_training_single_precision_moves_few_spikes(pool: int) -> None:
    case = Case(Dynamics("hard", Arctan(2.0)), 0.5, steps=1, current_steps=1, pool=pool)
    ours = random_norm(16, 3, torch.float32, is_training=True)
    theirs = copy_of(ours)
    currents = laid_out((32, 16, 16, 16), 7, torch.float32)
    potentials = normalised(currents, theirs).detach()
    if pool == 2:
        potentials = torch.nn.functional.max_pool2d(potentials, 2)
    spikes, _ = by_kernel(currents, case, ours)
    differs = spikes != (potentials >= 0.5)
    print(f"{differs.float().mean().item():.2e} of the spikes differ")
    assert differs.float().mean() < 1e-5
    assert ((potentials - 0.5).abs()[differs] < 1e-5).all()
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-6, atol=1e-7)


def test_a_mean_far_from_zero_leaves_the_variance_its_digits() -> None:
    # single sums of squares of numbers near 1000 would lose a variance of 1/12 altogether
    currents = laid_out((8, 4, 8, 8), 2, torch.float32) / 2 + 1000.0
    ours = random_norm(4, 1, torch.float32, is_training=True)
    theirs = copy_of(ours)
    found, _ = fused.stage(currents, SAME, ours, current_steps=1, steps=1, pool=1)
    exact = currents.double()
    expected = normalised(exact, copy_of(_in_double(theirs)))
    assert (found - expected).abs().max() < 1e-3
    theirs = _in_double(theirs)
    normalised(exact, theirs)
    torch.testing.assert_close(ours.variance.double(), theirs.variance, rtol=1e-5, atol=0.0)


def test_a_channel_without_variance_is_its_bias() -> None:
    currents = torch.full((4, 3, 2, 2), 0.1).contiguous(memory_format=torch.channels_last)
    norm = random_norm(3, 1, torch.float32, is_training=True)
    found, _ = fused.stage(currents, SAME, norm, current_steps=1, steps=1, pool=1)
    expected = norm.bias.view(1, 3, 1, 1).expand_as(found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def _in_double(norm: fused.Norm) -> fused.Norm:
    return fused.Norm(
        norm.weight.detach().double(), norm.bias.detach().double(), norm.mean.double(),
        norm.variance.double(), norm.eps, norm.momentum, norm.factor, norm.is_training,
    )  # fmt: skip
