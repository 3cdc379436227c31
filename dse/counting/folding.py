"""Folding: affine maps of a layer's very output that become part of the layer at inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from dse.counting.operators import BATCH_NORM

ADDITIONS = frozenset({"add", "add_"})


def folds(
    name: str, args: Any, channels: int, operator: str, is_constant: Callable[[Any], bool]
) -> Literal["bias", "batch-norm"] | None:
    """What an operator on a layer's output becomes: its bias, a batch-norm in its weight, or None.

    channels : of the layer's output      operator : that made it, `convolution` or another
    is_constant : whether a tensor comes from parameters alone
    """
    if name in ADDITIONS:
        constants = [x for x in args[:2] if isinstance(x, Tensor) and is_constant(x)]
        is_bias = len(constants) == 1 and constants[0].shape == (channels,)
        return "bias" if is_bias else None
    if name in BATCH_NORM and _is_fixed(name, args, channels, operator):
        return "batch-norm"
    return None


def _is_fixed(name: str, args: Any, channels: int, operator: str) -> bool:
    """Batch-norm over a layer's output channels with running statistics: an affine map."""
    x = args[0]
    channel_dim_is_second = x.dim() == 2 or operator == "convolution"
    if not channel_dim_is_second or x.dim() < 2 or x.shape[1] != channels:
        return False
    if name == "_native_batch_norm_legit_no_training":
        return True
    has_statistics = len(args) > 5 and isinstance(args[3], Tensor)
    return has_statistics and args[5] is False
