"""Database: the SQL database that the hosts of a run share, and its locks.

Sessions are made so that a host that vanished is found out by the server: within about 15 s it ends
them, and what they had locked is free.
"""

from __future__ import annotations

import hashlib
import logging
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from dse.errors import StorageError, StorageLost
from dse.urls import driver_url, is_postgresql, without_password

_log = logging.getLogger(__name__)
# A worker waits for a database that restarts, or for a network that comes back.
PATIENCE_S = 600.0
_AGAIN_S = 1.0
# Of both ends, in seconds: a peer that is silent for idle + interval * count is given up.
_IDLE_S, _INTERVAL_S, _COUNT = 5, 3, 3
_SILENT_MS = 1000 * (_IDLE_S + _INTERVAL_S * _COUNT)


class Database:
    """A database by its URL. It travels to another process as the URL alone.

    Needs no connection until it is used; the password is never part of a message.
    """

    def __init__(self, url: str) -> None:
        self.url = driver_url(url)
        self._held: Connection | None = None

    def __reduce__(self) -> tuple[type[Database], tuple[str]]:
        return Database, (self.url,)

    def __repr__(self) -> str:
        return without_password(self.url)

    @property
    def is_postgresql(self) -> bool:
        """Whether several hosts may share it."""
        return is_postgresql(self.url)

    @cached_property
    def engine(self) -> Engine:
        """Connections. Raises StorageError for a URL or a driver that cannot be."""
        try:
            engine = sqlalchemy.create_engine(self.url, **engine_options(self.url))
            weakref.finalize(self, engine.dispose)
            return engine
        except (ArgumentError, ImportError, SQLAlchemyError) as error:
            raise unusable(self.url, error) from error

    def session(self) -> Connection:
        """A connection that is closed for real, so that all it had locked is free then.

        Each statement is a transaction of its own.
        """
        return self._sessions.connect()

    @cached_property
    def _sessions(self) -> Engine:
        options = engine_options(self.url)["connect_args"]
        return sqlalchemy.create_engine(
            self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=options
        )

    @contextmanager
    def lock(self, name: str) -> Iterator[Connection]:
        """Keep everyone else out, on every host, until the block ends or this process dies.

        Waits for a database that does not answer, up to `PATIENCE_S`. One that is lost inside the
        block raises StorageLost: the lock is gone with it.
        """
        connection = self._locked(lock_key(name))
        self._held = connection
        try:
            yield connection
        except Exception as error:
            if is_lost(error):
                raise lost(self.url, error) from error
            raise
        finally:
            self._held = None
            _close(connection)

    @property
    def held(self) -> Connection:
        """The connection that holds the lock: a write through it fails if the lock is lost."""
        if self._held is None:
            raise RuntimeError("the lock of the run is not held")
        return self._held

    def _locked(self, key: int) -> Connection:
        deadline_s = time.monotonic() + PATIENCE_S
        has_told = False
        while True:
            connection = None
            try:
                connection = self.session()
                connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": key})
                return connection
            except SQLAlchemyError as error:
                if connection is not None:
                    _close(connection)
                if not is_lost(error) or time.monotonic() > deadline_s:
                    raise lost(self.url, error) from error
                if not has_told:
                    _log.warning("%s; waiting for it", lost(self.url, error))
                has_told = True
                time.sleep(_AGAIN_S)

    def check(self) -> None:
        """Raise StorageError if the database cannot be reached now."""
        try:
            with self.engine.connect():
                pass
        except SQLAlchemyError as error:
            raise unusable(self.url, error) from error


def engine_options(url: str) -> dict[str, Any]:
    """What connections to a URL are made with."""
    if not is_postgresql(url):
        return {}
    server = {
        "tcp_keepalives_idle": _IDLE_S,
        "tcp_keepalives_interval": _INTERVAL_S,
        "tcp_keepalives_count": _COUNT,
        "tcp_user_timeout": _SILENT_MS,
        # rows that a vanished host had locked in the middle of a transaction
        "idle_in_transaction_session_timeout": 4 * _SILENT_MS,
    }
    return {
        "pool_pre_ping": True,  # the database may have restarted since
        "pool_size": 1,
        "max_overflow": 4,
        "connect_args": {
            "connect_timeout": 10,
            "keepalives_idle": _IDLE_S,
            "keepalives_interval": _INTERVAL_S,
            "keepalives_count": _COUNT,
            "tcp_user_timeout": _SILENT_MS,
            "options": " ".join(f"-c {name}={value}" for name, value in server.items()),
        },
    }


def lock_key(name: str) -> int:
    """The number of an advisory lock: 64 bits of a name, with sign."""
    return int.from_bytes(hashlib.sha256(f"dse {name}".encode()).digest()[:8], signed=True)


def is_lost(error: BaseException) -> bool:
    """Whether an error, or what it came from, is a database that does not answer any more."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OperationalError | InterfaceError):
            return True
        if isinstance(found, DBAPIError) and found.connection_invalidated:
            return True
        found = found.__cause__
    return False


def unusable(url: str, error: BaseException) -> StorageError:
    """What a user is told of a URL that does not work."""
    return StorageError(
        f"--storage {without_password(url)}: cannot be used: {_cause(error)}. It must be the URL "
        "of a database, such as sqlite:///study.db or postgresql://..., with its driver installed "
        "(for PostgreSQL: pip install '.[postgresql]')"
    )


def lost(url: str, error: BaseException) -> StorageLost:
    """A database that stopped answering."""
    return StorageLost(f"{without_password(url)}: does not answer: {_cause(error)}")


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None and not isinstance(error, SQLAlchemyError):
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except SQLAlchemyError:
        connection.invalidate()
