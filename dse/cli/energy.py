"""`dse energy`: what a network costs on hardware, per layer and component."""

from __future__ import annotations

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
        Crossing,
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
    found = {name: estimate(counts, profile) for name, profile in zip(names, profiles, strict=True)}
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
    """A chip is held against the ANN itself; elsewhere both run on the baseline's hardware."""
    from energy_models import baselines, break_even, footprint

    opponents = baselines(counts, profile)
    rates = {
        one.name: break_even(
            counts,
            profile if profile.kind == "chip" or one.hardware is None else one.hardware,
            one,
        )
        for one in opponents
    }
    return Beside(opponents, rates, footprint(counts, profile))


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
        if breakdown.total_pj is None:
            terminal.result(f"{name}: incomplete; known part {format_energy(breakdown.partial_pj)}")
        else:
            terminal.result(f"{name}: total {format_energy(breakdown.total_pj)}")
    for text in dict.fromkeys(text for b in found.values() for text in b.assumptions):
        whose = [name for name, breakdown in found.items() if text in breakdown.assumptions]
        of = "" if len(whose) == len(found) else f" ({', '.join(whose)})"
        terminal.result(f"assumption{of}: {text.removeprefix('assumption: ')}")


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
            _crossing(beside.break_even[one.name].network),
        )
        for one in beside.baselines
    ]


def _crossing(found: Crossing) -> str:
    """`0.21`, `1.7 (always cheaper)`, or why there is none."""
    why = found.reason.partition(":")[0].splitlines()[0] if found.reason else ""
    if found.rate is None:
        return why
    return f"{found.rate:.3g} ({why})" if why else f"{found.rate:.3g}"


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
