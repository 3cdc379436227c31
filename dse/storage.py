"""Storage: where the Optuna study of a run is kept, safe from killed processes and torn lines."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection

from dse.config import SweepConfig
from dse.runfolder import RunFolder
from dse.safefile import repair_tail
from dse.urls import driver_url, is_postgresql

_ATTEMPTS, _TRY_AGAIN_S = 10, 0.1


def open_study(folder: RunFolder, config: SweepConfig, storage: str | None) -> optuna.Study:
    """The study of a run, made if it is not there; it bears the run's own id.

    storage : URL, which several runs may share; None = the journal in the run folder
    Raises StorageError if the URL leads nowhere.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=f"{config.name}-{folder.settings()['id']}",
        storage=kept_in(folder, storage),
        directions=directions(config),
        load_if_exists=True,
    )


def directions(config: SweepConfig) -> list[StudyDirection]:
    """Which way each objective of a sweep is better, in Optuna's words."""
    goals = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    return [goals[objective.goal] for objective in config.objectives]


def kept_in(folder: RunFolder, storage: str | None) -> BaseStorage:
    """The storage behind a URL, or of a run; raises StorageError if it cannot be reached."""
    return _journal(folder) if storage is None else reach(storage)


def reach(url: str) -> BaseStorage:
    """The storage behind a URL.

    Raises StorageError if it cannot be reached.
    """
    # what a database raises is its own; it is loaded only for one
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    from dse.database import Database, engine_options, unusable

    try:
        if is_postgresql(url):
            database = Database(url)
            database.check()
            # two hosts that make them at once would fail
            with database.lock("the tables of Optuna"):
                return optuna.storages.RDBStorage(driver_url(url), engine_options(url))
        for _ in range(_ATTEMPTS):
            try:
                return optuna.storages.get_storage(url)
            except SQLAlchemyError as error:
                # of an empty database, of which another process makes the tables just now
                if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                    raise
            time.sleep(_TRY_AGAIN_S)
        return optuna.storages.get_storage(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise unusable(url, error) from error


def _journal(folder: RunFolder) -> JournalStorage:
    path = str(folder.journal_file)
    lock = _KernelLock(path)
    lock.acquire()  # which mends the journal before it is read
    lock.release()
    return JournalStorage(JournalFileBackend(path, lock_obj=lock))


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
