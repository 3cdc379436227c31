"""A sweep's side of stopping: its rule, its entries, and when it measures."""

import math
from dataclasses import replace

from dse import inventory
from dse.rungs import entry, judge, rule
from dse.stopping import Entry

FOUND = {
    "metrics": {"validation": {"accuracy": 0.5, "samples": 10}, "spikes": 7.0, "epochs": 3},
    "energy": {
        "cmos45-fp32": {"total_pj": 20.0, "complete": True, "missing": [], "partial_pj": 20.0},
        "cmos45-int8": {"total_pj": None, "complete": False, "missing": ["x"], "partial_pj": 1.0},
    },
}


def sweep(*overrides: str):
    given = ("training.epochs=9", "stopping={first: 1, factor: 3}", *overrides)
    return inventory.load_sweep("smoke", given)


def test_the_rule_is_that_of_the_file():
    assert rule(inventory.load_sweep("smoke", ("stopping=null",))) is None
    found = rule(sweep())
    assert found is not None
    assert (found.rungs(10), found.accuracy) == ((1, 3, 9), 0)
    assert [one.name for one in found.objectives] == [
        "validation_accuracy",
        "energy_pj_cmos45-fp32",
    ]
    second = rule(sweep("objectives=[spikes, accuracy]"))
    assert second is not None
    assert second.accuracy == 1
    none = rule(sweep("objectives=[spikes, energy_pj]"))
    assert none is not None
    assert none.accuracy == 0


def test_an_entry_has_the_objectives_and_the_energy_that_they_are_priced_by():
    assert entry(4, FOUND, sweep()) == Entry(4, 3, (0.5, 20.0), 20.0)
    assert entry(4, FOUND, sweep("objectives=[accuracy, spikes]")) == Entry(4, 3, (0.5, 7.0), 20.0)
    unpriced = entry(
        4, FOUND, sweep("objectives=[accuracy, {name: energy_pj, hardware: cmos45-int8}]")
    )
    assert math.isnan(unpriced.energy_pj)
    assert math.isnan(unpriced.values[1])


def test_a_judge_measures_at_rungs_keeps_the_entry_and_lets_a_promoted_one_through():
    looks: list[int] = []

    def look():
        looks.append(1)
        return FOUND

    kept: list[Entry] = []
    others = [Entry(number, 3, (0.9, 10.0), 10.0) for number in range(12)]
    decide = judge(20, sweep(), lambda: others, kept.append)
    assert decide(2, look) is None
    assert not looks
    assert "rank 13 of 13" in (decide(3, look) or "")
    assert kept == [Entry(20, 3, (0.5, 20.0), 20.0)]
    promoted = judge(20, sweep(), lambda: others, kept.append, passed=3)
    assert promoted(3, look) is None
    assert len(kept) == 1
    off = judge(20, inventory.load_sweep("smoke"), lambda: others, kept.append)
    assert off(3, look) is None


def test_a_training_under_way_is_not_its_own_rival():
    old = Entry(20, 3, (0.1, 20.0), 20.0)
    others = [replace(old, number=number) for number in range(9)]
    assert judge(20, sweep(), lambda: [*others, old], lambda _: None)(3, lambda: FOUND) is None
