"""The tracer: sees every operator that a model runs, and books what it did under the right module.

It listens below the modules, at PyTorch's dispatcher, so functional calls are seen as layers are.
Global forward hooks tell in which module an operator runs; nothing of the model is changed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from dse.counting.activity import Activity, scan, weight_is_binary
from dse.counting.classify import Magnitudes
from dse.counting.fanout import convolution_pairs, matrix_pairs
from dse.counting.ledger import Ledger, NeuronRow, Row
from dse.counting.operators import BATCH_NORM, CREATION, FREE, KEEPS_DIRECT, NOT_PRICED
from dse.counting.provenance import UNKNOWN, Origin, Origins
from dse.counting.rules import CONTRACTIONS, RULES, Convolution, Product, Rule, Side, elements
from dse.errors import NotFiniteError, TracingError


@dataclass(slots=True)
class _Frame:
    """A module that is running, and how many products of each operator it has made."""

    name: str
    module: nn.Module
    first_input: tuple[int, ...] = ()
    products: Counter[str] = field(default_factory=Counter)


class Tracer(TorchDispatchMode):
    """Books into a ledger what `model` does.

    time_steps : T; a leading dimension that is a multiple of T x samples has time folded in,
        the step being its slowest index
    where : the module that was entered last, for the message of a model that raised
    fault : what the bookkeeping itself raised, which is no fault of the model
    """

    def __init__(self, model: nn.Module, ledger: Ledger, time_steps: int) -> None:
        super().__init__()
        self.ledger = ledger
        self.where = ""
        self.fault: Exception | None = None
        self._model = model
        self._time_steps = time_steps
        self._names = {id(module): name for name, module in model.named_modules()}
        self._origins = Origins((*model.parameters(), *model.buffers()))
        self._thread = threading.get_ident()
        self._contractions = _Contractions()
        self._begin(samples=1)

    @contextmanager
    def forward_pass(self, samples: int) -> Iterator[None]:
        """Listen to one forward pass over a batch of so many samples."""
        self._begin(samples)
        with ExitStack() as stack:
            before = register_module_forward_pre_hook(self._enter_module)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._leave_module, always_call=True)
            stack.callback(after.remove)
            stack.enter_context(self._contractions)
            stack.enter_context(self)
            yield

    def _begin(self, samples: int) -> None:
        self._samples = samples
        self._frames = [_Frame("", self._model)]
        self._call_numbers: Counter[str] = Counter()
        self._neurons_running = 0

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        name = self._names.get(id(module), f"{self._frames[-1].name}/{type(module).__name__}")
        if threading.get_ident() != self._thread:
            raise TracingError(f"{name} runs in a thread of its own, where nobody counts")
        first = next((tuple(arg.shape) for arg in args if isinstance(arg, Tensor)), ())
        self._frames.append(_Frame(name, module, first))
        self.where = name
        self._neurons_running += hasattr(module, "neuron_events")

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        frame = self._frames.pop()
        if not hasattr(module, "neuron_events"):
            return
        self._neurons_running -= 1
        if isinstance(output, Tensor) and args and isinstance(args[0], Tensor):
            with _disable_current_modes():  # the bookkeeping's operators are not the model's
                self._book_neurons(frame.name, module, args[0], output)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in RULES and _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        output = func(*args, **kwargs)
        try:
            self._book(func, args, kwargs, output)
        except Exception as error:
            self.fault = error
            raise
        return output

    def _book(self, func: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Book one operator that has run."""
        packet = func._overloadpacket
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        origin = self._origins.joined(inputs)
        rule = self._rule(packet, args, inputs)
        if rule is not None:
            options = {name: value for name, value in kwargs.items() if name != "out"}
            origin = self._book_product(rule(*args, **options, output=output), origin)
        elif packet.__name__ in CREATION:
            origin = UNKNOWN
        elif not origin.is_constant:
            origin = self._book_other(packet, args, inputs, output, origin)
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self._origins.set(leaf, origin)
        if func._schema.is_mutable:
            for tensor in _written(func, args, kwargs):
                self._origins.write(tensor, origin)

    def _rule(self, packet: Any, args: Any, inputs: list[Tensor]) -> Rule | None:
        """The rule of an operator, if there is one and the tensors are what it is made for."""
        if any(t.is_complex() or t.layout is not torch.strided or t.is_nested for t in inputs):
            return None
        if packet is torch.ops.aten.mul and self._contractions.depth and len(inputs) == 2:
            return elements
        return RULES.get(packet)

    def _book_other(
        self, packet: Any, args: Any, inputs: list[Tensor], output: Any, origin: Origin
    ) -> Origin:
        """Book an operator that no rule counts; returns the origin of its output."""
        name = packet.__name__
        if name in KEEPS_DIRECT:
            return origin
        if name in FREE:
            return origin.changed()
        if origin.is_direct and self._folds(name, args, origin):
            return origin
        if name not in NOT_PRICED:
            shapes = tuple(_shape(tensor) for tensor in inputs)
            self.ledger.uncounted[str(packet)].append((self._frames[-1].name, shapes))
        elif not self._neurons_running:  # canonical events stand for a neuron's element-wise work
            first = next((t for t in tree_leaves(output) if isinstance(t, Tensor)), None)
            self.ledger.element_calls[name] += 1
            self.ledger.elements[name] += 0 if first is None else first.numel()
        return origin.changed()

    def _folds(self, name: str, args: Any, origin: Origin) -> bool:
        """Fold an affine map of a layer's very output into the layer: batch-norm, or its bias."""
        [source] = origin.sources
        row = self.ledger.rows[source]
        if not isinstance(row, Row) or row.weight is None:
            return False
        channels = row.geometry.c_out
        if _is_bias(self._origins, name, args, channels):
            row.has_bias = True
            return True
        if name in BATCH_NORM and _is_fixed_batch_norm(name, args, channels, row.operator):
            row.folded.append(self._frames[-1].name)
            self.ledger.assume("batch-norm of a layer's output is folded into that layer")
            return True
        return False

    def _book_product(self, product: Product, origin: Origin) -> Origin:
        if origin.is_constant:
            self.ledger.assume(
                f"{self._frames[-1].name or 'the model'}: a product of parameters alone is made "
                "once and not for every sample; it is not counted"
            )
            return origin
        self.ledger.counted_calls += 1
        weight = self._weight_side(product)
        operator = product.operator if weight is None else product.operator_with_weight
        name = self._row_name(operator, weight)
        row = self.ledger.rows.setdefault(name, Row(name, operator, product.geometry, weight))
        if not isinstance(row, Row):
            raise TracingError(f"{name}: neurons that also multiply tensors cannot be told apart")
        slots = self._slots(product, weight)
        row.is_time_folded &= slots == self._time_steps
        row.is_before_neurons &= not origin.is_after_neurons
        row.dense += product.dense
        row.outputs += product.outputs
        row.has_bias |= product.bias is not None and self._origins.of(product.bias).is_constant
        left_masks, left_nonzero = self._look_at(product, "left", row, weight, slots)
        right_masks, right_nonzero = self._look_at(product, "right", row, weight, slots)
        pairs: dict[Magnitudes, list[int]] = {}
        for right_value, right in right_masks:
            count_pairs = _pair_counter(product, right, slots)
            for left_value, left in left_masks:
                pairs[left_value, right_value] = count_pairs(left)
        nonzero = [a + b for a, b in zip(left_nonzero, right_nonzero, strict=True)]
        row.book(self._call_numbers[name], pairs, nonzero)
        self._call_numbers[name] += 1
        return Origin(
            sources=frozenset({name}), is_direct=True, is_after_neurons=origin.is_after_neurons
        )

    def _look_at(
        self, product: Product, side: Side, row: Row, weight: Side | None, slots: int
    ) -> tuple[list[tuple[float | None, Tensor]], list[int]]:
        """The masks of one factor, and its non-zero elements per slot (none for a weight)."""
        tensor: Tensor = getattr(product, side)
        bits = tensor.element_size() * 8
        try:
            if side == weight:
                mask = tensor != 0
                by_channel = product.by_output_channel(side)
                row.weight_is_binary &= weight_is_binary(by_channel)
                row.has_lone_weights = not bool(((by_channel != 0).sum(dim=1) > 1).any())
                row.weight_bits = bits
                distinct = _distinct(product.factors[0 if side == "left" else 1])
                row.weights = distinct.numel()
                row.nonzero_weights = int((distinct != 0).sum())
                return [(None, mask)], [0] * slots
            activity = scan(tensor)
        except NotFiniteError as error:
            raise NotFiniteError(f"{row.name}: {error}") from error
        (row.left if side == "left" else row.right).see(activity, bits)
        has_steps = side == "left" or tensor.shape[0] > 1
        nonzero = _nonzero_by_slot(activity, slots if has_steps else 1)
        return list(activity.masks), nonzero + [0] * (slots - len(nonzero))

    def _slots(self, product: Product, weight: Side | None) -> int:
        """Into how many time steps the leading dimension of a product falls."""
        steps, samples = self._time_steps, self._samples
        if weight == "left" or product.leading(has_weight=weight is not None) % (steps * samples):
            return 1
        # a linear layer has its tokens folded as well: what it was given tells time from tokens
        shape = self._frames[-1].first_input
        if weight == "right" and product.operator == "matmul" and len(shape) > 2:
            has_time = shape[0] % (steps * samples) == 0 or shape[:2] == (steps, samples)
            return steps if has_time else 1
        return steps

    def _weight_side(self, product: Product) -> Side | None:
        left, right = product.factors
        if self._origins.of(right).is_constant:
            return "right"
        is_left = not isinstance(product, Convolution) and self._origins.of(left).is_constant
        return "left" if is_left else None

    def _row_name(self, operator: str, weight: Side | None) -> str:
        """The module's path for the product with its own weight; else path and `/operator#k`."""
        frame = self._frames[-1]
        index = frame.products[operator]
        frame.products[operator] += 1
        is_leaf = next(frame.module.children(), None) is None
        owns_weight = weight is not None and "weight" in frame.module._parameters
        is_own = is_leaf and owns_weight and frame.products.total() == 1
        name = (frame.name or operator) if is_own else f"{frame.name}/{operator}#{index}"
        row = self.ledger.rows.get(name)
        # the same place with its factors in other roles, on another call, is another layer
        return name if not isinstance(row, Row) or row.weight == weight else f"{name}/{weight}"

    def _book_neurons(self, name: str, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        row = self.ledger.rows.setdefault(name, NeuronRow(name))
        if not isinstance(row, NeuronRow):
            raise TracingError(f"{name}: neurons that also multiply tensors cannot be told apart")
        events: Callable[[Tensor, Tensor], dict[str, int]] = getattr(module, "neuron_events")  # noqa: B009
        counted = Counter(events(inputs, output))
        row.neurons += counted.pop("neurons", 0)
        row.events.update(counted)
        activity = scan(output)
        is_unit = not activity.is_real and len(activity.values) <= 1
        row.is_spiking &= is_unit and (activity.has_zero or not activity.is_signed)
        slots = self._time_steps if output.numel() % self._time_steps == 0 else 1
        row.book(_nonzero_by_slot(activity, slots), sorted(self._origins.of(inputs).sources))
        self._origins.set(output, Origin(sources=frozenset({name}), is_after_neurons=True))


class _Contractions(TorchFunctionMode):
    """Knows when a contraction such as einsum runs, which may multiply element by element."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        is_contraction = func in CONTRACTIONS
        self.depth += is_contraction
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.depth -= is_contraction


def _pair_counter(product: Product, right: Tensor, slots: int) -> Callable[[Tensor], list[int]]:
    """Counts the pairs of marked positions of a product, per slot, for the marks on its right."""
    if isinstance(product, Convolution):
        reaches, taps = product.reaches(), product.weight_taps(right)
        return lambda left: convolution_pairs(left, reaches, taps, slots)
    return lambda left: matrix_pairs(left, right, slots)


def _is_composite(func: Any) -> bool:
    """Composite operators arrive whole under inference mode; they are seen as their parts."""
    return func._can_decompose() and torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    )


def _is_bias(origins: Origins, name: str, args: Any, channels: int) -> bool:
    """An addition of one parameter per output channel."""
    if name not in ("add", "add_") or len(args) < 2:
        return False
    constants = [arg for arg in args[:2] if isinstance(arg, Tensor) and origins.of(arg).is_constant]
    return len(constants) == 1 and constants[0].shape == (channels,)


def _is_fixed_batch_norm(name: str, args: Any, channels: int, operator: str) -> bool:
    """Batch-norm over a layer's output channels with running statistics: an affine map."""
    x = args[0]
    channel_dim_is_second = x.dim() == 2 or operator == "convolution"
    if not channel_dim_is_second or x.dim() < 2 or x.shape[1] != channels:
        return False
    if name == "_native_batch_norm_legit_no_training":
        return True
    has_statistics = len(args) > 5 and isinstance(args[3], Tensor)
    return has_statistics and args[5] is False


def _written(func: Any, args: Any, kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The arguments that an operator writes into."""
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[index] if index < len(args) else kwargs.get(argument.name)
            yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _distinct(weight: Tensor) -> Tensor:
    """The weight without the dimensions that only repeat it."""
    for dimension, (size, stride) in enumerate(zip(weight.shape, weight.stride(), strict=True)):
        if stride == 0 and size > 1:
            weight = weight.narrow(dimension, 0, 1)
    return weight


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape, as far as the tensor has one: nested tensors have none."""
    return () if tensor.is_nested else tuple(tensor.shape)


def _nonzero_by_slot(activity: Activity, slots: int) -> list[int]:
    totals = [0] * slots
    for _, mask in activity.masks:
        for slot, count in enumerate(mask.reshape(slots, -1).sum(dim=1).tolist()):
            totals[slot] += count
    return totals
