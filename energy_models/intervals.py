"""Intervals: what the ranges of the constants make of an energy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from energy_models.bill import Bill
from energy_models.columns import Columns, Floats
from energy_models.profile import HardwareProfile
from energy_models.values import draws_of, ranges_of, values_of

LEVEL = 0.95  # share of the draws that lies inside an interval


@dataclass(frozen=True, slots=True)
class Interval:
    """Where an energy lies, in pJ: the middle draw, and the ends between which 95 % of them lie."""

    low_pj: float
    median_pj: float
    high_pj: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """An interval per component and for the total of all that has a price.

    drawn : constants with a range -> low and high of it     fixed : constants without one
    at_an_end : drawn constants whose value, with which the total is priced, is an end of its range:
        that total lies at an end of the interval, or outside
    """

    components: Mapping[str, Interval]
    total: Interval
    drawn: Mapping[str, tuple[float, float]]
    fixed: tuple[str, ...]
    draws: int
    seed: int
    at_an_end: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "components": {name: asdict(one) for name, one in self.components.items()},
            "total": asdict(self.total),
            "drawn": {name: list(ends) for name, ends in self.drawn.items()},
            "fixed": list(self.fixed),
            "at_an_end": list(self.at_an_end),
            "draws": self.draws,
            "seed": self.seed,
            "level": LEVEL,
        }


def intervals(
    columns: Columns, bill: Bill, profile: HardwareProfile, draws: int, seed: int
) -> Intervals:
    """Intervals of the first design of a bill; constants that it does not use are left out."""
    by_component = bill.totals_pj(columns, draws_of(profile, draws, seed))
    ranges = ranges_of(profile)
    used = bill.constants_used()
    found = {name: _interval(pj[..., 0]) for name, pj in by_component.items()}
    total = sum((pj[..., 0] for pj in by_component.values()), np.zeros(draws))
    return Intervals(
        components=found,
        total=_interval(total),
        drawn={name: ranges[name][:2] for name in sorted(used & set(ranges))},
        fixed=tuple(sorted(used - set(ranges))),
        draws=draws,
        seed=seed,
        at_an_end=tuple(_at_an_end(profile, used)),
    )


def _at_an_end(profile: HardwareProfile, used: Collection[str]) -> Iterator[str]:
    values = values_of(profile)
    for name, (low, high, _) in sorted(ranges_of(profile).items()):
        if name in used and float(values[name]) in (low, high):
            end = "low" if float(values[name]) == low else "high"
            yield f"{name} is priced at the {end} end of its range"


def _interval(energy_pj: Floats) -> Interval:
    ends = np.quantile(energy_pj, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return Interval(*(float(end) for end in ends))
