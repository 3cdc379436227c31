import math
from dataclasses import replace

import numpy as np
import pytest

from reports.errors import ReportDataError
from reports.evidence import EnergyDraws, OpenPair, evidence, open_order
from reports.pareto import Objective
from reports.points import front

ENERGY = "energy_pj_cmos45-fp32"
NAN = math.nan


def drawn(*rows, **more):
    """Rows are draws, columns are records."""
    return EnergyDraws({ENERGY: np.array(rows)}, seed=5, **more)


@pytest.fixture
def records(record):
    """0, 1 and 2 form the front, 3 is dominated by 1, 4 has no values."""
    return (
        record(0, accuracy=0.9, energy_pj=30.0),
        record(1, accuracy=0.8, energy_pj=20.0),
        record(2, accuracy=0.7, energy_pj=10.0),
        record(3, accuracy=0.75, energy_pj=25.0),
        record(4, state="failed", reason="diverged", metrics={}, energy={}),
    )


def test_what_the_draws_decide(records, objectives):
    assert [point.number for point in front(records, objectives)] == [0, 1, 2]
    draws = drawn(
        [30.0, 20.0, 10.0, 25.0, NAN],  # the front: 0 1 2
        [30.0, 20.0, 15.0, 18.0, NAN],  # 0 1 2, and 3, which costs less than 1
        [15.0, 20.0, 10.0, 25.0, NAN],  # 0 2: 0 costs less than 1
        [30.0, 20.0, 10.0, 25.0, NAN],  # 0 1 2
    )
    found = evidence(records, objectives, draws)
    assert found.front_probability == {(0, 0): 1.0, (1, 0): 0.75, (2, 0): 1.0, (3, 0): 0.25}
    assert found.contenders == (("3", 0.25),)
    # of three pairs, 0 and 1 alone change sides: 1 costs less in 3 of 4
    assert found.pairs == 3
    assert found.open_pairs == (OpenPair("1", "0", 0.75, "Energy per inference"),)
    assert open_order(found) == (
        "The order by energy is open in 1 of 3 pairs of front points: "
        "it holds in less than 95 % of the draws of the constants within their ranges "
        "(seeds aside)."
    )


def test_columns_follow_the_records_in_whatever_order(records, objectives):
    rows = np.array([[30.0, 20.0, 10.0, 18.0, NAN], [15.0, 20.0, 10.0, 25.0, NAN]])
    first = evidence(records, objectives, drawn(*rows))
    order = [3, 2, 4, 0, 1]
    mixed = evidence([records[i] for i in order], objectives, drawn(*rows[:, order]))
    assert mixed == first and first.open_pairs and first.contenders


def test_draws_that_say_what_the_records_say_leave_nothing_open(records, objectives):
    draws = drawn(*[[30.0, 20.0, 10.0, 25.0, NAN]] * 3)
    found = evidence(records, objectives, draws)
    assert found.front_probability == {(0, 0): 1.0, (1, 0): 1.0, (2, 0): 1.0, (3, 0): 0.0}
    assert found.open_pairs == found.contenders == ()


def test_the_most_open_pair_and_the_likeliest_contender_come_first(record, objectives):
    records = [
        record(0, accuracy=0.9, energy_pj=3.0),
        record(1, accuracy=0.8, energy_pj=2.0),
        record(2, accuracy=0.7, energy_pj=1.0),
        record(3, accuracy=0.6, energy_pj=5.0),
        record(4, accuracy=0.5, energy_pj=5.0),
    ]
    # 0 < 1 in the last two, 0 < 2 in the last, 1 < 2 never; 3 is cheapest in the first,
    # 4 in the first and the second
    draws = drawn(
        [3.0, 2.0, 1.0, 0.5, 0.4],
        [3.0, 2.0, 1.0, 5.0, 0.4],
        [1.5, 2.0, 1.0, 5.0, 5.0],
        [0.5, 2.0, 1.0, 5.0, 5.0],
    )
    found = evidence(records, objectives, draws)
    assert [(p.less, p.more, p.share) for p in found.open_pairs] == [
        ("0", "1", 0.5),
        ("2", "0", 0.75),
    ]
    assert found.contenders == (("4", 0.5), ("3", 0.25))


