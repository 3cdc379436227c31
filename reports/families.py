"""Families: designs that were trained with several seeds, as means and spreads, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from reports.points import Scalar, variants_of
from reports.record import TrialRecord
from reports.text import EnergyUnits, format_knob, knob_items

REFERENCE = "ann"  # the family that the others are held against
_Design = TypeVar("_Design", "Family", "_Measured")


@dataclass(frozen=True, slots=True)
class Work:
    """What one trained network did, per sample.

    mac, ac, graded, binary : products of two factors that are not zero
    dense_mac, dense_ac, dense_graded, dense_binary : all positions, whatever the value
    updates : comparisons with a threshold: one a neuron and step
    spike_rate : spikes per neuron and step, over all neurons; None where none spikes
    """

    mac: float = 0.0
    dense_mac: float = 0.0
    ac: float = 0.0
    dense_ac: float = 0.0
    graded: float = 0.0
    dense_graded: float = 0.0
    binary: float = 0.0
    dense_binary: float = 0.0
    updates: float = 0.0
    spike_rate: float | None = None


WORK = tuple(one.name for one in fields(Work))


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds.

    sd : sample standard deviation (n - 1), None for a single seed      seeds : how many
    """

    value: float
    sd: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Mean | None:
        """The mean of known values; None if there is none, or if one is unknown."""
        given = list(values)
        known = [float(value) for value in given if value is not None]
        if not known or len(known) < len(given):
            return None
        sd = statistics.stdev(known) if len(known) > 1 else None
        return cls(statistics.fmean(known), sd, len(known))


@dataclass(frozen=True, slots=True)
class Family:
    """One design: a network family and its knobs, over all its seeds.

    numbers : its complete trainings      unfinished : how many ended otherwise
    knobs : all of them      varied : those that are not the same in every design that has them
    is_selected : of its family it has the best mean accuracy on validation data
    test, validation : accuracy, 0 to 1      test_samples : how many images, if known
    work : name of a number of `Work` -> its mean
    energy_pj : profile -> per sample, None where a total is not complete
    ratio : mean energy on the first profile over that of the reference, None without one
    train_s : seconds of training
    """

    variant: str
    numbers: tuple[int, ...]
    unfinished: int
    knobs: Mapping[str, Scalar]
    varied: tuple[str, ...]
    is_selected: bool
    test: Mean | None
    test_samples: int | None
    validation: Mean | None
    work: Mapping[str, Mean | None]
    energy_pj: Mapping[str, Mean | None]
    ratio: float | None
    train_s: Mean | None

    @property
    def differences(self) -> str:
        """`time_steps 4`: the knobs by which it differs from another design."""
        return named(self.varied, self.knobs)


@dataclass(frozen=True, slots=True)
class FamilyPoint:
    """A design in a figure: energy in the unit of the axis, accuracy in percent.

    name : the knobs by which it differs from others of its family
    """

    variant: str
    name: str
    energy: float
    energy_sd: float
    accuracy: float
    accuracy_sd: float
    is_selected: bool


def families(
    records: Sequence[TrialRecord],
    work: Mapping[int, Work],
    profiles: Sequence[str],
    variants: Sequence[str] = (),
) -> tuple[Family, ...]:
    """One row a design, families in their order, designs as they were first trained.

    work : number of a record -> what its network did
    profiles : the first prices the ratio
    """
    designs: dict[tuple[str, tuple[tuple[str, Scalar], ...]], list[TrialRecord]] = {}
    for record in sorted(records, key=lambda one: one.number):
        if record.parent is None:
            key = record.variant, tuple(sorted(knob_items(record)))
            designs.setdefault(key, []).append(record)
    order = variants_of(records, variants)
    keys = sorted(designs, key=lambda key: order.index(key[0]))
    varied = varying([dict(knobs) for _, knobs in keys])
    measured = [_Measured(designs[key], work, profiles) for key in keys]
    first = profiles[0] if profiles else ""
    chosen = _chosen(measured, first)
    return tuple(
        Family(
            variant=one.variant,
            numbers=tuple(record.number for record in one.complete),
            unfinished=one.unfinished,
            knobs=one.knobs,
            varied=tuple(name for name in one.knobs if name in varied),
            is_selected=one is chosen.get(one.variant),
            test=one.test,
            test_samples=one.test_samples,
            validation=one.validation,
            work=one.work,
            energy_pj=one.energy_pj,
            ratio=_ratio(one, reference(one.knobs, measured), first),
            train_s=one.train_s,
        )
        for one in measured
    )


