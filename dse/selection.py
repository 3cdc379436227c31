"""Selection: the objectives of a record, the front, and the best of each variant, on validation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dse.config import Objective as Wanted
from dse.config import SweepConfig
from dse.space import Space
from reports import pareto, points
from reports.pareto import Objective
from reports.record import TrialRecord

# these trainings count against `trials: N`; a refused design costs nothing
COUNTED = ("complete", "stopped", "failed")

_SHOWN = {
    # name in a sweep file -> column of the trials table, label, unit, logarithmic
    "accuracy": ("validation_accuracy", "validation accuracy", "%", False),
    "latency_steps": ("latency_steps", "latency", "steps", False),
    "parameters": ("parameters", "parameters", "", True),
    "spikes": ("spikes", "spikes per inference", "", False),
}


def trainings(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The records that a budget of trials counts: not the points that were made from them."""
    return [one for one in records if one.parent is None and one.state in COUNTED]


def objectives(config: SweepConfig) -> tuple[Objective, ...]:
    """The objectives of a sweep as columns of its records."""
    return tuple(_column(wanted) for wanted in config.objectives)


def objective_values(record: TrialRecord, config: SweepConfig) -> list[float]:
    """All objectives of one record, in the order of the sweep file; NaN where there is none."""
    values: list[float] = points.objective_values([record], objectives(config))[0].tolist()
    return values


def sampled_values(records: Sequence[TrialRecord], config: SweepConfig) -> list[list[float]]:
    """All objectives of some records as a sampler is to see them: energy as log10."""
    wanted = objectives(config)
    rows = pareto.transform(points.objective_values(records, wanted), wanted)
    found: list[list[float]] = rows.tolist()
    return found


def excesses(record: TrialRecord, config: SweepConfig) -> dict[str, float]:
    """By how much a complete record is beyond each limit of the sweep; within it if <= 0."""
    values = objective_values(record, config)
    return {
        wanted.name: (wanted.limit - value if wanted.goal == "max" else value - wanted.limit)
        for wanted, value in zip(config.objectives, values, strict=True)
        if wanted.limit is not None
    }


def spread(values: Sequence[Sequence[float]], config: SweepConfig, most: int) -> list[int]:
    """Places of at most so many points that no other dominates, spread over that front.

    values : (points, objectives), finite. Both ends of the first objective come first.
    """
    if not values:
        return []
    able = pareto.non_dominated(np.array(values), [one.goal for one in config.objectives])
    left = sorted(np.flatnonzero(able).tolist(), key=lambda i: (*values[i], i))
    chosen = [left[-1]] if config.objectives[0].goal == "max" else [left[0]]
    if len(left) > 1 and most > 1:
        chosen.append(left[0] if chosen[0] == left[-1] else left[-1])
    inner = left[1:-1]
    room = min(max(0, most - len(chosen)), len(inner))
    return chosen + [inner[(2 * i + 1) * len(inner) // (2 * room)] for i in range(room)]


def front(records: Sequence[TrialRecord], config: SweepConfig) -> tuple[TrialRecord, ...]:
    """The complete records within all limits that no other one dominates, most accurate first."""
    return points.front(records, objectives(config))


def nearest(records: Sequence[TrialRecord], config: SweepConfig, most: int) -> list[TrialRecord]:
    """The records that could be on the front: by level of non-dominance, so many or a few more.

    A level is taken whole. Limits are left aside.
    """
    wanted = objectives(config)
    values = points.objective_values(records, wanted)
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    if len(known) <= most:
        return [records[index] for index in known.tolist()]
    levels = pareto.levels(values[known], [one.goal for one in wanted])
    last = np.sort(levels)[most - 1]
    return [records[index] for index in known[levels <= last].tolist()]


def hypervolume(records: Sequence[TrialRecord], config: SweepConfig) -> float | None:
    """Hypervolume of all records so far, energy as log10, from the worst point seen.

    None before there are two different points.
    """
    wanted = objectives(config)
    goals = [objective.goal for objective in wanted]
    values = pareto.transform(points.objective_values(records, wanted), wanted)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < 2:
        return None
    return pareto.hypervolume(values, goals, pareto.reference_point(values, goals))


def best_of_each_variant(records: Sequence[TrialRecord], profile: str) -> list[TrialRecord]:
    """Of each variant the complete record with the best validation accuracy, then the cheapest."""
    best: dict[str, tuple[float, float, TrialRecord]] = {}
    for record in records:
        if record.state != "complete" or record.accuracy is None:
            continue
        energy_pj = record.energy_pj(profile)
        rank = (-record.accuracy, math.inf if energy_pj is None else energy_pj)
        if record.variant not in best or rank < best[record.variant][:2]:
            best[record.variant] = (*rank, record)
    return [record for _, _, record in best.values()]


def planned(config: SweepConfig, space: Space) -> int | None:
    """How many trials a sweep is to have; None where its budget is a time."""
    if config.budget.repeats is None:
        return config.budget.trials
    return config.budget.repeats * (space.size() or 0)


def budget_text(config: SweepConfig, space: Space) -> str:
    """`96 trials`, `24 trials (8 designs, 3 times each)` or `2.0 CPU hours`."""
    trials = planned(config, space)
    if trials is None:
        return f"{config.budget.cpu_hours} CPU hours"
    if config.budget.repeats is None:
        return f"{trials} trials"
    times = "once each" if config.budget.repeats == 1 else f"{config.budget.repeats} times each"
    return f"{trials} trials ({space.size()} designs, {times})"


def seconds_left(
    records: Sequence[TrialRecord], config: SweepConfig, workers: int, trials: int | None
) -> float | None:
    """Estimated time to the end of the budget; None before the first trial has finished.

    trials : how many are planned in all, None where the budget is a time
    """
    done = len(trainings(records))
    if not done:
        return None
    spent_s = sum(record.times["total_s"] for record in records)  # with what was read from them
    if trials is None:
        left_s = 3600 * (config.budget.cpu_hours or math.inf) - spent_s
    else:
        left_s = (trials - done) * spent_s / done
    return max(0.0, float(left_s)) / max(1, workers)


def _column(wanted: Wanted) -> Objective:
    if wanted.name == "energy_pj":
        label = f"energy per inference on {wanted.hardware}"
        column, unit, log = f"{points.ENERGY}{wanted.hardware}", "pJ", True
    else:
        column, label, unit, log = _SHOWN[wanted.name]
    return Objective(column, wanted.goal, label, unit, log, wanted.limit)
