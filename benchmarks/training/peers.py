"""Peers: the same network in each library, in the fastest way its documentation offers on a CPU.

Neurons: v = v / 2 + x, a spike at 1, reset to zero and held constant in the gradient, arctangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.training.plain import ALPHA, arctan_slope
from benchmarks.training.works import Work, current, readout


class Runs(nn.Module):
    """Modules of a library, and the function that runs them from images to logits."""

    def __init__(self, modules: Sequence[nn.Module], run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.run = run

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return self.run(images)


class Folded(nn.Module):
    """A module without state, on (T, B, ...), with time folded into the batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, ...) -> (T, B, ...)."""
        outputs: Tensor = self.module(x.flatten(0, 1))
        return outputs.unflatten(0, (x.shape[0], -1))


def spikingjelly(work: Work, time_steps: int, *, is_first_once: bool) -> nn.Module:
    """Step mode m: its own autograd function over all steps, in PyTorch where there is no GPU.

    is_first_once : the user computes the currents of the first layer once, and repeats those
    """
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def synapse(place: Any, *, has_bias: bool) -> nn.Module:
        if place.kind == "conv":
            return layer.Conv2d(
                place.c_in, place.c_out, place.kernel, padding=place.padding, bias=has_bias
            )
        return layer.Linear(place.c_in, place.c_out, bias=has_bias)

    def currents(place: Any) -> list[nn.Module]:
        parts = [layer.Flatten()] if place.flatten else []
        parts.append(synapse(place, has_bias=work.norm == "none"))
        if work.norm == "batch":
            norm = layer.BatchNorm2d if place.kind == "conv" else layer.BatchNorm1d
            parts.append(norm(place.c_out))
        return parts

    def neurons(place: Any) -> list[nn.Module]:
        lif = neuron.LIFNode(
            tau=2.0,
            decay_input=False,
            v_threshold=1.0,
            v_reset=0.0,
            surrogate_function=surrogate.ATan(ALPHA),
            detach_reset=True,
        )
        return [lif, *([layer.MaxPool2d(place.pool)] if place.pool else [])]

    first = currents(work.hidden[0])
    rest = neurons(work.hidden[0])
    for place in work.hidden[1:]:
        rest += [*currents(place), *neurons(place)]
    if work.readout.flatten:
        rest.append(layer.Flatten())
    rest.append(synapse(work.readout, has_bias=True))
    before = nn.Sequential(*first) if is_first_once else nn.Sequential()
    after = nn.Sequential(*(rest if is_first_once else [*first, *rest]))
    functional.set_step_mode(before, "s")
    functional.set_step_mode(after, "m")

    def run(images: Tensor) -> Tensor:
        functional.reset_net(after)
        once: Tensor = before(images)
        steps = once.expand(time_steps, *once.shape)
        logits: Tensor = after(steps).mean(0)
        return logits

    return Runs([before, after], run)


def snntorch(work: Work, time_steps: int) -> nn.Module:
    """`Leaky`, the whole network in a loop over time."""
    import snntorch as snn
    from snntorch import surrogate

    layers = [nn.Sequential(*current(work, place)) for place in work.hidden]
    neurons = [
        snn.Leaky(beta=0.5, threshold=1.0, spike_grad=surrogate.atan(ALPHA), reset_mechanism="zero")
        for _ in work.hidden
    ]
    pools = [nn.MaxPool2d(p.pool) if p.pool else nn.Identity() for p in work.hidden]
    last = nn.Sequential(*readout(work))

    def run(images: Tensor) -> Tensor:
        potentials = [neuron.reset_mem() for neuron in neurons]
        logits: Any = 0.0
        for _ in range(time_steps):
            x = images
            for i, (layer, neuron, pool) in enumerate(zip(layers, neurons, pools, strict=True)):
                x, potentials[i] = neuron(layer(x), potentials[i])
                x = pool(x)
            logits = logits + last(x)
        mean: Tensor = logits / time_steps
        return mean

    return Runs([*layers, *neurons, *pools, last], run)


def norse(work: Work, time_steps: int, *, is_folded: bool) -> nn.Module:
    """`LIFBoxCell` in a `Lift`; its other layers in a `Lift` as well, or with time in the batch.

    Its neuron takes in half of the current, v = v / 2 + x / 2, so a threshold of 1/2 makes the same
    spikes. It has no arctangent: the gradient is that of SuperSpike, its default.
    """
    from norse.torch import LIFBoxCell, LIFBoxParameters, Lift

    parameters = LIFBoxParameters(
        tau_mem_inv=torch.as_tensor(500.0),  # dt is 1 ms
        v_th=torch.as_tensor(0.5),
    )
    plain = Folded if is_folded else Lift
    parts: list[nn.Module] = []
    for place in work.hidden:
        parts.append(plain(nn.Sequential(*current(work, place))))
        parts.append(Lift(LIFBoxCell(parameters)))
        if place.pool:
            parts.append(plain(nn.MaxPool2d(place.pool)))
    parts.append(plain(nn.Sequential(*readout(work))))

    def run(images: Tensor) -> Tensor:
        x: Any = images.expand(time_steps, *images.shape)
        for part in parts:
            x = part(x)
            x = x[0] if isinstance(x, tuple) else x
        logits: Tensor = x.mean(0)
        return logits

    return Runs(parts, run)


def sinabs(work: Work, time_steps: int) -> nn.Module:
    """`LIFSqueeze`, time folded into the batch by the library, samples slowest."""
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.layers import LIFSqueeze

    parts: list[nn.Module] = []
    neurons = []
    for place in work.hidden:
        neuron = LIFSqueeze(
            num_timesteps=time_steps,
            tau_mem=1 / math.log(2),  # a decay of 1/2
            spike_threshold=1.0,
            spike_fn=SingleSpike,
            reset_fn=MembraneReset(),
            surrogate_grad_fn=lambda potential, threshold: arctan_slope(potential - threshold),
            norm_input=False,
        )
        neuron.tau_mem.requires_grad_(False)
        neurons.append(neuron)
        parts += [*current(work, place), neuron]
        if place.pool:
            parts.append(nn.MaxPool2d(place.pool))
    network = nn.Sequential(*parts, *readout(work))

    def run(images: Tensor) -> Tensor:
        for neuron in neurons:
            neuron.reset_states()
        logits: Tensor = network(images.repeat_interleave(time_steps, 0))
        return logits.unflatten(0, (-1, time_steps)).mean(1)

    return Runs([network], run)
