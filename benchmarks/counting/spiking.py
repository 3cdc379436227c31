"""Spiking networks in plain torch: neurons are a loop over time, so no counter needs an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Listener = Callable[[nn.Module, Tensor, Tensor], None]
_listeners: list[Listener] = []


def product(module: nn.Module, left: Tensor, right: Tensor) -> Tensor:
    """A matrix product of two activations, made in `module` by no layer."""
    for listen in _listeners:
        listen(module, left, right)
    return left @ right


@contextmanager
def products_told_to(listener: Listener) -> Iterator[None]:
    """Tell a listener of every `product`, with the tensors that go in."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class LIF(nn.Module):
    """Leaky integrate-and-fire: v = decay * v + x; a spike where v >= threshold, which it costs.

    Input and output: (T * B, ...), the step slowest. The potential starts at zero.
    """

    def __init__(self, time_steps: int, threshold: float = 1.0, decay: float = 0.5) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.threshold = threshold
        self.decay = decay

    def forward(self, x: Tensor) -> Tensor:
        """Spikes 0 and 1 of the shape and type of the input."""
        by_step = x.unflatten(0, (self.time_steps, -1))
        potential = torch.zeros_like(by_step[0])
        spikes = []
        for x_t in by_step:
            potential = self.decay * potential + x_t
            spike = (potential >= self.threshold).to(x.dtype)
            potential = potential - self.threshold * spike
            spikes.append(spike)
        return torch.cat(spikes)


class SpikingVGG(nn.Module):
    """Convolution, batch-norm and LIF; direct coding: the image is presented at every step.

    stages : channels of the convolutions between two poolings
    """

    def __init__(
        self, stages: tuple[tuple[int, ...], ...], time_steps: int, size: int, classes: int
    ) -> None:
        super().__init__()
        self.time_steps = time_steps
        layers: list[nn.Module] = []
        channels = 3
        for stage in stages:
            for width in stage:
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    LIF(time_steps),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        side = size // 2 ** len(stages)
        self.classifier = nn.Linear(channels * side * side, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, size, size) to (B, classes): mean over the steps."""
        x = self.features(x.repeat(self.time_steps, 1, 1, 1))
        return self.classifier(x.flatten(1)).unflatten(0, (self.time_steps, -1)).mean(0)


class SpikingLinear(nn.Module):
    """Linear layer, batch-norm over its features, LIF: (T * B, N, C_in) to (T * B, N, C_out)."""

    def __init__(self, c_in: int, c_out: int, time_steps: int) -> None:
        super().__init__()
        self.linear = nn.Linear(c_in, c_out, bias=False)
        self.norm = nn.BatchNorm1d(c_out)
        self.lif = LIF(time_steps)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of every token."""
        y = self.linear(x)
        return self.lif(self.norm(y.flatten(0, 1)).view_as(y))


class SpikingAttention(nn.Module):
    """Attention of spikes without softmax: LIF((q k^T) v * scale), projected (Spikformer, 2023)."""

    def __init__(self, width: int, heads: int, time_steps: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / 32  # keeps the rate of the neurons behind between 5 and 50 per cent
        self.q = SpikingLinear(width, width, time_steps)
        self.k = SpikingLinear(width, width, time_steps)
        self.v = SpikingLinear(width, width, time_steps)
        self.lif = LIF(time_steps)
        self.projection = SpikingLinear(width, width, time_steps)

    def forward(self, x: Tensor) -> Tensor:
        """(T * B, N, C) to spikes of the same shape."""
        q, k, v = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        scores = product(self, q, k.transpose(2, 3))
        mixed = product(self, scores, v) * self.scale
        return self.projection(self.lif(mixed.transpose(1, 2).flatten(2)))


class SpikingBlock(nn.Module):
    """A transformer block whose additions are of spikes (SEW): the second half reads {0, 1, 2}."""

    def __init__(self, width: int, heads: int, time_steps: int) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.encoder = LIF(time_steps)
        self.attention = SpikingAttention(width, heads, time_steps)
        self.fc1 = SpikingLinear(width, 4 * width, time_steps)
        self.fc2 = SpikingLinear(4 * width, width, time_steps)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) of real values to rates (B, N, C)."""
        spikes = self.encoder(x.repeat(self.time_steps, 1, 1))
        spikes = spikes + self.attention(spikes)
        spikes = spikes + self.fc2(self.fc1(spikes))
        return spikes.unflatten(0, (self.time_steps, -1)).mean(0)
