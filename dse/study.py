"""The study: asks Optuna for designs, trains them in one or many processes, and never loses one.

A record is on the disk before Optuna is told. Trials are handed out under a kernel lock of the run
folder; a trial whose worker died is handed out again under its old number with its old knobs.
"""

from __future__ import annotations

import itertools
import logging
import math
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from dse.config import SweepConfig
from dse.design import Design
from dse.errors import CheckpointError, DseError, RunFolderError
from dse.processes import one_thread_each, unheard
from dse.runfolder import RunFolder
from dse.seeding import trial_seed
from dse.selection import (
    COUNTED,
    best_of_each_variant,
    excesses,
    front,
    objective_values,
    planned,
)
from dse.space import Space, suggest
from dse.storage import open_study
from dse.training import machine
from dse.training.loop import EpochResult
from dse.training.resume import discard
from dse.trial import Recipe, checkpoint_file, measure_epoch_s, measure_test, run_trial
from reports.record import TrialRecord

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.5
_TELL_AGAIN_S, _TELLS = 1.0, 10  # before a worker that does not stop is ended


class _Handed(Enum):
    """Why there is no next design: the budget is spent, or others are training the rest of it."""

    ALL = auto()
    TO_OTHERS = auto()


@dataclass(frozen=True, slots=True)
class _Job:
    """A design to train."""

    optuna_number: int
    number: int
    design: Design


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep and where it is kept.

    storage : URL of an Optuna storage; None = the journal in the run folder
    """

    folder: RunFolder
    recipe: Recipe
    space: Space
    storage: str | None = None

    @property
    def config(self) -> SweepConfig:
        """The sweep file."""
        return self.recipe.config


def begin(sweep: Sweep) -> None:
    """Make the study, or take it up.

    Only the parent calls this: two processes that make the same study at once may fail.
    Raises StorageError if there is no such storage.
    """
    with sweep.folder.lock():
        open_study(sweep.folder, sweep.config, sweep.storage)


def run(sweep: Sweep, workers: int) -> None:
    """Work until the budget is spent, in this process or in several.

    A worker that is killed is replaced by the others. Raises RunFolderError if one stopped with an
    error of its own, which it has printed, or if all were killed; the folder is intact, and the
    same call goes on from there.
    """
    if workers == 1:
        work(sweep)
        return
    context = multiprocessing.get_context("spawn")
    # a Ctrl-C goes to all processes; one that is still importing must leave it to this one
    with one_thread_each(), unheard(signal.SIGINT):
        processes = [
            context.Process(target=_work_alone, args=(sweep, os.getpid()), name=f"worker-{index}")
            for index in range(workers)
        ]
        for process in processes:
            process.start()
    living = {process.sentinel: process for process in processes}
    try:
        while living:
            for sentinel in multiprocessing.connection.wait(list(living)):
                process = living.pop(cast("int", sentinel))
                process.join()
                code = process.exitcode or 0
                if code > 0 or (code < 0 and not living):
                    raise RunFolderError(
                        f"{process.name} stopped with exit code {code}; an error of its own stands "
                        f"above. What was finished is in {sweep.folder.path}"
                    )
                if code < 0:
                    _log.warning("%s was killed; the others go on", process.name)
    finally:
        _stop(processes)


def _stop(processes: Sequence[SpawnProcess]) -> None:
    """End workers as by Ctrl-C; one that is still importing hears it when it has done so."""
    for _ in range(_TELLS):
        living = [process for process in processes if process.is_alive()]
        for process in living:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        multiprocessing.connection.wait([p.sentinel for p in living], timeout=_TELL_AGAIN_S)
    for process in processes:
        if process.is_alive():
            process.terminate()
        process.join()


def work(sweep: Sweep, *, is_wanted: Callable[[], bool] = lambda: True) -> None:
    """Be one worker: train designs on one torch thread until the budget is spent.

    While others train the last of it, this one waits: should one of them die, its trial is taken.
    is_wanted : asked after each epoch; the worker stops as by Ctrl-C when it says no
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    machine.keep_memory()
    try:
        with sweep.folder.worker() as worker:
            study = open_study(sweep.folder, sweep.config, sweep.storage)
            while True:
                job = _next(sweep, study, worker)
                if job is _Handed.ALL:
                    return
                if isinstance(job, _Job):
                    _train(sweep, study, worker, job, is_wanted)
                else:
                    time.sleep(_LOOK_AGAIN_S)
                    if not is_wanted():
                        raise KeyboardInterrupt
    finally:
        torch.set_num_threads(threads)


