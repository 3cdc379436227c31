"""Laws of the rule that stops trainings, and its words."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.stopping import Entry, Rule, is_like_its_neighbours, promotable, ranked, why_stopped
from reports.pareto import Objective, hypervolume, reference_point

ACCURACY = Objective("validation_accuracy", "max", "validation accuracy", "%")
ENERGY = Objective("energy_pj_x", "min", "energy", "pJ", log=True)
STEPS = Objective("latency_steps", "min", "latency", "steps")
RULE = Rule(1, 3, (ACCURACY, ENERGY))
THREE = Rule(1, 3, (ACCURACY, ENERGY, STEPS))

# few different values, so that ties are common
one = st.tuples(
    st.integers(0, 10).map(lambda tenths: tenths / 10),
    st.sampled_from([1.0, 2.0, 5.0, 10.0, 80.0, 1000.0, math.nan]),
    st.integers(1, 3).map(float),
)


def entries(rows: list[tuple[float, float, float]], epoch: int = 1) -> list[Entry]:
    return [Entry(number, epoch, row, row[1]) for number, row in enumerate(rows)]


def alone(rows: list[tuple[float, float]]) -> list[Entry]:
    return [Entry(number, 1, row, row[1]) for number, row in enumerate(rows)]


def stopped(rung: list[Entry], rule: Rule = THREE) -> set[int]:
    return {entry.number for entry in rung if why_stopped(entry, rung, rule, 9) is not None}


many = st.lists(one, min_size=1, max_size=30).map(entries)


def test_rungs_are_powers_below_the_last_epoch():
    assert Rule(1, 3, (ACCURACY,)).rungs(15) == (1, 3, 9)
    assert Rule(2, 4, (ACCURACY,)).rungs(32) == (2, 8)  # at 32 there is nothing left to save
    assert Rule(5, 2, (ACCURACY,)).rungs(5) == ()


@given(many, st.randoms(use_true_random=False))
def test_the_order_in_which_entries_come_decides_nothing(rung: list[Entry], order: random.Random):
    shuffled = list(rung)
    order.shuffle(shuffled)
    assert ranked(shuffled, THREE) == ranked(rung, THREE)
    assert stopped(shuffled) == stopped(rung)
    numbers = [entry.number for entry in rung]
    assert promotable(shuffled, numbers[::-1], THREE) == promotable(rung, numbers, THREE)


@given(many)
def test_levels_come_before_all_else(rung: list[Entry]):
    order = ranked(rung, THREE)
    assert sorted(entry.number for entry in order) == list(range(len(rung)))
    for place, later in enumerate(order):
        for earlier in order[:place]:
            assert not dominates(later, earlier), (later, earlier)


def dominates(a: Entry, b: Entry) -> bool:
    if any(map(math.isnan, a.values)):
        return False
    if any(map(math.isnan, b.values)):
        return True
    signs = (1, -1, -1)
    gains = [s * (x - y) for s, x, y in zip(signs, a.values, b.values, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


@given(many)
def test_the_most_accurate_is_never_stopped(rung: list[Entry]):
    best = max(entry.values[0] for entry in rung)
    assert not stopped(rung) & {entry.number for entry in rung if entry.values[0] == best}


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=18, max_size=30))
def test_of_those_alike_in_energy_some_go_on(rows: list[tuple[int, bool]]):
    rung = alone([(tenths / 10, 1000.0 if is_dear else 1.0) for tenths, is_dear in rows])
    out = stopped(rung, RULE)
    for energy in (1.0, 1000.0):
        like = {entry.number for entry in rung if entry.energy_pj == energy}
        assert len(like) < RULE.similar or like - out


@given(many, st.integers(1, 3))
def test_a_training_that_gets_better_is_not_stopped_for_it(rung: list[Entry], tenths: int):
    """More accuracy at the same energy leaves it no worse among its neighbours."""
    for entry in rung:
        accuracy, *rest = entry.values
        better = replace(entry, values=(accuracy + tenths / 10, *rest))
        others = [other for other in rung if other.number != entry.number]
        if is_like_its_neighbours(entry, rung, THREE):
            assert is_like_its_neighbours(better, [*others, better], THREE)


@given(many)
def test_the_best_third_and_the_first_few_go_on(rung: list[Entry]):
    best = {entry.number for entry in ranked(rung, THREE)[: len(rung) // 3]}
    assert not best & stopped(rung)
    assert len(rung) > THREE.few or not stopped(rung)


@given(many)
def test_without_neighbours_the_rank_alone_decides(rung: list[Entry]):
    rule = replace(THREE, similar=0, few=0)
    best = {entry.number for entry in ranked(rung, rule)[: len(rung) // 3]}
    assert stopped(rung, rule) == {entry.number for entry in rung} - best


@given(many)
def test_who_would_be_promoted_would_not_be_stopped_again(rung: list[Entry]):
    out = stopped(rung)
    promoted = promotable(rung, range(len(rung)), THREE)
    assert set(promoted) == {entry.number for entry in ranked(rung, THREE)[: len(rung) // 3]}
    assert not set(promotable(rung, out, THREE))


@settings(max_examples=30)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8, unique=True))
def test_inside_a_front_the_least_hypervolume_goes_first(places: list[int]):
    """Against brute force: nobody in the first front dominates; who is last is missed least."""
    rung = alone([(place / 40, 10.0 ** (place / 10)) for place in places])
    last = ranked(rung, RULE)[-1]
    values = np.array([(e.values[0], math.log10(e.values[1])) for e in rung])
    reference = reference_point(values, ("max", "min"))
    left = [
        hypervolume(np.delete(values, index, axis=0), ("max", "min"), reference)
        for index in range(len(rung))
    ]
    assert left[rung.index(last)] == pytest.approx(max(left))


def test_a_weak_network_that_is_cheap_goes_on_and_a_dear_one_stops():
    """Twelve of 1 pJ around 0.5, twelve of 1,000 pJ around 0.9: each is held against its like."""
    rung = alone([(0.44 + n / 100, 1.0) for n in range(12)])
    rung += [Entry(12 + n, 1, (0.84 + n / 100, 1000.0), 1000.0) for n in range(12)]
    assert stopped(rung, RULE) == {0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17}
    # by rank alone only 8 of 24 go on, and the cheap ones fill the levels with the dear ones
    assert len(stopped(rung, replace(RULE, similar=0))) == 16


def test_the_reason_says_when_and_beside_whom():
    rung = alone([(0.5 + n / 100, 10.0) for n in range(12)])
    assert why_stopped(rung[2], rung, RULE, 15) == (
        "stopped after epoch 1 of 15: rank 10 of 12, and validation accuracy 0.52 is worse than "
        "the median at similar energy"
    )


def test_only_the_same_epoch_counts_and_only_the_latest_word_of_a_training():
    rung = alone([(0.5 + n / 100, 10.0) for n in range(12)])
    later = [replace(entry, epoch=3) for entry in rung]
    assert why_stopped(later[0], rung, RULE, 9) is None
    assert why_stopped(rung[0], [*later, *rung], RULE, 9) is not None
    better = replace(rung[0], values=(0.9, 10.0))
    assert why_stopped(better, rung, RULE, 9) is None


def test_a_stopped_training_is_promoted_where_it_stopped():
    rung = alone([(0.5 + n / 100, 10.0) for n in range(12)])
    assert why_stopped(rung[5], rung[:6], RULE, 9) is None  # of few
    weaker = [Entry(20 + n, 1, (0.1, 10.0), 10.0) for n in range(18)]
    assert promotable([*rung, *weaker], {2, 3}, RULE) == (3, 2)  # the best 10 of 30
    beyond = [replace(rung[3], epoch=3)]
    assert promotable([*rung, *weaker, *beyond], {2, 3}, RULE) == (2,)  # one of one is none


def test_one_objective_and_another_goal():
    rule = Rule(1, 3, (ENERGY,))
    rung = [Entry(n, 1, (float(n + 1),), 1.0) for n in range(12)]
    assert [entry.number for entry in ranked(rung, rule)] == list(range(12))
    assert stopped(rung, rule) == set(range(6, 12))


@given(many)
def test_entries_survive_json(rung: list[Entry]):
    back = [Entry.from_dict(json.loads(json.dumps(entry.to_dict()))) for entry in rung]
    assert repr(back) == repr(rung)
    json.dumps([entry.to_dict() for entry in rung], allow_nan=False)
