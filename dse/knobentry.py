"""Knobentry: how a sweep file says which values a knob may take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self, TypeVar

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
        for text in clashes({name: getattr(self, name) for name in type(self).model_fields}):
            raise ValueError(text)
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


def clashes(said: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong between the parts of an entry; parts of the wrong kind are passed over."""
    given = [form for form in FORMS if said.get(form) is not None]
    is_misspelt = not given and set(said) - set(KnobEntry.model_fields)  # which is said elsewhere
    if len(given) != 1 and not is_misspelt:
        yield f"must give one of {', '.join(FORMS)}"
    step = said.get("step")
    if step is None:
        return
    if given and "range" not in given:
        yield f"step does not go with {given[0]}. Leave it out, or write range"
    try:
        step = number(step)
        ends = _pair(said.get("range"))
    except ValueError:
        ends = None
    if isinstance(step, int | float) and step <= 0:
        yield f"step {step} is not above 0"
    elif ends is not None:
        steps = Range(*ends, step=step).steps
        if steps > _MOST_VALUES:
            yield f"step {step} is too small for the range. Leave it out"
        elif steps != int(steps):
            yield f"step {step} does not lead from low to high in whole steps"


def readable(raw: object) -> KnobEntry | None:
    """An entry without those parts of it that are wrong; None if it says no values."""
    try:
        said = spelled_out(raw)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return said if isinstance(said, KnobEntry) else None
    for form in (form for form in FORMS if said.get(form) is not None):
        for others in (("step", "when"), ("step",), ("when",), ()):
            kept = {key: said[key] for key in (form, *others) if said.get(key) is not None}
            try:
                return KnobEntry.model_validate(kept)
            except ValueError:
                continue
    return None


def entries_of(raw: object) -> list[SpaceEntry]:
    """What can be read of all that a sweep file says about a knob."""
    parts = raw if form_of(raw) == "<list>" and isinstance(raw, list | tuple) else [raw]
    return [entry.entry() for entry in map(readable, parts) if entry is not None]


_Entry = Annotated[KnobEntry, BeforeValidator(spelled_out)]
KnobEntries = Annotated[
    Annotated[_Entry, Tag("<entry>")] | Annotated[tuple[_Entry, ...], Tag("<list>")],
    Discriminator(form_of),
]
"""What a sweep file says about a knob: one entry, or a list of them with a `when` each."""
