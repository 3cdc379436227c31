"""Plans: a layer that is called again as it was called before is counted without thinking again.

A plan belongs to one place in the order of a forward pass. It holds what follows from shapes and
weights alone; if anything of that differs at the next pass, the layer is looked at anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dse.counting import kernel
from dse.counting.activity import LARGEST_LEVEL, Facts, refuse_not_finite, rounding
from dse.counting.rows import Row
from dse.counting.rules import Convolution, Product, Work
from dse.counting.weights import Weight

# where input and weight stand among the arguments
_PLACES = {"convolution": (0, 1), "addmm": (1, 2), "mm": (0, 1)}
_STRIDED = torch.strided
_REST = {"convolution": 3}  # behind them: stride, padding and the like; matrices have none


def weight_key(weight: Tensor) -> tuple[int, Any, Any]:
    """What tells one weight, or one part of it, from others: its memory and how it is read."""
    return weight.data_ptr(), weight.shape, weight.stride()


class Plan:
    """How to count one layer with a weight on its right, at one place of a forward pass."""

    __slots__ = (
        "_bits",
        "_elements",
        "_input",
        "_module",
        "_others",
        "_pass",
        "_rest",
        "_same",
        "_seen",
        "_tolerance",
        "_version",
        "_weight",
        "address",
        "call",
        "first_input",
        "row",
        "work",
    )

    def __init__(
        self,
        func: Any,
        args: Any,
        module: nn.Module,
        first_input: tuple[int, ...],
        row: Row,
        call: int,
        product: Product,
        weight: Weight,
    ) -> None:
        self._input, self._weight = _PLACES[func._overloadpacket.__name__]
        x, factor = args[self._input], args[self._weight]
        self._module = module
        self._seen = (func, x.shape, x.stride(), x.dtype, factor.dtype, *weight_key(factor))
        self._version = factor._version
        self.address = weight_key(factor)
        self._rest = _REST.get(func._overloadpacket.__name__, len(args))
        self._others = args[self._rest :]
        self.first_input = first_input
        self.row, self.call = row, call
        self.work = Work.of(product)
        self._elements = x.numel()
        self._bits = x.element_size() * 8
        self._tolerance = rounding(x.dtype)
        self._same = None if isinstance(product, Convolution) else weight.same
        rows, fan = _as_rows(x, product, weight)
        self._pass = kernel.Pass(x.dtype, tuple(rows.shape), rows.stride(), fan)  # type: ignore[arg-type]

    def fits(self, func: Any, args: Any, module: nn.Module, first_input: tuple[int, ...]) -> bool:
        """Whether this is the same layer, called in the same way with the same weight."""
        if module is not self._module or len(args) <= self._weight:
            return False
        x, factor = args[self._input], args[self._weight]
        if x.layout is not _STRIDED or factor.layout is not _STRIDED:
            return False
        seen = (func, x.shape, x.stride(), x.dtype, factor.dtype, *weight_key(factor))
        return (
            seen == self._seen
            and factor._version == self._version
            and first_input == self.first_input
            and args[self._rest :] == self._others
        )

    def run(self, args: Any) -> tuple[Tensor, Any] | None:
        """Sums and numbers of one pass over the input; None if its values have levels to find.

        Raises NotFiniteError if the input holds NaN or infinite values.
        """
        x: Tensor = args[self._input]
        sums, _, found = self._pass.run(x.data_ptr())
        largest, smallest = found[0], found[1]
        if smallest != largest and largest <= (LARGEST_LEVEL + 0.5) * smallest:
            return None
        refuse_not_finite(largest, x.shape)
        return sums, found

    def read(self, sums: Tensor, found: Any) -> tuple[Facts, np.ndarray, np.ndarray]:
        """What a pass saw: of the values, and pairs and non-zero inputs along the leading one."""
        largest, smallest, negative, ones, marked = found
        levels: tuple[float | None, ...] = ()
        if marked:
            levels = (largest if smallest == largest else None,)
        facts = Facts(
            levels,
            self._elements,
            int(marked),
            int(ones),
            negative != 0,
            smallest,
            largest,
            self._tolerance,
            self._bits,
        )
        totals, marks = sums.numpy()
        return facts, totals if self._same is None else marks * self._same, marks


def can_plan(func: Any, args: Any, product: Product, weight: Weight | None) -> bool:
    """Whether a layer is of the kind that plans are for, and its input lies as a pass can run."""
    if func._overloadpacket.__name__ not in _PLACES or weight is None:
        return False
    if not isinstance(product, Convolution) and (weight.reached.shape[0] != 1):
        return False
    x, factor = (args[place] for place in _PLACES[func._overloadpacket.__name__])
    if factor.is_inference() or not x.is_floating_point() or not kernel.takes(x):
        return False
    rows, fan = _as_rows(x, product, weight)
    return rows.data_ptr() == x.data_ptr() and kernel.is_direct(rows, fan)


def _as_rows(x: Tensor, product: Product, weight: Weight) -> tuple[Tensor, Tensor | None]:
    if isinstance(product, Convolution):
        return x.flatten(2), weight.fan(product)
    return x.unsqueeze(1), None if weight.same is not None else weight.reached.int()
