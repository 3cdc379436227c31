"""`dse energy`: what a network costs on hardware, per layer and component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import count as counting
from dse.cli import target as targets
from dse.cli import terminal

if TYPE_CHECKING:
    from energy_models import EnergyBreakdown

Hardware = Annotated[
    str,
    typer.Option(
        help="profiles with commas; a name may carry options: "
        "cmos45-int8+accumulator=32-bit (see `dse hardware NAME`)"
    ),
]


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
    if as_json:
        terminal.as_json({name: breakdown.to_dict() for name, breakdown in found.items()})
    else:
        _print(found)
        for text in counts.warnings:
            terminal.result(f"warning: {text}")
        counting.say_uncounted(counts)
        for name, breakdown in found.items():
            for text in breakdown.missing:
                terminal.say(f"{name}: incomplete: {text}")
    if not all(breakdown.complete for breakdown in found.values()):
        raise typer.Exit(1)


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
