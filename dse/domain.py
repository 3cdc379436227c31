"""Domain: the values that a sweep lets a knob take, and whether they fit the knob."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from dse.design import Knob, KnobValue
from energy_models.errors import nearest


@dataclass(frozen=True, slots=True)
class Fixed:
    """One value, which is not searched."""

    value: KnobValue

    @property
    def size(self) -> int:
        """How many values there are."""
        return 1

    @property
    def text(self) -> str:
        """As a user would say it."""
        return str(self.value)

    def contains(self, value: KnobValue) -> bool:
        """Is it a value of this domain?"""
        return value == self.value

    def middle(self) -> KnobValue:
        """The value that lies in the middle."""
        return self.value

    def nth(self, index: int) -> KnobValue:
        """The value with this index, from 0."""
        return (self.value,)[index]


@dataclass(frozen=True, slots=True)
class Choice:
    """A few values, all different."""

    values: tuple[KnobValue, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def text(self) -> str:
        """As a user would say it."""
        return ", ".join(str(value) for value in self.values)

    def contains(self, value: KnobValue) -> bool:
        """Is it a value of this domain?"""
        return value in self.values

    def middle(self) -> KnobValue:
        """The value that stands in the middle of the list."""
        return self.values[(len(self.values) - 1) // 2]

    def nth(self, index: int) -> KnobValue:
        """The value with this index, from 0."""
        return self.values[index]


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from low to high, both included.

    step : distance of neighbours, a divisor of high - low; None = 1 for whole numbers, else dense
    log : equal ratios are equally likely; low is then above 0, and there is no step
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Are its values whole numbers?"""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> int | None:
        """How many values there are; None = a continuum."""
        if self.step is None and not self.is_whole:
            return 1 if self.low == self.high else None
        return int(self.steps) + 1

    @property
    def steps(self) -> Decimal:
        """How many steps lead from low to high, in decimals, as the numbers are written."""
        return (_decimal(self.high) - _decimal(self.low)) / _decimal(self.step or 1)

    @property
    def text(self) -> str:
        """As a user would say it."""
        scale = ", log scale" if self.log else ""
        step = f", step {self.step}" if self.step is not None else ""
        return f"{self.low} to {self.high}{step}{scale}"

    def contains(self, value: KnobValue) -> bool:
        """Is it a value of this domain?"""
        if isinstance(value, bool | str) or (self.is_whole and not isinstance(value, int)):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        walked = (value - self.low) / self.step
        return abs(walked - round(walked)) < 1e-6

    def middle(self) -> KnobValue:
        """The value in the middle; the geometric middle of a log scale."""
        if self.step is not None:
            return self.low + self.step * (int(self.steps) // 2)
        middle = self.low / 2 + self.high / 2
        if self.log:
            middle = math.sqrt(self.low) * math.sqrt(self.high)
        return min(max(round(middle) if self.is_whole else middle, self.low), self.high)

    def nth(self, index: int) -> KnobValue:
        """The value with this index, from 0 for the lowest; of a range that is no continuum."""
        if self.is_whole:
            return self.low + index * int(self.step or 1)
        # in decimals, as the numbers are written: 0.1 + 2 x 0.1 is 0.3
        return float(_decimal(self.low) + index * _decimal(self.step or 1))


Domain = Fixed | Choice | Range


@dataclass(frozen=True, slots=True)
class SpaceEntry:
    """What a sweep says about one knob.

    variants : the network families for which it says it; None = all that have the knob
    """

    domain: Domain
    variants: tuple[str, ...] | None = None

    def admits(self, variant: str) -> bool:
        """Does it speak of this network family?"""
        return self.variants is None or variant in self.variants


def extremes(domain: Domain) -> tuple[KnobValue, ...]:
    """All values of a choice, or both ends of a range."""
    if isinstance(domain, Choice):
        return domain.values
    return (domain.value,) if isinstance(domain, Fixed) else (domain.low, domain.high)


def settle(domain: Domain, knob: Knob) -> Domain:
    """The domain in the knob's own kind of number; a domain of one value becomes fixed."""
    if isinstance(domain, Fixed):
        return Fixed(_as_kind(domain.value, knob))
    if isinstance(domain, Choice):
        values = tuple(_as_kind(value, knob) for value in domain.values)
        return Fixed(values[0]) if len(values) == 1 else Choice(values)
    if domain.low == domain.high:
        return Fixed(_as_kind(domain.low, knob))
    if knob.kind == "float":
        step = None if domain.step is None else float(domain.step)
        return Range(float(domain.low), float(domain.high), step, domain.log)
    return domain


def misfits(domain: Domain, knob: Knob) -> Iterator[str]:
    """What is wrong with giving this domain to this knob, and what would be right."""
    if knob.kind == "choice" and not knob.choices:
        return  # of a model of the user's own, which alone knows its words
    if isinstance(domain, Range):
        if knob.kind == "choice":
            yield f"is a choice of words, not of numbers.{_words(knob)}"
            return
        if knob.kind == "int" and isinstance(domain.step, float):
            yield f"step {domain.step}: goes in whole numbers. Write {max(1, round(domain.step))}"
    for value in extremes(domain):
        misfit = _misfit(value, knob)
        if misfit:
            yield misfit


def _misfit(value: KnobValue, knob: Knob) -> str | None:
    if knob.kind == "choice":
        if not isinstance(value, str):
            return f"{value!r} is not a word.{_words(knob)}"
        return (
            None
            if value in knob.choices
            else f'unknown word "{value}".{nearest(value, knob.choices)}'
        )
    if isinstance(value, bool | str):
        return f"{value!r} is not a number. Write one{_limits(knob)}"
    if knob.low is not None and value < knob.low:
        return f"{value} is below {knob.low:g}. Write a number{_limits(knob)}"
    if knob.high is not None and value > knob.high:
        return f"{value} is above {knob.high:g}. Write a number{_limits(knob)}"
    if knob.kind == "int" and isinstance(value, float):
        return f"{value} is not a whole number. Write {round(value)}"
    return None


def _limits(knob: Knob) -> str:
    low = "" if knob.low is None else f" from {knob.low:g}"
    high = "" if knob.high is None else f" up to {knob.high:g}"
    return f"{low}{high}"


def _words(knob: Knob) -> str:
    return f" It has: {', '.join(knob.choices)}"


def _as_kind(value: KnobValue, knob: Knob) -> KnobValue:
    return float(value) if knob.kind == "float" else value


def _decimal(number: float) -> Decimal:
    return Decimal(str(number))
