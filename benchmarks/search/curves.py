"""Curves: hypervolume on test of the front chosen on validation, against seconds spent."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from benchmarks.search.problems import Problem
from benchmarks.search.rows import Row
from reports.pareto import MARGIN, Floats, Goal, hypervolume, non_dominated

_GOALS: tuple[Goal, ...] = ("min", "min", "min")


@dataclass(frozen=True, slots=True)
class State:
    """What a run had come to.

    volume : of the front, on test; 1 = a design that errs never, at least energy, in one step
    front : different points that no other dominates, on validation
    held : those of them that no other one of them dominates on test
    trainings : finished, whatever came of them
    """

    cpu_s: float
    volume: float
    front: int
    held: int
    trainings: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The states of one run after each training, in order, from nothing on."""

    states: tuple[State, ...]

    def at(self, cpu_s: float) -> State:
        """What there was at that second."""
        return self.states[bisect_right([state.cpu_s for state in self.states], cpu_s) - 1]

    def first_with(self, volume: float) -> float | None:
        """The second at which so much volume was there first; None if it never was."""
        return next((state.cpu_s for state in self.states if state.volume >= volume), None)

    def last_without(self, volume: float) -> float | None:
        """The second from which on so much volume was always there; None if it was not at the end.

        A front that is chosen on validation can lose volume on test.
        """
        since = None
        for state in self.states:
            if state.volume < volume:
                since = None
            elif since is None:
                since = state.cpu_s
        return since


def curve(rows: Sequence[Row], problem: Problem, worst_error: float | None = None) -> Curve:
    """The curve of one run. worst_error : of the box; None = that of a guess"""
    states = [State(0.0, 0.0, 0, 0, 0)]
    kept: list[Row] = []
    trainings = 0
    for cpu_s, group in groupby(rows, key=lambda row: row.cpu_s):
        new = list(group)
        trainings += sum("." not in row.point for row in new)
        kept = _front([*kept, *new])
        on_test = np.array([_on_test(row) for row in kept]).reshape(-1, 3)
        costs = np.array([row.costs for row in kept]).reshape(-1, 3)
        volume = volume_in_box(on_test, problem, worst_error)
        held = np.unique(on_test[non_dominated(on_test, _GOALS)], axis=0)
        size = len(np.unique(costs, axis=0))
        states.append(State(cpu_s, volume, size, min(size, len(held)), trainings))
    return Curve(tuple(states))


def volume_in_box(costs: Floats, problem: Problem, worst_error: float | None = None) -> float:
    """Hypervolume of (error, energy in pJ, time steps), as a share of the largest there can be.

    Energy and time steps count by their logarithms. As in a report, volume is measured from a tenth
    of the range beyond the worst, so that a point at the edge still counts.
    """
    low_pj, high_pj = problem.energy_pj
    lowest = np.array([0.0, math.log10(low_pj), 0.0])
    most = [worst_error or problem.guess_error, math.log10(high_pj)]
    highest = np.array([*most, math.log10(problem.most_time_steps)])
    taken = np.column_stack([costs[:, 0], np.log10(costs[:, 1:])])
    taken = np.maximum((taken - lowest) / (highest - lowest), 0.0)
    reference = np.full(3, 1.0 + MARGIN)
    return hypervolume(taken, _GOALS, reference) / float(np.prod(reference))


def _front(rows: Sequence[Row]) -> list[Row]:
    costs = np.array([row.costs for row in rows]).reshape(-1, 3)
    mask = non_dominated(costs, _GOALS)
    return [row for row, is_kept in zip(rows, mask, strict=True) if is_kept]


def _on_test(row: Row) -> tuple[float, float, float]:
    if row.test_accuracy is None:
        raise ValueError(f"{row.method}, seed {row.seed}, point {row.point}: not measured on test")
    return 1 - row.test_accuracy, row.costs[1], row.costs[2]


@dataclass(frozen=True, slots=True)
class Race:
    """One seed: when we had what another method had at its budget.

    ratio : budget over our seconds; where we never had it, the largest that it could be
    is_reached : whether we had it
    lasting : the same from the second on from which we always had it; None if not at the end
    """

    ratio: float
    is_reached: bool
    lasting: float | None


def race(ours: Curve, theirs: Curve, budget_s: float) -> Race:
    """How much sooner we were."""
    wanted = theirs.at(budget_s).volume
    first, since = ours.first_with(wanted), ours.last_without(wanted)
    end_s = max(ours.states[-1].cpu_s, budget_s)
    return Race(
        ratio=budget_s / (first or end_s),
        is_reached=first is not None,
        lasting=None if since is None else budget_s / since,
    )


def geometric_mean(values: Sequence[float]) -> float:
    """Of ratios."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
