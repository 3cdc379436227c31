"""The comparison over seeds: means, spreads, selection and ratio, by pencil."""

from dataclasses import replace

import pytest

from reports.families import Mean, Work, families, family_points

FP32, LOIHI = "cmos45-fp32", "loihi"


@pytest.fixture
def trained(record):
    def make(number, variant, validation, test, energy_pj, **knobs):
        one = record(number, variant=variant, accuracy=validation, energy_pj=energy_pj)
        design = {"variant": variant, "architecture": "lenet", "knobs": {"width": 1.0, **knobs}}
        tested = None if test is None else {"accuracy": test, "samples": 360}
        return replace(one, design=design, metrics={**one.metrics, "test": tested})

    return make


@pytest.fixture
def table(trained):
    """Three seeds of an ANN; two of an SNN of 2 and of 4 steps, one of which failed."""
    failed = replace(trained(7, "snn", 0, 0, 0, time_steps=4), state="failed", reason="diverged")
    return [
        trained(0, "ann", 0.90, 0.88, 4000.0),
        trained(3, "ann", 0.92, 0.90, 4000.0),
        trained(6, "ann", 0.94, 0.92, 4000.0),
        trained(1, "snn", 0.80, 0.85, 1000.0, time_steps=2),
        trained(4, "snn", 0.84, 0.87, 1400.0, time_steps=2),
        # worse on test data than the other, and better on validation data
        trained(2, "snn", 0.83, 0.70, 2000.0, time_steps=4),
        failed,
    ]


WORK = {
    0: Work(mac=10.0, dense_mac=100.0),
    3: Work(mac=20.0, dense_mac=100.0),
    6: Work(mac=30.0, dense_mac=100.0),
    1: Work(ac=5.0, dense_ac=50.0, updates=8.0, spike_rate=0.1),
    4: Work(ac=7.0, dense_ac=50.0, updates=8.0, spike_rate=0.3),
    2: Work(ac=9.0, dense_ac=100.0, updates=16.0, spike_rate=0.2),
}


@pytest.fixture
def rows(table):
    return families(table, WORK, [FP32, LOIHI], ("ann", "bnn", "snn"))


def test_one_row_a_design_in_the_order_of_families_and_numbers(rows):
    assert [(row.variant, row.numbers, row.unfinished) for row in rows] == [
        ("ann", (0, 3, 6), 0),
        ("snn", (1, 4), 0),
        ("snn", (2,), 1),
    ]
    assert [row.differences for row in rows] == ["", "time_steps 2", "time_steps 4"]


def test_means_and_spreads_by_pencil(rows):
    ann, two, four = rows
    assert ann.test.value == pytest.approx(0.90)
    assert ann.test.sd == pytest.approx(0.02)  # sqrt((0.02^2 + 0 + 0.02^2) / 2)
    assert (ann.test.seeds, ann.test_samples) == (3, 360)
    assert two.validation.value == pytest.approx(0.82)
    assert two.validation.sd == pytest.approx(0.04 / 2**0.5)
    assert (four.test.value, four.test.sd) == (0.70, None)  # one seed says nothing of a spread
    assert ann.work["mac"] == Mean(20.0, 10.0, 3)
    assert two.work["spike_rate"].value == pytest.approx(0.2)
    assert ann.work["spike_rate"] is None
    assert ann.energy_pj[FP32] == Mean(4000.0, 0.0, 3)
    assert two.energy_pj[FP32].value == 1200.0
    assert two.energy_pj[LOIHI] is None
    assert ann.train_s == Mean(12.5, 0.0, 3)


def test_the_best_of_a_family_is_the_best_on_validation(rows):
    # 0.83 of one seed beats a mean of 0.82, though its test accuracy is lower
    assert [row.is_selected for row in rows] == [True, False, True]


def test_of_equals_the_one_of_less_energy_is_selected(trained):
    table = [trained(n, "snn", 0.8, 0.8, 100.0 - n, time_steps=n) for n in (1, 2, 3)]
    assert [row.is_selected for row in families(table, {}, [FP32])] == [False, False, True]


def test_the_ratio_is_that_of_the_means(rows):
    assert [row.ratio for row in rows] == [1.0, 0.3, 0.5]


def test_the_ratio_is_to_the_ann_with_the_same_knobs(trained):
    table = [
        trained(0, "ann", 0.8, 0.8, 100.0, depth=1),
        trained(1, "ann", 0.9, 0.9, 400.0, depth=2),
        trained(2, "bnn", 0.7, 0.7, 50.0, depth=1),
        trained(3, "bnn", 0.7, 0.7, 50.0, depth=2),
        trained(4, "bnn", 0.7, 0.7, 50.0, depth=3),  # as far from both: the more accurate
    ]
    rows = families(table, {}, [FP32])
    assert [row.ratio for row in rows] == [1.0, 1.0, 0.5, 0.125, 0.125]
    assert [row.ratio for row in families(table[2:], {}, [FP32])] == [None] * 3


def test_a_seed_that_was_not_tested_leaves_no_test_accuracy(trained):
    table = [trained(0, "ann", 0.8, 0.8, 1.0), trained(1, "ann", 0.8, None, 1.0)]
    [row] = families(table, {}, [FP32])
    assert row.test is None
    assert row.test_samples is None
    assert row.validation == Mean(0.8, 0.0, 2)
    assert row.work["mac"] is None


def test_points_of_the_figure(rows, units):
    unit, points = family_points(rows, FP32, units)
    assert unit == "nJ"
    assert [(p.variant, p.name, p.energy, p.is_selected) for p in points] == [
        ("ann", "", 4.0, True),
        ("snn", "time_steps 2", 1.2, False),
        ("snn", "time_steps 4", 2.0, True),
    ]
    assert points[0].accuracy_sd == pytest.approx(2.0)
    assert points[2].accuracy_sd == 0.0
    assert family_points(rows, LOIHI, units)[1] == ()
