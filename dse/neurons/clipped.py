"""Clipped: activations of networks that are to be converted, which saturate as firing rates do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from dse.errors import BuildFailure


class Clipped(nn.Module):
    """a = clip(z, 0, bound), with a bound that is trained: at most one spike a step.

    Ho and Chang, DAC 2021 (TCL), eq. 4.

    bound : at the start, finite and above 0; one for the layer
    """

    def __init__(self, bound: float) -> None:
        super().__init__()
        if not (math.isfinite(bound) and bound > 0):
            raise BuildFailure(f"activation: bound {bound}: must be finite and above 0")
        self.bound = nn.Parameter(torch.tensor(float(bound)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape -> the same."""
        return _Clip.apply(inputs, self.bound)  # type: ignore[no-any-return, no-untyped-call]

    def extra_repr(self) -> str:
        return f"bound={self.bound.item():.4g}"


class Qcfs(Clipped):
    """a = bound clip(floor(z L / bound + 1/2) / L, 0, 1): quantisation, clip, floor and shift.

    Bu, Fang, Ding, Dai, Yu and Huang, ICLR 2022, eq. 9 (shift phi = 1/2). The derivative of floor
    is taken as 1, so that of z is 1 between -bound / 2L and bound - bound / 2L, and 0 elsewhere;
    that of the bound follows from the expression: (a - z) / bound there, 1 above, 0 below.

    levels : L, at least 1      bound : lambda at the start
    """

    def __init__(self, levels: int, bound: float) -> None:
        super().__init__(bound)
        if levels < 1:
            raise BuildFailure(f"activation: levels {levels}: must be at least 1")
        self.levels = levels

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape -> the same."""
        return _Quantised.apply(inputs, self.bound, self.levels)  # type: ignore[no-any-return, no-untyped-call]

    def extra_repr(self) -> str:
        return f"levels={self.levels}, {super().extra_repr()}"


class _Clip(torch.autograd.Function):
    """In few passes over memory: operators that PyTorch differentiates take three times as long."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(inputs / bound)
        ctx.bound_dtype = bound.dtype
        return inputs.minimum(bound.to(inputs.dtype)).relu_()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (share,) = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, share, 1.0)
        passed = torch.ops.aten.hardtanh_backward(gradient, share, 0.0, 1.0)
        return passed, above.sum(dtype=ctx.bound_dtype)


class _Quantised(torch.autograd.Function):
    """The same, with levels."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, bound: Tensor, levels: int) -> Tensor:
        place = (inputs * (levels / bound)).add_(0.5)
        ctx.save_for_backward(place)
        ctx.levels, ctx.bound_dtype = levels, bound.dtype
        return place.clamp(0.0, levels).floor_().mul_(bound / levels)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (place,) = ctx.saved_tensors
        levels: int = ctx.levels
        passed = torch.ops.aten.hardtanh_backward(gradient, place, 0.0, levels)
        # (a - z) / bound = (floor(place) - place + 1/2) / L
        inside = (place.frac() - 0.5).mul_(passed).sum(dtype=ctx.bound_dtype) / -levels
        above = torch.ops.aten.threshold_backward(gradient, place, levels)
        return passed, inside + above.sum(dtype=ctx.bound_dtype), None


def straight_floor(inputs: Tensor) -> Tensor:
    """floor(x), differentiated as if it were x."""
    return _Floor.apply(inputs)  # type: ignore[no-any-return, no-untyped-call]


class _Floor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return inputs.floor()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
