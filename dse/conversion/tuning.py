"""Tuning: a converted network trained on as the spiking network that it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dse.conversion.lessons import Lessons, taught
from dse.conversion.network import ConvertedNetwork, Neurons, by_channel_of
from dse.errors import ConversionFailure

ALPHA, BETA = 0.3, 0.01  # of the gradient by spike times, as published
_NEVER_STEPS = 1000  # since the last spike of a neuron that had none, as in the authors' code


def tune(network: ConvertedNetwork, kind: str, epochs: int, lessons: Lessons) -> str:
    """Train the weights on in place; thresholds, potentials and drives stay. Says what it did.

    surrogate : a spike's derivative is max(0, 1 - |u / threshold - 1|)
    spike-time : it is `ALPHA` exp(-`BETA` x steps since the neuron's last spike), whatever the
        potential is: Rathi, Srinivasan, Panda and Roy, ICLR 2020 (STDB). Neurons that have not
        spiked learn next to nothing, so that few steps leave it to the readout

    Raises DivergedFailure if the training cannot go on: the authors of `spike-time` say that it can
    become unstable.
    """
    if kind not in ("surrogate", "spike-time"):
        raise ConversionFailure(f'tuning "{kind}": must be surrogate or spike-time')
    neurons = {
        name: module for name, module in network.nodes.items() if isinstance(module, Neurons)
    }
    device = next(network.parameters()).device
    try:
        if kind == "spike-time":
            for name, module in neurons.items():
                network.nodes[name] = SpikeTime(module)
        told = taught(network, lessons, epochs)
    finally:
        for name, module in neurons.items():
            network.nodes[name] = module
    network.to(device).eval()
    return f"trained on with {kind} gradients: {told}"


class SpikeTime(nn.Module):
    """The same spikes as those of neurons; their gradient follows from when they last spiked."""

    def __init__(self, neurons: Neurons) -> None:
        super().__init__()
        self.neurons = neurons

    def forward(self, currents: Tensor) -> Tensor:
        """(T, B, ...) -> the same."""
        neurons = self.neurons
        threshold = by_channel_of(neurons.threshold_values, currents.dim() - 2)
        kept = (neurons.initial / threshold).expand_as(currents[0])
        last = torch.full_like(currents[0], -_NEVER_STEPS)
        spikes = []
        for step, driven in enumerate(((currents + neurons.drive) / threshold).unbind(0)):
            potential = driven + kept
            spike: Tensor = _ByTime.apply(potential - 1.0, step - last)
            spikes.append(spike)
            fired = spike.detach()
            kept = potential - fired if neurons.reset == "soft" else potential * (1 - fired)
            last = torch.where(fired > 0, step, last)
        return torch.stack(spikes)


class _ByTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, excess: Tensor, since: Tensor) -> Tensor:
        ctx.save_for_backward(since)
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (since,) = ctx.saved_tensors
        return gradient * (ALPHA * torch.exp(-BETA * since)), None
