"""What flowed into every product of a model, seen by hooks and put into its count document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from energy_models import LayerCounts, ModelCounts, ModuleCounts, OperandCounts

aten = torch.ops.aten
_FACTORS = {aten.convolution: 0, aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1}
Call = list[tuple[Tensor, int]]  # data operands, each with the products that its non-zeros enter


class Observer(TorchDispatchMode):
    """Keeps the data operands of every product, by the name that the counter gives its row."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.calls: dict[str, list[Call]] = defaultdict(list)
        self.modules: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._model = model
        self._names = {module: name for name, module in model.named_modules()}
        kept = (*model.parameters(), *model.buffers())
        self._constants = {tensor.untyped_storage().data_ptr() for tensor in kept}
        self._frames: list[tuple[nn.Module, Counter[str]]] = []

    def run(self, *inputs: Tensor) -> None:
        """One forward pass, observed."""
        handles = []
        for module in self._names:
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave))
        with torch.no_grad(), self:
            self._model(*inputs)
        for handle in handles:
            handle.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._frames.append((module, Counter()))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._frames.pop()
        first = output[0] if isinstance(output, tuple) else output
        self.modules[self._names[module]].append((args[0].detach().clone(), first.detach()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func._overloadpacket in _FACTORS:
            start = _FACTORS[func._overloadpacket]
            factors = args[start : start + 2]
            data = [t.untyped_storage().data_ptr() not in self._constants for t in factors]
            self.calls[self._row(func._overloadpacket, data)].append(
                [
                    (factor.detach().clone(), _reached(func, args, start, side))
                    for side, factor in enumerate(factors)
                    if data[side]
                ]
            )
        return output

    def _row(self, packet: Any, data: list[bool]) -> str:
        module, products = self._frames[-1]
        operator = "convolution" if packet is aten.convolution else "linear"
        operator = "matmul" if all(data) and operator == "linear" else operator
        index = products[operator]
        products[operator] += 1
        is_own = next(module.children(), None) is None and "weight" in module._parameters
        name = self._names[module]
        return (name or operator) if is_own and not index else f"{name}/{operator}#{index}"


def complete(
    counts: ModelCounts, model: nn.Module, batches: Sequence[Tensor], *, by_call: bool = True
) -> ModelCounts:
    """The document with everything the conventions ask for, as hooks see it.

    by_call : the values of each call are told apart; only for one batch
    """
    observer = Observer(model)
    for batch in batches:
        observer.run(batch)
    by_call = by_call and len(batches) == 1
    layers = tuple(
        row
        if row.operator == "neuron"
        else _with_operands(row, observer.calls[row.name], counts.samples, by_call)
        for row in counts.layers
    )
    found = dict(model.named_modules())
    return replace(
        counts,
        batches=len(batches),
        layers=layers,
        modules=tuple(
            _module(name, found[name], seen, counts.samples)
            for name, seen in observer.modules.items()
        ),
    )


def operand(tensors: Sequence[Tensor], samples: int, reached: int | None = None) -> OperandCounts:
    """What some tensors held, per sample."""
    values = torch.cat([tensor.flatten() for tensor in tensors]).double()
    magnitudes = values.abs()
    found = magnitudes[magnitudes > 0].unique().tolist()
    kind = "unit" if len(found) <= 1 else "small-integers" if _are_small(found) else "real"
    return OperandCounts(
        kind=kind,
        elements=values.numel() / samples,
        nonzero=int((values != 0).sum()) / samples,
        levels=() if kind == "real" else tuple(found),
        is_signed=bool((values < 0).any()),
        bits=32,
        smallest=min(found, default=0.0),
        largest=max(found, default=0.0),
        magnitude=float(magnitudes.sum()) / samples,
        reached=None if reached is None else reached / samples,
    )


def _with_operands(row: LayerCounts, calls: list[Call], samples: int, by_call: bool) -> LayerCounts:
    merged = tuple(_merged(side, samples) for side in zip(*calls, strict=True))
    if not by_call:
        return replace(row, operands=merged)
    told = tuple(tuple(_merged([side], samples) for side in call) for call in calls)
    return replace(row, operands=merged, call_operands=told)


def _merged(side: Sequence[tuple[Tensor, int]], samples: int) -> OperandCounts:
    return operand([t for t, _ in side], samples, sum(reached for _, reached in side))


def _module(
    name: str, module: nn.Module, seen: list[tuple[Tensor, Tensor]], samples: int
) -> ModuleCounts:
    bases = [base for base in type(module).__mro__ if issubclass(base, nn.Module)]
    return ModuleCounts(
        name=name,
        classes=tuple(f"{base.__module__}.{base.__qualname__}" for base in bases[:-1]),
        elements_in=sum(given.numel() for given, _ in seen) / samples,
        elements_out=sum(made.numel() for _, made in seen) / samples,
        has_weight=getattr(module, "weight", None) is not None,
        inputs=tuple(operand([given], samples) for given, _ in seen),
    )


def _are_small(found: list[float]) -> bool:
    steps = [found[0] / divisor for divisor in range(1, 9)]
    return any(
        all(abs(v / step - round(v / step)) < 1e-6 and v / step < 8.5 for v in found)
        for step in steps
    )


def _reached(func: Any, args: Any, start: int, side: int) -> int:
    """Products that the non-zeros of one factor enter if the other were all ones."""
    changed = list(args)
    for index in (0, 1):
        factor = args[start + index].double()
        changed[start + index] = (factor != 0).double() if index == side else factor.mul(0) + 1
    if func._overloadpacket is aten.convolution:
        changed[2] = None
    elif start:
        changed[0] = args[0].double() * 0
    return round(float(func(*changed).sum()))
