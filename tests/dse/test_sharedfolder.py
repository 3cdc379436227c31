"""The shared folder: hosts without a common disk have one run, and each trial once."""

import json
import multiprocessing
import os
import pickle
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from postgres import server

from dse import inventory, joining, presence, sharedfolder
from dse.cli.worker import storage_of
from dse.database import Database
from dse.errors import StorageError, TargetError
from dse.joining import compared, find, join, publish, share
from dse.recipe import checkpoint_file
from dse.runfolder import RunFolder
from energy_models import ModelCounts
from reports.record import TrialRecord


def record(number, **changes):
    return TrialRecord(
        number=number,
        state="complete",
        variant="ann",
        design={"variant": "ann", "architecture": "mlp", "knobs": {"width": 1.0}},
        seed=7,
        **changes,
    )


@pytest.fixture(scope="module")
def database():
    with server() as one:
        yield one


@pytest.fixture
def ours(database, tmp_path):
    """The host that began the run."""
    config = inventory.load_sweep("smoke")
    folder = RunFolder(tmp_path / "ours")
    folder.begin("name: smoke\n", storage=database.url, data_dir="/only/here")
    one = share(folder, config, database.url)
    publish(one)
    yield one
    one.database.engine.dispose()


@pytest.fixture
def theirs(ours, database, tmp_path):
    """Another host."""
    one = join(database.url, ours.run, tmp_path / "theirs", data_dir=None, device="cpu")
    yield one
    one.database.engine.dispose()


def add(folder, *records):
    with folder.lock():
        folder.append(*records)


def made(folder, number, name="weights.safetensors", content=b"w"):
    path = folder.trial(number) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_one_host_finished_the_other_has(ours, theirs):
    made(ours, 0, content=b"weights of 0")
    counted = ModelCounts(samples=7, layers=())
    made(ours, 0, "counts.json", json.dumps(counted.to_dict()).encode())
    add(ours, record(0, counts_file="trials/0/counts.json"), record(0, parent=0, reading=1))
    add(theirs, record(1))
    for folder in (ours, theirs):
        with folder.lock():
            assert [one.name for one in folder.records()] == ["0", "0.1", "1"]
    assert not theirs.trial(0).exists()  # only what is asked for travels
    assert theirs.counts(theirs.records()[0]) == counted
    theirs.fetch(0)
    assert (theirs.trial(0) / "weights.safetensors").read_bytes() == b"weights of 0"


def test_only_what_is_new_is_fetched(ours, theirs, monkeypatch):
    add(ours, *(record(number) for number in range(5)))
    with theirs.lock():
        assert len(theirs.records()) == 5
    asked = []
    after = sharedfolder.DatabaseArtifacts.after

    def counted(self, *arguments):
        found = list(after(self, *arguments))
        asked.append(len(found))
        return iter(found)

    monkeypatch.setattr(sharedfolder.DatabaseArtifacts, "after", counted)
    add(ours, record(5))
    with theirs.lock():
        assert len(theirs.records()) == 6
    with theirs.lock():
        pass
    assert asked == [0, 1, 1, 0]  # ours at its lock and after its append, theirs twice


def test_a_changed_record_travels(ours, theirs):
    add(ours, record(0), record(1))
    changed = replace(record(0), metrics={"test": {"accuracy": 0.5, "samples": 2}})
    with ours.lock():
        ours.replace([changed])
    with theirs.lock():
        assert theirs.records() == [changed, record(1)]


def test_a_trial_is_recorded_once(ours, theirs):
    made(ours, 3, content=b"first")
    add(ours, record(3, worker="first"), record(3, parent=3, reading=1))
    made(theirs, 3, content=b"second")
    add(theirs, record(3, worker="second"))
    with theirs.lock():
        assert [one.worker for one in theirs.records()] == ["first", None]
    theirs.fetch(3)
    assert (theirs.trial(3) / "weights.safetensors").read_bytes() == b"first"


def test_a_mirror_that_a_killed_process_left_half_done_is_made_anew(ours, theirs):
    add(ours, *(record(number) for number in range(3)))
    with theirs.lock():
        whole = theirs.records_file.read_bytes()
    for damaged in (whole[:-5], b"", whole + whole, b"{broken\n"):
        theirs.records_file.write_bytes(damaged)
        with theirs.lock():
            assert theirs.records_file.read_bytes() == whole
    theirs.records_file.unlink()
    (theirs.path / "mirror.json").write_text("")
    with theirs.lock():
        assert theirs.records_file.read_bytes() == whole


def test_what_a_killed_process_began_of_a_mirror_is_gone(ours, theirs):
    begun = ours.path / ".mirror.json.4711.tmp"
    begun.write_text("{")
    add(theirs, record(1))
    assert len(ours.records()) == 1 and not begun.exists()


