"""ANN: real weights and rectified linear units, the network that all others are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dse.design import Design
from dse.variants.family import (
    COMMON_KNOBS,
    REAL_SHORTCUT,
    WEIGHT_BITS,
    Variant,
    knob_values,
    positions,
)

if TYPE_CHECKING:
    from torch import nn

    from dse.networks.residual import Shortcut

KNOBS = (*COMMON_KNOBS, REAL_SHORTCUT)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from torch import nn

    from dse.networks.network import Network, real_synapse

    knobs = knob_values(design, KNOBS)
    places = positions(design, knobs, input_shape, classes)
    return Network(
        places,
        make_synapse=real_synapse,
        make_neuron=lambda place: nn.ReLU(),
        shortcut=cast("Shortcut", knobs["shortcut"]),
    )


VARIANT = Variant("ann", "artificial neural network (ReLU)", KNOBS, build, readings=(WEIGHT_BITS,))
