"""Products: looks at each product of tensors, and books it under the row of its layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor

from dse.counting.frames import Frames
from dse.counting.ledger import Ledger
from dse.counting.observe import Observer
from dse.counting.passes import ForwardPass
from dse.counting.plans import Plan, can_plan, weight_key
from dse.counting.provenance import Constants
from dse.counting.rows import Row
from dse.counting.rules import Convolution, Product, Side, Work
from dse.counting.weights import Weights
from dse.errors import NotFiniteError, TracingError


class Products:
    """Counts the products of one model, and plans what comes again at the next pass.

    by_element : decide real tensors element by element
    declared_bits : widths of the factors of a fused operator that is being expanded
    hidden_in : the fused operator of the model that is being expanded, or nothing
    """

    def __init__(
        self, ledger: Ledger, frames: Frames, constants: Constants, *, by_element: bool
    ) -> None:
        self._ledger = ledger
        self._frames = frames
        self._constants = constants
        self._by_element = by_element
        self.declared_bits: tuple[int | None, int | None] = (None, None)
        self.hidden_in = ""
        self._observer = Observer(by_element=by_element)
        self._weights = Weights()
        self._plans: dict[int, Plan] = {}
        self.begin(ForwardPass(1, 0))

    def begin(self, forward_pass: ForwardPass) -> None:
        """Before a forward pass, which collects what is seen."""
        self._pass = forward_pass
        self._call_numbers: Counter[str] = Counter()
        self._place = -1
        self._weights.new_pass()

    def forget_input(self) -> None:
        """Somebody has written into some memory, or the pass is over."""
        self._observer.forget()

    def forget_weights(self) -> None:
        """Somebody has written into a weight."""
        self._weights.forget()
        self._plans.clear()

    def follow_plan(self, func: Any, args: Any) -> Row | None:
        """Count a layer as planned, if it is called as it was called before; else None."""
        self._place += 1
        plan = self._plans.get(self._place)
        if plan is None:
            return None
        frame = self._frames.innermost
        row = plan.row
        if plan.call != self._call_numbers[row.name]:
            return None
        if not plan.fits(func, args, frame.module, frame.first_input):
            return None
        try:
            seen = plan.run(args)
        except NotFiniteError as error:
            raise NotFiniteError(f"{row.name}: {error}") from error
        if seen is None:
            return None
        self._pass.see_planned(plan, *seen)
        self._call_numbers[row.name] += 1
        if frame.row_with(row.operator, plan.address) is None:
            frame.number(row.operator)
            frame.keep(row.operator, plan.address, row.name)
        return row

    def look(self, func: Any, args: Any, product: Product, side: Side | None) -> Row:
        """Count a product from its operands, and plan how to do so at the next pass."""
        frame = self._frames.innermost
        factor = None if side is None else product.factors[0 if side == "left" else 1]
        is_kept = factor is not None and self._constants.is_lasting(factor)
        address = weight_key(factor) if factor is not None and is_kept else None
        row = self._row(func, product, side, address)
        if product.bias is not None and self._constants.is_weight(product.bias):
            row.has_bias = True
        weight = None
        try:
            if side is not None:
                weight = self._weights.of(product, side, is_kept=is_kept)
            sight = self._observer.see(product, side, weight)
        except NotFiniteError as error:
            raise NotFiniteError(f"{row.name}: {error}") from error
        call = self._call_numbers[row.name]
        self._call_numbers[row.name] += 1
        self._pass.see_product(row, call, Work.of(product), sight, frame.first_input)
        closer = self._pass.closer
        if closer is not None:
            closer.see_product(row, call, product, sight)
        if weight is None:
            return row
        row.see_weight(weight)
        can = is_kept and side == "right" and not self._by_element and closer is None
        if can and can_plan(func, args, product, weight):
            self._plans[self._place] = Plan(
                func, args, frame.module, frame.first_input, row, call, product, weight
            )
        return row

    def weight_side(self, product: Product) -> Side | None:
        """Which factor is a weight: made of parameters alone."""
        left, right = product.factors
        if self._constants.is_weight(right):
            return "right"
        is_left = not isinstance(product, Convolution) and self._constants.is_weight(left)
        return "left" if is_left else None

    def is_constant(self, product: Product, side: Side | None) -> bool:
        """Both factors are made of parameters alone."""
        other: Tensor = product.factors[1 if side == "left" else 0]
        return side is not None and self._constants.is_weight(other)

    def _row(self, func: Any, product: Product, side: Side | None, address: Any | None) -> Row:
        """The row of a product; a new one on its first call.

        address : of a weight that stays: the same one in the same module is the same layer
        """
        operator = product.operator if side is None else product.operator_with_weight
        frame = self._frames.innermost
        name = None if address is None else frame.row_with(operator, address)
        if name is None:
            name = self._row_name(operator, side)
            if address is not None:
                frame.keep(operator, address, name)
        row = self._ledger.rows.get(name)
        if row is None:
            made_by = self.hidden_in or func._overloadpacket.__name__
            row = self._ledger.rows[name] = Row(name, operator, product.geometry, side, made_by)
            row.declare(frame.module, self.declared_bits)
        if not isinstance(row, Row):
            raise TracingError(f"{name}: neurons that also multiply tensors cannot be told apart")
        return row

    def _row_name(self, operator: str, side: Side | None) -> str:
        """The module's path for the product with its own weight; else path and `/operator#k`."""
        frame = self._frames.innermost
        index = frame.number(operator)
        parameters = frame.module._parameters
        is_leaf = not frame.module._modules
        is_own = is_leaf and side is not None and "weight" in parameters
        is_own = is_own and frame.products == {operator: 1}
        name = (frame.name or operator) if is_own else f"{frame.name}/{operator}#{index}"
        row = self._ledger.rows.get(name)
        # the same place with its factors in other roles, on another call, is another layer
        return name if not isinstance(row, Row) or row.weight == side else f"{name}/{side}"