def family_points(
    rows: Sequence[Family], profile: str, units: EnergyUnits
) -> tuple[str, tuple[FamilyPoint, ...]]:
    """Test accuracy against energy: the unit of the energies, and a point for each design.

    A design without a test accuracy or a complete energy is left out.
    """
    known = [
        (row, energy, row.test)
        for row in rows
        if (energy := row.energy_pj.get(profile)) is not None and row.test is not None
    ]
    own = {
        variant: varying([row.knobs for row in rows if row.variant == variant])
        for variant in {row.variant for row in rows}
    }
    unit, size_pj = units.choose(statistics.median([e.value for _, e, _ in known] or [0.0]))
    return unit, tuple(
        FamilyPoint(
            row.variant,
            named([name for name in row.varied if name in own[row.variant]], row.knobs),
            energy.value / size_pj,
            (energy.sd or 0.0) / size_pj,
            100 * test.value,
            100 * (test.sd or 0.0),
            row.is_selected,
        )
        for row, energy, test in known
    )


def reference(knobs: Mapping[str, Scalar], designs: Iterable[_Design]) -> _Design | None:
    """Of the reference family the design with the most knobs in common; then the most accurate."""

    def rank(other: _Design) -> tuple[int, float]:
        shared = sum(knobs.get(name) == value for name, value in other.knobs.items())
        return shared, other.validation.value if other.validation else 0.0

    return max((one for one in designs if one.variant == REFERENCE), key=rank, default=None)


def named(names: Iterable[str], knobs: Mapping[str, Scalar]) -> str:
    """`time_steps 4, width 0.5`: some of the knobs, with their values."""
    return ", ".join(f"{name} {format_knob(knobs[name])}" for name in names)


class _Measured:
    """The trainings of one design, averaged."""

    def __init__(
        self, trained: Sequence[TrialRecord], work: Mapping[int, Work], profiles: Sequence[str]
    ) -> None:
        self.variant = trained[0].variant
        self.knobs = dict(knob_items(trained[0]))
        self.complete = complete = [one for one in trained if one.state == "complete"]
        self.unfinished = len(trained) - len(complete)
        self.test = Mean.of(one.test_accuracy for one in complete)
        samples = {(one.metrics.get("test") or {}).get("samples") for one in complete}
        self.test_samples: int | None = samples.pop() if len(samples) == 1 else None
        self.validation = Mean.of(one.accuracy for one in complete)
        done = [work.get(one.number) for one in complete]
        self.work = {
            name: Mean.of(None if one is None else getattr(one, name) for one in done)
            for name in WORK
        }
        self.energy_pj = {
            profile: Mean.of(one.energy_pj(profile) for one in complete) for profile in profiles
        }
        self.train_s = Mean.of(one.times.get("train_s") for one in complete)


def varying(designs: Sequence[Mapping[str, Scalar]]) -> set[str]:
    """The knobs that have several values among the designs that have them."""
    values: dict[str, set[Scalar]] = {}
    for knobs in designs:
        for name, value in knobs.items():
            values.setdefault(name, set()).add(value)
    return {name for name, seen in values.items() if len(seen) > 1}


def _chosen(measured: Sequence[_Measured], profile: str) -> dict[str, _Measured]:
    """Of each family the best on validation; of equals the one of least energy, then the first."""

    def rank(one: _Measured) -> tuple[float, float]:
        energy = one.energy_pj.get(profile)
        accuracy = one.validation.value if one.validation else 0.0
        return -accuracy, float("inf") if energy is None else energy.value

    chosen: dict[str, _Measured] = {}
    for one in measured:
        if one.validation is not None:
            best = chosen.get(one.variant)
            chosen[one.variant] = one if best is None or rank(one) < rank(best) else best
    return chosen


def _ratio(one: _Measured, reference: _Measured | None, profile: str) -> float | None:
    own = one.energy_pj.get(profile)
    other = None if reference is None else reference.energy_pj.get(profile)
    return None if own is None or other is None or not other.value else own.value / other.value
