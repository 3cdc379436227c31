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

from dse.errors import TracingError

LARGEST_LEVEL = 8
_SAMPLE = 4096


@dataclass(frozen=True, slots=True)
class Activity:
    """The values of one tensor, by magnitude.

    masks : (abs(value), boolean tensor of the positions that hold it); the value is None for the
        one mask of a real tensor: its non-zero positions. Empty if the tensor is all zero.
    nonzero : number of non-zero elements       units : of these, how many have abs(x) = 1
    is_signed : some value is negative          has_zero : some value is zero
    """

    masks: tuple[tuple[float | None, Tensor], ...]
    nonzero: int
    units: int
    is_signed: bool
    has_zero: bool

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

    Raises TracingError if an element is NaN or infinite: such a tensor has no operation counts.
    """
    x = x.detach()
    if x.dtype is torch.bool:
        x = x.to(torch.uint8)
    if x.numel() == 0:
        return Activity((), 0, 0, is_signed=False, has_zero=False)
    lowest, highest = (float(bound) for bound in x.aminmax())
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise TracingError(
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
    return Activity(masks, nonzero, units, is_signed=lowest < 0, has_zero=nonzero < x.numel())


def common_step(values: Iterable[float], tolerance: float = 1e-5) -> float | None:
    """The largest c that makes every value k * c with an integer k of 1 to 8, or None.

    values : positive numbers       tolerance : relative, for sums that were rounded on their way
    """
    distinct = sorted(set(values))
    if not distinct:
        return None
    for divisor in range(1, LARGEST_LEVEL + 1):
        step = distinct[0] / divisor
        multiples = [value / step for value in distinct]
        if multiples[-1] > LARGEST_LEVEL + 0.5:
            return None
        if all(abs(m - round(m)) <= tolerance * m for m in multiples):
            return step
    return None


def weight_is_binary(by_channel: Tensor) -> bool:
    """Whether the values are {-a, (0,) +a}, with one a per output channel.

    by_channel : (output channels, weights of one)
    """
    magnitude = by_channel.detach().abs()
    largest = magnitude.amax(dim=1, keepdim=True)
    is_largest = (magnitude - largest).abs() <= 2 * _precision(by_channel) * largest
    return bool((is_largest | (magnitude == 0)).all())


def _levels(magnitude: Tensor, mask: Tensor, largest: float) -> list[tuple[float, Tensor]] | None:
    """The magnitudes of a levelled tensor, each with its positions; None for a real one.

    mask : where the magnitude is not zero      largest : of the magnitudes, above 0
    """
    tolerance = 2 * _precision(magnitude)
    some = _sample(magnitude)
    if some and common_step(some, tolerance) is None:
        return None  # a few thousand elements settle the matter without a full pass
    if torch.equal(magnitude == largest, mask):
        return [(largest, mask)]  # spikes, by far the most common
    as_float = magnitude if magnitude.is_floating_point() else magnitude.double()
    smallest = float(as_float.masked_fill(~mask, math.inf).min())
    for divisor in range(1, LARGEST_LEVEL + 1):
        step = smallest / divisor
        if largest / step > LARGEST_LEVEL + 0.5:
            return None
        multiples = as_float / step
        nearest = multiples.round()
        if bool(((multiples - nearest).abs() <= tolerance * nearest).all()):
            levels = range(1, LARGEST_LEVEL + 1)
            masks = ((step * k, nearest == k) for k in levels)
            return [(value, mask) for value, mask in masks if bool(mask.any())]
    return None


def _sample(magnitude: Tensor) -> list[float]:
    """The distinct non-zero magnitudes among a few thousand elements."""
    flat = magnitude.flatten()
    some = flat[:: max(1, flat.numel() // _SAMPLE)].unique()
    return some[some != 0].tolist()


def _precision(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps if x.is_floating_point() else 0.0
