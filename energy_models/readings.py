"""Readings: what a formula or a tool of the field may ask of a count document."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from energy_models.counts import ModelCounts
from energy_models.layers import LayerCounts, ModuleCounts, OperandCounts

Decision = Callable[[OperandCounts], float | None]


def torch_classes(room: str, names: str, dimensions: str = "") -> frozenset[str]:
    """Qualified names of torch's module classes: `conv`, `Conv`, `12` gives Conv1d and Conv2d."""
    ends = [f"{n}d" for n in dimensions] or [""]
    return frozenset(
        f"torch.nn.modules.{room}.{name}{end}" for name in names.split() for end in ends
    )


LINEAR_AND_CONV = torch_classes("linear", "Linear") | torch_classes("conv", "Conv", "123")
TRANSPOSED = torch_classes("conv", "ConvTranspose", "123")
BATCH_NORM = torch_classes("batchnorm", "BatchNorm", "123")
NORMS = (
    BATCH_NORM
    | torch_classes("instancenorm", "InstanceNorm", "123")
    | torch_classes("normalization", "GroupNorm")
)
POOLS = torch_classes("pooling", "MaxPool AvgPool AdaptiveMaxPool AdaptiveAvgPool", "123")
ACTIVATIONS = torch_classes("activation", "ReLU PReLU ELU LeakyReLU ReLU6 GELU")
RNN = torch_classes("rnn", "RNNBase")
RNN_CELL = torch_classes("rnn", "RNNCellBase")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer, or all of them together; per sample."""

    effective: float
    dense: float
    operands: tuple[OperandCounts, ...]


def layers_with_products(counts: ModelCounts) -> Iterator[LayerCounts]:
    """The rows that multiply."""
    return (layer for layer in counts.layers if layer.operator != "neuron")


def calls_of(layer: LayerCounts) -> list[Call]:
    """The calls of a layer if the document tells their values apart, else all of them as one."""
    if not layer.call_operands:
        return [Call(layer.ops.effective, layer.ops.dense, layer.operands)]
    whole = layer.operands[0].elements
    return [
        Call(
            call.mac + call.ac + call.graded + call.binary,
            layer.ops.dense * share(operands[0].elements, whole),
            operands,
        )
        for call, operands in zip(layer.calls, layer.call_operands, strict=True)
    ]


def is_doubtful(layer: LayerCounts, decide: Decision, batches: int) -> bool:
    """Whether a call may be decided otherwise than all calls together, which is all that is known.

    What holds for the values of all calls holds for each; what does not, may yet for some.
    """
    are_merged = len(layer.calls) * batches > 1 and not layer.call_operands
    return are_merged and any(decide(operand) is None for operand in layer.operands)


def is_ternary(operand: OperandCounts) -> float | None:
    """1.0 for a tensor of -1, 0 and 1 alone, else None."""
    return 1.0 if operand.kind != "real" and set(operand.levels) <= {1.0} else None


def is_zero_or_one(operand: OperandCounts) -> float | None:
    """1.0 for a tensor of 0 and 1 alone, else None."""
    return None if operand.is_signed else is_ternary(operand)


def mean_of_two_values(operand: OperandCounts) -> float | None:
    """The mean of a tensor of at most two values, both within 0 and 1; else None."""
    distinct = len(operand.levels) + (operand.nonzero < operand.elements)
    total = magnitude_of(operand)
    is_other = operand.kind == "real" or operand.is_signed or distinct > 2 or operand.largest > 1
    return None if is_other or total is None else share(total, operand.elements)


def magnitude_of(operand: OperandCounts) -> float | None:
    """The sum of abs(x), None where it does not follow from the document."""
    if operand.magnitude is not None or not operand.nonzero:
        return operand.magnitude or 0.0
    return operand.levels[0] * operand.nonzero if len(operand.levels) == 1 else None


def reached_by(spikes: OperandCounts, call: Call, layer: LayerCounts) -> float | None:
    """Products that one factor enters, zeros of the other included; None where it is not known."""
    if spikes.reached is not None:
        return spikes.reached
    if layer.operator != "convolution":
        return spikes.nonzero * share(call.dense, spikes.elements)
    has_no_zeros = len(call.operands) == 1 and layer.nonzero_weights == layer.weights
    return call.effective if has_no_zeros else None


def module_of(layer: LayerCounts, counts: ModelCounts) -> ModuleCounts | None:
    """The module whose own product a row is; the model itself bears no name."""
    for module in counts.modules:
        if module.name == layer.name or (not module.name and layer.name == layer.operator):
            return module
    return None


def is_layer_of(
    classes: Iterable[str], layer: LayerCounts, counts: ModelCounts, *, exact: bool = False
) -> bool:
    """Whether a row is the own product of a module of these classes.

    exact : a class derived from one of them does not count
    Where the document holds no modules, it is read from the row's name and sizes.
    """
    if "/" in layer.name or layer.operator not in ("convolution", "linear"):
        return False
    module = module_of(layer, counts)
    if module is None:
        return not is_transposed(layer) or not TRANSPOSED.isdisjoint(classes)
    return not set(classes).isdisjoint(module.classes[:1] if exact else module.classes)


def is_transposed(layer: LayerCounts) -> bool:
    """Whether the sizes are not those of a plain convolution."""
    return any(
        out != (size + 2 * pad - reach * (taps - 1) - 1) // stride + 1
        for size, out, taps, stride, pad, reach in _dimensions(layer)
    )


def dense_inside(layer: LayerCounts) -> float:
    """Dense products without the taps that fall into the padding."""
    g = layer.geometry
    if g is None or not g.kernel:
        return layer.ops.dense
    images = layer.outputs / (g.c_out * math.prod(g.out_size))
    pairs = [
        sum(0 <= o * stride - pad + t * reach < size for o in range(out) for t in range(taps))
        for size, out, taps, stride, pad, reach in _dimensions(layer)
    ]
    return images * g.c_out * (g.c_in // g.groups) * math.prod(pairs)


def share(part: float, whole: float) -> float:
    """A part of a whole; 0 of nothing."""
    return part / whole if whole else 0.0


def _dimensions(layer: LayerCounts) -> list[tuple[int, int, int, int, int, int]]:
    """Per spatial dimension: size in and out, taps, stride, padding, dilation."""
    g = layer.geometry
    if g is None:
        return []
    sizes = (g.in_size, g.out_size, g.kernel, g.stride, g.padding, g.dilation)
    return list(zip(*sizes, strict=True))
