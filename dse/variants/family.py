"""Variant: what a file of this room says about its network family, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dse import catalogue
from dse.architectures import positions as architectures
from dse.design import Design, Knob, KnobValue
from dse.errors import BuildFailure
from energy_models import load_profile
from energy_models.errors import nearest

if TYPE_CHECKING:
    from torch import nn

    from dse.data.splits import Part
    from dse.networks.network import Penalties
    from dse.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a trained network is finished with.

    part : the training data, in an order that does not change
    settings : how it was trained      seed : of the training
    is_rough : as fast as can be, where only kinds of operations matter
    """

    part: Part
    settings: TrainingSettings
    seed: int
    device: str
    is_rough: bool = False


Finish = Callable[
    ["nn.Module", Mapping[str, KnobValue], Lessons], tuple["nn.Module", tuple[str, ...]]
]


@dataclass(frozen=True, slots=True)
class Variant:
    """A network family.

    build : (design, input shape of one sample (C, H, W), number of classes) -> module that maps
        (B, C, H, W) to logits (B, classes). Its attribute `time_steps` is T. Imports torch inside.
    takes_events : whether samples may be frames of events (T, C, H, W), a frame each time step
    readings : the knobs that may be turned after the training; what each does stands in
        `dse.networks.reading`. One that is also a knob of the training takes its value there, the
        others their default, as long as nobody turns them
    finish : (trained network, all knobs and readings, lessons) -> the network that is measured, and
        what must stand beside its figures; the trained one stays as it is. None: what was trained
        is what is measured, and readings turn it
    depends_on_time_steps : with `finish`: whether fewer steps are another network, and not the
        start of this one
    """

    name: str
    title: str
    knobs: tuple[Knob, ...]
    build: Callable[[Design, tuple[int, ...], int], nn.Module]
    takes_events: bool = False
    readings: tuple[Knob, ...] = ()
    finish: Finish | None = None
    depends_on_time_steps: Callable[[Mapping[str, KnobValue]], bool] = lambda knobs: False

    def knob(self, name: str) -> Knob | None:
        """The knob of that name, or None."""
        return next((knob for knob in self.knobs if knob.name == name), None)


WIDTH = Knob("width", "float", 1.0, "multiplier of all hidden channels and features", 0.05, 16.0)
DEPTH = Knob(
    "depth",
    "int",
    0,
    "hidden layers (mlp, convnet) or multiplier of the convolutions in each stage (the others); "
    "0: the architecture's own",
    0,
    8,
)
LEARNING_RATE = Knob("learning_rate", "float", 0.01, "peak of the schedule", 1e-6, 1.0)
COMMON_KNOBS = (WIDTH, DEPTH, LEARNING_RATE)
# of networks whose units are not spikes; without residual blocks nothing is joined
REAL_SHORTCUT = Knob(
    "shortcut",
    "choice",
    "membrane",
    "residual blocks: sums before the units (membrane) or after them (add)",
    choices=("membrane", "add"),
)
SPIKING_KNOBS = (
    Knob("threshold", "float", 1.0, "potential from which on a neuron spikes", 0.01, 16.0),
    Knob(
        "norm",
        "choice",
        "batch",
        "batch-norm over samples and steps; threshold: times the threshold",
        choices=("batch", "threshold"),
    ),
    Knob(
        "pool",
        "choice",
        "spikes",
        "max-pool of spikes, or of the currents before norm and neurons: fewer neurons, and a "
        "gradient for the largest current instead of the first spike of a window",
        choices=("spikes", "currents"),
    ),
    Knob(
        "shortcut",
        "choice",
        "membrane",
        "residual blocks: potentials are summed (membrane), spikes are multiplied (and), both "
        "binary; or spikes are summed (add), which makes graded values",
        choices=("membrane", "and", "add"),
    ),
    Knob("rate_penalty", "float", 0.0, "loss per spike by neuron and step, mean", 0.0, 1e3),
    Knob(
        "energy_penalty",
        "float",
        0.0,
        "loss per nJ of accumulates that spikes cause, at the 45 nm fp32 addition",
        0.0,
        1e3,
    ),
)
THRESHOLD_SCALE = Knob(
    "threshold_scale", "float", 1.0, "times the threshold of every trained neuron", 0.05, 20.0
)
WEIGHT_BITS = Knob(
    "weight_bits",
    "int",
    32,
    "trained weights rounded to so many bits, symmetric and uniform by output channel; 32: as they "
    "are",
    2,
    32,
)
POTENTIAL_BITS = Knob(
    "potential_bits",
    "int",
    32,
    "potentials kept between steps rounded to so many bits, from -2 to 2 thresholds; 32: as they "
    "are",
    2,
    32,
)
EDGE_BITS = 8  # of the first layer and the readout, where they are quantised
_PENALTY_PROFILE = "cmos45-fp32"


