"""Stopped and killed sweeps go on: no finished trial is lost or done again."""

import json
import os
import signal
import time

import pytest
from command import dse, start

pytestmark = pytest.mark.slow

OPTIONS = ("smoke", "--trials", "8", "--set", "training.epochs=16", "--no-report")


def records(folder, name):
    path = folder / "runs" / name / "records.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def comparable(rows):
    """Without times, and without the name of the worker."""
    return [
        {key: value for key, value in row.items() if key not in ("times", "worker")} for row in rows
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = dse("run", *OPTIONS, folder=folder)
    assert done.returncode == 0, done.stderr
    return records(folder, "smoke")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_goes_on_to_the_same_records(tmp_path, uninterrupted, how):
    process = start("run", *OPTIONS, folder=tmp_path)
    deadline = time.monotonic() + 60
    while len(records(tmp_path, "smoke")) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    os.killpg(process.pid, how)
    output, _ = process.communicate(timeout=30)
    kept = records(tmp_path, "smoke")
    assert 3 <= len(kept) < 8
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert f"stopped; {len(kept)} finished trials are kept in runs/smoke" in output
        assert "to go on: dse run smoke" in output
    done = dse("run", *OPTIONS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    finished = records(tmp_path, "smoke")
    assert comparable(finished) == comparable(uninterrupted)
    # what was kept was not trained again
    times = [row["times"] for row in finished]
    assert times[: len(kept)] == [row["times"] for row in kept]


def test_a_killed_worker_of_two_leaves_no_gap(tmp_path):
    options = (*OPTIONS, "--workers", "2")
    process = start("run", *options, folder=tmp_path)
    deadline = time.monotonic() + 60
    while len(records(tmp_path, "smoke")) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    done = dse("run", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(row["number"] for row in records(tmp_path, "smoke")) == list(range(8))
