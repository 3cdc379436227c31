"""Converted: a network trained with real-valued activations, and read out as a spiking one.

One training gives every method, number of time steps, threshold rule, initial potential and coding:
they are turned afterwards, on the weights of the source network. What is measured, the training's
own point included, is the spiking network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from dse.design import Design, Knob, KnobValue
from dse.variants.family import (
    COMMON_KNOBS,
    THRESHOLD_SCALE,
    Lessons,
    Variant,
    knob_values,
    positions,
)

if TYPE_CHECKING:
    from torch import nn

    from dse.conversion.methods import Method
    from dse.networks.source import Pool

AS_THE_METHOD = "method"

TIME_STEPS = Knob(
    "time_steps", "int", 32, "steps T for which each sample is shown; readings go up to it", 1, 1024
)
KNOBS = (
    *COMMON_KNOBS,
    TIME_STEPS,
    Knob(
        "activation",
        "choice",
        "qcfs",
        "of the source: ReLU; clipped at a bound that is trained; or quantised as well (qcfs)",
        choices=("relu", "clipped", "qcfs"),
    ),
    Knob("activation_bound", "float", 2.0, "of clipped and qcfs, at the start", 0.05, 64.0),
    Knob("activation_levels", "int", 4, "of qcfs: L, which T = L steps tell apart", 1, 64),
    Knob(
        "pooling",
        "choice",
        "average",
        "where the topology pools; a largest rate costs a counter a neuron",
        choices=("average", "max"),
    ),
)
METHOD = Knob(
    "method",
    "choice",
    "icsnn-2",
    "how the source is converted; see `dse convert --help`",
    choices=(
        "normalise-max",
        "normalise-percentile",
        "spike-norm",
        "soft-reset",
        "threshold-shift",
        "opi",
        "qcfs",
        "rate-norm",
        "dual-phase",
        "hybrid",
        "distribution-aware",
        "light-calibration",
        "icsnn-1",
        "icsnn-2",
        "icsnn",
    ),
)
THRESHOLD_RULE = Knob(
    "threshold_rule",
    "choice",
    AS_THE_METHOD,
    "what tells thresholds: as the method says, or another rule",
    choices=(
        AS_THE_METHOD,
        "max",
        "percentile",
        "percentile-by-channel",
        "bound",
        "bound-or-percentile",
        "spike-norm",
        "mmse",
        "rate-norm",
        "model-based",
    ),
)
PERCENTILE = Knob(
    "percentile", "float", 99.9, "of the activations, where the threshold is one", 50.0, 100.0
)
INITIAL_RULE = Knob(
    "initial_rule",
    "choice",
    AS_THE_METHOD,
    "potential before the first step: as the method says, or by another rule",
    choices=(
        AS_THE_METHOD,
        "zero",
        "half",
        "training-set",
        "training-set-from-zero",
        "training-set-by-channel",
        "training-set-unguarded",
        "mean-residual",
    ),
)
CODING = Knob(
    "coding",
    "choice",
    AS_THE_METHOD,
    "what enters: as the method says; values; spikes at their rate, also with what they lose given "
    "back at the first or the last step; or random spikes",
    choices=(
        AS_THE_METHOD,
        "direct",
        "rate",
        "rate-compensated",
        "rate-compensated-late",
        "poisson",
    ),
)
READINGS = (
    TIME_STEPS,
    METHOD,
    THRESHOLD_RULE,
    PERCENTILE,
    THRESHOLD_SCALE,
    INITIAL_RULE,
    CODING,
)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The source network of a design, which is what is trained; see `Variant.build`."""
    from torch import nn

    from dse.networks.source import SourceNetwork
    from dse.neurons.clipped import Clipped, Qcfs

    knobs = knob_values(design, KNOBS)
    bound = float(knobs["activation_bound"])
    made: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "clipped": lambda: Clipped(bound),
        "qcfs": lambda: Qcfs(int(knobs["activation_levels"]), bound),
    }
    return SourceNetwork(
        positions(design, knobs, input_shape, classes),
        made[str(knobs["activation"])],
        pool=cast("Pool", knobs["pooling"]),
    )


def finish(
    model: nn.Module, knobs: Mapping[str, KnobValue], lessons: Lessons
) -> tuple[nn.Module, tuple[str, ...]]:
    """The spiking network of a trained source; see `Variant.finish`."""
    from dse.conversion import convert as conversion
    from dse.conversion import methods
    from dse.conversion.lessons import CALIBRATION_SAMPLES, calibration_images

    method = _method(knobs)
    if lessons.is_rough:
        rough = methods.load("normalise-percentile")
        method = methods.adjusted(rough, coding=method.coding, threshold="unit")
    images = calibration_images(lessons.part, CALIBRATION_SAMPLES, lessons.seed)
    teaching = conversion.Lessons(
        lessons.part.images,
        lessons.part.labels,
        lessons.settings.batch_size,
        lessons.settings.learning_rate,
        lessons.seed,
        lessons.device,
    )
    converted = conversion.convert(
        model.to(lessons.device),
        images.to(lessons.device),
        method,
        int(knobs["time_steps"]),
        lessons=teaching,
    )
    return converted.network, converted.notes


def depends_on_time_steps(knobs: Mapping[str, KnobValue]) -> bool:
    """Whether fewer steps want a conversion of their own."""
    return _method(knobs).depends_on_time_steps


def _method(knobs: Mapping[str, KnobValue]) -> Method:
    """The method of a design, with what its knobs say otherwise."""
    from dse.conversion import methods

    method = methods.load(str(knobs["method"]))
    said = {
        name: None if knobs[knob] == AS_THE_METHOD else knobs[knob]
        for name, knob in (
            ("threshold", "threshold_rule"),
            ("initial", "initial_rule"),
            ("coding", "coding"),
        )
    }
    scale = method.threshold_scale * float(knobs["threshold_scale"])
    return methods.adjusted(
        method, **said, percentile=float(knobs["percentile"]), threshold_scale=scale
    )


VARIANT = Variant(
    "converted",
    "ANN converted to a spiking network",
    KNOBS,
    build,
    readings=READINGS,
    finish=finish,
    depends_on_time_steps=depends_on_time_steps,
)
