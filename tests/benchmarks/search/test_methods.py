"""Every method runs on the same clock, and what surrounds a training is measured without one."""

import pytest

from benchmarks.search import throughput
from benchmarks.search.clock import Clock
from benchmarks.search.made import fill, made_sweep
from benchmarks.search.methods import METHODS, run
from benchmarks.search.problems import PROBLEMS, recipe
from benchmarks.search.rows import read
from benchmarks.search.scale import proposal_costs, scale_table
from benchmarks.search.storage import storage_table
from dse import study

SMALL = (
    "training.epochs=1",
    "data={name: digits, samples: 200, validation: 40}",
    "space.width=0.25",
    "space.time_steps={choice: [1, 2]}",
)


def test_a_stopped_clock_stands_still():
    seconds = iter([10.0, 12.0, 13.0, 17.0, 18.0])
    clock = Clock(lambda: next(seconds))
    assert clock() == 2.0
    with clock.stopped():
        pass
    assert clock() == 4.0


@pytest.mark.slow  # trains
@pytest.mark.parametrize("method", METHODS)
def test_a_method_works_until_its_seconds_are_spent(tmp_path, method):
    path = tmp_path / "rows.csv"
    run(PROBLEMS["digits"], method, 3, path, budget_s=0.3, overrides=SMALL)
    rows = read(path)
    assert rows[-1].cpu_s > 0.1 and all(one.seed == 3 for one in rows)
    assert [one.cpu_s for one in rows] == sorted(one.cpu_s for one in rows)
    first = [one for one in rows if one.cpu_s == rows[0].cpu_s]  # with what was read from it
    assert any(one.test_accuracy is not None for one in first)  # they are the front
    assert rows[0].accuracy is not None and rows[0].energy_pj is not None


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_sweeps_can_be_loaded(name):
    for preset in (None, "many"):
        assert recipe(PROBLEMS[name], 4, None, preset).config.seed == 4


@pytest.mark.slow  # writes through databases
def test_the_storages_are_measured(tmp_path):
    table = storage_table(2, None)
    assert [one[0] for one in table.rows] == ["journal", "SQLite", "PostgreSQL"]
    assert float(table.rows[0][1]) > 0


@pytest.mark.slow  # a report
def test_the_scale_is_measured():
    [cells] = scale_table(12, [0]).rows
    assert cells[0] == "12 x 1" and float(cells[2]) > 50


@pytest.mark.slow  # counts
def test_records_are_made_up_with_their_counts(tmp_path):
    sweep = made_sweep(tmp_path, "budget={trials: 5}")
    fill(sweep, 3, 1)
    records = sweep.folder.records()
    assert [one.name for one in records] == ["0", "0.1", "1", "1.1", "2", "2.1"]
    assert all(sweep.folder.counts(one) for one in records)
    assert records[0].metrics["latency_steps"] == 2 and records[1].metrics["latency_steps"] == 1
    study.begin(sweep)
    assert len(proposal_costs(sweep)) == 2  # up to five trainings


@pytest.mark.slow  # processes
@pytest.mark.parametrize(("kind", "processes"), [("loop", 1), ("dse", 2)])
def test_a_way_of_training_is_measured(kind, processes):
    overrides = ("training.epochs=1", "data={name: digits, samples: 200, validation: 40}")
    found = throughput.speed(kind, processes, 1, overrides)
    assert found.trials_per_s > 0 and 0 < found.cpu_s_per_trial < 10


def test_ways_are_compared_within_their_round(monkeypatch):
    speeds = {("loop", 1): 1.0, ("loop", 2): 2.0, ("dse", 1): 0.9, ("dse", 2): 1.9}
    monkeypatch.setattr(
        throughput,
        "speed",
        lambda kind, processes, *_: throughput.Speed(
            speeds[kind, processes], 2.0 if kind == "dse" else 1.0
        ),
    )
    rows = throughput.throughput_table(3, 1).rows
    assert rows[3] == ("dse x 2", "1.90", "0.95", "2.11", "2.00", "2.00")
