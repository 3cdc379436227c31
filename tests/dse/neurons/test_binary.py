import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from dse.neurons.binary import (
    HALF_QUADRATIC,
    QUADRATIC,
    BinaryConv2d,
    BinaryLinear,
    Sign,
    UnitStep,
    binary_weight,
)


def test_sign_has_no_zero() -> None:
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])
    assert Sign()(x).tolist() == [-1, -1, 1, 1, 1, 1]


def test_gradient_of_a_sign_is_straight_through_within_1() -> None:
    x = torch.tensor([-1.5, -1.0, 0.0, 0.5, 1.0, 1.0001], requires_grad=True)
    (Sign()(x) * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 3, 3, 3, 3, 0]


def test_a_quadratic_gradient_is_that_of_the_piecewise_polynomial() -> None:
    # F(x) = -1, 2x + x^2, 2x - x^2, 1 with breaks at -1, 0, 1 (Liu et al., ECCV 2018)
    x = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64, requires_grad=True)
    polynomial = torch.where(x < 0, 2 * x + x**2, 2 * x - x**2)
    smooth = torch.where(x.abs() < 1, polynomial, torch.sign(x))
    weights = torch.arange(1.0, 62.0, dtype=torch.float64)
    (expected,) = torch.autograd.grad((smooth * weights).sum(), x)
    (found,) = torch.autograd.grad((Sign(QUADRATIC)(x) * weights).sum(), x)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("whole", "half"), [({}, {}), ({"surrogate": QUADRATIC}, None)])
def test_a_step_is_half_a_sign_in_value_and_slope(whole: dict, half: dict | None) -> None:
    half = {"surrogate": HALF_QUADRATIC} if half is None else half
    x = torch.tensor([-2.0, -0.7, -0.0, 0.0, 0.3, 1.0, 1.1], requires_grad=True)
    step, sign = UnitStep(**half)(x), Sign(**whole)(x)
    assert torch.equal(step, (sign + 1) / 2)
    assert step.tolist() == [0, 0, 1, 1, 1, 1, 1]
    (of_step,) = torch.autograd.grad(step.sum(), x)
    (of_sign,) = torch.autograd.grad(sign.sum(), x)
    assert torch.allclose(of_step, of_sign / 2)


@pytest.mark.parametrize("neuron", [Sign(), UnitStep()])
def test_binary_neurons_only_compare(neuron: Sign | UnitStep) -> None:
    x = torch.zeros(1, 4, 5)
    events = neuron.neuron_events(x, neuron(x))
    assert {name: n for name, n in events.items() if n} == {"neurons": 20, "compare": 20}


def test_scale_is_the_mean_size_of_an_output_channel() -> None:
    latent = torch.tensor([[0.5, -0.25, 0.0, 1.25], [-1.0, -1.0, 1.0, 1.0]])
    # (0.5 + 0.25 + 0 + 1.25) / 4 = 0.5
    assert binary_weight(latent, is_scaled=True).tolist() == [
        [0.5, -0.5, 0.5, 0.5],
        [-1, -1, 1, 1],
    ]
    assert binary_weight(latent, is_scaled=False).tolist() == [[1, -1, 1, 1], [-1, -1, 1, 1]]


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_weights_in_use_are_exactly_plus_and_minus_one_size(is_scaled: bool, seed: int) -> None:
    torch.manual_seed(seed)
    conv = BinaryConv2d(3, 5, 3, padding=1, is_scaled=is_scaled)
    # the identity as input shows the weights: one image a tap
    weight = binary_weight(conv.weight, is_scaled=is_scaled).detach().flatten(1)
    sizes = weight.abs().unique(dim=1)
    assert sizes.shape == (5, 1)
    assert (weight < 0).any()
    assert (weight > 0).any()
    linear = BinaryLinear(7, 4, is_scaled=is_scaled)
    shown = linear(torch.eye(7)).detach()
    assert shown.abs().unique(dim=0).shape == (1, 4)


def test_layers_are_convolution_and_product_with_these_weights() -> None:
    torch.manual_seed(1)
    conv, linear = BinaryConv2d(2, 3, 3, padding=1), BinaryLinear(6, 3)
    maps, rows = torch.randn(4, 2, 5, 5), torch.randn(4, 6)
    expected = F.conv2d(maps, binary_weight(conv.weight, is_scaled=True), padding=1)
    assert torch.equal(conv(maps), expected)
    assert torch.equal(linear(rows), rows @ binary_weight(linear.weight, is_scaled=True).T)


def test_a_stride_is_that_of_the_convolution() -> None:
    torch.manual_seed(2)
    conv = BinaryConv2d(2, 3, 3, padding=1, stride=2)
    maps = torch.randn(4, 2, 6, 6)
    weight = binary_weight(conv.weight, is_scaled=True)
    assert torch.equal(conv(maps), F.conv2d(maps, weight, stride=2, padding=1))


def test_binary_weights_lie_in_memory_as_the_latent_ones_do() -> None:
    latent = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    for is_scaled in (True, False):
        assert binary_weight(latent, is_scaled=is_scaled).stride() == latent.stride()


def test_a_latent_zero_of_either_sign_is_plus_one() -> None:
    latent = torch.tensor([[0.0, -0.0, -1.0]])
    assert binary_weight(latent, is_scaled=False).tolist() == [[1, 1, -1]]


def test_latent_weights_get_the_gradient_within_1() -> None:
    linear = BinaryLinear(3, 1, is_scaled=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.2, -1.5, 1.0]]))
    linear(torch.tensor([[5.0, 6.0, 7.0]])).sum().backward()
    assert linear.weight.grad is not None
    assert linear.weight.grad.tolist() == [[5, 0, 7]]


def test_after_step_clips_latent_weights() -> None:
    for layer in (BinaryLinear(3, 1), BinaryConv2d(1, 1, 1)):
        with torch.no_grad():
            layer.weight.fill_(-4.0)
        layer.after_step()
        assert (layer.weight == -1.0).all()


bits = st.integers(0, 1)


@given(st.lists(st.tuples(bits, bits), min_size=1, max_size=70))
def test_a_product_of_signs_is_a_popcount(pairs: list[tuple[int, int]]) -> None:
    a = sum(bit << i for i, (bit, _) in enumerate(pairs))
    w = sum(bit << i for i, (_, bit) in enumerate(pairs))
    n = len(pairs)
    signs_a = Sign()(torch.tensor([bit - 0.5 for bit, _ in pairs]))
    layer = BinaryLinear(n, 1, is_scaled=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[bit - 0.5 for _, bit in pairs]]))
    xnor = ~(a ^ w) & ((1 << n) - 1)
    assert int(layer(signs_a)) == 2 * xnor.bit_count() - n
    # spikes {0, 1} instead of signs: AND + popcount
    spikes = UnitStep()(torch.tensor([bit - 0.5 for bit, _ in pairs]))
    assert int(layer(spikes)) == 2 * (a & w).bit_count() - a.bit_count()
