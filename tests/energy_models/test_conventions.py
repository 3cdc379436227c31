"""Conventions with a pencil: hand-made documents, and what each formula makes of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from energy_models import (
    CountsError,
    Geometry,
    LayerCounts,
    ModelCounts,
    ModuleCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    Uncounted,
)
from energy_models.conventions import Convention, compare

# a 3x3 convolution of a 4x4 image, 2 to 5 channels, padding 1: per image
# dense 16 x 2 x 5 x 9 = 1440; inside the borders (2 + 3 + 3 + 2)^2 = 100 taps, 100 x 2 x 5 = 1000
CONV = Geometry(2, 5, (3, 3), (1, 1), (1, 1), (1, 1), 1, (4, 4), (4, 4))
LINEAR = Geometry(c_in=10, c_out=3)


def spikes(elements: float, nonzero: float, *levels: float, **other) -> OperandCounts:
    kind = "unit" if len(levels) <= 1 else "small-integers"
    return OperandCounts(kind, elements, nonzero, levels, largest=max(levels, default=0), **other)


def real(elements: float, nonzero: float, **other) -> OperandCounts:
    return OperandCounts("real", elements, nonzero, smallest=0.1, largest=2.5, **other)


def conv(operand: OperandCounts, **changes) -> LayerCounts:
    """The convolution over two steps: dense 2880, bias, 90 weights."""
    row = LayerCounts(
        name="conv",
        operator="convolution",
        ops=OpCounts(ac=300, dense_ac=2880),
        geometry=CONV,
        has_bias=True,
        input_kind=operand.kind,
        weight_kind="real",
        weights=90,
        nonzero_weights=90,
        outputs=2 * 5 * 16,
        operands=(operand,),
        calls=(StepCounts(ac=100), StepCounts(ac=200)),
    )
    return replace(row, **changes)


def linear(operand: OperandCounts, **changes) -> LayerCounts:
    """10 to 3 features in one call: dense 30."""
    row = LayerCounts(
        name="head",
        operator="linear",
        ops=OpCounts(mac=24, dense_mac=30),
        geometry=LINEAR,
        weight_kind="real",
        weights=30,
        nonzero_weights=30,
        outputs=3,
        operands=(operand,),
        calls=(StepCounts(mac=24),),
    )
    return replace(row, **changes)


def rows(*layers: LayerCounts, samples: int = 2, **document) -> dict[str, Convention]:
    counts = ModelCounts(samples=samples, layers=layers, **document)
    return {row.name: row for row in compare(counts)}


def test_the_exact_row_comes_first():
    layer = conv(spikes(64, 16, 1.0), ops=OpCounts(ac=300, graded=40, mac=2, dense_graded=2880))
    first = compare(ModelCounts(samples=2, layers=(layer,)))[0]
    assert (first.name, first.ac, first.mac, first.total, first.dense) == (
        "exact",
        300,
        2,
        342,
        2880,
    )
    assert first.ac_off_percent == first.total_off_percent == 0
    assert first.notes == ("40 graded products are in the total, neither AC nor MAC",)


def test_rate_times_dense():
    # 16 of 64 inputs spike: 2880 x 16 / 64 = 720 AC; the real layer 30 MAC
    row = rows(conv(spikes(64, 16, 0.5)), linear(real(10, 8)))["rate x dense"]
    assert (row.ac, row.mac, row.total) == (720, 30, 750)
    # 300 and 24 are exact: 720 / 300 = 2.4, 30 / 24 = 1.25, 750 / 324 = 2.3148
    assert row.ac_off_percent == pytest.approx(140)
    assert row.mac_off_percent == pytest.approx(25)
    assert row.total_off_percent == pytest.approx(100 * (750 / 324 - 1))


def test_rate_times_dense_of_sums_of_spikes_is_dense():
    row = rows(conv(spikes(64, 16, 1.0, 2.0)))["rate x dense"]
    assert (row.ac, row.mac) == (0, 2880)
    assert row.mac_off_percent is None  # no MAC was really there


def test_rate_of_two_spiking_factors_is_that_of_the_first():
    product = linear(
        spikes(10, 2, 1.0),
        name="block/matmul#0",
        operator="matmul",
        operands=(spikes(10, 2, 1.0), spikes(30, 15, 1.0)),
    )
    row = rows(product)["rate x dense"]
    assert row.ac == 30 * 2 / 10
    assert any("block/matmul#0" in note for note in row.notes)


def test_syops_of_layers():
    # products and one bias a value: 2880 + 160 = 3040; mean of 16 spikes of 0.5 in 64: 1/8
    row = rows(conv(spikes(64, 16, 0.5)))["syops"]
    assert (row.ac, row.mac, row.dense) == (3040 / 8, 0, 3040)
    assert any("layers alone" in note for note in row.notes)
    # a spike above 1 is no spike to it, nor is a negative one
    # and three values are real
    for held in (
        spikes(64, 16, 1.5),
        spikes(64, 16, 1.0, is_signed=True),
        spikes(64, 16, 0.25, 0.5, magnitude=6.0),
    ):
        assert rows(conv(held))["syops"].mac == 3040


def test_syops_adds_the_bias_of_a_linear_layer_once_a_call():
    # 30 products; 3 biases a call, one call in each of 4 batches over 8 samples: 3 x 4 / 8
    row = rows(linear(real(10, 8), has_bias=True), samples=8, batches=4)["syops"]
    assert (row.mac, row.dense) == (31.5, 31.5)


def test_syops_of_other_modules():
    nn = "torch.nn.modules."
    modules = (
        # two a value where it is affine, else one
        ModuleCounts("a", (f"{nn}batchnorm.BatchNorm2d",), 100, 100, has_weight=True),
        ModuleCounts("b", (f"{nn}batchnorm.BatchNorm1d",), 10, 10),
        # the mean of the spikes that enter: 40 x 1/4
        ModuleCounts("c", (f"{nn}pooling.MaxPool2d",), 40, 10, inputs=(spikes(40, 10, 1.0),)),
        ModuleCounts("d", (f"{nn}pooling.AvgPool2d",), 8, 2),
        # one a value that leaves
        ModuleCounts("e", (f"{nn}activation.ReLU",), 7, 7),
        # one accumulate a neuron and step
        ModuleCounts("f", ("spikingjelly.activation_based.neuron.lif.LIFNode",), 60, 60),
        # not known to it
        ModuleCounts("g", ("mine.Neuron",), 60, 60),
    )
    row = rows(modules=modules)["syops"]
    assert row.mac == 200 + 10 + 8 + 7
    assert row.ac == 10 + 60
    assert row.dense == 200 + 10 + 40 + 8 + 7 + 60
    assert "pooled values are taken as real: d" in row.notes


def test_neurobench():
    # 300 effective; the border is left out of dense: 1000 x 2 steps
    row = rows(conv(spikes(64, 16, 1.0, is_signed=True)))["NeuroBench"]
    assert (row.ac, row.mac, row.dense) == (300, 0, 2000)
    # spikes of another height are real numbers to it
    row = rows(conv(spikes(64, 16, 0.5)))["NeuroBench"]
    assert (row.ac, row.mac, row.dense) == (0, 300, 2000)
    assert row.notes == ("decided by the values of several calls together: conv",)
    # so are the batches of a layer that is called once: one of them may hold spikes alone
    assert not rows(linear(real(10, 8)))["NeuroBench"].notes
    assert rows(linear(real(10, 8)), batches=2)["NeuroBench"].notes


def test_neurobench_decides_each_call():
    held = conv(
        spikes(64, 16, 1.0, 2.0),
        calls=(StepCounts(ac=100), StepCounts(ac=50, graded=150)),
        call_operands=((spikes(32, 6, 1.0),), (spikes(32, 10, 1.0, 2.0),)),
    )
    row = rows(held)["NeuroBench"]
    assert (row.ac, row.mac) == (100, 200)
    assert row.notes == ()


@pytest.mark.parametrize(
    ("bases", "text"),
    [
        (("rnn.LSTM", "rnn.RNNBase"), "crashes, prints 0: lstm"),
        (("rnn.LSTMCell", "rnn.RNNCellBase"), "counted by a formula that is not repeated: lstm"),
    ],
)
def test_neurobench_of_recurrent_modules(bases, text):
    classes = tuple(f"torch.nn.modules.{base}" for base in bases)
    row = rows(linear(real(10, 8)), modules=(ModuleCounts("lstm", classes, 4, 4),))["NeuroBench"]
    assert (row.ac, row.mac, row.total) == (None, None, None)
    assert text in row.notes


def test_spikingjelly():
    # spikes of 0 and 1 count what they reach; a real input its dense products, and 160 elements
    # of a batch-norm one MAC each
    row = rows(conv(spikes(64, 16, 1.0), folded=("bn",)), linear(real(10, 8)))["SpikingJelly"]
    assert (row.ac, row.mac) == (300, 160 + 30)
    assert "batch-norm is taken as affine" in row.notes
    # a height of 0.5, a sign, or a sum makes the layer dense
    for held in (
        spikes(64, 16, 0.5),
        spikes(64, 16, 1.0, is_signed=True),
        spikes(64, 16, 1.0, 2.0),
    ):
        row = rows(conv(held))["SpikingJelly"]
        assert (row.ac, row.mac) == (0, 2880)


def test_spikingjelly_counts_zero_weights():
    pruned = {"weights": 90, "nonzero_weights": 45}
    row = rows(conv(spikes(64, 16, 1.0), **pruned))["SpikingJelly"]
    assert (row.ac, row.total) == (None, None)
    assert "how many zero weights its spikes reach is not known: conv" in row.notes
    row = rows(conv(spikes(64, 16, 1.0, reached=610), **pruned))["SpikingJelly"]
    assert row.ac == 610
    # a linear layer tells it by itself: 4 spikes x 3 outputs
    row = rows(linear(spikes(10, 4, 1.0), weights=30, nonzero_weights=3))["SpikingJelly"]
    assert row.ac == 12


def test_spikingjelly_of_two_activations():
    def product(left: OperandCounts, right: OperandCounts) -> float | None:
        layer = linear(
            left,
            name="block/matmul#0",
            operator="matmul",
            ops=OpCounts(ac=7, dense_ac=30),
            weights=0,
            nonzero_weights=0,
            operands=(left, right),
        )
        row = rows(layer)["SpikingJelly"]
        return row.ac or -(row.mac or 0)

    one, other = spikes(10, 4, 1.0), spikes(30, 11, 1.0)
    assert product(one, other) == 7  # pairs
    assert product(one, real(30, 20)) == 4 * 3  # each spike meets 3 columns
    assert product(real(10, 9), other) == 11 * 1  # each meets 1 row
    assert product(real(10, 9), real(30, 20)) == -30


def test_keras_spiking():
    neuron = LayerCounts("lif", "neuron", neurons=80, updates=NeuronUpdates(compare=160))
    counted = conv(spikes(64, 16, 0.5), steps=(StepCounts(ac=100), StepCounts(ac=200)))
    row = rows(counted, neuron, time_steps=2)["keras-spiking"]
    # connections 1440 at 2 steps, mean of abs(x) 16 x 0.5 / 64 = 1/8: 2880 / 8
    # and it has no classes
    assert (row.ac, row.mac, row.total) == (None, None, 360)
    assert row.dense == 1440
    assert row.neuron_updates == 80 * 2
    # a first layer that is evaluated once is charged at each of its 4 steps: 30 x 4 x 5 / 10
    once = linear(real(10, 8, magnitude=5), reused_steps=4)
    row = rows(once, time_steps=4)["keras-spiking"]
    assert row.total == 60
    assert row.neuron_updates is None
    row = rows(linear(real(10, 8)))["keras-spiking"]
    assert row.total is None
    assert "the mean of its input is not known: head" in row.notes


@pytest.mark.parametrize("name", ["syops", "NeuroBench", "keras-spiking"])
def test_what_is_no_module_of_a_known_class_is_named(name):
    functional = linear(real(10, 8, magnitude=1), name="block/linear#0")
    row = rows(functional)[name]
    assert not row.total
    assert any(note.startswith("not seen") and "block/linear#0" in note for note in row.notes)


def test_a_derived_class():
    classes = ("mine.Conv2d", "torch.nn.modules.conv.Conv2d", "torch.nn.modules.conv._ConvNd")
    module = ModuleCounts("conv", classes, 64, 160)
    found = rows(conv(spikes(64, 16, 1.0)), modules=(module,))
    assert found["syops"].dense == 0
    assert found["NeuroBench"].dense == 2000


def test_a_transposed_convolution_is_told_by_its_sizes():
    # 3x3 to 7x7 with stride 2: a convolution would give 1x1; syops counts output positions
    geometry = Geometry(2, 5, (3, 3), (2, 2), (0, 0), (1, 1), 1, (3, 3), (7, 7))
    layer = conv(spikes(36, 9, 1.0), geometry=geometry, outputs=5 * 49, has_bias=False)
    found = rows(layer)
    assert found["NeuroBench"].dense == 0
    assert found["syops"].dense == 5 * 49 * 2 * 9


def test_operators_that_nobody_counted_are_named_in_every_row():
    for row in rows(linear(real(10, 8)), uncounted={"aten.strange": Uncounted(calls=1)}).values():
        assert "not counted here, whatever it would say: aten.strange" in row.notes


def test_a_document_without_operands_is_refused():
    with pytest.raises(CountsError, match="layer 'head' does not say what its operands held"):
        rows(linear(real(10, 8), operands=()))


def test_rows_and_documents_are_plain_json():
    held = conv(
        spikes(64, 16, 1.0, magnitude=16.0, reached=300.0),
        calls=(StepCounts(ac=300),),
        call_operands=((spikes(64, 16, 1.0),),),
    )
    module = ModuleCounts("c", ("torch.nn.X",), 40, 10, inputs=(spikes(40, 10, 1.0),))
    counts = ModelCounts(samples=2, layers=(held,), modules=(module,))
    assert ModelCounts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    [first, *_] = compare(counts)
    assert json.loads(json.dumps(first.to_dict()))["notes"] == []
