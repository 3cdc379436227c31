"""Synapses: modules of PyTorch as operations of a graph, and the names of their nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dse.errors import InterchangeFailure
from dse.interchange.graph import Convolution, Linear, Operation, Pair, Scale


def node_name(path: str) -> str:
    """The name of a node, of the path of its module: readers make attributes of it."""
    return path.replace(".", "_")


def operation_of(name: str, synapse: nn.Module) -> Operation:
    """A synapse as it is.

    One weight for each channel is a scale, or, with a bias, a convolution of all channels whose
    other weights are 0: what NIR says of groups is read in two ways.
    Raises InterchangeFailure, with the name of the node, for a padding that is not symmetric.
    """
    assert isinstance(synapse, nn.Conv2d | nn.Linear)
    weight = synapse.weight.detach().clone()
    bias = None if synapse.bias is None else synapse.bias.detach().clone()
    if isinstance(synapse, nn.Linear):
        return Linear(weight, bias)
    if is_by_channel(synapse):
        if bias is None or not bool(bias.any()):
            return Scale(weight[:, 0])
        return by_channel(weight[:, 0, 0, 0], bias)
    return Convolution(
        weight,
        bias,
        _pair(synapse.stride),
        _padding(name, synapse),
        _pair(synapse.dilation),
        synapse.groups,
    )


def by_channel(factor: Tensor, offset: Tensor) -> Convolution:
    """Maps times a factor and an offset each; both (C,)."""
    return Convolution(torch.diag(factor)[:, :, None, None], offset)


def is_by_channel(synapse: nn.Module) -> bool:
    """Whether synapses are one weight for each channel."""
    return (
        isinstance(synapse, nn.Conv2d)
        and synapse.groups == synapse.in_channels == synapse.out_channels > 1
        and synapse.kernel_size == synapse.stride == (1, 1)
        and synapse.padding in ((0, 0), "same", "valid")
    )


def _padding(name: str, synapse: nn.Conv2d) -> Pair:
    if not isinstance(synapse.padding, str):
        return _pair(synapse.padding)
    if synapse.padding == "valid":
        return 0, 0
    both = [d * (k - 1) for d, k in zip(synapse.dilation, synapse.kernel_size, strict=True)]
    if any(one % 2 for one in both):
        raise InterchangeFailure(
            f"{name}: padding same of an even kernel: one side gets more: must be symmetric"
        )
    return both[0] // 2, both[1] // 2


def _pair(values: tuple[int, ...]) -> Pair:
    return values[0], values[1]