def _train(
    sweep: Sweep, study: optuna.Study, worker: str, job: _Job, is_wanted: Callable[[], bool]
) -> None:
    folder = sweep.folder
    folder.say(worker, _doing(job, sweep.config, None))

    def on_epoch(result: EpochResult) -> None:
        folder.say(worker, _doing(job, sweep.config, result))
        if not is_wanted():
            raise KeyboardInterrupt

    record = run_trial(
        job.design,
        job.number,
        sweep.recipe,
        folder.path,
        worker=worker,
        optuna_number=job.optuna_number,
        on_epoch=on_epoch,
        is_resumed=True,
    )
    with folder.lock():
        folder.append(record)
        discard(checkpoint_file(folder.path, job.number))
        _tell(study, job.optuna_number, record, sweep.config)


def finish(
    sweep: Sweep, shown: Callable[[Sequence[TrialRecord]], Iterable[TrialRecord]] = iter
) -> list[TrialRecord]:
    """Measure the front, and the best of each variant, once on the test data; all records.

    shown : goes through the records to measure, and may show how far it is

    Selection was on validation; a point that has its test accuracy is not measured again. Of a
    sweep with repeats every trained point is measured: the spread over seeds needs them all.
    """
    records = sweep.folder.records()
    chosen = {record.number for record in front(records, sweep.config)}
    chosen |= {record.number for record in best_of_each_variant(records, sweep.config.hardware[0])}
    if sweep.config.budget.repeats is not None:
        chosen = {record.number for record in records if record.state == "complete"}
    left = [r for r in records if r.number in chosen and r.metrics["test"] is None]
    changed = []
    for record in shown(left):
        try:
            test = measure_test(record, sweep.recipe, sweep.folder.path)
        except CheckpointError as error:
            raise RunFolderError(f"trial {record.number}: {error}") from error
        changed.append(replace(record, metrics={**record.metrics, "test": test}))
    with sweep.folder.lock():
        sweep.folder.replace(changed)
    return sweep.folder.records()


