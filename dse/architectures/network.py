"""Network: positions filled with synapses and neurons, for one time step or many, in one code.

Time is folded into the batch for whatever has no state: (T * B, ...), time-major, so that sample b
at step t is row t * B + b. Neurons see (T, B, ...). The first layer gets the same real-valued data
at every step (direct coding), hence its current is computed once and shown to the neurons T times,
as in Fang et al., ICCV 2021.

Maps lie in memory with their channels last, which convolves and pools up to 1.6 times faster on a
CPU. The network sees to it, and not its users: another layout rounds otherwise and moves spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dse.architectures.positions import Position
from dse.errors import BuildFailure

Maker = Callable[[Position], nn.Module]


class Network(nn.Module):
    """A chain of layers that ends in a readout, whose logits are averaged over the time steps.

    make_synapse : position -> module from (B, C_in, H, W) or (B, N_in) to currents
    make_neuron : position -> module on (T, B, ...); not called for the readout, which has none
    pool_first : pool the raw currents, before batch-norm and neurons, instead of the outputs
    """

    def __init__(
        self,
        positions: Sequence[Position],
        *,
        make_synapse: Maker,
        make_neuron: Maker,
        time_steps: int = 1,
        pool_first: bool = False,
    ) -> None:
        super().__init__()
        if time_steps < 1:
            raise BuildFailure(f"network: time_steps {time_steps}: must be at least 1")
        self.time_steps = time_steps
        *hidden, readout = positions
        self.layers = nn.ModuleList(
            Layer(place, make_synapse(place), make_neuron(place), pool_first=pool_first)
            for place in hidden
        )
        self.readout = Readout(readout, make_synapse(readout))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        values, steps = images.contiguous(memory_format=torch.channels_last), 1
        for layer in self.layers:
            values = layer(values, steps, self.time_steps)
            steps = self.time_steps
        logits: Tensor = self.readout(values, steps)
        return logits


class Layer(nn.Module):
    """Synapses, batch-norm, neurons and a max-pool; or synapses, max-pool, batch-norm, neurons.

    pool_first : the second order, that of Hubara et al., NeurIPS 2016, for binary networks. The
        largest of four signs is nearly always +1; pooled currents that are normalised afterwards
        have both signs. The gradient goes to the largest current of a window, and not to the
        first of several equal outputs, and the neurons are a quarter as many.
    """

    def __init__(
        self, place: Position, synapse: nn.Module, neuron: nn.Module, *, pool_first: bool
    ) -> None:
        super().__init__()
        self.flatten = place.flatten
        self.pool_first = pool_first
        self.synapse = synapse
        norm = nn.BatchNorm2d if place.kind == "conv" else nn.BatchNorm1d
        self.norm = norm(place.c_out)
        self.neuron = neuron
        self.pool = nn.MaxPool2d(place.pool) if place.pool else None

    def forward(self, values: Tensor, steps: int, time_steps: int) -> Tensor:
        """(steps * B, ...) -> (T * B, ...); steps is T, or 1 if all steps have the same values."""
        currents = self.synapse(values.flatten(1) if self.flatten else values)
        if self.pool is not None and self.pool_first:
            currents = self.pool(currents)
        by_step = self.norm(currents).unflatten(0, (steps, -1))
        by_step = by_step.expand(time_steps, *by_step.shape[1:])
        outputs: Tensor = self.neuron(by_step).flatten(0, 1)
        if self.pool is not None and not self.pool_first:
            outputs = self.pool(outputs)
        return outputs


class Readout(nn.Module):
    """Synapses whose currents are the logits, averaged over time."""

    def __init__(self, place: Position, synapse: nn.Module) -> None:
        super().__init__()
        self.flatten = place.flatten
        self.synapse = synapse

    def forward(self, values: Tensor, steps: int) -> Tensor:
        """(T * B, ...) -> (B, classes)."""
        currents = self.synapse(values.flatten(1) if self.flatten else values)
        return currents.unflatten(0, (steps, -1)).mean(0)


def real_synapse(place: Position) -> nn.Module:
    """Convolution or fully connected, with real weights; a bias only where no norm follows."""
    has_bias = place.role == "readout"
    if place.kind == "conv":
        return nn.Conv2d(
            place.c_in, place.c_out, place.kernel, padding=place.padding, bias=has_bias
        )
    return nn.Linear(place.c_in, place.c_out, bias=has_bias)
