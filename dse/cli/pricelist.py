"""A price list as texts: constants, memories, options, for the terminal and the page alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dse.errors import HardwareError

if TYPE_CHECKING:
    from energy_models import HardwareProfile
    from energy_models.profile import Sram

_SHOWN_KIB = (1, 8, 32, 256, 1024, 4096)  # sizes at which a curve is told
_KIB_PER_MIB = 1024
_AS_LISTED = "(as listed)"
_FETCHES = {
    "packed": "an access brings as many data as fit into it",
    "one-access-per-datum": "each datum pays a whole access, however narrow it is",
}


@dataclass(frozen=True, slots=True)
class ShownConstant:
    """A constant as a table shows it; an empty text where nothing is known.

    value : `4.6`, or `curve`      range : `3.7 to 5`, `1 to 3.1 x curve`
    node : `45 nm, 0.9 V`, with a ? for what was not published
    """

    quantity: str
    value: str
    unit: str
    range: str
    bits: str
    node: str
    basis: str
    source: str
    note: str


def profile_names(hardware: str) -> tuple[str, ...]:
    """The names in `--hardware A,B`.

    Raises HardwareError if one of them is empty.
    """
    names = tuple(name.strip() for name in hardware.split(","))
    if not all(names):
        raise HardwareError(
            f'--hardware "{hardware}": a name is empty. Give names with one comma between two of '
            "them, as in cmos45-fp32,cmos45-int8"
        )
    return tuple(dict.fromkeys(names))


def number(value: float) -> str:
    """At most six digits and no exponent, whole numbers in full: `45`, `0.0087`, `1 048 576`."""
    from energy_models.units import format_plain

    return format_plain(value)


def constants(profile: HardwareProfile) -> list[ShownConstant]:
    """Every constant of a profile, the curve of its memory with them."""
    return [_shown(row, profile) for row in profile.rows()]


def memory_lines(profile: HardwareProfile) -> Iterator[str]:
    """Widths, how data are fetched, and what an access costs; nothing without a memory."""
    memory = profile.memory
    if memory is None:
        return
    widths = {
        "weights": memory.weight_bits,
        "states": memory.state_bits,
        "activations": memory.activation_bits,
    }
    yield f"memory: {', '.join(f'{name} {bits} bit' for name, bits in widths.items())}"
    if memory.fetch is not None:
        yield f"memory: fetch {memory.fetch}: {_FETCHES[memory.fetch]}"
    if memory.fifo_entries is not None:
        yield f"memory: queues of spikes hold {number(memory.fifo_entries)} entries"
    yield from _curve_lines(memory.sram)


def option_lines(profile: HardwareProfile) -> Iterator[str]:
    """`first_layer = once (default) | every-step`: what may follow the name.

    The defaults are those of the profile without the options of its name, which are `chosen`.
    """
    from energy_models import load_profile

    base, written = _without_options(profile.name)
    plain = load_profile(base)
    for option, values in plain.choices().items():
        default = _default(plain, option)
        shown = [
            value
            + (" (default)" if value == default else "")
            + (" (chosen)" if value == written.get(option) else "")
            for value in values
        ]
        if default is None:
            shown.insert(0, _AS_LISTED)
        yield f"{option} = {' | '.join(shown)}"


def base_name(name: str) -> str:
    """A profile's name, or its file, without the options behind it."""
    return _without_options(name)[0]


def _shown(row: dict[str, Any], profile: HardwareProfile) -> ShownConstant:
    from energy_models.constants import UNITS

    is_curve = row["value"] is None
    memory = profile.memory
    note = memory.sram.note if is_curve and memory is not None else row["note"]
    range_source = f"range: {row['range_source']}" if row["range_source"] else ""
    return ShownConstant(
        quantity=row["quantity"],
        value="curve" if is_curve else number(row["value"]),
        unit="" if is_curve else UNITS[row["unit"]],
        range=_range(row["low"], row["high"], " x curve" if is_curve else ""),
        bits=str(row["bits"] or ""),
        node=f"{_known(row['node_nm'])} nm, {_known(row['voltage_v'])} V",
        basis=row["basis"] + (f", {row['scope']}" if row["scope"] else ""),
        source=row["source"],
        note="; ".join(part for part in (note, range_source) if part),
    )


def _range(low: float | None, high: float | None, of: str) -> str:
    return "" if low is None or high is None else f"{number(low)} to {number(high)}{of}"


def _known(value: float | str) -> str:
    return "?" if isinstance(value, str) else number(value)


def _curve_lines(sram: Sram) -> Iterator[str]:
    """What the curve is, what it says at some sizes, and where it stops."""
    import numpy as np

    from energy_models.curves import curve_of
    from energy_models.units import BYTES_PER_KIB

    curve = curve_of(sram)
    told = {
        "cacti": f"CACTI table, {_known(sram.node_nm or '')} nm, {sram.cell} cells",
        "points": f"{_points(sram)}; {sram.between} between them",
        "line": f"{number(sram.floor_pj or 0.0)} pJ + {number(sram.per_bit_pj or 0.0)} pJ per bit "
        "of the memory",
    }
    yield f"memory.sram: {told[sram.curve]}; one access is {curve.access_bits} bit wide"
    sizes = np.array(_SHOWN_KIB, dtype=float) * BYTES_PER_KIB
    read, write = (_energies(pj.tolist()) for pj in (curve.read_pj(sizes), curve.write_pj(sizes)))
    if read == write:
        yield f"memory.sram: read or write: {read}"
    else:
        yield f"memory.sram: read: {read}"
        yield f"memory.sram: write: {write}"
    yield f"memory.sram: {curve.note}"


def _points(sram: Sram) -> str:
    """The given figures: `8 KiB 10 pJ, 32 KiB 20 pJ`."""
    from energy_models.units import BYTES_PER_KIB, format_energy

    return ", ".join(
        f"{number(point.capacity_bytes / BYTES_PER_KIB)} KiB {format_energy(point.access_pj)}"
        for point in sram.points
    )


def _energies(found_pj: list[float]) -> str:
    """`1 KiB 1.2 pJ, 8 KiB ...`; sizes for which the curve has no figure are left out."""
    from energy_models.units import format_energy

    sizes = [f"{k} KiB" if k < _KIB_PER_MIB else f"{k // _KIB_PER_MIB} MiB" for k in _SHOWN_KIB]
    texts = [
        f"{size} {format_energy(energy_pj)}"
        for size, energy_pj in zip(sizes, found_pj, strict=True)
        if energy_pj == energy_pj  # not NaN
    ]
    return ", ".join(texts) or "no figure at the sizes that are shown here"


def _without_options(name: str) -> tuple[str, dict[str, str]]:
    """The bare name and option -> value; options of the host are the host's."""
    file = re.match(r".+?\.ya?ml(?=\+|$)", name)  # a path may hold a + of its own
    base = file[0] if file else name.partition("+")[0]
    device = name.removeprefix(base).partition("+host=")[0]
    pairs = (text.partition("=") for text in device.split("+")[1:])
    return base, {option: value for option, _, value in pairs}


def _default(profile: HardwareProfile, option: str) -> str | None:
    """What a profile does if an option is not given; None: what its own list of prices says."""
    memory = profile.memory
    holders = (profile.switches, memory, memory and memory.sram)
    if option in profile.options:
        return None
    if option.startswith("charge."):
        return str(getattr(profile.charge, option.removeprefix("charge.")))
    if option == "bits" and profile.widths is not None:
        return str(profile.widths.default)
    for holder in holders:
        if holder is not None and getattr(holder, option, None) is not None:
            return str(getattr(holder, option))
    return None