def test_one_at_a_time_has_the_lock(ours, theirs):
    order = []

    def wait():
        with theirs.lock():
            order.append("theirs")

    with ours.lock():
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        order.append("ours")
    thread.join()
    assert order == ["ours", "theirs"]


def test_without_the_lock_nothing_is_written(ours):
    with pytest.raises(RuntimeError, match="lock of the run is not held"):
        ours.append(record(0))


def test_a_folder_travels_to_a_process_without_its_connections(ours):
    with ours.lock():
        pass
    other = pickle.loads(pickle.dumps(ours))
    assert (other.path, other.run, other.database.url) == (ours.path, ours.run, ours.database.url)
    assert "engine" not in vars(other.database)


def test_a_worker_is_known_on_all_hosts(ours, theirs, monkeypatch):
    monkeypatch.setattr(presence, "BEAT_S", 0.05)
    with ours.worker() as first, theirs.worker() as second:
        assert first != second
        assert theirs.is_alive(first)
        assert ours.is_alive(second)
        ours.say(first, {"number": 3, "epoch": 0, "at": 0.0})
        eventually(lambda: first in theirs.doing())
        doing = theirs.doing()[first]
        assert doing["number"] == 3
        assert abs(doing["at"] - time.time()) < 5  # the time of this host, whatever was said
    assert not theirs.is_alive(first)
    assert not ours.is_alive("nobody")
    with ours.worker() as again:
        assert again not in (first, second)  # a name is never used twice


def test_a_worker_that_beats_no_more_is_dead(ours, theirs, monkeypatch):
    with ours.worker() as worker:
        assert theirs.is_alive(worker)
        monkeypatch.setattr(presence, "DEAD_AFTER_S", -1.0)  # the lock is still held
        assert not theirs.is_alive(worker)


def _work(folder, names):
    with folder.worker() as worker:
        names.put(worker)
        with folder.lock():
            names.put("locked")
            time.sleep(60)


@pytest.mark.slow
def test_a_killed_worker_is_dead_and_its_lock_free_at_once(ours, theirs):
    context = multiprocessing.get_context("spawn")
    names = context.Queue()
    process = context.Process(target=_work, args=(ours, names))
    process.start()
    worker = names.get(timeout=60)
    assert names.get(timeout=10) == "locked"
    assert theirs.is_alive(worker)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with theirs.lock():
        assert time.monotonic() - start < 2
    eventually(lambda: not theirs.is_alive(worker), 2)


def checkpoint(epochs):
    """What `dse.training.resume` writes, as far as it is looked at here."""
    from safetensors.numpy import save

    document = json.dumps({"progress": {"results": [{}] * epochs}})
    return save({"x": np.zeros(1, np.float32)}, metadata={"document": document})


def test_the_checkpoint_of_a_training_under_way_travels(ours, theirs, monkeypatch):
    monkeypatch.setattr(presence, "BEAT_S", 0.05)
    monkeypatch.setattr(presence, "CHECKPOINT_S", 0.0)
    path = made(ours, 4, "checkpoint.safetensors", checkpoint(2))
    assert path == checkpoint_file(ours.path, 4)
    name = f"{ours.run}/trials/4/checkpoint.safetensors"
    with ours.worker() as worker:
        ours.say(worker, {"number": 4, "epoch": 2})
        eventually(lambda: name in theirs.artifacts.names(name))
        made(theirs, 4, "checkpoint.safetensors", checkpoint(1))
        theirs.fetch(4)
        assert checkpoint_file(theirs.path, 4).read_bytes() == checkpoint(2)
        made(theirs, 4, "checkpoint.safetensors", checkpoint(3))
        theirs.fetch(4)
        assert checkpoint_file(theirs.path, 4).read_bytes() == checkpoint(3)
        add(ours, record(4))
        time.sleep(0.3)  # it is not sent once more
        assert theirs.artifacts.names(name) == []


def test_a_stopped_training_keeps_its_checkpoint(ours, theirs):
    made(ours, 5, "checkpoint.safetensors", checkpoint(1))
    add(ours, replace(record(5), state="stopped"))
    theirs.fetch(5)
    assert checkpoint_file(theirs.path, 5).exists()


@pytest.mark.slow
def test_a_server_that_restarts_is_waited_for(ours, theirs, database, monkeypatch):
    monkeypatch.setattr(presence, "BEAT_S", 0.05)
    add(ours, record(0))
    with ours.worker() as worker:
        ours.say(worker, {"number": 1, "epoch": 0})
        eventually(lambda: worker in theirs.doing())
        tries = []

        def action():
            tries.append(1)
            if len(tries) == 1:
                database.restart()
            ours.append(record(1))

        ours.locked(action)
        assert len(tries) == 2
        # its locks are gone, and it is not taken for dead
        assert theirs.is_alive(worker)
        with theirs.lock():
            assert [one.number for one in theirs.records()] == [0, 1]


