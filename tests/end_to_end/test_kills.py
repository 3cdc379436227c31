"""Killed at random moments, over every storage: nothing that was finished is lost."""

import os
import random
import signal
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
from command import start
from postgres import server

from benchmarks.search import kills, referee
from benchmarks.search.truth import Truth

pytestmark = pytest.mark.slow

KILLS = 6


@pytest.mark.parametrize("storage", ["journal", "sqlite", "postgresql"])
def test_workers_that_are_killed_at_random_lose_nothing(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "TRIALS", 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    with ExitStack() as stack:
        url = None
        if storage == "sqlite":
            url = f"sqlite:///{tmp_path}/study.db"
        if storage == "postgresql":
            if find_spec("psycopg") is None:
                pytest.skip("the driver of PostgreSQL is not installed")
            one = stack.enter_context(server())
            url = one.url.replace("postgresql://", "postgresql+psycopg://")
        tally = kills.torment(KILLS, storage, 2, seed=0, folder=tmp_path, url=url)
    assert tally.faults == []
    assert tally.kills >= KILLS


def children(pid: int) -> list[int]:
    """The workers of a command."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in found
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("whom", ["a worker", "the parent", "all"])
def test_a_command_with_two_workers_goes_on_whoever_is_killed(tmp_path: Path, whom: str) -> None:
    sweep = [str(kills.SWEEP), "--trials", "10", "--workers", "2", "--no-report", "--out", "run"]
    records = tmp_path / "run" / "records.jsonl"
    process = start("run", *sweep, folder=tmp_path)
    deadline = time.monotonic() + 60
    while not records.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(random.Random(whom).uniform(0, 0.5))
    workers = children(process.pid)
    if whom == "a worker" and len(workers) == 2:
        os.kill(workers[0], signal.SIGKILL)
    elif whom == "the parent":
        os.kill(process.pid, signal.SIGKILL)
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    # at once: orphans may still be at their last epoch
    again = start("run", *sweep, folder=tmp_path)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    planned = referee.Planned(10, 0, 0)
    assert referee.faults(tmp_path / "run", None, planned, Truth(0, (), ()), kills=2) == []
