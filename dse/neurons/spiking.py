"""Spiking neurons: integrate-and-fire over T steps, and the single-step neuron without a state."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from dse.errors import BuildFailure
from dse.neurons import fused, kernel, through_time
from dse.neurons.dynamics import Dynamics, Reset, leak_of, refuse_threshold
from dse.neurons.events import neuron_events
from dse.neurons.fused import Form
from dse.neurons.surrogates import Surrogate, in_kernel, spike

__all__ = ["IntegrateFire", "Reset", "SingleStep", "leak_of"]


class IntegrateFire(nn.Module):
    """Integrate-and-fire neurons, with or without a leak, over T steps.

    u[t] = leak v[t-1] + gain current[t],  v[-1] = initial_potential
    s[t] = H(u[t] - threshold)
    v[t] = u[t] - threshold s[t]   (soft reset)        v[t] = u[t] (1 - s[t])   (hard reset)

    Soft reset: Han, Srinivasan and Roy, CVPR 2020 (residual membrane potential). By default the
    backward pass goes through time with s[t] in the reset held constant, as in Fang et al., ICCV
    2021 (PLIF), whose neuron has scales_input, learns_leak and a hard reset.

    leak : share of the potential that is kept each step, 0..1; 1.0 is IF, less is LIF; for one
        given as a time constant in steps see `leak_of`
    threshold : above 0
    is_reset_detached : False differentiates the spike in the reset, too
    learns_leak : leak = 1 - sigmoid(w) with w a parameter, one for the layer (Fang et al., 2021,
        eq. 6); it then starts strictly between 0 and 1
    learns_threshold : threshold = exp(p) with p a parameter, one for the layer
    scales_input : gain = 1 - leak instead of 1: a current that lasts becomes the potential
    initial_potential : of every neuron, in every sample
    """

    def __init__(
        self,
        threshold: float,
        leak: float,
        reset: Reset,
        surrogate: Surrogate,
        *,
        is_reset_detached: bool = True,
        learns_leak: bool = False,
        learns_threshold: bool = False,
        scales_input: bool = False,
        initial_potential: float = 0.0,
    ) -> None:
        super().__init__()
        refuse_threshold(threshold)
        if not 0.0 <= leak <= 1.0:
            raise BuildFailure(f"spiking neuron: leak {leak}: must be between 0 and 1")
        if learns_leak and not 0.0 < leak < 1.0:
            raise BuildFailure(
                f"spiking neuron: leak {leak}: must be strictly between 0 and 1 to be learned"
            )
        if scales_input and leak == 1.0:
            raise BuildFailure("spiking neuron: leak 1.0: an input scaled by 1 - leak would be 0")
        if not math.isfinite(initial_potential):
            raise BuildFailure(
                f"spiking neuron: initial potential {initial_potential}: must be finite"
            )
        self.dynamics = Dynamics(reset, surrogate, is_reset_detached)
        self.scales_input = scales_input
        self.initial_potential = initial_potential
        self._threshold, self._leak = threshold, leak
        self.log_threshold = _parameter(math.log(threshold)) if learns_threshold else None
        self.leak_logit = _parameter(math.log((1 - leak) / leak)) if learns_leak else None

    @property
    def threshold(self) -> Tensor | float:
        """The potential from which on a neuron spikes; a tensor if it is learned."""
        return self._threshold if self.log_threshold is None else self.log_threshold.exp()

    @threshold.setter
    def threshold(self, value: float) -> None:
        refuse_threshold(value)
        self._threshold = value
        if self.log_threshold is not None:
            with torch.no_grad():
                self.log_threshold.fill_(math.log(value))

    @property
    def leak(self) -> Tensor | float:
        """The share of the potential that is kept; a tensor if it is learned."""
        return self._leak if self.leak_logit is None else 1.0 - self.leak_logit.sigmoid()

    @property
    def reset(self) -> Reset:
        """What a spike does to the potential."""
        return self.dynamics.reset

    @property
    def surrogate(self) -> Surrogate:
        """The derivative of a spike."""
        return self.dynamics.surrogate

    def form(self) -> Form:
        """What the kernel needs to know."""
        leak = self.leak
        slope, numbers = in_kernel(self.surrogate)
        return Form(
            output=kernel.SPIKE,
            slope=slope,
            numbers=numbers,
            is_hard=self.reset == "hard",
            is_detached=self.dynamics.is_detached,
            threshold=self.threshold,
            leak=leak,
            gain=1.0 - leak if self.scales_input else 1.0,
            initial=self.initial_potential,
        )

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes in {0, 1} of currents; both (T, B, ...)."""
        steps = currents.shape[0]
        form = self.form()
        if form.slope >= 0 and kernel.takes(currents, steps) and currents.dim() in (3, 5):
            spikes, _ = fused.stage(
                currents.flatten(0, 1), form, None, current_steps=steps, steps=steps, pool=1
            )
            return spikes.unflatten(0, (steps, -1))
        leak = self.leak
        return through_time.integrate_fire(
            currents,
            self.dynamics,
            threshold=self.threshold,
            leak=leak,
            gain=1.0 - leak if self.scales_input else 1.0,
            initial=self.initial_potential,
        )

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """Exact totals of one call over the whole batch; see `dse.neurons.events`."""
        time_steps = inputs.shape[0]
        return neuron_events(
            math.prod(inputs.shape[1:]),
            time_steps=time_steps,
            spikes_before_last=torch.count_nonzero(outputs[: time_steps - 1]),
            has_leak=self.leak_logit is not None or self._leak != 1.0,
            has_initial=self.initial_potential != 0.0,
        )

    def extra_repr(self) -> str:
        with torch.no_grad():
            threshold, leak = float(self.threshold), float(self.leak)
        return f"threshold={threshold}, leak={leak}, reset={self.reset}"


class SingleStep(nn.Module):
    """Neurons that spike at once and keep nothing: s = H(u - threshold).

    Suetake, Ikegawa, Saiin and Sawada, Neural Networks 159, 2023. Spikes are those of
    `IntegrateFire` at T = 1.

    threshold : above 0
    """

    def __init__(self, threshold: float, surrogate: Surrogate) -> None:
        super().__init__()
        refuse_threshold(threshold)
        self.threshold = threshold
        self.surrogate = surrogate

    def form(self) -> Form:
        """What the kernel needs to know."""
        slope, numbers = in_kernel(self.surrogate)
        return Form(kernel.SPIKE, slope, numbers, threshold=self.threshold)

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes in {0, 1} of currents, of any one shape."""
        return spike(currents - self.threshold, self.surrogate)

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """One comparison for each value; see `dse.neurons.events`."""
        return neuron_events(inputs.numel())

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"


def _parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value))