def estimate_trial_s(sweep: Sweep) -> dict[str, float]:
    """Seconds that a trial of each variant's default design takes, on one thread.

    Measured on a part of one epoch; what comes before and after the training is left out.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # the first training of a process also pays for what is loaded and compiled once
        measure_epoch_s(default_design(sweep, sweep.config.variants[0]), sweep.recipe)
        return {
            variant: measure_epoch_s(default_design(sweep, variant), sweep.recipe)
            * sweep.config.training.epochs
            for variant in sweep.config.variants
        }
    finally:
        torch.set_num_threads(threads)


def default_design(sweep: Sweep, variant: str) -> Design:
    """The design of a variant that comes first: every knob at its default."""
    trial = optuna.trial.FixedTrial(sweep.space.default(variant))
    return suggest(trial, sweep.space)


def _next(sweep: Sweep, study: optuna.Study, worker: str) -> _Job | _Handed:
    """Take the next design, if the budget has one left."""
    folder, config = sweep.folder, sweep.config
    with folder.lock():
        records = folder.records()
        running = _reconcile(folder, study, records, config, worker)
        if _is_spent(records, 0, sweep):
            return _Handed.ALL
        if _is_spent(records, running, sweep):
            return _Handed.TO_OTHERS
        taken = {record.number for record in records} | _numbers(study)
        number = max(taken, default=-1) + 1
        waiting = [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.WAITING]
        if waiting:  # what a dead worker held goes first
            number = waiting[0].user_attrs.get("number", number)
        elif config.budget.repeats is not None:
            number = _queue_repeat(sweep.space, study, taken)
        elif number < len(config.variants):  # then the default design of each variant
            study.enqueue_trial(sweep.space.default(config.variants[number]))
        # a sampler of its own for every number: the same proposals after a restart
        study.sampler = optuna.samplers.TPESampler(seed=trial_seed(config.seed, number))
        trial = study.ask()
        trial.set_user_attr("number", number)
        design = suggest(trial, sweep.space)
        # said last: only what has a worker has all its knobs
        trial.set_user_attr("worker", worker)
        return _Job(trial.number, number, design)


def _queue_repeat(space: Space, study: optuna.Study, taken: Collection[int]) -> int:
    """Queue the next training of a sweep with repeats: every design once, then each again.

    A number stands for a design and a repeat, so the first that nobody has is next.
    """
    number = next(free for free in itertools.count() if free not in taken)
    study.enqueue_trial(space.nth(number % (space.size() or 1)), user_attrs={"number": number})
    return number


def _is_spent(records: Sequence[TrialRecord], running: int, sweep: Sweep) -> bool:
    config, trials = sweep.config, planned(sweep.config, sweep.space)
    counted = [record for record in records if record.state in COUNTED]
    if config.budget.repeats is not None:  # a number is a design and a repeat, whatever came of it
        counted = [record for record in records if record.number < (trials or 0)]
    if trials is not None:
        return len(counted) + running >= trials
    spent_s = sum(record.times["total_s"] for record in counted)
    return bool(spent_s >= 3600 * (config.budget.cpu_hours or 0.0))


def _reconcile(
    folder: RunFolder,
    study: optuna.Study,
    records: Sequence[TrialRecord],
    config: SweepConfig,
    me: str,
) -> int:
    """Bring the study up to the records, and put back what dead workers held.

    me : the worker that asks for its next trial: what runs under its name is of a dead namesake
    Returns how many trials living workers are training.
    """
    recorded = {record.optuna_number: record for record in records}
    running = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get("worker")
        if trial.number in recorded:
            discard(checkpoint_file(folder.path, recorded[trial.number].number))
            _tell(study, trial.number, recorded[trial.number], config)
        elif worker not in (None, me) and folder.is_alive(worker):
            running += 1
        else:
            study.tell(trial.number, state=TrialState.FAIL)
            _put_back(study, trial)
    return running


def _put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial that died, under its number: with its knobs, or to be proposed again.

    What a killed process had proposed in part is dropped: the rest would come out otherwise.
    """
    is_whole = "worker" in trial.user_attrs
    knobs = trial.params if is_whole else trial.system_attrs.get("fixed_params", {})
    number = trial.user_attrs.get("number")
    if number is not None or knobs:
        study.enqueue_trial(knobs, user_attrs={} if number is None else {"number": number})


def _numbers(study: optuna.Study) -> set[int]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
    return {trial.user_attrs["number"] for trial in trials if "number" in trial.user_attrs}


def _tell(study: optuna.Study, number: int, record: TrialRecord, config: SweepConfig) -> None:
    """Tell Optuna of a record that is on the disk."""
    values = objective_values(record, config)
    if record.state != "complete" or not all(math.isfinite(value) for value in values):
        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
        return
    frozen = study.get_trials(deepcopy=False)[number]
    for name, excess in excesses(record, config).items():
        optuna.Trial(study, frozen._trial_id).set_constraint(name, excess)
    study.tell(number, values, skip_if_finished=True)


def _doing(job: _Job, config: SweepConfig, result: EpochResult | None) -> dict[str, Any]:
    """What others may know of a trial under way; before its first epoch it has no results."""
    epochs = config.training.epochs
    doing: dict[str, Any] = {
        "number": job.number,
        "variant": job.design.variant,
        "knobs": dict(job.design.knobs),
        "epoch": 0,
        "epochs": epochs,
        "at": time.time(),
    }
    if result is None:
        return doing
    return {
        **doing,
        "epoch": result.epoch,
        "train_loss": result.train_loss,
        "validation_accuracy": result.validation_accuracy,
        "spike_rates": result.spike_rates,
        "seconds_left": result.seconds_left,
    }


def _work_alone(sweep: Sweep, parent: int) -> None:
    """A worker process: it stops when its parent does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work(sweep, is_wanted=lambda: os.getppid() == parent)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough
        sys.exit(130)
    except (DseError, OSError) as error:
        # a full disk says what and where; only a bug shows its traceback
        _log.error("%s", error)
        sys.exit(1)
