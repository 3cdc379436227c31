"""Values: what a tape of operator calls computed, each distinct value once, with its history.

Memory is followed by address: an operator reads what was last written where its inputs lie. So
views need no entry of their own, and whatever is written through one is found again.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# address, shape, strides, dtype, value of a single element (or of a leaf: its non-zero elements)
Region = tuple[int, tuple[int, ...], tuple[int, ...], torch.dtype, Any]

CREATION = frozenset(
    """
    arange empty empty_like empty_strided eye full full_like lift_fresh linspace new_empty
    new_empty_strided new_full new_ones new_zeros ones ones_like scalar_tensor zero zeros zeros_like
    """.split()
)
RANDOM = frozenset(
    """
    bernoulli binomial exponential multinomial native_dropout normal poisson rand rand_like
    randint randint_like randn randn_like random randperm uniform
    """.split()
)
# random numbers that depend on values, and not merely on a shape
_DRAWN = frozenset({"bernoulli", "binomial", "multinomial", "native_dropout", "poisson"})
# new memory whose content no operator wrote: never the same twice
_UNREAD = frozenset({"empty", "empty_like", "empty_strided", "lift_fresh", "new_empty"})
# all elements alike: the place of their value among the arguments, or the value itself
_FILLS: dict[str, int | float] = {
    "full": 1,
    "full_like": 1,
    "new_full": 2,
    "fill": 1,
    **dict.fromkeys(("zero", "zeros", "zeros_like", "new_zeros"), 0.0),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), 1.0),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One operator call, without its tensors.

    name : of the operator, without the underscore of an in-place variant
    args, options : regions are tuples, lists stay lists, everything else is as it was given
    written : regions      module : path of the module in which it ran
    source : the row of a counted product, or the name of a unit that is not looked into
    fired : non-zero elements of a comparison's result
    """

    packet: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    written: tuple[Region, ...]
    module: str
    source: str | None
    fired: int | Tensor | None

    @property
    def name(self) -> str:
        """The operator, however its result is stored."""
        return self.packet if self.packet.startswith("_") else self.packet.rstrip("_")


@dataclass(eq=False, slots=True)
class Value:
    """One value; two calls of one operator on the same values made the same value.

    name : the operator, or leaf (there before), slice, pieces (several values in one memory)
    args, options : as in `Call`, with values for regions
    is_data : it depends on what is no parameter      is_random : and on random numbers
    scalar : the value of a single element, or of all elements alike, if known
    nonzero : of a leaf, if it was looked at
    """

    number: int
    name: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Value, ...] = ()
    shape: tuple[int, ...] = ()
    is_float: bool = True
    is_data: bool = False
    is_random: bool = False
    scalar: Any = None
    nonzero: Any = None
    source: str | None = None
    calls: list[Call] = field(default_factory=list)
    consumers: list[Value] = field(default_factory=list)

    @property
    def numel(self) -> int:
        """Its elements."""
        return math.prod(self.shape)


@dataclass(slots=True)
class _Span:
    """Bytes that hold one value, or a part of it; patches lie in them, not densely."""

    end: int
    value: Value
    value_start: int
    value_end: int
    patches: dict[tuple[Any, ...], Value] | None = None


