"""Activity: which values a tensor really held, as far as the classes of products depend on it.

A tensor is *levelled* if one c > 0 makes every value k * c with an integer abs(k) <= 8; then its
positions are told apart by abs(k). Otherwise it is *real*, and only zero or not matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dse.errors import NotFiniteError

LARGEST_LEVEL = 8
_SAMPLE = 4096


@dataclass(frozen=True, slots=True)
class Activity:
    """The values of one tensor, by magnitude.

    masks : (abs(value), boolean tensor of the positions that hold it); the value is None for the
        one mask of a real tensor: its non-zero positions. Empty if the tensor is all zero.
    nonzero : number of non-zero elements       units : of these, how many have abs(x) = 1
    is_signed : some value is negative          has_zero : some value is zero
    tolerance : relative, within which a value counts as a multiple of another
    """

    masks: tuple[tuple[float | None, Tensor], ...]
    nonzero: int
    units: int
    is_signed: bool
    has_zero: bool
    tolerance: float = 0.0

    @property
    def is_real(self) -> bool:
        """No c > 0 makes every value a small multiple of it."""
        return any(value is None for value, _ in self.masks)

    @property
    def values(self) -> tuple[float, ...]:
        """The magnitudes of a levelled tensor, in increasing order."""
        return tuple(value for value, _ in self.masks if value is not None)


def scan(x: Tensor) -> Activity:
    """Look at every element of a tensor of any shape and any real dtype.

    Raises NotFiniteError if an element is NaN or infinite: such a tensor has no operation counts.
    """
    x = x.detach()
    if not x.is_floating_point():
        x = x.double()  # the smallest integer of a type has no magnitude in that type
    if x.numel() == 0:
        return Activity((), 0, 0, is_signed=False, has_zero=False)
    lowest, highest = (float(bound) for bound in x.aminmax())
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise NotFiniteError(
            f"a tensor of shape {tuple(x.shape)} holds NaN or infinite values, which have no "
            "operation count; check the weights and the input"
        )
    mask = x != 0
    nonzero = int(mask.sum())
    largest = max(-lowest, highest)
    magnitude = x.abs() if lowest < 0 else x
    units = int((magnitude == 1).sum()) if largest >= 1 else 0
    levels = _levels(magnitude, mask, largest) if nonzero else []
    masks = ((None, mask),) if levels is None else tuple(levels)
    has_zero = nonzero < x.numel()
    return Activity(masks, nonzero, units, lowest < 0, has_zero, rounding(x.dtype))


def rounding(dtype: torch.dtype) -> float:
    """How far, relatively, a multiple of c may be from k * c, having been rounded on its way.

    Seven additions of a spike's height in 32 bits and more; in 16 bits, where that would make
    levels of anything, the one rounding of k * c.
    """
    if not dtype.is_floating_point:
        return 0.0
    precision = torch.finfo(dtype)
    return precision.eps * (1 if precision.bits <= 16 else 4)


def common_step(values: Iterable[float], tolerance: float) -> float | None:
    """The largest c that makes every value k * c with an integer k of 1 to 8, or None.

    values : positive numbers       tolerance : relative
    """
    distinct = sorted(set(values))
    if not distinct:
        return None
    for divisor in range(1, LARGEST_LEVEL + 1):
        step = distinct[0] / divisor
        if step == 0:
            return None
        multiples = [value / step for value in distinct]
        if multiples[-1] > LARGEST_LEVEL + 0.5:
            return None
        if all(abs(m - round(m)) <= tolerance * m for m in multiples):
            return step
    return None


def weight_is_binary(by_channel: Tensor) -> bool:
    """Whether the values are {-a, (0,) +a}, with one a per output channel.

    A channel with one weight, or with zeros alone, always is.
    by_channel : (output channels, weights of one)
    Raises NotFiniteError if a weight is NaN or infinite.
    """
    if by_channel.numel() == 0:
        return False
    magnitude = by_channel.detach().abs()
    largest = magnitude.amax(dim=1, keepdim=True)
    if not bool(largest.isfinite().all()):
        raise NotFiniteError("a weight is NaN or infinite, which has no operation count")
    # a scale that was multiplied in may be off by its last bit; in 16 bits it is not, or is real
    is_wide = by_channel.element_size() > 2
    slack = rounding(by_channel.dtype) / 4 * largest if is_wide else torch.zeros_like(largest)
    return bool((((magnitude - largest).abs() <= slack) | (magnitude == 0)).all())


def _levels(magnitude: Tensor, mask: Tensor, largest: float) -> list[tuple[float, Tensor]] | None:
    """The magnitudes of a levelled tensor, each with its positions; None for a real one.

    mask : where the magnitude is not zero      largest : of the magnitudes, above 0
    """
    tolerance = rounding(magnitude.dtype)
    some = _distinct(magnitude, at_most=_SAMPLE)
    if some and common_step(some, tolerance) is None:
        return None  # a few thousand elements settle the matter without a full pass
    if torch.equal(magnitude == largest, mask):
        return [(largest, mask)]  # spikes, by far the most common
    if magnitude.element_size() <= 2:
        some = _distinct(magnitude, at_most=magnitude.numel())
        if len(some) > LARGEST_LEVEL:
            return None
    smallest = float(magnitude.masked_fill(~mask, math.inf).min())
    for divisor in range(1, LARGEST_LEVEL + 1):
        step = smallest / divisor
        if step == 0 or largest / step > LARGEST_LEVEL + 0.5:
            return None
        multiples = magnitude.double() / step
        nearest = multiples.round()
        if bool(((multiples - nearest).abs() <= tolerance * nearest).all()):
            levels = range(1, LARGEST_LEVEL + 1)
            masks = ((step * k, nearest == k) for k in levels)
            return [(value, mask) for value, mask in masks if bool(mask.any())]
    return None


def _distinct(magnitude: Tensor, at_most: int) -> list[float]:
    """The distinct non-zero magnitudes among so many elements, evenly spaced."""
    flat = magnitude.flatten()
    some = flat[:: max(1, flat.numel() // at_most)].unique()
    return some[some != 0].double().tolist()
