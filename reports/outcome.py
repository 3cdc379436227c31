"""What came of the trials: reasons, gaps, the best of each variant, and one sentence for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reports.pareto import Objective, non_dominated
from reports.points import flat, front, objective_values
from reports.record import STATES, Key, TrialRecord
from reports.text import EnergyUnits, format_percent, format_value

_WORDS = {
    "complete": "complete",
    "stopped": "stopped early",
    "failed": "failed",
    "refused": "refused before training",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some records ended as they did. numbers : `#3–#5, #9`"""

    state: str
    reason: str
    count: int
    numbers: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Complete points whose energy on a profile has no total, and what was missing."""

    profile: str
    missing: tuple[str, ...]
    numbers: str


@dataclass(frozen=True, slots=True)
class Best:
    """The best point of a variant for one objective; `others`: the rest, and its test accuracy."""

    name: str
    value: str
    others: str


@dataclass(frozen=True, slots=True)
class VariantOutcome:
    """tried, complete : trainings      on_front : points, also those made from a training

    bests : one an objective, empty without a complete point
    """

    variant: str
    tried: int
    complete: int
    on_front: int
    bests: tuple[Best, ...]


def ranges(keys: Iterable[Key]) -> str:
    """`#3–#5, #9, #9.1–#9.7`: trainings, then what was made from each."""
    every = set(keys)
    trained = [("", number) for number, reading in sorted(every) if not reading]
    made = [(f"{number}.", reading) for number, reading in sorted(every) if reading]
    runs: list[tuple[str, int, int]] = []
    for prefix, number in (*trained, *made):
        if runs and (prefix, number - 1) == (runs[-1][0], runs[-1][2]):
            runs[-1] = (prefix, runs[-1][1], number)
        else:
            runs.append((prefix, number, number))
    return ", ".join(
        f"#{prefix}{low}" if low == high else f"#{prefix}{low}–#{prefix}{high}"
        for prefix, low, high in runs
    )


def state_counts(records: Sequence[TrialRecord]) -> dict[str, int]:
    """`complete`, `stopped early`, ... -> how many, none left out."""
    return {_WORDS[state]: sum(record.state == state for record in records) for state in STATES}


def reasons(records: Sequence[TrialRecord]) -> tuple[Reason, ...]:
    """Every record that is not complete, grouped by state and reason, the largest group first."""
    groups: dict[tuple[str, str], list[Key]] = {}
    for record in records:
        if record.state != "complete":
            reason = record.reason or "no reason was recorded"
            if record.state == "stopped":  # when, and not against whom, which differs for each
                reason = reason.partition(":")[0]
            groups.setdefault((record.state, reason), []).append(record.key)
    ordered = sorted(groups.items(), key=lambda g: (STATES.index(g[0][0]), -len(g[1]), g[0][1]))
    return tuple(
        Reason(_WORDS[state], reason, len(numbers), ranges(numbers))
        for (state, reason), numbers in ordered
    )


def gaps(records: Sequence[TrialRecord], profiles: Sequence[str]) -> tuple[Gap, ...]:
    """Where a complete point has no total energy, grouped by what was missing."""
    groups: dict[tuple[str, tuple[str, ...]], list[Key]] = {}
    for record in records:
        for profile in profiles if record.state == "complete" else ():
            if record.energy_pj(profile) is None:
                row = record.energy.get(profile)
                missing = ("not priced on this profile",) if row is None else row.get("missing", ())
                groups.setdefault((profile, tuple(missing)), []).append(record.key)
    return tuple(
        Gap(profile, missing, ranges(numbers)) for (profile, missing), numbers in groups.items()
    )


def by_variant(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    variants: Sequence[str],
    units: EnergyUnits,
) -> tuple[VariantOutcome, ...]:
    """For each variant: how many were tried, and its best point for each objective."""
    chosen = {record.key for record in front(records, objectives)}
    outcomes = []
    for variant in variants:
        own = [record for record in records if record.variant == variant]
        outcomes.append(
            VariantOutcome(
                variant,
                sum(record.parent is None for record in own),
                sum(record.parent is None and record.state == "complete" for record in own),
                sum(record.key in chosen for record in own),
                _bests(own, objectives, units),
            )
        )
    return tuple(outcomes)


def summary(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], units: EnergyUnits
) -> str:
    """The run in one sentence."""
    trained = sum(record.parent is None and record.state != "refused" for record in records)
    read = sum(record.parent is not None for record in records)
    tried = f"{trained} trial{'' if trained == 1 else 's'}"
    if read:
        tried += f" and {read} point{'' if read == 1 else 's'} made from them"
    counts = ", ".join(f"{n} {word}" for word, n in state_counts(records).items() if n)
    points = front(records, objectives)
    if not points:
        found = counts or "nothing yet"
        return f"{tried}: {found}; no point has a value for every objective within its limit."
    ends = [f"#{p.name} ({p.variant}) with {_values(p, objectives, units)}" for p in points]
    if len(points) == 1:
        return f"{tried}: {counts}; one point is best in everything: {ends[0]}."
    return f"{tried}: {counts}; {len(points)} points form the front, from {ends[0]} to {ends[-1]}."


def _bests(
    own: Sequence[TrialRecord], objectives: Sequence[Objective], units: EnergyUnits
) -> tuple[Best, ...]:
    values = objective_values(own, objectives)
    usable = np.flatnonzero(np.isfinite(values).all(axis=1)).tolist()
    bests = []
    for index, objective in enumerate(objectives if usable else ()):
        # among equals, one that no other dominates
        kept = non_dominated(values, [o.goal for o in objectives])
        sign = -1.0 if objective.goal == "max" else 1.0
        best = own[min(usable, key=lambda i: (sign * values[i, index], not kept[i]))]
        others = [other for other in objectives if other != objective]
        also = _values(best, others, units)
        if best.test_accuracy is not None:
            also = " and ".join(filter(None, [also, f"test {format_percent(best.test_accuracy)}"]))
        bests.append(Best(best.name, _values(best, [objective], units), also))
    return tuple(bests)


def _values(record: TrialRecord, objectives: Sequence[Objective], units: EnergyUnits) -> str:
    row = flat(record)
    samples = row["validation_samples"]
    texts = [
        format_value(
            row.get(objective.name),
            objective.unit,
            units,
            samples=samples if isinstance(samples, int) else None,
        )
        for objective in objectives
    ]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
