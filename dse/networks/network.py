"""Network: places filled with synapses and neurons, for one time step or many, in one code.

The first layer gets the same real-valued data at every step (direct coding), hence its current is
computed once and shown to the neurons T times, as in Fang et al., ICCV 2021. Of frames of events
every step has its own, and the first layer works at every step.

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

from dse.architectures.positions import Place, Position, Residual
from dse.errors import BuildFailure
from dse.networks.encoding import Coding, Encoding
from dse.networks.layer import (
    Fire,
    Inflow,
    Layer,
    Maker,
    NormKind,
    Stage,
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
    make_neuron : position -> module on (T, B, ...); called with the place whose currents it gets,
        and with the readout only if that spikes
    pool_first : pool the raw currents, before batch-norm and neurons, instead of the outputs
    norm : batch-norm over batch, place and time together; `threshold` scales it to the threshold;
        `none` adds nothing, so that synapses want a bias of their own: see `biased_synapse`
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
        source: Position | None = None  # of currents that no neuron has seen
        for place, following in zip(hidden, positions[1:], strict=True):
            if isinstance(place, Residual) and shortcut == "membrane":
                before = make_neuron(source or place.body[0])
                layers.append(Membrane(place, make_synapse, norm_of, make_neuron, before))
                source = place.body[-1]
                continue
            if source is not None:
                layers.append(Fire(None, make_neuron(source)))
                source = None
            if isinstance(place, Residual):
                is_product = shortcut == "and"
                layers.append(
                    Joined(place, make_synapse, norm_of, make_neuron, is_product=is_product)
                )
                continue
            if shortcut == "membrane" and isinstance(following, Residual):
                source = place
            neuron = None if source is not None else make_neuron(place)
            layers.append(
                Layer(place, make_synapse(place), norm_of(place), neuron, pool_first=pool_first)
            )
        if source is not None:
            layers.append(Fire(None, make_neuron(source)))
        self.layers = nn.ModuleList(layers)
        spiking = make_neuron(readout) if output == "mean-spikes" else None
        self.readout = Readout(readout, make_synapse(readout), spiking)
        if self.penalties and not self._only_spikes():
            raise BuildFailure("network: penalties for spikes: all of its neurons must spike")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W), or of frames of events (B, T, C, H, W)."""
        values, steps = self._hidden(images, None)
        logits: Tensor = self.readout(values, steps, self.time_steps)
        return logits

    def logits_by_step(self, images: Tensor) -> Tensor:
        """(T, B, classes): what each step adds; the mean of the first t are the logits of t steps.

        From one pass, since no step depends on a later one.
        """
        values, steps = self._hidden(images, None)
        by_step: Tensor = self.readout.by_step(values, steps, self.time_steps, None)
        return by_step.expand(self.time_steps, -1, -1)

    @property
    def classes(self) -> int:
        """How many logits there are for an image."""
        place = self.readout.inflow.place
        return place.c_out // place.vote

    def training_loss(self, images: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Cross-entropy and penalties of a batch.

        targets : labels (B,) from 0, or the shares (B, classes) of the classes in each image
        """
        watch = None
        if self.penalties:
            watch = Watch(wants_operations=self.penalties.energy_per_nj > 0.0)
        values, steps = self._hidden(images, watch)
        if self.output == "every-step":
            by_step = self.readout.by_step(values, steps, self.time_steps, watch)
            logits = by_step.flatten(0, 1)
            targets = targets.repeat(len(by_step), *(1 for _ in targets.shape[1:]))
        else:
            logits = self.readout(values, steps, self.time_steps, watch)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
        if watch is None:
            return loss
        return loss + self._penalty(watch, loss)

    def _hidden(self, images: Tensor, watch: Watch | None) -> tuple[Tensor, int]:
        values, steps = self.encoding(images, self.time_steps)
        values = values.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            values = layer(values, steps, self.time_steps, watch)
            is_still = isinstance(layer, Layer) and layer.neuron is None
            steps = steps if is_still else self.time_steps
        return values, steps

    def _only_spikes(self) -> bool:
        stages = [module for module in self.modules() if isinstance(module, Stage)]
        return all(stage.is_spiking for stage in stages if stage.neuron is not None)

    def extra_repr(self) -> str:
        words = f"time_steps={self.time_steps}, output={self.output}"
        return f"{words}, {self.penalties}" if self.penalties else words

    def _penalty(self, watch: Watch, loss: Tensor) -> Tensor:
        total = torch.zeros_like(loss)
        if self.penalties.spike_rate > 0.0 and watch.rates:
            total = total + self.penalties.spike_rate * torch.stack(watch.rates).mean()
        if watch.operations:
            energy_pj = torch.stack(watch.operations).sum() * self.penalties.ac_pj
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
        synapse = self.synapse
        is_seen = torch._C._len_torch_dispatch_stack() > 0 or is_hooked(synapse)
        if type(synapse) is not nn.Linear or self.spiking is not None or steps == 1 or is_seen:
            return self.by_step(values, steps, time_steps, watch).mean(0)
        # inputs are added over time first, so that synapses work once instead of T times; sums of
        # spikes are exact in any dtype, and their means are not
        inputs = self.inflow(values.unflatten(0, (steps, -1)).sum(0), 1)
        bias = None if synapse.bias is None else synapse.bias * steps
        currents = F.linear(inputs, synapse.weight, bias) / steps
        observe(watch, self.inflow, inputs, currents, 1)
        return self._voted(currents)

    def by_step(self, values: Tensor, steps: int, time_steps: int, watch: Watch | None) -> Tensor:
        """(steps * B, ...) -> (T or 1, B, classes)."""
        inputs = self.inflow(values, steps)
        currents = self.synapse(inputs)
        observe(watch, self.inflow, inputs, currents, steps)
        if self.spiking is not None:
            currents, steps = self.spiking(currents, steps, time_steps, watch), time_steps
        return self._voted(currents).unflatten(0, (steps, -1))

    def _voted(self, currents: Tensor) -> Tensor:
        vote = self.inflow.place.vote
        return currents.unflatten(-1, (-1, vote)).mean(-1) if vote > 1 else currents


def real_synapse(place: Position) -> nn.Module:
    """Convolution or fully connected, with real weights; a bias in the readout alone.

    A batch-norm behind all others has one, and would undo theirs.
    """
    return _real(place, has_bias=place.role == "readout")


def biased_synapse(place: Position) -> nn.Module:
    """As `real_synapse`, with a bias everywhere: for networks without a norm."""
    return _real(place, has_bias=True)


def _real(place: Position, *, has_bias: bool) -> nn.Module:
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