def test_what_a_lost_answer_recorded_is_not_recorded_again(ours, theirs):
    add(ours, record(0))
    add(ours, record(0))
    with theirs.lock():
        assert theirs.records() == [record(0)]


def test_two_hosts_that_append_at_once(ours, theirs):
    threads = [
        threading.Thread(target=lambda f=folder, n=start: [add(f, record(n + i)) for i in range(8)])
        for folder, start in ((ours, 0), (theirs, 8))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ours.lock():
        assert [one.number for one in ours.records()] == list(range(16))


def test_a_run_is_found_by_name_or_id(ours, database):
    identity = ours.settings()["id"]
    for asked in (ours.run, identity):
        assert find(ours.database, asked) == ours.run
    with pytest.raises(TargetError, match=r'run "nothing": is not in .* it has .*smoke-'):
        find(ours.database, "nothing")


def test_a_name_of_two_runs_is_refused(ours, database, tmp_path):
    folder = RunFolder(tmp_path / "second")
    folder.begin("name: smoke\n", storage=database.url)
    publish(share(folder, inventory.load_sweep("smoke"), database.url))
    with pytest.raises(TargetError, match=r'run "smoke": .* has \d+ of them: smoke-'):
        find(ours.database, "smoke")


def test_a_joined_folder_is_of_one_run_and_says_nothing_of_the_other_host(theirs, database):
    assert theirs.settings()["data_dir"] is None
    assert theirs.settings()["device"] == "cpu"
    again = join(database.url, theirs.run, theirs.path, device=None)
    assert again.settings()["device"] == "cpu"
    other = RunFolder(theirs.path.parent / "other")
    other.begin("name: other\n")
    with pytest.raises(TargetError, match="holds another run; give --out another folder"):
        join(database.url, theirs.run, other.path)


def test_a_host_with_other_versions_is_told_or_refused():
    here = {
        "machine": "x86_64",
        "versions": {"dse": "1", "torch": "2", "numpy": "3", "optuna": "5"},
    }
    assert compared(here, here, "") is None
    other = {"machine": "arm64", "versions": {**here["versions"], "torch": "2.1"}}
    note = "made on a host with torch 2.1 instead of 2, a processor arm64 instead of x86_64"
    assert compared(here, other, "search: {deterministic: false}") == note
    with pytest.raises(StorageError, match=r"torch 2\.1 instead of 2: the sweep is deterministic"):
        compared(here, other, "search:\n  deterministic: true\n")
    with pytest.raises(StorageError, match="this host has dse 2; the run was begun with 1"):
        compared(here, {**here, "versions": {**here["versions"], "dse": "2"}}, "")


def test_the_note_of_a_host_stands_beside_its_records(ours, theirs):
    add(replace(theirs, note="made elsewhere"), record(0, notes=("own",)))
    with ours.lock():
        assert ours.records()[0].notes == ("own", "made elsewhere")


def test_no_password_is_written_or_shown(ours, database, tmp_path):
    url = database.url.replace("dse@", "dse:secret@")
    folder = join(url, ours.run, tmp_path / "third")
    with folder.lock():
        pass
    written = [path.read_text() for path in folder.path.rglob("*") if path.is_file()]
    assert not any("secret" in content for content in written)
    assert "secret" not in repr(folder)
    nowhere = "postgresql://dse:secret@127.0.0.1:1/x"
    with pytest.raises(StorageError, match=r"dse:\*\*\*@127.0.0.1:1/x: cannot be used") as caught:
        joining.join(nowhere, "x", None)
    assert "secret" not in str(caught.value)


def test_the_command_names_what_is_missing(monkeypatch):
    monkeypatch.delenv("DSE_STORAGE", raising=False)
    for arguments, missing in (
        ((None, None, None), "no --storage and --run: "),
        ((None, None, "x"), "no --storage: "),
        ((None, "postgresql://a/b", None), "no --run: "),
        (("a", None, "x"), "not both"),
        (("a", "postgresql://a/b", None), "not both"),
    ):
        with pytest.raises(TargetError, match=missing):
            storage_of(*arguments)
    with pytest.raises(StorageError, match="only a PostgreSQL database is shared by hosts"):
        join("sqlite:///x.db", "x", None)
    monkeypatch.setenv("DSE_STORAGE", "postgresql://a/b")
    assert storage_of(None, None, "x") == "postgresql://a/b"
    assert storage_of("a", None, None) is None


def eventually(holds, within_s=5.0):
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_urls_of_postgresql_find_their_driver():
    assert Database("postgresql://a/b").url in ("postgresql+psycopg://a/b", "postgresql://a/b")
    assert Database("postgresql+psycopg://a/b").url == "postgresql+psycopg://a/b"
    assert Database("sqlite:///x.db").url == "sqlite:///x.db"
