"""Brute force: a loop over every non-zero input and every weight that it reaches."""

import itertools

import torch
from torch import Tensor


def convolution(
    x: Tensor,
    weight: Tensor,
    out_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    transposed: bool,
) -> int:
    """Pairs of a non-zero input and a non-zero weight whose product lands inside the output."""
    total = 0
    channels = x.shape[1]
    out_channels = weight.shape[1] * groups if transposed else weight.shape[0]
    per_group_out = out_channels // groups
    per_group_in = channels // groups
    taps = list(itertools.product(*(range(k) for k in weight.shape[2:])))
    for index in torch.nonzero(x).tolist():
        _, channel, *place = index
        group = channel // per_group_in
        for tap in taps:
            output = []
            for y, t, s, p, d, size in zip(
                place, tap, stride, padding, dilation, out_size, strict=True
            ):
                where = y * s - p + t * d if transposed else y + p - t * d
                if not transposed:
                    if where % s:
                        break
                    where //= s
                if not 0 <= where < size:
                    break
                output.append(where)
            if len(output) < len(place):
                continue
            for o in range(per_group_out):
                if transposed:
                    value = weight[(channel, o, *tap)]
                else:
                    value = weight[(group * per_group_out + o, channel % per_group_in, *tap)]
                total += int(value != 0)
    return total


def matrix(left: Tensor, right: Tensor) -> int:
    """Pairs of two non-zero factors of a matrix product (n, k) by (k, m)."""
    total = 0
    for row in left:
        for k, value in enumerate(row):
            if value != 0:
                total += sum(int(other != 0) for other in right[k])
    return total
