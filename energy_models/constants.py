"""Constants: one number with its unit, its range, how far to trust it, and where it is from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from energy_models.errors import nearest
from energy_models.events import ALL_EVENTS
from energy_models.units import LARGEST

# of keys, as printed
UNITS = {"pj": "pJ", "mw": "mW", "ns": "ns", "mm2": "mm²", "count": "", "factor": "x curve"}

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
NotNegative = Annotated[float, Field(strict=True, ge=0, le=LARGEST, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, le=LARGEST, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Bits = Annotated[int, Field(strict=True, ge=1)]
_UNPUBLISHED = {"const": "unpublished"}
Basis = Literal["silicon", "fit", "estimate", "derived", "assumption"]


@dataclass(frozen=True)
class OneOf:
    """A text that must be one of the known words; editors are told which."""

    known: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.known)}

    def _checked(self, key: str) -> str:
        if key not in self.known:
            raise ValueError(f"unknown key.{nearest(key, self.known)}")
        return key


def one_of(known: tuple[str, ...]) -> OneOf:
    """A text that must be one of the known words."""
    return OneOf(known)


def _positive_or_unpublished(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == "unpublished" or (is_number and 0 < value < LARGEST):  # type: ignore[operator]
        return value
    raise ValueError("must be a number above 0, or unpublished")


def _bits_or_unpublished(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value == "unpublished" or (is_number and int(value) >= 1):  # type: ignore[call-overload]
        return value
    raise ValueError("must be a whole number of bits, 1 or more, or unpublished")


PositiveOrUnpublished = Annotated[
    float | Literal["unpublished"],
    BeforeValidator(_positive_or_unpublished),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _UNPUBLISHED]}),
]
BitsOrUnpublished = Annotated[
    int | Literal["unpublished"],
    BeforeValidator(_bits_or_unpublished),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _UNPUBLISHED]}),
]
Event = Annotated[str, one_of(ALL_EVENTS)]


class Strict(BaseModel):
    """Refuses unknown keys and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sourced(Strict):
    """What every constant says beside its value.

    node_nm, voltage_v : of this constant, where they differ from those of the profile
    basis : how far to trust the value      note : what was added, converted or assumed
    range_source : where the range is from      distribution : how the value lies in its range
    """

    unit: ClassVar[str]

    basis: Basis
    source: Text
    note: str = ""
    node_nm: Positive | None = None
    voltage_v: Positive | None = None
    range_source: str = ""
    distribution: Literal["log-uniform", "uniform"] = "log-uniform"

    @model_validator(mode="after")
    def _range_makes_sense(self) -> Sourced:
        low, high = self.range_given
        unit = self.unit
        if low is not None and low > self.value:
            raise ValueError(f"low_{unit} {low:g} is above value_{unit} {self.value:g}")
        if high is not None and high < self.value:
            raise ValueError(f"high_{unit} {high:g} is below value_{unit} {self.value:g}")
        if (low is None) != (high is None):
            raise ValueError(f"a range has two ends. Give low_{unit} and high_{unit}")
        if low is not None and not self.range_source:
            raise ValueError("range_source: missing. Say where the range is from")
        if low == 0 and high != 0 and self.distribution == "log-uniform":
            raise ValueError(f"low_{unit} is 0, which has no logarithm. Say distribution: uniform")
        return self

    @property
    def value(self) -> float:
        """The number, in `unit`."""
        found: float = getattr(self, f"value_{self.unit}")
        return found

    @property
    def range_given(self) -> tuple[float | None, float | None]:
        """Its low and high end, in `unit`; None where the source gives none."""
        return getattr(self, f"low_{self.unit}"), getattr(self, f"high_{self.unit}")

    def row(self) -> dict[str, Any]:
        """Plain values for a table; the source and the note apart."""
        low, high = self.range_given
        return {
            "value": self.value,
            "unit": self.unit,
            "low": low,
            "high": high,
            "bits": getattr(self, "bits", None),
            "scope": getattr(self, "scope", None),
            "node_nm": self.node_nm,
            "voltage_v": self.voltage_v,
            "basis": self.basis,
            "source": self.source,
            "note": self.note,
            "range_source": self.range_source,
        }


class Constant(Sourced):
    """Energy of one event.

    bits : width of the operands; of a MAC, those of the multiplication
    scope : of a chip: `marginal`, what one more event costs, or `all-in`, the energy of everything
        divided by the events; an all-in constant leaves no room for any other term;
        `as-reported`, a figure whose source does not say which of the two it is: priced like a
        marginal one, and no total is complete with it
    """

    unit: ClassVar[str] = "pj"
    value_pj: NotNegative
    low_pj: NotNegative | None = None
    high_pj: NotNegative | None = None
    bits: BitsOrUnpublished
    scope: Literal["marginal", "all-in", "as-reported"] | None = None


class Power(Sourced):
    """Power that flows for as long as a network runs."""

    unit: ClassVar[str] = "mw"
    value_mw: NotNegative
    low_mw: NotNegative | None = None
    high_mw: NotNegative | None = None


class Time(Sourced):
    """Time of one time step, of one event, or of what the host adds once."""

    unit: ClassVar[str] = "ns"
    value_ns: NotNegative
    low_ns: NotNegative | None = None
    high_ns: NotNegative | None = None


class Area(Sourced):
    """Silicon area of a whole chip or core."""

    unit: ClassVar[str] = "mm2"
    value_mm2: Positive
    low_mm2: Positive | None = None
    high_mm2: Positive | None = None


class Number(Sourced):
    """A pure number: how many neurons a chip holds, how many events run at a time."""

    unit: ClassVar[str] = "count"
    value_count: Positive
    low_count: Positive | None = None
    high_count: Positive | None = None


class Share(Strict):
    """Energy of one event as a part of another event's, whatever other options make of that one."""

    share_of: Event
    divided_by: Positive
    bits: Bits
    basis: Basis
    source: Text
    note: str = ""


class Polynomial(Strict):
    """Energy of one event as a polynomial in the width b of its operands: c0 + c1 b + c2 b^2 ...

    polynomial_pj : c0, c1, c2 ... in pJ
    """

    polynomial_pj: Annotated[tuple[Finite, ...], Field(min_length=1)]
    basis: Basis
    source: Text
    note: str = ""

    def at(self, bits: int) -> Constant:
        """The constant at a width.

        Raises ValueError where the polynomial is negative.
        """
        value_pj = math.fsum(c * bits**power for power, c in enumerate(self.polynomial_pj))
        if value_pj < 0:
            raise ValueError(f"is {value_pj:g} pJ at {bits} bits; an energy is not negative")
        return Constant(
            value_pj=value_pj, bits=bits, basis=self.basis, source=self.source, note=self.note
        )


def tag_of(*tags: tuple[str, type[BaseModel], str]) -> Callable[[Any], str]:
    """Which of several models an entry is, by a key that only that one has; else the last.

    tags : (tag, model, key) each
    """

    def tag(entry: Any) -> str:
        for name, model, key in tags[:-1]:
            if isinstance(entry, model) or (isinstance(entry, dict) and key in entry):
                return name
        return tags[-1][0]

    return tag
