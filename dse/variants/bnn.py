"""BNN: weights and activations of one bit.

Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, NeurIPS 2016; the scale is that of XNOR-Net
(Rastegari et al., ECCV 2016). The first layer has real weights, as is usual, since it sees real
data. The readout is binary, though many keep it real: else a network of one hidden layer would have
no binary weight at all, and on small images the accuracy is the same. Max-pools come before
batch-norm; see `Layer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dse.design import Design, Knob
from dse.variants.family import COMMON_KNOBS, Variant, knob_values, positions

if TYPE_CHECKING:
    from torch import nn

    from dse.architectures.positions import Position

KNOBS = (
    *COMMON_KNOBS,
    Knob(
        "scale",
        "choice",
        "xnor",
        "size of hidden binary weights: mean |w| per output (xnor), or 1",
        choices=("xnor", "none"),
    ),
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from dse.networks.network import Network, real_synapse
    from dse.neurons.binary import BinaryConv2d, BinaryLinear, Sign

    knobs = knob_values(design, KNOBS)

    def make_synapse(place: Position) -> nn.Module:
        if place.role == "first":
            return real_synapse(place)
        # logits always get a scale: no batch-norm after the readout sets their size
        is_scaled = knobs["scale"] == "xnor" or place.role == "readout"
        if place.kind == "conv":
            return BinaryConv2d(
                place.c_in, place.c_out, place.kernel, place.padding, is_scaled=is_scaled
            )
        return BinaryLinear(place.c_in, place.c_out, is_scaled=is_scaled)

    places = positions(design, knobs, input_shape, classes)
    return Network(
        places, make_synapse=make_synapse, make_neuron=lambda place: Sign(), pool_first=True
    )


VARIANT = Variant("bnn", "binary network", KNOBS, build)
