"""The study: asks Optuna for designs, trains them in one or many processes, and never loses one.

A record is on the disk before Optuna is told. Trials are handed out under a kernel lock of the run
folder; a trial whose worker died is handed out again under its old number with its old knobs.
"""

from __future__ import annotations

import fcntl
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import optuna
import torch
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dse.config import SweepConfig
from dse.design import Design
from dse.errors import CheckpointError, RunFolderError
from dse.runfolder import RunFolder
from dse.safefile import repair_tail
from dse.seeding import trial_seed
from dse.selection import COUNTED, best_of_each_variant, excesses, front, objective_values
from dse.space import Space, suggest
from dse.training.loop import EpochResult
from dse.trial import Recipe, measure_epoch_s, measure_test, run_trial
from reports.record import TrialRecord


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
    """Make the study, or take it up; each variant's default design comes first.

    Only the parent calls this: two processes that make the same study at once may fail.
    """
    with sweep.folder.lock():
        study = _study(sweep)
        if not study.trials:
            for variant in sweep.config.variants:
                study.enqueue_trial(sweep.space.default(variant))


def run(sweep: Sweep, workers: int) -> None:
    """Work until the budget is spent, in this process or in several.

    Raises RunFolderError if a worker stopped with an error, which it has printed; the folder is
    intact, and the same call goes on from there.
    """
    if workers == 1:
        work(sweep)
        return
    context = multiprocessing.get_context("spawn")
    with _one_thread_each():
        processes = [
            context.Process(target=_work_alone, args=(sweep, os.getpid()), name=f"worker-{index}")
            for index in range(workers)
        ]
        for process in processes:
            process.start()
    try:
        for process in processes:
            process.join()
            if process.exitcode:
                raise RunFolderError(
                    f"{process.name} stopped with exit code {process.exitcode} (see above). "
                    f"What was finished is in {sweep.folder.path}"
                )
    finally:
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        for process in processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()


def work(sweep: Sweep, *, is_wanted: Callable[[], bool] = lambda: True) -> None:
    """Be one worker: train designs on one torch thread until the budget is spent.

    is_wanted : asked after each epoch; the worker stops as by Ctrl-C when it says no
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = sweep.folder
    try:
        with folder.worker() as worker:
            study = _study(sweep)
            while (job := _next(sweep, study, worker)) is not None:
                trial, number, design = job

                def on_epoch(
                    result: EpochResult, number: int = number, design: Design = design
                ) -> None:
                    folder.say(worker, _doing(number, design, sweep.config, result))
                    if not is_wanted():
                        raise KeyboardInterrupt

                record = run_trial(
                    design,
                    number,
                    sweep.recipe,
                    folder.path,
                    worker=worker,
                    optuna_number=trial.number,
                    on_epoch=on_epoch,
                )
                with folder.lock():
                    folder.append(record)
                    _tell(study, trial.number, record, sweep.config)
    finally:
        torch.set_num_threads(threads)


def finish(sweep: Sweep) -> list[TrialRecord]:
    """Measure the front, and the best of each variant, once on the test data; all records.

    Selection was on validation; a point that has its test accuracy is not measured again.
    """
    records = sweep.folder.records()
    chosen = {record.number for record in front(records, sweep.config)}
    chosen |= {record.number for record in best_of_each_variant(records, sweep.config.hardware[0])}
    changed = []
    for record in records:
        if record.number in chosen and record.metrics["test"] is None:
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
        measure_epoch_s(_default_design(sweep, sweep.config.variants[0]), sweep.recipe)
        return {
            variant: measure_epoch_s(_default_design(sweep, variant), sweep.recipe)
            * sweep.config.training.epochs
            for variant in sweep.config.variants
        }
    finally:
        torch.set_num_threads(threads)


def _default_design(sweep: Sweep, variant: str) -> Design:
    trial = optuna.trial.FixedTrial(sweep.space.default(variant))
    return suggest(trial, sweep.space)


def _next(
    sweep: Sweep, study: optuna.Study, worker: str
) -> tuple[optuna.Trial, int, Design] | None:
    """Take the next design; None if the budget is spent or all of it is being worked on."""
    folder, config = sweep.folder, sweep.config
    with folder.lock():
        records = folder.records()
        running = _reconcile(folder, study, records, config, worker)
        if _is_spent(records, running, config):
            return None
        taken = {record.number for record in records} | _numbers(study)
        number = max(taken, default=-1) + 1
        waiting = [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.WAITING]
        if waiting:
            number = waiting[0].user_attrs.get("number", number)
        # a sampler of its own for every number: the same proposals after a restart
        study.sampler = optuna.samplers.TPESampler(seed=trial_seed(config.seed, number))
        trial = study.ask()
        trial.set_user_attr("number", number)
        trial.set_user_attr("worker", worker)
        return trial, number, suggest(trial, sweep.space)


def _is_spent(records: Sequence[TrialRecord], running: int, config: SweepConfig) -> bool:
    counted = [record for record in records if record.state in COUNTED]
    if config.budget.trials is not None:
        return len(counted) + running >= config.budget.trials
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
            _tell(study, trial.number, recorded[trial.number], config)
        elif worker not in (None, me) and folder.is_alive(worker):
            running += 1
        else:
            study.tell(trial.number, state=TrialState.FAIL)
            _put_back(study, trial)
    return running


def _put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the knobs of a trial that died, under its number."""
    number = trial.user_attrs.get("number")
    if number is not None:
        study.enqueue_trial(trial.params, user_attrs={"number": number})
    elif "fixed_params" in trial.system_attrs:
        study.enqueue_trial(trial.system_attrs["fixed_params"])


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


def _study(sweep: Sweep) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    goals = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    return optuna.create_study(
        study_name=sweep.config.name,
        storage=_storage(sweep),
        directions=[goals[objective.goal] for objective in sweep.config.objectives],
        load_if_exists=True,
    )


def _storage(sweep: Sweep) -> BaseStorage | str:
    if sweep.storage is not None:
        return sweep.storage
    path = str(sweep.folder.journal_file)
    return JournalStorage(JournalFileBackend(path, lock_obj=_KernelLock(path)))


class _KernelLock(JournalFileOpenLock):
    """A lock of the kernel for Optuna's journal: a dead holder frees it at once.

    Optuna's own lock files outlive a killed process and stall the next one for half a minute; and
    a line that was cut off makes its journal unreadable, so it is cut away before a new one.
    """

    def __init__(self, journal: str) -> None:
        self._journal = Path(journal)
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, and mend the end of the journal."""
        self._held = self._journal.with_suffix(".lock").open("ab")
        fcntl.flock(self._held.fileno(), fcntl.LOCK_EX)
        repair_tail(self._journal)
        return True

    def release(self) -> None:
        """Let the next one in."""
        if self._held is not None:
            self._held.close()
            self._held = None


def _doing(number: int, design: Design, config: SweepConfig, result: EpochResult) -> dict[str, Any]:
    return {
        "number": number,
        "variant": design.variant,
        "epoch": result.epoch,
        "epochs": config.training.epochs,
        "validation_accuracy": result.validation_accuracy,
    }


def _work_alone(sweep: Sweep, parent: int) -> None:
    """A worker process: it stops when its parent does."""
    try:
        work(sweep, is_wanted=lambda: os.getppid() == parent)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started inside compute on one thread: more would fight for the cores."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
