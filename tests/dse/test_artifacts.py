"""Artifacts: files in a database come back as they were, by chunks, whole or not at all."""

import io

import pytest
from optuna.artifacts import download_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from postgres import server
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dse import artifacts
from dse.artifacts import CHUNK_BYTES, DatabaseArtifacts
from dse.database import Database
from dse.errors import StorageError


@pytest.fixture(scope="module")
def postgresql():
    with server() as one:
        yield one.url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/x.db"
    else:
        url = request.getfixturevalue("postgresql")
    database = Database(url)
    one = DatabaseArtifacts(database)
    one.prepare()
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM dse_artifacts"))
    yield one
    database.engine.dispose()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_a_file_comes_back_as_it_was(store, size):
    content = bytes(index % 251 for index in range(size))
    store.write("run/a", io.BytesIO(content))
    assert store.read("run/a") == content
    with store.open_reader("run/a") as reader:
        assert reader.read(3) == content[:3]
        assert reader.read() == content[3:]


def test_optuna_downloads_it(store, tmp_path):
    store.write("run/trials/0/counts.json", io.BytesIO(b"{}"))
    download_artifact(
        artifact_store=store, file_path=str(tmp_path / "c"), artifact_id="run/trials/0/counts.json"
    )
    assert (tmp_path / "c").read_bytes() == b"{}"


def test_a_write_replaces_what_was_longer(store):
    store.write("a", io.BytesIO(b"x" * (CHUNK_BYTES + 1)))
    store.write("a", io.BytesIO(b"y"))
    assert store.read("a") == b"y"


def test_a_write_that_fails_half_way_leaves_what_was_there(store, monkeypatch):
    store.write("a", io.BytesIO(b"whole"))
    monkeypatch.setattr(artifacts, "LARGEST_BYTES", CHUNK_BYTES + 10)
    with pytest.raises(StorageError, match="artifact a: larger than"):
        store.write("a", io.BytesIO(b"x" * (2 * CHUNK_BYTES)))
    assert store.read("a") == b"whole"


def test_a_reader_sees_one_version(store):
    if store.database.is_postgresql:  # SQLite makes the writer wait
        old, new = b"o" * 4 * CHUNK_BYTES, b"n" * 4 * CHUNK_BYTES
        store.write("a", io.BytesIO(old))
        with store.open_reader("a") as reader:
            assert reader.read(10) == old[:10]
            store.write("a", io.BytesIO(new))
            assert reader.read() == old[10:]
        assert store.read("a") == new


def test_what_is_not_there_is_told(store):
    with pytest.raises(ArtifactNotFound, match="artifact a: is not in the database"):
        store.open_reader("a")
    with pytest.raises(ArtifactNotFound):
        store.remove("a")
    store.write("a", io.BytesIO(b"1"))
    store.remove("a")
    with pytest.raises(ArtifactNotFound):
        store.read("a")


def test_names_with_a_prefix_are_sorted_by_byte(store):
    for name in ("r-1/log/2", "r-1/log/10", "r-10/log/3", "r-1/Z", "r-1/a_b", "s"):
        store.write(name, io.BytesIO(name.encode()))
    assert store.names("r-1/") == ["r-1/Z", "r-1/a_b", "r-1/log/10", "r-1/log/2"]
    with store.database.engine.connect() as connection:
        assert store.last(connection, "r-1/log/") == "r-1/log/2"
        assert store.last(connection, "t/") is None
        found = list(store.after(connection, "r-1/", "r-1/a_b"))
    assert found == [("r-1/log/10", b"r-1/log/10"), ("r-1/log/2", b"r-1/log/2")]


def test_a_name_is_added_once(store):
    with store.database.engine.begin() as connection:
        store.add(connection, "claim", io.BytesIO())
    with pytest.raises(IntegrityError), store.database.engine.begin() as connection:
        store.add(connection, "claim", io.BytesIO())
    assert store.read("claim") == b""


def test_a_download_leaves_no_half_file(store, tmp_path):
    with pytest.raises(ArtifactNotFound), store.downloaded("a", tmp_path / "a"):
        pass
    store.write("a", io.BytesIO(b"content"))
    with store.downloaded("a", tmp_path / "trials" / "a") as file:
        assert file.read_bytes() == b"content"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".tmp"] == []
