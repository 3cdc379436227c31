import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from dse.errors import BuildFailure
from dse.neurons.quantized import (
    QuantizedConv2d,
    QuantizedLinear,
    activation_limits,
    first_log_step,
    pixels,
    quantized_activation,
    quantized_weight,
    weight_limits,
)

BITS = range(1, 9)


def closed_form(
    v: Tensor, step: float, low: int, high: int, halves: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """q, dy/dv and dy/ds value by value, as LSQ writes them."""
    levels, slopes, steps = [], [], []
    for value in v.double().flatten().tolist():
        u = value / step
        q = math.copysign(0.5, u) if halves else float(round(min(max(u, low), high)))
        inside = low < u < high
        levels.append(q)
        slopes.append(1.0 if inside else 0.0)
        steps.append(q - u if inside else q)
    return tuple(torch.tensor(x, dtype=torch.float64) for x in (levels, slopes, steps))


def test_k_bits_are_two_to_the_k_levels() -> None:
    assert [weight_limits(bits) for bits in (1, 2, 3, 8)] == [
        (-1, 1),
        (-2, 1),
        (-4, 3),
        (-128, 127),
    ]
    assert [activation_limits(bits) for bits in (1, 2, 8)] == [(0, 1), (0, 3), (0, 255)]
    for bits in (0, 9):
        with pytest.raises(BuildFailure, match=f"quantised layer: {bits} bits: must be between"):
            weight_limits(bits)
        with pytest.raises(BuildFailure, match=f"{bits} bits"):
            activation_limits(bits)


@pytest.mark.parametrize("bits", BITS)
def test_outputs_lie_on_the_grid_and_use_all_of_it(bits: int) -> None:
    v = torch.linspace(-200.0, 300.0, 5001).unsqueeze(0)
    log_step = torch.tensor(0.75).log()
    for outputs, (low, high) in (
        (quantized_weight(v, log_step, bits), weight_limits(bits)),
        (quantized_activation(v, log_step, bits), activation_limits(bits)),
    ):
        levels = (outputs / log_step.exp()).unique().tolist()
        assert len(levels) == 2**bits
        if low == -1:
            assert levels == [-0.5, 0.5]
        else:
            assert levels == list(range(low, high + 1))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("seed", range(2))
def test_gradients_are_those_of_the_published_equations(bits: int, seed: int) -> None:
    torch.manual_seed(seed)
    step = 0.37
    v = torch.randn(5, 40, dtype=torch.float64) * step * 2**bits
    v[0, :5] = torch.tensor([0.0, 1e-9, -1e-9, step * 2**bits, -step * 2**bits])
    g = torch.randn_like(v)
    log_step = torch.tensor(math.log(step), dtype=torch.float64)
    for function, (low, high), n in (
        (quantized_weight, weight_limits(bits), 200),
        (quantized_activation, activation_limits(bits), 40),
    ):
        x, s = v.clone().requires_grad_(), log_step.clone().requires_grad_()
        y = function(x, s, bits)
        q, slope, by_step = closed_form(v, step, low, high, low == -1)
        assert torch.allclose(y.flatten(), q * step, rtol=1e-14, atol=0)
        y.backward(g)
        assert x.grad is not None
        assert s.grad is not None
        assert torch.equal(x.grad.flatten(), g.flatten() * slope)
        expected = (g.flatten() * by_step).sum() * step / math.sqrt(n * high)
        assert torch.allclose(s.grad, expected, rtol=1e-10, atol=1e-12)


def test_where_all_values_are_clipped_the_gradient_is_the_true_one() -> None:
    v = torch.tensor([[9.0, 12.0, -5.0]], dtype=torch.float64)
    g = torch.tensor([[0.5, -2.0, 3.0]], dtype=torch.float64)
    share = 1 / math.sqrt(3 * 7)

    def loss(log_step: Tensor) -> Tensor:
        return (quantized_activation(v, log_step, 3) * g).sum()

    log_step = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)
    loss(log_step).backward()
    with torch.no_grad():
        slope = (loss(log_step + 1e-6) - loss(log_step - 1e-6)) / 2e-6
    assert log_step.grad is not None
    assert log_step.grad.item() == pytest.approx(float(slope) * share, rel=1e-8)


