"""Dominance, fronts and hypervolume: a thin room over moocore, arrays in and out.

Rows are points, columns are objectives, each with its goal `max` or `min`. A row with a value
that is not finite is never on a front and adds no volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

from reports.errors import ReportDataError

Goal = Literal["max", "min"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Pairs = NDArray[np.intp]

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


def levels(values: Floats, goals: Sequence[Goal]) -> NDArray[np.int64]:
    """Level of each row, from 0: those that no row dominates, once the levels before are gone.

    values : (n, m)      goals : m      Exact duplicates share a level.

    Raises ReportDataError for a value that is not finite.
    """
    _refuse_unknown(values, goals)
    # signs of our own: of a single column moocore 0.3 maximises whatever `maximise=[False]` says
    less_is_better = np.where(_maximise(goals), -values, values)
    return np.asarray(moocore.pareto_rank(less_is_better), dtype=np.int64)


def contributions(values: Floats, goals: Sequence[Goal], reference: Floats) -> Floats:
    """What each row of a front alone adds to its hypervolume: (n,), 0 for duplicates.

    values : (n, m)      goals : m      Dominated rows are as if they were not there: 0.

    Raises ReportDataError for a value that is not finite.
    """
    _refuse_unknown(values, goals)
    maximise = _maximise(goals)
    if len(goals) == 1:  # moocore wants two columns: the second is of equals, of width 1
        values = np.column_stack([values, np.zeros(len(values))])
        reference, maximise = np.append(reference, 1.0), [*maximise, False]
    found = moocore.hv_contributions(values, ref=reference, maximise=maximise)
    return np.asarray(found, dtype=np.float64)


def front_probability(values: Floats, draws: Mapping[int, Floats], goals: Sequence[Goal]) -> Floats:
    """Share of the draws in which a row is on the front: (n,), 0 to 1.

    values : (n, m)      goals : m
    draws : column -> (k, n), which takes the place of that column, one draw after the other. The
        draws are joint: row d of all columns belongs together.

    A row that is not finite in a draw is not on the front of that draw, and dominates nobody in it.

    Raises ReportDataError if there is no draw, or one of another shape.
    """
    _finite(values, goals)
    count = _count_of_draws(draws, values.shape)
    current = np.array(values, dtype=np.float64)
    times = np.zeros(len(values))
    for draw in range(count):
        for column, drawn in draws.items():
            current[:, column] = drawn[draw]
        times += non_dominated(current, goals)
    return times / count


def undecided(draws: Floats, level: float = 0.95) -> tuple[Pairs, Floats]:
    """Pairs of designs whose order too few draws agree on.

    draws : (k, n), joint draws of one objective
    level : the order is decided if it holds in this share of the draws, or in more

    Returns the pairs (p, 2), each i < j and in order, and for each the share of draws in which i
    is smaller (p,). A tie counts half. Only draws in which both are finite count; a pair without
    such a draw is left out. Memory grows with n * n and with k * n.

    Raises ReportDataError if the level or the shape makes no sense.
    """
    if not 0.5 < level <= 1:
        raise ReportDataError(f"level {level:g}: it must lie above 0.5, and at most at 1")
    if draws.ndim != 2:
        raise ReportDataError(f"draws of shape {draws.shape}: expected (k, n), one row a draw")
    # a row a design, so that the draws of a pair lie side by side
    known = np.isfinite(draws).T
    rows = np.ascontiguousarray(np.where(known, draws.T, np.nan))
    both = known.astype(np.float64) @ known.T
    pairs, shares = [np.empty((0, 2), dtype=np.intp)], [np.empty(0)]
    for i in range(len(rows) - 1):
        others = rows[i + 1 :]
        # in half draws, where a tie is one and an order is two
        below = (rows[i] < others).sum(axis=1) + (rows[i] <= others).sum(axis=1)
        halves = 2 * both[i, i + 1 :]
        # both ways from whole numbers, so that the answer does not depend on who is called i
        with np.errstate(invalid="ignore"):  # no common draw: NaN, below no level
            [at] = np.nonzero(np.maximum(below, halves - below) / halves < level)
        pairs.append(np.column_stack([np.full(len(at), i), at + i + 1]))
        shares.append(below[at] / halves[at])
    return np.concatenate(pairs), np.concatenate(shares)


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


def _refuse_unknown(values: Floats, goals: Sequence[Goal]) -> None:
    if not _finite(values, goals).all():
        raise ReportDataError("values: one is not finite: must be left out, with its row")


def _count_of_draws(draws: Mapping[int, Floats], shape: tuple[int, ...]) -> int:
    """How many draws there are, the same for every column."""
    n, m = shape
    if not set(draws) <= set(range(m)):
        raise ReportDataError(f"draws of columns {sorted(draws)}: there are columns 0 to {m - 1}")
    sizes = {drawn.shape for drawn in draws.values()}
    if len(sizes) != 1 or any(len(s) != 2 or s[0] < 1 or s[1] != n for s in sizes):
        raise ReportDataError(
            f"draws of shapes {sorted(sizes)}: expected (k, {n}) for each column, with one k >= 1"
        )
    return int(sizes.pop()[0])


def _maximise(goals: Sequence[Goal]) -> list[bool]:
    return [goal == "max" for goal in goals]
