"""The tracer: sees every operator that a model runs, and books what it did under the right module.

It listens below the modules, at PyTorch's dispatcher, so functional calls are seen as layers are.
Global forward hooks tell in which module an operator runs; nothing of the model is changed.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from dse.counting.calls import (
    COMPOSITE,
    is_composite,
    is_dense,
    is_plain,
    qualified,
    tensors,
    written,
)
from dse.counting.contractions import dense_call
from dse.counting.dataflow import FoundNeurons
from dse.counting.expansions import BITS, EXPANSIONS, UNPACKED_WEIGHTS
from dse.counting.folding import ADDITIONS, folds
from dse.counting.frames import Frames
from dse.counting.ledger import Ledger
from dse.counting.operators import BATCH_NORM, CREATION, ELEMENT_WORK, FREE, KEEPS_DIRECT
from dse.counting.passes import ForwardPass
from dse.counting.products import Products
from dse.counting.provenance import Constants, Outputs, frozen_constants
from dse.counting.rows import Row
from dse.counting.rules import CONTRACTIONS, RULES, elements
from dse.counting.tape import Tape
from dse.errors import ExpansionRefused

_Handler = Callable[[Any, Any, Any, Any], None]


class Tracer(TorchDispatchMode):
    """Books into a ledger what `model` does.

    finds_neurons : recognise neurons, declared ones and others by the flow of data
    by_element : decide real tensors element by element
    fault : what the bookkeeping itself raised, which is no fault of the model
    """

    def __init__(
        self, model: nn.Module, ledger: Ledger, *, finds_neurons: bool, by_element: bool
    ) -> None:
        super().__init__()
        self.ledger = ledger
        self.fault: Exception | None = None
        fixed = (*model.parameters(), *model.buffers(), *frozen_constants(model))
        self._constants = Constants(fixed)
        self._frames = Frames(model, self._on_neurons, finds_neurons=finds_neurons)
        self._products = Products(ledger, self._frames, self._constants, by_element=by_element)
        self._outputs = Outputs()
        self._handlers: dict[Any, _Handler | None] = {}
        self._elements: dict[Any, list[int]] = {}
        self._contracting = 0
        self._was_folded = False
        self._finds_neurons = finds_neurons
        self._tape: Tape | None = None
        self._row: str | None = None
        self._in_the_open = 0

    def raised_in(self, error: BaseException) -> str:
        """The module that raised an exception; empty for the model itself."""
        raised = self._frames.raised
        return raised[1] if raised is not None and raised[0] is error else ""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # compiled models run as they were written while they are counted (see `snapshot`), so there
        # is no compiler to keep away: PyTorch's guard against it costs as much as the mode itself
        return False

    @contextmanager
    def forward_pass(self, samples: int, time_steps: int | None = None) -> Iterator[ForwardPass]:
        """Listen to a pass over so many samples (and steps, if known); yields what it saw."""
        # leading size of what is computed at each time step, 0 if unknown
        self._folded_rows: int = samples * time_steps if time_steps and time_steps > 1 else 0
        batch, looks_closer = len(self.ledger.batches), self.ledger.looks_closer
        self._pass = ForwardPass(samples, batch, looks_closer=looks_closer)
        self._tape = Tape(self._constants.given) if self._finds_neurons else None
        self._frames.begin()
        self._products.begin(self._pass)
        with ExitStack() as stack:
            stack.enter_context(self._frames.listening(self._pass.on_module))
            stack.callback(self._end)
            stack.enter_context(self)
            yield self._pass

    def see_output(self, output: Any) -> None:
        """Show what the model returned: spikes that leave it are no masks that nobody reads."""
        if self._tape is not None:
            self._tape.opaque("output", tensors(output), [])
        self._frames.refuse_strayed()

    def found_neurons(self) -> list[FoundNeurons]:
        """The neurons that the last pass showed by its flow of data."""
        if self._tape is None:
            return []
        tape, self._tape = self._tape, None
        found = tape.neurons()
        for doubt in tape.doubts:
            self.ledger.assume(doubt)
        return found

    def _end(self) -> None:
        if self._constants.was_read_before_written:
            self.ledger.warn(
                "a buffer entered a product before data were written into it: that product was "
                "taken as one of parameters alone, and is not counted; make the state of a plain "
                "tensor"
            )
        self._outputs.clear()
        self._products.forget_input()
        for func, (calls, size, folded) in self._elements.items():
            self.ledger.add_element_work(qualified(func), calls, size, folded)
        self._elements.clear()

    def _on_neurons(self, name: str, module: nn.Module, *tensors: Tensor) -> None:
        """A module that declares its neurons begins, or has made its output of its input."""
        self.ledger.neuron_row(name)  # its place in the order of things
        if tensors:
            inputs, output = tensors
            with _disable_current_modes():  # the bookkeeping's operators are not the model's
                source = self._outputs.row(inputs)
                self._pass.see_neurons(name, module, inputs, output, source)
                if self._tape is not None and not self._in_the_open:
                    self._tape.opaque(name, [inputs], [output])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if kwargs is None:
            kwargs = _NOTHING
        try:
            handle = self._handlers[func]
        except KeyError:
            handle = self._handlers[func] = self._handler(func)
        if handle is None:
            return self._decomposed(func, args, kwargs)
        output = func(*args, **kwargs)
        try:
            if _modes_left():  # somebody else listens: not to this
                with _disable_current_modes():
                    self._see(handle, func, args, kwargs, output)
            elif self._tape is None:
                handle(func, args, kwargs, output)
            else:
                self._see(handle, func, args, kwargs, output)
        except Exception as error:
            self.fault = error
            raise
        return output

    def _see(self, handle: _Handler, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Book an operator, and record it for the search for neurons."""
        self._row = None
        handle(func, args, kwargs, output)
        if self._tape is None or self._in_the_open or self._frames.neurons_running:
            return
        if func._overloadpacket in EXPANSIONS:
            name = self._row or self._frames.innermost.name or qualified(func)
            self._tape.opaque(name, tensors((args, kwargs)), tensors(output))
        else:
            module = self._frames.innermost.name
            self._tape.see(func, args, kwargs, output, module, self._row)

    def _handler(self, func: Any) -> _Handler | None:
        """What to do with an operator, decided when it is met for the first time."""
        packet, name = func._overloadpacket, qualified(func)
        handle: _Handler
        if packet in RULES:
            handle = self._see_product
        elif packet in EXPANSIONS:
            handle = self._see_fused
        elif packet in UNPACKED_WEIGHTS:
            handle = self._see_unpacked
        elif is_composite(func):
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
                # PyTorch's own parts, as they run without us: `decompose` may know others
                return func._op_dk(COMPOSITE, *args, **kwargs)
        finally:
            self._contracting -= is_contraction

    def _writing(self, func: Any, handle: _Handler) -> _Handler:
        """The handler of an operator that writes into its arguments."""
        places = written(func)

        def see(func: Any, args: Any, kwargs: Any, output: Any) -> None:
            is_constant = self._constants.are_all(args, kwargs)
            self._was_folded = False
            handle(func, args, kwargs, output)
            self._products.forget_input()
            for index, name in places:
                value = args[index] if index < len(args) else kwargs.get(name)
                for tensor in tensors(value):
                    if not self._was_folded:
                        self._outputs.drop(tensor)
                    if self._constants.is_lasting(tensor):
                        self._products.forget_weights()
                    if not is_constant:
                        self._constants.write(tensor)

        return see

    # the first argument tells most operators on data from those on parameters: one look

    def _see_view(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """What only moves or renames values leaves a layer's output what it was."""
        source = args[0] if args else None
        if id(source) in self._outputs.known and isinstance(output, Tensor):
            row = self._outputs.row(source)
            if row is not None:
                self._outputs.add(output, row)
                return
        self._see_free(func, args, kwargs, output)

    def _see_free(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        first = args[0] if args else None
        if type(first) is list and first:  # as stack and cat have it
            first = first[0]
        if type(first) is Tensor and id(first) not in self._constants.known:
            return
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)

    def _see_element(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Arithmetic on single elements: its calls and its output elements."""
        first = args[0] if args else None
        is_data = type(first) is Tensor and id(first) not in self._constants.known
        if not is_data and self._constants.are_all(args, kwargs):
            self._constants.add(output)
            return
        if self._frames.neurons_running:  # canonical events stand for a neuron's element-wise work
            return
        made = output if type(output) is Tensor else next(iter(tensors(output)), None)
        size = 0 if made is None else made.numel()
        try:
            found = self._elements[func]
        except KeyError:
            found = self._elements[func] = [0, 0, 0]
        found[0] += 1
        found[1] += size
        if made is not None and self._folded_rows and made.shape[:1] == (self._folded_rows,):
            found[2] += size

    def _see_mul(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """An element-wise product; einsum makes one where it contracts over one element alone."""
        if all(isinstance(factor, Tensor) for factor in args[:2]) and self._is_contracting():
            self._see_product(func, args, kwargs, output)
            return
        self._see_element(func, args, kwargs, output)
        sizes = [factor.numel() for factor in args[:2] if isinstance(factor, Tensor)]
        if len(sizes) == 2 and min(sizes) > 1 and output.numel() > max(sizes):
            self.ledger.warn(
                f"{self._frames.innermost.name or 'the model'}: an element-wise product spreads "
                "two tensors over one another, as a matrix product written by hand does: it is "
                "listed as element-wise work and not counted"
            )

    def _is_contracting(self) -> bool:
        # the frames: this, the handler, one or two of the dispatch, and what called the operator
        callers = sys._getframe(3).f_code, sys._getframe(4).f_code
        return self._contracting > 0 or any(code in _CONTRACTION_CODES for code in callers)

    def _see_affine(self, name: str, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Fold an affine map of a layer's very output into the layer: batch-norm, or its bias."""
        known = self._outputs.known
        source = self._outputs.row(args[0]) if id(args[0]) in known else None
        if source is None and len(args) > 1 and id(args[1]) in known:
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
            row.folded[self._frames.innermost.name] = None
            self.ledger.assume("batch-norm of a layer's output is folded into that layer")
        return folded is not None

    def _see_unknown(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)
            return
        read = tensors((args, kwargs))
        shapes = tuple(() if tensor.is_nested else tuple(tensor.shape) for tensor in read)
        name = str(func._overloadpacket)
        self.ledger.uncounted[name].append((self._frames.innermost.name, shapes))

    def _see_fused(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Run what a fused operator hides a second time, in the open, and count that."""
        if self._constants.are_all(args, kwargs):
            self._constants.add(output)
            return
        self._run_in_the_open(EXPANSIONS[func._overloadpacket], func, args, kwargs, output)

    def _run_in_the_open(
        self, expansion: Any, func: Any, args: Any, kwargs: Any, output: Any
    ) -> None:
        outer = self._products.declared_bits, self._products.hidden_in
        self._products.declared_bits = BITS.get(func._overloadpacket, outer[0])
        self._products.hidden_in = outer[1] or qualified(func)
        self._in_the_open += 1
        try:
            with self:
                expansion(*args, **kwargs)
        except ExpansionRefused:
            self._see_unknown(func, args, kwargs, output)
        finally:
            self._in_the_open -= 1
            self._products.declared_bits, self._products.hidden_in = outer

    def _see_unpacked(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Parameters that come out of an opaque object."""
        self._constants.add(output)

    def _see_product(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        row = None if kwargs else self._products.follow_plan(func, args)
        if row is None:
            row = self._look_at(func, args, kwargs, output)
        if row is not None:
            self._row = row.name
            self._outputs.add(output, row.name)

    def _look_at(self, func: Any, args: Any, kwargs: Any, output: Any) -> Row | None:
        if not is_plain(args):
            self._see_unknown(func, args, kwargs, output)
            return None
        if not is_dense(args):
            self._run_in_the_open(dense_call(func), func, args, kwargs, output)
            return None
        if kwargs:
            kwargs = {name: value for name, value in kwargs.items() if name != "out"}
        product = RULES.get(func._overloadpacket, elements)(*args, **kwargs, output=output)
        side = self._products.weight_side(product)
        if self._products.is_constant(product, side):
            self.ledger.assume(
                f"{self._frames.innermost.name or 'the model'}: a product of parameters alone is "
                "made once and not for every sample; it is not counted"
            )
            self._constants.add(output)
            self._constants.read_as_weights(*product.factors)
            return None
        return self._products.look(func, args, product, side)


_NOTHING: dict[str, Any] = {}
_modes_left = torch._C._len_torch_dispatch_stack
_CONTRACTION_CODES = frozenset(
    {torch.functional.einsum.__code__, torch.functional.tensordot.__code__}
)


def _see_nothing(func: Any, args: Any, kwargs: Any, output: Any) -> None:
    """New memory, filled with no tensor's values, is data."""
