"""Counts times prices: the energy of a network on a hardware profile, by layer and component."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from energy_models.counts import ModelCounts
from energy_models.models.op_only import price_layer
from energy_models.profile import CLASSES, HardwareProfile

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
    warnings : what looks wrong in the counts
    """

    profile: str
    layers: tuple[LayerEnergy, ...]
    network: Mapping[str, float]
    missing: tuple[str, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()

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
        }


def estimate(counts: ModelCounts, profile: HardwareProfile) -> EnergyBreakdown:
    """Energy of counted operations on a hardware profile, per sample.

    Never raises for a missing price: the breakdown is incomplete then, and says what is missing.
    """
    prices = [(row, price_layer(row, profile)) for row in counts.layers]
    missing = [f"{row.name}: {problem}" for row, price in prices for problem in price.missing]
    used = frozenset[str]().union(*(price.used for _, price in prices))
    return EnergyBreakdown(
        profile=profile.name,
        layers=tuple(
            LayerEnergy(row.name, row.operator, price.energy_pj, price.steps)
            for row, price in prices
        ),
        network={},
        missing=(*missing, *(f"uncounted: {operator}" for operator in counts.uncounted)),
        assumptions=(*counts.assumptions, *_assumptions(counts, profile, used)),
        warnings=counts.warnings,
    )


def conventions(profile: HardwareProfile) -> Iterator[str]:
    """What a profile charges and what it leaves out, one sentence each."""
    charged = ", ".join(f"{name} {getattr(profile.charge, name)}" for name in CLASSES)
    yield f"charge: {charged} (dense: every position; effective: two non-zero operands)"
    for name, value in profile.switches:
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
    return (
        f"the network ran in fp{ran}: {profile.name} prices it as if it were in "
        f"{profile.number_format}; nothing was quantised, and its accuracy is that of fp{ran}"
    )


def _assumptions(
    counts: ModelCounts, profile: HardwareProfile, used: Iterable[str]
) -> Iterator[str]:
    yield from conventions(profile)
    mismatch = other_numbers(counts, profile)
    if mismatch:
        yield mismatch
    for event in sorted(used):
        constant = profile.energy[event]
        if constant.basis == "assumption":
            yield f"assumption: {event} {constant.value_pj:g} pJ: {constant.note}"
    if counts.not_priced:
        yield f"not priced: {', '.join(sorted(counts.not_priced))}"
