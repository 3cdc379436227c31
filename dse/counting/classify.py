"""Classify: the class of a layer's products, decided from all that its operands held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dse.counting.activity import Activity, common_step
from dse.counting.rules import Side

# of the left and right factor; None: real, or a weight
Magnitudes = tuple[float | None, float | None]


@dataclass(slots=True)
class Operand:
    """All that was seen of one side of a product."""

    is_real: bool = False
    values: set[float] = field(default_factory=set)
    is_signed: bool = False
    has_zero: bool = False
    nonzero: int = 0
    units: int = 0
    bits: int = 0
    tolerance: float = 0.0

    def see(self, activity: Activity, bits: int) -> None:
        """Add what one tensor held."""
        self.is_real |= activity.is_real
        self.values.update(activity.values)
        self.is_signed |= activity.is_signed
        self.has_zero |= activity.has_zero
        self.nonzero += activity.nonzero
        self.units += activity.units
        self.bits = max(self.bits, bits)
        self.tolerance = max(self.tolerance, activity.tolerance)

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


def inputs(left: Operand, right: Operand, weight: Side | None) -> tuple[Operand, ...]:
    """The operands that are data."""
    if weight is None:
        return left, right
    return (left,) if weight == "right" else (right,)


class Classifier:
    """The classes of one layer's products, decided from all that it saw."""

    def __init__(self, left: Operand, right: Operand, weight: Side | None, is_binary: bool) -> None:
        self.has_weight = weight is not None
        self.is_binary = self.has_weight and is_binary
        self.left_step = None if weight == "left" else left.step
        self.right_step = None if weight == "right" else right.step
        kinds = {operand.kind for operand in inputs(left, right, weight)}
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

    def totals(self, pairs: Mapping[Magnitudes, int]) -> Counter[str]:
        """Pairs by class."""
        classes: Counter[str] = Counter()
        for (left, right), count in pairs.items():
            levels = [
                level
                for level in (
                    _multiple(left, self.left_step),
                    _multiple(right, self.right_step),
                )
                if level is not None
            ]
            if not levels:
                classes["ac" if self.is_binary else "mac"] += count
                classes["ac_by_weight"] += count if self.is_binary else 0
                continue
            level = levels[0] * (levels[1] if len(levels) > 1 else 1)
            if level > 1:
                classes["graded"] += count
                classes["graded_accumulates"] += count * level
            else:
                classes["binary" if self.is_binary else "ac"] += count
        return classes


def _multiple(value: float | None, step: float | None) -> int | None:
    return None if value is None or step is None else round(value / step)
