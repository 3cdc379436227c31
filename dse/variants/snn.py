"""SNN: (leaky) integrate-and-fire neurons over several time steps, trained through time.

Direct coding by default: the data enter the first layer as real values, the same at every step, and
logits are the mean over the steps of what the readout gets. With `leak: 0.5, input_scale: 1 - leak,
learned: leak, reset: hard` the neurons are those of Fang et al., ICCV 2021 (PLIF).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from dse.design import Design, Knob, KnobValue
from dse.errors import BuildFailure
from dse.variants.family import (
    COMMON_KNOBS,
    POTENTIAL_BITS,
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

    from dse.networks.encoding import Coding
    from dse.networks.layer import NormKind
    from dse.networks.network import Output
    from dse.networks.residual import Shortcut
    from dse.neurons.spiking import Reset
    from dse.neurons.surrogates import Surrogate

SURROGATES = ("arctan", "sigmoid", "s2nn", "rectangular", "triangular", "piecewise")

TIME_STEPS = Knob("time_steps", "int", 4, "steps T for which each sample is shown", 1, 64)
INITIAL_POTENTIAL = Knob(
    "initial_potential", "float", 0.0, "of every neuron, at the first step", -16.0, 16.0
)

KNOBS = (
    *COMMON_KNOBS,
    TIME_STEPS,
    *SPIKING_KNOBS,
    Knob("leak", "float", 0.9, "share of the potential kept each step; 1.0 is IF", 0.0, 1.0),
    Knob(
        "reset",
        "choice",
        "soft",
        "after a spike: subtract the threshold (soft), or go to 0 (hard)",
        choices=("soft", "hard"),
    ),
    Knob(
        "reset_gradient",
        "choice",
        "detached",
        "the spike in the reset: a constant in the backward pass (detached), or not (full)",
        choices=("detached", "full"),
    ),
    Knob(
        "learned",
        "choice",
        "none",
        "what each layer of neurons learns beside the weights",
        choices=("none", "leak", "threshold", "both"),
    ),
    Knob(
        "input_scale",
        "choice",
        "1",
        "of currents: 1, or 1 - leak, so that a lasting current becomes the potential",
        choices=("1", "1 - leak"),
    ),
    INITIAL_POTENTIAL,
    Knob("surrogate", "choice", "arctan", "derivative of a spike in training", choices=SURROGATES),
    Knob("surrogate_slope", "float", 2.0, "steepness alpha of the surrogate", 0.1, 32.0),
    Knob(
        "encoding",
        "choice",
        "direct",
        "what enters: real values, random spikes at their rate, or a spike from 1/2 on",
        choices=("direct", "poisson", "binary"),
    ),
    Knob(
        "output",
        "choice",
        "mean-potential",
        "logits: mean of the readout's potentials, or of its spikes; every-step: potentials, with "
        "a loss at every step, so that fewer steps can be read out later",
        choices=("mean-potential", "mean-spikes", "every-step"),
    ),
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network of a design; see `Variant.build`."""
    from dse.networks.network import Network, real_synapse
    from dse.neurons.spiking import IntegrateFire

    knobs = knob_values(design, KNOBS)
    threshold = float(knobs["threshold"])
    if knobs["surrogate"] == "s2nn" and knobs["learned"] in ("threshold", "both"):
        raise BuildFailure(
            f"snn: learned {knobs['learned']} with surrogate s2nn: its derivative is built around "
            "the threshold at the start, and would not follow: must be learned none or leak, or "
            "another surrogate"
        )
    surrogate = _surrogate(knobs)
    time_steps = int(knobs["time_steps"])
    *frames, channels, height, width = input_shape
    if frames and time_steps > frames[0]:
        raise BuildFailure(
            f"snn: time_steps {time_steps} is above the {frames[0]} steps of the data: must be at "
            f"most {frames[0]}"
        )

    def make_neuron(place: object) -> nn.Module:
        return IntegrateFire(
            threshold,
            float(knobs["leak"]),
            cast("Reset", knobs["reset"]),
            surrogate,
            is_reset_detached=knobs["reset_gradient"] == "detached",
            learns_leak=knobs["learned"] in ("leak", "both"),
            learns_threshold=knobs["learned"] in ("threshold", "both"),
            scales_input=knobs["input_scale"] == "1 - leak",
            initial_potential=float(knobs["initial_potential"]),
        )

    return Network(
        positions(design, knobs, (channels, height, width), classes),
        make_synapse=real_synapse,
        make_neuron=make_neuron,
        time_steps=time_steps,
        pool_first=knobs["pool"] == "currents",
        norm=cast("NormKind", knobs["norm"]),
        threshold=threshold,
        shortcut=cast("Shortcut", knobs["shortcut"]),
        coding=cast("Coding", knobs["encoding"]),
        output=cast("Output", knobs["output"]),
        penalties=penalties(knobs),
    )


def _surrogate(knobs: Mapping[str, KnobValue]) -> Surrogate:
    """Steepness alpha: that of arctan and sigmoid; of the others so that their peak is alpha / 2,
    as an arctangent's, and of a rectangle and a triangle that their area is 1, as a spike's.
    """
    from dse.neurons import surrogates

    alpha = float(knobs["surrogate_slope"])
    made: dict[str, Surrogate] = {
        "arctan": surrogates.Arctan(alpha),
        "sigmoid": surrogates.Sigmoid(alpha),
        # continuous at the threshold
        "s2nn": surrogates.S2nn(
            2 * alpha, alpha / 2 * float(knobs["threshold"]), float(knobs["threshold"])
        ),
        "rectangular": surrogates.Rectangular(2 / alpha, alpha / 2),
        "triangular": surrogates.Triangular(2 / alpha, alpha / 2),
        "piecewise": surrogates.Piecewise(2 / alpha, alpha / 2),
    }
    return made[str(knobs["surrogate"])]


# T' of a reading goes up to the trained T: no step depends on a later one
READINGS = (TIME_STEPS, THRESHOLD_SCALE, INITIAL_POTENTIAL, WEIGHT_BITS, POTENTIAL_BITS)

VARIANT = Variant(
    "snn", "multi-step spiking network", KNOBS, build, takes_events=True, readings=READINGS
)
