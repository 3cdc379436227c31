"""The run folder: records are kept whole, workers are known to live."""

import json
import threading
from dataclasses import replace

import pytest

from dse.errors import RunFolderError
from dse.runfolder import RunFolder
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


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin("name: x\n")
    return folder


def test_records_come_back_by_number(folder):
    for number in (2, 0, 1):
        folder.append(record(number))
    assert folder.records() == [record(0), record(1), record(2)]
    assert len(folder.records_file.read_text().splitlines()) == 3


def test_a_damaged_line_in_the_middle_is_told(folder):
    folder.append(record(0))
    folder.append(record(1))
    lines = folder.records_file.read_text().splitlines()
    folder.records_file.write_text("{broken\n" + lines[1] + "\n")
    with pytest.raises(RunFolderError, match=r"records\.jsonl:1: "):
        folder.records()


def test_a_record_of_another_schema_is_told(folder):
    row = {**record(0).to_dict(), "schema": 99}
    folder.records_file.write_text(json.dumps(row) + "\n")
    with pytest.raises(RunFolderError, match="schema is 99; this version reads 1"):
        folder.records()


def test_replacing_keeps_the_others(folder):
    folder.append(record(0))
    folder.append(record(1))
    changed = replace(record(0), notes=("tested",))
    folder.replace([changed])
    assert folder.records() == [changed, record(1)]


def test_two_workers_have_two_names_and_a_dead_one_is_known(folder):
    with folder.worker() as first, folder.worker() as second:
        assert first != second
        assert folder.is_alive(first)
        assert folder.is_alive(second)
        folder.say(first, {"number": 3})
        assert folder.doing() == {first: {"number": 3}}
    assert not folder.is_alive(first)
    assert not folder.is_alive("nobody")
    assert folder.doing() == {}
    with folder.worker() as again:
        assert again not in (first, second)


def test_what_a_killed_worker_left_is_swept_away(folder):
    (folder.workers / "host-dead").write_text('{"number": 3}')
    assert folder.doing() == {}
    with folder.worker() as name:
        assert [path.name for path in folder.workers.iterdir()] == [name]
    assert list(folder.workers.iterdir()) == []


def test_what_a_killed_command_left_half_written_goes(folder):
    left = folder.path / ".settings.json.77.tmp"
    left.write_text("half")
    folder.begin("name: x\n")
    assert not left.exists()


def test_two_commands_that_begin_at_once_are_one_run(tmp_path):
    folder, found = RunFolder(tmp_path / "run"), set()

    def begin():
        folder.begin("name: x\n")
        found.add(folder.settings()["id"])

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_a_worker_that_cannot_say_what_it_does_goes_on(folder):
    with folder.worker() as worker:
        (folder.workers / worker).unlink()
        (folder.workers / worker).mkdir()
        folder.say(worker, {"number": 3})
        (folder.workers / worker).rmdir()


def test_counts_that_are_gone(folder):
    with pytest.raises(RunFolderError, match="trial 0 has no counts"):
        folder.counts(record(0))
    with pytest.raises(RunFolderError, match="cannot be read"):
        folder.counts(record(0, counts_file="trials/0/counts.json"))


def test_workers_may_come_and_go_at_once(folder):
    mistakes = []

    def come_and_go():
        try:
            for _ in range(30):
                with folder.worker():
                    pass
        except OSError as error:
            mistakes.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mistakes == []
