"""How energies are printed: a row a profile, a row a layer, and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dse.cli import terminal

if TYPE_CHECKING:
    from energy_models import EnergyBreakdown, HardwareProfile


def print_energies(found: Mapping[str, EnergyBreakdown]) -> None:
    """One row for each profile, then one table of layers for each.

    found : name of a profile -> energy
    """
    from energy_models.bill import COMPONENTS
    from energy_models.units import format_time

    parts = {name: breakdown.by_component() for name, breakdown in found.items()}
    components = [one for one in COMPONENTS if any(one in of for of in parts.values())]
    is_timed = any(breakdown.latency_s is not None for breakdown in found.values())
    rows = []
    for name, breakdown in found.items():
        row = [name, _sum(breakdown.partial_pj, breakdown.complete)]
        row += _cells(parts[name], components)
        if is_timed:
            seconds = breakdown.latency_s
            row.append("" if seconds is None else format_time(seconds))
        rows.append(row)
    columns = ["profile", "total", *map(_words, components), *(["latency"] if is_timed else [])]
    terminal.table(columns, rows, title="energy per sample", left=("profile",))
    for name, breakdown in found.items():
        terminal.result(f"{name}: {_total(breakdown)}")
    for name, breakdown in found.items():
        _print_layers(name, breakdown)


def print_intervals(breakdown: EnergyBreakdown, profile: HardwareProfile) -> None:
    """What the ranges of the constants make of an energy, and which constants these are."""
    from energy_models.intervals import LEVEL
    from energy_models.units import PERCENT, format_energy
    from energy_models.values import described, ranges_of

    found = breakdown.intervals
    if found is None:
        return
    if not found.drawn:
        of = "that this network uses" if ranges_of(profile) else "of this profile"
        terminal.result(f"{profile.name}: no constant {of} has a range")
        return
    priced = breakdown.by_component()
    rows = [("total" if breakdown.complete else "known part", found.total, breakdown.partial_pj)]
    rows += [
        (_words(name), found.components[name], energy_pj)
        for name, energy_pj in priced.items()
        if name in found.components
    ]
    terminal.table(
        ("component", "low", "median", "high", "as priced"),
        [
            (name, *map(format_energy, (one.low_pj, one.median_pj, one.high_pj, energy_pj)))
            for name, one, energy_pj in rows
        ],
        title=f"{profile.name}: {LEVEL * PERCENT:g} % of {found.draws} draws lie from low to high",
        left=("component",),
    )
    if found.at_an_end:
        ends = "; ".join(found.at_an_end)
        terminal.result(f"the total as priced lies at an end of it, or outside: {ends}")
    drawn, fixed = described(profile, (*found.drawn, *found.fixed))
    terminal.result(f"drawn {found.draws} times, seed {found.seed}: {'; '.join(drawn)}")
    terminal.result(f"without a range, so fixed: {'; '.join(fixed) or 'none'}")


def _total(breakdown: EnergyBreakdown) -> str:
    from energy_models.units import format_energy

    if breakdown.total_pj is None:
        return f"incomplete; known part {format_energy(breakdown.partial_pj)}"
    return f"total {format_energy(breakdown.total_pj)}"


def _print_layers(name: str, breakdown: EnergyBreakdown) -> None:
    """A row a layer, what belongs to no layer, and the sum of both."""
    components = list(breakdown.by_component())
    rows = []
    for layer in breakdown.layers:
        is_complete = not any(text.startswith(f"{layer.name}: ") for text in breakdown.missing)
        cells = _cells(layer.energy_pj, components)
        rows.append([layer.name, layer.operator, *cells, _sum(layer.total_pj, is_complete)])
    if breakdown.network:
        cells = _cells(breakdown.network, components)
        rows.append(["(network)", "", *cells, _sum(sum(breakdown.network.values()), True)])
    cells = _cells(breakdown.by_component(), components)
    rows.append(["total", "", *cells, _sum(breakdown.partial_pj, breakdown.complete)])
    terminal.table(
        ("layer", "operator", *map(_words, components), "total"),
        rows,
        title=f"{name}: energy per sample and layer",
        left=("layer", "operator"),
        totals=1,
    )


def _cells(energy_pj: Mapping[str, float], components: Sequence[str]) -> list[str]:
    from energy_models.units import format_energy

    return [format_energy(energy_pj[one]) if one in energy_pj else "" for one in components]


def _sum(energy_pj: float, is_complete: bool) -> str:
    from energy_models.units import format_energy

    shown = format_energy(energy_pj)
    return shown if is_complete else f"incomplete, known {shown}"


def _words(component: str) -> str:
    return component.replace("_", " ")
