"""Fan-out: how many weights each position really reaches, without running a second layer.

The fan-out of a convolution is a product over its spatial dimensions, so the effective products are
one streaming reduction of the input. All sums are integers; contractions run in float64, exact
below 2**53.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from energy_models.layers import Geometry

_FEW_PLACES = 128


@functools.lru_cache(maxsize=1024)
def reach(
    in_size: int,
    out_size: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    transposed: bool,
) -> Tensor:
    """Which taps of one dimension reach an output from which position: (kernel, in_size), 0 or 1.

    Position y meets tap t at output (y + padding - t * dilation) / stride if that is an integer
    inside [0, out_size); in a transposed convolution at y * stride - padding + t * dilation.
    """
    position = torch.arange(in_size).unsqueeze(0)
    tap = torch.arange(kernel).unsqueeze(1)
    if transposed:
        output = position * stride - padding + tap * dilation
        is_inside = (output >= 0) & (output < out_size)
    else:
        shifted = position + padding - tap * dilation
        is_inside = (shifted >= 0) & (shifted % stride == 0) & (shifted // stride < out_size)
    return is_inside.double()


def fan(geometry: Geometry, is_transposed: bool, weight_taps: Tensor) -> Tensor:
    """Products that an input element makes, by channel and position: int32 (1 or C, places).

    weight_taps : (C, *kernel), how many output channels have a non-zero weight there; one row of
        the result stands for all channels if they are alike
    """
    taps = weight_taps.double()
    channels = taps.shape[0]
    if bool((taps == taps[:1]).all()):
        taps = taps[:1]
    g = geometry
    sizes = (g.in_size, g.out_size, g.kernel, g.stride, g.padding, g.dilation)
    for dimension in zip(*sizes, strict=True):
        # the first dimension of taps goes, its positions come last: after the loop (C, *places)
        matrix = reach(*dimension, is_transposed).to(taps)
        taps = torch.tensordot(taps, matrix, dims=([1], [0]))
    found = taps.flatten(1).int()
    # the kernel runs over long rows: few places are spread over the channels
    return found if found.shape[1] >= _FEW_PLACES else found.expand(channels, -1).contiguous()
