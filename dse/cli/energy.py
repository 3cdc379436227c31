"""`dse energy`: what a network costs on hardware, per layer and component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import count as counting
from dse.cli import priced, terminal
from dse.cli import target as targets
from dse.cli.opponents import Beside, print_opponents
from dse.cli.pricelist import profile_names

if TYPE_CHECKING:
    from energy_models import EnergyBreakdown, Footprint, HardwareProfile, ModelCounts

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

    names = profile_names(hardware)
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
        priced.print_energies(found)
        for breakdown, profile in zip(found.values(), profiles, strict=True):
            priced.print_intervals(breakdown, profile)
        _print_assumptions(found)
        print_opponents(beside)
        for name in found:
            terminal.result(f"footprint ({name}): {_occupied(beside[name].footprint)}")
        for text in dict.fromkeys(text for one in found.values() for text in one.warnings):
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


def _print_assumptions(found: dict[str, EnergyBreakdown]) -> None:
    """Each once, with the profiles that make it unless all do."""
    for text in dict.fromkeys(text for b in found.values() for text in b.assumptions):
        whose = [name for name, breakdown in found.items() if text in breakdown.assumptions]
        of = "" if len(whose) == len(found) else f" ({', '.join(whose)})"
        terminal.result(f"assumption{of}: {text.removeprefix('assumption: ')}")


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