def test_equals_are_no_open_order(record, objectives):
    records = [record(0, energy_pj=5.0), record(1, energy_pj=5.0)]
    found = evidence(records, objectives, drawn([5.0, 5.0], [7.0, 7.0]))
    assert found.front_probability == {(0, 0): 1.0, (1, 0): 1.0}
    assert found.pairs == 1 and found.open_pairs == ()
    assert open_order(found) == (
        "The order by energy is decided in 1 pair of front points: "
        "it holds in at least 95 % of the draws of the constants within their ranges (seeds aside)."
    )
    alone = evidence(records[:1], objectives, drawn([5.0], [7.0]))
    assert open_order(alone) == "There are no two points on the front whose order could be open."


def test_the_limit_is_that_of_each_draw(record, objectives):
    accuracy, energy = objectives
    records = [record(0, accuracy=0.9, energy_pj=30.0), record(1, accuracy=0.8, energy_pj=20.0)]
    draws = drawn([30.0, 20.0], [36.0, 24.0], [45.0, 30.0], [60.0, 40.0])
    limited = (accuracy, replace(energy, limit=36.0))
    assert evidence(records, limited, draws).front_probability == {(0, 0): 0.5, (1, 0): 0.75}
    accurate = (replace(accuracy, limit=0.85), energy)
    assert evidence(records, accurate, draws).front_probability == {(0, 0): 1.0, (1, 0): 0.0}


def test_a_trial_that_is_not_complete_hides_nobody(record, objectives):
    records = [record(0, accuracy=0.8), record(1, accuracy=0.9, energy_pj=1.0, state="stopped")]
    for wanted in (objectives, objectives[1:]):
        assert evidence(records, wanted, drawn([9.0, 1.0])).front_probability == {(0, 0): 1.0}


def test_two_drawn_objectives_are_drawn_together(record, objectives):
    priced = {"cmos45-fp32": {"total_pj": 1.0}, "loihi": {"total_pj": 1.0}}
    records = [record(0, energy=priced), record(1, energy=priced)]
    both = (objectives[1], Objective("energy_pj_loihi", "min", "Loihi", "pJ"))
    # in draw 1 each is better in one; in draw 2 point 1 is better in both
    energies_pj = {
        "energy_pj_loihi": np.array([[2.0, 1.0], [2.0, 1.0]]),
        ENERGY: np.array([[1.0, 2.0], [2.0, 1.0]]),
    }
    found = evidence(records, both, EnergyDraws(energies_pj, seed=0))
    assert found.front_probability == {(0, 0): 0.5, (1, 0): 1.0}
    assert found.pairs == 2
    assert found.open_pairs == (OpenPair("0", "1", 0.5, "Energy per inference"),)


def test_without_a_complete_trial_there_is_nothing_to_decide(record, objectives):
    failed = record(0, state="failed", metrics={}, energy={})
    found = evidence([failed], objectives, drawn([NAN]))
    assert (found.front_probability, found.pairs, found.contenders) == ({}, 0, ())


@pytest.mark.parametrize(
    ("draws", "line"),
    [
        (EnergyDraws({}, seed=0), "there is none; at least one is needed"),
        (EnergyDraws({ENERGY: np.ones((0, 3))}, seed=0), "there is none; at least one is needed"),
        (
            EnergyDraws({"energy_pj_loihi": np.ones((2, 3))}, seed=0),
            f'"energy_pj_loihi" is no objective. There are validation_accuracy, {ENERGY}',
        ),
        (
            drawn([1.0, 2.0], [1.0, 2.0]),
            f"{ENERGY}: shape (2, 2); it must be (2, 3), one row a draw and one column a record",
        ),
        (drawn([NAN, NAN, NAN]), f"{ENERGY}: point 0 is on the front without a draw"),
        (drawn([1.0, 2.0, NAN]), f"{ENERGY}: point 7 has draws and no energy"),
    ],
)
def test_draws_that_contradict_the_records_are_refused(record, report, draws, line):
    records = (record(0), record(7, energy={}), record(8, energy={}, state="failed"))
    with pytest.raises(ReportDataError) as caught:
        report(0, records=records, energy_draws=draws).check()
    assert str(caught.value).splitlines() == [f"report digits-lenet: energy draws: {line}"]


def test_draws_that_agree_with_the_records_pass(record, report):
    records = (record(0), record(7, energy={}), record(8, energy={}, state="failed"))
    report(0, records=records, energy_draws=drawn([1.0, NAN, 4.0], [NAN, NAN, NAN])).check()
