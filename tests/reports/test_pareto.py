import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reports.errors import ReportDataError
from reports.pareto import (
    Objective,
    contributions,
    front_probability,
    hypervolume,
    hypervolume_history,
    levels,
    non_dominated,
    reference_point,
    restore,
    transform,
    undecided,
)

GOALS = ("max", "min")
points = st.integers(1, 12).flatmap(
    lambda n: arrays(float, (n, 2), elements=st.integers(-5, 5).map(float))
)
# few different values, so that ties are common; now and then none
drawn_values = st.one_of(st.integers(0, 3).map(float), st.just(math.nan), st.just(math.inf))
draws_of_some = st.tuples(st.integers(1, 6), st.integers(1, 7)).flatmap(
    lambda shape: arrays(float, shape, elements=drawn_values)
)


def dominates(a, b):
    """By definition, more of the first and less of the second."""
    return a[0] >= b[0] and a[1] <= b[1] and tuple(a) != tuple(b)


def test_truth_table_of_all_pairs():
    # a over b by (max, min):    a better | b better | equal or each better in one: both stay
    nan = math.nan
    for a, b in itertools.product(itertools.product((0.0, 1.0, nan), repeat=2), repeat=2):
        known = [not any(map(math.isnan, point)) for point in (a, b)]
        expected = [
            known[0] and not (known[1] and dominates(b, a)),
            known[1] and not (known[0] and dominates(a, b)),
        ]
        assert non_dominated(np.array([a, b]), GOALS).tolist() == expected, (a, b)


def test_duplicates_both_stay():
    assert non_dominated(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0]]), GOALS).tolist() == [
        True,
        True,
        False,
    ]


@given(points)
def test_levels_are_fronts_taken_off_one_after_the_other(values):
    left, level = np.arange(len(values)), 0
    expected = np.zeros(len(values), dtype=int)
    while len(left):
        front = non_dominated(values[left], GOALS)
        expected[left[front]] = level
        left, level = left[~front], level + 1
    assert levels(values, GOALS).tolist() == expected.tolist()


@given(points)
def test_a_contribution_is_what_the_front_loses_without_the_row(values):
    values = values[non_dominated(values, GOALS)]
    reference = reference_point(values, GOALS)
    whole = hypervolume(values, GOALS, reference)
    without = [
        hypervolume(np.delete(values, row, axis=0), GOALS, reference) for row in range(len(values))
    ]
    found = contributions(values, GOALS, reference)
    assert found == pytest.approx(whole - np.array(without), abs=1e-9)


@pytest.mark.parametrize(("goal", "order"), [("max", [2, 0, 0, 1]), ("min", [0, 2, 2, 1])])
def test_levels_and_contributions_of_one_objective(goal, order):
    values = np.array([[1.0], [3.0], [3.0], [2.0]])
    assert levels(values, (goal,)).tolist() == order
    corner = np.array([0.0 if goal == "max" else 4.0])
    # 3 - 0, and 4 - 1; a second of the best takes it all away
    assert contributions(values[[0, 1, 3]], (goal,), corner).max() == 3.0
    assert contributions(values[[1, 2]], (goal,), corner).tolist() == [0.0, 0.0]


def test_levels_of_what_is_unknown_are_refused():
    with pytest.raises(ReportDataError, match="one is not finite: must be left out"):
        levels(np.array([[1.0, math.nan]]), GOALS)


def test_probability_of_the_front_by_hand():
    # a (0.9, energy), b (0.8, energy), c (0.7, energy); more accuracy, less energy
    #   draw    a  b  c    front
    #   1       3  2  1    a b c
    #   2       2  2  1    a   c    a dominates b at the same energy
    #   3       1  2  3    a
    #   4       3  1  2    a b
    values = np.array([[0.9, 0.0], [0.8, 0.0], [0.7, 0.0]])
    draws = np.array([[3.0, 2, 1], [2, 2, 1], [1, 2, 3], [3, 1, 2]])
    assert front_probability(values, {1: draws}, GOALS).tolist() == [4 / 4, 2 / 4, 2 / 4]


def test_draws_of_two_columns_belong_together():
    # draw 1: (0, 1) and (1, 0), both stay; draw 2: (1, 1) and (0, 0), the second alone
    draws = {0: np.array([[0.0, 1], [1, 0]]), 1: np.array([[1.0, 0], [1, 0]])}
    assert front_probability(np.zeros((2, 2)), draws, ("min", "min")).tolist() == [0.5, 1.0]


