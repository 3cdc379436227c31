"""The study: trains the designs of a sweep in one or many processes, and measures the front."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import torch

from dse import warmstart
from dse.config import SweepConfig
from dse.dispatch import Dispatch, Handed, Job
from dse.errors import DseError, RunFolderError
from dse.processes import one_thread_each, unheard
from dse.reading import read
from dse.storage import open_study
from dse.sweep import Sweep
from dse.training import machine
from dse.training.loop import EpochResult
from dse.trial import run_trial

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 0.5
_RENEW_S = 10.0  # a lease, while a training gets on
_TELL_AGAIN_S, _TELLS = 1.0, 10  # before a worker that does not stop is ended


def begin(sweep: Sweep) -> list[str]:
    """Make the study, or take it up; what to tell of the runs that it starts from.

    Only the parent calls this: two processes that make the same study at once may fail.
    Raises StorageError if there is no such storage, TargetError for a warm start from no run.
    """
    with sweep.folder.lock():
        told = warmstart.keep(sweep.folder, sweep.config, sweep.space)
        open_study(sweep.folder, sweep.config, sweep.storage)
    return told


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
            # of a function that loads other data in each process nothing could be compared
            sweep.folder.refuse_changed({}, sweep.recipe.fingerprints())
            study = open_study(sweep.folder, sweep.config, sweep.storage)
            dispatch = Dispatch(sweep, study, worker)
            while True:
                job = dispatch.next()
                if job is Handed.ALL:
                    return
                if isinstance(job, Job):
                    _train(dispatch, sweep, worker, job, is_wanted)
                else:
                    time.sleep(_LOOK_AGAIN_S)
                    if not is_wanted():
                        raise KeyboardInterrupt
    finally:
        torch.set_num_threads(threads)


def _train(
    dispatch: Dispatch, sweep: Sweep, worker: str, job: Job, is_wanted: Callable[[], bool]
) -> None:
    folder = sweep.folder
    folder.say(worker, _doing(job, sweep.config, None))
    renewed_s = time.monotonic()

    def on_epoch(result: EpochResult) -> None:
        nonlocal renewed_s
        folder.say(worker, _doing(job, sweep.config, result))
        if time.monotonic() - renewed_s > _RENEW_S:
            dispatch.renew(job, result.epoch)
            renewed_s = time.monotonic()
        if not is_wanted():
            raise KeyboardInterrupt

    folder.fetch(job.number)  # what a dead worker of another host left of it
    record = run_trial(
        job.design,
        job.number,
        sweep.recipe,
        folder.path,
        worker=worker,
        optuna_number=job.optuna_number,
        on_epoch=on_epoch,
        judge=dispatch.judge(job),
        is_resumed=True,
    )
    records = [record, *read(record, sweep.recipe, folder.path)]
    folder.send(job.number)  # before others wait for the lock
    if not dispatch.finish(job, records):
        _log.warning("trial %d was taken over by another worker, whose result counts", job.number)


def _doing(job: Job, config: SweepConfig, result: EpochResult | None) -> dict[str, Any]:
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
