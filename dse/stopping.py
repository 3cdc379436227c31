"""Stopping: which trainings to stop early, for several objectives at once.

At some epochs, the rungs, a training is held against all others that were at the same epoch: by
level of non-dominance, and inside a level, which with several objectives holds half of them, by
what each adds to the hypervolume. As MO-ASHA (Schmucker et al., arXiv 2106.12639) it goes on in the
best 1/factor. It also goes on if it is no worse than the middle of those of similar energy: a
cheap network is weaker than a dear one, and may still be the best of its price.

Only accuracies of the same epoch are compared: under a schedule that ends with the training, none
of them is a final one. Nothing here trains, measures or remembers. The caller keeps the entries of
all workers, and asks with those that it knows: whoever gives the same entries, in whatever order,
gets the same answer. For the same table with any number of workers, give only entries that do not
depend on who was faster.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reports import pareto
from reports.pareto import Floats, Objective


@dataclass(frozen=True, slots=True)
class Entry:
    """How a training stood at the end of an epoch.

    number : of the training; one has at most one entry an epoch
    values : one for each objective, as stored; NaN where there is none
    energy_pj : tells which trainings are alike in price; NaN if unknown
    """

    number: int
    epoch: int
    values: tuple[float, ...]
    energy_pj: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON, None for NaN."""
        values = [_or_none(value) for value in self.values]
        return {**asdict(self), "values": values, "energy_pj": _or_none(self.energy_pj)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Entry:
        """Undo `to_dict`."""
        values = tuple(_or_nan(value) for value in row["values"])
        return cls(row["number"], row["epoch"], values, _or_nan(row["energy_pj"]))


@dataclass(frozen=True, slots=True)
class Rule:
    """When trainings are looked at, and by what they are told apart.

    first : epoch of the first rung      factor : between rungs, and one in so many goes on
    objectives : what the values of an entry are
    accuracy : index of the objective that neighbours in energy are compared by
    few : so many trainings at a rung are never stopped, for a median of fewer says nothing
    similar : how many neighbours in energy there are, the training itself among them; 0 = none
    """

    first: int
    factor: int
    objectives: tuple[Objective, ...]
    accuracy: int = 0
    few: int = 10
    similar: int = 9

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs, of so many, after which a training may be stopped: first * factor^k."""
        found, epoch = [], self.first
        while epoch < epochs:
            found.append(epoch)
            epoch *= self.factor
        return tuple(found)


def why_stopped(entry: Entry, others: Iterable[Entry], rule: Rule, epochs: int) -> str | None:
    """Why a training stops here, in words; None if it goes on.

    others : all entries that are known; those of other epochs do not count, nor does one of the
        same training
    epochs : of a whole training, for the words
    """
    rung = _rung([entry, *(one for one in others if one.number != entry.number)], entry.epoch)
    if len(rung) <= rule.few or is_like_its_neighbours(entry, rung, rule):
        return None
    place = 1 + [one.number for one in ranked(rung, rule)].index(entry.number)
    if place * rule.factor <= len(rung):
        return None
    return (
        f"stopped after epoch {entry.epoch} of {epochs}: rank {place} of {len(rung)}, and "
        f"{rule.objectives[rule.accuracy].label} {entry.values[rule.accuracy]:.4g} is worse than "
        "the median at similar energy"
    )


def promotable(entries: Collection[Entry], stopped: Collection[int], rule: Rule) -> tuple[int, ...]:
    """Stopped trainings that have come into the best 1/factor of the rung they stopped at.

    entries : all that are known, of all epochs      stopped : numbers of trainings
    Best first, those of later rungs before those of earlier ones.
    """
    last = dict.fromkeys(stopped, 0)
    for entry in entries:
        if entry.number in last:
            last[entry.number] = max(last[entry.number], entry.epoch)
    found: list[int] = []
    for epoch in sorted(set(last.values()), reverse=True):
        rung = _rung(entries, epoch)
        best = ranked(rung, rule)[: len(rung) // rule.factor]
        found += [one.number for one in best if last.get(one.number) == epoch]
    return tuple(found)


def ranked(rung: Collection[Entry], rule: Rule) -> list[Entry]:
    """The entries of one epoch, best first.

    A level is taken apart from its end: the one that adds least to the hypervolume of those that
    are left is last. Of equals the later number is. Entries without a value for every objective
    come after all others.
    """
    entries = sorted(rung, key=lambda one: one.number)
    goals = [objective.goal for objective in rule.objectives]
    values = np.array([one.values for one in entries], dtype=np.float64).reshape(-1, len(goals))
    values = pareto.transform(values, rule.objectives)
    is_known = np.isfinite(values).all(axis=1)
    known, order = np.flatnonzero(is_known), []
    if len(known):
        reference = pareto.reference_point(values, goals)
        levels = pareto.levels(values[known], goals)
        for level in range(int(levels.max()) + 1):
            members = known[levels == level]
            order += members[_by_share(values[members], rule, reference)].tolist()
    order += np.flatnonzero(~is_known).tolist()
    return [entries[index] for index in order]


def is_like_its_neighbours(entry: Entry, rung: Collection[Entry], rule: Rule) -> bool:
    """Is it no worse than the median of those that are nearest in energy, itself among them?

    Where its energy is unknown all are neighbours.
    """
    if rule.similar == 0:
        return False
    sign = 1.0 if rule.objectives[rule.accuracy].goal == "max" else -1.0
    ours, place = sign * entry.values[rule.accuracy], _log(entry.energy_pj)
    far = np.array([abs(_log(one.energy_pj) - place) for one in rung])
    theirs = np.array([sign * one.values[rule.accuracy] for one in rung])
    if math.isfinite(place):
        # all that are as near as the last one: no order decides who is a neighbour
        theirs = theirs[far <= np.sort(far)[: rule.similar][-1]]
    known = theirs[np.isfinite(theirs)]
    return not len(known) or bool(ours >= np.median(known))


def _rung(entries: Iterable[Entry], epoch: int) -> list[Entry]:
    return [one for one in entries if one.epoch == epoch]


def _by_share(values: Floats, rule: Rule, reference: Floats) -> list[int]:
    """Rows that do not dominate one another, the one that is missed most first."""
    goals = [objective.goal for objective in rule.objectives]
    left, worst_first = list(range(len(values))), []
    while left:
        shares = pareto.contributions(values[left], goals, reference)
        least = len(left) - 1 - int(np.argmin(shares[::-1]))
        worst_first.append(left.pop(least))
    return worst_first[::-1]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _log(energy_pj: float) -> float:
    return math.log10(energy_pj) if energy_pj > 0 else math.nan
