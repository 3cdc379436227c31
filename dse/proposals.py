"""Proposals: which design to try next, from what earlier ones were worth.

Optuna's samplers decide, on a study in memory that is made anew from the records for each proposal.
So a proposal depends on the records and the seed alone: not on the storage, nor on what a killed
process had half done; and the sampler sees a thinned set of points, however many there are.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from dse.config import SweepConfig
from dse.design import Design
from dse.seeding import trial_seed
from dse.selection import excesses, sampled_values, spread
from dse.space import Space, suggest
from dse.storage import directions
from reports.record import TrialRecord

# TPE's ask takes 0.06 s of the processor with so many, and 1 s with ten times as many.
MOST_TOLD = 1000
# The first designs are drawn at random: a sampler that has seen nothing has nothing to go by.
STARTUP_TRAININGS = 4
# A sampler adds up what is above 0, and takes less of it for better: beyond any excess.
_REFUSED = 1e100
# Draws before a space is searched for a design that nobody tried; the later ones at random.
_AGAIN, _FREELY = 40, 10


@dataclass(frozen=True, slots=True)
class Proposal:
    """A design, and what Optuna needs to know of it."""

    design: Design
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is worked out of a training and its readings, the training first."""

    records: tuple[TrialRecord, ...]
    design: Design
    told: list[FrozenTrial]


