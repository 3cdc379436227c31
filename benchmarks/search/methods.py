"""Methods: one trial for every point with plain Optuna, and what dse does, on the same clock.

All train the same designs by the same code, one thread, with the same seeds of trainings.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import torch

from benchmarks.search.clock import Clock, Unit
from benchmarks.search.problems import Problem, recipe
from benchmarks.search.rows import About, Front, Row, sheet
from dse import inventory, study
from dse.config import dump_sweep
from dse.reading import measure_tests
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.selection import objective_values
from dse.space import suggest
from dse.storage import directions
from dse.sweep import Sweep
from dse.training import machine
from dse.trial import run_trial
from reports.record import TrialRecord

OURS = "dse"
_TRIALS_OF_A_GENERATION = 16
Sink = Callable[[Sequence[TrialRecord]], None]

# Optuna's defaults; of NSGA-II also a population that fits some tens of trials: its default of 50
# would be a random first generation, and hardly a second
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(
        seed=seed, population_size=_TRIALS_OF_A_GENERATION
    ),
    "nsga2-50": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
METHODS = (*SAMPLERS, OURS)


def run(
    problem: Problem,
    method: str,
    seed: int,
    path: Path,
    *,
    budget_s: float,
    data_dir: Path | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """One method with one seed, until so many processor seconds are spent; its points as CSV.

    Counted: asking, building, training, validation, counting, pricing, telling, and the files that
    the method writes. Not counted: imports, reading the data, and what is measured on test data.
    overrides : of the sweep file, as after `--set`
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    machine.keep_memory()
    preset = "many" if method == OURS else None
    common = recipe(problem, seed, data_dir, preset, overrides)
    knobs = tuple({**common.config.space, **common.config.evaluate})
    about = About(problem.name, method, seed, knobs)
    common.data()
    _warm_up(common)
    unit = Unit()
    with tempfile.TemporaryDirectory() as folder, sheet(path) as rows:
        clock, front = Clock(), Front()

        def known(records: Sequence[TrialRecord]) -> None:
            at_s = clock()
            with clock.stopped():
                unit_s = unit()
                bare = [Row.of(record, about, at_s, unit_s) for record in records]
                news = front.newcomers([row.costs for row in bare])
                chosen = [record for record, is_new in zip(records, news, strict=True) if is_new]
                tested = {one.key: one for one in _tested(chosen, common, Path(folder))}
                final = [tested.get(record.key, record) for record in records]
                rows.add([Row.of(record, about, at_s, unit_s) for record in final])

        if method == OURS:
            _many(common, Path(folder), known, lambda: clock() < budget_s)
        else:
            _one_by_one(
                common, SAMPLERS[method](seed), Path(folder), known, lambda: clock() < budget_s
            )


def _one_by_one(
    common: Recipe,
    sampler: optuna.samplers.BaseSampler,
    folder: Path,
    known: Sink,
    is_wanted: Callable[[], bool],
) -> None:
    """Ask, train, tell, with a study in memory.

    The sampler is told the logarithms of energy and latency, as the hypervolume takes them.
    """
    config = common.config
    space = inventory.space(config)
    in_memory = optuna.create_study(directions=directions(config), sampler=sampler)
    number = 0
    while is_wanted():
        trial = in_memory.ask()
        record = run_trial(suggest(trial, space), number, common, folder, worker="one-by-one")
        if record.state == "complete":
            accuracy, energy_pj, steps = objective_values(record, config)
            in_memory.tell(trial, [accuracy, math.log10(energy_pj), math.log10(steps)])
        else:
            in_memory.tell(trial, state=optuna.trial.TrialState.FAIL)
        known([record])
        number += 1


class _Watched(RunFolder):
    """A run folder that tells what is written to it."""

    __slots__ = ("known",)
    known: Sink

    def append(self, *records: TrialRecord) -> None:
        """Add records, and tell of them."""
        RunFolder.append(self, *records)
        self.known(records)


def _many(common: Recipe, folder: Path, known: Sink, is_wanted: Callable[[], bool]) -> None:
    """One worker of `dse run`, with its files: train once, read many points."""
    watched = _Watched(folder)
    object.__setattr__(watched, "known", known)  # of a frozen value
    watched.begin(dump_sweep(common.config))
    sweep = Sweep(watched, common, inventory.space(common.config))
    study.begin(sweep)
    try:
        study.work(sweep, is_wanted=is_wanted)
    except KeyboardInterrupt:
        return  # so a worker ends that is not wanted any more


def _warm_up(common: Recipe) -> None:
    """A first training loads and compiles things once a process; no method is to pay for it."""
    config = common.config
    first = common.config.model_copy(
        update={"training": config.training.model_copy(update={"epochs": 1})}
    )
    design = suggest(
        optuna.trial.FixedTrial(inventory.space(config).default(config.variants[0])),
        inventory.space(config),
    )
    with tempfile.TemporaryDirectory() as folder:
        run_trial(design, 0, replace(common, config=first), Path(folder), worker="warm-up")


def _tested(records: Sequence[TrialRecord], common: Recipe, folder: Path) -> list[TrialRecord]:
    """The records with their accuracy on the test data."""
    return list(measure_tests(records, common, folder))
