"""Plain PyTorch: the loop over time that everyone writes first, the ReLU network, the floor."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.training.steps import Habits, Ready, cast, linear_through
from benchmarks.training.works import Work, current, readout, synapse

ALPHA = 2.0


class ArctanSpike(torch.autograd.Function):
    """H(x) with the slope of an arctangent (Fang et al., ICCV 2021)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * arctan_slope(x)


def arctan_slope(x: Tensor) -> Tensor:
    """dz/dx at x = u - threshold."""
    return ALPHA / 2 / (1 + (math.pi / 2 * ALPHA * x) ** 2)


class Loop(nn.Module):
    """The whole network at each step, potentials in a list; every layer, every step.

    `rates` holds the mean spikes of each hidden place in the last pass, if `is_watched`.
    """

    def __init__(self, work: Work, time_steps: int) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.currents = nn.ModuleList(nn.Sequential(*current(work, p)) for p in work.hidden)
        self.pools = nn.ModuleList(
            nn.MaxPool2d(p.pool) if p.pool else nn.Identity() for p in work.hidden
        )
        self.readout = nn.Sequential(*readout(work))
        self.is_watched = False
        self.rates: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes), the mean over the steps."""
        potentials: list[Any] = [0.0] * len(self.currents)
        totals = [0.0] * len(self.currents)
        logits: Any = 0.0
        for _ in range(self.time_steps):
            x = images
            for i, (currents, pool) in enumerate(zip(self.currents, self.pools, strict=True)):
                potential = 0.5 * potentials[i] + currents(x)
                spikes = ArctanSpike.apply(potential - 1.0)
                potentials[i] = potential * (1.0 - spikes.detach())
                if self.is_watched:
                    totals[i] += float(spikes.mean())
                x = pool(spikes)
            logits = logits + self.readout(x)
        self.rates = [total / self.time_steps for total in totals]
        result: Tensor = logits / self.time_steps
        return result


def relu_network(work: Work) -> nn.Module:
    """The ordinary network of the same layers, run once on N samples."""
    parts: list[nn.Module] = []
    for place in work.hidden:
        parts += [*current(work, place), nn.ReLU()]
        if place.pool:
            parts.append(nn.MaxPool2d(place.pool))
    return nn.Sequential(*parts, *readout(work))


def floor(work: Work, time_steps: int, habits: Habits) -> Ready:
    """The layers alone, one at a time on dense data: forward, backward and the optimiser.

    First layer and readout see N samples, which is all that constant data and a linear readout of
    the mean ask for; the others T * N. No neuron, pool or norm.
    """
    generator = torch.Generator().manual_seed(0)
    side = work.shape[1]
    pairs: list[tuple[nn.Module, Tensor]] = []
    for place in work.positions:
        count = work.batch * (time_steps if place.role == "hidden" else 1)
        size = (side, side) if place.kind == "conv" else ()
        inputs = torch.rand(count, place.c_in, *size, generator=generator)
        layer = synapse(place, has_bias=place.role == "readout" or work.norm == "none")
        if place.kind == "conv":
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pairs.append((layer, inputs.requires_grad_(place.role != "first")))
        side = side // place.pool if place.pool else side
    with torch.no_grad():
        gradients = [torch.randn_like(layer(inputs)) * 1e-3 for layer, inputs in pairs]
    if habits.bfloat16:
        gradients = [gradient.bfloat16() for gradient in gradients]
        pairs = [(a, x.detach().bfloat16().requires_grad_(x.requires_grad)) for a, x in pairs]
    parameters = [p for layer, _ in pairs for p in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-6, fused=True)

    def train() -> None:
        with linear_through(habits.route):
            optimizer.zero_grad(set_to_none=True)
            for (layer, inputs), gradient in zip(pairs, gradients, strict=True):
                inputs.grad = None
                with cast(habits):
                    outputs = layer(inputs)
                outputs.backward(gradient)
            optimizer.step()

    def infer() -> None:
        with torch.no_grad(), linear_through(habits.route), cast(habits):
            for layer, inputs in pairs:
                layer(inputs)

    return Ready(train, infer)
