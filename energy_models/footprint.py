"""Footprint: bits of weights, states and activations that a network needs, and silicon area."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from energy_models.columns import Columns
from energy_models.counts import ModelCounts
from energy_models.errors import CountsError
from energy_models.layers import LayerCounts
from energy_models.models import chip, sram
from energy_models.profile import HardwareProfile
from energy_models.rates import evaluations

_WIDTH = re.compile(r"(?:fp|bf|int)(\d+)")
_DATA = ("weight", "state", "activation")
_NOTES = (
    "weights: those of the layers; biases, and scales of binary weights, are not in it",
    "activations: what enters and leaves the largest layer at one time step; a spike has one "
    "bit, values of a layer that is not known to feed neurons have the full width",
    "area: of a sram profile that of the memories, without arithmetic: a lower bound",
)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a network occupies on a profile. None where it does not follow; `refusals` says why.

    weight_bits : of all layers      state_bits : of neurons that keep a potential between steps
    activation_bits : of the largest layer: what enters and leaves it at one step
    area_mm2 : of as many chips as hold the network; of kind sram, of the memories alone
    refusals : name of a field -> reason
    """

    profile: str
    weight_bits: float | None = None
    state_bits: float | None = None
    activation_bits: float | None = None
    area_mm2: float | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = _NOTES

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "profile": self.profile,
            "weight_bits": self.weight_bits,
            "state_bits": self.state_bits,
            "activation_bits": self.activation_bits,
            "area_mm2": self.area_mm2,
            "refusals": dict(self.refusals),
            "notes": list(self.notes),
        }


class _Refused(Exception):
    """A part of the footprint that does not follow; its text is the reason."""


def footprint(counts: ModelCounts, profile: HardwareProfile) -> Footprint:
    """Bits and area of a network on a profile.

    Widths are those of the profile's memory; else of its numbers, and those of a state are the
    width in which neurons integrate. Binary weights have the bits that tell them apart: 1, or 2
    where some are zero.
    """
    found: dict[str, float] = {}
    refusals: dict[str, str] = {}
    widths = {name: _width(name, profile) for name in _DATA}
    parts: dict[str, Callable[[], float]] = {
        "weight_bits": lambda: _weights(counts, widths["weight"]),
        "state_bits": lambda: _states(counts, widths["state"]),
        "activation_bits": lambda: _activations(counts, widths["activation"]),
        "area_mm2": lambda: _area(counts, profile),
    }
    for name, part in parts.items():
        try:
            found[name] = part()
        except (_Refused, CountsError) as error:
            refusals[name] = str(error)
    return Footprint(
        profile=profile.name,
        weight_bits=found.get("weight_bits"),
        state_bits=found.get("state_bits"),
        activation_bits=found.get("activation_bits"),
        area_mm2=found.get("area_mm2"),
        refusals=refusals,
    )


def _width(what: str, profile: HardwareProfile) -> int | str:
    """Bits of one weight, state or activation, or why nobody knows."""
    if profile.memory is not None:
        return int(getattr(profile.memory, f"{what}_bits"))
    if profile.kind == "chip":
        price = profile.prices.get("ac")
        bits = "unpublished" if price is None else price.bits
        if what == "weight" and isinstance(bits, int):
            return bits
        return f"{profile.name}: the width of one {what} is not published"
    integrate = profile.prices.get("integrate")
    if what == "state" and integrate is not None and isinstance(integrate.bits, int):
        return integrate.bits
    width = _WIDTH.fullmatch(profile.number_format)
    if width is None:
        return f'{profile.name}: numbers of format "{profile.number_format}" have no known width'
    return int(width[1])


def _weights(counts: ModelCounts, width: int | str) -> float:
    rows = [row for row in counts.layers if row.weights]
    binary = sum(row.weights * (row.weight_bits or 1) for row in rows if _is_binary(row))
    real = sum(row.weights for row in rows if not _is_binary(row))
    return float(binary + (real * _known(width) if real else 0))


def _is_binary(row: LayerCounts) -> bool:
    return row.weight_kind == "binary"


def _states(counts: ModelCounts, width: int | str) -> float:
    """A neuron that writes no state keeps none: with a single step there is none at all."""
    if counts.time_steps == 1:
        return 0.0
    neurons = [row for row in counts.layers if row.operator == "neuron"]
    if not neurons:
        raise _Refused("the counts hold no neurons, in a network of several time steps")
    unknown = [row.name for row in neurons if not row.updates.compare]
    if unknown:
        raise _Refused(f"{unknown[0]}: nobody counted what these neurons do")
    held = sum(row.neurons for row in neurons if row.updates.state_write > 0)
    return float(held * _known(width) if held else 0)


def _activations(counts: ModelCounts, width: int | str) -> float:
    feeding = {name for row in counts.layers for name in row.fed_by}  # spikes or signs leave them
    rows = [row for row in counts.layers if row.operator != "neuron"]
    largest = 0.0
    for row in rows:
        if not row.operands:
            raise _Refused(f"{row.name}: the counts do not record what flowed in: count it again")
        times = max(evaluations(row, counts.time_steps), len(row.calls))
        entering = sum(
            one.elements * (1 if one.kind == "unit" else _known(width)) for one in row.operands
        )
        leaving = row.outputs * (1 if row.name in feeding else _known(width))
        largest = max(largest, (entering + leaving) / times)
    return largest


def _area(counts: ModelCounts, profile: HardwareProfile) -> float:
    columns = Columns.side_by_side([counts])
    if profile.kind == "sram":
        memories = float(sram.areas_mm2(columns, profile)[0])
        if math.isnan(memories):
            raise _Refused(f"{profile.name}: the SRAM curve has no area for one of the memories")
        return memories
    if profile.area is None:
        is_op_only = profile.kind == "op-only"
        reason = "operations only: their units have no area here"
        raise _Refused(f"{profile.name}: {reason if is_op_only else 'the profile has no area'}")
    chips = float(chip.chips_needed(columns, profile)[0])
    if not chips:
        raise _Refused(f"{profile.name}: no layer of this network runs on the chip")
    return chips * profile.area.value_mm2


def _known(width: int | str) -> int:
    if isinstance(width, str):
        raise _Refused(width)
    return width
