"""Trace once, price many: stored counts of many designs on many profiles at once, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from energy_models.columns import Columns, Floats, Mask
from energy_models.counts import ModelCounts
from energy_models.models import kinds
from energy_models.profile import HardwareProfile
from energy_models.values import draws_of, values_of


@dataclass(frozen=True)
class PriceTable:
    """Energy of every design on every profile, per sample.

    profiles : names      partial_pj, complete : (designs, profiles)
    latency_s : (designs, profiles), NaN where a profile has no times, or those of its host not
    """

    profiles: tuple[str, ...]
    partial_pj: Floats
    complete: Mask
    latency_s: Floats

    @property
    def total_pj(self) -> Floats:
        """(designs, profiles), NaN where something has no price."""
        return np.where(self.complete, self.partial_pj, np.nan)


def price_many(designs: Sequence[ModelCounts], profiles: Sequence[HardwareProfile]) -> PriceTable:
    """The totals that `estimate` gives, of all designs on all profiles; a row a design."""
    columns = Columns.side_by_side(designs)
    shape = (len(designs), len(profiles))
    partial_pj, latency_s = np.zeros(shape), np.full(shape, np.nan)
    complete = np.zeros(shape, dtype=np.bool_)
    for index, profile in enumerate(profiles):
        bill = kinds.bill(columns, profile)
        values = values_of(profile)
        for energy_pj in bill.totals_pj(columns, values).values():
            partial_pj[:, index] += energy_pj
        complete[:, index] = bill.is_complete(columns)
        if bill.duration is not None:
            latency_s[:, index] = bill.duration.whole_s(values)
    return PriceTable(tuple(one.name for one in profiles), partial_pj, complete, latency_s)


def draw_many(
    designs: Sequence[ModelCounts], profile: HardwareProfile, *, draws: int = 1000, seed: int = 0
) -> Floats:
    """(draws, designs) total pJ: in one draw of the constants all designs meet the same hardware.

    NaN for a design of which something has no price.
    """
    columns = Columns.side_by_side(designs)
    bill = kinds.bill(columns, profile)
    total_pj = np.zeros((draws, len(designs)))
    for energy_pj in bill.totals_pj(columns, draws_of(profile, draws, seed)).values():
        total_pj += energy_pj
    return np.where(bill.is_complete(columns), total_pj, np.nan)
