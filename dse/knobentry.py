"""Knobentry: how a sweep file says which values a knob may take."""

from __future__ import annotations

import re
from typing import Annotated, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    PlainValidator,
    StringConstraints,
    Tag,
    model_validator,
)

from dse.design import KnobValue
from dse.domain import Choice, Domain, Fixed, Range, SpaceEntry

FORMS = ("range", "log_range", "choice", "fixed")
_MOST_VALUES = 1_000_000  # of a range with a step
T = TypeVar("T")


class Strict(BaseModel):
    """A part of a sweep file: unknown keys are refused, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def number(value: object) -> int | float:
    """A finite number; also `1e-3`, which YAML takes for a word."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not abs(value) < float("inf"):
        raise ValueError("must be a finite number")
    return value


def not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    """At least one."""
    if not values:
        raise ValueError("is empty. List at least one")
    return values


def spelled_out(value: object) -> object:
    """`2.0` is short for `{fixed: 2.0}`."""
    if isinstance(value, list):
        raise ValueError("must say what the list means. Write range, log_range or choice before it")
    return value if isinstance(value, dict | BaseModel) else {"fixed": value}


def form_of(value: object) -> str:
    """`<list>` for a list of entries, each for families of its own; else `<entry>`."""
    parts = value if isinstance(value, list | tuple) else ()
    return "<list>" if any(isinstance(part, dict | BaseModel) for part in parts) else "<entry>"


def _value(value: object) -> KnobValue:
    if isinstance(value, bool):
        return value
    try:
        return number(value)
    except ValueError:
        if isinstance(value, str) and value:
            return value
        if isinstance(value, float):
            raise
        raise ValueError("must be a number or a word") from None


def values_of(value: object) -> tuple[KnobValue, ...]:
    """The values of a list, all different."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("must be a list of values. Write [first, second]")
    values = tuple(_value(one) for one in value)
    if len(set(values)) < len(values):
        raise ValueError("lists a value twice. Keep one")
    return values


def _pair(value: object) -> Pair:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("must be two numbers. Write [low, high]")
    low, high = (number(end) for end in value)
    if low > high:
        raise ValueError(f"low {low} is above high {high}. Write [{high}, {low}]")
    return low, high


def _log_pair(value: object) -> Pair:
    low, high = _pair(value)
    if low <= 0:
        raise ValueError(f"low {low} has no logarithm. It must be above 0, or write range")
    return low, high


Pair = tuple[int | float, int | float]
Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Number = Annotated[int | float, PlainValidator(number)]


class When(Strict):
    """For which network families an entry of the space holds."""

    variant: Annotated[tuple[Text, ...], AfterValidator(not_empty)]


class KnobEntry(Strict):
    """The values of one knob: exactly one of range, log_range, choice and fixed.

    step : distance of neighbours in a range      when : other families keep the knob's default
    """

    range: Annotated[Pair, PlainValidator(_pair)] | None = None
    log_range: Annotated[Pair, PlainValidator(_log_pair)] | None = None
    choice: Annotated[tuple[KnobValue, ...], PlainValidator(values_of)] | None = None
    fixed: Annotated[KnobValue, PlainValidator(_value)] | None = None
    step: Number | None = None
    when: When | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise ValueError(f"must give one of {', '.join(FORMS)}")
        if self.step is None:
            return self
        if self.range is None:
            raise ValueError(f"step does not go with {given[0]}. Leave it out, or write range")
        if self.step <= 0:
            raise ValueError(f"step {self.step} is not above 0")
        steps = Range(*self.range, step=self.step).steps
        if steps > _MOST_VALUES:
            raise ValueError(f"step {self.step} is too small for the range. Leave it out")
        if steps != int(steps):
            raise ValueError(f"step {self.step} does not lead from low to high in whole steps")
        return self

    def entry(self) -> SpaceEntry:
        """As the search space takes it."""
        return SpaceEntry(self._domain(), self.when.variant if self.when else None)

    def _domain(self) -> Domain:
        if self.range is not None:
            return Range(*self.range, step=self.step)
        if self.log_range is not None:
            return Range(*self.log_range, log=True)
        if self.choice is not None:
            return Choice(self.choice)
        assert self.fixed is not None  # `_says_one_thing` has seen to it
        return Fixed(self.fixed)


_Entry = Annotated[KnobEntry, BeforeValidator(spelled_out)]
KnobEntries = Annotated[
    Annotated[_Entry, Tag("<entry>")] | Annotated[tuple[_Entry, ...], Tag("<list>")],
    Discriminator(form_of),
]
"""What a sweep file says about a knob: one entry, or a list of them with a `when` each."""
