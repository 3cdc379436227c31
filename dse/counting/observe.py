"""Observe: what one product really multiplied: pairs of non-zero operands, by level and place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dse.counting.activity import Facts, Marks, look, planes
from dse.counting.fanout import fan
from dse.counting.rules import Convolution, Matrix, Product, Side
from dse.counting.weights import Weight


class Sight(NamedTuple):
    """What one call of one product did; on the device, until it is fetched.

    left, right : the operands that are data, None for a weight
    pairs : (levels of left, levels of right, leading), a weight having one level
    leading : N of a convolution, rows of a matrix, or matrices of a batch: time and samples
    period : matrices of a batch that differ in their weight, and so in no time and no sample
    """

    left: Marks | None
    right: Marks | None
    pairs: Any
    leading: int
    period: int = 1


class Observer:
    """Looks at products; remembers the last input, which often feeds several layers.

    by_element : decide real tensors element by element
    """

    def __init__(self, *, by_element: bool) -> None:
        self._by_element = by_element
        self._last: tuple[object, Tensor, Marks] | None = None

    def forget(self) -> None:
        """The last input may have been written into, or its layer is done."""
        self._last = None

    def see(self, product: Product, side: Side | None, weight: Weight | None) -> Sight:
        """Count the pairs of one product.

        side, weight : which factor is a weight, and what it holds; None for two activations
        Raises NotFiniteError if an operand is NaN or infinite.
        """
        if isinstance(product, Convolution):
            return self._convolution(product, weight)
        if weight is None:
            return self._two_activations(product)
        return self._matrix(product, side, weight)

    def _convolution(self, product: Convolution, weight: Weight | None) -> Sight:
        x = product.left.flatten(2)
        if weight is not None:
            marks = self._look(x, weight.fan(product).unsqueeze(0))
            assert marks.totals is not None
            return Sight(marks, None, marks.totals, x.shape[0])
        right = self._look(product.right.flatten(2))
        facts, _ = right.facts_of()
        fans = [
            fan(product.geometry, product.is_transposed, product.weight_taps(plane)).expand(
                x.shape[1], -1
            )
            for plane in planes(product.right, facts)
        ]
        if not fans:
            fans = [torch.zeros(x.shape[1:], dtype=torch.int32, device=x.device)]
        left = self._look(x, torch.stack(fans))
        assert left.totals is not None
        known: Facts = facts
        pairs = left.totals[:, : len(known.levels)]
        return Sight(left, right._replace(facts=known), pairs, x.shape[0])

    def _matrix(self, product: Matrix, side: Side | None, weight: Weight) -> Sight:
        reached = weight.reached
        # (N, C, P): P is the inner dimension, over which the pairs are summed
        x = product.left if side == "right" else product.right.transpose(1, 2)
        if reached.shape[0] > 1:
            marks = self._look(x, wants_counts=True)
            assert marks.counts is not None
            pairs = torch.einsum("lbk,bk->lb", marks.counts.double(), reached.double()).long()
            sight = self._sight(side, marks, pairs[:, None], x.shape[0])
            return sight._replace(period=weight.period)
        if side == "right":
            x = x.reshape(-1, 1, x.shape[2])
        if weight.same is not None:
            marks = self._look(x)
            return self._sight(side, marks, (marks.marks * weight.same)[:, None], x.shape[0])
        marks = self._look(x, reached.int().unsqueeze(0))
        assert marks.totals is not None
        return self._sight(side, marks, marks.totals, x.shape[0])

    def _sight(self, side: Side | None, marks: Marks, pairs: Any, leading: int) -> Sight:
        if side == "right":
            return Sight(marks, None, pairs, leading)
        return Sight(None, marks, pairs.swapaxes(0, 1), leading)

    def _two_activations(self, product: Matrix) -> Sight:
        right = self._look(product.right.transpose(1, 2), wants_counts=True)
        assert right.counts is not None
        batch, rows, inner = product.left.shape
        if product.is_single:
            x = product.left.reshape(rows, 1, inner)
            left = self._look(x, right.counts.int())
            assert left.totals is not None
            return Sight(left, right, left.totals, rows)
        left = self._look(product.left, wants_counts=True)
        assert left.counts is not None
        return Sight(left, right, _paired(left.counts, right.counts), batch)

    def _look(self, x: Tensor, fans: Tensor | None = None, *, wants_counts: bool = False) -> Marks:
        if fans is not None or wants_counts:
            return look(x, fans, wants_counts=wants_counts, by_element=self._by_element)
        key = (x.data_ptr(), x.shape, x.stride(), x.dtype)
        if self._last is not None and self._last[0] == key:
            return self._last[2]
        marks = look(x, by_element=self._by_element)
        self._last = (key, x, marks)
        return marks


def _paired(left: Tensor, right: Tensor) -> Any:
    """Pairs of two operands by level: (l, b, k) and (r, b, k) to (l, r, b), where they lie."""
    if left.device.type != "cpu":
        return torch.einsum("lbk,rbk->lrb", left.double(), right.double()).long()
    here = left.numpy()[:, None], right.numpy()[None]
    return np.add.reduce(np.multiply(*here, dtype=np.int64), axis=-1)