def test_what_is_unknown_is_on_no_front_and_dominates_nobody():
    nan, inf = math.nan, math.inf
    # row 0 has no accuracy, row 1 no energy in draw 1, and an infinite one in draw 2
    values = np.array([[nan, 0.0], [0.9, 0.0], [0.8, 0.0]])
    draws = np.array([[1.0, nan, 3.0], [1.0, inf, 3.0], [1.0, 2.0, 3.0], [1.0, 4.0, 3.0]])
    assert front_probability(values, {1: draws}, GOALS).tolist() == [0.0, 0.5, 0.75]
    assert np.isnan(values[0, 0]) and values[1, 1] == 0  # what was handed over stays as it was
    assert front_probability(np.empty((0, 2)), {1: np.empty((3, 0))}, GOALS).tolist() == []


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        ({}, r"draws of shapes \[\]: expected \(k, 2\) for each column"),
        ({1: np.ones((0, 2))}, r"draws of shapes \[\(0, 2\)\]: expected \(k, 2\)"),
        ({1: np.ones((4, 3))}, r"draws of shapes \[\(4, 3\)\]: expected \(k, 2\)"),
        ({1: np.ones(2)}, r"draws of shapes \[\(2,\)\]: expected \(k, 2\)"),
        ({0: np.ones((3, 2)), 1: np.ones((4, 2))}, r"\[\(3, 2\), \(4, 2\)\]: .* with one k"),
        ({2: np.ones((4, 2))}, r"draws of columns \[2\]: there are columns 0 to 1"),
        ({-1: np.ones((4, 2))}, r"draws of columns \[-1\]: there are columns 0 to 1"),
    ],
)
def test_draws_of_another_shape_are_refused(draws, message):
    with pytest.raises(ReportDataError, match=message):
        front_probability(np.ones((2, 2)), draws, GOALS)


def test_an_order_is_open_below_the_level_alone():
    # of 20 draws: 0 < 1 in all but the first, 19, decided; 0 < 2 and 1 < 2 in all but two, open
    draws = np.tile([1.0, 2.0, 3.0], (20, 1))
    draws[0] = [3.0, 2.0, 1.0]
    draws[1] = [2.5, 2.6, 2.0]
    pairs, shares = undecided(draws)
    assert pairs.tolist() == [[0, 2], [1, 2]] and shares.tolist() == [18 / 20, 18 / 20]
    pairs, shares = undecided(draws[:, ::-1])  # from the other side, the same pairs
    assert pairs.tolist() == [[0, 1], [0, 2]] and shares.tolist() == [2 / 20, 2 / 20]
    assert undecided(draws, 0.9)[0].tolist() == []
    assert undecided(draws, 1.0)[0].tolist() == [[0, 1], [0, 2], [1, 2]]


def test_ties_count_half_and_unknown_draws_do_not_count():
    nan, inf = math.nan, math.inf
    # 0 and 1: one order and one tie in two common draws, (1 + 1/2) / 2; 2 meets neither of them
    draws = np.array([[1.0, 2.0, nan], [1.0, 1.0, nan], [0.0, inf, nan], [nan, 1.0, nan]])
    pairs, shares = undecided(draws)
    assert pairs.tolist() == [[0, 1]] and shares.tolist() == [0.75]


@pytest.mark.parametrize("level", [0.5, 1.1, math.nan])
def test_a_level_that_decides_nothing_is_refused(level):
    with pytest.raises(ReportDataError, match=r"it must lie above 0\.5, and at most at 1"):
        undecided(np.ones((2, 2)), level)


def test_orders_need_a_row_a_draw():
    with pytest.raises(ReportDataError, match=r"shape \(3,\): expected \(k, n\)"):
        undecided(np.ones(3))
    for shape in ((0, 3), (3, 0), (3, 1)):
        pairs, shares = undecided(np.ones(shape))
        assert pairs.shape == (0, 2) and shares.shape == (0,)


def test_volume_of_one_box():
    # (0.9 - 0.5) * (10 - 4) = 2.4
    assert hypervolume(np.array([[0.9, 4.0]]), GOALS, np.array([0.5, 10.0])) == pytest.approx(2.4)


def test_volume_of_a_linear_staircase():
    # points (i, n - i) to be minimised, i = 0..n, reference (n, n): 0 + 1 + ... + (n - 1)
    n = 6
    front = np.array([(float(i), float(n - i)) for i in range(n + 1)])
    volume = hypervolume(front, ("min", "min"), np.array([float(n), float(n)]))
    assert volume == n * (n - 1) / 2


def test_volume_of_boxes_in_three_dimensions():
    # two boxes 1 x 2 x 3 and 2 x 1 x 3 share 1 x 1 x 3: 6 + 6 - 3
    values = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    assert hypervolume(values, ("max", "max", "max"), np.zeros(3)) == 9


def test_rows_beyond_the_reference_and_unknown_rows_add_nothing():
    values = np.array([[0.4, 1.0], [math.nan, 1.0], [0.9, math.inf]])
    assert hypervolume(values, GOALS, np.array([0.5, 10.0])) == 0
    assert hypervolume(np.empty((0, 2)), GOALS, np.array([0.5, 10.0])) == 0


