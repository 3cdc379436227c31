"""Reference: the neuron equations one step and one operator at a time, differentiated by PyTorch.

Slow and readable: what the fast paths are tested against.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dse.neurons.dynamics import Dynamics
from dse.neurons.surrogates import spike


def integrate_fire(
    currents: Tensor,
    dynamics: Dynamics,
    *,
    threshold: Tensor | float,
    leak: Tensor | float = 1.0,
    gain: Tensor | float = 1.0,
    initial: Tensor | float = 0.0,
    is_smooth: bool = False,
) -> Tensor:
    """Spikes (T, B, ...) of currents (T, B, ...).

    u[t] = leak v[t-1] + gain current[t],  v[-1] = initial
    s[t] = H(u[t] - threshold)
    v[t] = u[t] - threshold s[t]   (soft reset)        v[t] = u[t] (1 - s[t])   (hard reset)

    Neftci, Mostafa and Zenke, IEEE Signal Processing Magazine 2019; Fang et al., ICCV 2021.
    is_smooth : the primitive of the surrogate takes the place of H, in the forward pass as well, so
        that finite differences see the gradient
    """
    potential = torch.zeros_like(currents[0]) + initial
    spikes = []
    for current in currents:
        before_reset = leak * potential + gain * current
        excess = before_reset - threshold
        primitive = dynamics.surrogate.primitive
        fired = primitive(excess) if is_smooth else spike(excess, dynamics.surrogate)
        spikes.append(fired)
        known = fired.detach() if dynamics.is_detached else fired
        if dynamics.reset == "soft":
            potential = before_reset - threshold * known
        else:
            potential = before_reset * (1 - known)
    return torch.stack(spikes)
