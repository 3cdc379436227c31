"""The witness itself: its classes by pencil, its pairs by loops over every element."""

import brute_force
import pytest
import torch
from definitions import Layer, contraction, convolution, levels, linear, matrix, swapped

REAL = torch.tensor([[0.3, -0.5], [0.7, 0.2], [0.1, 0.9]])  # 3 outputs, 2 inputs
BINARY = torch.tensor([[0.3, -0.3], [0.7, 0.7], [-0.1, 0.1]])  # one a per output channel


def pruned(*shape: int, share: float = 0.5) -> torch.Tensor:
    """Real values, some of them zero."""
    return torch.randn(shape) * (torch.rand(shape) < share)


@pytest.mark.parametrize(
    ("values", "multiples"),
    [
        ([0.0, 0.7], [1]),
        ([-0.7, 0.7, 0.0], [1]),
        ([1.0, 2.0], [1, 2]),
        ([2.0, 3.0], [2, 3]),
        ([1.0, 8.0], [1, 8]),
        ([1.0, 9.0], None),
        # 1/2 and 1/3 are 3/6 and 2/6; with 1/4 and 1/5 they are 30/60 and so on, above 8
        ([1 / 2, 1 / 3], [2, 3]),
        ([1 / 3, 1 / 4, 1 / 5], None),
        ([1.0, 1.01], None),
        # 0.7 three times in 32 bits: not the nearest number to 2.1, and still a level
        ([0.7, float(torch.tensor(0.7) * 2 + torch.tensor(0.7))], [1, 3]),
        ([0.0, 0.0], []),
    ],
)
def test_levels(values, multiples):
    known = levels([torch.tensor(values)])
    assert (known if known is None else list(known.values())) == multiples


@pytest.mark.parametrize(
    ("x", "weight", "expected"),
    [
        # (0.3, 1.0) is real: 2 inputs x 3 outputs
        ([[0.3, 1.0]], REAL, {"mac": 6, "dense_mac": 6}),
        # one spike x 3, of 2 x 3
        ([[0.7, 0.0]], REAL, {"ac": 3, "dense_ac": 6}),
        # 3 units, 3 of level 2
        ([[2.0, 1.0]], REAL, {"ac": 3, "graded": 3, "graded_accumulates": 6, "dense_graded": 6}),
        ([[0.3, 1.0]], BINARY, {"ac": 6, "ac_by_weight": 6, "dense_ac": 6}),
        ([[1.0, -1.0]], BINARY, {"binary": 6, "dense_binary": 6}),
        (
            [[2.0, 1.0]],
            BINARY,
            {"binary": 3, "graded": 3, "graded_accumulates": 6, "dense_graded": 6},
        ),
        ([[0.0, 0.0]], REAL, {"dense_ac": 6}),
    ],
)
def test_classes_with_a_weight(x, weight, expected):
    assert +Layer(linear(torch.tensor(x), weight)).totals() == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1.0, 0.0], [1.0, 1.0], {"ac": 1, "dense_ac": 2}),
        ([1.0, 1.0], [0.123, 0.456], {"ac": 2, "dense_ac": 2}),
        # one value beside zeros is a spike, whatever its height
        ([0.123, 0.456], [0.123, 0.0], {"ac": 1, "mac": 0, "dense_ac": 2}),
        ([0.123, 0.456], [0.123, 0.456], {"mac": 2, "dense_mac": 2}),
        # 2 x 3 accumulates; 1 x 1
        ([2.0, 1.0], [3.0, 1.0], {"ac": 1, "graded": 1, "graded_accumulates": 6}),
        ([2.0, 1.0], [0.123, 0.456], {"ac": 1, "graded": 1, "graded_accumulates": 2}),
    ],
)
def test_classes_of_two_activations(left, right, expected):
    total = Layer(matrix(torch.tensor([left]), torch.tensor(right).unsqueeze(1))).totals()
    assert {name: total[name] for name in expected} == expected


def test_calls_of_one_layer_share_their_levels():
    x = torch.tensor([[1.0, 0.0]])
    total = Layer(linear(2 * x, REAL), linear(x, REAL)).totals()
    assert +total == {"ac": 3, "graded": 3, "graded_accumulates": 6, "dense_graded": 12}


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 1, 1, 1), (3, 2, 2, 2), (1, 1, 2, 4)],
)
def test_pairs_of_convolutions_equal_loops(
    transposed, dimensions, stride, padding, dilation, groups
):
    torch.manual_seed(0)
    x = pruned(2, 4, *(6, 5, 7)[:dimensions])
    weight = pruned(4, 8 // groups if transposed else 4 // groups, *(3, 2, 3)[:dimensions])
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    product = convolution(x, weight, transposed=transposed, **options)
    out_size = tuple(product.pairs(x.double(), weight.double()).shape[2:])
    per_dimension = ((value,) * dimensions for value in (stride, padding, dilation))
    total = Layer(product).totals()
    assert total["mac"] == brute_force.convolution(
        x, weight, out_size, *per_dimension, groups, transposed
    )
    places = x.shape[2:] if transposed else out_size
    # dense: samples x places x weights
    assert total["dense_mac"] == 2 * torch.Size(places).numel() * weight.numel()


def test_pairs_of_matrices_equal_loops():
    torch.manual_seed(0)
    left, right = pruned(4, 5), pruned(5, 3)
    pairs = brute_force.matrix(left, right)
    for product in (
        matrix(left, right, has_weight=True),
        linear(left, right.T),
        contraction("nk,km->nm", left, right, has_weight=True),
        swapped(matrix(right.T, left.T), right.T),
    ):
        assert +Layer(product).totals() == {"mac": pairs, "dense_mac": 4 * 5 * 3}


@pytest.mark.parametrize(
    ("pattern", "shape"), [("bik,kj->bij", (2, 3)), ("bik,jk->bij", (3, 2)), ("bik,k->bi", (2,))]
)
def test_output_channels_of_a_contraction(pattern, shape):
    # 3 channels of 2 inputs, of one magnitude each; "k" alone is one channel
    weight = BINARY.T if shape == (2, 3) else BINARY if shape == (3, 2) else BINARY[0]
    x = torch.tensor([[[0.3, 1.0]]])
    layer = Layer(contraction(pattern, x, weight, has_weight=True))
    assert layer.is_binary
    assert layer.totals()["ac_by_weight"] == weight.numel()


def test_a_part_is_counted_by_the_kinds_of_the_whole():
    layer = Layer(linear(torch.tensor([[2.0, 0.0], [1.0, 0.0]]), REAL))
    first = layer.totals(lambda mask: mask * torch.tensor([[1.0], [0.0]]))
    assert (first["graded"], first["ac"]) == (3, 0)
