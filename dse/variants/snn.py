"""SNN: (leaky) integrate-and-fire neurons over several time steps, trained through time.

Direct coding: the data enter the first layer as real values, the same at every step. Logits are the
mean over the steps of what the readout gets (Fang et al., ICCV 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dse.design import Design, Knob
from dse.variants.family import COMMON_KNOBS, Variant, knob_values, positions

if TYPE_CHECKING:
    from torch import nn

    from dse.neurons.spiking import Reset

KNOBS = (
    *COMMON_KNOBS,
    Knob("time_steps", "int", 4, "steps T for which each sample is shown", 1, 64),
    Knob("threshold", "float", 1.0, "potential from which on a neuron spikes", 0.01, 16.0),
    Knob("leak", "float", 0.9, "share of the potential kept each step; 1.0 is IF", 0.0, 1.0),
    Knob(
        "reset",
        "choice",
        "soft",
        "after a spike: subtract the threshold (soft), or go to 0 (hard)",
        choices=("soft", "hard"),
    ),
    Knob(
        "surrogate",
        "choice",
        "arctan",
        "derivative of a spike in training",
        choices=("arctan", "sigmoid"),
    ),
    Knob("surrogate_slope", "float", 2.0, "steepness alpha of the surrogate", 0.1, 32.0),
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from dse.networks.network import Network, real_synapse
    from dse.neurons.spiking import IntegrateFire
    from dse.neurons.surrogates import Arctan, Sigmoid

    knobs = knob_values(design, KNOBS)
    shape = Arctan if knobs["surrogate"] == "arctan" else Sigmoid
    surrogate = shape(float(knobs["surrogate_slope"]))
    reset = cast("Reset", knobs["reset"])
    threshold, leak = float(knobs["threshold"]), float(knobs["leak"])
    places = positions(design, knobs, input_shape, classes)
    return Network(
        places,
        make_synapse=real_synapse,
        make_neuron=lambda place: IntegrateFire(threshold, leak, reset, surrogate),
        time_steps=int(knobs["time_steps"]),
    )


VARIANT = Variant("snn", "multi-step spiking network", KNOBS, build)
