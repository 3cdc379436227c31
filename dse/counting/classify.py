"""Classify: the class of a layer's products, decided from all that its operands held."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dse.counting.activity import LARGEST_LEVEL, Facts, common_step
from dse.counting.rules import Side

# of the left and right factor; None: real, or a weight
Magnitudes = tuple[float | None, float | None]


@dataclass(slots=True)
class Operand:
    """All that was seen of one side of a product.

    magnitude, reached : sum of abs(x), and products that its non-zero values enter whatever the
        other factor holds; None where nobody took a closer look
    """

    is_real: bool = False
    by_element: bool = False
    values: set[float] = field(default_factory=set)
    is_signed: bool = False
    elements: int = 0
    nonzero: int = 0
    units: int = 0
    bits: int = 0
    tolerance: float = 0.0
    smallest: float = math.inf
    largest: float = 0.0
    magnitude: float | None = None
    reached: int | None = None

    def see(self, facts: Facts) -> None:
        """Add what one tensor held."""
        self.is_real |= facts.is_real
        self.by_element |= facts.is_real and len(facts.levels) > 1
        self.values.update(value for value in facts.levels if value is not None)
        self.is_signed |= facts.is_signed
        self.elements += facts.elements
        self.nonzero += facts.nonzero
        self.units += facts.units
        self.bits = max(self.bits, facts.bits)
        self.tolerance = max(self.tolerance, facts.tolerance)
        if facts.nonzero:
            self.smallest = min(self.smallest, facts.smallest)
            self.largest = max(self.largest, facts.largest)

    def add(self, magnitude: float, reached: int) -> None:
        """Add what a closer look at one tensor found."""
        self.magnitude = (self.magnitude or 0.0) + magnitude
        self.reached = (self.reached or 0) + reached

    @property
    def has_zero(self) -> bool:
        """Some value was zero."""
        return self.nonzero < self.elements

    @property
    def step(self) -> float | None:
        """The common step of a levelled operand (any, if it holds only zeros); None if real."""
        if self.is_real:
            return None
        return common_step(self.values, self.tolerance) if self.values else 1.0

    @property
    def kind(self) -> str:
        """`unit`, `small-integers` or `real`."""
        step = self.step
        if step is None:
            return "real"
        return "unit" if all(round(v / step) == 1 for v in self.values) else "small-integers"

    def multiple(self, value: float | None) -> int | None:
        """k of a magnitude that was seen, or None for a real one."""
        if value is None:
            return None
        step = self.step
        if step is not None:
            return round(value / step)
        is_integer = value == round(value) and 1 <= value <= LARGEST_LEVEL
        return round(value) if self.by_element and is_integer else None

    @property
    def flowing_bits(self) -> int:
        """Bits that tell the values apart: of the dtype if real, else of levels and sign."""
        step = self.step
        if step is None:
            return self.bits
        largest = max((round(v / step) for v in self.values), default=1)
        magnitudes = largest + (1 if self.has_zero or largest > 1 else 0)
        states = magnitudes + (largest if self.is_signed else 0)
        return max(1, (states - 1).bit_length())


class Classifier:
    """The classes of one layer's products, decided from all that it saw."""

    def __init__(self, left: Operand, right: Operand, weight: Side | None, is_binary: bool) -> None:
        self.has_weight = weight is not None
        self.is_binary = self.has_weight and is_binary
        self._left = None if weight == "left" else left
        self._right = None if weight == "right" else right
        kinds = {operand.kind for operand in (self._left, self._right) if operand is not None}
        self.is_made_of_spikes = "real" not in kinds
        self.input_kind = " x ".join(sorted(kinds))
        self.weight_kind = "activation"
        if self.has_weight:
            self.weight_kind = "binary" if self.is_binary else "real"
        if "small-integers" in kinds:
            self.dense_class = "dense_graded"
        elif "unit" in kinds:
            self.dense_class = "dense_binary" if self.is_binary else "dense_ac"
        else:
            self.dense_class = "dense_ac" if self.is_binary else "dense_mac"
        self._known: dict[Magnitudes, tuple[tuple[str, int], ...]] = {}

    def shares(self, key: Magnitudes) -> tuple[tuple[str, int], ...]:
        """The classes to which a pair of magnitudes belongs, and how often it counts there."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(self._shares(key))
        return found

    def _shares(self, key: Magnitudes) -> Iterator[tuple[str, int]]:
        sides = zip((self._left, self._right), key, strict=True)
        multiples = [side.multiple(value) for side, value in sides if side is not None]
        levels = [multiple for multiple in multiples if multiple is not None]
        level = math.prod(levels)
        if not levels:
            yield ("ac" if self.is_binary else "mac"), 1
            if self.is_binary:
                yield "ac_by_weight", 1
        elif level > 1:
            yield "graded", 1
            yield "graded_accumulates", level
        else:
            yield ("binary" if self.is_binary else "ac"), 1

    def totals(self, pairs: Mapping[Magnitudes, int]) -> Counter[str]:
        """Pairs by class."""
        classes: Counter[str] = Counter()
        for key, count in pairs.items():
            for name, times in self.shares(key):
                classes[name] += count * times
        return classes
