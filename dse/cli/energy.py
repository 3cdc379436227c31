"""`dse energy`: what a network costs on hardware, per layer and component."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.cli import count as counting
from dse.cli import target as targets
from dse.cli import terminal

if TYPE_CHECKING:
    from energy_models import (
        Baseline,
        BreakEven,
        EnergyBreakdown,
        Footprint,
        HardwareProfile,
        ModelCounts,
    )

Hardware = Annotated[
    str,
    typer.Option(
        help="profiles with commas; a name may carry options: "
        "cmos45-int8+accumulator=32-bit (see `dse hardware NAME`)"
    ),
]

_COLUMNS = (
    *("baseline", "numbers", "energy", "this network in the same numbers", "ratio"),
    "break-even rate",
)


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside an energy: fair opponents, break-even rates, and what it occupies.

    break_even : name of a baseline -> rates
    """

    baselines: tuple[Baseline, ...]
    break_even: dict[str, BreakEven]
    footprint: Footprint

    def to_dict(self) -> dict[str, Any]:
        """The three as plain values."""
        return {
            "baselines": [one.to_dict() for one in self.baselines],
            "break_even": {name: one.to_dict() for name, one in self.break_even.items()},
            "footprint": self.footprint.to_dict(),
        }


def energy(
    target: counting.Target,
    hardware: Hardware = "cmos45-fp32",
    input_shape: counting.InputShape = None,
    data: counting.Data = None,
    data_dir: counting.DataDir = None,
    samples: counting.Samples = 64,
    time_steps: counting.TimeSteps = None,
    batch_dim: counting.BatchDim = 0,
    device: counting.Device = "auto",
    reading: counting.Reading = "tensor",
    allow_uncounted: counting.AllowUncounted = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="intervals from the ranges of the constants")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the draws of --uncertainty")] = 0,
    as_json: counting.AsJson = False,
) -> None:
    """Energy of a network per layer and per sample, on one or more hardware profiles.

    Beside a network of spikes or binary weights stand the ANN of the same shape, priced as fairly
    as the profile allows, and the spike rate at which it would cost as much.
    Ends with 1 if a total is not complete: what is missing is named, and never counted as zero.
    """
    from energy_models import estimate, load_profile

    names = [name.strip() for name in hardware.split(",")]
    profiles = [load_profile(name) for name in names]
    counts, _ = targets.counts_of(
        target,
        input_shape=input_shape,
        data=data,
        data_dir=data_dir,
        samples=samples,
        time_steps=time_steps,
        batch_dim=batch_dim,
        device=device,
        reading=reading,
        allow_uncounted=allow_uncounted or (),
    )
    found = {
        name: estimate(counts, profile, uncertainty=uncertainty, seed=seed)
        for name, profile in zip(names, profiles, strict=True)
    }
    beside = {name: _beside(counts, profile) for name, profile in zip(names, profiles, strict=True)}
    if as_json:
        terminal.as_json({name: found[name].to_dict() | beside[name].to_dict() for name in found})
    else:
        _print(found)
        _print_opponents(beside)
        for name in found:
            terminal.result(f"footprint ({name}): {_occupied(beside[name].footprint)}")
        for text in counts.warnings:
            terminal.result(f"warning: {text}")
        counting.say_uncounted(counts)
        for name, breakdown in found.items():
            for text in breakdown.missing:
                terminal.say(f"{name}: incomplete: {text}")
    if not all(breakdown.complete for breakdown in found.values()):
        raise typer.Exit(1)


def _beside(counts: ModelCounts, profile: HardwareProfile) -> Beside:
    from dse.pricing import opponents
    from energy_models import footprint

    pairs = opponents(counts, profile)
    rates = {one.name: found for one, found in pairs}
    return Beside(tuple(one for one, _ in pairs), rates, footprint(counts, profile))


