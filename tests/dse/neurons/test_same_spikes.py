"""Spikes of the compiled pass are those of the operators, bit for bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neuron_stages import SURROGATES, Case, assert_near, by_kernel, by_operators, random_currents
from torch import nn
from torch.nn import functional as F

from dse.neurons import fused, kernel
from dse.neurons.dynamics import Dynamics
from dse.neurons.fused import Form
from dse.neurons.surrogates import Arctan, Rectangular

pytestmark = pytest.mark.skipif(not kernel.available(), reason="no kernel was compiled")
CHANNELS = [1, 3, 16, 17, 64]


@st.composite
def cases(draw) -> tuple[Case, tuple[int, ...], int]:
    steps = draw(st.sampled_from([*range(1, 10), 64]))
    is_flat = draw(st.booleans())
    sides = st.integers(1, 5)
    case = Case(
        Dynamics(
            draw(st.sampled_from(["soft", "hard"])),
            draw(st.sampled_from(SURROGATES)),
            draw(st.booleans()),
        ),
        threshold=draw(st.sampled_from([1.0, 0.3, 0.7, 1e-3])),
        leak=draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])),
        gain=draw(st.sampled_from([1.0, 0.1, 0.7])),
        initial=draw(st.sampled_from([0.0, 0.35, -0.2, 1.5])),
        current_steps=draw(st.sampled_from([1, steps])),
        steps=steps,
        pool=1 if is_flat else draw(st.sampled_from([1, 2])),
    )
    if draw(st.booleans()):
        case = case.learning(torch.float32)
    shape = (draw(st.integers(1, 3)) * case.current_steps, draw(st.sampled_from(CHANNELS)))
    if not is_flat:
        shape += (draw(sides), draw(sides))
    return case, shape, draw(st.integers(0, 1000))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_spikes_their_number_and_gradients(drawn: tuple[Case, tuple[int, ...], int]) -> None:
    case, shape, seed = drawn
    currents = random_currents(shape, seed, torch.float32)
    ours, theirs = currents.clone().requires_grad_(), currents.clone().requires_grad_()
    outputs, spikes = by_kernel(ours, case)
    expected, number = by_operators(theirs, case)
    assert torch.equal(outputs, expected)
    assert spikes.item() == number.item()
    weights = random_currents(tuple(outputs.shape), seed + 1, torch.float32)
    (found,) = torch.autograd.grad((outputs * weights).sum() + spikes, ours)
    (grad,) = torch.autograd.grad((expected * weights).sum() + number, theirs)
    assert_near(found, grad, 2e-5)


@given(cases())
@settings(max_examples=50, deadline=None)
def test_currents_that_meet_the_threshold_exactly(
    drawn: tuple[Case, tuple[int, ...], int],
) -> None:
    # multiples of 1/8: sums are exact, and many equal the threshold
    case, shape, seed = drawn
    generator = torch.Generator().manual_seed(seed)
    currents = torch.randint(-4, 9, shape, generator=generator) / 8
    case = Case(
        case.dynamics, 0.5, 0.5, 1.0, 0.0, case.current_steps, min(case.steps, 8), case.pool
    )
    if case.current_steps > case.steps:
        return
    outputs, spikes = by_kernel(currents, case)
    expected, number = by_operators(currents, case)
    assert torch.equal(outputs, expected)
    assert spikes.item() == number.item()


def test_a_tie_in_a_window_goes_to_the_first_that_spikes() -> None:
    # windows: none, the last, all, two of them
    windows = [[0.0, 0.1, 0.2, 0.3], [0.0, 0.0, 0.0, 2.0], [1.0, 2.0, 1.5, 3.0], [0.2, 1.0, 1.0, 0]]
    currents = torch.tensor(windows).view(4, 1, 2, 2).requires_grad_()
    flat = Rectangular(width=100.0, height=1.0)
    outputs, _ = by_kernel(currents, Case(Dynamics("hard", flat), 1.0, pool=2))
    assert outputs.flatten().tolist() == [0, 1, 1, 1]
    (grad,) = torch.autograd.grad((outputs.flatten() * torch.arange(1.0, 5.0)).sum(), currents)
    assert grad.view(4, 4).tolist() == [[1, 0, 0, 0], [0, 0, 0, 2], [3, 0, 0, 0], [0, 4, 0, 0]]


def _composed(x: torch.Tensor, output: int, pool: int) -> torch.Tensor:
    if output == kernel.RELU:
        x = x.relu()
    elif output == kernel.SIGN:
        x = torch.where(x >= 0, 1.0, -1.0) + (x.clamp(-1, 1) - x.clamp(-1, 1).detach())
    return F.max_pool2d(x, 2) if pool == 2 else x


FORMS = {
    "relu": Form(kernel.RELU, kernel.POSITIVE),
    "same": Form(kernel.SAME, kernel.ONE),
    "sign": Form(kernel.SIGN, Rectangular.code, (2.0, 1.0, 0.0)),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("steps", [1, 4])
def test_other_outputs_are_those_of_their_modules(
    name: str, pool: int, channels: int, steps: int
) -> None:
    currents = random_currents((2 * steps, channels, 5, 4), 8, torch.float32) - 0.5
    currents = (currents * 8).round() / 8  # with zeros and with ties
    ours, theirs = currents.clone().requires_grad_(), currents.clone().requires_grad_()
    found, _ = fused.stage(ours, FORMS[name], None, current_steps=steps, steps=steps, pool=pool)
    expected = _composed(theirs, FORMS[name].output, pool)
    assert torch.equal(found, expected)
    weights = random_currents(tuple(found.shape), 9, torch.float32)
    found.backward(weights)
    expected.backward(weights)
    assert torch.equal(ours.grad, theirs.grad)


def test_relu_and_pool_are_the_modules() -> None:
    currents = random_currents((3, 5, 6, 6), 1, torch.float32) - 0.5
    expected = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))(currents)
    found, _ = fused.stage(currents, FORMS["relu"], None, current_steps=1, steps=1, pool=2)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", FORMS)
def test_what_keeps_nothing_lets_no_infinity_through_time(name: str) -> None:
    currents = torch.tensor([[-torch.inf], [0.5], [torch.inf], [-0.5]])
    found, _ = fused.stage(currents, FORMS[name], None, current_steps=4, steps=4, pool=1)
    expected = {"relu": [0, 0.5, torch.inf, 0], "sign": [-1, 1, 1, -1]}
    assert found.flatten().tolist() == expected.get(name, currents.flatten().tolist())


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_nothing_outside_the_tensors_is_touched(channels: int, dtype: torch.dtype) -> None:
    case = Case(Dynamics("soft", Arctan(2.0)), steps=3, current_steps=3, pool=2).learning(dtype)
    shape = (6, 5, 3, channels)
    size = 6 * 5 * 3 * channels
    around = torch.full((size + 128,), 777.0, dtype=dtype)
    around[64:-64] = random_currents((size,), 6, dtype)
    currents = around[64:-64].view(shape).permute(0, 3, 1, 2).requires_grad_()
    assert currents.is_contiguous(memory_format=torch.channels_last) or channels == 1
    before = around.detach().clone()
    outputs, _ = by_kernel(currents, case)
    (grad,) = torch.autograd.grad(outputs.sum(), currents)
    assert torch.equal(around, before)
    assert torch.isfinite(grad).all()
