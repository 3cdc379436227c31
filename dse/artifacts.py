"""Artifacts: files of a run as rows of a database, an Optuna `ArtifactStore`.

A file is cut into chunks, so that neither end holds it whole. Artifacts are named as files are,
`RUN/trials/17/weights.safetensors`, and names are sorted byte by byte: what a prefix has that is
new is one look into the index.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import sqlalchemy
from optuna.artifacts.exceptions import ArtifactNotFound
from sqlalchemy import Connection, Integer, LargeBinary, String, Text, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Column, MetaData, Table

from dse.database import Database, lock_key
from dse.errors import StorageError

CHUNK_BYTES = 1 << 20
# Far above any checkpoint of a network that a sweep trains; a runaway file must not fill the disk.
LARGEST_BYTES = 4 << 30

_METADATA = MetaData()
_NAME = String().with_variant(Text(collation="C"), postgresql.dialect.name)
ARTIFACTS = Table(
    "dse_artifacts",
    _METADATA,
    Column("artifact_id", _NAME, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)


class DatabaseArtifacts:
    """Files in the database that also holds the study.

    Usable with `optuna.artifacts.download_artifact` and its kin. A write replaces what was there,
    whole or not at all.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def prepare(self) -> None:
        """Make the table, if it is not there."""
        _METADATA.create_all(self.database.engine)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content, chunk by chunk, as it was when it was opened; the caller closes it.

        Raises ArtifactNotFound if there is none.
        """
        connection = self.database.engine.connect()
        try:
            rows = connection.execution_options(stream_results=True, max_row_buffer=1).execute(
                select(ARTIFACTS.c.content)
                .where(ARTIFACTS.c.artifact_id == artifact_id)
                .order_by(ARTIFACTS.c.chunk)
            )
            chunks = (bytes(row[0]) for row in rows)
            first = next(chunks, None)
        except BaseException:
            connection.close()
            raise
        if first is None:
            connection.close()
            raise ArtifactNotFound(f"artifact {artifact_id}: is not in the database")
        raw = _Chunks(connection, first, chunks)
        return cast("BinaryIO", io.BufferedReader(cast("Any", raw), CHUNK_BYTES))

    def write(self, artifact_id: str, content_body: BinaryIO | IO[bytes]) -> None:
        """Keep a content, in the place of an earlier one.

        Raises StorageError if it is larger than `LARGEST_BYTES`; the earlier one stays.
        """
        with self.database.engine.begin() as connection:
            if self.database.is_postgresql:  # two that write the same would collide
                connection.execute(select(func.pg_advisory_xact_lock(lock_key(artifact_id))))
            connection.execute(ARTIFACTS.delete().where(ARTIFACTS.c.artifact_id == artifact_id))
            self.add(connection, artifact_id, content_body)

    def add(
        self, connection: Connection, artifact_id: str, content_body: BinaryIO | IO[bytes]
    ) -> None:
        """Keep a content under a new name, inside a transaction of the caller.

        Raises IntegrityError of SQLAlchemy if the name is taken.
        """
        chunk = 0
        while (content := content_body.read(CHUNK_BYTES)) or chunk == 0:
            if chunk * CHUNK_BYTES + len(content) > LARGEST_BYTES:
                raise StorageError(
                    f"artifact {artifact_id}: larger than {LARGEST_BYTES >> 30} GiB: too large to "
                    "travel through a database"
                )
            row = {"artifact_id": artifact_id, "chunk": chunk, "content": content}
            connection.execute(ARTIFACTS.insert().values(row))
            chunk += 1

    def claim(self, connection: Connection, names: Sequence[str]) -> None:
        """Add empty contents, all or none, inside a transaction of the caller.

        Raises IntegrityError of SQLAlchemy if one of the names is taken.
        """
        rows = [{"artifact_id": name, "chunk": 0, "content": b""} for name in names]
        connection.execute(ARTIFACTS.insert(), rows)

    def remove(self, artifact_id: str) -> None:
        """Remove a content. Raises ArtifactNotFound if there is none."""
        with self.database.engine.begin() as connection:
            found = connection.execute(
                ARTIFACTS.delete().where(ARTIFACTS.c.artifact_id == artifact_id)
            )
        if not found.rowcount:
            raise ArtifactNotFound(f"artifact {artifact_id}: is not in the database")

    def names(self, prefix: str) -> list[str]:
        """The artifacts whose names begin so, sorted."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(
                select(ARTIFACTS.c.artifact_id)
                .where(*_begins(prefix), ARTIFACTS.c.chunk == 0)
                .order_by(ARTIFACTS.c.artifact_id)
            )
            return [str(row[0]) for row in rows]

    def after(self, connection: Connection, prefix: str, name: str) -> Iterator[tuple[str, bytes]]:
        """The artifacts with a prefix that come after a name, each with its content."""
        rows = connection.execute(
            select(ARTIFACTS.c.artifact_id, ARTIFACTS.c.content)
            .where(*_begins(prefix), ARTIFACTS.c.artifact_id > name)
            .order_by(ARTIFACTS.c.artifact_id, ARTIFACTS.c.chunk)
        )
        held, parts = "", list[bytes]()
        for artifact_id, content in rows:
            if held and artifact_id != held:
                yield held, b"".join(parts)
                parts = []
            held = artifact_id
            parts.append(bytes(content))
        if held:
            yield held, b"".join(parts)

    def last(self, connection: Connection, prefix: str) -> str | None:
        """The last name with a prefix, None if there is none."""
        name: str | None = connection.execute(
            select(func.max(ARTIFACTS.c.artifact_id)).where(*_begins(prefix))
        ).scalar()
        return name

    def read(self, artifact_id: str) -> bytes:
        """A small content at once. Raises ArtifactNotFound."""
        with self.open_reader(artifact_id) as reader:
            return reader.read()

    @contextmanager
    def downloaded(self, artifact_id: str, beside: Path) -> Iterator[Path]:
        """The content in a file of its own, in the folder of another, until the block ends.

        The caller may move it away. Raises ArtifactNotFound.
        """
        with self.open_reader(artifact_id) as reader:
            beside.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=beside.parent, prefix=f".{beside.name}.", suffix=".tmp", delete=False
            ) as file:
                path = Path(file.name)
                try:
                    while content := reader.read(CHUNK_BYTES):
                        file.write(content)
                    file.flush()
                    yield path
                finally:
                    path.unlink(missing_ok=True)


class _Chunks(io.RawIOBase):
    """Chunks that are fetched as they are read; closes its connection with itself."""

    def __init__(self, connection: Connection, first: bytes, rest: Iterator[bytes]) -> None:
        self._connection, self._left, self._rest = connection, first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._left:
            self._left = next(self._rest, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._connection.close()
        super().close()


def _begins(prefix: str) -> tuple[sqlalchemy.ColumnElement[bool], ...]:
    """Names with a prefix, as a range of the index; "\x7f" comes after all that names hold."""
    name = ARTIFACTS.c.artifact_id
    return name >= prefix, name < f"{prefix}\x7f"
