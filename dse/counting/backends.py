"""Backends: convolutions and linear layers under the names that single backends give them.

Each function takes the arguments of its ATen operator and makes the same result with the
elementary convolution or matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dse.errors import ExpansionRefused

Scalars = Sequence[Any]
_UNARY: dict[str, Callable[[Tensor, Scalars, str | None], Tensor]] = {
    "none": lambda x, scalars, algorithm: x,
    "relu": lambda x, scalars, algorithm: F.relu(x),
    "sigmoid": lambda x, scalars, algorithm: F.sigmoid(x),
    "tanh": lambda x, scalars, algorithm: F.tanh(x),
    "swish": lambda x, scalars, algorithm: F.silu(x),
    "hardswish": lambda x, scalars, algorithm: F.hardswish(x),
    "hardsigmoid": lambda x, scalars, algorithm: F.hardsigmoid(x),
    "gelu": lambda x, scalars, algorithm: F.gelu(x, approximate=algorithm or "none"),
    "leaky_relu": lambda x, scalars, algorithm: F.leaky_relu(x, *scalars),
    "hardtanh": lambda x, scalars, algorithm: F.hardtanh(x, *scalars),
}
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
}


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    output_padding: Sequence[int] | None = None,
) -> Tensor:
    """The elementary convolution; transposed if an output padding is given."""
    is_transposed = output_padding is not None
    output_padding = output_padding or [0] * len(stride)
    geometry = (stride, padding, dilation, is_transposed, output_padding, groups)
    return torch.ops.aten.convolution(dense(x), dense(weight), dense(bias), *geometry)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    """`mkldnn_convolution` and the like: padding, stride, dilation, groups, flags."""
    padding, stride, dilation, groups, *_flags = settings
    return convolve(x, weight, bias, stride, padding, dilation, groups)


def convolution_without_bias(x: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    """`cudnn_convolution`: padding, stride, dilation, groups, flags."""
    return convolution(x, weight, None, *settings)


def transposed_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    """`miopen_convolution_transpose`: padding, output padding, stride, dilation, groups, flags."""
    padding, output_padding, stride, dilation, groups, *_flags = rest
    return convolve(x, weight, bias, stride, padding, dilation, groups, output_padding)


def transposed_convolution_without_bias(x: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    """`cudnn_convolution_transpose`, as the one with a bias."""
    return transposed_convolution(x, weight, None, *settings)


def convolution_relu(x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
    """`cudnn_convolution_relu`: stride, padding, dilation, groups."""
    return F.relu(convolve(x, weight, bias, *geometry))


def convolution_add_relu(
    x: Tensor, weight: Tensor, z: Tensor, alpha: float | None, bias: Tensor | None, *geometry: Any
) -> Tensor:
    """`cudnn_convolution_add_relu`: alpha z is added to the result."""
    result = convolve(x, weight, bias, *geometry)
    return F.relu(torch.add(result, z, alpha=1 if alpha is None else alpha))


def plain_convolution(
    x: Tensor,
    weight: Tensor,
    kernel_size: Sequence[int],
    bias: Tensor | None = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
) -> Tensor:
    """`_slow_conv2d_forward`, `slow_conv_dilated2d`, `conv_depthwise3d` and the like."""
    groups = x.shape[1] // weight.shape[1]
    given = (stride, padding, dilation)
    stride, padding, dilation = (_per_dimension(one, len(kernel_size)) for one in given)
    return convolve(x, weight, bias, stride, padding, dilation, groups)


def plain_transposed_convolution(
    x: Tensor,
    weight: Tensor,
    kernel_size: Sequence[int],
    bias: Tensor | None = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    output_padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
) -> Tensor:
    """`slow_conv_transpose2d` and `slow_conv_transpose3d`."""
    geometry = (stride, padding, dilation, output_padding)
    stride, padding, dilation, extra = (_per_dimension(one, len(kernel_size)) for one in geometry)
    return convolve(x, weight, bias, stride, padding, dilation, 1, extra)


def nnpack_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Sequence[int],
    stride: Sequence[int] | int = 1,
) -> Tensor:
    """`_nnpack_spatial_convolution`."""
    stride = _per_dimension(stride, weight.dim() - 2)
    return convolve(x, weight, bias, stride, padding, [1] * len(stride), groups=1)


def convolution_over_time(x: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv_tbc`. x : (T, B, C_in)      weight : (K, C_in, C_out)"""
    channels_first = convolve(
        x.permute(1, 2, 0), weight.permute(2, 1, 0), bias, [1], [pad], [1], groups=1
    )
    return channels_first.permute(2, 0, 1)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`mkldnn_linear`: x W^T + b as one product."""
    x, weight, bias = dense(x), dense(weight), dense(bias)
    rows, columns = x.flatten(0, -2), weight.t()
    product = torch.mm(rows, columns) if bias is None else torch.addmm(bias, rows, columns)
    return product.unflatten(0, x.shape[:-1])


def linear_of_mkl(
    x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor | None, batch_size: int
) -> Tensor:
    """`mkl::_mkl_linear`, which is given the weight packed and as it was."""
    return linear(x, weight, bias)


def linear_pointwise(x: Tensor, *rest: Any) -> Tensor:
    """`mkldnn::_linear_pointwise`: an activation follows, or another tensor comes in."""
    if isinstance(rest[2], str):
        weight, bias, name, scalars, algorithm = rest
        return _unary(name)(linear(x, weight, bias), scalars, algorithm)
    other, weight, bias, name = rest
    return _binary(name)(linear(x, weight, bias), other)


def convolution_pointwise(x: Tensor, *rest: Any) -> Tensor:
    """`mkldnn::_convolution_pointwise`: an activation follows, or another tensor comes in first.

    Raises ExpansionRefused where the other tensor is scaled, or the activation is unknown.
    """
    if len(rest) == 9:
        weight, bias, *settings, name, scalars, algorithm = rest
        return _unary(name)(convolution(x, weight, bias, *settings), scalars, algorithm)
    other, weight, bias, *settings, name, alpha, then, scalars, algorithm = rest
    if alpha not in (None, 1):
        raise ExpansionRefused("a fused convolution that scales what it adds is not counted")
    combine, activation = _binary(name), _unary(then or "none")
    return activation(combine(convolution(x, weight, bias, *settings), other), scalars, algorithm)


def transposed_convolution_pointwise(
    x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any
) -> Tensor:
    """`mkldnn::_convolution_transpose_pointwise`: an activation follows."""
    *settings, name, scalars, algorithm = rest
    return _unary(name)(transposed_convolution(x, weight, bias, *settings), scalars, algorithm)


def dense(tensor: Any) -> Any:
    """A tensor of another layout (oneDNN's own, or sparse) with all its values; else what it is."""
    is_other = isinstance(tensor, Tensor) and tensor.layout is not torch.strided
    return tensor.to_dense() if is_other else tensor


def _per_dimension(values: Sequence[int] | int, dimensions: int) -> list[int]:
    given = [values] if isinstance(values, int) else list(values)
    return given * dimensions if len(given) == 1 else given


def _unary(name: str) -> Callable[[Tensor, Scalars, str | None], Tensor]:
    if name not in _UNARY:
        raise ExpansionRefused(f"the fused activation {name!r} is not known")
    return _UNARY[name]


def _binary(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    if name not in _BINARY:
        raise ExpansionRefused(f"the fused operation {name!r} is not known")
    return _BINARY[name]
