"""Folding: batch-norm as a factor and an offset of the synapses before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dse.networks.layer import ScaledBatchNorm1d, ScaledBatchNorm2d

Synapse = nn.Conv2d | nn.Linear


def folded(synapse: Synapse, norm: nn.BatchNorm1d | nn.BatchNorm2d | None) -> Synapse:
    """A copy of a synapse with a batch-norm behind it folded in; both in evaluation mode.

    W <- W gamma / sigma,  b <- (b - mean) gamma / sigma + beta, computed in float64.
    """
    factor, offset = (None, None) if norm is None else factor_and_offset(norm)
    weight = synapse.weight.detach().double()
    bias = None if synapse.bias is None else synapse.bias.detach().double()
    if factor is not None and offset is not None:
        weight = weight * factor.reshape(-1, *(1 for _ in weight.shape[1:]))
        bias = offset if bias is None else bias * factor + offset
    return with_values(synapse, weight, bias)


def with_values(synapse: Synapse, weight: Tensor, bias: Tensor | None) -> Synapse:
    """A synapse of the same geometry with other weights, in the dtype of the old ones."""
    made: Synapse
    if isinstance(synapse, nn.Conv2d):
        made = nn.Conv2d(
            synapse.in_channels,
            synapse.out_channels,
            synapse.kernel_size,  # type: ignore[arg-type]  # a tuple of two
            stride=synapse.stride,  # type: ignore[arg-type]
            padding=synapse.padding,  # type: ignore[arg-type]
            dilation=synapse.dilation,  # type: ignore[arg-type]
            groups=synapse.groups,
            bias=bias is not None,
        )
    else:
        made = nn.Linear(synapse.in_features, synapse.out_features, bias=bias is not None)
    made = made.to(synapse.weight)  # its device and dtype
    if hasattr(synapse, "weight_bits"):
        made.weight_bits = synapse.weight_bits
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None and made.bias is not None:
            made.bias.copy_(bias)
    made.train(synapse.training)
    return made


def worthy(synapse: Synapse, worth: Tensor | None) -> Tensor:
    """The weights of a synapse whose inputs are spikes of some worth: W <- W worth."""
    weight = synapse.weight
    if worth is None:
        return weight
    if worth.dim() == 0:
        return weight * worth
    if isinstance(synapse, nn.Linear):
        return weight * worth
    groups = synapse.groups
    by_output = worth.reshape(groups, 1, -1)  # each group reads its own channels
    by_output = by_output.expand(groups, weight.shape[0] // groups, -1).reshape(weight.shape[:2])
    return weight * by_output[:, :, None, None]


def scaling(norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A batch-norm as a 1x1 synapse of each channel."""
    factor, offset = factor_and_offset(norm)
    assert norm.running_mean is not None
    made = by_channel(factor.to(norm.running_mean.dtype))
    with torch.no_grad():
        made.bias = nn.Parameter(offset.to(made.weight))
    return made


def by_channel(factor: Tensor) -> nn.Conv2d:
    """A 1x1 synapse of each channel with these weights (C,), without a bias.

    It says that its weights are real: a lone weight looks like a sign times a factor, but this
    factor does not fold away, as other currents reach the same neurons.
    """
    channels = factor.numel()
    made = nn.Conv2d(channels, channels, 1, groups=channels, bias=False).to(factor)
    made.weight_bits = 32  # type: ignore[assignment]  # a module may hold a number
    with torch.no_grad():
        made.weight.copy_(factor.reshape(-1, 1, 1, 1))
    return made


def factor_and_offset(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """By which a batch-norm in evaluation mode multiplies, and what it adds; (C,) in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.running_var.detach().double() + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double()
    if isinstance(norm, ScaledBatchNorm1d | ScaledBatchNorm2d):
        factor = factor * norm.factor
    offset = -norm.running_mean.detach().double() * factor
    return factor, offset if norm.bias is None else offset + norm.bias.detach().double()