class Memory:
    """Which value lies where, by address.

    constants : regions of parameters and buffers; what else was there before is data
    """

    def __init__(self, constants: Iterable[Region] = ()) -> None:
        self.values: list[Value] = []
        self._starts: list[int] = []
        self._spans: dict[int, _Span] = {}
        self._distinct: dict[Any, Value] = {}
        for region in constants:
            if math.prod(region[1]):
                self.write(region, self._new("leaf", shape=region[1]))

    def run(self, call: Call) -> None:
        """Follow one call: read its inputs, make its value, write it."""
        name = call.name
        # new memory has the shape of another tensor, whose values nobody reads
        resolved = _shape_only if name in CREATION else self._resolved
        args = tuple(resolved(arg) for arg in call.args)
        options = {k: self._resolved(v) for k, v in call.options.items() if k != "out"}
        if not call.written and call.source is not None:
            self._new(name, args, options, tuple(_values((args,)))).source = call.source
        for index, region in enumerate(call.written):
            value = self._made(call, name, args, options, region, index)
            self.write(region, value)

    def read(self, region: Region) -> Value:
        """The value in a region; a leaf if nobody has written there."""
        value = self._at(region)
        if value.scalar is None and region[4] is not None:
            if math.prod(region[1]) == 1:
                value.scalar = float(region[4])
            elif value.name == "leaf":
                value.nonzero = region[4]
        return value

    def write(self, region: Region, value: Value) -> None:
        """Put a value into a region."""
        start, end, is_dense = _extent(region)
        if start == end:
            return
        over = list(self._overlapping(start, end))
        if not is_dense and len(over) == 1 and over[0] <= start and end <= self._spans[over[0]].end:
            span = self._spans[over[0]]
            span.patches = span.patches or {}
            span.patches.pop(region[:3], None)
            span.patches[region[:3]] = value
            return
        for old in over:
            self._cut(old, start, end)
        self._put(start, _Span(end, value, start, end))

    def _at(self, region: Region) -> Value:
        start, end, _ = _extent(region)
        if start == end:
            return self._new("leaf", shape=region[1])
        span = self._spans.get(start)
        if span is not None and span.end == end and span.patches is None:
            return self._part(region, start, end, span)
        over = list(self._overlapping(start, end))
        if not over:
            is_data = len(region[1]) > 1 or math.prod(region[1]) > 1  # one number is no data
            value = self._new("leaf", shape=region[1], is_data=is_data)
            value.is_float = region[3].is_floating_point
            self._put(start, _Span(end, value, start, end))
            return value
        if len(over) == 1:
            span = self._spans[over[0]]
            if over[0] <= start and end <= span.end:
                if span.patches:
                    return self._patched(region, span)
                return self._part(region, start, end, span)
        parts: list[Value] = []
        for old in over:
            span = self._spans[old]
            parts += [] if span.patches is None else span.patches.values()
            parts.append(span.value)
        return self._gathered(region, parts)

    def _part(self, region: Region, start: int, end: int, span: _Span) -> Value:
        value, shape, stride = span.value, region[1], region[2]
        is_whole = start == span.value_start and end == span.value_end
        if is_whole and (math.prod(shape) == value.numel or 0 in stride):
            return value
        offset = (start - span.value_start) // region[3].itemsize
        component = _component(value, offset, math.prod(shape))
        if component is not None:
            return component
        return self._consed("slice", (value, offset, shape, stride), (value,), shape, value)

    def _patched(self, region: Region, span: _Span) -> Value:
        patches = span.patches or {}
        value = patches.get(region[:3])
        if value is not None and len({key[1:] for key in patches}) == 1:
            return value
        return self._gathered(region, [span.value, *patches.values()])

    def _gathered(self, region: Region, parts: list[Value]) -> Value:
        inputs = tuple(dict.fromkeys(part for part in parts if part.name not in CREATION))
        if not inputs:
            return parts[0]
        return self._consed("pieces", (*inputs, region[1], region[2]), inputs, region[1], inputs[0])

    def _consed(
        self, name: str, args: tuple[Any, ...], inputs: tuple[Value, ...], shape: Any, like: Value
    ) -> Value:
        key = (name, args)
        value = self._distinct.get(key)
        if value is None:
            value = self._new(name, args=args, inputs=inputs, shape=shape, is_float=like.is_float)
            self._distinct[key] = value
        return value

    def _made(
        self,
        call: Call,
        name: str,
        args: tuple[Any, ...],
        options: dict[str, Any],
        region: Region,
        index: int,
    ) -> Value:
        """The value of one output of a call: a new one, unless it was computed before."""
        is_unique = call.source is not None or name in RANDOM or name in _UNREAD
        key = (name, args, tuple(options.items()), region[1], region[3], index)
        value = None if is_unique else self._distinct.get(key)
        if value is None:
            is_read = name not in _FILLS and (name not in RANDOM or name in _DRAWN)
            inputs = tuple(_values((args, options.values()))) if is_read else ()
            value = self._new(name, args, options, inputs, region[1])
            value.is_float = region[3].is_floating_point
            value.source = call.source
            value.is_random |= name in RANDOM
            value.is_data |= call.source is not None
            value.scalar = _fill(name, args)
            if not is_unique:
                self._distinct[key] = value
        if not index:
            value.calls.append(call)
        return value

    def _new(
        self,
        name: str,
        args: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
        inputs: tuple[Value, ...] = (),
        shape: tuple[int, ...] = (),
        is_data: bool = False,
        is_float: bool = True,
    ) -> Value:
        value = Value(len(self.values), name, args, options or {}, inputs, tuple(shape), is_float)
        value.is_data = is_data or any(one.is_data for one in inputs)
        value.is_random = any(one.is_random for one in inputs)
        for one in dict.fromkeys(inputs):
            one.consumers.append(value)
        self.values.append(value)
        return value

    def _resolved(self, arg: Any) -> Any:
        if isinstance(arg, tuple):
            return self.read(arg)
        if isinstance(arg, list):
            return tuple(self._resolved(one) for one in arg)
        return arg

    def _overlapping(self, start: int, end: int) -> Iterator[int]:
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self._starts) and self._starts[index] < end:
            if self._spans[self._starts[index]].end > start:
                yield self._starts[index]
            index += 1

    def _cut(self, old: int, start: int, end: int) -> None:
        """Take the bytes from start to end out of an old span."""
        span = self._spans.pop(old)
        del self._starts[bisect_left(self._starts, old)]
        whole = span.value, span.value_start, span.value_end, span.patches
        if old < start:
            self._put(old, _Span(start, *whole))
        if span.end > end:
            self._put(end, _Span(span.end, *whole))

    def _put(self, start: int, span: _Span) -> None:
        self._starts.insert(bisect_left(self._starts, start), start)
        self._spans[start] = span


def _extent(region: Region) -> tuple[int, int, bool]:
    """First byte, byte after the last, and whether every element between is the region's."""
    start, shape, stride, dtype, _ = region
    if 0 in shape:
        return start, start, True
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    return start, start + (last + 1) * dtype.itemsize, last + 1 <= math.prod(shape)


def _shape_only(arg: Any) -> Any:
    """An argument of an operator that makes new memory: a tensor lends its shape alone."""
    return None if isinstance(arg, tuple) else tuple(arg) if isinstance(arg, list) else arg


def _component(value: Value, offset: int, elements: int) -> Value | None:
    """The part of a stack, or of a concatenation along the first dimension, that lies there."""
    if value.name not in ("stack", "cat") or any(value.args[1:]):
        return None
    position = 0
    for part in value.args[0]:
        if position == offset and part.numel == elements:
            found: Value = part
            return found
        position += part.numel
    return None


def _values(args: Any) -> Iterator[Value]:
    for arg in args:
        if isinstance(arg, Value):
            yield arg
        elif isinstance(arg, str) or not isinstance(arg, Iterable):
            continue
        else:
            yield from _values(arg)


def _fill(name: str, args: tuple[Any, ...]) -> float | None:
    """What every element of a new tensor is, if that is one number."""
    fill: Any = _FILLS.get(name)
    if isinstance(fill, int):
        fill = args[fill] if len(args) > fill else None
        fill = fill.scalar if isinstance(fill, Value) else fill
    return float(fill) if isinstance(fill, (int, float)) else None
