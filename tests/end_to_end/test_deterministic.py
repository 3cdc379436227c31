"""Deterministic mode: any number of workers, killed or not, comes to the same table."""

import os
import signal
import time

import pytest
from command import start

from dse import inventory
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.study import begin, run
from dse.sweep import Sweep

CHANGES = (
    "search={deterministic: true, batch: 4}",
    "budget.trials=12",
    "data.samples=200",
    "training.epochs=1",
)
OF_THE_MACHINE = ("worker", "times")


def table(folder):
    rows = [record.to_dict() for record in folder.records()]
    return [{k: v for k, v in row.items() if k not in OF_THE_MACHINE} for row in rows]


def run_of(path, workers):
    config = inventory.load_sweep("smoke", CHANGES)
    folder = RunFolder(path)
    folder.begin("name: smoke\n")
    sweep = Sweep(folder, Recipe(config), inventory.space(config))
    begin(sweep)
    run(sweep, workers)
    return table(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_more_workers_come_to_the_same_table(tmp_path, alone, workers):
    assert len(alone) == 12
    assert len({str(row["design"]) for row in alone}) == 12
    assert run_of(tmp_path, workers) == alone


@pytest.mark.slow
def test_a_sweep_that_was_killed_comes_to_the_same_table(tmp_path, alone):
    options = [part for change in CHANGES for part in ("--set", change)]
    options += ["--out", "run", "--workers", "2", "--no-report"]
    folder = RunFolder(tmp_path / "run")
    for kill_at in (2, 5, None):
        process = start("run", "smoke", *options, folder=tmp_path)
        end_s = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < end_s:
            if kill_at is not None and len(folder.records()) >= kill_at:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0, output
    without_test = [
        {**row, "metrics": {**row["metrics"], "test": None}} if row["metrics"] else row
        for row in table(folder)
    ]
    assert without_test == alone
