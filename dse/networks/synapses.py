"""Synapses: layers of k-bit weights for a place; those of real weights stand in `network`."""

from __future__ import annotations

from torch import nn

from dse.architectures.positions import Position
from dse.neurons.quantized import Inputs, QuantizedConv2d, QuantizedLinear


def quantized_synapse(place: Position, bits: int, inputs: Inputs) -> nn.Module:
    """Convolution or fully connected, with k-bit weights; a real bias in the readout alone.

    bits : of the weights      inputs : what it quantises, see `dse.neurons.quantized`
    """
    has_bias = place.role == "readout"
    if place.kind == "conv":
        return QuantizedConv2d(
            place.c_in,
            place.c_out,
            place.kernel,
            place.padding,
            bits=bits,
            inputs=inputs,
            stride=place.stride,
            bias=has_bias,
        )
    return QuantizedLinear(place.c_in, place.c_out, bits=bits, inputs=inputs, bias=has_bias)
