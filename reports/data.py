"""ReportData: everything that a report is made of, typed, with nothing left to look up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reports.errors import ReportDataError
from reports.evidence import EnergyDraws, draw_mistakes
from reports.families import Work
from reports.pareto import Objective
from reports.points import LayersOfPoints, Scalar, objective_mistakes, variants_of
from reports.record import Key, TrialRecord
from reports.text import EnergyUnits


@dataclass(frozen=True, slots=True)
class SweepSummary:
    """What was tried, in the words of the sweep file.

    variants : in the order that decides their colours
    training, budget : as a reader would say them: `20 epochs, Adam`, `200 trials`
    name : of the sweep
    """

    variants: tuple[str, ...]
    architecture: str
    data: str
    training: str
    seed: int
    budget: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Constant:
    """One number of a hardware profile, as texts: `mac`, `4.6`, `pJ`, `32`, how far to trust it.

    value : `curve` where it is one      bits : a width, or `unpublished`
    range, node : `0.9 to 1.1`, `1 to 3.1 x curve`; `45 nm, 0.9 V`
    """

    quantity: str
    value: str
    unit: str
    bits: str
    basis: str
    source: str
    note: str = ""
    range: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """A hardware profile as the page prints it.

    node, voltage : with their units: `45 nm`, `0.9 V`
    conventions : one sentence each: what is charged, what is left out, what is assumed
    """

    name: str
    title: str
    node: str
    voltage: str
    number_format: str
    reference: str
    constants: tuple[Constant, ...]
    conventions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """A known point to compare with.

    values : column of the trials table -> value in its unit: {"validation_accuracy": 0.98}
    source : where the numbers come from
    """

    name: str
    values: Mapping[str, float | None]
    source: str


@dataclass(frozen=True, slots=True)
class LayerRate:
    """The break-even rate of one layer as text, and its own rate, None where none was measured."""

    layer: str
    break_even: str
    rate: float | None


@dataclass(frozen=True, slots=True)
class Opponent:
    """The ANN of the same shape as a point, priced beside it.

    point : its name      profile : on which the point is reported
    name : `ANN int8`      energy_pj, same_numbers_pj : of the ANN, and of the point on
        `network_on`; None where something has no price
    break_even : spikes per input and step at which the point would cost as much, as text; or why
        there is no such rate
    rate : that of the point, None where none was measured
    accuracy : who measured that of the ANN
    network_on : the profile that prices the point beside the ANN
    layers : the same rates by layer, () where there are none
    """

    point: str
    profile: str
    name: str
    energy_pj: float | None
    same_numbers_pj: float | None
    break_even: str
    rate: float | None
    accuracy: str
    network_on: str
    layers: tuple[LayerRate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """A run, ready to be reported.

    run : its name      question : what the sweep asks, as its author wrote it
    objectives : the first is drawn along y and sorts the front, the second along x
    profiles : in the order of the tables
    units : units of energy and their sizes
    layers : energy of layers and components, of the front or of more points
    uncounted : what no number contains, one sentence each
    warnings : what looks wrong in the counts: spikes that stopped being binary, and the like
    assumptions : of counting and pricing, beyond those of the profiles
    data_notes : stands in every figure and on top of the page: approximate data and the like
    environment : versions and machine, name -> text
    commands : key -> the command that makes the point again
    remake : commands that make the whole run and this report again
    citation : how to cite, one entry a work
    energy_draws : the energies of all records under drawn constants, None where nothing was drawn
    opponents : the ANN of the same shape beside each point of the front and the best of each
        variant, where it spikes or its weights are binary
    work : number -> what the network did; of a run that compares designs over several seeds, and
        then of every complete record. Empty: there is no such comparison
    readings : of the family of converted networks: knob that is turned after the training -> its
        value where a design says nothing. Empty: the run has no such family
    """

    run: str
    question: str
    sweep: SweepSummary
    objectives: tuple[Objective, ...]
    profiles: tuple[Profile, ...]
    units: EnergyUnits
    records: tuple[TrialRecord, ...]
    layers: LayersOfPoints = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    data_notes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[Key, str] = field(default_factory=dict)
    remake: tuple[str, ...] = ()
    citation: tuple[str, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    energy_draws: EnergyDraws | None = None
    opponents: tuple[Opponent, ...] = ()
    work: Mapping[int, Work] = field(default_factory=dict)
    readings: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def variants(self) -> tuple[str, ...]:
        """Those of the sweep, then any other that the records know."""
        return variants_of(self.records, self.sweep.variants)

    @property
    def profile_names(self) -> tuple[str, ...]:
        """Names of the profiles, in order."""
        return tuple(profile.name for profile in self.profiles)

    def check(self) -> None:
        """Raise ReportDataError with every contradiction at once."""
        mistakes = [f"report {self.run}: {mistake}" for mistake in _mistakes(self)]
        if mistakes:
            raise ReportDataError("\n".join(mistakes))


def _mistakes(data: ReportData) -> Iterator[str]:
    if not data.objectives:
        yield "objectives: there is none; at least one is needed"
    unanswered = objective_mistakes(data.records, data.objectives)
    yield from unanswered
    if data.energy_draws is not None and not unanswered:
        yield from draw_mistakes(data.records, data.objectives, data.energy_draws)
    names = {record.key: record.name for record in data.records}
    for key, count in Counter(record.key for record in data.records).items():
        if count > 1:
            yield f"records: number {names[key]} stands {count} times; a number names one point"
    worked = {(number, 0) for number in data.work}
    for name, keys in (("layers", data.layers), ("commands", data.commands), ("work", worked)):
        for number, reading in sorted(set(keys) - set(names)):
            yield f"{name}: there is no record {number}{f'.{reading}' if reading else ''}"
    for record in data.records:
        yield from _layer_mistakes(record, data.layers)


def _layer_mistakes(record: TrialRecord, layers: LayersOfPoints) -> Iterator[str]:
    for profile, rows in layers.get(record.key, {}).items():
        priced = record.energy.get(profile, {})
        expected_pj = priced.get("total_pj")
        if expected_pj is None:
            expected_pj = priced.get("partial_pj")
        sum_pj = math.fsum(row["energy_pj"] for row in rows)
        if expected_pj is not None and not math.isclose(sum_pj, expected_pj, rel_tol=1e-6):
            yield (
                f"layers: point {record.name}, {profile}: they add up to {sum_pj:g} pJ, "
                f"the record says {expected_pj:g} pJ"
            )
