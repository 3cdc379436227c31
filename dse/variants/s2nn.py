"""S2NN: a spiking network of a single step, trained with a surrogate made for it.

After Suetake, Ikegawa, Saiin and Sawada, Neural Networks 159, 2023: a reconstruction from its
abstract and from other people's code. Weights are real; hidden neurons spike or not, and have no
state. The paper's values of alpha and beta are not known to us; assumption: 4 and 1, as in
SpikingJelly, which make the surrogate continuous, with peak 1, at threshold 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dse.design import Design, Knob
from dse.variants.family import (
    COMMON_KNOBS,
    SPIKING_KNOBS,
    THRESHOLD_SCALE,
    WEIGHT_BITS,
    Variant,
    knob_values,
    penalties,
    positions,
)

if TYPE_CHECKING:
    from torch import nn

    from dse.networks.layer import NormKind
    from dse.networks.residual import Shortcut

KNOBS = (
    *COMMON_KNOBS,
    *SPIKING_KNOBS,
    Knob("surrogate_alpha", "float", 4.0, "steepness of the slope below the threshold", 0.1, 32.0),
    Knob("surrogate_beta", "float", 1.0, "size of the slope above the threshold", 0.01, 16.0),
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from dse.networks.network import Network, real_synapse
    from dse.neurons.spiking import SingleStep
    from dse.neurons.surrogates import S2nn

    knobs = knob_values(design, KNOBS)
    threshold = float(knobs["threshold"])
    surrogate = S2nn(float(knobs["surrogate_alpha"]), float(knobs["surrogate_beta"]), threshold)
    return Network(
        positions(design, knobs, input_shape, classes),
        make_synapse=real_synapse,
        make_neuron=lambda place: SingleStep(threshold, surrogate),
        pool_first=knobs["pool"] == "currents",
        norm=cast("NormKind", knobs["norm"]),
        threshold=threshold,
        shortcut=cast("Shortcut", knobs["shortcut"]),
        penalties=penalties(knobs),
    )


VARIANT = Variant(
    "s2nn", "single-step spiking network", KNOBS, build, readings=(THRESHOLD_SCALE, WEIGHT_BITS)
)
