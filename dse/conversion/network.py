"""Converted network: the nodes of a graph over T time steps, with neurons for activations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.conversion.folding import Synapse
from dse.conversion.graph import Kind
from dse.errors import ConversionFailure
from dse.networks.encoding import Encoding
from dse.neurons import fused, kernel, through_time
from dse.neurons.dynamics import Reset
from dse.neurons.events import neuron_events
from dse.neurons.spiking import IntegrateFire
from dse.neurons.surrogates import Surrogate, Triangular

Coding = Literal["direct", "rate", "poisson"]
When = Literal["none", "start", "end"]
_ROWS = 1 << 11  # samples times steps that flow at once: more only take memory
_ROWS_CPU = 1 << 8  # or leave the caches: 20 % slower at 2048


class Neurons(IntegrateFire):
    """Integrate-and-fire neurons without a leak, in units of their thresholds.

    Spikes are 0 or 1: what a spike is worth, threshold x height, is in the weights behind it.

    threshold_values : of the layer (), or of each channel (C,); above 0
    initial : potential before the first step, of any shape that broadcasts to a neuron's
    drive : added to the currents at each step, likewise
    """

    threshold_values: Tensor
    initial: Tensor
    drive: Tensor

    def __init__(
        self,
        threshold: Tensor,
        initial: Tensor,
        drive: Tensor | None = None,
        *,
        reset: Reset = "soft",
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(1.0, 1.0, reset, surrogate or Triangular(1.0, 1.0))
        if not bool((threshold > 0).all() and threshold.isfinite().all()):
            raise ConversionFailure(f"neurons: threshold {threshold.min()}: must be above 0")
        self.register_buffer("threshold_values", threshold.detach().clone())
        self.register_buffer("initial", initial.detach().clone())
        self.register_buffer("drive", torch.zeros(()) if drive is None else drive.detach().clone())
        self.activity: tuple[Tensor, int] | None = None

    def forward(self, currents: Tensor, *, is_scratch: bool = False) -> Tensor:
        """Spikes in {0, 1} of currents; both (T, B, ...).

        is_scratch : nobody reads the currents afterwards: they may be overwritten
        """
        steps, threshold, initial = len(currents), self.threshold_values, self.initial
        is_scratch &= currents.stride(0) != 0  # those of one step may stand for all
        if bool((self.drive != 0).any()):
            currents = currents.add_(self.drive) if is_scratch else currents + self.drive
            is_scratch = True
        if threshold.dim():  # the kernel has one for the layer
            height = by_channel_of(threshold, currents.dim() - 2)
            currents = currents.div_(height) if is_scratch else currents / height
            is_scratch = True
            initial, threshold = initial / height, torch.ones_like(threshold[0])
        if initial.dim() or initial.requires_grad:
            currents = _started(currents, initial, is_scratch=is_scratch)
            initial = torch.zeros_like(threshold)
        if not (kernel.takes(currents, steps) and currents.dim() in (3, 5)):
            return through_time.integrate_fire(
                currents, self.dynamics, threshold=threshold, initial=initial
            )
        form = replace(self.form(), threshold=float(threshold), initial=float(initial))
        is_same = currents.stride(0) == 0
        rows = currents[0] if is_same else currents.flatten(0, 1)
        spikes, _ = fused.stage(
            rows, form, None, current_steps=1 if is_same else steps, steps=steps, pool=1
        )
        return spikes.reshape(currents.shape)

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """As of the neurons; a drive of its own, which no bias holds, is integrated as well."""
        time_steps = inputs.shape[0]
        events = neuron_events(
            math.prod(inputs.shape[1:]),
            time_steps=time_steps,
            spikes_before_last=torch.count_nonzero(outputs[: time_steps - 1]),
            has_leak=False,
            has_initial=bool((self.initial != 0).any()),
        )
        if bool((self.drive != 0).any()):
            events["integrate"] = events["integrate"] + math.prod(inputs.shape)
        return events

    def extra_repr(self) -> str:
        low, high = self.threshold_values.min().item(), self.threshold_values.max().item()
        thresholds = f"{low:.4g}" if low == high else f"{low:.4g}..{high:.4g}"
        return f"thresholds={thresholds}, reset={self.reset}"


def _started(currents: Tensor, initial: Tensor, *, is_scratch: bool) -> Tensor:
    """Currents with potentials of the start in their first step, where nothing else is read."""
    if not is_scratch:
        one = torch.empty_like(currents[0])  # whose layout each step keeps
        strides = (one.numel(), *one.stride())
        currents = currents.new_empty_strided(currents.shape, strides).copy_(currents)
    currents[0] += initial
    return currents


class MaxOfRates(nn.Module):
    """Max-pool of spikes whose rate is the largest rate in the window, after any number of steps.

    A spike leaves when the largest number of spikes that came from one neuron of the window grows,
    which is by one at most: a max-pool of the spikes themselves would let all of them through.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (T, B, C, H', W')."""
        largest = self.pool(spikes.cumsum(0).flatten(0, 1)).unflatten(0, spikes.shape[:2])
        return torch.cat((largest[:1], largest[1:] - largest[:-1]))

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """A counter of each input is a neuron that integrates and is compared with the largest.

        The largest counts one more for each spike that leaves: that is booked as the reset.
        """
        time_steps = inputs.shape[0]
        return neuron_events(
            math.prod(inputs.shape[1:]),
            time_steps=time_steps,
            spikes_before_last=torch.count_nonzero(outputs[: time_steps - 1]),
        )


class Compensation(nn.Module):
    """Synapses that give back what the coding of the data has lost: those of the first layer.

    synapse : whose weights these are; it has its own place in the network
    """

    def __init__(self, synapse: Synapse) -> None:
        super().__init__()
        self._synapse = (synapse,)  # in a tuple it is no submodule: its weights are borrowed

    def forward(self, losses: Tensor) -> Tensor:
        """Currents of values; as of the synapse, without its bias."""
        (synapse,) = self._synapse
        if isinstance(synapse, nn.Linear):
            return F.linear(losses, synapse.weight)
        return synapse._conv_forward(losses, synapse.weight, None)


@dataclass(frozen=True, slots=True)
class Step:
    """A node as it is computed: `module` is a key of the network's modules."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    module: str | None = None
    compensation: str | None = None


