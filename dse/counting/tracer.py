"""The tracer: sees every operator that a model runs, and books what it did under the right module.

It listens below the modules, at PyTorch's dispatcher, so functional calls are seen as layers are.
Global forward hooks tell in which module an operator runs; nothing of the model is changed.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from dse.counting.dataflow import FoundNeurons
from dse.counting.expansions import EXPANSIONS, NoExpansion
from dse.counting.folding import ADDITIONS, folds
from dse.counting.ledger import Ledger
from dse.counting.observe import Observer
from dse.counting.operators import BATCH_NORM, CREATION, ELEMENT_WORK, FREE, KEEPS_DIRECT
from dse.counting.passes import ForwardPass
from dse.counting.plans import Plan, can_plan
from dse.counting.provenance import Constants, Outputs, frozen_constants
from dse.counting.rows import Row
from dse.counting.rules import CONTRACTIONS, RULES, Convolution, Product, Side, Work, elements
from dse.counting.weights import Weights
from dse.errors import NotFiniteError, TracingError

_Handler = Callable[[Any, Any, Any, Any], None]
_OWN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler"})


@dataclass(slots=True)
class _Frame:
    """A module that is running, and how many products of each operator it has made."""

    name: str
    module: nn.Module
    first_input: tuple[int, ...] = ()
    products: dict[str, int] | None = None


class Tracer(TorchDispatchMode):
    """Books into a ledger what `model` does.

    finds_neurons : recognise neurons, declared ones and others by the flow of data
    by_element : decide real tensors element by element
    where : the module that was entered last, for the message of a model that raised
    fault : what the bookkeeping itself raised, which is no fault of the model
    """

    def __init__(
        self, model: nn.Module, ledger: Ledger, *, finds_neurons: bool, by_element: bool
    ) -> None:
        super().__init__()
        self.ledger = ledger
        self.where = ""
        self.fault: Exception | None = None
        self._model = model
        self._names = {id(module): name for name, module in model.named_modules()}
        fixed = (*model.parameters(), *model.buffers(), *frozen_constants(model))
        self._constants = Constants(fixed)
        self._outputs = Outputs()
        self._weights = Weights()
        self._observer = Observer(by_element=by_element)
        self._thread = threading.get_ident()
        self._handlers: dict[Any, _Handler | None] = {}
        self._elements: dict[Any, list[int]] = {}
        self._contracting = 0
        self._declaring: dict[type, bool] = {}
        self._finds_neurons = finds_neurons
        self._by_element = by_element
        self._plans: dict[int, Plan] = {}
        self._begin(samples=1)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # compiled models run as they were written while they are counted (see `snapshot`), so there
        # is no compiler to keep away: PyTorch's guard against it costs as much as the mode itself
        return False

    @contextmanager
    def forward_pass(self, samples: int) -> Iterator[ForwardPass]:
        """Listen to one forward pass over a batch of so many samples; yields what it saw."""
        self._begin(samples)
        with ExitStack() as stack:
            before = register_module_forward_pre_hook(self._enter_module)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._leave_module, always_call=True)
            stack.callback(after.remove)
            stack.callback(self._end)
            stack.enter_context(self)
            yield self._pass

    def found_neurons(self) -> list[FoundNeurons]:
        """The neurons that the last pass showed by its flow of data."""
        return []

    def _begin(self, samples: int) -> None:
        self._pass = ForwardPass(samples, len(self.ledger.batches))
        self._frames = [_Frame("", self._model)]
        self._call_numbers: Counter[str] = Counter()
        self._place = 0
        self._was_folded = False
        self._neurons_running = 0
        self._weights.new_pass()

    def _end(self) -> None:
        self._outputs.clear()
        self._observer.forget()
        for func, (calls, size) in self._elements.items():
            self.ledger.add_element_work(_qualified(func), calls, size)
        self._elements.clear()

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() != self._thread:
            if id(module) in self._names:
                name = self._names[id(module)]
                raise TracingError(f"{name} runs in a thread of its own, where nobody counts")
            return
        name = self._names.get(id(module))
        if name is None:
            name = f"{self._frames[-1].name}/{type(module).__name__}"
        first = args[0] if args else None
        shape = first.shape if isinstance(first, Tensor) else ()
        self._frames.append(_Frame(name, module, shape))
        self.where = name
        if self._declares_neurons(module):
            self._neurons_running += 1
            if self._finds_neurons:
                self.ledger.neuron_row(name)  # its place in the order of things

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        frame = self._frames.pop()
        if not self._neurons_running or not self._declares_neurons(module):
            return
        self._neurons_running -= 1
        if (
            self._finds_neurons
            and isinstance(output, Tensor)
            and args
            and isinstance(args[0], Tensor)
        ):
            with _disable_current_modes():  # the bookkeeping's operators are not the model's
                source = self._outputs.row(args[0])
                self._pass.see_neurons(frame.name, module, args[0], output, source)

    def _declares_neurons(self, module: nn.Module) -> bool:
        kind = type(module)
        if kind not in self._declaring:
            self._declaring[kind] = hasattr(kind, "neuron_events")
        return self._declaring[kind]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        try:
            handle = self._handlers[func]
        except KeyError:
            handle = self._handlers[func] = self._handler(func)
        if handle is None:
            return self._decomposed(func, args, kwargs)
        output = func(*args, **kwargs)
        try:
            if torch._C._len_torch_dispatch_stack():  # somebody else listens: not to this
                with _disable_current_modes():
                    handle(func, args, kwargs, output)
            else:
                handle(func, args, kwargs, output)
        except Exception as error:
            self.fault = error
            raise
        return output

    def _handler(self, func: Any) -> _Handler | None:
        """What to do with an operator, decided when it is met for the first time."""
        packet, name = func._overloadpacket, _qualified(func)
        handle: _Handler
        if packet in RULES:
            handle = self._see_product
        elif packet in EXPANSIONS:
            handle = self._see_fused
        elif _is_composite(func):
            return None
        elif not any("Tensor" in str(argument.type) for argument in func._schema.arguments):
            handle = _see_nothing
        elif name in KEEPS_DIRECT:
            handle = self._see_view
        elif name in CREATION:
            handle = _see_nothing
        elif name in FREE:
            handle = self._see_free
        elif name == "mul":
            handle = self._see_mul
        elif name in BATCH_NORM or name in ADDITIONS:
            handle = functools.partial(self._see_affine, name)
        elif name in ELEMENT_WORK:
            handle = self._see_element
        else:
            handle = self._see_unknown
        return self._writing(func, handle) if func._schema.is_mutable else handle

    def _decomposed(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Composite operators arrive whole under inference mode; they are seen as their parts."""
        is_contraction = func._overloadpacket in CONTRACTIONS
        self._contracting += is_contraction
        try:
            with self:
                return func.decompose(*args, **kwargs)
        finally:
            self._contracting -= is_contraction

    def _writing(self, func: Any, handle: _Handler) -> _Handler:
        """The handler of an operator that writes into its arguments."""
        written = [
            (index, argument.name)
            for index, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]

        def see(func: Any, args: Any, kwargs: Any, output: Any) -> None:
            is_constant = self._constants.are_all(args, kwargs)
            self._was_folded = False
            handle(func, args, kwargs, output)
            self._observer.forget()
            for index, name in written:
                value = args[index] if index < len(args) else kwargs.get(name)
                for tensor in tree_leaves(value):
                    if not isinstance(tensor, Tensor):
                        continue
                    if not self._was_folded:
                        self._outputs.drop(tensor)
                    if self._constants.is_lasting(tensor):
                        self._weights.forget()
                        self._plans.clear()
                    if not is_constant:
                        self._constants.write(tensor)

        return see

    def _see_view(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """What only moves or renames values leaves a layer's output what it was."""
        source = args[0] if args else None
        row = self._outputs.row(source)
        if row is not None and isinstance(output, Tensor):
            self._outputs.add(output, row)
        elif self._constants.are_all(args, kwargs):
            self._constants.add(output)

    def _see_free(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)

    def _see_element(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Arithmetic on single elements: its calls and its output elements."""
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)
        elif not self._neurons_running:  # canonical events stand for a neuron's element-wise work
            self._add_element_work(func, output)

    def _add_element_work(self, func: Any, output: Any) -> None:
        first = output if isinstance(output, Tensor) else None
        if first is None:
            first = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
        size = 0 if first is None else first.numel()
        found = self._elements.get(func)
        if found is None:
            self._elements[func] = [1, size]
        else:
            found[0] += 1
            found[1] += size

    def _see_mul(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """An element-wise product; einsum makes one where it contracts over one element alone."""
        if all(isinstance(factor, Tensor) for factor in args[:2]) and self._is_contracting():
            self._see_product(func, args, kwargs, output)
        else:
            self._see_element(func, args, kwargs, output)

    def _is_contracting(self) -> bool:
        # the frames: this, the handler, the dispatch, and what called the operator
        return self._contracting > 0 or sys._getframe(3).f_code in _CONTRACTION_CODES

    def _see_affine(self, name: str, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Fold an affine map of a layer's very output into the layer: batch-norm, or its bias."""
        source = self._outputs.row(args[0])
        if source is None and len(args) > 1:
            source = self._outputs.row(args[1])
        if source is not None and self._fold(name, args, source):
            tensor = output if isinstance(output, Tensor) else output[0]
            self._outputs.add(tensor, source)
            self._was_folded = True
            return
        self._see_element(func, args, kwargs, output)

    def _fold(self, name: str, args: Any, source: str) -> bool:
        row = self.ledger.rows[source]
        if not isinstance(row, Row) or row.weight is None:
            return False
        folded = folds(name, args, row.geometry.c_out, row.operator, self._constants.has)
        if folded == "bias":
            row.has_bias = True
        elif folded == "batch-norm":
            row.folded[self._frames[-1].name] = None
            self.ledger.assume("batch-norm of a layer's output is folded into that layer")
        return folded is not None

    def _see_unknown(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)
            return
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        shapes = tuple(() if tensor.is_nested else tuple(tensor.shape) for tensor in tensors)
        name = str(func._overloadpacket)
        self.ledger.uncounted[name].append((self._frames[-1].name, shapes))

    def _see_fused(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Run what a fused operator hides a second time, in the open, and count that."""
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)
            return
        try:
            with self:
                EXPANSIONS[func._overloadpacket](*args, **kwargs)
        except NoExpansion:
            self._see_unknown(func, args, kwargs, output)

    def _see_product(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        place = self._place
        self._place += 1
        plan = self._plans.get(place)
        if plan is not None and not kwargs and self._follow(plan, func, args, output):
            return
        if not _is_plain(args):
            self._see_unknown(func, args, kwargs, output)
            return
        if kwargs:
            kwargs = {name: value for name, value in kwargs.items() if name != "out"}
        product = RULES.get(func._overloadpacket, elements)(*args, **kwargs, output=output)
        side = self._weight_side(product)
        if side is not None and self._constants.is_weight(
            product.factors[0 if side == "right" else 1]
        ):
            self.ledger.assume(
                f"{self._frames[-1].name or 'the model'}: a product of parameters alone is made "
                "once and not for every sample; it is not counted"
            )
            self._constants.add(output)
            return
        self._look_at(place, func, args, product, side)
        self._outputs.add(output, self._last_row.name)

    def _look_at(
        self, place: int, func: Any, args: Any, product: Product, side: Side | None
    ) -> None:
        """Count a product from its operands, and plan how to do so at the next pass."""
        frame = self._frames[-1]
        self._last_row = row = self._row(product, side)
        if product.bias is not None and self._constants.is_weight(product.bias):
            row.has_bias = True
        is_kept = False
        weight = None
        try:
            if side is not None:
                is_kept = self._constants.is_lasting(product.factors[0 if side == "left" else 1])
                weight = self._weights.of(product, side, is_kept=is_kept)
            sight = self._observer.see(product, side, weight)
        except NotFiniteError as error:
            raise NotFiniteError(f"{row.name}: {error}") from error
        call = self._call_numbers[row.name]
        self._call_numbers[row.name] += 1
        self._pass.see_product(row, call, Work.of(product), sight, frame.first_input)
        if weight is None:
            return
        row.see_weight(weight)
        if (
            is_kept
            and side == "right"
            and not self._by_element
            and can_plan(func, args, product, weight)
        ):
            self._plans[place] = Plan(
                func, args, frame.module, frame.first_input, row, call, product, weight
            )

    def _follow(self, plan: Plan, func: Any, args: Any, output: Any) -> bool:
        """Count a layer as planned, if it is called as it was called before."""
        frame = self._frames[-1]
        row = plan.row
        if plan.call != self._call_numbers[row.name]:
            return False
        if not plan.fits(func, args, frame.module, frame.first_input):
            return False
        try:
            seen = plan.run(args)
        except NotFiniteError as error:
            raise NotFiniteError(f"{row.name}: {error}") from error
        if seen is None:
            return False
        self._pass.see_planned(plan, *seen)
        self._call_numbers[row.name] += 1
        if frame.products is None:
            frame.products = {}
        frame.products[row.operator] = frame.products.get(row.operator, 0) + 1
        self._last_row = row
        self._outputs.add(output, row.name)
        return True

    def _weight_side(self, product: Product) -> Side | None:
        left, right = product.factors
        if self._constants.is_weight(right):
            return "right"
        is_left = not isinstance(product, Convolution) and self._constants.is_weight(left)
        return "left" if is_left else None

    def _row(self, product: Product, side: Side | None) -> Row:
        """The row of a product; a new one on its first call."""
        operator = product.operator if side is None else product.operator_with_weight
        name = self._row_name(operator, side)
        row = self.ledger.rows.get(name)
        if row is None:
            row = self.ledger.rows[name] = Row(name, operator, product.geometry, side)
            row.declare(self._frames[-1].module)
        if not isinstance(row, Row):
            raise TracingError(f"{name}: neurons that also multiply tensors cannot be told apart")
        return row

    def _row_name(self, operator: str, side: Side | None) -> str:
        """The module's path for the product with its own weight; else path and `/operator#k`."""
        frame = self._frames[-1]
        if frame.products is None:
            frame.products = {}
        index = frame.products.get(operator, 0)
        frame.products[operator] = index + 1
        parameters = frame.module._parameters
        is_leaf = not frame.module._modules
        is_own = is_leaf and side is not None and "weight" in parameters
        is_own = is_own and len(frame.products) == 1 and index == 0
        name = (frame.name or operator) if is_own else f"{frame.name}/{operator}#{index}"
        row = self.ledger.rows.get(name)
        # the same place with its factors in other roles, on another call, is another layer
        return name if not isinstance(row, Row) or row.weight == side else f"{name}/{side}"


_CONTRACTION_CODES = frozenset(
    {torch.functional.einsum.__code__, torch.functional.tensordot.__code__}
)


def _see_nothing(func: Any, args: Any, kwargs: Any, output: Any) -> None:
    """New memory, filled with no tensor's values, is data."""


def _qualified(func: Any) -> str:
    """The operator's name; with its namespace if it is not one of PyTorch's own."""
    name: str = func._overloadpacket.__name__
    return name if func.namespace in _OWN_NAMESPACES else f"{func.namespace}.{name}"


def _is_composite(func: Any) -> bool:
    return func._can_decompose() and torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    )


def _is_plain(args: Any) -> bool:
    return not any(
        isinstance(arg, Tensor)
        and (arg.layout is not torch.strided or arg.is_nested or arg.is_complex())
        for arg in args
    )
