"""Fan-out: how many weights each position really reaches, without running a second layer.

The fan-out of a convolution is a product over its spatial dimensions, so the effective products are
one streaming reduction of the input, contracted with a small matrix per dimension. All sums are
integers; contractions run in float64, exact below 2**53.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor


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


def convolution_pairs(
    mask: Tensor, reaches: Sequence[Tensor], weight_taps: Tensor, slots: int
) -> list[int]:
    """Pairs of a marked input and a non-zero weight inside the borders, per slot.

    mask : boolean (slots * n, C, *space)      reaches : one (kernel, in_size) a dimension
    weight_taps : (C, *kernel), how many output channels have a non-zero weight there
    """
    folded = mask.unflatten(0, (slots, -1))
    if bool((weight_taps == weight_taps.flatten()[0]).all()):
        positions = folded.sum(dim=(1, 2)).double().unsqueeze(1)
        taps = weight_taps.flatten()[0].expand(1, *weight_taps.shape[1:])
    else:
        positions = folded.sum(dim=1).double()
        taps = weight_taps
    for matrix in reaches:
        # the first spatial dimension goes, its taps come last: after the loop (slots, C, *kernel)
        positions = torch.tensordot(positions, matrix.to(positions.device), dims=([2], [1]))
    pairs = (positions * taps.to(positions)).flatten(1).sum(dim=1)
    return [round(total) for total in pairs.tolist()]


def matrix_pairs(left: Tensor, right: Tensor, slots: int) -> list[int]:
    """Pairs in which both factors of a matrix product are marked, per slot.

    left : boolean (b, n, k)       right : boolean (b, k, m)
    The slots divide b, or n where b is 1.
    """
    rows = left.unflatten(1, (slots, -1)) if left.shape[0] == 1 else left.unsqueeze(1)
    per_inner = rows.sum(dim=2).double()  # (1, slots, k) or (b, 1, k)
    reached = right.sum(dim=2).double().unsqueeze(1)  # (b, 1, k)
    pairs = (per_inner * reached).sum(dim=2).flatten().unflatten(0, (slots, -1)).sum(dim=1)
    return [round(total) for total in pairs.tolist()]
