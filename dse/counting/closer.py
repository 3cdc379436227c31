"""Closer: what the field's conventions ask of a pass beyond the counts, gathered on demand.

Sums of magnitudes, products that one factor enters whatever the other holds, what single calls
held, and which modules ran: each takes a further look at tensors, which counting does not need.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from dse.counting.activity import Facts, Marks, look
from dse.counting.classify import Operand
from dse.counting.fanout import fan, reach
from dse.counting.observe import Sight
from dse.counting.rows import ModuleRow, Row
from dse.counting.rules import Convolution, Product
from dse.errors import NotFiniteError
from energy_models.readings import NORMS, POOLS

_LOOKED_INTO = NORMS | POOLS  # the modules whose input decides what a convention makes of them


class _Side(NamedTuple):
    """One factor of a product: its values, the sum of their magnitudes, products they enter."""

    marks: Marks
    magnitude: Tensor
    reached: Tensor | None  # of a matrix: None, it has `fan` products an element
    fan: int


class _ProductCall(NamedTuple):
    row: Row
    call: int
    left: _Side | None
    right: _Side | None


class _ModuleCall(NamedTuple):
    module: nn.Module
    elements_in: int
    elements_out: int
    marks: Marks | None


class Closer:
    """A closer look at one forward pass, booked when the pass is over."""

    def __init__(self) -> None:
        self._products: list[_ProductCall] = []
        self._modules: dict[str, list[_ModuleCall]] = {}

    def see_product(self, row: Row, call: int, product: Product, sight: Sight) -> None:
        """A product was looked at; `sight` has the sides that are data."""
        left, right = sight.left, sight.right
        if isinstance(product, Convolution):
            sides = (
                left and _Side(left, _magnitude(product.left), reached_by_input(product), 0),
                right and _Side(right, _magnitude(product.right), reached_by_weight(product), 0),
            )
        else:
            rows, columns = product.left.shape[1], product.right.shape[2]
            sides = (
                left and _Side(left, _magnitude(product.left), None, columns),
                right and _Side(right, _magnitude(product.right), None, rows),
            )
        self._products.append(_ProductCall(row, call, *sides))

    def see_module(self, name: str, module: nn.Module, given: Any, made: Any) -> None:
        """A module of the model has run; `given`, `made`: its arguments, and what it returned."""
        with _disable_current_modes():  # the bookkeeping's operators are not the model's
            first, output = _first_tensor(given), _first_tensor(made)
            marks = None
            if first is not None and _class_name(type(module)) in _LOOKED_INTO:
                marks = _look_into(first)
            call = _ModuleCall(module, _size(first), _size(output), marks)
            self._modules.setdefault(name, []).append(call)

    def book(self, modules: dict[str, ModuleRow]) -> None:
        """Add what was seen to the rows, which have booked the pass, and to the modules."""
        for seen in self._products:
            _book_product(seen)
        for name, calls in self._modules.items():
            kind = type(calls[0].module)
            row = modules.setdefault(name, ModuleRow(name, _classes(kind), _has_weight(calls[0])))
            for number, call in enumerate(calls):
                row.book(number, call.elements_in, call.elements_out, _facts(call.marks))


def reached_by_input(product: Convolution) -> Tensor:
    """Products that the non-zero inputs of a convolution enter if no weight is zero."""
    taps = product.weight_taps(torch.ones_like(product.right, dtype=torch.bool))
    fans = fan(product.geometry, product.is_transposed, taps)[:1]  # alike in all channels
    by_place = (product.left != 0).flatten(2).sum(dim=(0, 1))
    return (by_place * fans[0]).sum()


def reached_by_weight(product: Convolution) -> Tensor:
    """Products that the non-zero weights of a convolution enter if no input is zero."""
    g = product.geometry
    found = (product.right != 0).sum(dim=(0, 1)).double()
    sizes = (g.in_size, g.out_size, g.kernel, g.stride, g.padding, g.dilation)
    for dimension in zip(*sizes, strict=True):
        places = reach(*dimension, product.is_transposed).sum(dim=1).to(found)
        found = torch.tensordot(found, places, dims=([0], [0]))
    return found * product.left.shape[0]


def _magnitude(x: Tensor) -> Tensor:
    return x.detach().double().abs().sum()


def _book_product(seen: _ProductCall) -> None:
    row, entry = seen.row, seen.row.calls[seen.call]
    sides = [
        (total, side)
        for total, side in ((row.left, seen.left), (row.right, seen.right))
        if side is not None
    ]
    if not entry.operands:
        entry.operands = tuple(Operand() for _ in sides)
    for (total, side), operand in zip(sides, entry.operands, strict=True):
        facts, _ = side.marks.facts_of()
        operand.see(facts)
        reached = facts.nonzero * side.fan if side.reached is None else int(side.reached)
        for one in (total, operand):  # the row has seen the facts already
            one.add(float(side.magnitude), reached)


def _look_into(x: Tensor) -> Marks | None:
    """Marks of a module's input; None if it is of a kind, or holds values, that nobody marks."""
    if x.layout is not torch.strided or x.is_nested or x.is_complex() or x.is_quantized:
        return None
    try:
        return look(x.reshape(1, 1, math.prod(x.shape)))
    except NotFiniteError:  # no product has met it
        return None


def _facts(marks: Marks | None) -> Facts | None:
    if marks is None:
        return None
    try:
        return marks.facts_of()[0]
    except NotFiniteError:
        return None


def _first_tensor(values: Any) -> Tensor | None:
    return next((leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)), None)


def _size(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel()


def _classes(kind: type) -> tuple[str, ...]:
    """Qualified names of a module's class and its bases, without `nn.Module`."""
    bases = [base for base in kind.__mro__ if issubclass(base, nn.Module)]
    return tuple(_class_name(base) for base in bases[:-1] or bases)


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _has_weight(call: _ModuleCall) -> bool:
    parameters = call.module._parameters
    return "weight" in parameters and parameters["weight"] is not None
