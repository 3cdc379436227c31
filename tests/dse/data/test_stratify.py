"""Stratified draws: shares by pencil, and laws over many label sets."""

import doctest

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dse.data import stratify

label_sets = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def test_examples_of_the_docstrings_run() -> None:
    result = doctest.testmod(stratify)
    assert result.attempted > 0
    assert result.failed == 0


def test_shares_by_pencil() -> None:
    # 7 of 20: 10/20 * 7 = 3.5, 6/20 * 7 = 2.1, 4/20 * 7 = 1.4 -> 3 + 2 + 1, the one left to 3.5
    assert stratify.shares([10, 6, 4], 7) == [4, 2, 1]


def test_equal_remainders_go_to_the_first_classes() -> None:
    assert stratify.shares([5, 5, 5], 4) == [2, 1, 1]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_shares_add_up_and_are_within_one_of_the_exact_share(
    sizes: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, sum(sizes)))
    quotas = stratify.shares(sizes, count)
    assert sum(quotas) == count
    for size, quota in zip(sizes, quotas, strict=True):
        assert abs(quota - count * size / sum(sizes)) < 1
        assert 0 <= quota <= size


@given(label_sets, st.integers(0, 2**32), st.data())
def test_a_draw_is_distinct_ascending_and_deterministic(
    classes: list[int], seed: int, data: st.DataObject
) -> None:
    labels = np.array(classes, np.int64)
    count = data.draw(st.integers(0, len(labels)))
    chosen = stratify.draw(labels, count, (seed,))
    assert len(chosen) == count
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, stratify.draw(labels, count, (seed,)))


def test_another_key_draws_others() -> None:
    labels = np.zeros(1000, np.int64)
    first, second = (stratify.draw(labels, 100, (seed,)) for seed in (0, 1))
    # By chance 100 * 100 / 1000 = 10 are shared.
    assert len(np.intersect1d(first, second)) < 30


def test_a_key_draws_the_same_with_every_numpy() -> None:
    # Golden, since runs must be repeatable across releases: the stream that decides is frozen.
    assert stratify.draw(np.zeros(6, np.int64), 2, (3,)).tolist() == [0, 4]
