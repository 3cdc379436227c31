"""Domains: sizes by pencil, middles inside, and what does not fit a knob."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.design import Knob
from dse.domain import Choice, Domain, Fixed, Range, SpaceEntry, misfits, settle

WIDTH = Knob("width", "float", 1.0, "", 0.05, 16.0)
STEPS = Knob("time_steps", "int", 4, "", 1, 64)
RESET = Knob("reset", "choice", "soft", "", choices=("soft", "hard"))


@pytest.mark.parametrize(
    ("domain", "size"),
    [
        (Fixed(3), 1),
        (Choice(("soft", "hard")), 2),
        (Range(1, 8), 8),  # 1 2 3 4 5 6 7 8
        (Range(2, 8, step=2), 4),  # 2 4 6 8
        (Range(1, 64, log=True), 64),
        (Range(0.1, 0.7, step=0.2), 4),  # 0.1 0.3 0.5 0.7, though 0.6 / 0.2 < 3 in binary
        (Range(0.25, 2.0), None),
        (Range(1.0, 1.0), 1),
    ],
)
def test_size_is_the_number_of_values(domain: Domain, size: int | None) -> None:
    assert domain.size == size


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (Range(1, 8), 4),  # (1 + 8) / 2 = 4.5, rounded to even
        (Range(0.0, 1.0), 0.5),
        (Range(1, 64, log=True), 8),  # sqrt(1 x 64)
        (Range(0.25, 4.0, log=True), 1.0),  # sqrt(0.25 x 4)
        (Range(2, 8, step=2), 4),  # of 2 4 6 8, the lower of the two in the middle
        (Choice((1, 2, 4)), 2),
        (Choice(("soft", "hard")), "soft"),
        (Fixed(0.3), 0.3),
    ],
)
def test_middle(domain: Domain, middle: object) -> None:
    assert domain.middle() == middle


ENDS = st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)).map(sorted)
WHOLE_ENDS = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)).map(sorted)


@given(ends=st.one_of(ENDS, WHOLE_ENDS), log=st.booleans())
def test_the_middle_lies_inside(ends: list[float], log: bool) -> None:
    domain = Range(*ends, log=log)
    assert domain.contains(domain.middle())


@given(low=st.integers(0, 9), step=st.integers(1, 9), count=st.integers(1, 9), tenth=st.booleans())
def test_a_walk_by_steps_stays_inside(low: int, step: int, count: int, tenth: bool) -> None:
    domain = Range(low, low + step * count, step=step)
    if tenth:
        domain = Range(low / 10, (low + step * count) / 10, step=step / 10)
    assert domain.size == count + 1
    assert domain.contains(domain.middle())
    assert not domain.contains(domain.low + domain.step / 2)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Range(1, 8), 0),
        (Range(1, 8), 9),
        (Range(1, 8), 2.5),
        (Range(1, 8), "2"),
        (Range(0.0, 1.0), True),
        (Choice((1, 2)), 3),
        (Fixed(1), 2),
    ],
)
def test_what_is_not_inside(domain: Domain, value: object) -> None:
    assert not domain.contains(value)  # type: ignore[arg-type]


def test_settle_gives_the_kind_of_the_knob() -> None:
    settled = settle(Range(1, 2), WIDTH)
    assert settled == Range(1.0, 2.0)
    assert not settled.is_whole  # type: ignore[union-attr]
    assert repr(settle(Fixed(1), WIDTH)) == "Fixed(value=1.0)"
    assert repr(settle(Choice((1, 2)), WIDTH)) == "Choice(values=(1.0, 2.0))"
    assert settle(Range(1, 8), STEPS) == Range(1, 8)


def test_a_domain_of_one_value_is_fixed() -> None:
    assert settle(Range(4, 4), STEPS) == Fixed(4)
    assert settle(Choice(("soft",)), RESET) == Fixed("soft")


@pytest.mark.parametrize(
    ("domain", "knob", "texts"),
    [
        (Range(0.25, 2.0), WIDTH, []),
        (Range(0, 2), WIDTH, ["0 is below 0.05. Write a number from 0.05 up to 16"]),
        (Fixed(17), WIDTH, ["17 is above 16. Write a number from 0.05 up to 16"]),
        (Fixed("big"), WIDTH, ["'big' is not a number. Write one from 0.05 up to 16"]),
        (Fixed(2.5), STEPS, ["2.5 is not a whole number. Write 2"]),
        (Range(1, 8, step=0.5), STEPS, ["step 0.5: goes in whole numbers. Write 1"]),
        (Choice((0, True)), STEPS, [
            "0 is below 1. Write a number from 1 up to 64",
            "True is not a number. Write one from 1 up to 64",
        ]),
        (Range(0, 1), RESET, ["is a choice of words, not of numbers. It has: soft, hard"]),
        (Choice(("soft", "hrad")), RESET, ['unknown word "hrad". Did you mean "hard"?']),
        (Fixed(False), RESET, ["False is not a word. It has: soft, hard"]),
    ],
)  # fmt: skip
def test_misfits_say_what_is_wrong(domain: Domain, knob: Knob, texts: list[str]) -> None:
    assert list(misfits(domain, knob)) == texts


def test_texts() -> None:
    assert Range(0.3, 3.0, log=True).text == "0.3 to 3.0, log scale"
    assert Range(2, 8, step=2).text == "2 to 8, step 2"
    assert Choice(("soft", "hard")).text == "soft, hard"
    assert Fixed(1).text == "1"


def test_an_entry_without_variants_admits_all() -> None:
    assert SpaceEntry(Fixed(1)).admits("ann")
    assert SpaceEntry(Fixed(1), ("snn",)).admits("snn")
    assert not SpaceEntry(Fixed(1), ("snn",)).admits("ann")


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Fixed("soft"), ["soft"]),
        (Choice((8, 2)), [8, 2]),
        (Range(1, 3), [1, 2, 3]),
        (Range(1, 4, log=True), [1, 2, 3, 4]),
        (Range(2, 8, step=3), [2, 5, 8]),
        (Range(0.1, 0.7, step=0.2), [0.1, 0.3, 0.5, 0.7]),
    ],
)
def test_the_values_one_after_the_other(domain, values):
    assert [domain.nth(index) for index in range(domain.size)] == values
    assert all(domain.contains(value) for value in values)
