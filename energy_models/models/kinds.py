"""The kinds of model: what each of them charges for the same counts."""

from __future__ import annotations

from collections.abc import Callable

from energy_models.bill import Bill
from energy_models.columns import Columns
from energy_models.layers import LayerCounts
from energy_models.models import chip, lemaire, op_only, sram
from energy_models.profile import HardwareProfile

_BY_KIND: dict[str, Callable[[Columns, HardwareProfile], Bill]] = {
    "op-only": op_only.bill,
    "sram": sram.bill,
    "chip": chip.bill,
    "lemaire": lemaire.bill,
}
_STEPS: dict[str, Callable[[LayerCounts, HardwareProfile], tuple[float, ...]]] = {
    "op-only": op_only.steps_pj,
    "sram": op_only.steps_pj,
    "chip": chip.steps_pj,
    "lemaire": lemaire.steps_pj,
}


def bill(columns: Columns, profile: HardwareProfile) -> Bill:
    """What the model of the profile's kind charges for the rows of the columns."""
    return _BY_KIND[profile.kind](columns, profile)


def steps_pj(row: LayerCounts, profile: HardwareProfile) -> tuple[float, ...]:
    """Synaptic compute of a row by time step; empty where it does not follow from the counts."""
    return _STEPS[profile.kind](row, profile)
