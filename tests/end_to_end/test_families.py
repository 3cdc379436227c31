"""A sweep with repeats: every design, several seeds, one table; killed and taken up again."""

import csv
import json
import os
import signal
import time

import pytest
from command import dse, start

pytestmark = pytest.mark.slow

SWEEP = """\
name: families
question: Which family is best on one topology?
data: {name: digits, samples: 200}
variants: [ann, bnn, snn]
architecture: convnet
space:
  width: 0.1
  depth: 1
  learning_rate: [{fixed: 0.02, when: {variant: [ann]}}, {fixed: 0.005, when: {variant: [bnn]}}]
  time_steps: {choice: [1, 2]}
objectives: [accuracy, energy_pj]
hardware: [cmos45-fp32, cmos45-int8]
budget: {repeats: 2}
training: {epochs: 1}
"""
ROUND = [("ann", None, 0.02), ("bnn", None, 0.005), ("snn", 1, 0.01), ("snn", 2, 0.01)]


def records(folder, name="families"):
    path = folder / "runs" / name / "records.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tried(row):
    knobs = row["design"]["knobs"]
    return row["variant"], knobs.get("time_steps"), knobs["learning_rate"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repeats")
    (folder / "families.yaml").write_text(SWEEP)
    done = dse("run", "families.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_every_design_is_trained_with_every_seed_and_tested(run):
    folder, _ = run
    rows = sorted(records(folder), key=lambda row: row["number"])
    assert [tried(row) for row in rows] == ROUND * 2
    assert len({row["seed"] for row in rows}) == 8
    assert all(row["metrics"]["test"]["samples"] == 360 for row in rows)


def test_the_table_is_told_and_written(run):
    folder, told = run
    with (folder / "runs" / "families" / "families.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["variant"], row["numbers"]) for row in rows] == [
        ("ann", "0 4"),
        ("bnn", "1 5"),
        ("snn", "2 6"),
        ("snn", "3 7"),
    ]
    by_number = {row["number"]: row for row in records(folder)}
    for row in rows:
        own = [by_number[int(number)] for number in row["numbers"].split()]
        mean = sum(one["metrics"]["test"]["accuracy"] for one in own) / 2
        assert float(row["test_accuracy"]) == pytest.approx(mean)
        price = sum(one["energy"]["cmos45-fp32"]["total_pj"] for one in own) / 2
        assert float(row["energy_pj_cmos45-fp32"]) == pytest.approx(price)
    assert [row["selected"] for row in rows].count("True") == 3
    assert told.splitlines()[0].startswith("family")
    assert "sample standard deviation over seeds" in told
    markdown = (folder / "runs" / "families" / "families.md").read_text()
    assert "| snn" in markdown
    assert "no official test split" in markdown


def test_the_plan_and_the_status(run):
    folder, _ = run
    done = dse("run", "families.yaml", "--dry-run", folder=folder)
    assert "8 trials (4 designs, 2 times each), 1 at a time" in done.stdout
    done = dse("status", "families", folder=folder)
    assert done.stdout.startswith("runs/families: 8 done of 8 trials (4 designs, 2 times each)")


def test_another_kind_of_budget_is_refused(run):
    folder, _ = run
    done = dse("run", "families.yaml", "--trials", "3", folder=folder)
    assert done.returncode == 2
    assert "other entries: kind of budget" in done.stderr


def test_a_killed_run_goes_on_and_a_further_repeat_is_added(run):
    folder, _ = run
    options = ("run", "families.yaml", "--out", "runs/killed", "--no-report")
    process = start(*options, "--workers", "2", folder=folder)
    give_up = time.monotonic() + 60
    while not records(folder, "killed"):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = dse(*options, folder=folder)
    assert done.returncode == 0, done.stderr
    rows = sorted(records(folder, "killed"), key=lambda row: row["number"])
    assert [tried(row) for row in rows] == ROUND * 2
    done = dse(*options, "--set", "budget.repeats=3", folder=folder)
    assert done.returncode == 0, done.stderr
    rows = sorted(records(folder, "killed"), key=lambda row: row["number"])
    assert [row["number"] for row in rows] == list(range(12))
    assert [tried(row) for row in rows] == ROUND * 3
    alike = {row["number"]: row["metrics"] for row in records(folder)}
    assert {row["number"]: row["metrics"] for row in rows if row["number"] < 8} == alike
