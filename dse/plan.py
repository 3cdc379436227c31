"""Plan: what a sweep will cost and what its designs can reach, before a single training.

Some designs, spread over the space, are bounded; of each family a few, from the smallest to the
largest, train for a part of an epoch. What a training of any other design takes is read between
them, by size.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dse.bounds import Bounds, bounds, refusal
from dse.config import SweepConfig
from dse.design import Design
from dse.errors import TrialFailure
from dse.reading import combinations
from dse.recipe import Recipe
from dse.sampling import default_design, sample
from dse.selection import planned
from dse.space import Space
from dse.timing import Timed, one_epoch_s, timed
from energy_models.bounds import Interval

DESIGNS = 24  # of each family are bounded
TIMED = 5  # of each family train for a moment
CALIBRATION_S = 40.0  # of the processor: no further design is timed after it
_ALIKE = 0.05  # sizes that differ by less need one time
_MEASURED = 12  # points on the test data: a front, and the best of each family
# CPU seconds on one core of an AMD EPYC: the report of no record, that of each (up to a sample of
# them)
REPORT_S, REPORTED_S, MOST_REPORTED = 6.0, 0.09, 150


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """What is known of one network family before any training.

    designs : so many of its space were bounded      failed : so many cannot be built
    refused : so many break a limit before any training
    energy_pj : profile -> least and largest energy of any of the designs, None where none follows
    latency_steps, parameters : least and largest
    trial_s : CPU seconds of one training with all that belongs to it, mean over the designs that
        are not refused; None if there are none
    default_s : the same of the default design
    test_s : CPU seconds in which a trained network is measured on the test data
    timed : how many of them trained for a moment
    """

    designs: int
    failed: int
    refused: int
    energy_pj: Mapping[str, Interval | None]
    latency_steps: Interval | None
    parameters: Interval | None
    trial_s: float | None
    default_s: float | None
    test_s: float
    timed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep will cost.

    trials : that are trained      workers : at a time
    cpu_s : of all processes, start, trials, test data and report      wall_s : at best
    calibration_s : what this took
    """

    families: Mapping[str, FamilyPlan]
    trials: int
    workers: int
    cpu_s: float
    wall_s: float
    calibration_s: float

    @property
    def refused_share(self) -> float:
        """Share of the designs that break a limit before any training."""
        designs = sum(one.designs for one in self.families.values())
        return sum(one.refused for one in self.families.values()) / max(1, designs)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A design with its bounds; `size` is what its training takes time by."""

    design: Design
    bounds: Bounds
    size: float
    is_refused: bool


def make_plan(
    recipe: Recipe,
    space: Space,
    workers: int,
    *,
    start_s: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Bound some designs of every family, time a few, and add up.

    start_s : CPU seconds until a process can begin to train
    say : told what is being done

    Assumes that all families are tried equally often and their knobs evenly: a search drifts to
    what is better, which may be larger or smaller.
    """
    begin, begin_s = time.perf_counter(), time.process_time()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        families, first_s = _families(recipe, space, begin_s, say)
    finally:
        torch.set_num_threads(threads)
    trials, trials_s, test_s = _total(families, recipe.config, space)
    start_s += first_s
    # what one process does alone: its start, that of the workers side by side, and the end
    alone_s = start_s + test_s + REPORT_S + REPORTED_S * min(trials, MOST_REPORTED)
    started = workers if workers > 1 else 0
    return Plan(
        families=families,
        trials=trials,
        workers=workers,
        cpu_s=alone_s + trials_s + start_s * started,
        wall_s=alone_s + trials_s / workers + start_s * min(started, 1),
        calibration_s=time.perf_counter() - begin,
    )


def _families(
    recipe: Recipe, space: Space, begin_s: float, say: Callable[[str], None]
) -> tuple[dict[str, FamilyPlan], float]:
    """The families, and CPU seconds that the first training of a process takes more than others."""
    seen: dict[str, list[_Seen]] = {}
    failed: dict[str, int] = {}
    for variant in space.variants:
        designs = list(
            dict.fromkeys([default_design(space, variant), *sample(space, variant, DESIGNS)])
        )
        say(f"bounding {len(designs)} designs of {variant}")
        found = [_look(design, recipe) for design in designs]
        seen[variant] = [one for one in found if one is not None]
        failed[variant] = len(found) - len(seen[variant])
    times, first_s = _timed(seen, recipe, begin_s, say)
    families = {
        variant: _family(seen[variant], failed[variant], times[variant], recipe.config)
        for variant in space.variants
    }
    return families, first_s


def _look(design: Design, recipe: Recipe) -> _Seen | None:
    try:
        found = bounds(design, recipe)
    except TrialFailure:
        return None
    products = sum(row.ops.dense for row in found.counts.layers)
    values = sum(row.outputs * row.reused_steps for row in found.counts.layers)
    # a value that passes norm and neurons takes about as long as so many products
    size = products + 32.0 * values
    return _Seen(design, found, size, refusal(design, recipe) is not None)


