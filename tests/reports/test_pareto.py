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
    hypervolume,
    hypervolume_history,
    non_dominated,
    reference_point,
    restore,
    transform,
)

GOALS = ("max", "min")
points = st.integers(1, 12).flatmap(
    lambda n: arrays(float, (n, 2), elements=st.integers(-5, 5).map(float))
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
