"""The truth of the benchmark: by pencil, by brute force, and by PyTorch's dense counter."""

import brute_force
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counting import networks
from benchmarks.counting.spiking import product
from benchmarks.counting.truth import UnknownLayerError, is_within, true_counts
from dse.counting.count import count
from energy_models.counts import OpCounts

SMALL = {
    "spiking-vgg": {"width": 4, "size": 16},
    "resnet18": {"width": 4, "size": 16},
    "spiking-transformer": {"width": 16, "tokens": 6, "heads": 2},
    "vgg16": {"width": 4, "size": 32},
    "depthwise": {"width": 4, "size": 16},
    "vision-block": {"width": 12, "tokens": 5, "heads": 3},
    "lstm": {"width": 7, "steps": 5, "features": 3},
    "unet": {"width": 4, "size": 16},
}


def found(counts):
    """The classes that are not zero, as integers over the batch."""
    total = counts.total.to_dict()
    return {k: round(v * counts.samples) for k, v in total.items() if v and k != "dense"}


def linear(weight):
    """A linear layer with the given weight (out, in)."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
    return layer


REAL = [[0.3, -0.5], [0.7, 0.2], [0.1, 0.9]]  # 3 outputs, 2 inputs
HALF = [[0.3, -0.5], [0.7, 0.0], [0.1, 0.0]]  # the second input reaches 1 output
BINARY = [[0.3, -0.3], [0.7, 0.7], [-0.1, 0.1]]


@pytest.mark.parametrize(
    ("weight", "x", "expected"),
    [
        # 2 inputs x 3 outputs
        (REAL, [[0.3, 1.1]], {"mac": 6, "dense_mac": 6}),
        # 1 input x 3 outputs of 2 x 3
        (REAL, [[0.7, 0.0]], {"ac": 3, "dense_ac": 6}),
        # 3 + 1 weights that are not zero
        (HALF, [[0.3, 1.1]], {"mac": 4, "dense_mac": 6}),
        # a 2 and a 1: 3 products each, 3 x 2 accumulates for the 2
        (REAL, [[2.0, 1.0]], {"ac": 3, "graded": 3, "graded_accumulates": 6, "dense_graded": 6}),
        (BINARY, [[1.0, -1.0]], {"binary": 6, "dense_binary": 6}),
        (BINARY, [[0.3, 1.1]], {"ac": 6, "ac_by_weight": 6, "dense_ac": 6}),
        # the second sample makes the tensor real, so the ones of the first are real as well
        (REAL, [[1.0, 1.0], [0.123, 0.0]], {"mac": 9, "dense_mac": 12}),
    ],
)
def test_linear_by_pencil(weight, x, expected):
    assert found(true_counts(linear(weight), torch.tensor(x))) == expected


def test_a_corner_reaches_four_taps():
    layer = nn.Conv2d(1, 2, 3, padding=1)
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1
    # the corner pixel stands under 2 x 2 of 3 x 3 taps, 2 output channels; dense 16 places x 9 x 2
    assert found(true_counts(layer, x)) == {"ac": 8, "dense_ac": 288}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.Conv2d, {"stride": 2, "padding": 1, "dilation": 2}),
        (nn.Conv2d, {"groups": 2, "padding": (2, 0)}),
        (nn.ConvTranspose2d, {"stride": 2, "padding": 1, "output_padding": 1}),
        (nn.ConvTranspose2d, {"groups": 2, "stride": (1, 2)}),
    ],
)
def test_convolutions_by_brute_force(kind, options):
    torch.manual_seed(3)
    layer = kind(4, 6, 3, bias=False, **options)
    with torch.no_grad():
        layer.weight[torch.rand(layer.weight.shape) < 0.4] = 0
        x = torch.randn(2, 4, 7, 8) * (torch.rand(2, 4, 7, 8) < 0.5)
        out_size = tuple(layer(x).shape[2:])
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups, layer.transposed)
    expected = brute_force.convolution(x, layer.weight, out_size, *geometry)
    assert round(true_counts(layer, x).total.mac * 2) == expected


class Mixer(nn.Module):
    """Two products by no layer."""

    def forward(self, x):
        """(B, n, n) to (B, n, n)."""
        return product(self, product(self, x, x), x)


def test_products_of_activations_are_named_and_classified():
    x = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    counts = true_counts(nn.Sequential(Mixer()), x)
    # pairs by inner index: column 0 has 1, row 0 has 2; column 1 has 2, row 1 has 1
    # the product is [[1, 2], [0, 1]]: column 0 has 1 one, column 1 a 2 and a 1
    assert counts.rows == {
        "0/matmul#0": OpCounts(ac=4, dense_ac=8),
        "0/matmul#1": OpCounts(ac=3, graded=1, graded_accumulates=2, dense_graded=8),
    }
    assert counts.modules == ("0",)


def test_a_module_called_twice_keeps_its_rows():
    mixer = Mixer()
    counts = true_counts(nn.Sequential(mixer, mixer), torch.eye(2).unsqueeze(0))
    # the identity by itself, four times: 2 pairs of 2 x 2 x 2 each
    assert counts.rows == {
        "0/matmul#0": OpCounts(ac=4, dense_ac=16),
        "0/matmul#1": OpCounts(ac=4, dense_ac=16),
    }


def test_a_recurrent_layer_starts_from_zero():
    layer = nn.LSTM(2, 3, batch_first=True)
    # 5 steps x 4 gates x 3 x 2 inputs; the first of 5 steps has nothing to recur: 4 x 4 x 3 x 3
    expected = {"mac": 120 + 144, "dense_mac": 120 + 180}
    assert found(true_counts(layer, torch.rand(1, 5, 2) + 0.1)) == expected


def test_attention_by_pencil():
    torch.manual_seed(5)
    block, _ = networks.vision_block(width=4, tokens=3, heads=2)
    ops = true_counts(block, torch.randn(1, 3, 4)).within("attention")
    # 4 projections of 3 tokens x 4 x 4; scores and mixing: 2 heads x 3 x 3 x 2 each
    assert ops == OpCounts(mac=192 + 72, dense_mac=192 + 72)


@pytest.mark.parametrize(
    "layer",
    [nn.GRU(2, 2), nn.Conv2d(2, 2, 3, padding="same"), nn.LSTM(2, 2, bidirectional=True)],
    ids=["GRU", "padding by name", "bidirectional"],
)
def test_what_is_not_known_is_refused(layer):
    x = torch.rand(2, 2, 4, 4) if isinstance(layer, nn.Conv2d) else torch.rand(2, 2, 2)
    with pytest.raises(UnknownLayerError, match="known"):
        true_counts(layer, x)


def test_neurons_that_hold_a_threshold_are_no_layers_where_they_are_named():
    class Neuron(nn.Module):
        def __init__(self):
            super().__init__()
            self.threshold = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return (x >= self.threshold).to(x.dtype)

    model, x = nn.Sequential(Neuron(), nn.Linear(2, 3)), torch.tensor([[2.0, 0.0]])
    with pytest.raises(UnknownLayerError, match="Neuron are not known"):
        true_counts(model, x)
    assert true_counts(model, x, (Neuron,)).total.ac == 3  # one spike to 3 outputs


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"vision-block", "lstm"}))
def test_dense_products_equal_those_of_pytorch(name):
    model, make_batch = networks.NETWORKS[name](**SMALL[name])
    batch = make_batch(2)
    with torch.no_grad(), FlopCounterMode(display=False) as mode:
        model(batch)
    # two of its operations are one multiply-accumulate
    assert true_counts(model, batch).total.dense * len(batch) == mode.get_total_flops() / 2


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"vision-block", "lstm"}))
def test_the_counter_says_the_truth(name):
    model, make_batch = networks.NETWORKS[name](**SMALL[name])
    batch = make_batch(3)
    truth, counts = true_counts(model, batch), count(model, batch)
    assert truth.modules
    for path in truth.modules:
        ours = OpCounts()
        for row in counts.layers:
            if is_within(row.name, path):
                ours = ours + row.ops
        assert ours == truth.within(path), path
    assert {name: row.ops for name, row in truth_rows(counts).items()} == dict(truth.rows)


def truth_rows(counts):
    """The counter's rows that multiply, by name."""
    return {row.name: row for row in counts.layers if row.operator != "neuron"}
