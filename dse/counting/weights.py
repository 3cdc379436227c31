"""Weights: what a layer's weight holds, looked at once as long as nobody writes into it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dse.counting.activity import rounding
from dse.counting.fanout import fan
from dse.counting.rules import Convolution, Product, Side
from dse.errors import NotFiniteError

_MOST_CODES = 256  # of a weight of 8 bits


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight of a product.

    weights, nonzero : number of them
    is_binary : {-a, (0,) +a}, one a per output channel
    is_lone : no output channel has two weights that are not zero
    bits : of the dtype, or of the codes if the values are a few multiples of one step a channel
    reached : convolution: (C_in, *kernel), output channels with a non-zero weight there;
        matrix: (1 or b, k), columns (or rows, of a left weight) with a non-zero weight there
    same : that number, if it is the same everywhere in a matrix that all samples share
    period : after how many matrices of a batch the weight repeats itself; 1 if all share it
    """

    weights: int
    nonzero: int
    is_binary: bool
    is_lone: bool
    bits: int
    reached: Tensor
    same: int | None
    period: int = 1
    _fans: dict[Any, Tensor] = field(default_factory=dict)

    def fan(self, product: Convolution) -> Tensor:
        """Products an input element makes: int32 (1 or C, places)."""
        key = (product.geometry.in_size, product.geometry.out_size, product.geometry.stride)
        key = (*key, product.geometry.padding, product.geometry.dilation)  # type: ignore[assignment]
        found = self._fans.get(key)
        if found is None:
            found = fan(product.geometry, product.is_transposed, self.reached)
            self._fans[key] = found
        return found


class Weights:
    """Weights that were looked at, by memory: it is held, so that no address changes hands."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Tensor, int | None, Weight]] = {}

    def of(self, product: Product, side: Side, *, is_kept: bool) -> Weight:
        """The facts of one factor.

        is_kept : it is a parameter or buffer, or a view of one, and lives on
        Raises NotFiniteError if a weight is NaN or infinite.
        """
        factor = product.factors[0 if side == "left" else 1]
        key = (factor.data_ptr(), factor.shape, factor.stride(), factor.dtype, side)
        key = (*key, type(product))  # type: ignore[assignment]
        version = None if factor.is_inference() else factor._version
        known = self._known.get(key) if is_kept else None
        if known is not None and known[1] == version:
            return known[2]
        facts = _look(product, side, factor)
        if is_kept:
            self._known[key] = (factor, version, facts)
        return facts

    def forget(self) -> None:
        """Somebody has written into a weight."""
        self._known.clear()

    def new_pass(self) -> None:
        """Before a forward pass: what has no version may have changed in between."""
        stale = [key for key, (_, version, _) in self._known.items() if version is None]
        for key in stale:
            del self._known[key]


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


def code_bits(by_channel: Tensor) -> int | None:
    """Bits of weights that are k * c with a small integer k and one c per output channel, or None.

    Values tell only if they repeat: without at least two weights a code, nothing is concluded.
    by_channel : (output channels, weights of one)
    """
    if by_channel.numel() == 0 or not _has_few_values(by_channel[0]):
        return None
    largest = 0
    for channel in by_channel:
        if not _has_few_values(channel):
            return None
        magnitudes = [value for value in channel.double().abs().unique().tolist() if value]
        if not magnitudes:
            continue
        step = functools.reduce(functools.partial(_common, magnitudes[-1]), magnitudes)
        codes = [value / step for value in magnitudes]
        # a hundredth of a step: room for the rounding of 127 * c, and of c found as a difference
        if any(abs(code - round(code)) > 0.01 for code in codes):
            return None
        largest = max(largest, round(codes[-1]))
    bits = largest.bit_length() + 1
    return bits if 0 < largest <= _MOST_CODES // 2 else None


def _common(largest: float, first: float, second: float) -> float:
    """The largest step of which both are multiples, by Euclid, down to the finest of 8 bits."""
    while second > largest / _MOST_CODES / 2:
        first, second = second, first - second * round(first / second)
        second = abs(second)
    return first


def _has_few_values(channel: Tensor) -> bool:
    some = channel[: 2 * _MOST_CODES].unique()
    return 2 * len(some) <= min(len(channel), 2 * _MOST_CODES)


def _look(product: Product, side: Side, factor: Tensor) -> Weight:
    by_channel = product.by_output_channel(side)
    is_binary = weight_is_binary(by_channel)
    mask = (product.left if side == "left" else product.right) != 0
    same, period = None, 1
    if isinstance(product, Convolution):
        reached = product.weight_taps(mask)
    else:
        single = mask[:1] if product.is_repeated(side) else mask
        reached = single.sum(dim=1 if side == "left" else 2)
        if reached.shape[0] == 1 and reached.numel():
            lowest, highest = (int(bound) for bound in reached.aminmax())
            same = lowest if lowest == highest else None
        elif reached.shape[0] > 1:
            period = _period(product.left if side == "left" else product.right)
    distinct = _distinct(factor)
    bits = factor.element_size() * 8
    return Weight(
        weights=distinct.numel(),
        nonzero=int((distinct != 0).sum()),
        is_binary=is_binary,
        is_lone=not bool(((by_channel != 0).sum(dim=1) > 1).any()),
        bits=bits if is_binary else (code_bits(by_channel) or bits),
        reached=reached,
        same=same,
        period=period,
    )


def _period(matrices: Tensor) -> int:
    """The smallest number of matrices after which all of them come again in the same order."""
    count = matrices.shape[0]
    for period in range(1, count // 2 + 1):
        if count % period == 0 and torch.equal(matrices[period:], matrices[:-period]):
            return period
    return count


def _distinct(weight: Tensor) -> Tensor:
    """The weight without the dimensions that only repeat it."""
    for dimension, (size, stride) in enumerate(zip(weight.shape, weight.stride(), strict=True)):
        if stride == 0 and size > 1:
            weight = weight.narrow(dimension, 0, 1)
    return weight
