"""Dominance, fronts and hypervolume: a thin room over moocore, arrays in and out.

Rows are points, columns are objectives, each with its goal `max` or `min`. A row with a value
that is not finite is never on a front and adds no volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

from reports.errors import ReportDataError

Goal = Literal["max", "min"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MARGIN = 0.1  # of the range seen, between the worst value and the reference


@dataclass(frozen=True, slots=True)
class Objective:
    """What a sweep wants more of, or less of.

    name : a column of the trials table: `validation_accuracy`, `energy_pj_cmos45-fp32`, ...
    label : what stands at an axis, without the unit
    unit : unit of the stored values; `%` shows a fraction in percent, `pJ` chooses a prefix
    log : whether an axis, and the hypervolume, take the decimal logarithm
    limit : the worst value that is still of use; a point beyond it is on no front
    """

    name: str
    goal: Goal
    label: str
    unit: str
    log: bool = False
    limit: float | None = None


def non_dominated(values: Floats, goals: Sequence[Goal]) -> Mask:
    """Which rows no other row dominates; of exact duplicates all stay.

    values : (n, m)      goals : m
    """
    mask = _finite(values, goals)
    if mask.any():
        kept = moocore.is_nondominated(values[mask], maximise=_maximise(goals), keep_weakly=True)
        mask[mask] = kept
    return mask


def transform(values: Floats, objectives: Sequence[Objective]) -> Floats:
    """Values as the hypervolume takes them: log10 where the objective says so.

    A value of 0 or less has no logarithm and becomes NaN.
    """
    taken = np.array(values, dtype=np.float64)
    for column, objective in enumerate(objectives):
        if objective.log:
            positive = taken[:, column] > 0
            taken[~positive, column] = np.nan
            taken[positive, column] = np.log10(taken[positive, column])
    return taken


def restore(taken: Floats, objectives: Sequence[Objective]) -> Floats:
    """Undo `transform`."""
    values = np.array(taken, dtype=np.float64)
    for column, objective in enumerate(objectives):
        if objective.log:
            values[:, column] = np.power(10.0, values[:, column])
    return values


def reference_point(values: Floats, goals: Sequence[Goal]) -> Floats:
    """The corner from which volume is measured: the worst value seen, worsened by a tenth.

    A tenth of the range of each objective; of 1 where all values are equal. So the worst point
    still encloses a volume, and the reference does not depend on units.

    Raises ReportDataError if no row is finite.
    """
    seen = values[_finite(values, goals)]
    if not len(seen):
        raise ReportDataError("reference point: no row has a value for every objective")
    low, high = seen.min(axis=0), seen.max(axis=0)
    step = MARGIN * np.where(high > low, high - low, 1.0)
    return np.asarray(np.where(_maximise(goals), low - step, high + step), dtype=np.float64)


def hypervolume(values: Floats, goals: Sequence[Goal], reference: Floats) -> float:
    """Volume of what the rows dominate, up to the reference; rows beyond it add nothing."""
    seen = values[_finite(values, goals)]
    if not len(seen):
        return 0.0
    return float(moocore.hypervolume(seen, ref=reference, maximise=_maximise(goals)))


def hypervolume_history(values: Floats, goals: Sequence[Goal], reference: Floats) -> Floats:
    """Hypervolume of the first 1, 2, ... n rows: an array of n that never falls."""
    history = np.zeros(len(values))
    front, volume = np.empty((0, len(goals))), 0.0
    for index, is_finite in enumerate(_finite(values, goals)):
        if is_finite:
            candidates = np.vstack([front, values[index]])
            kept = non_dominated(candidates, goals)
            if kept[-1]:
                front = candidates[kept]
                # the same volume summed in another order may lose its last bit
                volume = max(volume, hypervolume(front, goals, reference))
        history[index] = volume
    return history


def _finite(values: Floats, goals: Sequence[Goal]) -> Mask:
    if values.ndim != 2 or values.shape[1] != len(goals):
        raise ReportDataError(
            f"values of shape {values.shape}: expected (n, {len(goals)}), one column a goal"
        )
    return np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)


def _maximise(goals: Sequence[Goal]) -> list[bool]:
    return [goal == "max" for goal in goals]
