"""ANN: real weights and rectified linear units, the network that all others are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dse.design import Design
from dse.variants.family import COMMON_KNOBS, Variant, knob_values, positions

if TYPE_CHECKING:
    from torch import nn

KNOBS = COMMON_KNOBS


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from torch import nn

    from dse.networks.network import Network, real_synapse

    knobs = knob_values(design, KNOBS)
    places = positions(design, knobs, input_shape, classes)
    return Network(places, make_synapse=real_synapse, make_neuron=lambda place: nn.ReLU())


VARIANT = Variant("ann", "artificial neural network (ReLU)", KNOBS, build)
