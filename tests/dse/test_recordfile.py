"""The record file: each line is read once, though the file grows, is mended and is replaced."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dse.errors import RunFolderError
from dse.recordfile import RecordFile
from dse.runfolder import RunFolder
from reports.record import TrialRecord


def record(number, reading=None, note=""):
    return TrialRecord(
        number=number,
        state="complete",
        variant="snn",
        design={"variant": "snn", "architecture": "mlp", "knobs": {"width": 1.0}},
        seed=7,
        parent=None if reading is None else number,
        reading=reading,
        point="trained" if reading is None else "read",
        notes=(note,) if note else (),
    )


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def parsed(monkeypatch):
    """The numbers of the records that are parsed, as they are."""
    found = []
    parse = TrialRecord.from_dict

    def counted(row):
        found.append(row["number"])
        return parse(row)

    monkeypatch.setattr(TrialRecord, "from_dict", staticmethod(counted))
    return found


def names(records):
    return [one.name for one in records]


def test_a_line_is_parsed_once(folder, parsed):
    for number in range(5):
        folder.append(record(number))
        assert len(folder.records()) == number + 1
    folder.records()
    assert parsed == [0, 1, 2, 3, 4]


def test_who_changes_the_list_changes_his_own(folder):
    folder.append(record(0))
    folder.records().clear()
    assert folder.records() == [record(0)]


def test_a_replaced_file_is_read_again_though_it_has_the_same_size(folder):
    folder.append(record(0, note="a"))
    for note in "bcde":  # a name of a file that is gone may come back as that of a new one
        folder.replace([record(0, note=note)])
        assert folder.records() == [record(0, note=note)]


def test_a_file_that_was_written_anew_in_place_is_read_again(folder):
    folder.append(record(0), record(1))
    folder.records()
    whole = folder.records_file.read_bytes()
    folder.records_file.write_bytes(whole.replace(b'"snn"', b'"ann"'))
    assert {one.variant for one in folder.records()} == {"ann"}
    folder.records_file.write_bytes(b"")
    assert folder.records() == []
    folder.records_file.unlink()
    assert folder.records() == []
    folder.append(record(3))
    assert folder.records() == [record(3)]


def test_a_replacement_keeps_what_was_mended_by_hand(folder):
    folder.append(record(0), record(1), record(2))
    folder.records()
    text = folder.records_file.read_text()
    folder.records_file.write_text(text.replace('"number": 1', '"number": 7'))
    folder.replace([])
    assert names(folder.records()) == ["0", "2", "7"]


def test_a_damaged_line_is_told_each_time_until_it_is_mended(folder):
    folder.append(record(0))
    whole = folder.records_file.read_bytes()
    folder.records_file.write_bytes(b"{broken\n" + whole)
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"records\.jsonl:1: "):
            folder.records()
    folder.records_file.write_bytes(whole)
    assert folder.records() == [record(0)]


def test_points_without_their_training_are_left_out_until_it_is_there(folder):
    folder.append(record(0))
    folder.append(record(1), record(1, 1), record(1, 2))
    folder.append(record(0, 1))  # read later
    assert names(folder.records()) == ["0", "0.1", "1", "1.1", "1.2"]
    lines = folder.records_file.read_bytes().splitlines(keepends=True)
    assert names(RecordFile(folder.records_file).records()) == names(folder.records())
    for kept in (2, 3):  # the power was cut in the midst of training 1
        folder.records_file.write_bytes(b"".join(lines[:kept]))
        assert names(folder.records()) == ["0"]
        folder.append(record(1), record(1, 1, note="again"), record(1, 2, note="again"))
        assert names(folder.records()) == ["0", "1", "1.1", "1.2"]
        assert len(folder.records_file.read_bytes().splitlines()) == 4
        assert folder.records()[2].notes == ("again",)


def test_a_later_record_holds(folder):
    folder.append(record(0, note="first"))
    folder.append(record(0, note="second"))
    assert folder.records() == [record(0, note="second")]
    folder.append(record(1))  # and the first is cleaned away
    assert len(folder.records_file.read_bytes().splitlines()) == 2


def test_threads_see_whole_prefixes(folder):
    wrong = []
    is_over = threading.Event()

    def look():
        while not is_over.is_set():
            found = [one.number for one in folder.records()]
            if found != list(range(len(found))):
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100):
        folder.append(record(number))
    is_over.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(folder.records()) == 100


WRITER = """
import sys
from pathlib import Path
from dse.runfolder import RunFolder
from reports.record import TrialRecord

folder, first = RunFolder(Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + 50):
    with folder.lock():
        folder.append(TrialRecord(number, "failed", "ann", {}, seed=0, reason="x" * number * 9))
        if number % 10 == 0:
            folder.replace([])
"""


@pytest.mark.slow
def test_what_other_processes_append_and_replace_is_seen(folder):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder.path), str(first)])
        for first in (0, 50)
    ]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        found = len(folder.records())
        assert found >= seen
        seen = found
    assert [writer.wait() for writer in writers] == [0, 0]
    assert [one.number for one in folder.records()] == list(range(100))


@pytest.mark.slow
def test_asking_again_for_ten_thousand_records_costs_no_time(folder):
    folder.append(*(record(number) for number in range(10_000)))
    assert len(folder.records()) == 10_000
    folder.append(record(10_000))
    start_s = time.process_time()
    assert len(folder.records()) == 10_001
    assert time.process_time() - start_s < 0.01


def test_no_descriptor_is_left_open(folder):
    def count():
        return len(list(Path("/proc/self/fd").iterdir()))

    folder.append(record(0))
    folder.records()
    before = count()
    for note in "abc":
        folder.replace([record(0, note=note)])
        folder.records()
    assert count() == before
