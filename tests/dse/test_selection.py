"""Selection is on validation, within the limits, and the test accuracy plays no part in it."""

from dataclasses import replace

import pytest

from dse import inventory
from dse.selection import (
    best_of_each_variant,
    budget_text,
    excesses,
    front,
    hypervolume,
    objective_values,
    planned,
    seconds_left,
)
from reports.record import TrialRecord

FP32 = "cmos45-fp32"


def record(number, accuracy, energy_pj, variant="ann", test=None, total_s=10.0):
    return TrialRecord(
        number=number,
        state="complete",
        variant=variant,
        design={"variant": variant, "architecture": "mlp", "knobs": {}},
        seed=0,
        metrics={
            "validation": {"accuracy": accuracy, "samples": 100},
            "test": None if test is None else {"accuracy": test, "samples": 100},
            "latency_steps": 1,
            "parameters": 10,
            "spikes": 0.0,
        },
        energy={
            FP32: {
                "total_pj": energy_pj,
                "complete": energy_pj is not None,
                "missing": [],
                "partial_pj": energy_pj or 1.0,
            }
        },
        times={"total_s": total_s},
    )


def failed(number):
    return TrialRecord(
        number=number,
        state="failed",
        variant="ann",
        design={"variant": "ann", "architecture": "mlp", "knobs": {}},
        seed=0,
        reason="DivergedFailure: loss is nan",
        times={"total_s": 2.0},
    )


@pytest.fixture
def config():
    return inventory.load_sweep("smoke")


def with_limit(name, limit):
    objectives = "[accuracy, energy_pj]".replace(name, f"{{name: {name}, limit: {limit}}}")
    return inventory.load_sweep("smoke", [f"objectives={objectives}"])


def numbers(records):
    return [record.number for record in records]


def test_the_front_is_of_validation_accuracy_and_energy(config):
    records = [
        record(0, 0.9, 100.0, test=0.1),
        record(1, 0.8, 50.0, test=0.1),
        record(2, 0.8, 60.0, test=1.0),  # dominated, however good on test
        record(3, 0.99, None),  # no total energy: on no front that needs it
        failed(4),
    ]
    assert numbers(front(records, config)) == [0, 1]
    assert objective_values(records[0], config) == [0.9, 100.0]


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [("energy_pj", 70, [1]), ("accuracy", 0.85, [0]), ("energy_pj", 10, [])],
)
def test_beyond_a_limit_there_is_no_front(name, limit, expected):
    config = with_limit(name, limit)
    records = [record(0, 0.9, 100.0), record(1, 0.8, 50.0)]
    assert numbers(front(records, config)) == expected
    beyond = {r.number for r in records if excesses(r, config)[name] > 0}
    assert beyond == {0, 1} - set(expected)


def test_the_best_of_a_variant_is_the_best_on_validation_and_of_equals_the_cheapest():
    records = [
        record(0, 0.9, 100.0, test=0.99),
        record(1, 0.95, 200.0, test=0.5),
        record(2, 0.95, 150.0, test=0.4),
        record(3, 0.7, 10.0, variant="snn"),
        failed(4),
    ]
    assert numbers(best_of_each_variant(records, FP32)) == [2, 3]
    stopped = replace(record(5, 0.99, 50.0), state="stopped")
    assert numbers(best_of_each_variant([*records, stopped], FP32)) == [2, 3]


def test_the_hypervolume_grows_with_a_better_point(config):
    records = [record(0, 0.5, 1000.0), record(1, 0.6, 500.0)]
    assert hypervolume(records[:1], config) is None
    # from a tenth of the range beyond the worst: (0.6 - 0.49) x 1.1 log10(1000 / 500)
    assert hypervolume(records, config) == pytest.approx(0.11 * 1.1 * 0.30103, rel=1e-4)


def test_the_time_left_is_that_of_the_trials_left(config):
    assert seconds_left([], config, workers=1, trials=4) is None
    # smoke has 4 trials: two left, of (10 + 2) / 2 seconds each
    assert seconds_left([record(0, 0.5, 1.0), failed(1)], config, 1, trials=4) == 12.0
    assert seconds_left([record(0, 0.5, 1.0), failed(1)], config, 2, trials=4) == 6.0
    hours = inventory.load_sweep("smoke", ["budget={cpu_hours: 0.01}"])
    assert seconds_left([record(0, 0.5, 1.0)], hours, 1, trials=None) == pytest.approx(26.0)


@pytest.mark.parametrize(
    ("budget", "trials", "text"),
    [
        ("{trials: 7}", 7, "7 trials"),
        ("{cpu_hours: 2}", None, "2.0 CPU hours"),
        # ann, bnn and s2nn once, snn with 1, 2 and 3 steps
        ("{repeats: 5}", 30, "30 trials (6 designs, 5 times each)"),
        ("{repeats: 1}", 6, "6 trials (6 designs, once each)"),
    ],
)
def test_how_many_trials_a_budget_is_for(budget, trials, text):
    fixed = ["space.learning_rate=0.01", "space.threshold=1.0", f"budget={budget}"]
    config = inventory.load_sweep("smoke", fixed)
    space = inventory.space(config)
    assert planned(config, space) == trials
    assert budget_text(config, space) == text
