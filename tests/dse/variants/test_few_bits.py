"""The knobs of the families of few bits reach their layers, and each way has its classes."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from dse import count
from dse.design import Design
from dse.errors import BuildFailure
from dse.neurons.binary import (
    CLIPPED,
    HALF_CLIPPED,
    HALF_QUADRATIC,
    QUADRATIC,
    BinaryConv2d,
    BinaryLinear,
    Sign,
    UnitStep,
)
from dse.neurons.quantized import QuantizedConv2d, QuantizedLinear
from dse.variants import family
from energy_models import LayerCounts, estimate, load_profile

SHAPE = (1, 8, 8)
CLASSES = ("mac", "ac", "ac_by_weight", "graded", "binary")


def build(variant: str, architecture: str = "convnet", **knobs) -> nn.Module:
    torch.manual_seed(0)
    knobs = {"depth": 2, "width": 0.5, **knobs}
    return family.load(variant).build(Design.of(variant, architecture, knobs), SHAPE, 10)


def images(samples: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (samples, *SHAPE), generator=generator).float() / 255


def settled(variant: str, architecture: str = "convnet", **knobs) -> nn.Module:
    """An untrained network whose running statistics are those of the data."""
    model = build(variant, architecture, **knobs)
    with torch.no_grad():
        for _ in range(30):
            model.train()(images())
    return model.eval()


def counted(variant: str, architecture: str = "convnet", **knobs) -> list[LayerCounts]:
    """The layers that multiply."""
    layers = count(settled(variant, architecture, **knobs), images()).layers
    return [row for row in layers if row.operator != "neuron"]


def classes(row: LayerCounts) -> set[str]:
    return {name for name in CLASSES if getattr(row.ops, name)}


def bits(rows: list[LayerCounts]) -> list[tuple[int | None, int | None]]:
    return [(row.weight_bits, row.activation_bits) for row in rows]


@pytest.mark.parametrize(
    ("activations", "gradient", "surrogate"),
    [
        ("sign", "clipped", CLIPPED),
        ("sign", "quadratic", QUADRATIC),
        ("step", "clipped", HALF_CLIPPED),
        ("step", "quadratic", HALF_QUADRATIC),
    ],
)
def test_activations_of_a_bnn_have_their_gradient(activations, gradient, surrogate) -> None:
    model = build("bnn", activations=activations, activation_gradient=gradient)
    kind = Sign if activations == "sign" else UnitStep
    assert all(isinstance(layer.neuron, kind) for layer in model.layers)
    assert {layer.neuron.surrogate for layer in model.layers} == {surrogate}


@pytest.mark.parametrize(
    ("edge", "first", "readout"),
    [
        ("binary-readout", nn.Conv2d, BinaryLinear),
        ("real", nn.Conv2d, nn.Linear),
        ("8-bit", QuantizedConv2d, QuantizedLinear),
    ],
)
def test_the_edge_of_a_bnn_is_as_the_knob_says(edge, first, readout) -> None:
    model = build("bnn", edge=edge)
    assert type(model.layers[0].synapse) is first
    assert type(model.layers[1].synapse) is BinaryConv2d
    assert type(model.readout.synapse) is readout


def test_by_default_a_bnn_is_the_network_that_it_was() -> None:
    expected = {"scale": "xnor", "weights": "binary", "activations": "sign"}
    expected |= {"activation_gradient": "clipped", "edge": "binary-readout"}
    defaults = {knob.name: knob.default for knob in family.load("bnn").knobs}
    assert defaults.items() >= expected.items()


def test_real_weights_are_real_everywhere_and_a_net_without_a_bit_is_refused() -> None:
    model = build("bnn", weights="real", activations="step")
    assert type(model.layers[1].synapse) is nn.Conv2d
    assert type(model.readout.synapse) is nn.Linear
    with pytest.raises(BuildFailure, match="bnn: weights and activations: one of them must be"):
        build("bnn", weights="real", activations="real")


WAYS = list(
    product(("binary", "real"), ("sign", "step", "real"), ("binary-readout", "real", "8-bit"))
)


@pytest.mark.parametrize("way", [way for way in WAYS if way[:2] != ("real", "real")])
@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
@pytest.mark.parametrize("scale", ["xnor", "none"])
def test_every_way_gives_logits_and_gradients(way, architecture, scale) -> None:
    knobs = dict(zip(("weights", "activations", "edge"), way, strict=True))
    model = build("bnn", architecture, scale=scale, **knobs)
    nn.functional.cross_entropy(model(images(4)), torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("weights", "activations", "expected", "widths"),
    [
        ("binary", "sign", {"binary"}, (1, 1)),
        ("binary", "step", {"binary"}, (1, 1)),
        ("binary", "real", {"ac", "ac_by_weight"}, (1, 32)),
        ("real", "sign", {"ac"}, (32, 1)),
        ("real", "step", {"ac"}, (32, 1)),
    ],
)
@pytest.mark.parametrize("scale", ["xnor", "none"])
def test_products_of_a_bnn_are_of_its_class(weights, activations, expected, widths, scale) -> None:
    first, *rest = counted("bnn", weights=weights, activations=activations, scale=scale)
    assert classes(first) == {"mac"}
    assert bits(rest) == [widths, widths]
    for row in rest:
        assert classes(row) == expected, row.name


def test_eight_bit_edges_are_declared() -> None:
    first, hidden, readout = counted("bnn", edge="8-bit")
    assert bits([first, hidden, readout]) == [(8, 8), (1, 1), (8, 1)]
    assert [classes(row) for row in (first, hidden, readout)] == [{"mac"}, {"binary"}, {"ac"}]


@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "expected"),
    [
        (8, 8, {"mac"}),
        (8, 7, {"mac"}),
        (4, 3, {"ac", "graded"}),
        (8, 1, {"ac"}),
        (1, 8, {"ac", "ac_by_weight"}),
        (1, 1, {"binary"}),
    ],
)
def test_products_of_a_qann_are_of_their_bits(
    architecture, weight_bits, activation_bits, expected
) -> None:
    rows = counted(
        "qann", architecture, weight_bits=weight_bits, activation_bits=activation_bits, width=1.0
    )
    assert [row.name for row in rows] == ["layers.0.synapse", "layers.1.synapse", "readout.synapse"]
    assert bits(rows) == [(8, 8), (weight_bits, activation_bits), (8, 8)]
    assert [classes(row) for row in rows] == [{"mac"}, expected, {"mac"}]


def test_real_edges_of_a_qann_are_as_in_the_ann() -> None:
    model = build("qann", edge="real")
    assert type(model.layers[0].synapse) is nn.Conv2d
    assert type(model.readout.synapse) is nn.Linear
    assert bits(counted("qann", edge="real")) == [(32, 32), (8, 8), (32, 32)]


def test_integers_that_a_layer_declares_are_not_taken_for_spoiled_spikes() -> None:
    counts = count(settled("qann", weight_bits=4, activation_bits=3), images())
    assert counts.layers[1].ops.graded > 0
    assert counts.warnings == ()


def test_an_int8_price_is_that_of_the_numbers_in_which_the_network_ran() -> None:
    def told(**knobs) -> str:
        counts = count(settled("qann", **knobs), images())
        return " ".join(estimate(counts, load_profile("cmos45-int8")).assumptions)

    assert "the network ran" not in told()
    assert "32-bit floating point" in told(edge="real")
    footprint = sum(row.weights * (row.weight_bits or 0) for row in counted("qann"))
    assert footprint == 8 * sum(row.weights for row in counted("ann"))
