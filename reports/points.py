"""What a record is worth: its flat row, its value for each objective, and who is on the front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypedDict

import numpy as np

from reports.errors import ReportDataError
from reports.pareto import Floats, Mask, Objective, non_dominated
from reports.record import Key, TrialRecord

Scalar = str | float | int | bool | None

ENERGY = "energy_pj_"  # followed by the name of a profile
KNOB = "knob_"

BEFORE_KNOBS = (
    "number",
    "parent",
    "reading",
    "point",
    "state",
    "reason",
    "variant",
    "architecture",
)
MEASURED = ("validation_accuracy", "validation_samples", "test_accuracy", "test_samples")
_NOT_OF_ALL = ("test", "source_accuracy")  # measured of chosen points, and of trainings, alone
AFTER_ENERGY = ("latency_steps", "parameters", "spikes", "seed", "train_s")


class LayerRow(TypedDict):
    """Energy of one component of one layer, pJ per sample."""

    layer: str
    component: str
    energy_pj: float


LayersOfPoints = Mapping[Key, Mapping[str, Sequence[LayerRow]]]
"""Key of a point -> hardware profile -> rows, layers in the order of the network."""


def flat(record: TrialRecord) -> dict[str, Scalar]:
    """One row of the trials table: column -> value, None where there is none."""
    design, metrics = record.design, record.metrics
    return {
        "number": record.number,
        "parent": record.parent,
        "reading": record.reading,
        "point": record.point,
        "state": record.state,
        "reason": record.reason,
        "variant": record.variant,
        "architecture": design.get("architecture"),
        **{f"{KNOB}{name}": value for name, value in design.get("knobs", {}).items()},
        "validation_accuracy": record.accuracy,
        "validation_samples": (metrics.get("validation") or {}).get("samples"),
        "test_accuracy": record.test_accuracy,
        "test_samples": (metrics.get("test") or {}).get("samples"),
        **metrics.get("values", {}),
        **{f"{ENERGY}{profile}": record.energy_pj(profile) for profile in record.energy},
        "latency_steps": metrics.get("latency_steps"),
        "parameters": metrics.get("parameters"),
        "spikes": metrics.get("spikes"),
        "seed": record.seed,
        "train_s": record.times.get("train_s"),
    }


def columns(records: Iterable[TrialRecord]) -> tuple[str, ...]:
    """Columns of the trials table, in order: knobs, values and profiles as they first appear."""
    seen = list(dict.fromkeys(name for record in records for name in flat(record)))
    knobs = [name for name in seen if name.startswith(KNOB)]
    energies = [name for name in seen if name.startswith(ENERGY)]
    known = (*BEFORE_KNOBS, *knobs, *MEASURED, *energies, *AFTER_ENERGY)
    values = [name for name in seen if name not in known]
    return (*BEFORE_KNOBS, *knobs, *MEASURED, *values, *energies, *AFTER_ENERGY)


def objective_mistakes(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> list[str]:
    """A line for each objective that no column of these records can answer."""
    if all(any(one.name in flat(record) for record in records) for one in objectives):
        return []  # of many records the first ones tell
    known = columns(records)
    has_energy = any(name.startswith(ENERGY) for name in known)
    mistakes = []
    for objective in objectives:
        not_yet = objective.name.startswith(ENERGY) and not has_energy
        if objective.name not in known and not not_yet:
            near = get_close_matches(objective.name, known, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else f" There are {', '.join(known)}"
            mistakes.append(f'objective "{objective.name}": no such column.{hint}')
    return mistakes


def objective_values(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> Floats:
    """Values as stored, (records, objectives): NaN where unknown, or not a complete point.

    Raises ReportDataError if an objective is not a column of these records.
    """
    mistakes = objective_mistakes(records, objectives)
    if mistakes:
        raise ReportDataError("\n".join(mistakes))
    values = np.full((len(records), len(objectives)), np.nan)
    for index, record in enumerate(records):
        if record.state == "complete":
            row = flat(record)
            values[index] = [_number(row.get(objective.name)) for objective in objectives]
    return values


def front(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> tuple[TrialRecord, ...]:
    """The complete records that no other dominates, the best of the first objective first.

    Of points with the same figures, read from one training, the first stands for all.
    """
    values = objective_values(records, objectives)
    chosen = np.flatnonzero(on_front(values, objectives)).tolist()
    sign = -1.0 if objectives[0].goal == "max" else 1.0
    ordered = sorted(chosen, key=lambda i: (sign * values[i, 0], records[i].key))
    kept: dict[tuple[object, ...], TrialRecord] = {}
    for index in ordered:
        kept.setdefault(_figures(records[index]), records[index])
    return tuple(kept.values())


def twins(point: TrialRecord, records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The other points of its training with the same figures, as of two knobs that say the same."""
    figures = _figures(point)
    alike = (one for one in records if one.number == point.number and one.key != point.key)
    return [one for one in alike if one.state == "complete" and _figures(one) == figures]


def _figures(record: TrialRecord) -> tuple[object, ...]:
    """All that was measured of a point before any test; what confirms another stands for itself."""
    own = record.key if record.is_confirmation else record.number
    measured = sorted((n, repr(v)) for n, v in record.metrics.items() if n not in _NOT_OF_ALL)
    totals = sorted((name, repr(row)) for name, row in record.energy.items())
    return own, *measured, *totals


def on_front(values: Floats, objectives: Sequence[Objective]) -> Mask:
    """Which rows lie within all limits and are dominated by no other such row.

    values : (records, objectives), as stored
    """
    able = np.ones(len(values), dtype=np.bool_)
    for column, objective in enumerate(objectives):
        able &= within(values[:, column], objective)
    able[able] = non_dominated(values[able], [o.goal for o in objectives])
    return able


def within(values: Floats, objective: Objective) -> Mask:
    """Which values of an objective, of any shape, lie within its limit; without one all do."""
    if objective.limit is None:
        return np.ones(values.shape, dtype=np.bool_)
    is_within = values >= objective.limit if objective.goal == "max" else values <= objective.limit
    return np.asarray(is_within, dtype=np.bool_)


def variants_of(records: Iterable[TrialRecord], first: Sequence[str] = ()) -> tuple[str, ...]:
    """The named variants, then those of the records that were not named."""
    return tuple(dict.fromkeys([*first, *(record.variant for record in records)]))


def _number(value: Scalar) -> float:
    return float("nan") if value is None or isinstance(value, str) else float(value)
