"""Spike flow: whether the result of a comparison goes on as values, or only chooses among others.

A spike reaches a product, or leaves the network. A mask such as that of `where(x > 0, x, 0)` or
`x * (x > 0)` decides which values of another tensor pass.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from dse.counting.elementwise import AFFINE, CARRIERS, CLIPS, COPIES, REDUCTIONS, SIGNS
from dse.counting.values import Value

_RELATIONS = {
    "eq": operator.eq,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "ne": operator.ne,
}
_LOGIC = frozenset({"bitwise_not", "logical_not"})
_JOINED = frozenset("bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_xor".split())
_INDEXED = frozenset(
    "gather index index_select masked_select scatter select_scatter slice_scatter".split()
)
_KEEPERS = COPIES | CARRIERS | AFFINE | CLIPS | _LOGIC | _JOINED | {"pieces"}
_Levels = tuple[float, float]  # of what was computed, where the comparison is false and is true


@dataclass(slots=True)
class Flow:
    """Where the result of a comparison ends.

    reaches_product : in a product, or in a unit that is not looked into
    is_output : nowhere else in the network       is_reduced : in a sum, or in a curve
    potentials : what it is added to and compared again
    is_signed : it is -1 or +1 there              is_inverted : it is zero where the result is true
    """

    reaches_product: bool = False
    is_output: bool = False
    is_reduced: bool = False
    potentials: set[Value] = field(default_factory=set)
    is_signed: bool = False
    is_inverted: bool = False

    @property
    def is_value(self) -> bool:
        """The result is a value, and not merely a mask."""
        return self.reaches_product or self.is_output or self.is_reduced or bool(self.potentials)


def spike_valued(values: Iterable[Value], comparisons: Container[Value]) -> set[Value]:
    """The values that come from comparisons alone, and so may multiply one another as spikes do."""
    found: set[Value] = set()
    for value in values:
        data = [one for one in value.inputs if one.is_data]
        keeps = value.source is None and (value.name in _KEEPERS or value.name in _RELATIONS)
        if value in comparisons or (keeps and data and found.issuperset(data)):
            found.add(value)
    return found


def flow_of(comparison: Value, potentials: Container[Value], spikes: set[Value]) -> Flow:
    """Follow the result of a comparison until it is multiplied, lost, or out.

    One way to a product settles the matter, and the others are not followed.
    """
    flow = Flow()
    is_sign = comparison.name in SIGNS
    # written into floating memory, it is a value by intention
    flow.is_output = comparison.is_float and not is_sign and comparison.name != "heaviside"
    start = (-1.0, 1.0) if is_sign else (0.0, 1.0)
    seen = {comparison}
    work: list[tuple[Value, _Levels]] = [(comparison, start)]
    while work and not flow.reaches_product:
        value, levels = work.pop()
        ends = True
        for consumer in value.consumers:
            ends = False
            if consumer.source is not None and value.is_float:
                flow.reaches_product = True
                _arrive(flow, levels)
            elif consumer.source is not None:
                flow.is_reduced = True  # true or false, as a prediction is
            elif consumer in seen:
                continue
            elif consumer in potentials and consumer not in spikes:
                flow.potentials.add(consumer)
                _arrive(flow, levels)
            elif consumer.name in REDUCTIONS:
                flow.is_reduced = True
            elif consumer.name not in _KEEPERS and consumer.name not in _RELATIONS:
                flow.is_reduced |= not _is_mask_of(value, consumer)
            else:
                onward = _levels(value, consumer, levels, spikes)
                if onward is not None:
                    seen.add(consumer)
                    work.append((consumer, onward))
        if ends and (value is not comparison or is_sign):
            flow.is_output = True
            _arrive(flow, levels)
    return flow


def _arrive(flow: Flow, levels: _Levels) -> None:
    low, high = levels
    flow.is_signed |= low == -high != 0
    flow.is_inverted |= high == 0 != low


def _is_mask_of(value: Value, consumer: Value) -> bool:
    """It chooses elements by an index, or is compared with another tensor."""
    return (
        consumer.name in ("index", "index_put", "nonzero", "masked_scatter") or not value.is_float
    )


def _levels(value: Value, consumer: Value, levels: _Levels, spikes: set[Value]) -> _Levels | None:
    """The two levels after one operator more; None where the value ends as a mask."""
    name, args = consumer.name, consumer.args
    low, high = levels
    if name in _LOGIC:
        return high, low
    if name in _INDEXED:
        return levels if args[0] is value else None
    if name == "where":
        return _after_where(value, consumer, levels)
    if name == "masked_fill":
        return levels if args[0] is value else None
    other = next((arg for arg in args[:2] if arg is not value), None)
    number: Any = other.scalar if isinstance(other, Value) and not other.is_data else other
    known = isinstance(number, (int, float))
    if name in _RELATIONS:
        if not known or args[0] is not value:
            return None
        relation = _RELATIONS[name]
        return float(relation(low, number)), float(relation(high, number))
    if name in ("mul", "div"):
        gates = isinstance(other, Value) and other.is_data and other not in spikes
        if gates or (name == "div" and args[0] is not value):
            return None
        if not known:
            return levels
        if number == 0:
            return None
        factor = float(number) if name == "mul" else 1 / float(number)
        return low * factor, high * factor
    if name == "neg":
        return -low, -high
    if name in ("addcmul", "addcdiv"):
        return levels if args[0] is value else None
    if name in ("add", "sub", "rsub"):
        if isinstance(other, Value) and other.is_data and other not in spikes:
            return math.nan, math.nan  # what it is depends on the other
        return _after_sum(value, consumer, levels, float(number) if known else 0.0)
    return levels


def _after_sum(value: Value, consumer: Value, levels: _Levels, number: float) -> _Levels:
    """After a constant, or other spikes, were added."""
    args = consumer.args
    alpha = float(consumer.options.get("alpha", args[2] if len(args) > 2 else 1))
    is_first = args[0] is value
    of_first, of_second = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[
        consumer.name
    ]
    mine, others = (of_first, of_second) if is_first else (of_second, of_first)
    low, high = (level * mine + number * others for level in levels)
    return low, high


def _after_where(value: Value, consumer: Value, levels: _Levels) -> _Levels | None:
    mask, *branches = consumer.args[:3]
    if mask is not value:
        return levels
    numbers: list[Any] = [one.scalar if isinstance(one, Value) else one for one in branches]
    if any(isinstance(one, Value) and one.is_data for one in branches):
        return None
    if any(number is None for number in numbers):
        return levels
    fired, rest = (float(number) for number in numbers)
    low, high = (fired if level else rest for level in levels)
    return low, high
