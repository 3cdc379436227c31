"""Network: places filled with synapses and neurons, for one time step or many, in one code.

The first layer gets the same real-valued data at every step (direct coding), hence its current is
computed once and shown to the neurons T times, as in Fang et al., ICCV 2021.

Maps lie in memory with their channels last, which convolves and pools up to 1.6 times faster on a
CPU. The network sees to it, and not its users: another layout rounds otherwise and moves spikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.architectures.positions import Place, Position
from dse.errors import BuildFailure
from dse.networks.encoding import Coding, Encoding
from dse.networks.layer import (
    Fire,
    Inflow,
    Layer,
    Maker,
    NormKind,
    Watch,
    is_hooked,
    make_norm,
    observe,
)
from dse.networks.residual import Joined, Membrane, Shortcut
from energy_models.units import PJ_PER_NJ

Output = Literal["mean-potential", "mean-spikes", "every-step"]


@dataclass(frozen=True, slots=True)
class Penalties:
    """What training pays for spikes, beside the cross-entropy.

    spike_rate : times the mean over layers of spikes by neuron and step
    energy_per_nj : times the energy of the accumulates that spikes cause, in nJ per sample
    ac_pj : energy of one accumulate
    """

    spike_rate: float = 0.0
    energy_per_nj: float = 0.0
    ac_pj: float = 0.0

    def __bool__(self) -> bool:
        return self.spike_rate > 0.0 or self.energy_per_nj > 0.0


class Network(nn.Module):
    """A chain of layers that ends in a readout, whose logits are averaged over the time steps.

    make_synapse : position -> module from (B, C_in, H, W) or (B, N_in) to currents
    make_neuron : position -> module on (T, B, ...); not called for the readout unless it spikes
    pool_first : pool the raw currents, before batch-norm and neurons, instead of the outputs
    norm : batch-norm over batch, place and time together; `threshold` scales it to the threshold
    shortcut : how the ways of a residual block are joined
    output : the mean over time of the readout's potentials (its currents), or of its spikes; or
        potentials with a loss at every step (Deng, Li, Zhang and Gu, ICLR 2022, eq. 10), so that
        fewer steps than trained can be read out later
    time_steps : may be lowered after the training
    """

    def __init__(
        self,
        positions: Sequence[Place],
        *,
        make_synapse: Maker,
        make_neuron: Maker,
        time_steps: int = 1,
        pool_first: bool = False,
        norm: NormKind = "batch",
        threshold: float = 1.0,
        shortcut: Shortcut = "membrane",
        coding: Coding = "direct",
        output: Output = "mean-potential",
        penalties: Penalties | None = None,
    ) -> None:
        super().__init__()
        if time_steps < 1:
            raise BuildFailure(f"network: time_steps {time_steps}: must be at least 1")
        self.time_steps = time_steps
        self.output = output
        self.penalties = penalties or Penalties()
        self.encoding = Encoding(coding)
        *hidden, readout = positions
        if not isinstance(readout, Position):
            raise BuildFailure("network: the last place is a residual block: must be a readout")

        def norm_of(place: Position) -> nn.Module | None:
            return make_norm(place, norm, threshold)

        layers: list[nn.Module] = []
        are_currents = False  # what comes next gets currents that no neuron has seen
        for place, following in zip(hidden, positions[1:], strict=True):
            if not isinstance(place, Position) and shortcut == "membrane":
                layers.append(Membrane(place, make_synapse, norm_of, make_neuron))
                are_currents = True
                continue
            if are_currents:
                layers.append(Fire(None, make_neuron(_first(place))))
            if isinstance(place, Position):
                are_currents = shortcut == "membrane" and not isinstance(following, Position)
                neuron = None if are_currents else make_neuron(place)
                layers.append(
                    Layer(place, make_synapse(place), norm_of(place), neuron, pool_first=pool_first)
                )
            else:
                is_product = shortcut == "and"
                layers.append(
                    Joined(place, make_synapse, norm_of, make_neuron, is_product=is_product)
                )
        if are_currents:
            layers.append(Fire(None, make_neuron(readout)))
        self.layers = nn.ModuleList(layers)
        spiking = make_neuron(readout) if output == "mean-spikes" else None
        self.readout = Readout(readout, make_synapse(readout), spiking)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        values, steps = self._hidden(images, None)
        logits: Tensor = self.readout(values, steps, self.time_steps)
        return logits

    def logits_by_step(self, images: Tensor) -> Tensor:
        """(T, B, classes): what each step adds; the mean of the first t are the logits of t steps.

        From one pass, since no step depends on a later one.
        """
        values, steps = self._hidden(images, None)
        by_step: Tensor = self.readout.by_step(values, steps, self.time_steps, None)
        return by_step

    def training_loss(self, images: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        """Cross-entropy and penalties of a batch; labels (B,) from 0."""
        watch = None
        if self.penalties:
            watch = Watch(wants_operations=self.penalties.energy_per_nj > 0.0)
        values, steps = self._hidden(images, watch)
        if self.output == "every-step":
            logits = self.readout.by_step(values, steps, self.time_steps, watch)
            targets = labels.repeat(logits.shape[0])
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(), targets, label_smoothing=label_smoothing
            )
        else:
            logits = self.readout(values, steps, self.time_steps, watch)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        if watch is None:
            return loss
        return loss + self._penalty(watch, loss)

    def _hidden(self, images: Tensor, watch: Watch | None) -> tuple[Tensor, int]:
        images = images.contiguous(memory_format=torch.channels_last)
        values, steps = self.encoding(images, self.time_steps)
        for layer in self.layers:
            values = layer(values, steps, self.time_steps, watch)
            is_still = isinstance(layer, Layer) and layer.neuron is None
            steps = steps if is_still else self.time_steps
        return values, steps

    def _penalty(self, watch: Watch, loss: Tensor) -> Tensor:
        total = torch.zeros_like(loss)
        if self.penalties.spike_rate > 0.0 and watch.rates:
            total = total + self.penalties.spike_rate * torch.stack(watch.rates).mean()
        if watch.operations:
            operations = torch.stack([count.double() for count in watch.operations]).sum()
            energy_pj = operations * self.penalties.ac_pj
            total = total + self.penalties.energy_per_nj * energy_pj / PJ_PER_NJ
        return total.to(loss.dtype)


class Readout(nn.Module):
    """Synapses whose currents are the logits, averaged over time; or neurons that spike them."""

    def __init__(self, place: Position, synapse: nn.Module, neuron: nn.Module | None) -> None:
        super().__init__()
        self.inflow = Inflow(place)
        self.synapse = synapse
        self.spiking = None if neuron is None else Fire(None, neuron)

    def forward(
        self, values: Tensor, steps: int, time_steps: int, watch: Watch | None = None
    ) -> Tensor:
        """(steps * B, ...) -> (B, classes)."""
        is_seen = torch._C._len_torch_dispatch_stack() > 0 or is_hooked(self.synapse)
        is_linear = type(self.synapse) in (nn.Linear, nn.Conv2d) and self.spiking is None
        if is_linear and steps > 1 and watch is None and not is_seen:
            # the mean goes first: synapses work once instead of T times
            values, steps = values.unflatten(0, (steps, -1)).mean(0), 1
        return self.by_step(values, steps, time_steps, watch).mean(0)

    def by_step(self, values: Tensor, steps: int, time_steps: int, watch: Watch | None) -> Tensor:
        """(steps * B, ...) -> (T or 1, B, classes)."""
        inputs = self.inflow(values, steps)
        currents = self.synapse(inputs)
        observe(watch, self.inflow, inputs, currents, steps)
        if self.spiking is not None:
            currents, steps = self.spiking(currents, steps, time_steps, watch), time_steps
        vote = self.inflow.place.vote
        if vote > 1:
            currents = currents.unflatten(-1, (-1, vote)).mean(-1)
        return currents.unflatten(0, (steps, -1))


def real_synapse(place: Position) -> nn.Module:
    """Convolution or fully connected, with real weights; a bias only where no norm follows."""
    has_bias = place.role == "readout"
    if place.kind == "conv":
        return nn.Conv2d(
            place.c_in,
            place.c_out,
            place.kernel,
            stride=place.stride,
            padding=place.padding,
            bias=has_bias,
        )
    return nn.Linear(place.c_in, place.c_out, bias=has_bias)


def _first(place: Place) -> Position:
    return place if isinstance(place, Position) else place.body[0]