@pytest.mark.parametrize("bits", BITS)
def test_a_step_of_weights_starts_where_lsq_has_it(bits: int) -> None:
    torch.manual_seed(bits)
    layer = QuantizedLinear(30, 7, bits=bits)
    _, high = weight_limits(bits)
    mean = layer.weight.detach().abs().mean().item()
    assert layer.log_step.exp().item() == pytest.approx(2 * mean / math.sqrt(high))
    if bits == 1:
        shown = layer(torch.eye(30)).detach().abs().unique()
        assert torch.allclose(shown, torch.tensor(mean))


def test_a_layer_of_zeros_has_a_step() -> None:
    assert first_log_step(torch.tensor(0.0), 127).isfinite()


def test_layers_are_convolution_and_product_of_what_they_quantise() -> None:
    torch.manual_seed(3)
    conv = QuantizedConv2d(2, 3, 3, padding=1, bits=3, inputs=2, stride=2)
    linear = QuantizedLinear(6, 3, bits=3, inputs=2, bias=True)
    maps, rows = torch.randn(4, 2, 5, 5), torch.randn(4, 6)
    for layer, values in ((conv.eval(), maps), (linear.eval(), rows)):
        read = quantized_activation(values, layer.input_log_step, 2)
        weight = quantized_weight(layer.weight, layer.log_step, 3)
        if layer is conv:
            expected = F.conv2d(read, weight, stride=2, padding=1)
        else:
            expected = F.linear(read, weight, linear.bias)
        assert torch.equal(layer(values), expected)
        assert (layer.weight_bits, layer.activation_bits) == (3, 2)
        assert "weight_bits=3, inputs=2" in repr(layer)


def test_the_first_batch_of_training_sets_the_step_of_the_inputs_once() -> None:
    layer = QuantizedLinear(4, 2, bits=8, inputs=4)
    before = layer.input_log_step.item()
    layer.eval()(torch.full((3, 4), 50.0))
    assert layer.input_log_step.item() == before
    first = torch.tensor([[3.0, -9.0, 0.0, 5.0]])
    layer.train()(first)
    # the mean of 3, 0, 0 and 5 is 2
    assert layer.input_log_step.exp().item() == pytest.approx(2 * 2 / math.sqrt(15))
    layer(first * 10)
    assert layer.input_log_step.exp().item() == pytest.approx(2 * 2 / math.sqrt(15))


def test_a_step_that_was_set_comes_back_with_the_weights_and_is_not_set_again() -> None:
    layer = QuantizedLinear(4, 2, bits=8, inputs=4)
    layer.train()(torch.rand(8, 4) * 3)
    state = copy.deepcopy(layer.state_dict())
    fresh = QuantizedLinear(4, 2, bits=8, inputs=4)
    fresh.load_state_dict(state)
    fresh.train()(torch.rand(8, 4) * 100)
    assert torch.equal(fresh.input_log_step, layer.input_log_step)
    # and weights of before the first batch make it set again
    layer.load_state_dict(QuantizedLinear(4, 2, bits=8, inputs=4).state_dict())
    layer.train()(torch.full((8, 4), 2.0))
    assert layer.input_log_step.exp().item() == pytest.approx(4 / math.sqrt(15))


def test_images_of_eight_bits_stay_bit_by_bit() -> None:
    images = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal(pixels(images), images)
    assert torch.allclose(
        pixels(torch.tensor([-1.0, 0.3, 7.0])) * 255, torch.tensor([0.0, 76, 255])
    )
    # digits are 16ths: at most half a level off
    digits = torch.arange(17) / 16
    assert (pixels(digits) - digits).abs().max() <= 0.5 / 255 + 1e-7


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=70))
def test_a_product_of_one_bit_layers_is_an_and_and_two_popcounts(
    pairs: list[tuple[int, int]],
) -> None:
    a = sum(bit << i for i, (bit, _) in enumerate(pairs))
    w = sum(bit << i for i, (_, bit) in enumerate(pairs))
    layer = QuantizedLinear(len(pairs), 1, bits=1, inputs=1).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[bit - 0.5 for _, bit in pairs]]))
        layer.log_step.fill_(math.log(2.0))  # weights -1 and +1
        layer.input_log_step.fill_(math.log(1.0))  # inputs 0 and 1
    found = layer(torch.tensor([[float(bit) for bit, _ in pairs]]))
    assert found.item() == pytest.approx(2 * (a & w).bit_count() - a.bit_count(), abs=1e-4)
