"""Presence: a worker on any host is known to live as long as it does, and says what it does.

Two signs together. A lock of the worker's own session: the server frees it at once when the process
ends, and after about 15 s when its host vanished. A heartbeat on the server's own clock: one that
is stopped, or cut off behind a proxy, is dead after `DEAD_AFTER_S` although its session is there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from sqlalchemy import BigInteger, Connection, DateTime, String, Text, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import Column, MetaData, Table

from dse.database import Database, lock_key
from dse.errors import StorageError

_log = logging.getLogger(__name__)
DEAD_AFTER_S = 30.0
BEAT_S = 2.0
# A training under way is sent after an epoch, but for a tenth of the time at most.
CHECKPOINT_S, CHECKPOINT_SHARE = 5.0, 0.1
_FAREWELL_S = 10.0

_METADATA = MetaData()
WORKERS = Table(
    "dse_workers",
    _METADATA,
    Column("run", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("lock_key", BigInteger, nullable=False),
    Column("locked_in", DateTime(timezone=True)),  # the start of the server that granted the lock
    Column("beat_at", DateTime(timezone=True), nullable=False),
    Column("said_at", DateTime(timezone=True), nullable=False),
    Column("doing", Text),
)
# A server that has restarted knows of no lock until the worker is back: its heartbeat decides.
_LIVING = """
SELECT name, doing, extract(epoch FROM clock_timestamp() - said_at) AS said_s
FROM dse_workers w
WHERE run = :run AND (CAST(:name AS varchar) IS NULL OR name = :name)
  AND beat_at > clock_timestamp() - make_interval(secs => :dead_after_s)
  AND (
    locked_in IS DISTINCT FROM pg_postmaster_start_time()
    OR EXISTS (
      SELECT FROM pg_locks l
      WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid = CAST((w.lock_key >> 32) & 4294967295 AS oid)
        AND l.objid = CAST(w.lock_key & 4294967295 AS oid)
    )
  )
