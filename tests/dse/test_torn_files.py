"""Torn files: a sweep goes on from what a power cut or a full disk left of its files."""

import json
import resource
import shutil
import signal

import optuna
import pytest
from optuna.trial import TrialState

from dse import inventory
from dse.errors import RunFolderError
from dse.recordfile import RecordFile
from dse.runfolder import RunFolder
from dse.safefile import append_whole, repair_tail
from dse.seeding import trial_seed
from dse.space import suggest
from dse.storage import open_study
from reports.record import TrialRecord

TRIALS = 3
DONE = (TrialState.COMPLETE,)
# What may stand at the end of a file after the last whole line.
ENDS = {
    "zeros": b"\0" * 5000,
    "a line of zeros": b"\0" * 300 + b"\n",
    "a line with a hole": b'{"op_code": 5, "number": ' + b"\0" * 4096 + b'"end": 1}\n',
    "two lines with holes": b"\0" * 9 + b'"a": 1}\n' + b'{"b": 1\0\0\n',
    "half a character": b'{"name": "\xc3',
    "a whole line but for its end": b'{"op_code": 0, "worker_id": "x", "number": 3}',
    "a number that was cut": b"1",
}


def record(number, reading=None):
    return TrialRecord(
        number,
        "complete",
        "snn",
        {"variant": "snn", "architecture": "mlp", "knobs": {"width": 1.0}},
        seed=trial_seed(0, number),
        parent=None if reading is None else number,
        reading=reading,
        optuna_number=number,
    )


CONFIG = inventory.load_sweep("smoke")


def opened(path):
    return open_study(RunFolder(path), CONFIG, None)


def train(path, count):
    """Hand out designs and tell of them, as a worker does."""
    study, space = opened(path), inventory.space(CONFIG)
    for _ in range(count):
        study.sampler = optuna.samplers.RandomSampler(seed=len(study.trials))
        trial = study.ask()
        trial.set_user_attr("worker", "here-0")
        design = suggest(trial, space)
        study.tell(trial, [0.5, 100.0 * len(design.knobs)])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a study of three trials and their records."""
    path = tmp_path_factory.mktemp("runs") / "run"
    folder = RunFolder(path)
    folder.begin("name: smoke\n")
    train(path, TRIALS)
    for number in range(TRIALS):
        folder.append(record(number))
    return path


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder(shutil.copytree(run, tmp_path / "run"))


def finished(path):
    return opened(path).get_trials(states=DONE)


@pytest.mark.slow
@pytest.mark.parametrize("last", [1, 2])
def test_the_journal_cut_at_every_byte_of_its_last_line_goes_on(copy, last):
    """Its last line tells the result, the one before it sets knobs: each is the last once."""
    lines = copy.journal_file.read_bytes().splitlines(keepends=True)
    lines = lines[: len(lines) + 1 - last]
    kept = b"".join(lines[:-1])
    before = TRIALS - 1 if last > 1 else TRIALS
    for length in range(len(lines[-1]) + 1):
        copy.journal_file.write_bytes(kept + lines[-1][:length])
        is_whole = length == len(lines[-1])
        known = before if is_whole or last > 1 else TRIALS - 1
        study = opened(copy.path)
        assert len(study.get_trials(deepcopy=False, states=DONE)) == known
        study.tell(study.ask(), [0.5, 1.0])
        assert len(finished(copy.path)) == known + 1
        written = copy.journal_file.read_bytes()
        assert written.startswith(kept + lines[-1] if is_whole else kept)
        for line in written.splitlines():
            json.loads(line)


@pytest.mark.slow
def test_the_records_cut_at_every_byte_of_the_last_one_go_on(copy):
    whole = copy.records_file.read_bytes()
    kept = whole[: whole[:-1].rindex(b"\n") + 1]
    for length in range(len(kept), len(whole)):
        copy.records_file.write_bytes(whole[:length])
        assert copy.records() == [record(0), record(1)]
        copy.append(record(7))
        assert copy.records() == [record(0), record(1), record(7)]
        assert copy.records_file.read_bytes().startswith(kept)
        assert copy.records() == RecordFile(copy.records_file).records()


@pytest.mark.slow
def test_a_training_with_its_points_cut_at_every_byte_is_there_whole_or_not(copy):
    kept = copy.records_file.read_bytes()
    batch = [record(9), record(9, 1), record(9, 2)]
    copy.append(*batch)
    whole = copy.records_file.read_bytes()
    for length in range(len(kept), len(whole)):
        copy.records_file.write_bytes(whole[:length])
        assert [one.number for one in copy.records()] == [0, 1, 2]
        if length % 60 == 0:
            copy.append(*batch)
            assert copy.records()[3:] == batch
            assert sorted(copy.records_file.read_bytes().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_what_stands_after_the_last_whole_line_is_cut_off(copy, end):
    for path in (copy.journal_file, copy.records_file):
        append_whole(path, end)
    assert len(finished(copy.path)) == TRIALS
    assert len(copy.records()) == TRIALS
    train(copy.path, 1)
    copy.append(record(5))
    assert len(finished(copy.path)) == TRIALS + 1
    assert [one.number for one in copy.records()] == [0, 1, 2, 5]


@pytest.mark.parametrize("content", [b"", b"\0\0", b'{"op_'], ids=["empty", "zeros", "part"])
def test_files_without_one_whole_line_begin_anew(copy, content):
    for path in (copy.journal_file, copy.records_file):
        path.write_bytes(content)
    assert finished(copy.path) == []
    assert copy.records() == []
    train(copy.path, 1)
    copy.append(record(0))
    assert len(finished(copy.path)) == len(copy.records()) == 1


def test_a_line_that_the_disk_did_not_take_is_taken_back(copy):
    before = copy.records_file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(RunFolderError, match=r"the record of trial 4 cannot be written: File"):
            copy.append(record(4), record(4, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert copy.records_file.read_bytes() == before
    assert len(copy.records()) == TRIALS
    copy.append(record(4), record(4, 1))
    assert len(copy.records()) == TRIALS + 2


def test_repairing_does_not_touch_a_whole_file(copy):
    for path in (copy.journal_file, copy.records_file):
        before = path.read_bytes()
        repair_tail(path)
        assert path.read_bytes() == before
