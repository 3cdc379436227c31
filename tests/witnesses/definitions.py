"""Definitions: a slow and obvious classifier and counter of products, to judge the real one by.

Written from the words of the design alone. The pairs of an operator that is linear in both of its
factors are what the operator itself gives for factors of ones and zeros, in float64, where sums of
integers are exact: one mask for every magnitude of a levelled factor, one for a real one.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from energy_models.counts import ModelCounts, OpCounts

LARGEST_LEVEL = 8
CLASSES = tuple(field.name for field in fields(OpCounts))

Operator = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Product:
    """One call of an operator that is linear in each of two factors.

    left : data       right : a weight, or more data
    pairs : the operator, without bias, for factors in float64
    positions : the same with every padding tap an input, and nothing cropped: the dense work
    channels : the weight as (output channels, weights of one); None if right is data
    """

    left: Tensor
    right: Tensor
    pairs: Operator
    positions: Operator
    channels: Tensor | None


class Layer:
    """The products of one layer, all its calls, classified together."""

    def __init__(self, *products: Product) -> None:
        self.products = products
        self.has_weight = products[0].channels is not None
        self.is_binary = self.has_weight and all(
            is_binary(product.channels) for product in products if product.channels is not None
        )
        self.left = levels([product.left for product in products])
        self.right = None if self.has_weight else levels([product.right for product in products])

    @property
    def dense_class(self) -> str:
        """The class of the whole, which all positions are booked to."""
        data = [self.left] if self.has_weight else [self.left, self.right]
        if any(known is not None and max(known.values(), default=1) > 1 for known in data):
            return "dense_graded"
        if any(known is not None for known in data):
            return "dense_binary" if self.is_binary else "dense_ac"
        return "dense_ac" if self.is_binary else "dense_mac"

    def totals(self, is_inside: Callable[[Tensor], Tensor] | None = None) -> Counter[str]:
        """Integer totals by class, of the part of the data that `is_inside` leaves over.

        is_inside : sets a mask of the left factor to zero where it is not asked for
        """
        total: Counter[str] = Counter()
        for product in self.products:
            for k_left, left in _masks(product.left, self.left):
                wanted = left if is_inside is None else is_inside(left)
                for k_right, right in _masks(product.right, self.right):
                    pairs = round(float(product.pairs(wanted, right).sum()))
                    self._book(total, [k for k in (k_left, k_right) if k is not None], pairs)
            ones = (torch.ones_like(factor, dtype=torch.double) for factor in _factors(product))
            total[self.dense_class] += round(float(product.positions(*ones).sum()))
        return total

    def _book(self, total: Counter[str], multiples: list[int], pairs: int) -> None:
        accumulates = math.prod(multiples)
        if accumulates > 1:
            total["graded"] += pairs
            total["graded_accumulates"] += pairs * accumulates
        elif multiples:
            total["binary" if self.is_binary else "ac"] += pairs
        elif self.is_binary:
            total["ac"] += pairs
            total["ac_by_weight"] += pairs
        else:
            total["mac"] += pairs


def levels(tensors: Sequence[Tensor]) -> dict[float, int] | None:
    """The k of every magnitude, if one c > 0 makes each k * c with 1 <= k <= 8; else None."""
    allowed = Fraction(max(tolerance(tensor.dtype) for tensor in tensors))
    magnitudes = sorted(
        {value for tensor in tensors for value in tensor.detach().double().abs().unique().tolist()}
        - {0.0}
    )
    nearest: dict[float, Fraction] = {}
    for magnitude in magnitudes:
        ratio = Fraction(magnitude) / Fraction(magnitudes[0])
        nearest[magnitude] = ratio.limit_denominator(LARGEST_LEVEL)
        if abs(nearest[magnitude] - ratio) > allowed * ratio:
            return None
    steps = math.lcm(*(ratio.denominator for ratio in nearest.values()))
    multiples = {magnitude: int(ratio * steps) for magnitude, ratio in nearest.items()}
    return multiples if max(multiples.values(), default=1) <= LARGEST_LEVEL else None


def tolerance(dtype: torch.dtype) -> float:
    """Relative; 16 bits allow for one rounding, more bits for the sum of a few spikes."""
    return torch.finfo(dtype).eps * (1 if torch.finfo(dtype).bits == 16 else 4)


def is_binary(channels: Tensor) -> bool:
    """Whether every output channel holds, beside zeros, one magnitude alone."""
    slack = torch.finfo(channels.dtype).eps if channels.element_size() > 2 else 0.0
    for channel in channels.detach().double().abs().tolist():
        magnitudes = [value for value in channel if value]
        if magnitudes and max(magnitudes) - min(magnitudes) > slack * max(magnitudes):
            return False
    return True


def convolution(
    x: Tensor,
    weight: Tensor,
    *,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int | str = 0,
    dilation: Sequence[int] | int = 1,
    groups: int = 1,
    output_padding: Sequence[int] | int = 0,
    transposed: bool = False,
    mode: str = "constant",
    has_weight: bool = True,
) -> Product:
    """A convolution in 1 to 3 dimensions, transposed or not.

    x : (N, C_in, *space)
    weight : (C_out, C_in / groups, *kernel); transposed: (C_in, C_out / groups, *kernel)
    mode : of padding, as `torch.nn.functional.pad` calls it; `padding` may be "same"
    """
    kernel = tuple(weight.shape[2:])
    across = functools.partial(_per_dimension, dimensions=len(kernel))
    strides, dilations = across(stride), across(dilation)
    if transposed:
        function = getattr(F, f"conv_transpose{len(kernel)}d")
        options = {"stride": strides, "dilation": dilations, "groups": groups}
        cropped = {"padding": padding, "output_padding": output_padding}
        pairs = functools.partial(function, **options, **cropped)
        positions = functools.partial(function, **options)
        by_group = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        return Product(x, weight, pairs, positions, by_group.flatten(1) if has_weight else None)
    spans = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    if isinstance(padding, str):
        edges = [(span // 2, span - span // 2) for span in spans]
    else:
        edges = [(p, p) for p in across(padding)]
    flat_edges = [edge for pair in reversed(edges) for edge in pair]
    function = getattr(F, f"conv{len(kernel)}d")

    def convolve(border: float, inputs: Tensor, weights: Tensor) -> Tensor:
        fill = {"value": border} if mode == "constant" else {}
        padded = F.pad(inputs, flat_edges, mode=mode, **fill)
        return function(padded, weights, None, strides, 0, dilations, groups)

    channels = weight.flatten(1) if has_weight else None
    pairs, positions = (functools.partial(convolve, border) for border in (0.0, 1.0))
    return Product(x, weight, pairs, positions, channels)


def linear(x: Tensor, weight: Tensor) -> Product:
    """x : (..., N_in)       weight : (N_out, N_in)."""
    return Product(x, weight, F.linear, F.linear, weight)


def matrix(left: Tensor, right: Tensor, *, has_weight: bool = False) -> Product:
    """`left @ right`, with the broadcasting of `torch.matmul`; the weight is on the right."""
    channels = None
    if has_weight:
        channels = right.unsqueeze(0) if right.dim() == 1 else right.mT.flatten(0, -2)
    return Product(left, right, torch.matmul, torch.matmul, channels)


def contraction(pattern: str, left: Tensor, right: Tensor, *, has_weight: bool = False) -> Product:
    """An einsum over two factors; a letter of the weight in the output is one of its channels."""
    operator = functools.partial(torch.einsum, pattern)
    channels = None
    if has_weight:
        factors, output = pattern.split("->")
        letters = factors.split(",")[1]
        kept = [index for index, letter in enumerate(letters) if letter in output]
        summed = [index for index, letter in enumerate(letters) if letter not in output]
        rows = math.prod(right.shape[index] for index in kept)
        channels = right.permute(*kept, *summed).reshape(rows, -1)
    return Product(left, right, operator, operator, channels)


def swapped(product: Product, channels: Tensor | None) -> Product:
    """The same product with the data on the right: (weight, data) becomes (data, weight)."""
    return Product(
        product.right,
        product.left,
        lambda data, weight: product.pairs(weight, data),
        lambda data, weight: product.positions(weight, data),
        channels,
    )


def expected(layers: Sequence[Layer]) -> dict[str, int]:
    """Integer totals over the batch, of all layers; classes that stay zero are left out."""
    total: Counter[str] = Counter()
    for layer in layers:
        total.update(layer.totals())
    return {name: value for name, value in total.items() if value}


def found(counts: ModelCounts) -> dict[str, int]:
    """The same totals in a count document; every number of it must be an integer by the samples."""
    return _integers({name: getattr(counts.ops, name) for name in CLASSES}, counts.samples)


def _integers(classes: dict[str, float], samples: int) -> dict[str, int]:
    totals = {name: round(value * samples) for name, value in classes.items()}
    for name, value in classes.items():
        assert math.isclose(value * samples, totals[name], rel_tol=1e-12), name
    return {name: value for name, value in totals.items() if value}


def _factors(product: Product) -> tuple[Tensor, Tensor]:
    return product.left, product.right


def _masks(factor: Tensor, known: dict[float, int] | None) -> Iterator[tuple[int | None, Tensor]]:
    """Where the factor is what, as 0 and 1 in float64: by k, or all that is not zero as None."""
    magnitude = factor.detach().double().abs()
    if known is None:
        yield None, (magnitude != 0).double()
        return
    for k in sorted(set(known.values())):
        mask = torch.zeros_like(magnitude)
        for value in (value for value, multiple in known.items() if multiple == k):
            mask += (magnitude == value).double()
        yield k, mask


def _per_dimension(values: Sequence[int] | int, dimensions: int) -> tuple[int, ...]:
    return (values,) * dimensions if isinstance(values, int) else tuple(values)
