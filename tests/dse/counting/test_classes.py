"""Kinds and classes: which products are MACs, accumulates, graded or binary."""

import pytest
import torch
from torch import nn

from dse.counting.activity import common_step, look
from dse.counting.count import count
from dse.errors import TracingError


def linear(weight: torch.Tensor) -> nn.Linear:
    """A linear layer with the given weight (out, in) and no bias."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


REAL = torch.tensor([[0.3, -0.5], [0.7, 0.2], [0.1, 0.9]])  # 3 outputs, 2 inputs
BINARY = torch.tensor([[0.3, -0.3], [0.7, 0.7], [-0.1, 0.1]])  # one a per output channel


@pytest.mark.parametrize(
    ("weight", "x", "expected"),
    [
        # two real inputs x 3 outputs
        (REAL, [[0.3, 1.0]], {"mac": 6, "dense_mac": 6}),
        # one zero input: 1 x 3 effective, 2 x 3 dense
        (REAL, [[0.0, 1.5], [0.123, 0.456]], {"mac": 9, "dense_mac": 12}),
        # unit spikes, scaled by a threshold: c folds into the next weight
        (REAL, [[0.7, 0.0]], {"ac": 3, "dense_ac": 6}),
        (REAL, [[0.7, -0.7]], {"ac": 6, "dense_ac": 6}),
        # sums of spikes: 2 is graded (2 accumulates), 1 is a unit
        (REAL, [[2.0, 1.0]], {"ac": 3, "graded": 3, "graded_accumulates": 6, "dense_graded": 6}),
        # k = 8 is the largest level; 9 makes the tensor real
        (REAL, [[8.0, 1.0]], {"ac": 3, "graded": 3, "graded_accumulates": 24, "dense_graded": 6}),
        (REAL, [[9.0, 1.0]], {"mac": 6, "dense_mac": 6}),
        # quarters of average pooling: c = 1/4
        (REAL, [[0.5, 0.75]], {"graded": 6, "graded_accumulates": 15, "dense_graded": 6}),
        # binary weights
        (BINARY, [[0.3, 1.0]], {"ac": 6, "ac_by_weight": 6, "dense_ac": 6}),
        (BINARY, [[1.0, -1.0]], {"binary": 6, "dense_binary": 6}),
        (BINARY, [[1.0, 0.0]], {"binary": 3, "dense_binary": 6}),
        (
            BINARY,
            [[2.0, 1.0]],
            {"binary": 3, "graded": 3, "graded_accumulates": 6, "dense_graded": 6},
        ),
        # one weight a channel is {-a, +a} by definition
        (
            torch.tensor([[0.3], [0.7], [-0.1]]),
            [[1.5], [0.123]],
            {"ac": 6, "ac_by_weight": 6, "dense_ac": 6},
        ),
        # nothing flows: levelled, and dense in the class of spikes
        (REAL, [[0.0, 0.0]], {"dense_ac": 6}),
    ],
)
def test_weight_products(weight, x, expected):
    samples = len(x)
    counts = count(linear(weight), torch.tensor(x))
    found = {
        name: round(value * samples)
        for name, value in counts.ops.to_dict().items()
        if value and name != "dense"
    }
    assert found == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([[1.0, 0.0]], [[1.0], [1.0]], {"ac": 1, "dense_ac": 2}),
        ([[1.0, 1.0]], [[0.123], [0.456]], {"ac": 2, "dense_ac": 2}),
        ([[0.123, 0.456]], [[0.123], [0.456]], {"mac": 2, "dense_mac": 2}),
        # 2 x 3 = 6 accumulates, 1 x 3 = 3
        ([[2.0, 1.0]], [[3.0], [3.0]], {"ac": 1, "graded": 1}),
        ([[2.0, 1.0]], [[3.0], [1.0]], {"ac": 1, "graded": 1, "graded_accumulates": 6}),
        ([[2.0, 1.0]], [[0.123], [0.456]], {"ac": 1, "graded": 1, "graded_accumulates": 2}),
    ],
)
def test_products_of_two_activations(left, right, expected):
    counts = count(_Pair(), (torch.tensor(left), torch.tensor(right)))
    found = {name: round(value) for name, value in counts.ops.to_dict().items() if value}
    assert expected.items() <= found.items()


class _Pair(nn.Module):
    def forward(self, left, right):
        return left @ right


def test_the_kind_is_the_same_for_every_call():
    # alone, {0, 2} would be unit spikes with c = 2; beside {0, 1} of the other call it is k = 2
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = linear(REAL)

        def forward(self, x):
            return self.layer(2 * x) + self.layer(x)

    row = count(Twice(), torch.tensor([[1.0, 0.0]])).layers[0]
    assert row.input_kind == "small-integers"
    assert (row.ops.ac, row.ops.graded, row.ops.graded_accumulates) == (3, 3, 6)
    assert [call.graded for call in row.calls] == [3, 0]


def test_a_call_with_real_values_makes_the_whole_layer_real():
    layer = linear(REAL)
    counts = count(layer, [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.123, 0.456]])])
    assert counts.samples == 2
    assert round(counts.ops.mac * 2) == 9
    assert counts.ops.ac == 0


def test_share_of_units_in_a_real_tensor():
    row = count(linear(REAL), torch.tensor([[1.0, 0.123], [1.0, 0.0]])).layers[0]
    assert row.unit_share == 2 / 3


def test_widths_follow_the_values():
    spikes = count(linear(BINARY), torch.tensor([[1.0, 0.0]])).layers[0]
    assert (spikes.weight_bits, spikes.activation_bits) == (1, 1)
    ternary = count(linear(BINARY), torch.tensor([[1.0, -1.0], [0.0, 1.0]])).layers[0]
    assert ternary.activation_bits == 2
    counted = count(linear(REAL), torch.tensor([[3.0, 0.0], [1.0, 2.0]])).layers[0]
    assert (counted.weight_bits, counted.activation_bits) == (32, 2)
    half = count(linear(REAL).bfloat16(), torch.tensor([[0.123, 0.456]]).bfloat16()).layers[0]
    assert (half.weight_bits, half.activation_bits) == (16, 16)


@pytest.mark.parametrize(
    ("values", "step"),
    [([1.0], 1.0), ([2.0], 2.0), ([2.0, 3.0], 1.0), ([0.25, 0.75], 0.25), ([1.0, 8.5], None)],
)
def test_common_step(values, step):
    assert common_step(values, tolerance=1e-6) == step


def test_rounded_sums_of_a_threshold_are_still_levels():
    # 0.7 + 0.7 + 0.7 is not 3 * 0.7 in float32
    third = torch.tensor(0.7) + torch.tensor(0.7) + torch.tensor(0.7)
    facts, _ = look(torch.tensor([[[0.7, third, 0.0]]])).facts_of()
    assert not facts.is_real
    assert len(facts.levels) == 2


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(TracingError, match=r"linear: a tensor of shape .* holds NaN or infinite"):
        count(linear(REAL), torch.tensor([[float("nan"), 1.0]]))
