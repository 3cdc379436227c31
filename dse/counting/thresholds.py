"""Thresholds: what a comparison is about, once constants are brought to one side."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from dse.counting.affine import Forms, rounds
from dse.counting.elementwise import COMPARISONS, COPIES, SIGNS
from dse.counting.values import Value

_TWO_SIDED = COMPARISONS - {"heaviside"}
_STRIPPED = frozenset({"add", "sub", "rsub", "mul", "div", "neg"})


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a comparison is about: scale x potential + constants, against 0.

    between : the values that lie between potential and comparison
    scale : None if it is a tensor       level : of the potential; None if it is a tensor
    fires_below : the result is true where the potential is too low
    """

    potential: Value
    between: tuple[Value, ...]
    scale: float | None
    level: float | None
    fires_below: bool


def threshold_of(comparison: Value, spikes: Container[Value]) -> Threshold | None:
    """Constants that are added or multiplied belong to the threshold: `(v - th) / w > 0`.

    None if it compares no floating data, two that both depend on data, or random numbers.
    spikes : values that come from comparisons alone
    """
    sides = comparison.args[: 2 if comparison.name in _TWO_SIDED or rounds(comparison) else 1]
    data = [arg for arg in sides if isinstance(arg, Value) and arg.is_data]
    is_drawn = any(isinstance(arg, Value) and arg.is_random and arg not in data for arg in sides)
    if len(data) != 1 or not data[0].is_float or is_drawn:
        return None
    value = data[0]
    scale: float | None = 1.0
    is_below = (comparison.name in ("le", "lt")) != (value is not sides[0])
    between: list[Value] = []
    while value.source is None and (value.name in COPIES or value.name in _STRIPPED):
        moving = [one for one in value.inputs if one.is_data]
        is_drawn = any(one.is_random and not one.is_data for one in value.inputs)
        if value.name == "slice" or len(moving) != 1 or not moving[0].is_float or is_drawn:
            break
        factor = 1.0 if value.name in COPIES else _factor(value, moving[0])
        if factor == 0 or _starts(value, moving[0], spikes):
            break
        scale = None if scale is None or factor is None else scale * factor
        between.append(value)
        value = moving[0]
    is_below ^= scale is not None and scale < 0
    level = _level(value, between, comparison, data[0])
    return Threshold(value, tuple(between), scale, level, is_below)


def _starts(value: Value, moving: Value, spikes: Container[Value]) -> bool:
    """Whether a value is the first potential: an input that was added to a state of zero.

    It is another value than the input, which may be integrated again, elsewhere or later.
    """
    if moving in spikes and moving.name not in ("add", "rsub", "sub"):
        return True
    if value.name not in ("add", "sub") or all(is_comparison(one) for one in value.consumers):
        return False
    rest = [arg for arg in value.args[:2] if arg is not moving]
    known = [Forms({}).of(arg).constant if isinstance(arg, Value) else arg for arg in rest]
    return known == [0]


def is_comparison(value: Value) -> bool:
    """Whether a value is made by comparing, by taking a sign, or by rounding to levels."""
    return value.name in COMPARISONS or value.name in SIGNS or rounds(value)


def _level(
    potential: Value, between: list[Value], comparison: Value, moving: Value
) -> float | None:
    """The value of the potential at which both sides of a comparison are equal."""
    forms = Forms({})
    forms.make_atom(potential)
    for value in reversed(between):
        forms.of(value)
    form = forms.of(moving)
    other: Any = next((arg for arg in comparison.args[:2] if arg is not moving), 0.0)
    if comparison.name not in _TWO_SIDED:
        other = 0.0
    other = other.scalar if isinstance(other, Value) else other
    slope = form.terms.get(potential)
    if other is None or slope is None or form.constant is None:
        return None
    return (float(other) - form.constant) / slope


def _factor(value: Value, moving: Value) -> float | None:
    """By what an affine operator scales the one of its arguments that moves; 0 if by none."""
    if value.inputs.count(moving) != 1:
        return 0.0
    is_first = value.args[0] is moving
    other = value.args[1] if is_first and len(value.args) > 1 else value.args[0]
    number = other.scalar if isinstance(other, Value) else other
    alpha = float(value.options.get("alpha", value.args[2] if len(value.args) > 2 else 1))
    match value.name:
        case "add":
            return 1.0 if is_first else alpha
        case "sub":
            return 1.0 if is_first else -alpha
        case "rsub":
            return -alpha if is_first else 1.0
        case "neg":
            return -1.0
        case "mul":
            return None if number is None else float(number)
    if not is_first or value.options.get("rounding_mode") is not None or number == 0:
        return 0.0
    return None if number is None else 1 / float(number)
