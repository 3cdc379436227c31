"""Bounds: what each objective of a design can be, from its untrained network, before any training.

They hold for every network in which each layer carries what it is made for: a rectified layer that
is dead on all images feeds zeros, which are priced as spikes that never come; so are signs that are
all positive, by a chip. Learned quantisers may reach few of their levels: their class is open.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from torch import nn

from dse.architectures.positions import Position
from dse.config import Objective, SweepConfig
from dse.counting.count import count
from dse.data.splits import Part
from dse.design import Design
from dse.errors import BuildFailure
from dse.networks.encoding import Coding, Encoding
from dse.networks.layer import Inflow, Layer, Stage
from dse.networks.network import Network, Readout, real_synapse
from dse.networks.residual import Joined
from dse.neurons.binary import Sign
from dse.neurons.quantized import QuantizedLayer, pixels
from dse.pricing import admit
from dse.recipe import Recipe, build, finished
from dse.seeding import trial_seed
from dse.trial import COUNT_SAMPLES
from energy_models import LayerCounts, ModelCounts, load_profile
from energy_models.bounds import Interval, Kinds, bounds_pj, spikes, working
from energy_models.units import format_count, format_energy
from reports.record import TrialRecord

_ANY_KIND = ("unit", "small-integers", "real")
_LEVELS_SURE = 3  # bits up to which all levels are small integers
_WEIGHTS_SURE = 4  # bits from which on weights do not happen to be two signs of one size
_MANY_WEIGHTS = 5  # of one output: fewer may well have one size
_ROUNDED = 1e-9
_READ_ALIKE = frozenset({"time_steps", "threshold", "threshold_scale", "percentile"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least and largest value of each objective of a design, whatever is learned.

    parameters, latency_steps : exact      spikes : per sample
    energy_pj : profile -> pJ per sample; None where no bound follows from the sizes
    counts : of the untrained network, on one sample
    """

    parameters: int
    latency_steps: int
    spikes: Interval
    energy_pj: Mapping[str, Interval | None]
    counts: ModelCounts

    def of(self, objective: Objective) -> Interval | None:
        """The bounds of one objective of the sweep; None where none is known."""
        match objective.name:
            case "accuracy":
                return 0.0, 1.0
            case "energy_pj":
                return self.energy_pj[str(objective.hardware)]
            case "spikes":
                return self.spikes
            case "parameters":
                return float(self.parameters), float(self.parameters)
            case "latency_steps":
                return float(self.latency_steps), float(self.latency_steps)
        return None


def bounds(design: Design, recipe: Recipe) -> Bounds:
    """Bounds of every objective and profile of the sweep.

    Nothing is trained: the network is built and counted on one sample, which tells all sizes.
    Raises BuildFailure if there can be no such network.
    """
    data = recipe.data()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = build(design, data)
        images = torch.from_numpy(data.validation.images[:1])
        model, _ = finished(model, design, recipe, 0, is_rough=True)
        counts = admit(count(model, images), recipe.config.allow_uncounted)
    kinds: dict[str, Kinds] = {}
    if isinstance(model, Network):
        kinds = dict(_kinds(model))
        counts, kinds[next(iter(kinds))] = _with_data(counts, model, recipe)
    is_known = {row.name for row in counts.layers if row.operator != "neuron"} == set(kinds)
    return Bounds(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        latency_steps=counts.time_steps,
        spikes=spikes(counts),
        energy_pj={
            name: bounds_pj(counts, kinds, load_profile(name)) if is_known else None
            for name in recipe.config.hardware
        },
        counts=counts,
    )


def refusal(design: Design, recipe: Recipe) -> str | None:
    """Why no network of this design can be within the limits of the sweep; None if one can.

    Where points are read from a training, the cheapest of them decides.
    """
    limited = [one for one in recipe.config.objectives if one.limit is not None]
    cheapest = _cheapest(design, recipe.config)
    if not limited or cheapest is None:
        return None
    try:
        found = bounds(cheapest, recipe)
    except BuildFailure:
        return None  # the trial says so itself
    return next(filter(None, (_excess(one, found.of(one)) for one in limited)), None)