def knob_values(design: Design, knobs: Sequence[Knob]) -> dict[str, KnobValue]:
    """The value of every knob of a family, the default where the design says nothing.

    Raises BuildFailure, with every mistake, for an unknown knob or a value beyond its limits.
    """
    known = {knob.name: knob for knob in knobs}
    mistakes = []
    for name, value in design.knobs:
        if name not in known:
            mistakes.append(f"{name}: unknown knob.{nearest(name, known)}")
        elif mistake := _mistake(known[name], value):
            mistakes.append(f"{name}: {mistake}")
    if mistakes:
        raise BuildFailure("\n".join(f"{design.variant}: {mistake}" for mistake in mistakes))
    return {name: knob.default for name, knob in known.items()} | design.values


def split(design: Design) -> tuple[Design, dict[str, KnobValue]]:
    """A design as it is built, and the knobs that are turned after its training."""
    variant = load(design.variant)
    later = {knob.name for knob in variant.readings if variant.knob(knob.name) is None}
    built = {name: value for name, value in design.knobs if name not in later}
    turned = {name: value for name, value in design.knobs if name in later}
    return Design.of(design.variant, design.architecture, built), turned


def all_values(design: Design) -> dict[str, KnobValue]:
    """The value of every knob and reading of a design, turned or not."""
    variant = load(design.variant)
    readings = {knob.name: knob.default for knob in variant.readings}
    return readings | {knob.name: knob.default for knob in variant.knobs} | design.values


def names() -> list[str]:
    """The network families: the files of this room."""
    return catalogue.names("dse.variants", without=("family", "own"))


def load(name: str) -> Variant:
    """A network family by name, or `own`, the user's own model.

    Raises ConfigError, with the nearest name, if there is none.
    """
    variant: Variant = catalogue.load("dse.variants", name, "VARIANT", without=("family",))
    return variant


def penalties(knobs: Mapping[str, KnobValue]) -> Penalties:
    """What training pays for spikes, from the knobs of `SPIKING_KNOBS`."""
    from dse.networks.network import Penalties

    rows = load_profile(_PENALTY_PROFILE).rows()
    ac_pj = next(row["value"] for row in rows if row["quantity"] == "energy.ac")
    return Penalties(
        spike_rate=float(knobs["rate_penalty"]),
        energy_per_nj=float(knobs["energy_penalty"]),
        ac_pj=ac_pj,
    )


def positions(
    design: Design, knobs: Mapping[str, KnobValue], input_shape: tuple[int, ...], classes: int
) -> Sequence[architectures.Place]:
    """The topology of a design, of its width and depth. Raises BuildFailure if it cannot be."""
    topology = architectures.load(design.architecture)
    return topology(input_shape, classes, float(knobs["width"]), int(knobs["depth"]))


def _mistake(knob: Knob, value: KnobValue) -> str:
    """What is wrong with a value, and what would be right; empty if nothing is."""
    if knob.kind == "choice":
        return "" if value in knob.choices else f'"{value}": must be {" or ".join(knob.choices)}'
    if isinstance(value, bool | str) or (knob.kind == "int" and not float(value).is_integer()):
        return f"{value}: must be a number of kind {knob.kind}"
    if (knob.low is not None and not value >= knob.low) or (
        knob.high is not None and not value <= knob.high
    ):
        return f"{value}: must be between {knob.low} and {knob.high}"
    return ""
