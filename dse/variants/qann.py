"""QANN: a real network whose weights and activations have k bits, with learned steps.

LSQ (Esser, McKinstry, Bablani, Appuswamy and Modha, ICLR 2020); see `dse.neurons.quantized`. Each
layer quantises what it reads, after rectified linear units and pooling, so its declared widths hold
whatever joins before it. The first layer sees the data and the readout gives the logits: both have
8 bits, as in LSQ, or stay real. An image in 0..1 needs no learned step: its pixels are 255ths. The
bias of the readout, and batch-norm, which folds away, are real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dse.design import Design, Knob
from dse.variants.family import (
    COMMON_KNOBS,
    EDGE_BITS,
    REAL_SHORTCUT,
    Variant,
    knob_values,
    positions,
)

if TYPE_CHECKING:
    from torch import nn

    from dse.architectures.positions import Position
    from dse.networks.residual import Shortcut

KNOBS = (
    *COMMON_KNOBS,
    REAL_SHORTCUT,
    Knob("weight_bits", "int", 8, "bits of hidden weights; 1 = signs of one size", 1, 8),
    Knob("activation_bits", "int", 8, "bits of what hidden layers read, from 0 on", 1, 8),
    Knob(
        "edge",
        "choice",
        "8-bit",
        "weights and inputs of the first layer and the readout",
        choices=("8-bit", "real"),
    ),
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from torch import nn

    from dse.networks.network import Network, real_synapse
    from dse.networks.synapses import quantized_synapse

    knobs = knob_values(design, KNOBS)

    def make_synapse(place: Position) -> nn.Module:
        if place.role == "hidden":
            return quantized_synapse(
                place, int(knobs["weight_bits"]), int(knobs["activation_bits"])
            )
        if knobs["edge"] == "real":
            return real_synapse(place)
        return quantized_synapse(place, EDGE_BITS, "pixels" if place.role == "first" else EDGE_BITS)

    places = positions(design, knobs, input_shape, classes)
    return Network(
        places,
        make_synapse=make_synapse,
        make_neuron=lambda place: nn.ReLU(),
        shortcut=cast("Shortcut", knobs["shortcut"]),
    )


VARIANT = Variant("qann", "quantised network (k-bit weights and activations)", KNOBS, build)
