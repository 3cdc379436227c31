"""Validation: published figures recomputed with the shipped price lists, and how far off they are.

Every number takes the way of any other energy: counts, price list, estimate. So a constant that
changes, or a model, moves the rows that rest on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from energy_models.bill import Bill
from energy_models.columns import Columns
from energy_models.constants import UNITS
from energy_models.counts import ModelCounts
from energy_models.errors import PublishedError
from energy_models.estimate import estimate
from energy_models.models import kinds
from energy_models.profile import HardwareProfile
from energy_models.published import UNITS_OF, Counts, Row, Saving, published
from energy_models.shelf import load_profile
from energy_models.units import (
    NS_PER_MS,
    NS_PER_S,
    PERCENT,
    PJ_PER_MW_NS,
    format_energy,
)
from energy_models.values import values_of


@dataclass(frozen=True, slots=True)
class Case:
    """A row computed under one convention.

    ours : in the unit of the row; None where it depends on an input that nobody gives
    error_percent : of ours against the published figure      factor : published / ours
    implied : value of the unknown input at which the published figure would come out
    missing : what happened and has no price; ours is the known part then
    arithmetic : the sum, line by line
    """

    convention: str
    profile: str
    ours: float | None
    error_percent: float | None
    factor: float | None
    implied: float | None = None
    missing: tuple[str, ...] = ()
    arithmetic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A published row, what it printed, and what we compute.

    published : in the unit of the row; None where it printed no single number
    case : under the row's own convention; None where nothing is computed
    """

    row: Row
    published: float | None
    case: Case | None
    alternatives: tuple[Case, ...] = ()

    @property
    def holds(self) -> bool | None:
        """Whether ours is complete and within the tolerance; None where nothing is asserted."""
        tolerance = self.row.tolerance_percent
        if tolerance is None:
            return None
        error = None if self.case is None else self.case.error_percent
        is_complete = self.case is not None and not self.case.missing
        return is_complete and error is not None and abs(error) <= tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the row as published, and the cases."""
        return {
            **self.row.model_dump(mode="json", exclude_none=True, exclude={"alternatives"}),
            "published_number": self.published,
            "holds": self.holds,
            "computed": None if self.case is None else asdict(self.case),
            "alternatives": [asdict(case) for case in self.alternatives],
        }


def row_named(name: str) -> Row:
    """The row of an id.

    Raises PublishedError if there is none.
    """
    rows = {row.id: row for row in published()}
    if name not in rows:
        known = ", ".join(rows)
        raise PublishedError(f'published row "{name}": there is no such row. There are: {known}')
    return rows[name]


def recompute(row: Row) -> Result:
    """The row computed again, under its own convention and the alternatives.

    Raises ProfileError if a price list cannot be loaded.
    """
    figure = row.published.number()
    if row.saving is not None:
        return Result(row, figure, _saving(row, row.saving, figure))
    if row.counts is None:
        return Result(row, figure, None)
    case = _case(row, figure, row.convention, _profile_of(row, None), row.counts)
    others = tuple(
        _case(row, figure, one.convention, _profile_of(row, one.profile), one.counts or row.counts)
        for one in row.alternatives
    )
    return Result(row, figure, case, others)


def _profile_of(row: Row, name: str | None) -> HardwareProfile:
    if name is None and row.price_list is not None:
        return row.price_list
    return load_profile(name or row.profile or "")


def _saving(row: Row, saving: Saving, figure: float | None) -> Case:
    mine = recompute(row_named(saving.of)).case
    other = recompute(row_named(saving.against))
    above = None if mine is None else mine.ours
    below = other.published
    if saving.against_takes == "ours":
        below = None if other.case is None else other.case.ours
    if mine is None or above is None or not below:
        return Case(row.convention, "", None, None, None)
    parts = _Parts(below - above, below / PERCENT, mine.missing, ())
    line = f"1 - {above:.6g} / {below:.6g} = {parts.quotient:.5g} %"
    return _compared(figure, row.convention, mine.profile, replace(parts, arithmetic=(line,)))


def _case(
    row: Row, figure: float | None, convention: str, profile: HardwareProfile, counts: Counts
) -> Case:
    """Ours, and where an input is unknown, the value of it that the figure implies."""
    unknown = row.unknown
    if unknown is None:
        return _compared(figure, convention, profile.name, _parts(row, profile, counts, {}))

    def at(value: float) -> _Parts:
        return _parts(row, profile, counts, {unknown.name: value})

    implied = None if figure is None else _root(figure, at(0.0), at(1.0))
    if unknown.assumed is not None or implied is None:
        parts = at(unknown.assumed or 0.0)
    else:
        parts = at(implied)
    case = _compared(figure, convention, profile.name, parts)
    if implied is None:
        return case
    case = replace(case, implied=implied * unknown.scale)
    if unknown.assumed is None:
        # what comes out there is the published figure itself: no result of ours
        case = replace(case, ours=None, error_percent=None, factor=None)
    return case


def _root(figure: float, at_none: _Parts, at_one: _Parts) -> float | None:
    """Where the quotient is the figure, None if it does not depend on the unknown.

    Above and below are affine in the unknown, so is above - figure x below.
    """
    if (at_none.above, at_none.below) == (at_one.above, at_one.below):
        return None
    start = at_none.above - figure * at_none.below
    end = at_one.above - figure * at_one.below
    return None if start == end else start / (start - end)


def _compared(figure: float | None, convention: str, profile: str, parts: _Parts) -> Case:
    ours = parts.quotient
    error_percent = factor = None
    if figure and ours is not None:
        error_percent = (ours / figure - 1) * PERCENT
        factor = figure / ours if ours else None
    return Case(
        convention=convention,
        profile=profile,
        ours=ours,
        error_percent=error_percent,
        factor=factor,
        missing=parts.missing,
        arithmetic=parts.arithmetic,
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """A quantity as a quotient, in the unit of the row; both parts are affine in an unknown."""

    above: float
    below: float
    missing: tuple[str, ...]
    arithmetic: tuple[str, ...]

    @property
    def quotient(self) -> float | None:
        return self.above / self.below if self.below else None


def _parts(row: Row, profile: HardwareProfile, counts: Counts, unknown: dict[str, float]) -> _Parts:
    document = counts.model_counts(unknown)
    energy = estimate(document, profile)
    seconds = energy.latency_s
    missing = energy.missing
    arithmetic = tuple(_arithmetic(document, profile))
    above, below = energy.partial_pj, UNITS_OF[row.quantity][row.published.unit]
    if row.quantity in ("power", "latency") and seconds is None:
        missing = (*missing, "no time of a step")
    if row.quantity == "power":
        below *= (seconds or 0.0) * NS_PER_S * PJ_PER_MW_NS
    elif row.quantity == "latency":
        above = (seconds or 0.0) * NS_PER_S
        arithmetic = tuple(_duration(document, profile))
        missing = () if seconds is not None else missing
    elif row.quantity == "energy-per-event":
        below *= document.ops.effective
    elif row.quantity == "ratio" and row.against is not None:
        other = row.against.model_counts(unknown)
        theirs = estimate(other, profile)
        above, below = theirs.partial_pj, above
        missing = (*theirs.missing, *missing)
        arithmetic = (*_arithmetic(other, profile), *arithmetic)
    return _Parts(above, below, missing, arithmetic)


def _arithmetic(counts: ModelCounts, profile: HardwareProfile) -> Iterator[str]:
    """What the bill of the network charges: quantity x constant, one line each."""
    columns = Columns.side_by_side([counts])
    bill = kinds.bill(columns, profile)
    values = values_of(profile)
    constants = profile.constants()
    for term in bill.terms:
        for index in np.flatnonzero(term.quantity):
            quantity, price = float(term.quantity[index]), float(values[term.constant])
            yield (
                f"{columns.rows[index].name}: {quantity:,.10g} x {term.constant} {price:g} pJ"
                f" = {format_energy(quantity * price, 5)}"
            )
    seconds = _seconds(bill, profile)
    for one in bill.network:
        quantity, price = float(one.quantity[0]), float(values[one.constant])
        unit = UNITS[constants[one.constant].unit]
        lasts = f" x {seconds * NS_PER_S / NS_PER_MS:g} ms" if one.timed else ""
        times = seconds * NS_PER_S * PJ_PER_MW_NS if one.timed else 1.0
        yield (
            f"{one.component}: {quantity:g} x {one.constant} {price:g} {unit}{lasts}"
            f" = {format_energy(quantity * price * times, 5)}"
        )


def _duration(counts: ModelCounts, profile: HardwareProfile) -> Iterator[str]:
    columns = Columns.side_by_side([counts])
    bill = kinds.bill(columns, profile)
    values = values_of(profile)
    if bill.duration is None:
        return
    lasts = bill.duration
    parts = {
        f"{float(lasts.steps[0]):g} steps": lasts.step,
        f"{float(lasts.events[0]):g} events": lasts.event,
        "host": lasts.host,
    }
    for what, constant in parts.items():
        if constant is not None:
            yield f"{what}: {constant} {float(values[constant]):g} ns"
    yield f"time: {_seconds(bill, profile) * NS_PER_S / NS_PER_MS:.5g} ms"


def _seconds(bill: Bill, profile: HardwareProfile) -> float:
    return 0.0 if bill.duration is None else float(bill.duration.seconds(values_of(profile))[0])