def _timed(
    seen: Mapping[str, Sequence[_Seen]], recipe: Recipe, begin_s: float, say: Callable[[str], None]
) -> tuple[dict[str, list[Timed]], float]:
    """Of every family a few designs by size; one of middle size is timed first."""
    found: dict[str, list[Timed]] = {variant: [] for variant in seen}
    queues = {variant: _to_time(ones) for variant, ones in seen.items()}
    # what a process loads and compiles at its first training is not of any design
    first = next((queue[0] for queue in queues.values() if queue), None)
    first_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        if first is not None:
            spent_s = [one_epoch_s(first.design, recipe, Path(folder)) for _ in range(2)]
            first_s = max(0.0, spent_s[0] - spent_s[1])
        for turn in range(TIMED):
            for variant, queue in queues.items():
                is_late = time.process_time() - begin_s > CALIBRATION_S
                if turn >= len(queue) or (is_late and turn > 0):
                    continue
                one = queue[turn]
                points = sum(len(o.steps) for o in combinations(one.design, recipe.config))
                read = f", each with the {points} points read from it" if points else ""
                say(f"timing {variant}, {turn + 1} of {len(queue)} designs{read}")
                try:
                    found[variant].append(timed(one.design, one.size, recipe, Path(folder)))
                except TrialFailure:
                    continue
    ranked = {variant: sorted(ones, key=lambda one: one.size) for variant, ones in found.items()}
    return ranked, first_s


def _to_time(seen: Sequence[_Seen]) -> list[_Seen]:
    """The middle, the largest, the smallest, and those between them, evenly by rank."""
    ranked = sorted((one for one in seen if not one.is_refused), key=lambda one: one.size)
    if not ranked:
        return []
    ranks = np.linspace(0, len(ranked) - 1, TIMED).round().astype(int).tolist()
    ranks.insert(0, ranks.pop(TIMED // 2))
    ranks.insert(1, ranks.pop())
    found: list[_Seen] = []
    for one in (ranked[rank] for rank in ranks):
        if all(abs(one.size / other.size - 1) > _ALIKE for other in found):
            found.append(one)
    return found


def _family(
    seen: Sequence[_Seen], failed: int, times: Sequence[Timed], config: SweepConfig
) -> FamilyPlan:
    admitted = [one for one in seen if not one.is_refused]
    trials_s = [_between(one.size, times, "trial_s") for one in admitted] if times else []
    tests_s = [_between(one.size, times, "test_s") for one in admitted] if times else []
    return FamilyPlan(
        designs=len(seen) + failed,
        failed=failed,
        refused=len(seen) - len(admitted),
        energy_pj={
            name: _hull([one.bounds.energy_pj[name] for one in seen]) for name in config.hardware
        },
        latency_steps=_hull([_point(one.bounds.latency_steps) for one in seen]),
        parameters=_hull([_point(one.bounds.parameters) for one in seen]),
        trial_s=float(np.mean(trials_s)) if trials_s else None,
        default_s=_between(seen[0].size, times, "trial_s") if trials_s else None,
        test_s=float(np.mean(tests_s)) if tests_s else 0.0,
        timed=len(times),
    )


def _between(size: float, times: Sequence[Timed], name: str) -> float:
    """Seconds of a design of this size: on the line between the two that were timed beside it."""
    seconds = [getattr(one, name) for one in times]
    return float(np.interp(size, [one.size for one in times], seconds))


def _point(value: float) -> Interval:
    return float(value), float(value)


def _hull(intervals: Sequence[Interval | None]) -> Interval | None:
    """From the least to the largest; None if one of them is not known."""
    known = [one for one in intervals if one is not None]
    if not known or len(known) < len(intervals):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _total(
    families: Mapping[str, FamilyPlan], config: SweepConfig, space: Space
) -> tuple[int, float, float]:
    """Trials, their CPU seconds, and those of measuring the chosen ones on the test data."""
    known = {variant: one for variant, one in families.items() if one.trial_s is not None}
    trials = planned(config, space)
    if not known:
        return trials or 0, 0.0, 0.0
    means = [one.trial_s or 0.0 for one in known.values()]
    test_s = float(np.mean([one.test_s for one in known.values()]))
    if config.budget.repeats is not None:  # every design as often as every other
        sizes = [space.sizes()[variant] or 0 for variant in known]
        repeats = config.budget.repeats
        tests_s = sum(size * one.test_s for size, one in zip(sizes, known.values(), strict=True))
        trials_s = sum(size * mean for size, mean in zip(sizes, means, strict=True))
        return trials or 0, repeats * trials_s, repeats * tests_s
    mean_s = float(np.mean(means))
    if trials is None:
        trials_s = 3600 * (config.budget.cpu_hours or 0.0)
        trials = math.ceil(trials_s / mean_s)
    else:
        defaults = [one.default_s or 0.0 for one in known.values()][:trials]  # these come first
        trials_s = math.fsum(defaults) + mean_s * (trials - len(defaults))
    points = min(trials, _MEASURED)
    return trials, trials_s, points * (test_s + mean_s * _confirmed(config))


def _confirmed(config: SweepConfig) -> float:
    """Trainings that confirm one point of the front."""
    alone = 1.0 if config.confirm.alone else 0.0
    return config.confirm.seeds * (alone + config.confirm.epochs / config.training.epochs)
