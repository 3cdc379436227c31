"""BNN: weights or activations of one bit, or both.

The knobs, and whose networks they make; where a word is not given it is the default:

    weights  activations  scale  activation_gradient
    binary   sign         xnor   clipped     XNOR-Net (Rastegari et al., ECCV 2016)
    binary   sign         none   clipped     BinaryNet (Hubara et al., NeurIPS 2016)
    binary   sign         xnor   quadratic   Bi-Real (Liu et al., ECCV 2018)
    binary   real         none   -           BinaryConnect (Courbariaux et al., NeurIPS 2015)
    binary   real         xnor   -           Binary-Weight-Networks (Rastegari et al., ECCV 2016)
    binary   step         any    any         spikes {0, 1} by signs: AND and popcount
    real     sign, step   -      any         binary activations alone

Of each paper these are the rules of one layer, not its network, order of layers or schedule. The
scale is a mean that takes no part in the gradient. Bi-Real also has a real-valued shortcut around
each layer: a chain has none, and a residual network always has it, since its blocks join real sums
before the signs. So there is no knob `shortcut` here: sums of signs would be integers, and no
longer bits. In Bi-Real the gradient of a weight is multiplied by the size of its channel, which is
left out, as Adam undoes it. Latent weights are clipped to [-1, 1] everywhere, as BinaryNet and
BinaryConnect do. Which binary network S2NN was compared with is not known to us.

By default the first layer has real weights, as is usual, since it sees real data. The readout is
binary, though many keep it real: else a network of one hidden layer would have no binary weight at
all, and on small images the accuracy is the same. `edge` says otherwise. Max-pools come before
batch-norm; see `Layer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dse.design import Design, Knob
from dse.errors import BuildFailure
from dse.variants.family import COMMON_KNOBS, EDGE_BITS, Variant, knob_values, positions

if TYPE_CHECKING:
    from torch import nn

    from dse.architectures.positions import Position
    from dse.neurons.quantized import Inputs

KNOBS = (
    *COMMON_KNOBS,
    Knob(
        "scale",
        "choice",
        "xnor",
        "size of hidden binary weights: mean |w| per output (xnor), or 1",
        choices=("xnor", "none"),
    ),
    Knob(
        "weights",
        "choice",
        "binary",
        "of hidden layers: two signs of one size, or real",
        choices=("binary", "real"),
    ),
    Knob(
        "activations",
        "choice",
        "sign",
        "-1 or +1 (sign), 0 or 1 (step), or rectified linear (real)",
        choices=("sign", "step", "real"),
    ),
    Knob(
        "activation_gradient",
        "choice",
        "clipped",
        "slope of a sign within [-1, 1]: 1 (clipped), or 2 - 2 |x| (quadratic); a step has half",
        choices=("clipped", "quadratic"),
    ),
    Knob(
        "edge",
        "choice",
        "binary-readout",
        "the first layer and the readout: real but for binary weights of the readout, or "
        "both real, or both with 8-bit weights",
        choices=("binary-readout", "real", "8-bit"),
    ),
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from torch import nn

    from dse.networks.network import Network, real_synapse
    from dse.networks.synapses import quantized_synapse
    from dse.neurons import binary

    knobs = knob_values(design, KNOBS)
    if knobs["weights"] == knobs["activations"] == "real":
        raise BuildFailure(
            "bnn: weights and activations: one of them must be binary; "
            "the network without a bit is the ann"
        )
    is_quadratic = knobs["activation_gradient"] == "quadratic"

    def make_synapse(place: Position) -> nn.Module:
        is_edge = place.role != "hidden"
        if is_edge and knobs["edge"] == "8-bit":
            inputs: Inputs = None  # signs and steps need no quantiser: they are bits as they come
            if place.role == "first":
                inputs = "pixels"
            elif knobs["activations"] == "real":
                inputs = EDGE_BITS
            return quantized_synapse(place, EDGE_BITS, inputs)
        is_real = place.role == "first" or (is_edge and knobs["edge"] == "real")
        if is_real or knobs["weights"] == "real":
            return real_synapse(place)
        # logits always get a scale: no batch-norm after the readout sets their size
        is_scaled = knobs["scale"] == "xnor" or place.role == "readout"
        if place.kind == "conv":
            return binary.BinaryConv2d(
                place.c_in,
                place.c_out,
                place.kernel,
                place.padding,
                stride=place.stride,
                is_scaled=is_scaled,
            )
        return binary.BinaryLinear(place.c_in, place.c_out, is_scaled=is_scaled)

    def make_neuron(place: Position) -> nn.Module:
        if knobs["activations"] == "sign":
            return binary.Sign(binary.QUADRATIC if is_quadratic else binary.CLIPPED)
        if knobs["activations"] == "step":
            half = binary.HALF_QUADRATIC if is_quadratic else binary.HALF_CLIPPED
            return binary.UnitStep(half)
        return nn.ReLU()

    places = positions(design, knobs, input_shape, classes)
    return Network(places, make_synapse=make_synapse, make_neuron=make_neuron, pool_first=True)


VARIANT = Variant("bnn", "binary network", KNOBS, build)
