"""Rules: one plain function an operator that multiplies tensors, from its arguments to a product.

Dense counts follow fvcore's convention: every tap of every output position (of every input
position, if transposed), padding included, whatever the values; one MAC per pair.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from energy_models.layers import Geometry

aten = torch.ops.aten
Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of (N, C_in, *space) with a weight.

    weight : (C_out, C_in / groups, *kernel); transposed: (C_in, C_out / groups, *kernel)
    """

    left: Tensor
    right: Tensor
    bias: Tensor | None
    geometry: Geometry
    is_transposed: bool
    operator: str = "convolution"
    operator_with_weight: str = "convolution"

    @property
    def factors(self) -> tuple[Tensor, Tensor]:
        """Input and weight, as the operator got them."""
        return self.left, self.right

    @property
    def outputs(self) -> int:
        """Output values."""
        return self.left.shape[0] * self.geometry.c_out * math.prod(self.geometry.out_size)

    @property
    def dense(self) -> int:
        """Pairs, whatever the values: N x places x weights."""
        places = self.geometry.in_size if self.is_transposed else self.geometry.out_size
        return self.left.shape[0] * math.prod(places) * self.right.numel()

    def weight_taps(self, mask: Tensor) -> Tensor:
        """Output channels with a marked weight, by input channel and tap: (C_in, *kernel)."""
        if self.is_transposed:
            return mask.sum(dim=1)
        by_group = mask.unflatten(0, (self.geometry.groups, -1)).sum(dim=1)
        return by_group.flatten(0, 1)

    def by_output_channel(self, side: Side) -> Tensor:
        """The weight as (output channels, the rest)."""
        if not self.is_transposed:
            return self.right.flatten(1)
        by_group = self.right.unflatten(0, (self.geometry.groups, -1))
        return by_group.movedim(2, 1).flatten(0, 1).flatten(1)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix product.

    factors : the two as the operator got them
    left, right : the same as (b, n, k) and (b, k, m)
    """

    factors: tuple[Tensor, Tensor]
    left: Tensor
    right: Tensor
    bias: Tensor | None
    operator: str = "matmul"
    operator_with_weight: str = "linear"

    @property
    def geometry(self) -> Geometry:
        """Inner size and columns, as features."""
        return Geometry(c_in=self.left.shape[2], c_out=self.right.shape[2])

    @property
    def outputs(self) -> int:
        """Output values: b x n x m."""
        return self.left.shape[0] * self.left.shape[1] * self.right.shape[2]

    @property
    def dense(self) -> int:
        """b x n x k x m."""
        return self.outputs * self.left.shape[2]

    @property
    def is_single(self) -> bool:
        """One matrix by one matrix, not a batch of one: its rows may be time and samples."""
        return self.left.shape[0] == 1 and self.factors[0].dim() < 3

    def is_repeated(self, side: Side) -> bool:
        """All matrices of the batch are the same memory."""
        return (self.left if side == "left" else self.right).stride(0) == 0

    def by_output_channel(self, side: Side) -> Tensor:
        """One factor as (output channels, inner size): every column, or row, of every matrix."""
        channels = self.right.movedim(2, 1) if side == "right" else self.left
        return channels.flatten(0, 1)


Product = Convolution | Matrix


class Work(NamedTuple):
    """The size of a product, without its tensors.

    dense : pairs, whatever the values      outputs : output values
    """

    operator: str
    dense: int
    outputs: int

    @classmethod
    def of(cls, product: Product) -> Work:
        """The size of one product."""
        return cls(product.operator, product.dense, product.outputs)


Rule = Callable[..., Product]


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *_backend_flags: Any,
    output: Tensor,
) -> Convolution:
    """Convolution in 1, 2 or 3 dimensions, any stride, padding, dilation and groups."""
    sizes = (tuple(stride), tuple(padding), tuple(dilation))
    geometry = _geometry(x.shape, weight.shape, output.shape, *sizes, groups)
    return Convolution(x, weight, bias, geometry, is_transposed=transposed)


@functools.lru_cache(maxsize=4096)
def _geometry(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    output: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Geometry:
    kernel = tuple(weight[2:])
    return Geometry(
        c_in=x[1],
        c_out=output[1],
        kernel=kernel,
        stride=_per_dimension(stride, len(kernel)),
        padding=_per_dimension(padding, len(kernel)),
        dilation=_per_dimension(dilation, len(kernel)),
        groups=groups,
        in_size=tuple(x[2:]),
        out_size=tuple(output[2:]),
    )


def mm(left: Tensor, right: Tensor, *_out_dtype: Any, output: Tensor) -> Matrix:
    """(n, k) by (k, m)."""
    return Matrix((left, right), left.unsqueeze(0), right.unsqueeze(0), None)


def addmm(
    bias: Tensor,
    left: Tensor,
    right: Tensor,
    *_out_dtype: Any,
    output: Tensor,
    beta: float = 1,
    alpha: float = 1,
) -> Matrix:
    """(n, k) by (k, m), added to what stands there: a bias adds no product."""
    return Matrix((left, right), left.unsqueeze(0), right.unsqueeze(0), bias)


def bmm(left: Tensor, right: Tensor, *_out_dtype: Any, output: Tensor) -> Matrix:
    """(b, n, k) by (b, k, m)."""
    return Matrix((left, right), left, right, None)


def baddbmm(
    bias: Tensor,
    left: Tensor,
    right: Tensor,
    *_out_dtype: Any,
    output: Tensor,
    beta: float = 1,
    alpha: float = 1,
) -> Matrix:
    """(b, n, k) by (b, k, m), added to what stands there."""
    return Matrix((left, right), left, right, bias)


def mv(matrix: Tensor, vector: Tensor, *, output: Tensor) -> Matrix:
    """(n, k) by (k): what `matmul` becomes for a vector."""
    return Matrix((matrix, vector), matrix.unsqueeze(0), vector.reshape(1, -1, 1), None)


def addmv(
    bias: Tensor,
    matrix: Tensor,
    vector: Tensor,
    *,
    output: Tensor,
    beta: float = 1,
    alpha: float = 1,
) -> Matrix:
    """(n, k) by (k), added to what stands there."""
    return Matrix((matrix, vector), matrix.unsqueeze(0), vector.reshape(1, -1, 1), bias)


def elements(left: Tensor, right: Tensor, *, output: Tensor) -> Matrix:
    """What a contraction makes with `mul`: an outer product over a single element.

    Factors of one shape are not spread over one another: they are summed to one number.
    """
    if left.shape == right.shape:
        return dot(left, right, output=output)
    columns = [factor.expand(output.shape).reshape(-1, 1, 1) for factor in (left, right)]
    return Matrix((left, right), columns[0], columns[1], None)


def dot(left: Tensor, right: Tensor, *, output: Tensor) -> Matrix:
    """(k) by (k)."""
    return Matrix((left, right), left.reshape(1, 1, -1), right.reshape(1, -1, 1), None)


# einsum and tensordot multiply element by element where they contract over one element alone
CONTRACTIONS = frozenset({aten.einsum, aten.tensordot})

# matmul, einsum, linear and conv1d ... are composite: they arrive here as one of these.
RULES: dict[Any, Rule] = {
    aten.convolution: convolution,
    aten._convolution: convolution,
    aten.mm: mm,
    aten.addmm: addmm,
    aten.bmm: bmm,
    aten.baddbmm: baddbmm,
    aten.mv: mv,
    aten.addmv: addmv,
    aten.dot: dot,
}


def _per_dimension(values: Sequence[int], dimensions: int) -> tuple[int, ...]:
    given = tuple(values)
    return given * dimensions if len(given) == 1 else given