def test_reference_is_a_tenth_of_the_range_beyond_the_worst():
    # accuracy 0.5..0.9: 0.5 - 0.04; energy 10..30: 30 + 2
    values = np.array([[0.5, 10.0], [0.9, 30.0], [math.nan, 99.0]])
    assert reference_point(values, GOALS) == pytest.approx([0.46, 32.0])


def test_reference_of_a_single_point_leaves_room():
    assert reference_point(np.array([[0.5, 10.0]]), GOALS) == pytest.approx([0.4, 10.1])


def test_reference_needs_a_row():
    with pytest.raises(ReportDataError, match="no row has a value for every objective"):
        reference_point(np.array([[math.nan, 1.0]]), GOALS)


def test_wrong_width_is_refused():
    with pytest.raises(ReportDataError, match=r"shape \(1, 3\): expected \(n, 2\)"):
        non_dominated(np.ones((1, 3)), GOALS)


def test_transform_takes_logarithms_and_knows_what_has_none(objectives):
    values = np.array([[0.9, 1000.0], [0.8, 0.0]])
    taken = transform(values, objectives)
    assert taken[0].tolist() == [0.9, 3.0]
    assert taken[1, 0] == 0.8 and math.isnan(taken[1, 1])
    assert restore(taken[:1], objectives) == pytest.approx(values[:1])
    linear = (Objective("a", "max", "a", ""), Objective("b", "min", "b", ""))
    assert transform(values, linear).tolist() == values.tolist()


@settings(max_examples=60, deadline=None)
@given(points, st.randoms(use_true_random=False))
def test_laws_of_the_front(values, rng):
    mask = non_dominated(values, GOALS)
    front = values[mask]
    assert len(front)
    assert not any(dominates(a, b) for a in front for b in front)
    assert all(any(dominates(a, b) for a in front) for b in values[~mask])
    order = rng.sample(range(len(values)), len(values))
    assert non_dominated(values[order], GOALS).tolist() == mask[order].tolist()


@settings(max_examples=60, deadline=None)
@given(draws_of_some, st.data())
def test_probability_is_the_share_of_brute_force(draws, data):
    fixed = data.draw(arrays(float, draws.shape[1], elements=drawn_values))
    expected = np.zeros(draws.shape[1])
    for row in draws:
        both = list(zip(fixed.tolist(), row.tolist(), strict=True))
        able = [point for point in both if all(map(math.isfinite, point))]
        expected += [p in able and not any(dominates(q, p) for q in able) for p in both]
    values = np.column_stack([fixed, draws[0]])
    found = front_probability(values, {1: draws}, GOALS)
    assert found.tolist() == (expected / len(draws)).tolist()
    # who is on the front does not depend on the order of designs or of draws
    order = data.draw(st.permutations(range(len(values))))
    mixed = draws[::-1][:, order]
    assert front_probability(values[order], {1: mixed}, GOALS).tolist() == found[order].tolist()
    # one draw, the values themselves: the front
    once = front_probability(values, {1: draws[:1]}, GOALS)
    assert once.tolist() == non_dominated(values, GOALS).tolist()


@settings(max_examples=60, deadline=None)
@given(draws_of_some, st.sampled_from([0.6, 0.75, 0.95, 1.0]))
def test_open_orders_are_those_of_brute_force(draws, level):
    expected = []
    for i, j in itertools.combinations(range(draws.shape[1]), 2):
        known = [(a, b) for a, b in draws[:, [i, j]].tolist() if math.isfinite(a + b)]
        halves = sum((a < b) + (a <= b) for a, b in known)
        if known and max(halves, 2 * len(known) - halves) / (2 * len(known)) < level:
            expected.append((i, j, halves / (2 * len(known))))
    pairs, shares = undecided(draws, level)
    found = [(i, j, p) for (i, j), p in zip(pairs.tolist(), shares.tolist(), strict=True)]
    assert found == expected


@settings(max_examples=40, deadline=None)
@given(points)
def test_history_never_falls_and_ends_at_the_volume(values):
    reference = reference_point(values, GOALS)
    history = hypervolume_history(values, GOALS, reference)
    assert (np.diff(history) >= 0).all()
    assert history[-1] == pytest.approx(hypervolume(values, GOALS, reference))
    assert history[0] == pytest.approx(hypervolume(values[:1], GOALS, reference))


def test_history_skips_unknown_rows():
    # boxes (0.5 x 1), unknown, then the same row again, then (0.5 x 2)
    values = np.array([[1.0, 2.0], [math.nan, 0.0], [1.0, 2.0], [1.0, 1.0]])
    history = hypervolume_history(values, GOALS, np.array([0.5, 3.0]))
    assert history.tolist() == [0.5, 0.5, 0.5, 1.0]
