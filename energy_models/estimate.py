"""Counts times prices: the energy of a network on a hardware profile, by layer and component."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from energy_models.bill import COMPONENTS, Bill, Values
from energy_models.columns import Columns
from energy_models.constants import UNITS
from energy_models.counts import ModelCounts
from energy_models.events import CLASSES
from energy_models.intervals import Intervals, intervals
from energy_models.models import kinds
from energy_models.profile import SWITCHES, HardwareProfile
from energy_models.units import format_time
from energy_models.values import values_of

_NARROWEST_FLOAT = 16  # bits: fewer are codes of a quantised network
_SWITCH_MEANS = {
    ("first_layer", "once"): "a layer evaluated once for several steps is paid once",
    (
        "first_layer",
        "every-step",
    ): "a layer evaluated once for several steps is paid at each",
    ("graded", "accumulates"): "a product by a small integer k costs |k| accumulates",
    ("graded", "mac"): "a product by a small integer costs a MAC",
    ("neuron_updates", "counted"): "neuron events are priced",
    ("neuron_updates", "excluded"): "neuron events are left out",
    ("bias", "excluded"): "a bias costs nothing: it initialises the accumulator",
    ("bias", "add"): "a bias costs one addition per output value",
    ("static", "counted"): "static power flows for as long as an inference takes",
    ("static", "excluded"): "static power is left out: this is dynamic energy only",
    ("reuse", "full"): "a weight is fetched for a product, and at most once per evaluation of a "
    "layer; so is an input of a dense layer",
    ("reuse", "none"): "a weight, and an input of a dense layer, is fetched for every product anew",
}


@dataclass(frozen=True, slots=True)
class LayerEnergy:
    """Energy of one layer per sample.

    energy_pj : component -> pJ
    steps : pJ of synaptic compute by time step; empty where it does not follow from the counts
    """

    name: str
    operator: str
    energy_pj: Mapping[str, float]
    steps: tuple[float, ...] = ()

    @property
    def total_pj(self) -> float:
        """All components."""
        return math.fsum(self.energy_pj.values())


@dataclass(frozen=True, slots=True)
class EnergyBreakdown:
    """Energy of a network per sample: layers, and terms that belong to no layer.

    network : component -> pJ of the whole network; empty for an op-only profile
    missing : what happened but could not be priced; while there is any, there is no total
    assumptions : what the reader has to know to print the numbers
    warnings : what looks wrong in the counts, or makes the total another thing than it seems
    latency_s : time of one inference, None where the profile has no times, or a host works for a
        time that nobody knows
    intervals : what the ranges of the constants make of it, if that was asked for
    """

    profile: str
    layers: tuple[LayerEnergy, ...]
    network: Mapping[str, float]
    missing: tuple[str, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    latency_s: float | None = None
    intervals: Intervals | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that happened has a price."""
        return not self.missing

    @property
    def partial_pj(self) -> float:
        """Sum of all that has a price: the layers and the network."""
        terms = [energy_pj for layer in self.layers for energy_pj in layer.energy_pj.values()]
        return math.fsum([*terms, *self.network.values()])

    @property
    def total_pj(self) -> float | None:
        """Energy per sample, None while something is missing."""
        return self.partial_pj if self.complete else None

    def by_layer(self) -> dict[str, float]:
        """Layer name -> pJ; rows of the same name add up."""
        totals: dict[str, float] = {}
        for layer in self.layers:
            totals[layer.name] = totals.get(layer.name, 0.0) + layer.total_pj
        return totals

    def by_component(self) -> dict[str, float]:
        """Component -> pJ, layers and network together."""
        totals: dict[str, float] = {}
        for components in (*(layer.energy_pj for layer in self.layers), self.network):
            for name, energy_pj in components.items():
                totals[name] = totals.get(name, 0.0) + energy_pj
        return {name: totals[name] for name in COMPONENTS if name in totals}

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows: layer, component, energy_pj; terms of no layer stand under `(network)`."""
        parts = [(layer.name, layer.energy_pj) for layer in self.layers]
        return [
            {"layer": name, "component": component, "energy_pj": energy_pj}
            for name, components in [*parts, ("(network)", self.network)]
            for component, energy_pj in components.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """The energy document of one profile: what `dse energy --json` prints under its name."""
        return {
            "total_pj": self.total_pj,
            "complete": self.complete,
            "missing": list(self.missing),
            "partial_pj": self.partial_pj,
            "network": dict(self.network),
            "layers": [
                {
                    "name": layer.name,
                    "energy_pj": dict(layer.energy_pj),
                    "steps": list(layer.steps),
                }
                for layer in self.layers
            ],
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "latency_s": self.latency_s,
            "intervals": None if self.intervals is None else self.intervals.to_dict(),
        }


def estimate(
    counts: ModelCounts,
    profile: HardwareProfile,
    *,
    uncertainty: bool = False,
    draws: int = 1000,
    seed: int = 0,
) -> EnergyBreakdown:
    """Energy of counted operations on a hardware profile, per sample.

    uncertainty : propagate the ranges of the constants, by `draws` draws from `seed`

    Never raises for a missing price: the breakdown is incomplete then, and says what is missing.
    """
    columns = Columns.side_by_side([counts])
    bill = kinds.bill(columns, profile)
    values = values_of(profile)
    layers = _layers(columns, bill, profile, values)
    missing = [
        f"{row.name}: {text}"
        for index, row in enumerate(counts.layers)
        for text in bill.missing_of_row(index)
    ]
    missing += [gap.text for gap in bill.gaps if gap.of_network and gap.where[0]]
    network = {name: float(pj[0]) for name, pj in bill.network_pj(values).items()}
    seconds = math.nan if bill.duration is None else float(bill.duration.whole_s(values)[0])
    notes = (*bill.notes.get(0, ()), *_partial_time(bill, values))
    return EnergyBreakdown(
        profile=profile.name,
        layers=layers,
        network=network,
        missing=(*missing, *(f"uncounted: {operator}" for operator in counts.uncounted)),
        assumptions=(*counts.assumptions, *_assumptions(counts, profile, bill), *notes),
        warnings=(*counts.warnings, *_mixed(counts), *bill.warnings.get(0, ())),
        latency_s=None if math.isnan(seconds) else seconds,
        intervals=intervals(columns, bill, profile, draws, seed) if uncertainty else None,
    )


def _partial_time(bill: Bill, values: Values) -> Iterator[str]:
    duration = bill.duration
    if duration is not None and duration.is_partial is not None and duration.is_partial[0]:
        alone = format_time(float(duration.seconds(values)[0]))
        yield (
            f"time: the chip takes {alone}; the time that the host needs is not known: static "
            "power is that of the chip's own time, and the latency is not told"
        )


def _mixed(counts: ModelCounts) -> Iterator[str]:
    """Layers of which one call took spikes and another real values: all are priced as real."""
    for row in counts.layers:
        kinds_seen = {one.kind for call in row.call_operands for one in call[:1]}
        if row.input_kind == "real" and len(kinds_seen) > 1:
            yield (
                f"{row.name}: some calls took spikes, others real values; the layer is priced as "
                "one that takes real values, at every call"
            )


def conventions(profile: HardwareProfile) -> Iterator[str]:
    """What a profile charges and what it leaves out, one sentence each."""
    if profile.caution:
        yield f"caution: {profile.caution}"
    if profile.kind in ("op-only", "sram"):
        charged = ", ".join(f"{name} {getattr(profile.charge, name)}" for name in CLASSES)
        yield f"charge: {charged} (dense: every position; effective: two non-zero operands)"
    for name in SWITCHES[profile.kind]:
        value = getattr(profile.switches, name)
        if name == "graded" and "graded" in profile.energy:
            yield "graded: a product by a small integer has a price of its own"
        else:
            yield f"{name}: {value}: {_SWITCH_MEANS[name, value]}"
    for event, reason in profile.excludes.items():
        yield f"left out: {event}: {reason}"


def other_numbers(counts: ModelCounts, profile: HardwareProfile) -> str | None:
    """What to say if the network ran in other numbers than those that the profile prices."""
    widths = [row.weight_bits or 0 for row in counts.layers if row.weight_kind == "real"]
    ran = max(widths, default=0)
    if ran == 0 or profile.number_format == f"fp{ran}":
        return None
    is_quantised = ran < _NARROWEST_FLOAT
    if is_quantised and profile.number_format == f"int{ran}":
        return None
    what = f"with weights of {ran} bits" if is_quantised else f"in {ran}-bit floating point"
    if profile.number_format == "unpublished":
        return f"the network ran {what}: of {profile.name}, nobody published in which numbers"
    told = f"the network ran {what}: {profile.name} prices it as if it were in "
    told += profile.number_format
    if is_quantised:
        return f"{told}; its accuracy is that of the network that ran"
    return f"{told}; nothing was quantised, and its accuracy is that of {ran}-bit floating point"


def _layers(
    columns: Columns, bill: Bill, profile: HardwareProfile, values: Values
) -> tuple[LayerEnergy, ...]:
    """Component by component; a component of which nothing happened in a layer is not shown."""
    by_component = bill.layers_pj(values)
    happened: dict[str, Any] = {}
    for term in bill.terms:
        seen = happened.get(term.component, False)
        happened[term.component] = seen | (term.quantity > 0)
    components = [name for name in COMPONENTS if name in by_component]
    incomplete = {
        int(index) for gap in bill.gaps if not gap.of_network for index in gap.where.nonzero()[0]
    }
    found = []
    for index, row in enumerate(columns.rows):
        energy_pj = {
            name: float(by_component[name][index]) for name in components if happened[name][index]
        }
        steps = () if index in incomplete else kinds.steps_pj(row, profile)
        found.append(LayerEnergy(row.name, row.operator, energy_pj, steps))
    return tuple(found)


def _assumptions(counts: ModelCounts, profile: HardwareProfile, bill: Bill) -> Iterator[str]:
    yield from conventions(profile)
    mismatch = other_numbers(counts, profile)
    if mismatch:
        yield mismatch
    constants = profile.constants()
    used = {term.constant for term in bill.terms if (term.quantity > 0).any()}
    used |= {term.constant for term in bill.network}
    used |= set() if bill.duration is None else bill.duration.constants()
    for name in sorted(used & set(constants)):
        constant = constants[name]
        if constant.basis == "assumption":
            shown = name.removeprefix("energy.")
            yield f"assumption: {shown} {constant.value:g} {UNITS[constant.unit]}: {constant.note}"
    if counts.not_priced:
        yield f"not priced: {', '.join(sorted(counts.not_priced))}"
