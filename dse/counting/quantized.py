"""Quantised: the products of 8-bit layers, on their integers less the zero point.

Only an integer that stands for 0.0 is zero. The integers travel as float32, which holds each of
them exactly; how wide they are, `BITS` of the expansions says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dse.counting.attention import linear as real_linear
from dse.counting.recurrent import (
    Direction,
    Projection,
    Step,
    gru,
    lstm,
    run_layers,
    run_sequences,
)
from dse.errors import ExpansionRefused

packed_ops = torch.ops.quantized
Packed = Any  # an opaque object that holds a weight and a bias
_PER_CHANNEL = (torch.per_channel_affine, torch.per_channel_symmetric)


def integers(x: Tensor) -> Tensor:
    """The integers of a quantised tensor, less the zero point (of each channel)."""
    shape = [1] * x.dim()
    if x.qscheme() in _PER_CHANNEL:
        shape[x.q_per_channel_axis()] = -1
    return x.int_repr().float() - _parameter(x, "zero_point", shape)


def linear(x: Tensor, packed: Packed) -> Tensor:
    """The real output of a linear layer. x : (..., N_in), quantised."""
    weight, bias = packed_ops.linear_unpack(packed)
    scale = _parameter(weight, "scale", [-1]) * x.q_scale()
    left, right = integers(x).reshape(-1, x.shape[-1]), integers(weight).t()
    # the bias starts the accumulator, so it has the product's scale
    product = torch.mm(left, right) if bias is None else torch.addmm(bias / scale, left, right)
    return (product * scale).view(*x.shape[:-1], -1)


def dynamic_linear(x: Tensor, packed: Packed, reduce_range: bool = False) -> Tensor:
    """A linear layer that quantises its input by what it holds, to 8 bits, or 7."""
    return linear(torch.quantize_per_tensor_dynamic(x, torch.quint8, reduce_range), packed)


def half_linear(x: Tensor, packed: Packed) -> Tensor:
    """A linear layer with 16-bit weights, for real inputs."""
    weight, bias = packed_ops.linear_unpack_fp16(packed)
    if bias is None:
        return torch.mm(x.flatten(0, -2), weight.t()).unflatten(0, x.shape[:-1])
    return real_linear(x, weight, bias)


def convolution(x: Tensor, packed: Packed, dimensions: int, *, is_transposed: bool) -> Tensor:
    """The real output of a convolution. x : (N, C_in, *space), quantised."""
    name = f"conv_transpose{dimensions}d" if is_transposed else f"conv{dimensions}d"
    weight, bias = getattr(packed_ops, f"{name}_unpack")(packed)
    # one-dimensional layers are packed as two-dimensional ones
    kind = name.replace("1d", "2d")

    def setting(of: str) -> list[int]:
        return list(getattr(packed_ops, f"{kind}_{of}")(packed))[-dimensions:]

    groups = getattr(packed_ops, f"{kind}_groups")(packed)
    scale = _parameter(weight, "scale", [-1]) * x.q_scale()
    product = torch.ops.aten.convolution(
        integers(x),
        integers(weight),
        None if bias is None else bias / scale,
        setting("stride"),
        setting("padding"),
        setting("dilation"),
        is_transposed,
        setting("output_padding") if is_transposed else [0] * dimensions,
        groups,
    )
    return product * (scale.view(-1, *[1] * dimensions) if isinstance(scale, Tensor) else scale)


def static_linear(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """`quantized::linear` and the like: quantised input and output."""

    def expansion(x: Tensor, packed: Packed, scale: float, zero_point: int) -> Tensor:
        return _quantise(activation(linear(x, packed)), scale, zero_point)

    return expansion


def leaky_linear(x: Tensor, packed: Packed, scale: float, zero_point: int, slope: float) -> Tensor:
    """`quantized::linear_leaky_relu`."""
    return _quantise(F.leaky_relu(linear(x, packed), slope), scale, zero_point)


def relu_of_dynamic_linear(x: Tensor, packed: Packed, reduce_range: bool = False) -> Tensor:
    """`quantized::linear_relu_dynamic`."""
    return torch.relu(dynamic_linear(x, packed, reduce_range))


def relu_of_half_linear(x: Tensor, packed: Packed) -> Tensor:
    """`quantized::linear_relu_dynamic_fp16`."""
    return torch.relu(half_linear(x, packed))


def static_convolution(
    dimensions: int, activation: Callable[[Tensor], Tensor], *, is_transposed: bool = False
) -> Callable[..., Tensor]:
    """`quantized::conv2d` and the like; their old form repeats what the packed weight says."""

    def expansion(x: Tensor, packed: Packed, *rest: Any) -> Tensor:
        scale, zero_point = rest[-2:]
        real = convolution(x, packed, dimensions, is_transposed=is_transposed)
        return _quantise(activation(real), scale, zero_point)

    return expansion


def adding_convolution(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """`quantized::conv2d_add` and the like: a shortcut is added before the activation."""

    def expansion(
        x: Tensor, shortcut: Tensor, packed: Packed, scale: float, zero_point: int
    ) -> Tensor:
        real = convolution(x, packed, 2, is_transposed=False) + shortcut.dequantize()
        return _quantise(activation(real), scale, zero_point)

    return expansion


def dynamic_convolution(dimensions: int, *, is_transposed: bool = False) -> Callable[..., Tensor]:
    """`quantized::conv2d_dynamic` and the like; their output has the scale of their input."""

    def expansion(x: Tensor, packed: Packed, reduce_range: bool = False) -> Tensor:
        x = torch.quantize_per_tensor_dynamic(x, torch.quint8, reduce_range)
        real = convolution(x, packed, dimensions, is_transposed=is_transposed)
        return _quantise(real, x.q_scale(), x.q_zero_point()).dequantize()

    return expansion


def matmul(left: Tensor, right: Tensor, scale: float, zero_point: int) -> Tensor:
    """`quantized::matmul`: two activations."""
    product = torch.matmul(integers(left), integers(right))
    return _quantise(product * (left.q_scale() * right.q_scale()), scale, zero_point)


def dynamic_cell(step: Step) -> Callable[..., Tensor | tuple[Tensor, Tensor]]:
    """`quantized::quantized_lstm_cell_dynamic` and the like; the biases are packed as well."""

    def expansion(
        x: Tensor, hx: Any, w_ih: Packed, w_hh: Packed, *biases: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        has_cell = not isinstance(hx, Tensor)
        state, cell = hx if has_cell else (hx, hx[:, :0])
        linear_dynamic = packed_ops.linear_dynamic  # has an expansion of its own
        gates = linear_dynamic(x, w_ih, True), linear_dynamic(state, w_hh, True)
        new = step(*gates, state, cell)
        return new if has_cell else new[0]

    return expansion


def quantized_lstm(*args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`quantized_lstm`, over sequences or packed sequences."""
    return _layers(lstm, args)


