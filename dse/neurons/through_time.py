"""Through time: all T steps of spiking neurons as one node of the graph, on any device.

The backward pass is derived by hand: only the potentials before the reset are kept, and no graph of
the steps is made. `kernel.cpp` does the same faster on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dse.neurons.dynamics import Dynamics

Number = Tensor | float


def integrate_fire(
    currents: Tensor,
    dynamics: Dynamics,
    *,
    threshold: Number,
    leak: Number = 1.0,
    gain: Number = 1.0,
    initial: Number = 0.0,
    is_smooth: bool = False,
) -> Tensor:
    """Spikes (T, B, ...) of currents (T, B, ...); see `dse.neurons.reference`.

    threshold, leak, gain, initial : one number for all neurons; a tensor gets its gradient
    Potentials of currents of 16 bits have 32, as in the kernel.
    """
    inner = currents.float() if currents.dtype in (torch.bfloat16, torch.float16) else currents
    spikes: Tensor = _IntegrateFire.apply(
        inner, threshold, leak, gain, initial, dynamics, is_smooth
    )
    return spikes.to(currents.dtype)


class _IntegrateFire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        threshold: Number,
        leak: Number,
        gain: Number,
        initial: Number,
        dynamics: Dynamics,
        is_smooth: bool,
    ) -> Tensor:
        potentials = _like_steps(currents)
        spikes = torch.empty_like(potentials)
        kept: Tensor | None = None if _is_zero(initial) else torch.zeros_like(currents[0]) + initial
        for t in range(currents.shape[0]):
            potential = potentials[t]
            # product and sum apart, as in the reference: rounded twice, the same spikes
            torch.mul(currents[t], gain, out=potential)
            if kept is not None:
                potential.add_(kept * leak)
            spikes[t] = _fired(potential - threshold, dynamics, is_smooth)
            if dynamics.reset == "soft":
                kept = potential - spikes[t] * threshold
            else:
                kept = potential * (1 - spikes[t])
        ctx.save_for_backward(
            currents,
            potentials,
            *(n if isinstance(n, Tensor) else None for n in (threshold, leak, gain, initial)),
        )
        ctx.numbers = threshold, leak, gain, initial
        ctx.dynamics, ctx.is_smooth = dynamics, is_smooth
        return spikes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, ...]:
        currents, potentials, *_ = ctx.saved_tensors
        threshold, leak, gain, initial = ctx.numbers
        dynamics, is_soft = ctx.dynamics, ctx.dynamics.reset == "soft"
        wants = ctx.needs_input_grad
        excess = potentials - threshold
        grad = dynamics.surrogate.derivative(excess).mul_(grad_spikes)
        slopes = None if dynamics.is_detached else dynamics.surrogate.derivative(excess)
        sums = [torch.zeros((), dtype=currents.dtype, device=currents.device) for _ in range(4)]
        kept_grad: Tensor | None = None  # of the potential after the reset
        for t in range(currents.shape[0] - 1, -1, -1):
            change = grad[t]  # d loss / d u by way of the spike
            inner = change
            if kept_grad is not None:
                fired = _fired(excess[t], dynamics, ctx.is_smooth)
                if slopes is not None:
                    size = threshold if is_soft else potentials[t]
                    change.sub_(slopes[t] * kept_grad * size)
                inner = change + (kept_grad if is_soft else kept_grad * (1 - fired))
                if wants[1] and is_soft:
                    sums[0] -= (kept_grad * fired).sum()
            if wants[1]:
                sums[0] -= change.sum()
            if wants[2] and (t > 0 or not _is_zero(initial)):
                sums[1] += (inner * _kept(t, potentials, excess, ctx)).sum()
            if wants[3]:
                sums[2] += (inner * currents[t]).sum()
            if wants[4] and t == 0:
                sums[3] += (inner * leak).sum()
            kept_grad = inner * leak
            grad[t] = inner * gain
        grads = [total if wanted else None for total, wanted in zip(sums, wants[1:5], strict=True)]
        return grad, *grads, None, None


def _fired(excess: Tensor, dynamics: Dynamics, is_smooth: bool) -> Tensor:
    return dynamics.surrogate.primitive(excess) if is_smooth else (excess >= 0).to(excess.dtype)


def _kept(t: int, potentials: Tensor, excess: Tensor, ctx: Any) -> Tensor:
    """What was left of the potential before step t."""
    threshold, _, _, initial = ctx.numbers
    if t == 0:
        return torch.zeros_like(potentials[0]) + initial
    fired = _fired(excess[t - 1], ctx.dynamics, ctx.is_smooth)
    if ctx.dynamics.reset == "soft":
        return potentials[t - 1] - fired * threshold
    return potentials[t - 1] * (1 - fired)


def _is_zero(number: Number) -> bool:
    return not isinstance(number, Tensor) and number == 0.0


def _like_steps(currents: Tensor) -> Tensor:
    """Empty (T, B, ...), each step laid out as a step of the currents (which may be expanded)."""
    one = torch.empty_like(currents[0])
    return currents.new_empty_strided(currents.shape, (one.numel(), *one.stride()))