@dataclass(slots=True)
class Proposer:
    """Proposes designs of a space; it remembers what it has worked out of records.

    warm : points of earlier runs, told before all others
    """

    config: SweepConfig
    space: Space
    warm: Sequence[TrialRecord] = ()
    _known: dict[tuple[bool, int], _Known] = field(default_factory=dict)

    def propose(
        self, number: int, records: Sequence[TrialRecord], running: Iterable[Design]
    ) -> Proposal | None:
        """The design of a trial that no record and no running trial has; None if there is none.

        records : those the sampler may know, trainings with their readings
        running : designs that are being trained; the sampler keeps away from them
        """
        running = list(running)
        known = self._look(records)
        tried = {*running, *(one.design for (is_own, _), one in known.items() if is_own)}
        open_variants = self._open(tried)
        if not open_variants:
            return None
        first = self._first(number)
        if first is not None and first.design not in tried:
            return first
        study = self._study(list(known.values()), running)
        for attempt in range(_AGAIN):
            is_lost = attempt >= _FREELY
            study.sampler = self._sampler(number, attempt, 0 if is_lost else len(study.trials))
            if attempt > 0 and len(self.space.variants) > 1:
                # a family of few designs may be all that a sampler still asks for
                variant = open_variants[(number + attempt) % len(open_variants)]
                study.enqueue_trial({"variant": variant})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # GPSampler is marked so
                trial = study.ask()
                design = suggest(trial, self.space)
            if design not in tried:
                return Proposal(design, trial.params, trial.distributions)
            study.tell(trial, state=TrialState.FAIL)
        return self._untried(open_variants, tried)

    def of(self, params: Mapping[str, Any]) -> Proposal:
        """The proposal with these parameters.

        Raises ValueError if they are none of this space.
        """
        trial = optuna.trial.FixedTrial(dict(params))
        design = suggest(trial, self.space)
        return Proposal(design, trial.params, trial.distributions)

    def _first(self, number: int) -> Proposal | None:
        """The default design of each variant comes first."""
        if number >= len(self.space.variants):
            return None
        return self.of(self.space.default(self.space.variants[number]))

    def _open(self, tried: set[Design]) -> list[str]:
        """The families that have a design that nobody has tried."""
        counts = Counter(design.variant for design in tried)
        sizes = self.space.sizes()
        return [name for name, size in sizes.items() if size is None or counts[name] < size]

    def _untried(self, variants: Sequence[str], tried: set[Design]) -> Proposal | None:
        """The first design that nobody has tried, of families that have so many."""
        for variant in variants:
            for params in self.space.all_of(variant):
                proposal = self.of(params)
                if proposal.design not in tried:
                    return proposal
        return None

    def _sampler(self, number: int, attempt: int, told: int) -> optuna.samplers.BaseSampler:
        """A sampler of its own for every number: the same proposals after a restart."""
        seed = trial_seed(self.config.seed, number) + attempt
        is_early = number < STARTUP_TRAININGS and not self.warm
        if self.config.search.sampler == "random" or is_early or told == 0:
            return optuna.samplers.RandomSampler(seed=seed)
        if self.config.search.sampler == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=0)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)

    def _study(self, known: Sequence[_Known], running: Iterable[Design]) -> optuna.Study:
        study = optuna.create_study(directions=directions(self.config))
        study.add_trials(_thinned([one.told for one in known]))
        for design in running:
            params = self.space.parameters(design)
            if params is not None:
                study.add_trial(self._frozen(params, TrialState.RUNNING))
        return study

    def _look(self, records: Sequence[TrialRecord]) -> dict[tuple[bool, int], _Known]:
        """Every training, warm ones first, with what the sampler is told of it."""
        groups: dict[tuple[bool, int], list[TrialRecord]] = {}
        for is_own, some in ((False, self.warm), (True, records)):
            for record in some:
                groups.setdefault((is_own, record.number), []).append(record)
        found = {}
        for key, group in groups.items():
            before = self._known.get(key)
            if before is None or not _is_same(before.records, group):
                design = Design.from_dict(group[0].design)
                before = _Known(tuple(group), design, self._told(design, group))
                self._known[key] = before
            found[key] = before
        return found

    def _told(self, design: Design, group: Sequence[TrialRecord]) -> list[FrozenTrial]:
        """What the sampler is told of a training: the best of its points, as trials."""
        params = self.space.parameters(design)
        if params is None:
            return []  # of an earlier run with another space
        training = group[0]
        if training.state == "refused":
            none = [0.0] * len(self.config.objectives)  # a sampler looks at the excess alone
            return [self._frozen(params, TrialState.COMPLETE, none, {"refused": _REFUSED})]
        # of a stopped training the values it had by then
        whole = [replace(one, state="complete") if one.state == "stopped" else one for one in group]
        values = sampled_values(whole, self.config)
        points = [
            (row, self._violations(one))
            for row, one in zip(values, whole, strict=True)
            if all(map(math.isfinite, row))
        ]
        most = self.config.search.told
        return [
            self._frozen(params, TrialState.COMPLETE, *points[index])
            for index in spread([values for values, _ in points], self.config, most)
        ]

    def _violations(self, record: TrialRecord) -> dict[str, float]:
        """Excesses over limits as shares of them: a sampler adds them up, whatever their units."""
        limits = {one.name: abs(one.limit or 0.0) or 1.0 for one in self.config.objectives}
        return {
            name: excess / limits[name] for name, excess in excesses(record, self.config).items()
        }

    def _frozen(
        self,
        params: Mapping[str, Any],
        state: TrialState,
        values: Sequence[float] | None = None,
        constraints: Mapping[str, float] | None = None,
    ) -> FrozenTrial:
        return create_trial(
            state=state,
            params=dict(params),
            distributions=dict(self.of(params).distributions),
            values=values,
            constraints=dict(constraints or {}),
        )


def _thinned(told: Sequence[Sequence[FrozenTrial]]) -> list[FrozenTrial]:
    """At most `MOST_TOLD` trials: fewer of each training, and of very many trainings not each."""
    share = max(1, MOST_TOLD // max(1, len(told)))
    few = [trial for trials in told for trial in trials[:share]]
    if len(few) <= MOST_TOLD:
        return few
    return [few[i * (len(few) - 1) // (MOST_TOLD - 1)] for i in range(MOST_TOLD)]


def _is_same(before: Sequence[TrialRecord], now: Sequence[TrialRecord]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))