See = Callable[[Step, Tensor, Tensor], None]


class ConvertedNetwork(nn.Module):
    """Nodes over time: synapses on spikes, neurons where activations were, logits as a mean.

    The logits are the mean over the steps of what reaches the readout: the potential that it has
    accumulated, over T.

    steps : in the order of computation; the first is the input, the last gives the logits
    modules : of synapses, neurons and pools
    coding : what enters: the values themselves at each step (direct), the spikes of
        integrate-and-fire neurons of threshold 1 that they drive (rate), or random ones (poisson)
    compensation : with `rate`, what the spikes of T steps have lost, T W e with e = x - rate, is
        added to the currents of the first layer once, at the first step or the last
    time_steps : may be changed, unless neurons were calibrated for it
    """

    def __init__(
        self,
        steps: Sequence[Step],
        modules: Mapping[str, nn.Module],
        *,
        time_steps: int,
        coding: Coding = "direct",
        compensation: When = "none",
    ) -> None:
        super().__init__()
        if time_steps < 1:
            raise ConversionFailure(f"time_steps {time_steps}: must be at least 1")
        self.steps = tuple(steps)
        self._scratch = _sole_readers(self.steps)
        self._done = _last_readers(self.steps)
        self.nodes = nn.ModuleDict(modules)
        self.time_steps = time_steps
        self.coding_kind = coding
        self.compensation = compensation
        self.coding: nn.Module | None = make_coding(coding)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return self.logits_by_step(images).mean(0)

    def logits_by_step(self, images: Tensor) -> Tensor:
        """(T, B, classes): what each step adds; the mean of the first t are the logits of t steps.

        For neurons that were calibrated for T steps that is not what t steps would give.
        """
        is_watched = torch._C._len_torch_dispatch_stack() > 0  # parts look like steps to a counter
        if self.training or is_watched or len(images) <= self.samples_at_once:
            return self.run(images)
        if not isinstance(self.coding, Encoding):
            parts = torch.split(images, self.samples_at_once)
            return torch.cat([self.run(part) for part in parts], 1)
        # drawn for all at once: the spikes of the first steps are then the same at any T
        spikes, count = self.coding(images, self.time_steps)
        drawn = over_time(spikes, count, self.time_steps)
        pieces = torch.split(drawn, self.samples_at_once, 1)
        found = [self._flow((one.flatten(0, 1), self.time_steps), None, None) for one in pieces]
        return torch.cat(found, 1)

    @property
    def samples_at_once(self) -> int:
        """How many samples are best shown together: more leave the caches, or the memory.

        Never as many as there are steps, which one could take for the other.
        """
        is_cpu = next(self.parameters()).device.type == "cpu"
        most = max(2, (_ROWS_CPU if is_cpu else _ROWS) // self.time_steps)
        return most if most != self.time_steps else most - 1

    def run(self, images: Tensor, see: See | None = None) -> Tensor:
        """`logits_by_step`; see : told of all neurons, their currents and spikes (T, B, ...)."""
        if images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        return self._flow(*encode(self, images), see)

    def _flow(self, entering: tuple[Tensor, int], loss: Tensor | None, see: See | None) -> Tensor:
        values: dict[str, tuple[Tensor, int]] = {self.steps[0].name: entering}
        losses = {} if loss is None else {self.steps[0].name: loss}
        for step in self.steps[1:]:
            inputs = [values[name] for name in step.inputs]
            if step.inputs[0] in losses and step.kind in ("flatten", "average"):
                losses[step.name] = self._computed(step, [(losses[step.inputs[0]], 1)], None)[0]
            values[step.name] = self._computed(step, inputs, see)
            if step.compensation is not None and losses:
                extra = self.nodes[step.compensation](losses[step.inputs[0]])
                values[step.name] = self._compensated(*values[step.name], extra)
            for name in self._done.get(step.name, ()):
                del values[name]
        logits, count = values[self.steps[-1].name]
        return over_time(logits, count, self.time_steps)

    def _computed(
        self, step: Step, inputs: Sequence[tuple[Tensor, int]], see: See | None
    ) -> tuple[Tensor, int]:
        tensor, count = inputs[0]
        if step.kind == "add":
            return added(inputs, self.time_steps)
        assert step.module is not None
        module = self.nodes[step.module]
        if step.kind not in ("activation", "max"):
            return module(tensor), count
        currents = over_time(tensor, count, self.time_steps)
        if isinstance(module, Neurons):
            is_scratch = see is None and step.name in self._scratch and not currents.requires_grad
            outputs = module(currents, is_scratch=is_scratch)
            is_watched = torch._C._len_torch_dispatch_stack() > 0
            module.activity = None if is_watched else (outputs.detach().sum(), outputs.numel())
        else:
            outputs = module(currents)
        if see is not None:
            see(step, currents, outputs)
        return outputs.flatten(0, 1), self.time_steps

    def _compensated(self, currents: Tensor, count: int, extra: Tensor) -> tuple[Tensor, int]:
        by_step = list(over_time(currents, count, self.time_steps).unbind(0))
        place = 0 if self.compensation == "start" else -1
        by_step[place] = by_step[place] + extra
        return torch.cat(by_step), self.time_steps

    def extra_repr(self) -> str:
        words = f"time_steps={self.time_steps}, coding={self.coding_kind}"
        has_any = self.compensation != "none"
        return f"{words}, compensation={self.compensation}" if has_any else words


def _sole_readers(steps: Sequence[Step]) -> frozenset[str]:
    """Neurons whose currents were made for them alone."""
    by_name = {step.name: step for step in steps}
    read = Counter(name for step in steps for name in step.inputs)
    return frozenset(
        step.name
        for step in steps
        if step.kind == "activation"
        and read[step.inputs[0]] == 1
        and by_name[step.inputs[0]].kind in ("synapse", "add")
    )


def _last_readers(steps: Sequence[Step]) -> Mapping[str, set[str]]:
    """What each step is the last to read."""
    last = {name: step.name for step in steps for name in step.inputs}
    found: dict[str, set[str]] = {}
    for name, reader in last.items():
        found.setdefault(reader, set()).add(name)
    return found


def make_coding(coding: Coding) -> nn.Module | None:
    """What makes spikes of the data, or None."""
    if coding == "poisson":
        return Encoding("poisson")
    if coding == "rate":
        return Neurons(torch.ones(()), torch.zeros(()))
    return None


def encode(network: ConvertedNetwork, images: Tensor) -> tuple[tuple[Tensor, int], Tensor | None]:
    """What enters the first layer, and T times what its spikes have lost, if that is given back."""
    steps, coding = network.time_steps, network.coding
    if coding is None:
        return (images, 1), None
    if isinstance(coding, Encoding):
        return coding(images, steps), None
    spikes = coding(images.expand(steps, *images.shape))
    loss = None
    if network.compensation != "none":
        loss = steps * images - spikes.sum(0)
    return (spikes.flatten(0, 1), steps), loss


def over_time(values: Tensor, count: int, time_steps: int) -> Tensor:
    """(count * B, ...) -> (T, B, ...), the same at every step if there was one only."""
    by_step = values.reshape(count, -1, *values.shape[1:])
    return by_step.expand(time_steps, *by_step.shape[1:])


def added(inputs: Sequence[tuple[Tensor, int]], time_steps: int) -> tuple[Tensor, int]:
    """Currents of several ways, added at each step."""
    count = max(one for _, one in inputs)
    if all(one == count for _, one in inputs):
        total = inputs[0][0]
        for tensor, _ in inputs[1:]:
            total = total + tensor
        return total, count
    total = over_time(*inputs[0], time_steps)
    for tensor, one in inputs[1:]:
        total = total + over_time(tensor, one, time_steps)
    return total.flatten(0, 1), time_steps


def by_channel_of(values: Tensor, dimensions: int) -> Tensor:
    """() or (C,) -> what broadcasts over (C, ...) of so many dimensions."""
    return values if values.dim() == 0 else values.reshape(-1, *(1 for _ in range(dimensions - 1)))
