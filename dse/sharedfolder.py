"""SharedFolder: a run folder that mirrors a run in PostgreSQL, so that hosts need share no disk.

The database has the truth: a log of records, the files of the trials (`dse.artifacts`), who lives
(`dse.presence`). The folder here has the records of all, and the files that were made or asked for
here. A record is in the database, with its files, before the study is told of it.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from optuna.artifacts.exceptions import ArtifactNotFound
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dse import presence
from dse.artifacts import DatabaseArtifacts
from dse.database import PATIENCE_S, Database, is_lost, lost
from dse.errors import CheckpointError, RunFolderError, StorageLost
from dse.presence import Presence
from dse.runfolder import RunFolder
from dse.safefile import kernel_lock, remove_leftovers, write_atomically
from energy_models import ModelCounts
from reports.record import TrialRecord

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_CHECKPOINT = "checkpoint.safetensors"
_APPEND, _REPLACE = "append", "replace"
_LOOK_S = 1.0  # between looks for records that nobody waits for
_AGAIN_S = 1.0


@dataclass(slots=True)
class _Here:
    """What this process knows of the database; another process finds out for itself.

    sent : file -> size and time stamp of what was sent      looked_s : when records were asked for
    """

    sent: dict[Path, tuple[int, int]] = field(default_factory=dict)
    present: dict[str, Presence] = field(default_factory=dict)
    looked_s: float = float("-inf")

    def __reduce__(self) -> tuple[type[_Here], tuple[()]]:
        return _Here, ()


@dataclass(frozen=True)
class SharedFolder(RunFolder):
    """A folder on this host for a run that is kept in a database.

    run : name of the study, NAME-ID, under which everything of the run is kept
    note : what must stand beside the records that this host makes, None for nothing
    """

    database: Database
    run: str
    note: str | None = None
    _here: _Here = field(default_factory=_Here, repr=False, compare=False)

    @property
    def artifacts(self) -> DatabaseArtifacts:
        """The files of this run, and of the others in the database."""
        return DatabaseArtifacts(self.database)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process out, on every host, and have here what they finished.

        The server frees it when the holder dies, or about 15 s after its host vanished. Raises
        StorageLost if the database is lost inside.
        """
        with self.database.lock(self.run) as connection:
            self._fetch(connection)
            yield

    def locked(self, action: Callable[[], _Result]) -> _Result:
        """Do something under the lock; again if the database was lost in it, up to `PATIENCE_S`.

        What was recorded in a first try is not recorded again.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self.lock():
                    return action()
            except StorageLost as error:
                if time.monotonic() > deadline_s:
                    raise
                _log.warning("%s; trying again", error)
                time.sleep(_AGAIN_S)

    def records(self) -> list[TrialRecord]:
        """All records that are in the database; if it does not answer, all that are known here."""
        if time.monotonic() - self._here.looked_s > _LOOK_S:
            try:
                with self.database.engine.connect() as connection:
                    self._fetch(connection)
            except SQLAlchemyError as error:
                if not is_lost(error):
                    raise
        return super().records()

    def append(self, *records: TrialRecord) -> None:
        """Add records, with the files of their trials. The caller holds the lock.

        Records of which one was added before, by this worker or by one that took its trial over,
        are left out: a trial is recorded once.
        """
        noted = [self._noted(record) for record in records]
        numbers = sorted({record.number for record in noted})
        for number in numbers:
            self.send(number)
        connection = self.database.held
        try:
            with _transaction(connection):
                self.artifacts.claim(connection, [self._claim(one.name) for one in noted])
                self._write_log(connection, _APPEND, noted)
        except IntegrityError:
            names = ", ".join(record.name for record in noted)
            _log.warning("trial %s is recorded already; this copy is left out", names)
            for number in numbers:  # the files are those of the record: `fetch` brings them
                shutil.rmtree(self.trial(number), ignore_errors=True)
        self._forget_checkpoints(noted)
        self._fetch(connection)

    def replace(self, changed: Sequence[TrialRecord]) -> None:
        """Put records in the place of those with the same key. The caller holds the lock."""
        if not changed:
            return
        for number in sorted({record.number for record in changed}):
            self.send(number)
        connection = self.database.held
        with _transaction(connection):
            self._write_log(connection, _REPLACE, changed)
        self._fetch(connection)

    def counts(self, record: TrialRecord) -> ModelCounts:
        """The count document of a record, from here or from the database."""
        if record.counts_file is not None:
            self._bring(f"{self.run}/{record.counts_file}")
        return super().counts(record)

    def fetch(self, number: int) -> None:
        """Have the files of a trial here; of two checkpoints the one that is further."""
        for name in self.artifacts.names(f"{self.run}/trials/{number}/"):
            if name.endswith(f"/{_CHECKPOINT}"):
                self._bring_checkpoint(name)
            else:
                self._bring(name)

    def send(self, number: int) -> None:
        """Put the files of a trial that are new into the database, but for its checkpoint.

        Of a trial that is recorded, what is there stays. Best before the lock is taken: others
        wait for it.
        """
        folder = self.trial(number)
        paths = [
            path
            for path in (sorted(folder.rglob("*")) if folder.is_dir() else ())
            if path.is_file() and not path.name.startswith(".") and path.name != _CHECKPOINT
        ]
        if all(self._here.sent.get(path) == _state(path) for path in paths):
            return
        there = set()
        if self.artifacts.names(self._claim(str(number))):
            there = set(self.artifacts.names(f"{self.run}/trials/{number}/"))
        for path in paths:
            if self._name(path) not in there:
                self._send(path)

    def gather(self) -> None:
        """Have here all that a report reads: the counts of every record."""
        for record in self.records():
            if record.counts_file is not None:
                self._bring(f"{self.run}/{record.counts_file}")

    @contextmanager
    def worker(self) -> Iterator[str]:
        """Be a worker of this run: a name that nobody had before, on any host."""

        def send(number: int, path: Path) -> None:
            self._send(path)

        with Presence(
            self.database, self.run, lambda number: self.trial(number) / _CHECKPOINT, send
        ) as one:
            self._here.present[one.name] = one
            try:
                yield one.name
            finally:
                del self._here.present[one.name]

    def is_alive(self, worker: str) -> bool:
        """Whether a worker lives, on whatever host: see `dse.presence`."""
        return bool(self._living(worker))

    def say(self, worker: str, doing: Mapping[str, Any]) -> None:
        """Let all hosts see what a worker does; after an epoch, its checkpoint travels too."""
        self._here.present[worker].say(doing)

    def doing(self) -> dict[str, Mapping[str, Any]]:
        """What the living workers of all hosts do; nothing if the database does not answer."""
        try:
            return {name: doing for name, doing in self._living().items() if doing}
        except StorageLost:
            return {}

    def _living(self, worker: str | None = None) -> dict[str, Mapping[str, Any]]:
        try:
            return presence.living(self.database, self.run, worker)
        except SQLAlchemyError as error:
            raise lost(self.database.url, error) from error

    def _noted(self, record: TrialRecord) -> TrialRecord:
        if self.note is None:
            return record
        return replace(record, notes=(*record.notes, self.note))

    def _write_log(self, connection: Connection, how: str, records: Sequence[TrialRecord]) -> None:
        last = self.artifacts.last(connection, f"{self.run}/log/")
        index = 0 if last is None else _index(last) + 1
        text = "\n".join(json.dumps(record.to_dict(), allow_nan=False) for record in records)
        name = f"{self.run}/log/{index:09d}-{how}"
        self.artifacts.add(connection, name, io.BytesIO(text.encode()))

    def _fetch(self, connection: Connection) -> None:
        """Bring `records.jsonl` up to the log of the database.

        `mirror.json` says up to where the file goes, and how long it is then; if a killed process
        left it otherwise, it is made anew.
        """
        mirror = self.path / "mirror.json"
        with kernel_lock(self.path / ".mirror.lock"):
            remove_leftovers(mirror)  # of a worker that was killed
            place = _read_place(mirror)
            size = self.records_file.stat().st_size if self.records_file.exists() else 0
            if place["bytes"] != size:
                place = {"name": "", "bytes": 0}
                self.records_file.unlink(missing_ok=True)
            entries = list(self.artifacts.after(connection, f"{self.run}/log/", place["name"]))
            for how, records in _runs(entries):
                if how == _APPEND:
                    super().append(*records)
                else:
                    super().replace(records)
            if entries or size != place["bytes"]:
                size = self.records_file.stat().st_size if entries else 0
                name = entries[-1][0] if entries else ""
                write_atomically(mirror, json.dumps({"name": name, "bytes": size}) + "\n")
        self._here.looked_s = time.monotonic()

    def _forget_checkpoints(self, records: Sequence[TrialRecord]) -> None:
        """A trial that is done needs none; one that was stopped may go on, anywhere."""
        for record in records:
            if record.reading is not None:
                continue
            for one in self._here.present.values():
                one.forget(record.number)
            path = self.trial(record.number) / _CHECKPOINT
            if record.state == "stopped" and path.exists():
                self._send(path)
                continue
            try:
                self.artifacts.remove(self._name(path))
            except ArtifactNotFound:
                pass  # it was over before one was sent

    def _claim(self, name: str) -> str:
        """What is in the database once a record of that name is, and can be there once only."""
        return f"{self.run}/claims/{name};"

    def _name(self, path: Path) -> str:
        return f"{self.run}/{path.relative_to(self.path).as_posix()}"

    def _send(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                state = _state(path)
                if self._here.sent.get(path) != state:
                    self.artifacts.write(self._name(path), file)
                    self._here.sent[path] = state
        except FileNotFoundError:
            return  # a checkpoint whose trial is done by now
        except SQLAlchemyError as error:
            raise lost(self.database.url, error) from error

    def _bring(self, name: str) -> None:
        path = self._path(name)
        if path.exists():
            return
        try:
            with self.artifacts.downloaded(name, path) as file:
                file.replace(path)
        except ArtifactNotFound:
            return  # who needs the file says so
        except SQLAlchemyError as error:
            raise lost(self.database.url, error) from error
        self._here.sent[path] = _state(path)

    def _bring_checkpoint(self, name: str) -> None:
        path = self._path(name)
        try:
            with self.artifacts.downloaded(name, path) as file:
                if _epochs(file) > _epochs(path):
                    shutil.move(file, path)
        except ArtifactNotFound:
            return
        except SQLAlchemyError as error:
            raise lost(self.database.url, error) from error

    def _path(self, name: str) -> Path:
        """Where a file of the run lies here; a name that leads out of the folder is refused."""
        path = self.path / name.removeprefix(f"{self.run}/")
        if ".." in path.relative_to(self.path).parts:
            raise RunFolderError(f"{name!a}: leads out of the run folder")
        return path


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """All or nothing, on a connection whose statements else stand alone."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _index(name: str) -> int:
    return int(name.rpartition("/")[2].partition("-")[0])


def _runs(entries: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, list[TrialRecord]]]:
    """Entries of the log that are done in the same way, one after another, together."""
    how, records = "", list[TrialRecord]()
    for name, content in entries:
        own = name.rpartition("-")[2]
        if own != how and records:
            yield how, records
            records = []
        how = own
        records.extend(TrialRecord.from_dict(json.loads(line)) for line in content.splitlines())
    if records:
        yield how, records


def _read_place(mirror: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(mirror.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {"name": "", "bytes": 0}


def _epochs(checkpoint: Path) -> int:
    """How many epochs of training a checkpoint holds; -1 for one that is missing or damaged."""
    from dse.training.checkpoint import read  # who takes a trial over has torch

    try:
        return len(json.loads(read(checkpoint)[1])["progress"]["results"])
    except (CheckpointError, ValueError, KeyError, TypeError):
        return -1