def _print(found: dict[str, EnergyBreakdown]) -> None:
    from energy_models.units import format_energy

    first = next(iter(found.values()))
    columns = ["layer", "operator"]
    for name, breakdown in found.items():
        components = sorted({c for layer in breakdown.layers for c in layer.energy_pj})
        columns += [f"{name}: {component}" for component in components]
    rows = []
    for index, layer in enumerate(first.layers):
        cells = [layer.name, layer.operator]
        for column in columns[2:]:
            name, _, component = column.rpartition(": ")
            value = found[name].layers[index].energy_pj.get(component)
            cells.append("" if value is None else format_energy(value))
        rows.append(cells)
    terminal.table(columns, rows, title="energy per sample", left=("layer", "operator"))
    for name, breakdown in found.items():
        for line in _total(breakdown):
            terminal.result(f"{name}: {line}")
    for text in dict.fromkeys(text for b in found.values() for text in b.assumptions):
        whose = [name for name, breakdown in found.items() if text in breakdown.assumptions]
        of = "" if len(whose) == len(found) else f" ({', '.join(whose)})"
        terminal.result(f"assumption{of}: {text.removeprefix('assumption: ')}")


def _total(breakdown: EnergyBreakdown) -> Iterator[str]:
    """The total, and beside it what belongs to no layer, what a host does, time, intervals."""
    from energy_models.units import format_energy, format_time

    if breakdown.total_pj is None:
        yield f"incomplete; known part {format_energy(breakdown.partial_pj)}"
    else:
        yield f"total {format_energy(breakdown.total_pj)}"
    parts = breakdown.by_component()
    if len(parts) > 1:
        shown = ", ".join(f"{name} {format_energy(pj)}" for name, pj in parts.items())
        yield f"of which {shown}"
    if breakdown.latency_s is not None:
        yield f"latency {format_time(breakdown.latency_s)}"
    found = breakdown.intervals
    if found is None:
        return
    for name, one in (("total", found.total), *found.components.items()):
        ends = f"{format_energy(one.low_pj)} to {format_energy(one.high_pj)}"
        yield f"95 % of {found.draws} draws: {name} {ends}, median {format_energy(one.median_pj)}"
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in found.drawn.items())
    yield f"drawn (seed {found.seed}): {ranges or 'nothing: no constant has a range'}"
    yield f"without a range, so fixed: {', '.join(found.fixed) or 'none'}"


def _print_opponents(beside: dict[str, Beside]) -> None:
    """A table for each set of opponents; profiles that have the same ones share it."""
    shown: list[tuple[list[str], Beside]] = []
    for name, one in beside.items():
        same = [
            names
            for names, other in shown
            if (other.baselines, other.break_even) == (one.baselines, one.break_even)
        ]
        if same:
            same[0].append(name)
        elif one.baselines:
            shown.append(([name], one))
    for names, one in shown:
        title = f"{', '.join(names)}: against the ANN of the same shape, per sample"
        terminal.table(_COLUMNS, _opponent_rows(one), title=title, left=_COLUMNS[:2])
        terminal.result("ratio: energy of the ANN over that of this network")
        rate = one.break_even[one.baselines[0].name].network.measured_rate
        if rate is not None:
            terminal.result(f"measured rate: {rate:.3g} spikes per input element and step")
        for note, owners in _notes(one).items():
            of = "" if len(owners) == len(one.baselines) else f" ({', '.join(owners)})"
            terminal.result(f"baseline{of}: {note}")


def _opponent_rows(beside: Beside) -> list[tuple[str, ...]]:
    from energy_models.units import format_energy

    def shown(energy_pj: float | None) -> str:
        return "incomplete" if energy_pj is None else format_energy(energy_pj)

    return [
        (
            one.name,
            one.profile,
            shown(one.total_pj),
            shown(one.same_numbers_pj),
            "" if one.ratio is None else f"{one.ratio:.3g}",
            beside.break_even[one.name].network.text,
        )
        for one in beside.baselines
    ]


def _notes(beside: Beside) -> dict[str, list[str]]:
    """What to know of the opponents -> of which ones."""
    found: dict[str, list[str]] = {}
    for one in beside.baselines:
        incomplete = [f"incomplete: {text}" for text in one.missing]
        for text in (one.accuracy_note, *one.notes, *incomplete):
            found.setdefault(text, []).append(one.name)
    return found


def _occupied(found: Footprint) -> str:
    """Bits and area in one line; what does not follow is said to be unknown, and why."""
    from energy_models.units import format_count

    sizes = {
        "weights": found.weight_bits,
        "states": found.state_bits,
        "activations of the largest layer": found.activation_bits,
    }
    parts = [
        f"{name} {'unknown' if bits is None else format_count(bits) + ' bit'}"
        for name, bits in sizes.items()
    ]
    area = found.area_mm2
    parts.append("area unknown" if area is None else f"area {area:.3g} mm²")
    return "; ".join([", ".join(parts), *found.refusals.values()])