def quantized_gru(*args: Any) -> tuple[Tensor, Tensor]:
    """`quantized_gru`, over sequences or packed sequences."""
    return _layers(gru, args)[:2]


def _layers(step: Step, args: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Quantised layers: x, (batch sizes,) state, packed weights, and six or seven options."""
    x, *args = args
    batch_sizes = None
    if isinstance(args[0], Tensor) and not args[0].is_floating_point():
        batch_sizes, *args = args
    hx, parameters, _has_biases, _num_layers, _dropout, _train, is_bidirectional, *rest = args
    state, cell = (hx, None) if isinstance(hx, Tensor) else hx
    directions = [_direction(one) for one in parameters]
    if batch_sizes is not None:
        sizes = batch_sizes.tolist()
        return run_layers(
            x, sizes, directions, step, state, cell, is_bidirectional=is_bidirectional
        )
    return run_sequences(
        x,
        directions,
        step,
        state,
        cell,
        is_bidirectional=is_bidirectional,
        batch_first=bool(rest and rest[0]),
    )


def _direction(parameters: Any) -> Direction:
    """Read an opaque cell: its kind, and the packed weights for input and state."""
    if isinstance(parameters, Tensor):
        raise ExpansionRefused("the old form of quantised recurrent layers is not counted")
    kind, _tensors, _doubles, options, packed = parameters.__getstate__()[0]
    if kind == "quantized_fp16":
        return Direction(*(_half_projection(one) for one in packed))
    if kind != "quantized_dynamic":
        raise ExpansionRefused(f"recurrent layers packed as {kind!r} are not counted")
    return Direction(*(_dynamic_projection(one, bool(options[0])) for one in packed))


def _dynamic_projection(packed: Packed, reduce_range: bool) -> Projection:
    return lambda x: packed_ops.linear_dynamic(x, packed, reduce_range)


def _half_projection(packed: Packed) -> Projection:
    return lambda x: packed_ops.linear_dynamic_fp16(x, packed)


def _parameter(x: Tensor, what: str, shape: Sequence[int]) -> Tensor | float:
    """`scale` or `zero_point` of a quantised tensor: one number, or one a channel in a shape.

    The number is no tensor: a weight changed by a tensor from nowhere would be no weight.
    """
    if x.qscheme() not in _PER_CHANNEL:
        return float(getattr(x, f"q_{what}")())
    values: Tensor = getattr(x, f"q_per_channel_{what}s")()
    return values.float().view(shape)


def _quantise(x: Tensor, scale: float, zero_point: int) -> Tensor:
    return torch.quantize_per_tensor(x, scale, zero_point, torch.quint8)