def refused_record(
    design: Design,
    number: int,
    reason: str,
    recipe: Recipe,
    *,
    worker: str,
    optuna_number: int | None = None,
) -> TrialRecord:
    """The record of a design that was not trained: it has a reason, and no results."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return TrialRecord(
        number=number,
        state="refused",
        reason=reason,
        variant=design.variant,
        design=design.to_dict(),
        seed=trial_seed(recipe.config.seed, number),
        times={"started": started, "total_s": 0.0},
        worker=worker,
        optuna_number=optuna_number,
        notes=recipe.data().notes,
    )


def _cheapest(design: Design, config: SweepConfig) -> Design | None:
    """The cheapest of the designs that one training stands for; None where nobody knows it."""
    if set(config.evaluate) - _READ_ALIKE:
        return None
    knobs = dict(design.knobs)
    steps = config.evaluate.get("time_steps")
    if steps is not None and "time_steps" in knobs:
        read = [1] if steps == "all" else [int(one) for one in steps]
        knobs["time_steps"] = min(*read, int(knobs["time_steps"]))
    if config.share_widths and "width" in knobs:
        knobs["width"] = min(*config.share_widths, float(knobs["width"]))
    return Design.of(design.variant, design.architecture, knobs)


def _excess(objective: Objective, interval: Interval | None) -> str | None:
    """By what a bound breaks the limit of an objective, in words."""
    limit = objective.limit
    if limit is None or interval is None:
        return None
    low, high = interval
    where = f" on {objective.hardware}" if objective.hardware is not None else ""
    is_energy = objective.name == "energy_pj"
    write = format_energy if is_energy else format_count
    if objective.goal == "min" and low > limit * (1 + _ROUNDED):
        text, side = f"at least {write(low)}", "above"
    elif objective.goal == "max" and high < limit * (1 - _ROUNDED):
        text, side = f"at most {write(high)}", "below"
    else:
        return None
    return f"{objective.name}{where} is {text}, {side} the limit of {write(limit)}"


def _kinds(model: Network) -> Iterator[tuple[str, Kinds]]:
    """What each layer of synapses can turn out to be, by name, in the order of computation.

    That of the first one is what the data are: see `_with_data`.
    """
    stages = {name: one for name, one in model.named_modules() if isinstance(one, Stage)}
    makers = [one.neuron for one in stages.values() if one.neuron is not None]
    is_spiking = all(one.is_spiking for one in stages.values() if one.neuron is not None)
    is_sign = bool(makers) and all(isinstance(one, Sign) for one in makers)
    is_binary = is_spiking or is_sign
    # spikes that were added, or averaged, are spikes no more, and values tell what they are
    has_sums = any(isinstance(one, Joined) and not one.keeps_spikes_binary for one in model.layers)
    flowing: tuple[str, ...] = ("unit",) if is_binary else ("real",)
    if is_binary and has_sums:
        flowing = _ANY_KIND
    for name, stage in stages.items():
        if isinstance(stage, Layer):
            synapse = stage.synapse
            yield f"{name}.synapse", _of_synapse(synapse, flowing, is_full=is_sign and not has_sums)
    place = model.readout.inflow.place
    if place.average and is_binary:
        flowing = _ANY_KIND
    is_full = is_sign and flowing == ("unit",)
    yield "readout.synapse", _of_synapse(model.readout.synapse, flowing, is_full=is_full)


def _of_synapse(synapse: nn.Module, flowing: tuple[str, ...], *, is_full: bool) -> Kinds:
    """What synapses of this kind make of what flows to them.

    is_full : none of it is ever zero
    """
    if not isinstance(synapse, QuantizedLayer):
        return Kinds(flowing, is_fixed=is_full, is_signed=is_full)
    weights: tuple[str, ...] = ("real",)
    fan_in = synapse.weight[0].numel()
    if synapse.weight_bits == 1 or fan_in == 1:
        weights = ("binary",)  # of one weight an output, any bits are a size and a sign
    elif synapse.weight_bits < _WEIGHTS_SURE or fan_in < _MANY_WEIGHTS:
        weights = ("binary", "real")
    bits = synapse.inputs
    if not isinstance(bits, int):
        return Kinds(flowing, weights, is_signed=is_full)
    # more levels than small integers have may be there, and not be reached
    levels = _ANY_KIND[:2] if bits <= _LEVELS_SURE else _ANY_KIND
    return Kinds(("unit",) if bits == 1 else levels, weights)


def _with_data(counts: ModelCounts, model: Network, recipe: Recipe) -> tuple[ModelCounts, Kinds]:
    """The first layer as the data make it: no training changes what flows into it."""
    first = model.layers[0] if len(model.layers) else model.readout
    assert isinstance(first, Layer | Readout)
    synapse, place = first.synapse, first.inflow.place
    index = next(i for i, row in enumerate(counts.layers) if row.operator != "neuron")
    row = counts.layers[index]
    is_quantized = isinstance(synapse, QuantizedLayer)
    kinds = _of_synapse(synapse, ("unit",), is_full=False)
    if model.encoding.coding == "poisson" or (is_quantized and isinstance(synapse.inputs, int)):
        return counts, kinds
    is_in_pixels = is_quantized and synapse.inputs == "pixels"
    part = recipe.data().validation
    seen = _seen(part, replace(place, c_out=1), model.encoding.coding, is_in_pixels)
    kinds = replace(kinds, inputs=(str(seen.input_kind),))
    if is_quantized or seen.input_kind == "small-integers":
        return counts, kinds  # some weights may be zero; integers weigh differently
    row = working(
        row,
        kinds.inputs[0],
        row.weight_kind or "real",
        pairs=seen.ops.effective * place.c_out,
        nonzero=seen.operands[0].nonzero,
    )
    layers = (*counts.layers[:index], row, *counts.layers[index + 1 :])
    return replace(counts, layers=layers), replace(kinds, is_fixed=True)


@functools.lru_cache(maxsize=64)
def _seen(part: Part, place: Position, coding: Coding, is_in_pixels: bool) -> LayerCounts:
    """What a first layer of one output does on the images that trials are counted on."""
    images = torch.from_numpy(part.images[:COUNT_SAMPLES])
    values = pixels(images) if is_in_pixels else Encoding(coding)(images, 1)[0]
    synapse = real_synapse(replace(place, role="first"))
    for weight in synapse.parameters():
        nn.init.ones_(weight)
    found = count(synapse, Inflow(place)(values, 1), neuron_updates=False)
    return found.layers[0]
