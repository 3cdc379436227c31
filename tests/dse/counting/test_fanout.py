"""Effective products equal a loop over every non-zero input and every weight it reaches."""

import brute_force
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dse.counting.count import count
from dse.counting.fanout import reach
from energy_models import ModelCounts

FUNCTIONS = {
    (1, False): F.conv1d,
    (2, False): F.conv2d,
    (3, False): F.conv3d,
    (1, True): F.conv_transpose1d,
    (2, True): F.conv_transpose2d,
    (3, True): F.conv_transpose3d,
}


class Functional(torch.nn.Module):
    """A module that calls one function with its weight."""

    def __init__(self, function, weight, **options):
        super().__init__()
        self.weight = torch.nn.Parameter(weight)
        self.function = function
        self.options = options

    def forward(self, x):
        return self.function(x, self.weight, **self.options)


def integers(counts: ModelCounts) -> dict[str, int]:
    """Totals over the batch: exact integers."""
    return {
        name: round(value * counts.samples) for name, value in counts.ops.to_dict().items() if value
    }


def effective(counts: ModelCounts) -> int:
    return round(counts.ops.effective * counts.samples)


@st.composite
def data(draw, shape):
    """Values of one class: spikes, small integers, ternary, real, all zero."""
    kind = draw(st.sampled_from(["spikes", "scaled", "ternary", "integers", "real", "zero"]))
    density = draw(st.sampled_from([0.1, 0.5, 1.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    mask = (torch.rand(shape, generator=generator) < density).float()
    sign = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1
    values = {
        "spikes": torch.ones(shape),
        "scaled": torch.full(shape, 0.7),
        "ternary": sign,
        "integers": torch.randint(1, 9, shape, generator=generator) * sign * 0.25,
        "real": torch.randn(shape, generator=generator),
        "zero": torch.zeros(shape),
    }[kind]
    return values * mask


@st.composite
def convolutions(draw):
    dimensions = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 2]))

    def per_dimension(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(dimensions))

    kernel, stride, dilation = per_dimension(1, 3), per_dimension(1, 3), per_dimension(1, 2)
    padding, size = per_dimension(0, 2), per_dimension(1, 6)
    for extent, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1)
        assume((extent - 1) * s - 2 * p + span >= 0 if transposed else extent + 2 * p > span)
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    first, second = (c_in, c_out // groups) if transposed else (c_out, c_in // groups)
    x = draw(data((draw(st.integers(1, 2)), c_in, *size)))
    weight = draw(data((first, second, *kernel)))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, weight, transposed, options


@settings(max_examples=150, deadline=None, derandomize=True)
@given(convolutions())
def test_convolutions_equal_brute_force(case):
    x, weight, transposed, options = case
    function = FUNCTIONS[x.dim() - 2, transposed]
    output = function(x, weight, **options)
    counts = count(Functional(function, weight, **options), x)
    expected = brute_force.convolution(
        x,
        weight,
        tuple(output.shape[2:]),
        options["stride"],
        options["padding"],
        options["dilation"],
        options["groups"],
        transposed,
    )
    assert effective(counts) == expected
    places = x.shape[2:] if transposed else output.shape[2:]
    # dense: samples x places x weights
    assert round(counts.ops.dense * counts.samples) == (
        x.shape[0] * places.numel() * weight.numel()
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_matrix_products_equal_brute_force(draw):
    n, k, m = (draw.draw(st.integers(1, 6)) for _ in range(3))
    left, right = draw.draw(data((n, k))), draw.draw(data((k, m)))
    is_weight = draw.draw(st.booleans())
    if is_weight:
        counts = count(Functional(lambda x, w: x @ w, right), left)
    else:
        counts = count(_Pair(), (left, right))
    assert effective(counts) == brute_force.matrix(left, right)
    assert round(counts.ops.dense * counts.samples) == n * k * m


class _Pair(torch.nn.Module):
    def forward(self, left, right):
        return left @ right


def test_separable_fan_out_of_a_padded_strided_line():
    # 4 positions, kernel 3, stride 2, padding 1: outputs at 0 and 1 read positions -1..1 and 1..3
    taps = reach(4, 2, 3, 2, 1, 1, False)
    # position:        0  1  2  3
    assert taps.tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]]
    assert taps.sum(dim=0).tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("padding_mode", ["zeros", "circular", "reflect", "replicate"])
def test_padding_modes(padding_mode):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 3, 3, padding=1, padding_mode=padding_mode)
    x = (torch.rand(2, 2, 5, 5) < 0.4).float()
    padded = x if padding_mode == "zeros" else F.pad(x, (1, 1, 1, 1), mode=padding_mode)
    padding = (1, 1) if padding_mode == "zeros" else (0, 0)
    expected = brute_force.convolution(
        padded, layer.weight, (5, 5), (1, 1), padding, (1, 1), 1, False
    )
    counts = count(layer, x)
    assert integers(counts)["ac"] == expected


def test_steps_and_calls_add_up():
    torch.manual_seed(0)
    steps, samples = 3, 2
    x = (torch.rand(steps * samples, 2, 5, 5) < 0.3).float()
    layer = torch.nn.Conv2d(2, 4, 3, padding=1)
    # T x B rows, the step slowest: the caller says that there are 2 samples by a (T, B) batch
    counts = count(_Folded(layer), x.unflatten(0, (steps, samples)), time_steps=steps, batch_dim=1)
    row = counts.layers[0]
    for step in range(steps):
        expected = brute_force.convolution(
            x[step * samples : (step + 1) * samples],
            layer.weight,
            (5, 5),
            (1, 1),
            (1, 1),
            (1, 1),
            1,
            False,
        )
        assert round(row.steps[step].ac * samples) == expected
    assert round(sum(step.ac for step in row.steps) * samples) == effective(counts)


class _Folded(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.flatten(0, 1))
