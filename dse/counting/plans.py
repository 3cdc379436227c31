"""Plans: a layer that is called again as it was called before is counted without thinking again.

A plan belongs to one place in the order of a forward pass. It holds what follows from shapes and
weights alone; if anything of that differs at the next pass, the layer is looked at anew.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dse.counting import kernel
from dse.counting.activity import LARGEST_LEVEL, Facts, Marks, refuse_not_finite, rounding
from dse.counting.observe import Sight
from dse.counting.rows import Row
from dse.counting.rules import Convolution, Product, Work
from dse.counting.weights import Weight

# where input and weight stand among the arguments
_PLACES = {"convolution": (0, 1), "addmm": (1, 2), "mm": (0, 1)}


class Plan:
    """How to count one layer with a weight on its right, at one place of a forward pass."""

    __slots__ = (
        "_bits",
        "_elements",
        "_input",
        "_module",
        "_others",
        "_pass",
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
        self._seen = (func, x.shape, x.stride(), x.dtype, factor.data_ptr(), factor.stride())
        self._version = factor._version
        self.address = factor.data_ptr()
        self._others = _others(args)
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
        if x.layout is not torch.strided or factor.layout is not torch.strided:
            return False
        seen = (func, x.shape, x.stride(), x.dtype, factor.data_ptr(), factor.stride())
        return (
            seen == self._seen
            and factor._version == self._version
            and first_input == self.first_input
            and _others(args) == self._others
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

    def sight(self, sums: Tensor, found: Any) -> Sight:
        """What a pass saw, in the words of any other product."""
        largest, smallest, negative, ones, marked = found
        levels: tuple[float | None, ...] = ()
        if marked:
            levels = (largest if smallest == largest else None,)
        facts = Facts(
            levels=levels,
            elements=self._elements,
            nonzero=int(marked),
            units=int(ones),
            is_signed=negative != 0,
            smallest=smallest,
            largest=largest,
            tolerance=self._tolerance,
            bits=self._bits,
        )
        totals, marks = sums.numpy()
        if self._same is not None:
            totals = marks * self._same
        kept = len(levels)
        origin = (self._elements, self._bits, self._tolerance)
        left = Marks(facts, None, marks[None][:kept], None, origin)
        return Sight(left, None, totals[None, None][:kept], len(marks))


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


def _others(args: Any) -> list[Any]:
    """What is no tensor: strides, paddings and the like."""
    return [arg for arg in args if not isinstance(arg, Tensor)]
