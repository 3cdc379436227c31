"""Spiking neurons: integrate-and-fire over T steps, and the single-step neuron without a state."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dse.errors import BuildFailure
from dse.neurons.events import neuron_events
from dse.neurons.surrogates import Surrogate, spike

Reset = Literal["soft", "hard"]


class IntegrateFire(nn.Module):
    """Integrate-and-fire neurons, with or without a leak, over T steps from potential 0.

    u[t] = leak * v[t-1] + current[t],  v[-1] = 0
    s[t] = H(u[t] - threshold)
    v[t] = u[t] - threshold * s[t]   (soft reset)        v[t] = u[t] * (1 - s[t])   (hard reset)

    Soft reset: Han, Srinivasan and Roy, CVPR 2020 (residual membrane potential). The backward pass
    goes through time with s[t] in the reset held constant, as in Fang et al., ICCV 2021.

    leak : share of the potential that is kept each step, 0..1; 1.0 is IF, less is LIF
    threshold : above 0
    """

    def __init__(self, threshold: float, leak: float, reset: Reset, surrogate: Surrogate) -> None:
        super().__init__()
        _refuse_threshold(threshold)
        if not 0.0 <= leak <= 1.0:
            raise BuildFailure(f"spiking neuron: leak {leak}: must be between 0 and 1")
        if reset not in ("soft", "hard"):
            raise BuildFailure(f'spiking neuron: reset "{reset}": must be "soft" or "hard"')
        self.threshold = threshold
        self.leak = leak
        self.reset = reset
        self.surrogate = surrogate

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes in {0, 1} of currents; both (T, B, ...)."""
        spikes: Tensor = _IntegrateFire.apply(
            currents, self.threshold, self.leak, self.reset, self.surrogate
        )
        return spikes

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """Exact totals of one call over the whole batch; see `dse.neurons.events`."""
        time_steps = inputs.shape[0]
        return neuron_events(
            math.prod(inputs.shape[1:]),
            time_steps=time_steps,
            spikes_before_last=torch.count_nonzero(outputs[: time_steps - 1]),
            has_leak=self.leak != 1.0,
        )

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, leak={self.leak}, reset={self.reset}"


class SingleStep(nn.Module):
    """Neurons that spike at once and keep nothing: s = H(u - threshold).

    Suetake, Ikegawa, Saiin and Sawada, Neural Networks 159, 2023. Spikes are those of
    `IntegrateFire` at T = 1.

    threshold : above 0
    """

    def __init__(self, threshold: float, surrogate: Surrogate) -> None:
        super().__init__()
        _refuse_threshold(threshold)
        self.threshold = threshold
        self.surrogate = surrogate

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes in {0, 1} of currents, of any one shape."""
        return spike(currents - self.threshold, self.surrogate)

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """One comparison for each value; see `dse.neurons.events`."""
        return neuron_events(inputs.numel())

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"


class _IntegrateFire(torch.autograd.Function):
    """All T steps as one node: only u - threshold is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        threshold: float,
        leak: float,
        reset: Reset,
        surrogate: Surrogate,
    ) -> Tensor:
        excess = _like_steps(currents)
        spikes = torch.empty_like(excess)
        potential = currents[0]
        for t in range(currents.shape[0]):
            if t > 0:
                potential = torch.add(currents[t], potential, alpha=leak)
            torch.sub(potential, threshold, out=excess[t])
            torch.ge(excess[t], 0.0, out=spikes[t])
            if reset == "soft":
                potential = torch.sub(potential, spikes[t], alpha=threshold)
            else:
                potential = potential.masked_fill(spikes[t].bool(), 0.0)
        ctx.save_for_backward(excess)
        ctx.leak, ctx.reset, ctx.surrogate = leak, reset, surrogate
        return spikes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None, None, None]:
        (excess,) = ctx.saved_tensors
        grad = ctx.surrogate.derivative(excess).mul_(grad_spikes)
        for t in range(grad.shape[0] - 2, -1, -1):
            later = grad[t + 1]
            if ctx.reset == "hard":
                later = later.masked_fill(excess[t] >= 0, 0.0)
            grad[t].add_(later, alpha=ctx.leak)
        return grad, None, None, None, None


def _like_steps(currents: Tensor) -> Tensor:
    """Empty (T, B, ...), each step laid out as a step of the currents (which may be expanded)."""
    one = torch.empty_like(currents[0])
    return currents.new_empty_strided(currents.shape, (one.numel(), *one.stride()))


def _refuse_threshold(threshold: float) -> None:
    if not (math.isfinite(threshold) and threshold > 0):
        raise BuildFailure(f"spiking neuron: threshold {threshold}: must be finite and above 0")