ORDER BY name
"""
_BEAT = "UPDATE dse_workers SET beat_at = clock_timestamp() WHERE run = :run AND name = :name"
_LOCKED = """
UPDATE dse_workers SET locked_in = pg_postmaster_start_time() WHERE run = :run AND name = :name
"""
_LEAVE = "UPDATE dse_workers SET beat_at = '-infinity' WHERE run = :run AND name = :name"
_SAY = """
UPDATE dse_workers SET beat_at = clock_timestamp(), said_at = clock_timestamp(), doing = :doing
WHERE run = :run AND name = :name
"""
_JOIN = """
INSERT INTO dse_workers (run, name, lock_key, beat_at, said_at)
VALUES (:run, :name, :key, clock_timestamp(), clock_timestamp())
"""
_LAST = "SELECT count(*) FROM dse_workers WHERE run = :run AND starts_with(name, :host)"


def prepare(database: Database) -> None:
    """Make the table, if it is not there."""
    _METADATA.create_all(database.engine)


def living(database: Database, run: str, name: str | None = None) -> dict[str, Mapping[str, Any]]:
    """The workers of a run that live, on any host, and what they said last ({} for nothing yet).

    name : ask for this one only
    `at` in what they said becomes a time of this host's clock.
    """
    asked = {"run": run, "name": name, "dead_after_s": DEAD_AFTER_S}
    with database.engine.connect() as connection:
        rows = connection.execute(text(_LIVING), asked).all()
    now = time.time()
    return {
        row.name: {**json.loads(row.doing), "at": now - float(row.said_s)} if row.doing else {}
        for row in rows
    }


class Presence:
    """A worker of a run: a name that nobody had before, and a thread that says that it lives.

    A second thread sends the checkpoint of the training under way: a slow network holds up nobody.
    send : called with the number of a training and its checkpoint; may raise what databases raise
    """

    def __init__(
        self,
        database: Database,
        run: str,
        checkpoint: Callable[[int], Path],
        send: Callable[[int, Path], None],
    ) -> None:
        self._database, self._run = database, run
        self._checkpoint, self._send = checkpoint, send
        self.name = ""
        self._session: Connection | None = None
        self._is_locked = False
        self._doing: Mapping[str, Any] = {}
        self._is_said = True
        self._sent: tuple[int, int] | None = None  # number and time stamp of the file
        self._not_before_s = 0.0
        self._sending = threading.Lock()
        self._wake, self._is_over = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(act,), daemon=True)
            for act in (self._beat, self._send_checkpoint)
        ]

    def __enter__(self) -> Self:
        session = self._database.session()
        self.name = _join(session, self._run, socket.gethostname())
        self._session = session
        self._hold(session)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=_FAREWELL_S)
        if self._session is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._session.execute(text(_LEAVE), self._myself)
        self._drop()

    def say(self, doing: Mapping[str, Any]) -> None:
        """What the others may see; never waits, and never fails."""
        self._doing, self._is_said = dict(doing), False
        self._wake.set()

    def forget(self, number: int) -> None:
        """Send the checkpoint of a training no more; when this returns, none is on its way."""
        with self._sending:
            if self._doing.get("number") == number:
                self._doing = {**self._doing, "number": None}

    @property
    def _myself(self) -> dict[str, str]:
        return {"run": self._run, "name": self.name}

    @property
    def _key(self) -> int:
        return lock_key(f"{self._run} worker {self.name}")

    def _repeat(self, act: Callable[[], None]) -> None:
        """Do it again and again; a database that is away is waited for."""
        has_told = False
        while not self._is_over.is_set():
            try:
                act()
                has_told = False
            except (SQLAlchemyError, StorageError, OSError) as error:
                if not has_told:
                    _log.warning("the database does not hear this worker: %s", error)
                has_told = True
            if act == self._beat and not has_told:
                self._wake.wait(BEAT_S)
                self._wake.clear()
            else:
                self._is_over.wait(BEAT_S)

    def _beat(self) -> None:
        try:
            if self._session is None:
                self._session = self._database.session()
            if not self._is_locked:  # an old session that is still there holds it for us
                self._hold(self._session)
            self._tell(self._session)
        except SQLAlchemyError:
            self._drop()
            raise

    def _hold(self, session: Connection) -> None:
        taken = session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key})
        self._is_locked = bool(taken.scalar_one())
        if self._is_locked:
            session.execute(text(_LOCKED), self._myself)

    def _tell(self, session: Connection) -> None:
        if self._is_said:
            session.execute(text(_BEAT), self._myself)
            return
        self._is_said = True
        try:
            session.execute(text(_SAY), {**self._myself, "doing": json.dumps(self._doing)})
        except SQLAlchemyError:
            self._is_said = False
            raise

    def _send_checkpoint(self) -> None:
        with self._sending:
            number = self._doing.get("number")
            if number is None or not self._doing.get("epoch"):
                return
            path = self._checkpoint(number)
            start_s = time.monotonic()
            if start_s < self._not_before_s or not path.exists():
                return
            state = (number, path.stat().st_mtime_ns)
            if state == self._sent:
                return
            self._send(number, path)
            self._sent = state
            took_s = time.monotonic() - start_s
            self._not_before_s = start_s + max(CHECKPOINT_S, took_s / CHECKPOINT_SHARE)

    def _drop(self) -> None:
        if self._session is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._session.close()
            self._session, self._is_locked = None, False


def _join(session: Connection, run: str, host: str) -> str:
    """Enter a name that no worker of the run had before: HOST-INDEX."""
    index = session.execute(text(_LAST), {"run": run, "host": f"{host}-"}).scalar_one()
    while True:
        name = f"{host}-{index}"
        try:
            key = lock_key(f"{run} worker {name}")
            session.execute(text(_JOIN), {"run": run, "name": name, "key": key})
            return name
        except IntegrityError:
            index += 1
